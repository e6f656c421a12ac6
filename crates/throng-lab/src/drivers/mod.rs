//! A protocol from the client's side, without io: actions go in and bytes come out; bytes go in and
//! observations come out.
//!
//! Neighbours: the runner owns the sockets and decides what a user does; the ledger judges what was
//! observed. A driver knows neither; the scenario knows no driver. `native` speaks Throng's own
//! protocol in its three dresses, `rest` posts over HTTP, `carrier` sends or fetches one file. A driver never opens a socket, reads a clock or rolls dice: its
//! seed is passed in.

mod carrier;
mod memory;
mod native;
mod rest;

use std::cell::RefCell;
use std::rc::Rc;

pub use carrier::{Carried, Carrier};
pub use memory::Memory;
pub use native::{Dress, Native};
pub use rest::Rest;
pub use throng_wire::native::v1::Limits;

use crate::traces::Trace;

/// What a user does. Rooms are the server's numbers.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Say who this is; the first on every connection.
    Authenticate {
        /// As an earlier session gave it.
        token: &'a str,
    },
    /// Say who this is by name and password; the first on a connection.
    Login {
        /// The account's name.
        name: &'a str,
        /// Its password.
        password: &'a str,
    },
    /// Make an account, and be it.
    Register {
        /// Its name.
        name: &'a str,
        /// Its password.
        password: &'a str,
    },
    /// Make a room and be its first member.
    CreateRoom {
        /// Its name.
        name: &'a str,
    },
    /// Make the room of two with this account, and be its first member.
    OpenDirect {
        /// The other's account.
        user: u64,
    },
    /// Give one's own message another text.
    Edit {
        /// Where.
        room: u32,
        /// The message's place.
        seq: u64,
        /// The new text.
        body: &'a str,
    },
    /// Take one's own message away.
    Delete {
        /// Where.
        room: u32,
        /// The message's place.
        seq: u64,
    },
    /// Answer a message with [`REACTION`].
    React {
        /// Where.
        room: u32,
        /// The message's place.
        seq: u64,
    },
    /// Put somebody out, or let him in again.
    Moderate {
        /// Of which room.
        room: u32,
        /// Whose account.
        user: u64,
        /// How.
        act: Act,
    },
    /// Become a member.
    Join {
        /// Of which room.
        room: u32,
    },
    /// Be a member no longer.
    Leave {
        /// Of which room.
        room: u32,
    },
    /// Let the room know that one types.
    Type {
        /// Where.
        room: u32,
    },
    /// Say something, and hear when it is durable or, if that is enough, taken.
    Post {
        /// Where.
        room: u32,
        /// The sender's own id.
        origin_id: &'a str,
        /// What.
        body: &'a str,
        /// A file of the sender's that goes with it.
        file: Option<&'a str>,
        /// Which ack is asked for.
        durable: bool,
        /// The ack is asked to say where this message's time went, where the protocol knows of that.
        trace: bool,
    },
    /// Hear a room, from a place on.
    Subscribe {
        /// Which room.
        room: u32,
        /// First what was told after this place; without it only what comes.
        from: Option<Position>,
    },
    /// Read a page of what was said after a place.
    History {
        /// Of which room.
        room: u32,
        /// After which place.
        after: u64,
        /// At most so many; 0 for the server's page.
        limit: u32,
    },
    /// Read the newest of what was said before a place, as one does who has just come.
    Latest {
        /// Of which room.
        room: u32,
        /// Before which place.
        before: u64,
        /// At most so many.
        limit: u32,
    },
    /// Read a page of who is in a room, with what their pictures are called.
    Members {
        /// Of which room.
        room: u32,
        /// Above this account's number.
        after: u64,
    },
    /// Have another picture stand for oneself; over a connection that [`Dress::of_pictures`] names.
    SetPicture {
        /// Its bytes, as PNG.
        picture: &'a [u8],
    },
    /// Fetch a picture; over such a connection too. To know its name is enough, nobody need be anybody.
    Picture {
        /// As [`Member`] names it.
        name: &'a str,
    },
    /// Ask for a sign of life.
    Ping,
}

