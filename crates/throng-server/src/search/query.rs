//! What a person types, as terms: words, `"phrases"`, `beginnings*`, and `-without`.
//!
//! Neighbours: `words.rs` cuts it, `index.rs` asks the index for its expression, `rank.rs` and
//! `snippet.rs` look for its terms in a text. Nothing that is typed reaches SQLite but tokens, which
//! hold no character of its grammar; how many and how long is bounded here.

use std::fmt::Write as _;

use throng_core::limits::{SEARCH_LEN_MAX, SEARCH_PREFIX_CHARS_MIN, SEARCH_WORDS_MAX};
use throng_core::{Rejection, RoomId, UserId};

use super::index;
use super::words::{self, Token};

/// What is looked for in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    wanted: Vec<Term>,
    unwanted: Vec<Term>,
}

/// Tokens that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    tokens: Vec<String>,
    /// The last token is the beginning of one.
    open: bool,
    /// A lone sign of a script without spaces: it has a column of its own.
    sign: bool,
}

impl Query {
    /// Refuses what names nothing to look for, and what would cost too much.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        if text.len() > SEARCH_LEN_MAX {
            return Err(Rejection::BadQuery);
        }
        let (mut wanted, mut unwanted, mut words) = (Vec::new(), Vec::new(), 0);
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (without, after) = match rest.strip_prefix('-') {
                Some(after) => (true, after),
                None => (false, rest),
            };
            let (phrase, star, after) = piece(after)?;
            rest = after.trim_start();
            let Some(term) = Term::new(phrase, star)? else { continue };
            words += term.tokens.len();
            if without { &mut unwanted } else { &mut wanted }.push(term);
        }
        if words > SEARCH_WORDS_MAX {
            return Err(Rejection::BadQuery);
        }
        if wanted.is_empty() {
            return Err(Rejection::EmptyQuery);
        }
        Ok(Self { wanted, unwanted })
    }

    /// As the index asks it, of one sender, and in these rooms only if there are any.
    pub fn expression(
        &self,
        sender: Option<UserId>,
        rooms: impl Iterator<Item = RoomId>,
    ) -> String {
        let mut out = "(".repeat(self.unwanted.len());
        for (i, term) in self.wanted.iter().enumerate() {
            out.push_str(if i > 0 { " AND " } else { "" });
            term.express(&mut out);
        }
        if let Some(sender) = sender {
            let _ = write!(out, " AND \"{}\"", index::who_token(sender));
        }
        let mut between = " AND (";
        for room in rooms {
            let _ = write!(out, "{between}\"{}\"", index::room_token(room));
            between = " OR ";
        }
        if between == " OR " {
            out.push(')');
        }
        for term in &self.unwanted {
            out.push_str(") NOT ");
            term.express(&mut out);
        }
        out
    }

    /// What a hit must have.
    pub fn wanted(&self) -> &[Term] {
        &self.wanted
    }

    /// Whether a text that was cut into these tokens is a hit.
    pub fn matches(&self, tokens: &[Token]) -> bool {
        let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
        self.wanted.iter().all(|term| term.count(&texts) > 0)
            && self.unwanted.iter().all(|term| term.count(&texts) == 0)
    }
}

/// A phrase or a word, whether a star follows, and the rest.
fn piece(text: &str) -> Result<(&str, bool, &str), Rejection> {
    let (phrase, rest) = if let Some(quoted) = text.strip_prefix('"') {
        quoted.split_once('"').ok_or(Rejection::BadQuery)?
    } else {
        let end = |c: char| c.is_whitespace() || matches!(c, '*' | '"');
        text.split_at(text.find(end).unwrap_or(text.len()))
    };
    match rest.strip_prefix('*') {
        // A star ends what it follows: in the middle of a word it would mean something else.
        Some(rest) if !rest.is_empty() && !rest.starts_with(char::is_whitespace) => {
            Err(Rejection::BadQuery)
        }
        Some(rest) => Ok((phrase, true, rest)),
        None => Ok((phrase, false, rest)),
    }
}

impl Term {
    fn new(phrase: &str, star: bool) -> Result<Option<Self>, Rejection> {
        let (tokens, open) = words::asked(phrase);
        let Some(last) = tokens.last() else {
            // Signs that are no words, as a smiley, are passed over; a star wants a beginning.
            return if star { Err(Rejection::BadQuery) } else { Ok(None) };
        };
        let chars = last.text.chars().count();
        if star && !last.signs && chars < SEARCH_PREFIX_CHARS_MIN {
            return Err(Rejection::BadQuery);
        }
        let sign = last.signs && chars == 1 && tokens.len() == 1;
        let open = open || (star && !last.signs);
        let tokens = tokens.into_iter().map(|token| token.text).collect();
        Ok(Some(Self { tokens, open, sign }))
    }

    fn express(&self, out: &mut String) {
        out.push_str(if self.sign { "signs : \"" } else { "text : \"" });
        out.push_str(&self.tokens.join(" "));
        out.push_str(if self.open && !self.sign { "\" *" } else { "\"" });
    }

