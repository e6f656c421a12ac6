//! The JSON form of enum fields, which prost keeps as numbers: `"durable"`, `"kick"`, `"owner"`.
//! A name this version does not know becomes `UNKNOWN` and is for the server to refuse: what was
//! asked for is never silently replaced by something else.

use std::fmt;

use serde::{Deserializer, Serializer, de};

const UNKNOWN: i32 = -1;

/// Whether a field stands at its default and is left out.
pub fn is_unsaid<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

struct Name {
    expecting: &'static str,
    number: fn(&str) -> Option<i32>,
}

impl de::Visitor<'_> for Name {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of {}", self.expecting)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<i32, E> {
        Ok((self.number)(name).unwrap_or(UNKNOWN))
    }
}

macro_rules! names {
    ($($module:ident $of:ident [$($variant:ident = $name:literal),+];)+) => {$(
        pub mod $module {
            use super::{Deserializer, Name, Serializer};
            use crate::native::v1::$of;

            pub fn serialize<S: Serializer>(number: &i32, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(match $of::try_from(*number) {
                    $(Ok($of::$variant) => $name,)+
                    Err(_) => "unknown",
                })
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
                let number = |name: &str| match name {
                    $($name => Some($of::$variant as i32),)+
                    _ => None,
                };
                from.deserialize_str(Name { expecting: stringify!($module), number })
            }
        }
    )+};
}

names! {
    ack Ack [Durable = "durable", Accepted = "accepted"];
    room_kind RoomKind [Public = "public", Private = "private", Direct = "direct"];
    level Level [All = "all", Mentions = "mentions", Nothing = "nothing"];
    writers Writers [Everyone = "everyone", Shared = "shared", Nobody = "nobody"];
    act Act [
        None = "none", Kick = "kick", Ban = "ban", Unban = "unban", Mute = "mute",
        Unmute = "unmute", Voice = "voice", Unvoice = "unvoice", Invite = "invite",
        SetRole = "set_role", DeleteAll = "delete_all"
    ];
    role Role [
        None = "none", Visitor = "visitor", Member = "member", Moderator = "moderator",
        Owner = "owner"
    ];
    mark Mark [
        None = "none", Banned = "banned", Muted = "muted", Voiced = "voiced", Invited = "invited"
    ];
    speak Speak [None = "none", Everyone = "everyone", Members = "members", Voiced = "voiced"];
    history_for HistoryFor [
        None = "none", Members = "members", Joining = "joining", All = "all"
    ];
}
