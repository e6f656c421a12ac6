//! A room's word filter: which words may not be said in it, and whether a text says one.
//!
//! Neighbours: a setting of the room like others; the shard asks it of every post and edit of those
//! who do not keep order. What counts as the same word is `looks.rs`'s to say.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::looks::{is_control, plain};
use crate::limits::{FILTER_WORD_LEN_MAX, FILTER_WORDS_MAX};
use crate::rejection::Rejection;

/// The words that may not be said. An entry stands for a whole word; with `*` before or behind it,
/// for any that ends or begins so, and with both, for any text that has it somewhere, which is what
/// languages without spaces need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Option<Arc<Filter>>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    /// As they were given.
    given: Vec<Box<str>>,
    /// Whole words, plain and sorted.
    whole: Vec<Box<str>>,
    /// What words begin with, end with, and have somewhere.
    begins: Vec<Box<str>>,
    ends: Vec<Box<str>>,
    inside: Vec<Box<str>>,
}

impl Words {
    /// Refuses too many, too long ones, and what has no letter to compare.
    pub fn parse(list: Vec<String>) -> Result<Self, Rejection> {
        if list.is_empty() {
            return Ok(Self(None));
        }
        if list.len() > FILTER_WORDS_MAX {
            return Err(Rejection::BadWords);
        }
        let mut filter = Filter::default();
        for entry in list {
            let entry = entry.trim();
            let inner = entry.trim_start_matches('*');
            let any_before = inner.len() < entry.len();
            let bare = inner.trim_end_matches('*');
            let any_behind = bare.len() < inner.len();
            let word = plain(bare);
            let is_one = !word.is_empty() && word.chars().all(is_of_word);
            if entry.len() > FILTER_WORD_LEN_MAX || !is_one {
                return Err(Rejection::BadWords);
            }
            let kind = match (any_before, any_behind) {
                (false, false) => &mut filter.whole,
                (false, true) => &mut filter.begins,
                (true, false) => &mut filter.ends,
                (true, true) => &mut filter.inside,
            };
            kind.push(word.into());
            filter.given.push(entry.into());
        }
        filter.whole.sort_unstable();
        Ok(Self(Some(Arc::new(filter))))
    }

    /// As they were given.
    pub fn list(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.as_ref().map_or(&[][..], |filter| &filter.given).iter().map(|word| &**word)
    }

    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a text says one of them.
    pub fn refuse(&self, text: &str) -> bool {
        let Some(filter) = &self.0 else { return false };
        if filter.is_said_in(&plain(text)) {
            return true;
        }
        // What is no part of a line is shown as nothing or as a space: neither hides a word.
        let breaks = |c| is_control(c) || matches!(c, '\u{2028}' | '\u{2029}');
        text.contains(breaks) && filter.is_said_in(&plain(&text.replace(breaks, " ")))
    }

    /// About what they take in memory.
    pub fn bytes(&self) -> usize {
        self.list().map(|word| 2 * (size_of::<Box<str>>() + word.len())).sum()
    }
}

impl Filter {
    /// Whether a plain text says one of them.
    fn is_said_in(&self, text: &str) -> bool {
        if self.inside.iter().any(|part| text.contains(&**part)) {
            return true;
        }
        let mut words = text.split(|c| !is_of_word(c)).filter(|word| !word.is_empty());
        words.any(|word| {
            self.whole.binary_search_by(|whole| (**whole).cmp(word)).is_ok()
                || self.begins.iter().any(|part| word.starts_with(&**part))
                || self.ends.iter().any(|part| word.ends_with(&**part))
        })
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::format;
    use alloc::vec;

    use super::*;

    fn words(list: &[&str]) -> Words {
        Words::parse(list.iter().map(|word| (*word).to_owned()).collect()).unwrap()
    }

    #[test]
    fn a_word_is_refused_as_a_whole_and_parts_where_a_star_says_so() {
        let filter = words(&["spam", "eggs*", "*ware", "*ham*", "广告", "*广告*"]);
        for said in ["spam", "Buy SPAM!", "(spam)", "eggsalad", "malware", "a hamster", "看广告吧"]
        {
            assert!(filter.refuse(said), "{said}");
        }
        for said in ["spammer", "aspam", "goose-egg", "wares", "tea", ""] {
            assert!(!filter.refuse(said), "{said}");
        }
        assert!(!words(&[]).refuse("spam"));
    }

    #[test]
    fn tricks_do_not_pass_on_either_side() {
        let filter = words(&["Sp\u{e1}m"]);
        for said in ["spam", "S\u{200b}PAM", "s\u{440}a\u{301}m", "\u{ff53}pam", "sp\u{ad}am"] {
            assert!(filter.refuse(said), "{said:?}");
        }
    }

    #[test]
    fn a_control_neither_splits_a_word_nor_joins_two() {
        let filter = words(&["rose"]);
        for c in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32).chain(['\u{2028}']) {
            let breaks = matches!(c, '\t' | '\n' | '\r');
            assert_eq!(filter.refuse(&format!("ro{c}se")), !breaks, "{c:?}");
            for said in [format!("buy{c}rose"), format!("{c}rose"), format!("rose{c}s")] {
                assert!(filter.refuse(&said), "{said:?}");
            }
        }
        assert!(!filter.refuse("prim\u{ad}rose"), "a soft hyphen breaks no word");
    }

    #[test]
    fn a_list_is_taken_up_to_its_limits_and_not_beyond() {
        let many = |count| (0..count).map(|number| format!("word{number}")).collect::<Vec<_>>();
        assert!(Words::parse(many(FILTER_WORDS_MAX - 1)).is_ok());
        assert_eq!(
            Words::parse(many(FILTER_WORDS_MAX)).map(|it| it.list().len()),
            Ok(FILTER_WORDS_MAX)
        );
        assert_eq!(Words::parse(many(FILTER_WORDS_MAX + 1)), Err(Rejection::BadWords));
        let long = |len| Words::parse(vec!["x".repeat(len)]);
        assert!(long(FILTER_WORD_LEN_MAX - 1).is_ok() && long(FILTER_WORD_LEN_MAX).is_ok());
        assert_eq!(long(FILTER_WORD_LEN_MAX + 1), Err(Rejection::BadWords));
        for none in ["", " ", "*", "***", "two words", "\u{200b}", "a.b", "\u{301}"] {
            assert_eq!(Words::parse(vec![none.to_owned()]), Err(Rejection::BadWords), "{none:?}");
        }
    }
}
