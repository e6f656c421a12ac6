//! The store in memory, for `--memory` and the tests: the same answers, gone with the process.
//!
//! Neighbours: as for every store. Bounded in bytes: beyond that it is full, and forgets nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use throng_core::{
    Avatar, Event, EventKind, FileId, Kind, Person, Policy, Reaction, RoomId, RoomName, Seq,
    Settings, Tally, Timestamp, Topic, UserId, Words,
};

use super::{
    Erased, Erasing, Member, Members, RoomBatch, RoomSnapshot, Store, StoreError, Unnamed,
    VisitOrigin,
};
use crate::leavers::Names;
use crate::pages::{Note, Span, sender_of};
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
    policy: Policy,
    topic: Topic,
    words: Words,
    avatar: Avatar,
    /// Up to which place all is taken away that an account has said.
    sweeps: BTreeMap<UserId, Seq>,
    people: BTreeMap<UserId, Person>,
    /// What became of messages, by their places.
    notes: BTreeMap<Seq, Note>,
    /// What messages were answered with, by their places: where that changed last, and by whom.
    reactions: BTreeMap<(Seq, Reaction), (Seq, BTreeSet<UserId>)>,
    pins: BTreeSet<Seq>,
    /// The posts that there were when somebody joined.
    joined_posts: BTreeMap<UserId, u64>,
    /// With who sent them.
    mentions: BTreeMap<(UserId, Seq), UserId>,
    /// So many of the events are erased because they are too old.
    erased: usize,
    /// Those all of whose messages were taken away, and are to be erased.
    erasing: BTreeMap<UserId, Seq>,
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

