//! What is folded from the log to be asked: blocks of room history, rooms and their members.
//!
//! Neighbours: the fold writes, `history.rs` and start-up read. It is always behind the log, never
//! ahead of it, and can be built again from it as far as the log is kept.

mod carried;
mod cursors;
mod erasing;
mod erasure;
pub mod memory;
mod packed;
mod people;
mod reactions;
mod schema;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod suite;
mod trouble;
mod unnaming;

use std::sync::Arc;

use crate::leavers::Names;
use crate::pages::{Note, Span};
pub use memory::MemoryStore;
pub use packed::PACKED_LEN_MIN;
pub use sqlite::{SqliteStore, StoreOptions};
use throng_core::{
    Avatar, Event, FileId, Person, Policy, RoomId, RoomName, Seq, Tally, Timestamp, Topic, UserId,
    Words,
};

/// Everything the fold has for one room: events in order, without gaps, each after what the store
/// holds or already held by it.
#[derive(Clone, Debug)]
pub struct RoomBatch {
    /// Which room.
    pub room: RoomId,
    /// Its events, ascending and dense.
    pub events: Vec<Arc<Event>>,
}

/// A room as the store has it; what a shard begins with before the log's tail is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSnapshot {
    /// Which room.
    pub room: RoomId,
    /// Its name.
    pub name: RoomName,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the newest folded event was decided.
    pub at: Timestamp,
    /// The newest folded event.
    pub head: Seq,
    /// The newest folded event that was pushed.
    pub pushed: Seq,
    /// Posts so far.
    pub posts: u64,
    /// What it has settled.
    pub policy: Policy,
    /// What it is about.
    pub topic: Topic,
    /// Which words may not be said.
    pub words: Words,
    /// Which picture stands for it.
    pub avatar: Avatar,
    /// Who belongs, and who has marks, by their numbers.
    pub people: Vec<(UserId, Person)>,
    /// The messages that are pinned, ascending.
    pub pins: Vec<Seq>,
}

/// Some of those who belong to a room, as of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The newest folded event, at least.
    pub head: Seq,
    /// By their numbers.
    pub members: Vec<Member>,
}

/// One who belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Where it joined and how it stands.
    pub person: Person,
    /// The posts that the room had when it joined.
    pub posts: u64,
}

/// What is folded. Every implementation passes `suite.rs`, in which every call also fails once.
/// Calls block. Reads and one writer may run side by side; a read sees a fold whole or not at all.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Folds these rooms, all or none. Events the store has already are passed over, so that the
    /// same batch twice is harmless; a gap is `StoreError::Gap`. Survives a crash of the process,
    /// a power cut only after `sync`.
    fn fold(&self, rooms: &[RoomBatch]) -> Result<(), StoreError>;

    /// What was folded before this call survives a power cut after it; only then may the log be trimmed.
    fn sync(&self) -> Result<(), StoreError>;

    /// Visits every room, in order of its number.
    fn rooms(&self, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), StoreError>;

    /// At most `limit` events of the span, ascending.
    fn page(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError>;

    /// The event at this place, if it is folded.
    fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError>;

    /// What became of the messages between these places (both included), by their places.
    fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Note>, StoreError>;

    /// What the messages between these places (both included) were answered with, by their places and
    /// then in the order of the texts, as this account is shown it.
    fn reactions(
        &self,
        room: RoomId,
        from: Seq,
        to: Seq,
        asker: UserId,
    ) -> Result<Vec<(Seq, Tally)>, StoreError>;

    /// The messages that are pinned, ascending.
    fn pins(&self, room: RoomId) -> Result<Vec<Seq>, StoreError>;

    /// Up to which place all is taken away that these accounts have said in a room; those of whom
    /// nothing is are left out.
    fn sweeps(&self, room: RoomId, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError>;

    /// At most `limit` of those who belong, above this number.
    fn members(&self, room: RoomId, after: u64, limit: usize) -> Result<Members, StoreError>;

    /// The newest messages above a place that mention this account and stand, at most `limit`, with
    /// the number of who sent them (0 where an older build kept them).
    fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, u64)>, StoreError>;

    /// Whether a message that is not deleted carries this file.
    fn carries(&self, file: FileId) -> Result<bool, StoreError>;

    /// The first place whose event was decided at this time or later; `None` when all are older. The
    /// times of a room do not go back.
    fn first_since(&self, room: RoomId, since: Timestamp) -> Result<Option<Seq>, StoreError>;

    /// Erases a bounded slice of what is to be erased, for good; says whether there may be more.
    /// Whole or not at all, harmless when it is done again, and safe from a power cut after `sync`,
    /// as a fold is. Places stay, as far as they do not go themselves.
    fn erase(&self, what: Erasing) -> Result<Erased, StoreError>;

    /// Takes names out of a bounded slice of all that is folded, behind this place, in the order of rooms
    /// and places. Otherwise as `erase`.
    fn unname(&self, names: &Names, after: Option<(RoomId, Seq)>) -> Result<Unnamed, StoreError>;

    /// Visits the posts of a room that carry an `origin_id`, up to `through` and decided at `since`
    /// or later, without making events of them: a room's fingerprints are loaded from this. The
    /// order is not promised.
    fn origins(
        &self,
        room: RoomId,
        through: Seq,
        since: Timestamp,
        visit: &mut VisitOrigin<'_>,
    ) -> Result<(), StoreError>;
}

/// What is to be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasing {
    /// The texts of a room's messages that were said before a time, with what was said of them, and,
    /// whole blocks at a time, all that happened in it before another one.
    Old {
        /// Which room.
        room: RoomId,
        /// Texts of before this go.
        texts: Timestamp,
        /// Everything of before this goes; not later than `texts`.
        places: Timestamp,
    },
    /// The texts of those all of whose messages were taken away.
    Swept,
    /// What pages that are not used any more, and the journal, still hold: the disk gets it back.
    Remains,
}

/// What came of erasing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Something was written: it must be synced.
    pub changed: bool,
    /// There may be more of the kind.
    pub more: bool,
}

/// What came of taking names out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// Something was written: it must be synced.
    pub changed: bool,
    /// Where the next slice goes on; `None` when there is nothing behind this one.
    pub next: Option<(RoomId, Seq)>,
}

/// Called with a post's sender, its `origin_id`, its place and its time.
pub type VisitOrigin<'a> = dyn FnMut(UserId, &str, Seq, Timestamp) + 'a;

/// Trouble with the store: for the operator. Clients see `unavailable`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the quota is full.
    #[error("cannot write to the store: no space left; free some, the fold goes on by itself")]
    Full,
    /// Reading or writing failed.
    #[error("cannot {attempted}: {cause}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// What the layer below said.
        cause: String,
    },
    /// A batch did not begin where the room's folded history ends.
    #[error("cannot fold room {room}: it has events up to {has}, the batch begins at {begins}")]
    Gap {
        /// Which room.
        room: RoomId,
        /// The newest folded event.
        has: Seq,
        /// Where the batch began.
        begins: Seq,
    },
    /// A sync failed: what is on disk is unknown. The process ends and recovery trusts the disk.
    #[error("cannot sync the store: {0}; ending, so that recovery trusts only what is on disk")]
    SyncFailed(String),
    /// The file holds what it cannot.
    #[error(
        "what is stored is corrupt: {0}; put back a copy of the data folder \
         (docs/reference/data-folder.md says what is lost with each file)"
    )]
    Corrupt(String),
}
