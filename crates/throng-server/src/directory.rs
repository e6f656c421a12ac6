//! Which rooms there are, who belongs to them and how far they have got: what is asked without
//! passing through a room's order.
//!
//! Neighbours: the sequencer brings it up to date after each commit and before anybody is told, so
//! that it is never behind what a client has seen; listing, reading and subscribing ask it. It never
//! decides an order: whether a post is taken is the shard's to say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use throng_core::limits::ROOM_LIST_MAX;
use throng_core::{Event, EventKind, Limits, Rejection, RoomId, RoomName, Seq, UserId};

use crate::pages::{RoomList, RoomSummary};

/// Locks of the accounts' rooms; each guards the accounts whose number falls to it.
const STRIPES: usize = 16;

/// The rooms and their members.
#[derive(Debug)]
pub struct Directory {
    rooms: RwLock<Rooms>,
    belongs: [Mutex<HashMap<UserId, Belongs>>; STRIPES],
    posts_total: AtomicU64,
    rooms_max: u32,
    rooms_per_user_max: usize,
}

#[derive(Debug, Default)]
struct Rooms {
    /// By number; a number that was reserved and given back stays empty.
    by_number: Vec<Option<Arc<Entry>>>,
    /// By folded name; reserved names too.
    by_name: HashMap<String, RoomId>,
}

#[derive(Debug)]
struct Entry {
    name: RoomName,
    head: AtomicU64,
    posts: AtomicU64,
    members: AtomicU32,
}

/// The rooms of one account.
#[derive(Debug, Default)]
struct Belongs {
    /// Ascending.
    rooms: Vec<RoomId>,
    /// Joins that were let through and are not decided yet.
    joining: u32,
}

/// Room to grow into for one account; given back by `settle` when the join is decided.
#[derive(Debug)]
#[must_use = "a reserved place is settled when the join is decided"]
pub struct Reserved(UserId);