/// What users of the lab answer messages with.
pub const REACTION: &str = "\u{1f44d}";

/// What is done to a member by who keeps order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Ends the membership.
    Kick,
    /// Ends it, for good.
    Ban,
    /// Lifts that.
    Unban,
}

impl Act {
    /// It ends a membership.
    pub fn removes(self) -> bool {
        self != Self::Unban
    }
}

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// Another text, by its sender.
    Edit,
    /// Taken away, by its sender.
    Delete,
    /// Answered with [`REACTION`].
    React,
}

/// What a message is by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// As it was sent.
    AsSent,
    /// As the edit at this place left it.
    Edited(u64),
    /// Gone; its place and number stay.
    Deleted,
}

/// Where a user has got to in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The server's epoch.
    pub epoch: u32,
    /// The place.
    pub seq: u64,
}

/// What a user sees.
#[derive(Debug)]
pub enum Observation<'a> {
    /// The server said hello; the user may act.
    Ready {
        /// Name and version of what answers.
        server: &'a str,
        /// With which places go.
        epoch: u32,
        /// What it allows its users, where it says so.
        limits: Option<&'a Limits>,
    },
    /// The answer to an action.
    Reply {
        /// What the action was given.
        tag: u32,
        /// What came of it.
        outcome: Outcome<'a>,
    },
    /// Something happened in a room.
    Event(Event<'a>),
    /// The account left this room by another connection; this one hears it no longer.
    Left {
        /// Which room.
        room: u32,
        /// The place of the leave.
        seq: u64,
        /// How it was put out, if it did not go by itself.
        removed: Option<Act>,
    },
    /// The server ends the connection.
    Goodbye {
        /// Why.
        code: u32,
        /// To be come back from.
        reconnect: bool,
    },
}

/// What came of an action.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// This is who the token belongs to.
    Session {
        /// The account; 0 where the protocol does not say.
        user: u64,
    },
    /// A member now.
    Joined {
        /// Of this room.
        room: u32,
        /// By the event at this place.
        seq: u64,
        /// Live events follow after this place.
        position: Position,
        /// Was one before.
        already: bool,
    },
    /// A member no longer.
    Left {
        /// Of this room.
        room: u32,
        /// By the event at this place.
        seq: u64,
    },
    /// The message has its place.
    Posted(Posted),
    /// A page of history, ascending.
    Page {
        /// Of this room.
        room: u32,
        /// The events.
        events: &'a [Event<'a>],
        /// There is more.
        more: bool,
    },
    /// A page of who is in a room, ascending by their numbers.
    Members {
        /// Who.
        members: &'a [Member<'a>],
        /// As the room was at this place, or at a later one.
        as_of: u64,
        /// There are more.
        more: bool,
    },
    /// A picture.
    Picture {
        /// How long it is.
        bytes: u64,
        /// It is what its name says.
        as_named: bool,
    },
    /// Everything told up to here has been sent; live events follow.
    Subscribed {
        /// The room.
        room: u32,
        /// Up to where.
        position: Position,
    },
    /// It has its place.
    Applied {
        /// Which.
        seq: u64,
        /// It was so before, and nothing was added.
        already: bool,
    },
    /// Done, nothing more to say.
    Done,
    /// Refused.
    Rejected {
        /// The code of the table.
        code: u32,
        /// Its name.
        name: &'a str,
        /// When to try again, where that is known.
        retry_after_ms: Option<u32>,
    },
}

/// One who is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The account.
    pub user: u64,
    /// What its picture is called; empty for none.
    pub picture: &'a str,
}

/// The acknowledgement of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// In which room.
    pub room: u32,
    /// Its place.
    pub seq: u64,
    /// Its number among the posts.
    pub n: u64,
    /// It had been said before under this `origin_id`.
    pub repeat: bool,
    /// It is in the log and synced.
    pub durable: bool,
    /// Where its time went in the server, if that was asked and told.
    pub trace: Option<Trace>,
}

