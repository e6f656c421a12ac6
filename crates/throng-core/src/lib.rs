//! Order, membership and rights of a chat, as pure state machines.
//!
//! Neighbours: `throng-server` feeds it commands and carries out what it decides. It never waits,
//! never reaches out, reads no clock and rolls no dice: time and the maps' hash seed are arguments,
//! so everything here can be tested from a seed, in milliseconds.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

pub mod command;
pub mod defaults;
pub mod event;
pub mod file;
pub mod hub;
pub mod id;
pub mod limits;
mod origins;
pub mod reaction;
pub mod rejection;
pub mod rights;
mod room;
pub mod session;
pub mod shard;
pub mod text;
mod window;

pub use command::{Came, Command, Reply, Request, Verdict};
pub use defaults::RoomDefaults;
pub use event::{Author, Event, EventKind, Extras};
pub use file::{Attachment, Avatar, FileHash, FileId, FileKind, FileName};
pub use id::{Epoch, Position, RoomId, Seq, SessionId, Timestamp, UserId};
pub use limits::Limits;
pub use reaction::Tally;
pub use rejection::{Disconnect, Rejection};
pub use rights::{Act, Kind, Policy, Role, Settings, Speak, Standing, Visibility};
pub use room::{Misfit, Person};
pub use text::{Body, NamePart, OriginId, Reaction, RoomName, Topic, Username, Words};
