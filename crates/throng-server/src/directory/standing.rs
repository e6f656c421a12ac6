//! Where an account stands: questions about one account and the rooms that know it.
//!
//! Neighbours: `directory.rs` keeps who belongs and who has marks. Whether something may be done is
//! asked of `reading` there.

use std::sync::Arc;

use throng_core::rights::Operation;
use throng_core::{Role, RoomId, Seq, Standing, UserId};

use super::{Directory, Held, Place, lock};

impl Directory {
    /// Where an account stands in a room.
    pub fn standing(&self, user: UserId, room: RoomId) -> Standing {
        self.stands(user, room).0
    }

    /// Whether an account is banned from a room.
    pub fn is_banned(&self, user: UserId, room: RoomId) -> bool {
        self.stands(user, room).0.has(Standing::BANNED)
    }

    /// Whether an account keeps order in a room.
    pub fn keeps_order(&self, user: UserId, room: RoomId) -> bool {
        self.stands(user, room).0.role() >= Some(Role::Moderator)
    }

    /// A guest's ban is on its way to a room: others of its address are not let in until it is decided.
    pub fn closing(self: &Arc<Self>, room: RoomId, guest: UserId) -> Held {
        lock(&self.closing).push((guest, room));
        Held::closing(self, guest, room)
    }

    /// Whether a ban of this guest is on its way to this room.
    pub fn is_closing(&self, guest: UserId, room: RoomId) -> bool {
        lock(&self.closing).contains(&(guest, room))
    }

    pub(super) fn closed(&self, guest: UserId, room: RoomId) {
        let mut closing = lock(&self.closing);
        if let Some(at) = closing.iter().position(|one| *one == (guest, room)) {
            closing.swap_remove(at);
        }
    }

    /// The rooms that keep a mark of one who does not belong to them.
    pub fn marks(&self, user: UserId) -> Vec<RoomId> {
        let belonging = self.belonging(user);
        let marks = belonging.get(&user).map_or(&[][..], |belongs| &belongs.marks);
        let outside = marks.iter().filter(|(_, mark)| mark.role().is_none() && mark.is_marked());
        outside.map(|(room, _)| *room).collect()
    }

    /// Whether any room keeps a mark of it.
    pub fn is_marked(&self, user: UserId) -> bool {
        let belonging = self.belonging(user);
        belonging.get(&user).is_some_and(|it| it.marks.iter().any(|(_, mark)| mark.is_marked()))
    }

    /// Where an account joined a room that it belongs to.
    pub fn joined(&self, user: UserId, room: RoomId) -> Option<Seq> {
        self.stands(user, room).1
    }

    /// The rooms that an account may search, and from which place on; ascending.
    pub fn searchable(&self, user: UserId) -> Vec<(RoomId, Seq)> {
        let own = {
            let belonging = self.belonging(user);
            belonging.get(&user).map(|belongs| belongs.rooms.clone()).unwrap_or_default()
        };
        let may = |place: Place| {
            let reading = self.reading(user, place.room(), Operation::Search).ok()?;
            Some((place.room(), reading.from))
        };
        own.into_iter().filter_map(may).collect()
    }
}
