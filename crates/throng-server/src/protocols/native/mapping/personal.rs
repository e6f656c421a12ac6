//! What accounts keep for themselves: the wire's enums and the domain's, each in one exhaustive `match`.
//!
//! Neighbours: `mapping.rs`, and REST, which asks with the same messages.

use throng_core::{Rejection, RoomId, Seq, UserId};
use throng_wire::native::v1::{self, client_frame::Request};

use crate::pages::{Here, RoomMember, RoomMembers, Unread, Unreads};
use crate::personal::{Level, Writers};
use crate::protocols::What;

use super::room_id;

/// What a request about oneself, or about who is where, means; and one for what is pinned.
pub fn asked(request: Request) -> Result<What, Rejection> {
    Ok(match request {
        Request::Pins(v1::Pins { room, after, limit }) => {
            What::Pins { room: room_id(room)?, after: super::pinned_after(after)?, limit }
        }
        Request::OpenDirect(v1::OpenDirect { user, name }) => {
            What::OpenDirect { target: super::moderation::target(user, name)? }
        }
        Request::Read(v1::Read { room, seq }) => {
            What::Read { room: room_id(room)?, seq: Seq::said(seq) }
        }
        Request::SetLevel(v1::SetLevel { room, level }) => {
            What::SetLevel { room: room_id(room)?, level: level_of(level)? }
        }
        Request::Typing(v1::Typing { room }) => What::Typing { room: room_id(room)? },
        Request::Members(v1::Members { room, after, limit }) => {
            What::Members { room: room_id(room)?, after, limit }
        }
        Request::Unread(v1::Unread { after, limit }) => What::Unread { after, limit },
        Request::Contacts(v1::Contacts {}) => What::Contacts,
        Request::SetContacts(v1::SetContacts { writers }) => {
            What::SetContacts { writers: writers_of(writers)? }
        }
        Request::RoomDefaults(v1::RoomDefaults {}) => What::RoomDefaults,
        Request::SetRoomDefaults(asked) => {
            What::SetRoomDefaults { defaults: super::defaults::said(&asked)? }
        }
        other => unreachable!("{other:?} is mapped elsewhere"),
    })
}

/// Who may write to one.
pub fn writers_of(writers: i32) -> Result<Writers, Rejection> {
    match v1::Writers::try_from(writers).map_err(|_| Rejection::BadArgument)? {
        v1::Writers::Everyone => Ok(Writers::Everyone),
        v1::Writers::Shared => Ok(Writers::Shared),
        v1::Writers::Nobody => Ok(Writers::Nobody),
    }
}

/// Who may write to the asker.
pub fn contacts(writers: Writers) -> v1::ContactsAre {
    let writers = match writers {
        Writers::Everyone => v1::Writers::Everyone,
        Writers::Shared => v1::Writers::Shared,
        Writers::Nobody => v1::Writers::Nobody,
    };
    v1::ContactsAre { writers: writers as i32 }
}

/// What of a room one wants to be told of.
pub fn level_of(level: i32) -> Result<Level, Rejection> {
    match v1::Level::try_from(level).map_err(|_| Rejection::BadArgument)? {
        v1::Level::All => Ok(Level::All),
        v1::Level::Mentions => Ok(Level::Mentions),
        v1::Level::Nothing => Ok(Level::Nothing),
    }
}

/// Who is in a room.
pub fn here(room: RoomId, here: &Here) -> v1::Here {
    let numbers = |users: &[UserId]| users.iter().map(|user| user.get()).collect();
    v1::Here {
        room: room.get(),
        members: here.members,
        here: here.here,
        users: numbers(&here.users),
        typing: here.typing,
        typists: numbers(&here.typists),
    }
}

/// A page of those who belong.
pub fn members(members: &RoomMembers) -> v1::MemberList {
    let member = |it: &RoomMember| v1::Member {
        user: Some(super::user(&it.author)),
        role: super::moderation::role(it.role) as i32,
        here: it.here,
        avatar: super::avatar(it.avatar),
        muted: it.muted,
        voiced: it.voiced,
    };
    v1::MemberList {
        room: members.room.get(),
        seq: members.seq.0,
        members: members.members.iter().map(member).collect(),
        more: members.more,
    }
}

/// A page of what was not read.
pub fn unread(unreads: &Unreads) -> v1::UnreadRooms {
    let room = |it: &Unread| v1::UnreadRoom {
        room: it.room.get(),
        seq: it.read.seq.0,
        n: it.read.n,
        unread: it.unread,
        mentions: it.mentions as u32,
        level: match it.level {
            Level::All => v1::Level::All,
            Level::Mentions => v1::Level::Mentions,
            Level::Nothing => v1::Level::Nothing,
        } as i32,
    };
    v1::UnreadRooms { rooms: unreads.rooms.iter().map(room).collect(), more: unreads.more }
}
