//! Which pictures stand for rooms, so that those that stand for none can be freed.
//!
//! Neighbours: `directory.rs` says when one changes, the sweep of the files asks. It keeps no bytes.

use throng_core::{Avatar, FileHash};

use super::{Directory, lock};

impl Directory {
    /// A room has another picture.
    pub(super) fn shown(&self, Avatar(was): Avatar, Avatar(now): Avatar) {
        let mut avatars = lock(&self.avatars);
        if let Some(now) = now {
            *avatars.entry(now).or_default() += 1;
        }
        if let Some(was) = was
            && let Some(count) = avatars.get_mut(&was)
        {
            *count -= 1;
            if *count == 0 {
                avatars.remove(&was);
            }
        }
    }

    /// Whether this is the picture of any room.
    pub fn shows(&self, avatar: FileHash) -> bool {
        lock(&self.avatars).contains_key(&avatar)
    }
}