    /// Where it begins among these tokens, ascending.
    pub fn places<'a>(&'a self, tokens: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        let (last, before) = self.tokens.split_last().expect("a term has a token");
        tokens.windows(self.tokens.len()).enumerate().filter_map(move |(at, window)| {
            let (end, begin) = window.split_last()?;
            let ends = if self.open { end.starts_with(last.as_str()) } else { end == last };
            (ends && begin == before).then_some(at)
        })
    }

    /// How often it stands among these tokens.
    pub fn count(&self, tokens: &[&str]) -> usize {
        self.places(tokens).count()
    }

    /// Tokens it has.
    pub fn span(&self) -> usize {
        self.tokens.len()
    }

    /// Characters of its last token, if that is the beginning of one.
    pub fn open_chars(&self) -> Option<usize> {
        let last = self.tokens.last().filter(|_| self.open)?;
        Some(last.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> String {
        Query::parse(text).unwrap().expression(None, std::iter::empty())
    }

    #[test]
    fn words_phrases_beginnings_and_exclusions_are_terms() {
        assert_eq!(expression("Tea  biscuits"), r#"text : "tea" AND text : "biscuits""#);
        assert_eq!(expression(r#""green tea" mat*"#), r#"text : "green tea" AND text : "mat" *"#);
        assert_eq!(
            expression(r#"tea -milk -"no sug"*"#),
            r#"((text : "tea") NOT text : "milk") NOT text : "no sug" *"#
        );
        assert_eq!(expression("e-mail :-)"), r#"text : "e mail""#);
        assert_eq!(expression("東京タワー"), r#"text : "東京タ 京タワ タワー""#);
        assert_eq!(expression("東京"), r#"text : "東京" *"#);
        assert_eq!(expression("猫"), r#"signs : "猫""#);
        assert_eq!(expression("猫*"), r#"signs : "猫""#);
        let query = Query::parse("tea -milk").unwrap();
        let sender = UserId::new(7);
        let rooms = |numbers: &'static [u32]| numbers.iter().filter_map(|it| RoomId::new(*it));
        assert_eq!(
            query.expression(sender, rooms(&[3, 9])),
            r#"(text : "tea" AND "§7" AND ("¶3" OR "¶9")) NOT text : "milk""#
        );
        let one = query.expression(None, rooms(&[3]));
        assert_eq!(one, r#"(text : "tea" AND ("¶3")) NOT text : "milk""#);
    }

    #[test]
    fn what_sqlite_would_take_for_its_own_grammar_is_only_words() {
        assert_eq!(expression("a OR NEAR(b"), r#"text : "a" AND text : "or" AND text : "near b""#);
        assert_eq!(expression("who:1 ^x {y}"), r#"text : "who 1" AND text : "x" AND text : "y""#);
        assert_eq!(expression("'; DROP"), r#"text : "drop""#);
    }

    #[test]
    fn a_query_that_says_nothing_or_is_not_closed_is_refused() {
        for text in ["", "  ", "-milk", ":-)", "\"\"", "-"] {
            assert_eq!(Query::parse(text), Err(Rejection::EmptyQuery), "{text}");
        }
        for text in ["\"open", "tea \"", "*", "\"\"*", "a*b", "te*a", "tea -*"] {
            assert_eq!(Query::parse(text), Err(Rejection::BadQuery), "{text}");
        }
    }

    #[test]
    fn what_would_cost_too_much_is_refused() {
        let words = |count| vec!["word"; count].join(" ");
        for below in [SEARCH_WORDS_MAX - 1, SEARCH_WORDS_MAX] {
            assert!(Query::parse(&words(below)).is_ok());
        }
        assert_eq!(Query::parse(&words(SEARCH_WORDS_MAX + 1)), Err(Rejection::BadQuery));
        for long in [SEARCH_LEN_MAX - 1, SEARCH_LEN_MAX] {
            assert!(Query::parse(&"x".repeat(long)).is_ok());
        }
        assert_eq!(Query::parse(&"x".repeat(SEARCH_LEN_MAX + 1)), Err(Rejection::BadQuery));
        assert_eq!(SEARCH_PREFIX_CHARS_MIN, 2);
        assert_eq!(Query::parse("t*"), Err(Rejection::BadQuery));
        assert!(Query::parse("te*").is_ok() && Query::parse("tea*").is_ok());
    }

    #[test]
    fn a_text_is_a_hit_as_the_index_would_say() {
        let hit =
            |query: &str, text: &str| Query::parse(query).unwrap().matches(&words::tokens(text));
        assert!(hit("tea", "Green TEA!") && !hit("tea", "teapot"));
        assert!(hit("tea*", "teapot") && hit("\"green te\"*", "a green teapot"));
        assert!(!hit("\"tea green\"", "green tea"));
        assert!(hit("tea -milk", "tea") && !hit("tea -milk", "tea, milk"));
        assert!(
            hit("京タ", "東京タワー") && hit("ワ", "東京タワー") && hit("東京タワー", "東京タワー")
        );
        assert!(!hit("東京ワ", "東京タワー"));
    }
}