impl Room {
    fn new(name: RoomName, kind: Kind, created_at: Timestamp) -> Self {
        Self {
            name,
            policy: Policy { kind, ..Policy::default() },
            topic: Topic::default(),
            words: Words::default(),
            avatar: Avatar::default(),
            sweeps: BTreeMap::new(),
            notes: BTreeMap::new(),
            reactions: BTreeMap::new(),
            pins: BTreeSet::new(),
            joined_posts: BTreeMap::new(),
            mentions: BTreeMap::new(),
            created_at,
            pushed: Seq::ZERO,
            posts: 0,
            people: BTreeMap::new(),
            erased: 0,
            erasing: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Takes changed settings in.
    fn settle(&mut self, settings: &Settings) {
        self.policy = self.policy.with(settings);
        self.name = settings.name.clone().unwrap_or(self.name.clone());
        self.topic = settings.topic.clone().unwrap_or(self.topic.clone());
        self.words = settings.words.clone().unwrap_or(self.words.clone());
        self.avatar = settings.avatar.unwrap_or(self.avatar);
    }

    /// The text of the newest edit of a message is nobody's any more.
    fn replace(&mut self, of: Seq) {
        if let Some(Note { seq, body: Some(_), .. }) = self.notes.get(&of) {
            self.erase(*seq);
        }
    }

    fn erase(&mut self, place: Seq) {
        if let Some(event) = self.events.get_mut(place.0 as usize - 1) {
            *event = Arc::new(event.erased());
        }
    }

    /// Erases what was said before this time, with what was said of it.
    fn erase_old(&mut self, texts: Timestamp) -> bool {
        let was = self.erased;
        self.erased = self.events.partition_point(|event| event.at < texts).max(was);
        let through = Seq(self.erased as u64);
        let edits: Vec<Seq> = self.notes.range(..=through).map(|(_, note)| note.seq).collect();
        let old = (was as u64 + 1..=through.0).map(Seq);
        old.chain(edits).for_each(|place| self.erase(place));
        self.notes.retain(|of, _| *of > through);
        self.reactions.retain(|(of, _), _| *of > through);
        self.pins.retain(|of| *of > through);
        self.mentions.retain(|(_, of), _| *of > through);
        self.erased > was
    }

    /// Erases what those have said all of whose messages were taken away.
    fn erase_swept(&mut self) -> bool {
        let erasing = std::mem::take(&mut self.erasing);
        for event in &mut self.events {
            let swept = sender_of(event).and_then(|user| erasing.get(&user));
            if swept.is_some_and(|before| event.seq < *before) {
                if let Some(note) = self.notes.get_mut(&event.seq) {
                    note.body = None;
                }
                *event = Arc::new(event.erased());
            }
        }
        !erasing.is_empty()
    }

    /// Events that come after what they change was erased: without a text, and nothing comes of them.
    fn is_late(&self, event: &Event) -> bool {
        event.kind.changes().is_some_and(|of| of.0 <= self.erased as u64)
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
        if let EventKind::Created { name, kind, .. } = &event.kind {
            let room = Room::new(name.clone(), *kind, event.at);
            self.rooms.insert(event.room, room);
        }
        let room = self.rooms.get_mut(&event.room).expect("a room's first event makes it");
        if room.is_late(event) {
            if event.pushed {
                room.pushed = event.seq;
            }
            room.events.push(Arc::new(event.erased()));
            return;
        }
        if let Some(user) = event.kind.about() {
            match Person::after(event, room.people.get(&user).copied()) {
                Some(person) => _ = room.people.insert(user, person),
                None => _ = room.people.remove(&user),
            }
        }
        match &event.kind {
            EventKind::Posted { n, extras, author, .. } => {
                room.posts = *n;
                let mentioned = extras.iter().flat_map(|extras| extras.mentions.iter());
                room.mentions.extend(mentioned.map(|user| ((*user, event.seq), author.id)));
            }
            EventKind::Joined { who } => _ = room.joined_posts.insert(who.id, room.posts),
            EventKind::Set { settings, .. } => room.settle(settings),
            EventKind::Reacted { by, of, reaction, on, .. } => {
                let key = (*of, reaction.clone());
                let (seq, users) = room.reactions.entry(key.clone()).or_default();
                *seq = event.seq;
                if *on {
                    users.insert(by.id);
                } else {
                    users.remove(&by.id);
                }
                if users.is_empty() {
                    room.reactions.remove(&key);
                }
            }
            EventKind::Pinned { of, on: true, .. } => _ = room.pins.insert(*of),
            EventKind::Pinned { of, on: false, .. } => _ = room.pins.remove(of),
            EventKind::Edited { of, .. } => room.replace(*of),
            EventKind::Deleted { of, .. } => {
                room.replace(*of);
                room.erase(*of);
                room.pins.remove(of);
                room.reactions.retain(|(place, _), _| place != of);
                room.mentions.retain(|(_, place), _| place != of);
            }
            _ => {}
        }
        if let Some(note) = Note::from_event(event) {
            room.notes.insert(note.of, note);
        }
        if let Some(user) = event.kind.sweeps() {
            room.sweeps.insert(user, event.seq);
            room.mentions.retain(|_, sender| *sender != user);
            room.erasing.insert(user, event.seq);
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
                policy: room.policy,
                topic: room.topic.clone(),
                words: room.words.clone(),
                avatar: room.avatar,
                people: room.people.iter().map(|(user, person)| (*user, *person)).collect(),
                pins: room.pins.iter().copied().collect(),
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

    fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Note>, StoreError> {
        let kept = self.kept();
        let notes = kept.rooms.get(&room).map(|room| room.notes.range(from..=to));
        Ok(notes.into_iter().flatten().map(|(_, note)| note.clone()).collect())
    }

    fn reactions(
        &self,
        room: RoomId,
        from: Seq,
        to: Seq,
        asker: UserId,
    ) -> Result<Vec<(Seq, Tally)>, StoreError> {
        let kept = self.kept();
        let all = kept.rooms.get(&room).into_iter().flat_map(|room| &room.reactions);
        let asked = all.filter(|((of, _), _)| (from..=to).contains(of));
        let tally = asked.map(|((of, reaction), (seq, users))| {
            let (count, mine) = (users.len() as u32, users.contains(&asker));
            (*of, Tally { reaction: reaction.clone(), count, mine, seq: *seq })
        });
        Ok(tally.collect())
    }

    fn pins(&self, room: RoomId) -> Result<Vec<Seq>, StoreError> {
        let kept = self.kept();
        Ok(kept.rooms.get(&room).into_iter().flat_map(|room| room.pins.iter().copied()).collect())
    }

    fn sweeps(&self, room: RoomId, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let kept = self.kept();
        let Some(room) = kept.rooms.get(&room) else { return Ok(Vec::new()) };
        Ok(users.iter().filter_map(|user| Some((*user, *room.sweeps.get(user)?))).collect())
    }

    fn members(&self, room: RoomId, after: u64, limit: usize) -> Result<Members, StoreError> {
        let kept = self.kept();
        let Some(room) = kept.rooms.get(&room) else { return Ok(Members::default()) };
        let member = |(user, person): (&UserId, &Person)| {
            person.joined()?;
            let posts = room.joined_posts.get(user).copied().unwrap_or(0);
            Some(Member { user: *user, person: *person, posts })
        };
        let above = room.people.iter().filter(|(user, _)| user.get() > after);
        let head = Seq(room.events.len() as u64);
        Ok(Members { head, members: above.filter_map(member).take(limit).collect() })
    }

    fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, u64)>, StoreError> {
        let kept = self.kept();
        let Some(room) = kept.rooms.get(&room) else { return Ok(Vec::new()) };
        let of = room.mentions.range((user, after.next())..=(user, Seq(u64::MAX)));
        Ok(of.rev().take(limit).map(|((_, seq), sender)| (*seq, sender.get())).collect())
    }

    fn carries(&self, file: FileId) -> Result<bool, StoreError> {
        let kept = self.kept();
        let stands = |room: &Room, event: &Event| {
            let EventKind::Posted { author, extras: Some(extras), .. } = &event.kind else {
                return false;
            };
            let note = room.notes.get(&event.seq);
            let swept = room.sweeps.get(&author.id).is_some_and(|swept| event.seq < *swept);
            let deleted = swept || note.is_some_and(|note| note.body.is_none());
            !deleted && extras.files.iter().any(|carried| carried.id == file)
        };
        Ok(kept.rooms.values().any(|room| room.events.iter().any(|event| stands(room, event))))
    }

    fn first_since(&self, room: RoomId, since: Timestamp) -> Result<Option<Seq>, StoreError> {
        let kept = self.kept();
        let events = kept.events(room);
        let old = events.partition_point(|event| event.at < since);
        Ok(events.get(old).map(|event| event.seq))
    }

    fn erase(&self, what: Erasing) -> Result<Erased, StoreError> {
        let mut kept = self.kept();
        let changed = match what {
            Erasing::Old { room, texts, .. } => {
                kept.rooms.get_mut(&room).is_some_and(|room| room.erase_old(texts))
            }
            Erasing::Swept => kept
                .rooms
                .values_mut()
                .filter(|room| !room.erasing.is_empty())
                .any(Room::erase_swept),
            Erasing::Remains => false,
        };
        if changed {
            let events = kept.rooms.values().flat_map(|room| &room.events);
            kept.bytes = events.map(|event| event_bytes(event)).sum();
        }
        Ok(Erased { changed, more: changed && what == Erasing::Swept })
    }

    fn unname(&self, names: &Names, _after: Option<(RoomId, Seq)>) -> Result<Unnamed, StoreError> {
        let mut kept = self.kept();
        let mut changed = false;
        for room in kept.rooms.values_mut() {
            if let Some(name) = room.name.without(|name| names.has_name(name))
                && room.policy.kind == Kind::Direct
            {
                (room.name, changed) = (name, true);
            }
            for event in &mut room.events {
                if let Some(taken) = names.taken_from(event) {
                    (*event, changed) = (Arc::new(taken), true);
                }
            }
        }
        let events = kept.rooms.values().flat_map(|room| &room.events);
        kept.bytes = events.map(|event| event_bytes(event)).sum();
        Ok(Unnamed { changed, next: None })
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
