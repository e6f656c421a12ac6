//! The JSON form of the four messages that hold a oneof, written so that one pass suffices: the key
//! names the variant, its value is read straight into it. serde's `flatten` would buffer every value
//! first, on the hottest path there is.
//!
//! A key that this version does not know is skipped without being kept. Two variants in one message
//! are an error, for a frame asks one thing; so is a field that stands there twice, as in any message.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::object;
use super::v1::{ClientFrame, Event, Reply, ServerFrame, client_frame, event, reply, server_frame};

/// What is wrong with a message of two variants.
pub const TWO_KINDS: &str = "two kinds in one frame";

macro_rules! oneof {
    ($message:ident [$($field:ident),*] $slot:ident: $of:path [$($key:ident => $variant:ident),*]) => {
        impl Serialize for $message {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use $of as Of;
                let mut map = serializer.serialize_map(None)?;
                $(map.serialize_entry(stringify!($field), &self.$field)?;)*
                match &self.$slot {
                    $(Some(Of::$variant(value)) => map.serialize_entry(stringify!($key), value)?,)*
                    None => {}
                }
                map.end()
            }
        }

        impl<'de> Deserialize<'de> for $message {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use $of as Of;

                #[derive(Deserialize)]
                #[serde(field_identifier)]
                #[expect(non_camel_case_types, reason = "the keys, as they are written")]
                enum Key {
                    $($field,)*
                    $($key,)*
                    #[serde(other)]
                    unknown,
                }

                struct Fields;

                impl<'de> Visitor<'de> for Fields {
                    type Value = $message;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$message, A::Error> {
                        let mut made = $message::default();
                        $(let mut $field = None;)*
                        while let Some(key) = map.next_key()? {
                            match key {
                                $(Key::$field => {
                                    if $field.replace(map.next_value()?).is_some() {
                                        return Err(A::Error::duplicate_field(stringify!($field)));
                                    }
                                })*
                                $(Key::$key => {
                                    let value = map.next_value_seed(object())?;
                                    if made.$slot.replace(Of::$variant(value)).is_some() {
                                        return Err(A::Error::custom(TWO_KINDS));
                                    }
                                })*
                                Key::unknown => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        $(made.$field = $field.unwrap_or_default();)*
                        Ok(made)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

oneof!(ClientFrame [id] request: client_frame::Request [
    register => Register, login => Login, authenticate => Authenticate, logout => Logout,
    create_room => CreateRoom, list_rooms => ListRooms, join => Join, leave => Leave, post => Post,
    history => History, subscribe => Subscribe, unsubscribe => Unsubscribe, ping => Ping,
    edit => Edit, delete => Delete, moderate => Moderate, set_room => SetRoom,
    react => React, unreact => Unreact, pin => Pin, unpin => Unpin, pins => Pins,
    open_direct => OpenDirect, contacts => Contacts, set_contacts => SetContacts,
    read => Read, unread => Unread, set_level => SetLevel,
    typing => Typing, members => Members, make_room_link => MakeRoomLink,
    list_room_links => ListRoomLinks, end_room_link => EndRoomLink, join_by_link => JoinByLink,
    list_words => ListWords, report => Report, list_reports => ListReports,
    settle_report => SettleReport, list_audit => ListAudit, block => Block, unblock => Unblock,
    list_blocked => ListBlocked,
    list_sessions => ListSessions, end_session => EndSession, change_password => ChangePassword,
    reset_password => ResetPassword, invite_people => InvitePeople,
    end_invitations => EndInvitations, delete_account => DeleteAccount,
    enter_as_guest => EnterAsGuest, set_avatar => SetAvatar, set_room_avatar => SetRoomAvatar,
    search => Search, list_held => ListHeld, settle_held => SettleHeld,
    room_defaults => RoomDefaults, set_room_defaults => SetRoomDefaults,
    list_standings => ListStandings
]);

oneof!(ServerFrame [] frame: server_frame::Frame [
    welcome => Welcome, reply => Reply, event => Event, goodbye => Goodbye, left => Left,
    opened => Opened, read => Read, here => Here,
    held_post => HeldPost, unheld => Unheld, invited => Invited, membership => Membership
]);

oneof!(Reply [re] outcome: reply::Outcome [
    rejected => Rejected, session => Session, rooms => Rooms, joined => Joined, left => Left,
    posted => Posted, page => Page, subscribed => Subscribed, done => Done, pong => Pong,
    applied => Applied, words => Words, reported => Reported, reports => Reports,
    audit => Audit, blocked => Blocked,
    contacts => Contacts, unread => Unread, members => Members,
    room_link => RoomLink, room_links => RoomLinks,
    sessions => Sessions, invitation => Invitation, found => Found,
    held => Held, held_posts => HeldPosts, unheld => Unheld,
    room_defaults => RoomDefaults, standings => Standings
]);

oneof!(Event [room, seq, prev, at] what: event::What [
    message => Message, joined => Joined, left => Left, created => Created,
    edited => Edited, deleted => Deleted, moderated => Moderated, set => Set,
    reaction => Reaction, pinned => Pinned
]);
