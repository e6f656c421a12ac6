//! Names and texts as types: one that exists is valid (parse, don't validate).

pub mod looks;
pub mod shown;
mod words;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use crate::limits::{
    BODY_LEN_MAX, ORIGIN_ID_LEN_MAX, REACTION_LEN_MAX, ROOM_NAME_CHARS_MAX, TOPIC_LEN_MAX,
    USERNAME_LEN_MAX, USERNAME_LEN_MIN,
};
use crate::rejection::Rejection;
use shown::{is_shown, shows_something};
use unicode_normalization::UnicodeNormalization as _;
pub use words::Words;

/// An account's name: 2–32 bytes of `a-z A-Z 0-9 . _ -`, beginning with a letter or digit.
/// Two names that differ in case only are the same account (`fold`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(Arc<str>);

/// In place of the name of one who is named no more. Nobody can be called so: no name begins so.
const GONE: &str = ".gone";

impl Username {
    /// In place of the name of one who is named no more.
    pub fn gone() -> Self {
        Self(GONE.into())
    }

    /// Whether it stands in the place of a name.
    pub fn is_gone(&self) -> bool {
        &*self.0 == GONE
    }

    /// A name as it was kept: one that somebody has, or what stands in the place of one.
    pub fn stored(text: &str) -> Result<Self, Rejection> {
        if text == GONE { Ok(Self::gone()) } else { Self::parse(text) }
    }

    /// Refuses what the type's comment does not allow.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let fits = (USERNAME_LEN_MIN..=USERNAME_LEN_MAX).contains(&text.len());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if fits && begins && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(Rejection::BadUsername)
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which it is unique.
    pub fn fold(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// A room's name: 1–64 characters that show, no space at either end and no two in a row, each word of
/// one script, at most four marks on a letter. Composed (NFC), so that one name has one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Composes and makes spaces plain, then refuses what the type's comment does not allow.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        // What is far too long is not looked at closer.
        let hides = |c: char| c.is_control() || looks::is_hidden(c) || looks::is_nobodys(c);
        if text.len() > ROOM_NAME_CHARS_MAX * 64 || text.trim().chars().any(hides) {
            return Err(Rejection::BadRoomName);
        }
        let text = looks::composed(text);
        let fair = shows_something(&text)
            && looks::is_of_one_script(&text)
            && looks::is_modestly_marked(&text);
        if fair { Self::stored(&text) } else { Err(Rejection::BadRoomName) }
    }

    /// A name that an earlier build took, by rules that may have been less strict: what is on disk
    /// stays what it is.
    pub fn stored(text: &str) -> Result<Self, Rejection> {
        let count = text.chars().take(ROOM_NAME_CHARS_MAX + 1).count();
        if (1..=ROOM_NAME_CHARS_MAX).contains(&count) && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(Rejection::BadRoomName)
        }
    }

    /// Of a direct room: the names of the two, who made it first. Longer than others by one character
    /// at most.
    pub fn of_two(maker: &Username, other: &Username) -> Self {
        Self([maker.as_str(), other.as_str()].join(" ").into())
    }

    /// A text that `of_two` gave.
    pub fn parse_two(text: &str) -> Result<Self, Rejection> {
        let (maker, other) = text.split_once(' ').ok_or(Rejection::BadRoomName)?;
        Ok(Self::of_two(&Username::stored(maker)?, &Username::stored(other)?))
    }

    /// The same of a direct room, when these are named no more; `None` where it names none of them.
    #[must_use]
    pub fn without(&self, is_gone: impl Fn(&str) -> bool) -> Option<Self> {
        let (maker, other) = self.0.split_once(' ')?;
        let [maker_gone, other_gone] = [is_gone(maker), is_gone(other)];
        let name = |gone: bool, name: &str| {
            let kept = Username::stored(name).ok().filter(|_| !gone);
            kept.unwrap_or_else(Username::gone)
        };
        (maker_gone || other_gone)
            .then(|| Self::of_two(&name(maker_gone, maker), &name(other_gone, other)))
    }

    /// The name as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The keys under which it is unique: two names that share one look alike.
    pub fn keys(&self) -> [String; 2] {
        looks::keys(&self.0)
    }
}

/// What names are looked for by: a part of one, whatever its case, marks and compatibility forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePart(String);

impl NamePart {
    /// Nothing for an empty text; refused where it is longer than a name, or nothing of it shows.
    pub fn parse(text: &str) -> Result<Option<Self>, Rejection> {
        if text.chars().count() > ROOM_NAME_CHARS_MAX {
            return Err(Rejection::BadArgument);
        }
        let part = looks::plain(&looks::composed(text));
        match part.is_empty() {
            true if text.is_empty() => Ok(None),
            true => Err(Rejection::BadArgument),
            false => Ok(Some(Self(part))),
        }
    }

