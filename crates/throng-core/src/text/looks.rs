//! What two texts have in common that look alike to a person: the plain letters that a word filter
//! compares, and the keys under which a name is unique.
//!
//! Neighbours: `text.rs` makes names of what passes here, `words.rs` filters by it. The tables are
//! Unicode's own: normalisation (UAX 15), scripts (UAX 24) and confusables (UTS 39).

use alloc::string::String;
use core::iter;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, ScriptExtension, UnicodeScript};
use unicode_security::confusable_detection::skeleton;
use unicode_security::mixed_script::AugmentedScriptSet;

/// Marks above or below one letter: what languages need, and not what climbs over the lines.
const MARKS_MAX: usize = 4;

/// Whether a character shows nothing of itself: it joins, splits, turns the direction, or is there
/// for machines (`Default_Ignorable_Code_Point`, but for the selectors of emoji); or its sign is blank.
pub fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffc}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{2800}' | '\u{16fe4}' | '\u{1d159}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character has no meaning that all agree on: private use, what is no character, and what is
/// not assigned, but among the emoji, of which there are new ones every year.
pub fn is_nobodys(c: char) -> bool {
    c.script() == Script::Unknown && !matches!(c, '\u{1f000}'..='\u{1faff}')
}

/// Chooses how an emoji is drawn, and shows nothing of itself.
pub fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}')
}

/// Whether a character is for machines and has no place in a line: a control, but for the tab and the
/// line's ends. Some are shown as nothing, some as a space.
pub fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// A text as a word filter compares it: without case, marks, controls, hidden characters and
/// compatibility forms, and letters that look like a Latin one as that one.
pub fn plain(text: &str) -> String {
    let silent = |c: char| is_combining_mark(c) || is_hidden(c) || is_selector(c) || is_control(c);
    let shown = |c: &char| !silent(*c);
    let lower = text.nfkd().filter(shown).flat_map(char::to_lowercase);
    let mut out = String::with_capacity(text.len());
    for c in lower {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        let mut single = [0; 4];
        let like = skeleton(c.encode_utf8(&mut single)).filter(|c| !is_combining_mark(*c));
        out.extend(like.flat_map(char::to_lowercase));
    }
    out
}

/// A text composed (NFC), with every kind of space as a plain one, none at the ends, and no two in a
/// row: the Nickname profile of RFC 8266, but for case.
pub fn composed(text: &str) -> String {
    let words = text.split(char::is_whitespace).filter(|word| !word.is_empty());
    let mut out = String::with_capacity(text.len());
    for word in words {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.nfc());
    }
    out
}

/// The keys under which a name is unique; two names of which any two keys are the same look alike.
/// The first takes case away and then what looks alike, the second sees before that what capitals
/// look like: `MaIl` is `mail` by its letters and `Mall` by its looks.
pub fn keys(name: &str) -> [String; 2] {
    let lower = |text: &str| text.nfkc().flat_map(char::to_lowercase).collect::<String>();
    let by_letters = alike(&lower(name));
    let by_looks = alike(&lower(&alike(name)));
    [by_letters, by_looks]
}

/// What a text looks like, and runs of space as one.
fn alike(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !is_hidden(*c) && !is_selector(*c)).collect();
    let mut out = String::with_capacity(shown.len());
    for c in skeleton(&shown) {
        let space = c.is_whitespace();
        if !(space && out.ends_with(' ')) {
            out.push(if space { ' ' } else { c });
        }
    }
    out
}

/// Whether every word is of one script (those that are written together count as one), so that no
/// letter passes for another's.
pub fn is_of_one_script(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_alphanumeric() && !is_combining_mark(c));
    words.filter(|word| !word.is_empty()).all(|word| {
        if !AugmentedScriptSet::for_str(word).is_empty() {
            return true;
        }
        // Chinese, Japanese and Korean are written with Latin in one word.
        let others = word.chars().filter(|c| c.script() != Script::Latin);
        let mut set = AugmentedScriptSet::default();
        others.for_each(|c| set.intersect_with(c.into()));
        let east =
            [Script::Han, Script::Hiragana, Script::Katakana, Script::Hangul, Script::Bopomofo];
        let is_east = |c: char| {
            let of: ScriptExtension = c.into();
            c.script() == Script::Common || east.iter().any(|script| of.contains_script(*script))
        };
        !set.is_empty() && word.chars().filter(|c| c.script() != Script::Latin).all(is_east)
    })
}

