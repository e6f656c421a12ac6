//! Ways to speak, each a state machine: bytes go in; requests, writes and a farewell come out.
//!
//! Neighbours: `connection.rs` drives one for each socket, the fan-out renders by its `Form`. A
//! protocol does no io, reads no clock and knows no room: it turns bytes into `Ask`s and `Answer`s
//! into bytes, and `native/mapping.rs` is the one place where wire types meet domain types.

mod form;
pub mod moderation;
pub mod native;

use std::collections::VecDeque;
use std::fmt::Debug;

use throng_core::{
    Act, Author, Command, Disconnect, FileId, Kind, Position, Rejection, RoomDefaults, RoomId,
    RoomName, Seq, Timestamp, Words,
};

use crate::auth::account::{AccountAnswer, AccountAsk, Secret};
use crate::operations::trace::Trace;
use crate::pages::{Listed, Page, RoomList, RoomMembers, Span, Unreads};
use crate::personal::{Level, Writers};
use crate::search::{Found, Sought};
pub use form::{FORMS, Form};

/// One way to speak, from the server's side.
pub trait Protocol: Send + Debug {
    /// The next bytes of the stream, in any pieces. They may be changed in place (unmasked). How many
    /// it has read: all, unless `asks` has `ASKS_MAX`. After it set `intake.end` it is given no more.
    fn read(&mut self, bytes: &mut [u8], intake: &mut Intake) -> usize;

    /// What events and answers are rendered in for it.
    fn form(&self) -> Form;

    /// From now on frames of this length are taken.
    fn allow(&mut self, frame_len_max: usize);

    /// What to send to a silent peer so that it must answer; nothing if the grammar has no such thing,
    /// and then silence does not end the connection.
    fn probe(&mut self, out: &mut Vec<u8>);

    /// Bytes held of an unfinished frame.
    fn held(&self) -> usize;
}

/// What is asked at a time: frames of two bytes become asks of hundreds.
pub const ASKS_MAX: usize = 64;

/// What came of one read.
#[derive(Debug, Default)]
pub struct Intake {
    /// What was asked, in order.
    pub asks: VecDeque<Ask>,
    /// One of them wants to know where its time goes.
    pub traced: bool,
    /// Frames that ask nothing: pings, pongs, pieces too small to need one of their own.
    pub scraps: u32,
    /// What the grammar itself answers (a pong, the echo of a close).
    pub writes: Vec<u8>,
    /// The stream is at its end, and why.
    pub end: Option<End>,
}

impl Intake {
    /// One more ask.
    pub fn take(&mut self, mut ask: Ask) {
        self.traced |= ask.what.trace().is_some();
        self.asks.push_back(ask);
    }
}

/// Why a stream is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer said goodbye in its grammar, and `writes` holds what is owed for that.
    Said,
    /// The peer broke the grammar: tell it so and close.
    Broken(Disconnect),
}

/// One request with its number.
#[derive(Debug)]
pub struct Ask {
    /// Chosen by the client, echoed in the answer.
    pub id: u32,
    /// What.
    pub what: What,
}

