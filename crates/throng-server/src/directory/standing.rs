//! Where an account stands: questions about one account and the rooms that know it.
//!
//! Neighbours: `directory.rs` keeps who belongs and who has marks. Whether something may be done is
//! asked of `reading` there.

use throng_core::rights::Operation;
use throng_core::{Role, RoomId, Seq, Standing, UserId};

use super::{Directory, Place};

impl Directory {
    /// Whether an account is banned from a room.
    pub fn is_banned(&self, user: UserId, room: RoomId) -> bool {
        self.stands(user, room).0.has(Standing::BANNED)
    }

    /// Whether an account keeps order in a room.
    pub fn keeps_order(&self, user: UserId, room: RoomId) -> bool {
        self.stands(user, room).0.role() >= Some(Role::Moderator)
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
