//! Who may write to whom in a direct room: what the one who is written to has settled, and whom it has
//! blocked.
//!
//! Neighbours: `app` asks before a direct room is opened, the sequencer before something is said in
//! one, the fan-out before it tells there who is here. It keeps nothing itself.

use std::sync::{Arc, OnceLock};

use throng_core::UserId;

use crate::directory::Directory;
use crate::personal::{Personal, Writers};

/// Whether the first has blocked the second.
pub type Blocks = Box<dyn Fn(UserId, UserId) -> bool + Send + Sync>;

/// Asked before somebody is written to.
pub struct Contacts {
    personal: Arc<Personal>,
    directory: Arc<Directory>,
    blocks: OnceLock<Blocks>,
}

impl std::fmt::Debug for Contacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contacts")
    }
}

impl Contacts {
    /// Nobody has blocked anybody.
    pub fn new(personal: Arc<Personal>, directory: Arc<Directory>) -> Self {
        Self { personal, directory, blocks: OnceLock::new() }
    }

    /// From now on this is asked too, and before all else. The first one stays.
    pub fn ask_blocks(&self, blocks: Blocks) {
        _ = self.blocks.set(blocks);
    }

    /// Whether one of two has blocked the other.
    pub fn parted(&self, one: UserId, other: UserId) -> bool {
        let blocks = self.blocks.get();
        blocks.is_some_and(|blocks| blocks(one, other) || blocks(other, one))
    }

    /// Whether `from` may write to `to`.
    pub fn may_write(&self, from: UserId, to: UserId) -> bool {
        if self.blocks.get().is_some_and(|blocks| blocks(to, from)) {
            return false;
        }
        match self.personal.writers(to) {
            Writers::Everyone => true,
            Writers::Shared => self.directory.share_a_room(from, to),
            Writers::Nobody => false,
        }
    }
}
