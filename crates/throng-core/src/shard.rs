//! The unit of order: decides batches of requests for many rooms, in memory, without waiting.
//!
//! Neighbours: the sequencer gathers what a batch wants to know (`wants`), lets it decide (`apply`),
//! commits the turn's events, and tells them; or takes the turn back (`revert`). Start-up puts rooms
//! back (`restore`, `replay`). It never reads the store and never sees a connection.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::command::{Reply, Request};
use crate::event::Event;
use crate::id::{RoomId, Seq, Timestamp, UserId};
use crate::limits::Limits;
use crate::rejection::Rejection;
use crate::text::{OriginId, RoomName};

/// Time, as an argument.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The server's wall clock. A shard's times never go back: it takes the greater of this and the last.
    pub at: Timestamp,
    /// Posts of the whole server so far, against which the window of `origin_id`s is counted.
    pub posts_total: u64,
}

/// What a batch must know before it can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// The `origin_id`s of this room's posts above `after` are not in memory: `load_origins`.
    Origins {
        /// Which room.
        room: RoomId,
        /// Only posts after this place are within the window.
        after: Seq,
    },
    /// A post may be a repeat of this event, whose fingerprint it shares: `Facts::add`.
    Event {
        /// Which room.
        room: RoomId,
        /// Which event.
        seq: Seq,
    },
}

/// The events that a batch wanted.
#[derive(Debug, Default)]
pub struct Facts {}

impl Facts {
    /// What stands at a wanted place.
    pub fn add(&mut self, _event: Arc<Event>) {
        todo!()
    }
}

/// One decided batch, to be committed or reverted.
#[derive(Debug)]
pub struct Turn {
    /// What came of each request, in the order of the batch.
    pub outcomes: Vec<Result<Reply, Rejection>>,
    /// The events to commit, in order; empty when nothing durable came of the batch.
    pub events: Vec<Arc<Event>>,
}

/// A room at start-up, as the store has it.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which room.
    pub room: RoomId,
    /// Its name.
    pub name: RoomName,
    /// The newest folded event.
    pub head: Seq,
    /// The newest folded event that was pushed.
    pub pushed: Seq,
    /// Posts so far.
    pub posts: u64,
    /// Members with the place of their `Joined`.
    pub members: Vec<(UserId, Seq)>,
}

/// The state of the rooms of one shard.
#[derive(Debug)]
pub struct Shard {}

impl Shard {
    /// An empty shard. `seed` goes into the maps' hash and the fingerprints.
    pub fn new(_seed: u64, _limits: &Limits) -> Self {
        todo!()
    }

    /// Start-up: a room as the store has it. Its `origin_id`s are loaded when first wanted.
    pub fn restore(&mut self, _room: Restored) {
        todo!()
    }

    /// Start-up: an event of the log; passed over when the room has it already.
    pub fn replay(&mut self, _event: &Event) {
        todo!()
    }

    /// What must be known before `apply`. Ask again after `load_origins`: a loaded room may want
    /// events. A second answer holds no `Origins` that was loaded.
    pub fn wants(&self, _batch: &[Request], _now: Now, _wants: &mut Vec<Want>) {
        todo!()
    }

    /// Answers `Want::Origins` with the posts of that room above the place asked for.
    pub fn load_origins<'a>(
        &mut self,
        _room: RoomId,
        _origins: impl Iterator<Item = (UserId, &'a OriginId, Seq)>,
    ) {
        todo!()
    }

    /// Decides a batch, in order. A request whose wanted facts are missing (the store could not be
    /// read) is refused as `unavailable`; nothing else in the batch is touched by that.
    pub fn apply(&mut self, _batch: &[Request], _facts: &Facts, _now: Now) -> Turn {
        todo!()
    }

    /// The commit failed: the state is as before `apply`.
    pub fn revert(&mut self, _turn: Turn) {
        todo!()
    }
}
