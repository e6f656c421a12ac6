//! What a text's words are, for the index and for a query alike: both are cut by the same function,
//! so that what was indexed is found.
//!
//! Neighbours: `query.rs` makes terms of them, `index.rs` rows, `rank.rs` and `snippet.rs` look for
//! terms in a text. Scripts that put no spaces between words are cut into every three signs that
//! follow each other: a query of three or more is a phrase of those, a shorter one the beginning of
//! one. It reads nothing and keeps nothing.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// A longer word is cut to this on both sides: nobody types more of one.
const WORD_CHARS_MAX: usize = 64;
/// Signs of a token of a script without spaces.
pub const SIGNS: usize = 3;

/// A word or a few signs, as they are indexed, and where they stand in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Without case, accents and compatibility forms.
    pub text: String,
    /// Where it begins, in bytes of the text.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// It is of a script without spaces.
    pub signs: bool,
}

/// A stretch of a text: one word, or the signs of a script without spaces.
#[derive(Debug)]
pub struct Stretch {
    signs: Vec<(char, usize, usize)>,
    word: Option<Token>,
}

impl Stretch {
    /// Its tokens as they are indexed: from each place on, the last ones shorter.
    fn indexed(self, out: &mut Vec<Token>) {
        out.extend(self.word);
        for at in 0..self.signs.len() {
            out.push(token_of(&self.signs[at..self.signs.len().min(at + SIGNS)]));
        }
    }

    /// Its tokens as the end of a phrase that is looked for: whole ones only, or, of a short one, the
    /// beginning of one (`true`).
    fn asked(self, out: &mut Vec<Token>) -> bool {
        out.extend(self.word);
        let short = (1..SIGNS).contains(&self.signs.len());
        if short {
            out.push(token_of(&self.signs));
        }
        out.extend(self.signs.windows(SIGNS).map(token_of));
        short
    }
}

fn token_of(signs: &[(char, usize, usize)]) -> Token {
    Token {
        text: signs.iter().map(|(sign, ..)| sign).collect(),
        from: signs.first().map_or(0, |(_, from, _)| *from),
        to: signs.last().map_or(0, |(.., to)| *to),
        signs: true,
    }
}

/// The tokens of a text that is indexed.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for stretch in stretches(text) {
        stretch.indexed(&mut tokens);
    }
    tokens
}

/// The tokens of a phrase that is looked for, and whether the last is the beginning of one.
pub fn asked(text: &str) -> (Vec<Token>, bool) {
    let (mut tokens, mut open) = (Vec::new(), false);
    let mut stretches = stretches(text).into_iter().peekable();
    while let Some(stretch) = stretches.next() {
        if stretches.peek().is_some() {
            stretch.indexed(&mut tokens);
        } else {
            open = stretch.asked(&mut tokens);
        }
    }
    (tokens, open)
}

/// What the index keeps of a text: its tokens with a space between two, and once each sign that one
/// begins with.
pub fn cut(text: &str, words: &mut String, signs: &mut String) {
    words.clear();
    signs.clear();
    let mut tokens = Vec::new();
    for span @ (from, to, of_signs) in spans(text) {
        if !of_signs && text[from..to].is_ascii() {
            // Most of what is said: no token need be made of it.
            let begin = words.len();
            words.push_str(&text[from..to.min(from + WORD_CHARS_MAX)]);
            words[begin..].make_ascii_lowercase();
            words.push(' ');
            continue;
        }
        if let Some(stretch) = stretch(text, span) {
            stretch.indexed(&mut tokens);
        }
        for token in tokens.drain(..) {
            words.push_str(&token.text);
            words.push(' ');
            let sign = token.text.chars().next().filter(|_| token.signs);
            if let Some(sign) = sign.filter(|sign| !signs.contains(*sign)) {
                signs.push(sign);
                signs.push(' ');
            }
        }
    }
    words.pop();
}

fn stretches(text: &str) -> Vec<Stretch> {
    spans(text).filter_map(|span| stretch(text, span)).collect()
}

fn stretch(text: &str, (from, to, signs): (usize, usize, bool)) -> Option<Stretch> {
    if signs { signs_of(text, from, to) } else { word_of(text, from, to) }
}

/// Where its stretches are, and whether they are of a script without spaces. What is ASCII is looked at
/// by bytes, because it is most of what is said.
fn spans(text: &str) -> impl Iterator<Item = (usize, usize, bool)> {
    let bytes = text.as_bytes();
    let char_at = |at: usize| text[at..].chars().next().filter(|c| !c.is_ascii());
    let mut at = 0;
    std::iter::from_fn(move || {
        let begins = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
        let signs = loop {
            at += bytes[at..].iter().position(begins)?;
            let Some(first) = char_at(at) else { break false };
            if first.is_alphanumeric() {
                break is_sign(first);
            }
            at += first.len_utf8();
        };
        let from = at;
        let goes_on =
            |c: &char| is_combining_mark(*c) || (c.is_alphanumeric() && is_sign(*c) == signs);
        loop {
            if !signs {
                at += bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            }
            let Some(next) = char_at(at).filter(goes_on) else { break };
            at += next.len_utf8();
        }
        Some((from, at, signs))
    })
}

