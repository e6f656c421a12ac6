//! A store that says it has synced what it has not: a fault that the power cuts must find.

use std::sync::Arc;

use throng_core::{Event, FileId, RoomId, Seq, Tally, Timestamp, UserId};
use throng_server::leavers::Names;
use throng_server::pages::{Note, Span};
use throng_server::store::{
    Erased, Erasing, Members, RoomBatch, RoomSnapshot, SqliteStore, Store, StoreError, Unnamed,
    VisitOrigin,
};

/// A store whose `sync` does nothing.
#[derive(Debug)]
pub struct Lying(pub SqliteStore);

impl Store for Lying {
    fn fold(&self, rooms: &[RoomBatch]) -> Result<(), StoreError> {
        self.0.fold(rooms)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn rooms(&self, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), StoreError> {
        self.0.rooms(visit)
    }

    fn page(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        self.0.page(room, span, limit)
    }

    fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        self.0.event(room, seq)
    }

    fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Note>, StoreError> {
        self.0.notes(room, from, to)
    }

    fn reactions(
        &self,
        room: RoomId,
        from: Seq,
        to: Seq,
        asker: UserId,
    ) -> Result<Vec<(Seq, Tally)>, StoreError> {
        self.0.reactions(room, from, to, asker)
    }

    fn pins(&self, room: RoomId) -> Result<Vec<Seq>, StoreError> {
        self.0.pins(room)
    }

    fn sweeps(&self, room: RoomId, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        self.0.sweeps(room, users)
    }

    fn members(&self, room: RoomId, after: u64, limit: usize) -> Result<Members, StoreError> {
        self.0.members(room, after, limit)
    }

    fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, u64)>, StoreError> {
        self.0.mentions(room, user, after, limit)
    }

    fn carries(&self, file: FileId) -> Result<bool, StoreError> {
        self.0.carries(file)
    }

    fn first_since(&self, room: RoomId, since: Timestamp) -> Result<Option<Seq>, StoreError> {
        self.0.first_since(room, since)
    }

    fn erase(&self, what: Erasing) -> Result<Erased, StoreError> {
        self.0.erase(what)
    }

    fn unname(&self, names: &Names, after: Option<(RoomId, Seq)>) -> Result<Unnamed, StoreError> {
        self.0.unname(names, after)
    }

    fn origins(
        &self,
        room: RoomId,
        through: Seq,
        since: Timestamp,
        visit: &mut VisitOrigin<'_>,
    ) -> Result<(), StoreError> {
        self.0.origins(room, through, since, visit)
    }
}
