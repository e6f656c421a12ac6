//! What trouble with a SQLite file means to those who use what is kept in it.
//!
//! Neighbours: `sqlite.rs` below tells trouble apart; the store, and the file of moderation, which the
//! same thread writes, name what they attempted. It decides nothing about what follows.

use super::StoreError;
use crate::sqlite::Trouble;

impl StoreError {
    pub(crate) fn from_trouble(trouble: Trouble, attempted: &'static str) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::SyncFailed(cause) => Self::SyncFailed(cause),
            Trouble::Corrupt(cause) => Self::Corrupt(cause),
            Trouble::Io(cause) => Self::Io { attempted, cause },
        }
    }
}