fn word_of(text: &str, from: usize, to: usize) -> Option<Stretch> {
    let word: String = folded(&text[from..to]).take(WORD_CHARS_MAX).collect();
    let token = Token { text: word, from, to, signs: false };
    (!token.text.is_empty()).then(|| Stretch { signs: Vec::new(), word: Some(token) })
}

fn signs_of(text: &str, from: usize, to: usize) -> Option<Stretch> {
    let mut signs: Vec<(char, usize, usize)> = Vec::new();
    for (at, c) in text[from..to].char_indices() {
        let (from, to) = (from + at, from + at + c.len_utf8());
        for sign in folded(c.encode_utf8(&mut [0; 4])) {
            match signs.last_mut() {
                // A mark that stands by itself belongs to the sign before it.
                Some(last) if is_combining_mark(sign) => {
                    let both: String = [last.0, sign].iter().collect();
                    *last = (both.nfc().next().unwrap_or(last.0), last.1, to);
                }
                _ => signs.push((sign, from, to)),
            }
        }
    }
    (!signs.is_empty()).then_some(Stretch { signs, word: None })
}

/// Without case, accents, compatibility forms and the final form of sigma; the rest as it is composed.
fn folded(text: &str) -> Box<dyn Iterator<Item = char> + '_> {
    if text.is_ascii() {
        return Box::new(text.chars().map(|c| c.to_ascii_lowercase()));
    }
    let accent = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    let lower: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    // At the end of a word sigma is written otherwise; one looks for both alike.
    let plain = |c: char| if c == '\u{3c2}' { '\u{3c3}' } else { c };
    let bare = lower.into_iter().nfkd().filter(move |c| !accent(c)).map(plain);
    let kept = |c: &char| c.is_alphanumeric() || is_combining_mark(*c);
    Box::new(bare.nfc().collect::<Vec<_>>().into_iter().filter(kept))
}

/// Scripts that put no spaces between words, and Hangul, whose words carry endings.
fn is_sign(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3100}'..='\u{312f}'
        | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tokens: &[Token]) -> Vec<&str> {
        tokens.iter().map(|token| token.text.as_str()).collect()
    }

    fn indexed(text: &str) -> String {
        texts(&tokens(text)).join(" ")
    }

    #[test]
    fn words_are_what_stands_between_other_characters_without_case_and_accents() {
        assert_eq!(indexed("Don't PANIC: e-mail me_at 10:30!"), "don t panic e mail me at 10 30");
        assert_eq!(indexed("Café Ærø ſtraße İstanbul"), "cafe ærø straße istanbul");
        assert_eq!(indexed("cafe\u{301}"), "cafe");
        assert_eq!(indexed("ＡＢＣ ﬁne ½"), "abc fine 12");
        assert_eq!(indexed("हिन्दी में"), "हिन्दी में", "vowel signs are part of their word");
        assert_eq!(indexed("ΟΔΟΣ οδός ὁδὸσ Σίσυφος ϲ"), "οδοσ οδοσ οδοσ σισυφοσ σ");
        assert_eq!(indexed(":-) … \u{200b}"), "");
        assert_eq!(indexed(&"x".repeat(70)).len(), WORD_CHARS_MAX);
    }

    #[test]
    fn signs_are_indexed_by_threes_and_asked_for_whole_or_as_a_beginning() {
        assert_eq!(indexed("東京タワー"), "東京タ 京タワ タワー ワー ー");
        assert_eq!(indexed("go 東京 now"), "go 東京 京 now");
        let asked = |text| {
            let (tokens, open) = asked(text);
            (texts(&tokens).join(" "), open)
        };
        assert_eq!(asked("東京タワー"), ("東京タ 京タワ タワー".into(), false));
        assert_eq!(asked("東京"), ("東京".into(), true));
        assert_eq!(asked("go 東京"), ("go 東京".into(), true));
        assert_eq!(asked("東京 now"), ("東京 京 now".into(), false));
        assert_eq!(indexed("か\u{3099}くせい"), indexed("がくせい"));
        assert_eq!(indexed("ｶﾞ"), indexed("ガ"), "half-width forms");
    }

    #[test]
    fn what_the_index_keeps_is_the_tokens_in_order_and_each_first_sign_once() {
        let kept = |text: &str| {
            let (mut words, mut signs) = ("left over".to_owned(), "of another".to_owned());
            cut(text, &mut words, &mut signs);
            (words, signs)
        };
        assert_eq!(kept("東京 Go東東!"), ("東京 京 go 東東 東".into(), "東 京 ".into()));
        let long = "X".repeat(WORD_CHARS_MAX + 1);
        let texts =
            ["", " - ", "Don't PANIC", "aé1b ½x é", "か\u{3099}く a\u{301}b", "\u{301}a 🦀b c"];
        for text in texts.into_iter().chain([long.as_str()]) {
            assert_eq!(kept(text).0, indexed(text), "{text}");
        }
    }

    #[test]
    fn a_token_knows_where_it_stands() {
        let text = "– Ünïted 東京都";
        let found = tokens(text);
        let stands: Vec<&str> = found.iter().map(|token| &text[token.from..token.to]).collect();
        assert_eq!(stands, ["Ünïted", "東京都", "京都", "都"]);
    }
}