/// One event of a room's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The room.
    pub room: u32,
    /// The place.
    pub seq: u64,
    /// The place of the pushed event before it.
    pub prev: u64,
    /// When it happened by the server's clock, in milliseconds since 1970.
    pub at: u64,
    /// What it calls those whom it names, as a hash: [`called`].
    pub names: u64,
    /// What happened.
    pub what: What<'a>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// Something was said.
    Posted {
        /// Number among the posts.
        n: u64,
        /// The account that said it.
        user: u64,
        /// Its own id for it.
        origin_id: &'a str,
        /// Hash of what was said, [`digest`], together with the files it carries: [`with_file`].
        digest: u64,
        /// What was done to it since.
        now: Now,
    },
    /// Something was done to a message.
    Changed {
        /// By this account.
        user: u64,
        /// The message's place.
        of: u64,
        /// What.
        change: Change,
        /// Of an edit, the hash of the new text.
        digest: u64,
    },
    /// Somebody was put out, or let in again.
    Moderated {
        /// By this account.
        by: u64,
        /// Whose account.
        user: u64,
        /// How.
        act: Act,
    },
    /// An account became a member.
    Joined {
        /// Which.
        user: u64,
    },
    /// An account left.
    Left {
        /// Which.
        user: u64,
    },
    /// The room came to be.
    Created,
}

/// A body as the ledger keeps it: the first eight bytes of its BLAKE3.
pub fn digest(body: &str) -> u64 {
    digest_of(body.as_bytes())
}

/// Any bytes, likewise.
pub fn digest_of(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// No name at all, and what the hash of names begins with: FNV-1a, of 64 bits.
pub const NAMELESS: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of what some are called, with one more: to be compared with what others were told, on the hot path.
pub fn called(sum: u64, name: &str) -> u64 {
    let one = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    // No name has this byte: two names are not the same two cut elsewhere.
    name.bytes().chain([0xff]).fold(sum, one)
}

/// A body's hash when it carries a file too: without it, or with another, it is another message.
pub fn with_file(digest: u64, id: &str, hash: &str) -> u64 {
    digest ^ digest_of(format!("{id} {hash}").as_bytes())
}

/// The peer does not speak the protocol; nothing more can be read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server broke the protocol: {0}")]
pub struct Broken(pub String);

/// One virtual user's protocol on one connection.
pub trait Driver: std::fmt::Debug {
    /// The first bytes of the connection. `Ready` follows when the server has answered.
    fn open(&mut self, out: &mut Vec<u8>);

    /// Whether the server speaks first; where it does not, the user may act at once.
    fn is_greeted(&self) -> bool {
        true
    }

    /// Whether what is said in rooms is told to this user.
    fn hears(&self) -> bool {
        true
    }

    /// Appends the bytes of an action; the tag comes back in its `Reply`.
    fn act(&mut self, action: &Action<'_>, out: &mut Vec<u8>) -> u32;

    /// Actions that were asked for and are not on their way yet, because the connection carries one at a time.
    fn waiting(&self) -> usize {
        0
    }

    /// The action whose bytes left last, of a connection that carries one at a time until its reply; `None` where
    /// each leaves as it is asked.
    fn under_way(&self) -> Option<u32> {
        None
    }

    /// Takes what one read returned, however it was cut; answers what the protocol itself asks for.
    fn receive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        observe: &mut dyn FnMut(Observation<'_>),
    ) -> Result<(), Broken>;
}

/// A driver for a new connection to `host` in this dress; `compressed`, it is to be told what is long in
/// short, where the dress knows of that.
pub fn driver(
    (dress, compressed): (Dress, bool),
    host: &Rc<str>,
    memory: &Rc<RefCell<Memory>>,
    seed: u64,
) -> Box<dyn Driver> {
    match dress {
        Dress::Rest => Box::new(Rest::new(Rc::clone(host))),
        Dress::WsJson | Dress::WsProtobuf | Dress::Raw => {
            let native = Native::new(dress, Rc::clone(host), Rc::clone(memory), seed);
            Box::new(if compressed { native.compressed() } else { native })
        }
    }
}
