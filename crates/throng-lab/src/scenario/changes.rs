//! What is done beside saying something: edits, deletions, reactions, typing, members put out, and
//! files.
//!
//! Neighbours: `plan` makes deeds of it; `check` holds it within bounds.

use serde::{Deserialize, Serialize};

/// Shares of the sends, and rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// As many edits, by those who said it, as this share of the sends.
    pub edits: f64,
    /// As many deletions.
    pub deletes: f64,
    /// As many reactions, by anybody in the room.
    pub reactions: f64,
    /// As often, a member lets the room know that it types.
    pub typing: f64,
    /// Members put out a second, all rooms together, each by the one who made the room. They come back
    /// as others do.
    pub kicks: f64,
    /// Members put out for good a second.
    pub bans: f64,
    /// After so long they are let in again.
    pub ban_seconds: f64,
    /// Files sent a second, all rooms together, each carried by a message of its own; every other is a
    /// picture.
    pub files: f64,
    /// This share of their messages says nothing besides.
    pub files_alone: f64,
    /// How long each is.
    pub file_bytes: u32,
    /// So many of the members fetch each, and one who is in no such room tries to.
    pub file_readers: u32,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            edits: 0.0,
            deletes: 0.0,
            reactions: 0.0,
            typing: 0.0,
            kicks: 0.0,
            bans: 0.0,
            ban_seconds: 3.0,
            files: 0.0,
            files_alone: 0.0,
            file_bytes: 8_192,
            file_readers: 3,
        }
    }
}

impl Changes {
    /// Nothing of it is asked for.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Messages are changed.
    pub fn of_messages(&self) -> bool {
        self.edits > 0.0 || self.deletes > 0.0 || self.reactions > 0.0
    }

    /// Members are put out.
    pub fn put_out(&self) -> bool {
        self.kicks > 0.0 || self.bans > 0.0
    }
}
