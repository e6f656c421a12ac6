//! What has happened in a room, at a place of its order. An event is immutable: edits and deletes
//! will be events of the same order.

use crate::id::{RoomId, Seq, Timestamp, UserId};
use crate::text::{Body, OriginId, RoomName, Username};

/// Who did it, with the name held at that time, so that a page of history needs no look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The account.
    pub id: UserId,
    /// Its name when it spoke.
    pub name: Username,
}

/// One durable event of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The room whose order this is a place in.
    pub room: RoomId,
    /// The place; dense from 1.
    pub seq: Seq,
    /// The place of the pushed event before this one; a client that has seen less has a gap.
    pub prev: Seq,
    /// Whether this event is pushed to those who listen. Depends on the room alone: membership
    /// events of a room above `Limits::pushed_members_max` are kept but not pushed.
    pub pushed: bool,
    /// The server's wall clock when it was decided.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The room came to be; always at `Seq` 1.
    Created {
        /// Who made it (a `Joined` of the same account follows).
        by: Author,
        /// Its name.
        name: RoomName,
    },
    /// An account became a member.
    Joined {
        /// The new member.
        who: Author,
    },
    /// A member left.
    Left {
        /// Who is a member no longer.
        who: Author,
    },
    /// A message was posted.
    Posted {
        /// The post's number among the room's posts; dense from 1.
        n: u64,
        /// The sender.
        author: Author,
        /// The sender's own id, for retries and local echo.
        origin_id: Option<OriginId>,
        /// The text.
        body: Body,
    },
}