/// Whether no letter carries more marks than a language needs.
pub fn is_modestly_marked(text: &str) -> bool {
    let mut marks = 0;
    text.nfd().chain(iter::once(' ')).all(|c| {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        marks <= MARKS_MAX
    })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn look_alike(one: &str, other: &str) -> bool {
        keys(one).iter().any(|key| keys(other).contains(key))
    }

    #[test]
    fn names_that_look_the_same_share_a_key() {
        for (one, other) in [
            ("lobby", "LOBBY"),
            ("lobby", "lo\u{200b}bby"),
            ("lobby", "l\u{43e}bby"),  // Cyrillic o.
            ("lobby", "\u{ff4c}obby"), // Full width.
            ("paypal", "\u{440}\u{430}ypal"),
            ("Mall", "MaIl"), // A capital i.
            ("mail", "MaIl"),
            ("modern", "modem"),
            ("user1", "userl"),
            ("O2", "02"),
            ("tea time", "tea\u{a0}time"),
            ("tea time", "tea  time"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("\u{212a}elvin", "Kelvin"), // The Kelvin sign.
            ("\u{2764}", "\u{2764}\u{fe0f}"),
        ] {
            assert!(look_alike(one, other), "{one:?} {other:?}: {:?} {:?}", keys(one), keys(other));
        }
    }

    #[test]
    fn names_that_do_not_look_the_same_share_none() {
        for (one, other) in [
            ("mail", "mall"),
            ("user1", "user2"),
            ("user10", "user1"),
            ("cafe", "caf\u{e9}"),
            ("ada", "bea"),
            ("\u{90e8}\u{5c4b}", "\u{90e8}"),
            ("a b", "ab"),
        ] {
            assert!(!look_alike(one, other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_filter_sees_through_case_marks_widths_and_what_does_not_show() {
        for text in [
            "Spam",
            "SPAM",
            "s\u{200b}p\u{200d}am",
            "sp\u{ad}am",
            "\u{ff33}\u{ff50}am",
            "sp\u{e1}m",
            "spa\u{300}\u{301}m",
            "s\u{440}am",
            "\u{202e}spam",
            "sp\u{e0061}am",
            "\u{1d42c}pam",
        ] {
            assert_eq!(plain(text), "spam", "{text:?}");
        }
        for c in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
            let breaks = matches!(c, '\t' | '\n' | '\r');
            assert_eq!(plain(&format!("sp{c}am")) == "spam", !breaks, "{c:?}");
        }
        assert_eq!(plain("modern tea 1"), "modern tea 1", "plain letters stay what they are");
    }

    #[test]
    fn a_word_of_two_scripts_is_found_out_and_two_words_are_not() {
        for text in [
            "tea",
            "чай",
            "tea чай",
            "Füße",
            "部屋",
            "Tシャツ",
            "ひらがなカタカナ漢字",
            "한국어",
            "λόγος",
            "c3po",
            "Ελλάδα 2024",
            "❤️ tea",
            "ไทย",
            "हिन्दी",
            "עברית",
            "العربية",
        ] {
            assert!(is_of_one_script(text), "{text:?}");
        }
        for text in ["p\u{430}ypal", "\u{3bf}pen", "теa", "ԁata", "\u{13da}ow"] {
            assert!(!is_of_one_script(text), "{text:?}");
        }
    }

    #[test]
    fn what_climbs_over_the_lines_is_found_out() {
        assert!(is_modestly_marked("ệ ngữ ที่ หนึ่ง नमस्ते"));
        assert!(is_modestly_marked("a\u{300}\u{301}\u{302}\u{303}"));
        assert!(!is_modestly_marked("a\u{300}\u{301}\u{302}\u{303}\u{304}"));
    }
}
