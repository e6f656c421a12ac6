//! What a line of text may hold so that all of it shows: topics, names of files, reactions.
//!
//! Neighbours: `text.rs` and `file.rs` make their types of what passes here; `looks.rs` says which
//! characters hide. Joiners and marks of direction show nothing of themselves and are needed where they
//! do their work, and only there: families of emoji, Persian, the scripts of India, Hebrew with digits.

use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, ScriptExtension};

use super::looks::{is_hidden, is_nobodys, is_selector};

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
/// Begins the flags that are spelt in tags.
const BLACK_FLAG: char = '\u{1f3f4}';

/// Scripts whose letters a joiner, or its opposite, gives another form.
const JOINING: [Script; 22] = [
    Script::Arabic,
    Script::Syriac,
    Script::Nko,
    Script::Mandaic,
    Script::Mongolian,
    Script::Phags_Pa,
    Script::Adlam,
    Script::Hanifi_Rohingya,
    Script::Devanagari,
    Script::Bengali,
    Script::Gurmukhi,
    Script::Gujarati,
    Script::Oriya,
    Script::Tamil,
    Script::Telugu,
    Script::Kannada,
    Script::Malayalam,
    Script::Sinhala,
    Script::Khmer,
    Script::Myanmar,
    Script::Tibetan,
    Script::Meetei_Mayek,
];
/// Scripts that are written from right to left.
const FROM_RIGHT: [Script; 8] = [
    Script::Hebrew,
    Script::Arabic,
    Script::Syriac,
    Script::Thaana,
    Script::Nko,
    Script::Mandaic,
    Script::Adlam,
    Script::Hanifi_Rohingya,
];

/// Whether every character of a line shows, or does its work where it stands.
pub fn is_shown(text: &str) -> bool {
    text.split(char::is_whitespace).all(|word| {
        let from_right = word.chars().any(|c| is_of(c, &FROM_RIGHT));
        let mut before = None;
        let mut rest = word.chars();
        while let Some(c) = rest.next() {
            let next = rest.clone().next();
            if !is_in_place(c, before, next, from_right) {
                return false;
            }
            before = Some(c);
        }
        true
    }) && !text.chars().any(char::is_control)
}

/// Whether anything of it is to be seen at all.
pub fn shows_something(text: &str) -> bool {
    let seen =
        |c: char| !c.is_whitespace() && !is_hidden(c) && !is_selector(c) && !is_combining_mark(c);
    text.chars().any(seen)
}

fn is_in_place(c: char, before: Option<char>, next: Option<char>, from_right: bool) -> bool {
    match (c, before, next) {
        (JOINER, Some(before), Some(next)) => {
            let pictures = (is_pictograph(before) || is_selector(before)) && is_pictograph(next);
            pictures || join(before, next)
        }
        (NON_JOINER, Some(before), Some(next)) => join(before, next),
        ('\u{200e}' | '\u{200f}' | '\u{61c}', _, _) => from_right,
        ('\u{e0020}'..='\u{e007f}', Some(before), _) => {
            before == BLACK_FLAG || matches!(before, '\u{e0020}'..='\u{e007e}')
        }
        _ if is_selector(c) => before.is_some(),
        _ => !is_hidden(c) && !is_nobodys(c),
    }
}

fn join(before: char, next: char) -> bool {
    is_of(before, &JOINING) && is_of(next, &JOINING)
}

fn is_of(c: char, scripts: &[Script]) -> bool {
    let of: ScriptExtension = c.into();
    // What is of all scripts is of none of them here.
    !of.is_common() && !of.is_inherited() && scripts.iter().any(|one| of.contains_script(*one))
}

/// Signs that are drawn as pictures, and may be joined.
fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{20e3}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joiners_are_taken_where_they_join() {
        for text in [
            "tea",
            "",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
            "❤\u{fe0f}\u{200d}🔥",
            "👩🏽\u{200d}🚀 and more",
            "می\u{200c}خواهم",       // Persian.
            "क्\u{200d}ष क्\u{200c}ष", // Hindi.
            "שלום!\u{200f} 12",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "1\u{fe0f}\u{20e3}",
        ] {
            assert!(is_shown(text), "{text:?}");
        }
        for text in [
            "a\u{200d}b",
            "a\u{200c}b",
            "\u{200d}👍",
            "👍\u{200d}",
            "👍\u{200d}\u{200d}👍",
            "می\u{200c}",
            "cat\u{200f}.exe", // Nothing is written from the right there.
            "\u{200f}",
            "a\u{202e}b",
            "שלום\u{202e}gpj.exe",
            "a\u{2066}b",
            "\u{fe0f}",
            "a\u{e0041}",
            "\u{2800}",
            "a\u{3164}b",
            "a\u{feff}",
            "a\u{ad}b",
            "a\nb",
            "a\u{e000}",
            "\u{378}",
        ] {
            assert!(!is_shown(text), "{text:?}");
        }
    }

    #[test]
    fn a_text_of_marks_and_selectors_shows_nothing() {
        for text in ["", " ", "\u{301}", "\u{fe0f}", "\u{20e3}", "\u{2800}", "\u{3164} \u{ad}"] {
            assert!(!shows_something(text), "{text:?}");
        }
        for text in ["a", "👍", "\u{301}a", "ж", "!", "\u{1fae8}"] {
            assert!(shows_something(text), "{text:?}");
        }
    }
}
