//! What a batch must know that no shard keeps in memory: which events it asks for, and what it was
//! given of them.
//!
//! Neighbours: the shard says what it wants, for those who may know of a room (`known.rs`), the
//! sequencer reads it and fills in. It decides nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::event::Event;
use crate::id::{RoomId, Seq, Timestamp, UserId};
use crate::reaction::Tally;

/// What a batch must know before it can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// The `origin_id`s of this room's older posts are not in memory: `load_origin`.
    Origins {
        /// Which room.
        room: RoomId,
        /// Only posts up to this place are missing: what the store had when the room was restored.
        through: Seq,
        /// Posts decided before this time no longer count and need not be read.
        since: Timestamp,
    },
    /// A post may be a repeat of this event, whose fingerprint it shares: `Facts::add`.
    Event {
        /// Which room.
        room: RoomId,
        /// Which event.
        seq: Seq,
    },
    /// A message is to be changed, pinned or answered with a reaction: `Facts::add_message`.
    Message {
        /// Which room.
        room: RoomId,
        /// Which event.
        seq: Seq,
    },
    /// A message is to be answered with a reaction: `Facts::add_tallies`.
    Tallies {
        /// Which room.
        room: RoomId,
        /// Which message.
        seq: Seq,
        /// Who is to answer it.
        user: UserId,
    },
    /// Something is to be said in a direct room, or somebody is to be invited: `Facts::refuse`, if that
    /// one does not want it.
    Consent {
        /// Which room.
        room: RoomId,
        /// Who is to say it, or to invite.
        from: UserId,
        /// To whom, or whom.
        to: UserId,
    },
}

/// The events that a batch wanted.
#[derive(Debug, Default)]
pub struct Facts {
    pub(super) events: HashMap<(RoomId, Seq), Arc<Event>, FixedState>,
    pub(super) messages: HashMap<(RoomId, Seq), Arc<Event>, FixedState>,
    pub(super) gone: HashSet<(RoomId, Seq), FixedState>,
    pub(super) tallies: HashMap<(RoomId, Seq, UserId), Vec<Tally>, FixedState>,
    pub(super) refused: HashSet<(RoomId, UserId, UserId), FixedState>,
}

impl Facts {
    /// What stands at a wanted place.
    pub fn add(&mut self, event: Arc<Event>) {
        self.events.insert((event.room, event.seq), event);
    }

    /// What stands at the place of a wanted message: as it is shown, erased if it was deleted.
    pub fn add_message(&mut self, event: Arc<Event>) {
        self.messages.insert((event.room, event.seq), event);
    }

    /// The wanted message is kept no longer.
    pub fn add_gone(&mut self, room: RoomId, seq: Seq) {
        self.gone.insert((room, seq));
    }

    /// What a message was answered with, in the order of the texts, as this account is shown it.
    pub fn add_tallies(&mut self, room: RoomId, seq: Seq, user: UserId, tallies: Vec<Tally>) {
        self.tallies.insert((room, seq, user), tallies);
    }

    /// The second takes no messages from the first.
    pub fn refuse(&mut self, room: RoomId, from: UserId, to: UserId) {
        self.refused.insert((room, from, to));
    }

    pub(super) fn is_refused(&self, room: RoomId, from: UserId, to: UserId) -> bool {
        self.refused.contains(&(room, from, to))
    }

    /// Forgets all, to be used for another batch.
    pub fn clear(&mut self) {
        self.events.clear();
        self.messages.clear();
        self.gone.clear();
        self.tallies.clear();
        self.refused.clear();
    }
}