impl Directory {
    /// No rooms yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            rooms: RwLock::default(),
            belongs: std::array::from_fn(|_| Mutex::default()),
            posts_total: AtomicU64::new(0),
            rooms_max: limits.rooms_max,
            rooms_per_user_max: limits.rooms_per_user_max,
        }
    }

    /// Start-up: a room as the shard has it.
    pub fn restore(
        &self,
        room: RoomId,
        name: RoomName,
        (head, posts): (Seq, u64),
        members: impl Iterator<Item = UserId>,
    ) {
        let mut count = 0;
        for user in members {
            count += 1;
            self.belonging(user).entry(user).or_default().add(room);
        }
        let entry = Entry {
            name,
            head: AtomicU64::new(head.0),
            posts: AtomicU64::new(posts),
            members: AtomicU32::new(count),
        };
        self.posts_total.fetch_add(posts, Ordering::Relaxed);
        let mut rooms = self.write();
        rooms.by_name.insert(entry.name.fold(), room);
        rooms.put(room, entry);
    }

    /// Takes the next number for a room of this name, or says why not. Given back by `give_back`.
    pub fn reserve(&self, name: &RoomName) -> Result<RoomId, Rejection> {
        let mut rooms = self.write();
        let folded = name.fold();
        if rooms.by_name.contains_key(&folded) {
            return Err(Rejection::RoomNameTaken);
        }
        if rooms.by_name.len() >= self.rooms_max as usize {
            return Err(Rejection::LimitReached);
        }
        // Number 0 is no room, so that the first place of the table stays empty.
        let number = rooms.by_number.len().max(1);
        let room = u32::try_from(number).ok().and_then(RoomId::new);
        let room = room.ok_or(Rejection::LimitReached)?;
        rooms.by_number.resize_with(number + 1, || None);
        rooms.by_name.insert(folded, room);
        Ok(room)
    }

    /// The room of a reserved name was not made.
    pub fn give_back(&self, room: RoomId, name: &RoomName) {
        let mut rooms = self.write();
        if rooms.get(room).is_none() {
            rooms.by_name.remove(&name.fold());
        }
    }

    /// Lets an account join one more room, or says that it has enough.
    pub fn may_join(&self, user: UserId, room: Option<RoomId>) -> Result<Reserved, Rejection> {
        let mut belonging = self.belonging(user);
        let belongs = belonging.entry(user).or_default();
        let member = room.is_some_and(|room| belongs.rooms.binary_search(&room).is_ok());
        let count = belongs.rooms.len() + belongs.joining as usize;
        if !member && count >= self.rooms_per_user_max {
            return Err(Rejection::LimitReached);
        }
        belongs.joining += 1;
        Ok(Reserved(user))
    }

    /// The join is decided, one way or the other.
    pub fn settle(&self, reserved: &Reserved) {
        let mut belonging = self.belonging(reserved.0);
        if let Some(belongs) = belonging.get_mut(&reserved.0) {
            belongs.joining -= 1;
            if belongs.rooms.is_empty() && belongs.joining == 0 {
                belonging.remove(&reserved.0);
            }
        }
    }

    /// What was committed, in order. After this a client may be told.
    pub fn update(&self, events: &[Arc<Event>]) {
        for event in events {
            self.apply(event);
        }
    }

    fn apply(&self, event: &Event) {
        let (room, seq) = (event.room, event.seq);
        if let EventKind::Created { name, .. } = &event.kind {
            let entry = Entry {
                name: name.clone(),
                head: AtomicU64::new(seq.0),
                posts: AtomicU64::new(0),
                members: AtomicU32::new(0),
            };
            let mut rooms = self.write();
            rooms.by_name.insert(name.fold(), room);
            rooms.put(room, entry);
            return;
        }
        match &event.kind {
            EventKind::Created { .. } | EventKind::Posted { .. } => {}
            EventKind::Joined { who } => {
                self.belonging(who.id).entry(who.id).or_default().add(room);
            }
            EventKind::Left { who } => self.remove(who.id, room),
        }
        let rooms = self.read();
        let entry = rooms.get(room).expect("an event's room was created before");
        match &event.kind {
            EventKind::Created { .. } => {}
            EventKind::Joined { .. } => _ = entry.members.fetch_add(1, Ordering::Relaxed),
            EventKind::Left { .. } => _ = entry.members.fetch_sub(1, Ordering::Relaxed),
            EventKind::Posted { .. } => {
                entry.posts.fetch_add(1, Ordering::Relaxed);
                self.posts_total.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Released last: who sees this head sees the membership that goes with it.
        entry.head.store(seq.0, Ordering::Release);
    }

    fn remove(&self, user: UserId, room: RoomId) {
        let mut belonging = self.belonging(user);
        let Some(belongs) = belonging.get_mut(&user) else { return };
        if let Ok(at) = belongs.rooms.binary_search(&room) {
            belongs.rooms.remove(at);
        }
        if belongs.rooms.is_empty() && belongs.joining == 0 {
            belonging.remove(&user);
        }
    }

    /// Whether the account belongs to the room.
    pub fn is_member(&self, user: UserId, room: RoomId) -> bool {
        let belonging = self.belonging(user);
        belonging.get(&user).is_some_and(|belongs| belongs.rooms.binary_search(&room).is_ok())
    }

    /// The newest durable event of a room, for a member; the refusal for others. One that does not
    /// exist and one that the asker does not belong to are told apart only because all rooms are
    /// listed to all.
    pub fn head(&self, user: UserId, room: RoomId) -> Result<Seq, Rejection> {
        let head = match self.read().get(room) {
            Some(entry) => Seq(entry.head.load(Ordering::Acquire)),
            None => return Err(Rejection::NoSuchRoom),
        };
        if self.is_member(user, room) { Ok(head) } else { Err(Rejection::NotMember) }
    }

    /// The newest durable event of a room; 0 for none.
    pub fn head_of(&self, room: RoomId) -> Seq {
        self.read().get(room).map_or(Seq::ZERO, |entry| Seq(entry.head.load(Ordering::Acquire)))
    }

    /// Whether there is such a room.
    pub fn exists(&self, room: RoomId) -> bool {
        self.read().get(room).is_some()
    }

    /// Rooms that exist.
    pub fn rooms_len(&self) -> usize {
        self.read().by_name.len()
    }

    /// Posts of the whole server so far.
    pub fn posts_total(&self) -> u64 {
        self.posts_total.load(Ordering::Relaxed)
    }

    /// A page of the rooms above `after`.
    pub fn list(&self, asker: UserId, after: u32, limit: u32, mine: bool) -> RoomList {
        let limit = match limit as usize {
            0 => ROOM_LIST_MAX,
            asked => asked.min(ROOM_LIST_MAX),
        };
        let own: Vec<RoomId> =
            self.belonging(asker).get(&asker).map(|b| b.rooms.clone()).unwrap_or_default();
        let rooms = self.read();
        let mut page = if mine {
            let above = own.iter().filter(|room| room.get() > after);
            rooms.summaries(above.copied(), &own, limit + 1)
        } else {
            let numbers = after.saturating_add(1)..rooms.by_number.len() as u32;
            rooms.summaries(numbers.filter_map(RoomId::new), &own, limit + 1)
        };
        let more = page.len() > limit;
        page.truncate(limit);
        RoomList { rooms: page, more }
    }

    fn read(&self) -> RwLockReadGuard<'_, Rooms> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rooms> {
        self.rooms.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn belonging(&self, user: UserId) -> MutexGuard<'_, HashMap<UserId, Belongs>> {
        let stripe = &self.belongs[user.get() as usize % STRIPES];
        stripe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn get(&self, room: RoomId) -> Option<&Entry> {
        self.by_number.get(room.get() as usize)?.as_deref()
    }

    fn put(&mut self, room: RoomId, entry: Entry) {
        let number = room.get() as usize;
        if self.by_number.len() <= number {
            self.by_number.resize_with(number + 1, || None);
        }
        self.by_number[number] = Some(Arc::new(entry));
    }

    fn summaries(
        &self,
        numbers: impl Iterator<Item = RoomId>,
        own: &[RoomId],
        limit: usize,
    ) -> Vec<RoomSummary> {
        let summary = |room: RoomId| {
            let entry = self.get(room)?;
            Some(RoomSummary {
                room,
                name: entry.name.clone(),
                members: entry.members.load(Ordering::Relaxed),
                head: Seq(entry.head.load(Ordering::Acquire)),
                posts: entry.posts.load(Ordering::Relaxed),
                member: own.binary_search(&room).is_ok(),
            })
        };
        numbers.filter_map(summary).take(limit).collect()
    }
}

impl Belongs {
    fn add(&mut self, room: RoomId) {
        if let Err(at) = self.rooms.binary_search(&room) {
            // Most accounts are in few rooms, and there are many accounts.
            self.rooms.reserve_exact(1 + self.rooms.len() / 4);
            self.rooms.insert(at, room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throng_core::{Author, Timestamp, Username};

    fn author(id: u64) -> Author {
        let name = Username::parse(&format!("user{id}")).unwrap();
        Author { id: UserId::new(id).unwrap(), name }
    }

    fn event(room: RoomId, seq: u64, kind: EventKind) -> Arc<Event> {
        let (seq, prev) = (Seq(seq), Seq(seq - 1));
        Arc::new(Event { room, seq, prev, pushed: true, at: Timestamp(1), kind })
    }

    fn make(directory: &Directory, name: &str, by: u64) -> RoomId {
        let name = RoomName::parse(name).unwrap();
        let room = directory.reserve(&name).unwrap();
        let created = EventKind::Created { by: author(by), name };
        let joined = EventKind::Joined { who: author(by) };
        directory.update(&[event(room, 1, created), event(room, 2, joined)]);
        room
    }

    fn user(id: u64) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn a_reserved_name_is_taken_until_it_is_given_back() {
        let directory = Directory::new(&Limits::default());
        let (name, same) = (RoomName::parse("Tea").unwrap(), RoomName::parse("tEA").unwrap());
        let first = directory.reserve(&name).unwrap();
        assert_eq!(directory.reserve(&same), Err(Rejection::RoomNameTaken));
        directory.give_back(first, &name);
        let second = directory.reserve(&same).unwrap();
        assert_ne!(first, second, "a number is not used twice");
        assert!(!directory.exists(second), "it exists once it is committed");
    }

    #[test]
    fn the_limit_of_rooms_holds_from_both_sides() {
        let limits = Limits { rooms_max: 2, ..Limits::default() };
        let directory = Directory::new(&limits);
        make(&directory, "one", 1);
        make(&directory, "two", 1);
        let third = RoomName::parse("three").unwrap();
        assert_eq!(directory.reserve(&third), Err(Rejection::LimitReached));
    }

    #[test]
    fn joins_under_way_count_against_an_accounts_rooms() {
        let limits = Limits { rooms_per_user_max: 2, ..Limits::default() };
        let directory = Directory::new(&limits);
        let room = make(&directory, "one", 1);
        let reserved = directory.may_join(user(1), None).unwrap();
        assert!(matches!(directory.may_join(user(1), None), Err(Rejection::LimitReached)));
        let again = directory.may_join(user(1), Some(room)).unwrap();
        directory.settle(&again);
        directory.settle(&reserved);
        assert!(directory.may_join(user(1), None).is_ok());
    }

    #[test]
    fn who_left_reads_no_more() {
        let directory = Directory::new(&Limits::default());
        let room = make(&directory, "one", 1);
        assert_eq!(directory.head(user(1), room), Ok(Seq(2)));
        assert_eq!(directory.head(user(2), room), Err(Rejection::NotMember));
        directory.update(&[event(room, 3, EventKind::Left { who: author(1) })]);
        assert_eq!(directory.head(user(1), room), Err(Rejection::NotMember));
        let list = directory.list(user(1), 0, 0, false);
        assert_eq!((list.rooms[0].members, list.rooms[0].head), (0, Seq(3)));
    }

    #[test]
    fn the_list_comes_in_pages_by_number() {
        let directory = Directory::new(&Limits::default());
        for number in 0..5 {
            make(&directory, &format!("room {number}"), 1 + number % 2);
        }
        let page = directory.list(user(1), 0, 2, false);
        let numbers: Vec<u32> = page.rooms.iter().map(|room| room.room.get()).collect();
        assert_eq!((numbers, page.more), (vec![1, 2], true));
        let page = directory.list(user(1), 2, 3, false);
        assert_eq!((page.rooms.len(), page.more), (3, false));
        let mine = directory.list(user(1), 0, 0, true);
        assert_eq!(mine.rooms.len(), 3);
        assert!(mine.rooms.iter().all(|room| room.member));
    }
}
