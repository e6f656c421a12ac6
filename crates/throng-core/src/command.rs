//! What a member asks of a room's order, and what came of it. Questions that read only (pages of
//! history, lists of rooms) do not pass through the order and are not commands.

use alloc::boxed::Box;

use crate::event::{Author, Extras};
use crate::file::Attachment;
use crate::id::{RoomId, Seq, Timestamp, UserId};
use crate::rejection::Rejection;
use crate::rights::{Act, Kind, Settings};
use crate::text::{Body, OriginId, Reaction, RoomName};

/// A command with the one who asks it; the unit a shard decides.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks; authenticated, and within its rate.
    pub from: Author,
    /// What is asked.
    pub command: Command,
}

/// What can be asked of a room's order.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make the room `room`; the number was reserved by the directory. The maker joins it.
    Create {
        /// The reserved number.
        room: RoomId,
        /// The reserved name.
        name: RoomName,
        /// For whom it is.
        kind: Kind,
        /// What it settles as its maker joins it, if anything; checked.
        settings: Option<Box<Settings>>,
    },
    /// Open the direct room of two, which is made if it is not there; the number was reserved for the
    /// two by the directory.
    Direct {
        /// The reserved number.
        room: RoomId,
        /// The other one.
        with: Author,
    },
    /// Become a member. Joining twice is answered alike and adds no event.
    Join {
        /// Which room.
        room: RoomId,
    },
    /// Be a member no longer.
    Leave {
        /// Which room.
        room: RoomId,
    },
    /// Forget the marks of a guest that has gone for good. No client asks it; the server does, when
    /// the guest's time to be remembered is over.
    Forget {
        /// Which room.
        room: RoomId,
    },
    /// Say something.
    Post {
        /// Where.
        room: RoomId,
        /// The sender's own id: the same one again gets the same ack and no second copy (I4).
        origin_id: Option<OriginId>,
        /// What; blank only where it carries files.
        body: Body,
        /// What few posts have; without `edited`.
        extras: Option<Box<Extras>>,
    },
    /// Change the text of a message.
    Edit {
        /// Where.
        room: RoomId,
        /// The message's place.
        of: Seq,
        /// The new text; a blank one is for messages that carry files.
        body: Body,
    },
    /// Take a message away.
    Delete {
        /// Where.
        room: RoomId,
        /// The message's place.
        of: Seq,
    },
    /// Give a message a reaction, or take one's own back.
    React {
        /// Where.
        room: RoomId,
        /// The message's place.
        of: Seq,
        /// Which.
        reaction: Reaction,
        /// Given, not taken back.
        on: bool,
    },
    /// Pin a message, or take it off.
    Pin {
        /// Where.
        room: RoomId,
        /// The message's place.
        of: Seq,
        /// Pinned, not taken off.
        on: bool,
    },
    /// Do something to somebody.
    Moderate {
        /// Where.
        room: RoomId,
        /// What.
        act: Act,
        /// To whom.
        who: Author,
    },
    /// Invite one who has brought a link of the asker. No client asks it; the server does, in the name of
    /// the link's maker.
    Admit {
        /// Where.
        room: RoomId,
        /// Whom.
        who: Author,
    },
    /// Let a guest in, where none of those from its address is banned.
    Enter {
        /// Where.
        room: RoomId,
        /// The other guests from there.
        beside: Box<[UserId]>,
    },
    /// Ban a guest, and have those go who are here from the same address.
    BanGuest {
        /// Where.
        room: RoomId,
        /// Whom.
        who: Author,
        /// The other guests from there.
        beside: Box<[Author]>,
    },
    /// Change the room's settings.
    Set {
        /// Which room.
        room: RoomId,
        /// What is changed; checked.
        settings: Box<Settings>,
    },
    /// Settle a post that waits.
    Held {
        /// In which room.
        room: RoomId,
        /// Its number among what waits.
        number: u64,
        /// How.
        verdict: Verdict,
    },
}

/// What becomes of a post that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its delay is over. No client asks it; the server does, in the name of its sender.
    Due,
    /// It is said before its delay is over.
    Pass,
    /// It is never said.
    Drop,
}

impl Command {
    /// A post that carries these files too.
    pub fn carry(&mut self, carried: Box<[Attachment]>) {
        if let Self::Post { extras, .. } = self {
            extras.get_or_insert_default().files = carried;
        }
    }

    /// The room whose order decides it.
    pub fn room(&self) -> RoomId {
        match self {
            Self::Create { room, .. }
            | Self::Direct { room, .. }
            | Self::Join { room }
            | Self::Leave { room }
            | Self::Forget { room }
            | Self::Post { room, .. }
            | Self::Edit { room, .. }
            | Self::Delete { room, .. }
            | Self::React { room, .. }
            | Self::Pin { room, .. }
            | Self::Moderate { room, .. }
            | Self::Admit { room, .. }
            | Self::Enter { room, .. }
            | Self::BanGuest { room, .. }
            | Self::Set { room, .. }
            | Self::Held { room, .. } => *room,
        }
    }

    /// Whether it counts as a send against its account's rate: whatever is told to a whole room.
    pub fn is_send(&self) -> bool {
        match self {
            Self::Create { .. }
            | Self::Direct { .. }
            | Self::Join { .. }
            | Self::Enter { .. }
            | Self::Leave { .. }
            | Self::Forget { .. }
            | Self::Admit { .. } => false,
            Self::Post { .. }
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::React { .. }
            | Self::Pin { .. }
            | Self::Moderate { .. }
            | Self::BanGuest { .. }
            | Self::Set { .. }
            | Self::Held { .. } => true,
        }
    }
}

/// What came of a command that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The room exists and its maker is a member.
    Created {
        /// The place of the maker's `Joined`: the room's head.
        seq: Seq,
    },
    /// The asker is a member.
    Joined {
        /// The place of the `Joined` event (for a member already: of the first one known).
        seq: Seq,
        /// The asker was a member before, and nothing was added.
        already: bool,
    },
    /// The asker is not a member any more.
    Left {
        /// The place of the `Left` event; nothing after it is for the asker.
        seq: Seq,
    },
    /// The message has its place.
    Posted {
        /// Its place among the room's events.
        seq: Seq,
        /// Its number among the room's posts.
        n: u64,
        /// When it was decided, wall clock.
        at: Timestamp,
        /// The same `origin_id` was posted before; these are the first one's place and time.
        repeat: bool,
    },
    /// It is so: edited, deleted, reacted to, pinned, moderated, set.
    Applied {
        /// The place of its event; when `already`, the room's newest place.
        seq: Seq,
        /// When it was decided.
        at: Timestamp,
        /// It was so before, and nothing was added.
        already: bool,
    },
    /// The message waits for its room's delay to be over, and has no place before.
    Held {
        /// Its number among what waits.
        number: u64,
        /// When it will be decided again, unless it is settled before.
        until: Timestamp,
        /// The same `origin_id` waits already; this is the first one's.
        repeat: bool,
    },
    /// The message waits no longer.
    Unheld {
        /// Its number among what waited.
        number: u64,
        /// Whose it is.
        sender: UserId,
        /// What came of it.
        came: Came,
    },
}

/// What came of a post that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It has its place.
    Posted {
        /// Which.
        seq: Seq,
        /// The same `origin_id` had been posted meanwhile, and this is the place of that one.
        repeat: bool,
    },
    /// The rules of that moment did not allow it any more.
    Refused(Rejection),
    /// It was taken away, and was never said.
    Dropped,
}
