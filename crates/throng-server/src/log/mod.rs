//! What carries a shard's order: an append-only log of turns. The append is the commit.
//!
//! Neighbours: the sequencer appends, the fold reads positions and trims, start-up replays. It never
//! looks inside a turn's bytes (`record.rs` does).

pub mod memory;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod suite;

pub use memory::MemoryLog;
pub use sqlite::{LogOptions, SqliteLog};
use throng_core::Epoch;

/// A turn's place in the log, dense in the order of commit, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(pub u64);

/// What keeps the order. Every implementation passes `suite.rs`, in which every call also fails once.
///
/// Calls block; they are made from threads that may wait (a shard's, the fold's), never from the
/// runtime's.
pub trait Log: Send + Sync + std::fmt::Debug {
    /// The life of the order that this log carries; never changes while the log lives.
    fn epoch(&self) -> Epoch;

    /// Appends one turn (non-empty bytes) and returns when it is durable: after a power cut the log
    /// holds it, whole, after all turns whose append returned before this call began.
    ///
    /// Concurrent calls may share one sync; ids are given in the order of commit. On an error
    /// nothing of this turn is in the log, now or after a restart, and later appends may succeed,
    /// except `LogError::SyncFailed`, after which the process must end (I10).
    fn append(&self, turn: &[u8]) -> Result<TurnId, LogError>;

    /// Visits the turns after `after` that are kept, in order, until the visitor refuses.
    fn replay(&self, after: TurnId, visit: &mut Visit<'_>) -> Result<(), LogError>;

    /// Gives leave to forget the turns up to `through`; may be done lazily, may be repeated. The
    /// newest turn may be kept for its number.
    ///
    /// Trouble leaves them to a later call, here and in the two below: the only error is
    /// `LogError::SyncFailed`, after which the process must end (I10).
    fn trim(&self, through: TurnId) -> Result<(), LogError>;

    /// Leaves nothing of turns that were trimmed on the disk, if all are and nobody appends; says
    /// whether that was so. `nothing` stands for the newest one, which keeps its number.
    fn scrub(&self, nothing: &[u8]) -> Result<bool, LogError>;

    /// At the end, when nobody appends any more: what was trimmed leaves the disk, so that it is not
    /// replayed at the next start, and nothing is left that is yet to be synced.
    fn close(&self) -> Result<(), LogError>;

    /// Who hears how long each sync took, for the metrics and the bench; set once.
    fn observe(&self, observer: std::sync::Arc<dyn SyncObserver>);
}

/// Called with each kept turn; `Err` ends the replay as `LogError::Corrupt`.
pub type Visit<'a> = dyn FnMut(TurnId, &[u8]) -> Result<(), String> + 'a;

/// Hears of every sync of the log.
pub trait SyncObserver: Send + Sync + std::fmt::Debug {
    /// The log begins to write: a group of turns, a checkpoint, a trim. One at a time; others wait.
    /// A log that waits for no disk does not tell.
    fn begins(&self);

    /// It is done with that, well or not.
    fn ends(&self);

    /// One transaction made `turns` turns of `bytes` bytes durable and took `took`, write and sync
    /// together.
    fn synced(&self, turns: usize, bytes: usize, took: std::time::Duration);

    /// What was written ahead has been carried into the log's own file, or could not be, which took
    /// `took`: who appends waits for that too, and no `synced` has it.
    fn checkpointed(&self, took: std::time::Duration);
}

/// Trouble with the log: for the operator. Clients see `unavailable`.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full: refuse, and try again when there is room. A quota that is full is `Io`: SQLite
    /// does not tell it apart.
    #[error("cannot append to the log: no space left; free some, sends are refused until then")]
    Full,
    /// Reading or writing failed.
    #[error(
        "cannot {attempted}: {cause}; look at the quota of the server's user, at the kernel's log \
         (dmesg) and at what throng doctor says of the data folder"
    )]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// What the layer below said.
        cause: String,
    },
    /// A sync failed: what is on disk is unknown. The process ends and recovery trusts the disk.
    #[error("cannot sync the log: {0}; ending, so that recovery trusts only what is on disk")]
    SyncFailed(String),
    /// The log holds what no turn can be.
    #[error(
        "log.db is corrupt, or not of one piece with store.db, at turn {}: {cause}; put back a copy \
         of the data folder (docs/reference/data-folder.md says what is lost with each file)",
        at.0
    )]
    Corrupt {
        /// Where.
        at: TurnId,
        /// What was found.
        cause: String,
    },
}