    /// Whether a name has it.
    pub fn is_in(&self, name: &str) -> bool {
        if !name.is_ascii() {
            return looks::plain(name).contains(&self.0);
        }
        // Most names; nothing is made of them. Where this is in none it is longer than some.
        let (part, mut parts) = (self.0.as_bytes(), name.as_bytes().windows(self.0.len()));
        parts.any(|one| one.eq_ignore_ascii_case(part))
    }
}

/// What a room is about: one line of at most `TOPIC_LEN_MAX` bytes that show, empty for none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic(Arc<str>);

impl Default for Topic {
    fn default() -> Self {
        Self("".into())
    }
}

impl Topic {
    /// Trims, then refuses what the type's comment does not allow.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let text = text.trim();
        if is_shown(text) { Self::stored(text) } else { Err(Rejection::BadTopic) }
    }

    /// A topic that an earlier build took, by rules that may have been less strict.
    pub fn stored(text: &str) -> Result<Self, Rejection> {
        let fits = text.len() <= TOPIC_LEN_MAX && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(Rejection::BadTopic) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one answers a message with instead of words: an emoji or a short text of 1 to
/// `REACTION_LEN_MAX` bytes that show, without spaces. Composed (NFC), so that one reaction has one
/// spelling; what joins or chooses a form is taken where it does (`shown`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reaction(Arc<str>);

impl Reaction {
    /// Composes, then refuses what the type's comment does not allow.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        // What is far too long is not looked at closer.
        let spaces = text.len() > REACTION_LEN_MAX * 4 || text.contains(char::is_whitespace);
        if spaces || !is_shown(text) || !shows_something(text) {
            return Err(Rejection::BadReaction);
        }
        Self::stored(&text.nfc().collect::<String>())
    }

    /// A reaction that an earlier build took, by rules that may have been less strict: it can be taken
    /// back as it was given.
    pub fn stored(text: &str) -> Result<Self, Rejection> {
        let fits = (1..=REACTION_LEN_MAX).contains(&text.len());
        if fits && !text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            Ok(Self(text.into()))
        } else {
            Err(Rejection::BadReaction)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message's text: up to `BODY_LEN_MAX` bytes of UTF-8, kept as it came, and blank only beside files.
/// Or what stands in the place of one that was erased, which is another thing than a blank one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(Option<Box<str>>);

impl Body {
    /// Refuses an empty text and one that is too long.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, Rejection> {
        let text = text.into();
        if text.is_empty() { Err(Rejection::EmptyBody) } else { Self::beside_files(text) }
    }

    /// The text of a message that carries files: it may be blank. Refuses one that is too long.
    pub fn beside_files(text: impl Into<Box<str>>) -> Result<Self, Rejection> {
        let text = text.into();
        if text.len() > BODY_LEN_MAX { Err(Rejection::BodyTooLong) } else { Ok(Self(Some(text))) }
    }

    /// In place of a text that was deleted: what is shown of such a message. No post can have it.
    pub fn erased() -> Self {
        Self(None)
    }

    /// Whether it stands for a text that was deleted.
    pub fn is_erased(&self) -> bool {
        self.0.is_none()
    }

    /// Whether whoever said it left it blank. One that was erased is not.
    pub fn is_blank(&self) -> bool {
        self.0.as_deref() == Some("")
    }

    /// The text; empty where it is blank, and where it was erased.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// The sender's own id of a message: 1–64 bytes of visible ASCII, opaque to the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginId(Box<str>);

impl OriginId {
    /// Refuses what the type's comment does not allow.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, Rejection> {
        let text = text.into();
        if (1..=ORIGIN_ID_LEN_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic())
        {
            Ok(Self(text))
        } else {
            Err(Rejection::BadOriginId)
        }
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_is_found_whatever_its_case_and_marks() {
        let has = |part: &str, name: &str| {
            NamePart::parse(part).unwrap().is_some_and(|part| part.is_in(name))
        };
        for (part, name) in [
            ("gar", "Garden"),
            ("DEN", "garden"),
            ("e h", "The house"),
            (" the   house ", "The house"),
            ("cafe", "Caf\u{e9} Noir"),
            ("caf\u{e9}", "the cafe"),
            ("\u{6771}\u{4eac}", "\u{6771}\u{4eac} tea"),
            ("\u{ff34}ea", "tea"),
            ("garden", "garden"),
        ] {
            assert!(has(part, name), "{part:?} in {name:?}");
        }
        for (part, name) in [("gardens", "garden"), ("tea", "t ea"), ("\u{6771}", "garden")] {
            assert!(!has(part, name), "{part:?} in {name:?}");
        }
        assert_eq!(NamePart::parse(""), Ok(None));
        for nothing in [" ", "\u{200b}", "\u{301}"] {
            assert_eq!(NamePart::parse(nothing), Err(Rejection::BadArgument), "{nothing:?}");
        }
        let long = |len| NamePart::parse(&"x".repeat(len)).map(|part| part.is_some());
        assert_eq!(long(ROOM_NAME_CHARS_MAX), Ok(true));
        assert_eq!(long(ROOM_NAME_CHARS_MAX + 1), Err(Rejection::BadArgument));
    }

    #[test]
    fn a_username_is_two_to_thirty_two_plain_characters() {
        let long = "a".repeat(USERNAME_LEN_MAX);
        for name in ["ab", "A.b_c-d", "0x", "a.", &long] {
            assert_eq!(Username::parse(name).unwrap().as_str(), name);
        }
        let longer = "a".repeat(USERNAME_LEN_MAX + 1);
        for name in ["", "a", ".ab", "-ab", "_ab", "a b", "ab\n", "zoë", "a\u{200b}b", &longer] {
            assert_eq!(Username::parse(name), Err(Rejection::BadUsername), "{name:?}");
        }
        let (upper, lower) = (Username::parse("Ada").unwrap(), Username::parse("ada").unwrap());
        assert!(upper != lower && upper.fold() == lower.fold());
    }

    #[test]
    fn a_room_name_is_one_to_sixty_four_visible_characters() {
        let long = "ж".repeat(ROOM_NAME_CHARS_MAX);
        for name in [
            "a",
            "Tea & biscuits",
            "Füße",
            "部屋",
            "Tシャツ好き",
            "чай и tea",
            "ไทย",
            "हिन्दी चर्चा",
            "עברית",
            "مرحبا",
            "❤️ 2024",
            "🎉",
            &long,
        ] {
            assert_eq!(RoomName::parse(name).unwrap().as_str(), name);
        }
        for (given, kept) in [
            ("  tea \n", "tea"),
            ("tea \u{a0}\u{3000} time", "tea time"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("\u{212b}ngstrom", "\u{c5}ngstrom"),
        ] {
            assert_eq!(RoomName::parse(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn a_room_name_that_hides_or_pretends_something_is_refused() {
        let longer = "ж".repeat(ROOM_NAME_CHARS_MAX + 1);
        let longest = "x".repeat(1 << 16);
        for name in [
            "",
            "   ",
            "a\tb",
            "a\u{0}b",
            "a\u{202e}b", // Turns the direction.
            "a\u{2067}b",
            "a\u{61c}b",
            "a\u{feff}b", // Shows nothing.
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{ad}b",
            "a\u{3164}b",
            "\u{e0061}\u{e0062}", // Tags.
            "a\u{2028}b",         // Ends a line.
            "a\u{e000}b",         // Nobody's.
            "a\u{ffff}b",
            "a\u{10fffd}",
            "\u{2800}", // Blank signs.
            "Mall\u{2800}",
            "Mall\u{1d159}",
            "\u{fffc}",
            "\u{fe0f}",
            "\u{301}",
            "\u{378}",                              // Not assigned.
            "p\u{430}ypal",                         // A Cyrillic letter among Latin ones.
            "\u{3bf}pen",                           // A Greek one.
            "a\u{300}\u{301}\u{302}\u{303}\u{304}", // Climbs over the lines.
            &longer,
            &longest,
        ] {
            assert_eq!(RoomName::parse(name), Err(Rejection::BadRoomName), "{name:?}");
        }
    }

    #[test]
    fn a_direct_room_is_named_after_its_two_however_long_their_names_are() {
        let (one, other) = ("a".repeat(USERNAME_LEN_MAX), "b".repeat(USERNAME_LEN_MAX));
        let parse = |name: &str| Username::parse(name).unwrap();
        let name = RoomName::of_two(&parse(&one), &parse(&other));
        assert_eq!(RoomName::parse_two(name.as_str()), Ok(name));
        for text in ["", "ada", "ada ", " ada", "a da", "ada b\u{202e}en", "ada ben eve"] {
            assert!(RoomName::parse_two(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_stands_for_a_name_is_nobodys_and_takes_its_place_in_a_direct_rooms() {
        let gone = Username::gone();
        assert_eq!(Username::parse(gone.as_str()), Err(Rejection::BadUsername));
        assert_eq!(Username::stored(gone.as_str()), Ok(gone.clone()));
        assert!(gone.is_gone() && Username::stored("gone").is_ok_and(|name| !name.is_gone()));
        assert_eq!(Username::stored(".gon"), Err(Rejection::BadUsername));
        let parse = |name: &str| Username::parse(name).unwrap();
        let name = RoomName::of_two(&parse("ada"), &parse("ben"));
        let without = |gone: &str| name.without(|name| name == gone);
        assert_eq!(without("eve"), None);
        assert_eq!(without("ada").unwrap().as_str(), ".gone ben");
        let none = without("ben").unwrap().without(|name| name == "ada").unwrap();
        assert_eq!(none.as_str(), ".gone .gone");
        assert_eq!(RoomName::parse_two(none.as_str()), Ok(none));
    }

    #[test]
    fn a_topic_is_one_line_up_to_its_limit() {
        let long = "x".repeat(TOPIC_LEN_MAX);
        for text in [
            "",
            "Tea & biscuits",
            "部屋",
            "👨\u{200d}👩\u{200d}👧",
            "می\u{200c}خواهم",
            &long[1..],
            &long,
        ] {
            assert_eq!(Topic::parse(text).unwrap().as_str(), text);
        }
        for text in ["a\nb", "a\u{202e}b", "\u{2800}", "a\u{3164}b", &"x".repeat(TOPIC_LEN_MAX + 1)]
        {
            assert_eq!(Topic::parse(text), Err(Rejection::BadTopic), "{text:?}");
        }
        assert_eq!(
            Topic::stored("a\u{3164}b").unwrap().as_str(),
            "a\u{3164}b",
            "what is kept stays"
        );
    }

    #[test]
    fn a_reaction_is_up_to_sixty_four_bytes_that_show() {
        let long = "x".repeat(REACTION_LEN_MAX);
        for text in ["👍", "+1", "👩\u{200d}🚀", "❤\u{fe0f}", "да", &long[1..], &long] {
            assert_eq!(Reaction::parse(text).unwrap().as_str(), text);
        }
        let longer = "x".repeat(REACTION_LEN_MAX + 1);
        for text in ["", " ", "a b", "a\n", "\u{200d}👍", "👍\u{200d}", "a\u{202e}b", &longer] {
            assert_eq!(Reaction::parse(text), Err(Rejection::BadReaction), "{text:?}");
        }
        for hidden in [
            "\u{3164}",
            "\u{ad}",
            "\u{61c}",
            "\u{34f}",
            "\u{fe0f}",
            "\u{115f}",
            "\u{e0041}",
            "\u{2800}",
            "\u{301}",
            "\u{378}",
        ] {
            assert_eq!(Reaction::parse(hidden), Err(Rejection::BadReaction), "{hidden:?}");
        }
        let (composed, apart) = (Reaction::parse("\u{e9}"), Reaction::parse("e\u{301}"));
        assert!(composed.is_ok() && composed == apart, "one spelling");
        assert_eq!(
            Reaction::stored("\u{2800}").unwrap().as_str(),
            "\u{2800}",
            "what is kept stays"
        );
    }

    #[test]
    fn a_body_is_kept_as_it_came_up_to_its_limit() {
        for text in
            ["x", " ", "\u{0}", "a\nb", &"x".repeat(BODY_LEN_MAX - 1), &"x".repeat(BODY_LEN_MAX)]
        {
            assert_eq!(Body::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(Body::parse(""), Err(Rejection::EmptyBody));
        assert_eq!(Body::parse("x".repeat(BODY_LEN_MAX + 1)), Err(Rejection::BodyTooLong));
        let bytes_count = "ж".repeat(BODY_LEN_MAX / 2 + 1);
        assert_eq!(Body::parse(bytes_count), Err(Rejection::BodyTooLong), "bytes, not characters");
        let longer = "x".repeat(BODY_LEN_MAX + 1);
        assert_eq!(Body::beside_files(longer), Err(Rejection::BodyTooLong));
        assert_eq!(Body::beside_files("x"), Body::parse("x"));
    }

    #[test]
    fn a_blank_text_is_not_one_that_was_erased() {
        let (blank, erased) = (Body::beside_files("").unwrap(), Body::erased());
        assert_ne!(blank, erased);
        assert_eq!((blank.is_blank(), blank.is_erased()), (true, false));
        assert_eq!((erased.is_blank(), erased.is_erased()), (false, true));
        assert_eq!((blank.as_str(), erased.as_str()), ("", ""));
        let said = Body::parse(" ").unwrap();
        assert!(!said.is_blank() && !said.is_erased());
    }

    #[test]
    fn an_origin_id_is_one_to_sixty_four_visible_ascii_characters() {
        let long = "~".repeat(ORIGIN_ID_LEN_MAX);
        for id in ["!", "~", "550e8400-e29b-41d4-a716-446655440000", &long] {
            assert_eq!(OriginId::parse(id).unwrap().as_str(), id);
        }
        for id in ["", " ", "a b", "a\u{7f}", "ä", &"x".repeat(ORIGIN_ID_LEN_MAX + 1)] {
            assert_eq!(OriginId::parse(id), Err(Rejection::BadOriginId), "{id:?}");
        }
    }
}