/// What can be asked by any protocol. What is here is well-formed and within its type's limits;
/// whether it is allowed is asked later.
#[derive(Debug)]
pub enum What {
    /// Make an account and log in.
    Register {
        /// As given; parsed by the accounts, which also answer for a bad one.
        name: String,
        /// As given.
        password: String,
        /// An invitation, as given; empty for none.
        link: String,
    },
    /// Set a password by a link, and log in.
    ResetPassword {
        /// As given.
        link: String,
        /// As given.
        password: String,
    },
    /// The end of one's account.
    DeleteAccount {
        /// As given.
        password: Secret,
    },
    /// About one's account, or the server's.
    Account(AccountAsk),
    /// Look in without an account.
    EnterAsGuest {
        /// As given; empty for one that is made up.
        name: String,
    },
    /// Log in by password.
    Login {
        /// As given.
        name: String,
        /// As given.
        password: String,
    },
    /// Log in by token.
    Authenticate {
        /// As given.
        token: String,
    },
    /// End the session.
    Logout,
    /// Make a room.
    CreateRoom {
        /// Its name.
        name: RoomName,
        /// For whom it is.
        kind: Kind,
        /// What it is to begin with, whatever the defaults are; checked.
        settled: RoomDefaults,
    },
    /// Do something to somebody, who is to be found first; then it is a command like others.
    Moderate {
        /// In which room.
        room: RoomId,
        /// What.
        act: Act,
        /// To whom.
        target: Target,
    },
    /// Open the direct room with somebody, who is to be found first.
    OpenDirect {
        /// With whom.
        target: Target,
    },
    /// Another picture for the asker.
    SetAvatar {
        /// Of which file; `None` for none.
        file: Option<FileId>,
    },
    /// Another picture for a room, which is to be made first; then it is a command like others.
    SetRoomAvatar {
        /// Which room.
        room: RoomId,
        /// As above.
        file: Option<FileId>,
    },
    /// Who may write to the asker.
    Contacts,
    /// Settle who may write to the asker.
    SetContacts {
        /// Who.
        writers: Writers,
    },
    /// How the rooms begin that the asker makes.
    RoomDefaults,
    /// Settle how the rooms begin that the asker makes.
    SetRoomDefaults {
        /// How.
        defaults: RoomDefaults,
    },
    /// The asker has read up to a message.
    Read {
        /// In which room.
        room: RoomId,
        /// The message's place.
        seq: Seq,
    },
    /// What of a room the asker wants to be told of.
    SetLevel {
        /// Which room.
        room: RoomId,
        /// What.
        level: Level,
    },
    /// The asker types.
    Typing {
        /// In which room.
        room: RoomId,
    },
    /// Who belongs to a room.
    Members {
        /// Which room.
        room: RoomId,
        /// Above this number.
        after: u64,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
    /// Join the room that a link leads to.
    JoinByLink {
        /// Its token.
        link: Secret,
    },
    /// What the asker has not read in its rooms.
    Unread {
        /// Above this number.
        after: u32,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
    /// A page of the rooms.
    ListRooms(Listed),
    /// A command of a room's order.
    Command {
        /// Which.
        command: Command,
        /// When to answer.
        ack: Ack,
        /// Where its time goes, if the answer is to say it.
        trace: Option<Box<Trace>>,
    },
    /// A room's word filter.
    ListWords {
        /// Which room.
        room: RoomId,
    },
    /// What those who keep order look at, and whom the asker does not want to hear from.
    Moderation(moderation::Asked),
    /// A post that carries files, which are to be found first; then it is a command like others.
    Carry {
        /// The post.
        command: Command,
        /// Which files.
        files: Vec<FileId>,
        /// When to answer.
        ack: Ack,
        /// As above.
        trace: Option<Box<Trace>>,
    },
    /// A page of history.
    History {
        /// Which room.
        room: RoomId,
        /// From where.
        span: Span,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
    /// The messages that are pinned.
    Pins {
        /// In which room.
        room: RoomId,
        /// Above this place.
        after: Seq,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
    /// Find messages by their words.
    Search {
        /// In which room; in all of the asker's.
        room: Option<RoomId>,
        /// What.
        sought: Box<Sought>,
    },
    /// Hear a room on this connection.
    Subscribe {
        /// Which room.
        room: RoomId,
        /// The last event seen.
        from: Option<Position>,
    },
    /// Hear it no longer.
    Unsubscribe {
        /// Which room.
        room: RoomId,
    },
    /// Answer with a pong.
    Ping,
    /// It could not be read; this is the answer.
    Refused(Answer),
}

impl What {
    /// The clock of its own that a post carries, where it asks for that.
    pub fn trace(&mut self) -> Option<&mut Trace> {
        match self {
            Self::Command { trace, .. } | Self::Carry { trace, .. } => trace.as_deref_mut(),
            _ => None,
        }
    }

    /// It is answered without.
    pub fn forget_trace(&mut self) {
        if let Self::Command { trace, .. } | Self::Carry { trace, .. } = self {
            *trace = None;
        }
    }
}

/// How a request names somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By the account's number, as it came.
    Number(u64),
    /// By its name, as it came.
    Name(String),
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// In the log, and synced.
    #[default]
    Durable,
    /// Ordered in memory.
    Accepted,
}

/// What the sender of a message that waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Its number among what waits.
    pub number: u64,
    /// When it will be decided again.
    pub until: Timestamp,
    /// It waited already.
    pub repeat: bool,
}

/// What comes of an `Ask`.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Refused, by the table.
    Rejected(Rejection),
    /// Not readable; the text is for the client's author.
    Malformed(String),
    /// Logged in.
    Session {
        /// As whom.
        author: Author,
        /// The new token, if the client did not give one.
        token: Option<String>,
    },
    /// About an account.
    Account(AccountAnswer),
    /// A page of the rooms.
    Rooms(RoomList),
    /// A member.
    Joined {
        /// Of which room.
        room: RoomId,
        /// Place of the event that made the asker one.
        seq: Seq,
        /// Live events on this connection begin after this place.
        position: Position,
        /// Was one before.
        already: bool,
    },
    /// A member no longer.
    Left {
        /// Of which room.
        room: RoomId,
        /// Place of the event.
        seq: Seq,
    },
    /// The message has its place.
    Posted {
        /// Where.
        room: RoomId,
        /// Its place.
        seq: Seq,
        /// Its number among the posts.
        n: u64,
        /// When.
        at: Timestamp,
        /// Was posted before.
        repeat: bool,
        /// What has been reached.
        ack: Ack,
        /// Where its time went, if that was asked.
        trace: Option<Box<Trace>>,
    },
    /// The message waits for its room's delay.
    Held {
        /// Where.
        room: RoomId,
        /// As what, and until when.
        held: HeldBack,
    },
    /// It is so.
    Applied {
        /// In which room.
        room: RoomId,
        /// The place of its event, or the room's newest.
        seq: Seq,
        /// When.
        at: Timestamp,
        /// It was so before.
        already: bool,
    },
    /// A room's word filter.
    Words {
        /// Which room.
        room: RoomId,
        /// What may not be said there.
        words: Words,
    },
    /// What those who keep order look at, and whom the asker does not want to hear from.
    Moderation(moderation::Told),
    /// A page of history.
    Page(Page),
    /// Messages that have the words.
    Found(Found),
    /// Heard from here on.
    Subscribed {
        /// Which room.
        room: RoomId,
        /// Everything pushed up to here was sent before.
        position: Position,
    },
    /// Those who belong.
    Members(RoomMembers),
    /// What was not read.
    Unread(Unreads),
    /// Who may write to the asker.
    Contacts(Writers),
    /// How the rooms begin that the asker makes.
    RoomDefaults(RoomDefaults),
    /// Done.
    Done,
    /// Still here.
    Pong,
}

impl Answer {
    /// Whether it is a refusal.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Malformed(_))
    }
}
