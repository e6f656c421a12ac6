//! What somebody holds in the directory until what it asked for is decided.
//!
//! Neighbours: `directory.rs` and `direct.rs` hand it out, a submission carries it to the sequencer,
//! which lets go of it when its turn is in the directory. Nobody gives anything back by name: an asker
//! that is refused on the way, or goes away while the queue is full, drops what it holds.

use std::sync::Arc;

use throng_core::{Kind, RoomId, RoomName, UserId};

use super::Directory;

/// A place, a name or a number that is kept; what was not made of it is given back when it is dropped.
#[derive(Debug)]
#[must_use = "what is dropped is given back"]
pub struct Held {
    directory: Arc<Directory>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Room to grow into for one account.
    Place(UserId),
    /// A new room's number, and its name.
    Name(RoomId, RoomName, Kind),
    /// Another name for a room that is there.
    Renaming(RoomId, RoomName),
    /// A direct room, or the number for it.
    Direct(RoomId),
    /// A guest's ban that is on its way to a room.
    Closing(UserId, RoomId),
}

impl Held {
    pub(super) fn place(directory: &Arc<Directory>, user: UserId) -> Self {
        Self { directory: Arc::clone(directory), what: What::Place(user) }
    }

    pub(super) fn name(
        directory: &Arc<Directory>,
        room: RoomId,
        name: RoomName,
        kind: Kind,
    ) -> Self {
        Self { directory: Arc::clone(directory), what: What::Name(room, name, kind) }
    }

    pub(super) fn renaming(directory: &Arc<Directory>, room: RoomId, name: RoomName) -> Self {
        Self { directory: Arc::clone(directory), what: What::Renaming(room, name) }
    }

    pub(super) fn closing(directory: &Arc<Directory>, guest: UserId, room: RoomId) -> Self {
        Self { directory: Arc::clone(directory), what: What::Closing(guest, room) }
    }

    pub(super) fn direct(directory: &Arc<Directory>, room: RoomId) -> Self {
        Self { directory: Arc::clone(directory), what: What::Direct(room) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match &self.what {
            What::Place(user) => self.directory.settle(*user),
            What::Name(room, name, kind) => self.directory.give_back(*room, name, *kind),
            What::Renaming(room, name) => self.directory.rename_decided(*room, name),
            What::Direct(room) => self.directory.opened(*room),
            What::Closing(guest, room) => self.directory.closed(*guest, *room),
        }
    }
}
