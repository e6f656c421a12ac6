//! The store in memory, for `--memory` and the tests: the same answers, gone with the process.
//!
//! Neighbours: as for every store. Bounded in bytes: beyond that it is full, and forgets nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use throng_core::{Event, EventKind, RoomId, RoomName, Seq, Timestamp, UserId};

use super::{RoomBatch, RoomSnapshot, Store, StoreError, VisitOrigin};
use crate::pages::Span;
use crate::tail::event_bytes;

/// The store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    rooms: BTreeMap<RoomId, Room>,
    bytes: usize,
}

#[derive(Debug)]
struct Room {
    name: RoomName,
    created_at: Timestamp,
    pushed: Seq,
    posts: u64,
    members: BTreeMap<UserId, Seq>,
    /// Dense from `Seq` 1.
    events: Vec<Arc<Event>>,
}

impl MemoryStore {
    /// An empty store that is full beyond `bytes_max` of events.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it holds the rooms")
    }
}

impl Kept {
    fn head(&self, room: RoomId) -> Seq {
        Seq(self.rooms.get(&room).map_or(0, |room| room.events.len() as u64))
    }

    fn events(&self, room: RoomId) -> &[Arc<Event>] {
        self.rooms.get(&room).map_or(&[], |room| &room.events)
    }

    /// What the batch adds, or why it cannot.
    fn check(&self, batch: &RoomBatch) -> Result<usize, StoreError> {
        let (room, mut head) = (batch.room, self.head(batch.room));
        let mut bytes = 0;
        for event in &batch.events {
            if event.seq <= head {
                continue;
            }
            if event.seq != head.next() || event.room != room {
                return Err(StoreError::Gap { room, has: head, begins: event.seq });
            }
            if (event.seq == Seq(1)) != matches!(event.kind, EventKind::Created { .. }) {
                return Err(StoreError::Corrupt(format!("room {room}: it was never made")));
            }
            head = event.seq;
            bytes += event_bytes(event);
        }
        Ok(bytes)
    }

    fn add(&mut self, event: &Arc<Event>) {
        if let EventKind::Created { name, .. } = &event.kind {
            let room = Room {
                name: name.clone(),
                created_at: event.at,
                pushed: Seq::ZERO,
                posts: 0,
                members: BTreeMap::new(),
                events: Vec::new(),
            };
            self.rooms.insert(event.room, room);
        }
        let room = self.rooms.get_mut(&event.room).expect("a room's first event makes it");
        match &event.kind {
            EventKind::Created { .. } => {}
            EventKind::Joined { who } => _ = room.members.insert(who.id, event.seq),
            EventKind::Left { who } => _ = room.members.remove(&who.id),
            EventKind::Posted { n, .. } => room.posts = *n,
        }
        if event.pushed {
            room.pushed = event.seq;
        }
        room.events.push(event.clone());
    }
}

impl Store for MemoryStore {
    fn fold(&self, rooms: &[RoomBatch]) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let added = rooms.iter().map(|batch| kept.check(batch)).sum::<Result<usize, _>>()?;
        if kept.bytes + added > self.bytes_max {
            return Err(StoreError::Full);
        }
        kept.bytes += added;
        for batch in rooms {
            let head = kept.head(batch.room);
            batch.events.iter().filter(|e| e.seq > head).for_each(|event| kept.add(event));
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn rooms(&self, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), StoreError> {
        for (id, room) in &self.kept().rooms {
            visit(RoomSnapshot {
                room: *id,
                name: room.name.clone(),
                created_at: room.created_at,
                at: room.events.last().map_or(room.created_at, |event| event.at),
                head: Seq(room.events.len() as u64),
                pushed: room.pushed,
                posts: room.posts,
                members: room.members.iter().map(|(user, seq)| (*user, *seq)).collect(),
            });
        }
        Ok(())
    }

    fn page(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let kept = self.kept();
        let events = kept.events(room);
        let index = |seq: Seq| usize::try_from(seq.0).unwrap_or(usize::MAX).min(events.len());
        let range = match span {
            Span::After(after) => {
                index(after)..index(after).saturating_add(limit).min(events.len())
            }
            Span::Before(before) => {
                let end = index(Seq(before.0.saturating_sub(1)));
                end.saturating_sub(limit)..end
            }
        };
        Ok(events[range].to_vec())
    }

    fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        let index = usize::try_from(seq.0).ok().and_then(|seq| seq.checked_sub(1));
        Ok(index.and_then(|index| self.kept().events(room).get(index).cloned()))
    }

    fn origins(
        &self,
        room: RoomId,
        through: Seq,
        since: Timestamp,
        visit: &mut VisitOrigin<'_>,
    ) -> Result<(), StoreError> {
        for event in self.page(room, Span::Before(through.next()), usize::MAX)? {
            if let EventKind::Posted { author, origin_id: Some(id), .. } = &event.kind
                && event.at >= since
            {
                visit(author.id, id.as_str(), event.seq, event.at);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::store::suite;

    #[test]
    fn it_passes_the_suite() {
        suite::run(&mut || Arc::new(MemoryStore::new(1 << 24)));
    }

    #[test]
    fn beyond_its_bound_it_is_full_and_keeps_what_it_has() {
        let room = samples::room(1);
        let store = MemoryStore::new(2_000);
        let batch = |from, to| [RoomBatch { room, events: samples::history(room, from, to) }];
        store.fold(&batch(1, 5)).unwrap();
        assert!(matches!(store.fold(&batch(6, 50)), Err(StoreError::Full)));
        assert_eq!(store.page(room, Span::After(Seq(0)), 100).unwrap().len(), 5);
    }
}
