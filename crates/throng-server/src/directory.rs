//! Which rooms there are, who belongs to them and how far they have got: what is asked without
//! passing through a room's order.
//!
//! Neighbours: the sequencer brings it up to date after each commit and before anybody is told, so
//! that it is never behind what a client has seen; listing, reading and subscribing ask it. It never
//! decides an order: whether a post is taken is the shard's to say. Of an account it knows where it is a
//! member, since when, and where it stands there.

mod avatars;
mod direct;
mod held;
mod list;
mod names;
mod numbers;
mod standing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use throng_core::id::SEQ_MAX;
use throng_core::rights::{Operation, permit};
use throng_core::{
    Avatar, Event, EventKind, FileHash, Kind, Limits, Person, Policy, Rejection, Role, RoomId,
    RoomName, Seq, Standing, Topic, UserId, Words,
};

use crate::keeping::Keeping;
use crate::leavers::Leavers;
use direct::Direct;
pub use held::Held;

/// Locks of the accounts' rooms; each guards the accounts whose number falls to it.
const STRIPES: usize = 16;

/// The rooms and their members.
#[derive(Debug)]
pub struct Directory {
    rooms: RwLock<Rooms>,
    belongs: [Mutex<HashMap<UserId, Belongs>>; STRIPES],
    /// What is asked in place of a room that there is not: a private one in which nobody stands, so
    /// that the time of an answer does not tell which it was.
    nowhere: Entry,
    posts_total: AtomicU64,
    keeping: Arc<Keeping>,
    leavers: Arc<Leavers>,
    /// Guests whose ban is on its way to a room.
    closing: Mutex<Vec<(UserId, RoomId)>>,
    /// How many rooms have which picture.
    avatars: Mutex<HashMap<FileHash, u32>>,
    rooms_max: u32,
    rooms_per_user_max: usize,
    pushed_members_max: usize,
}

#[derive(Debug, Default)]
struct Rooms {
    /// By number; a number that was reserved and given back stays empty.
    by_number: Vec<Option<Arc<Entry>>>,
    /// Public rooms by the keys of their names; reserved names too. The name of a private room is
    /// nobody else's business, and not even that it is taken.
    by_name: HashMap<String, RoomId>,
    /// Rooms that are about to be renamed, and how.
    renaming: Vec<(RoomId, RoomName)>,
    /// Public rooms, ascending.
    public: Vec<RoomId>,
    direct: Direct,
    /// Rooms, and reserved numbers.
    len: usize,
}

#[derive(Debug)]
struct Entry {
    name: Mutex<RoomName>,
    settled: Mutex<Settled>,
    head: AtomicU64,
    posts: AtomicU64,
    members: AtomicU32,
}

/// What a room has settled.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// As far as rights depend on it.
    pub policy: Policy,
    /// What it is about.
    pub topic: Topic,
    /// Which words may not be said.
    pub words: Words,
    /// Which picture stands for it.
    pub avatar: Avatar,
}

/// Where an account is a member, and since when, in eight bytes: the room's number above the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

impl Place {
    fn new(room: RoomId, joined: Seq) -> Self {
        Self(u64::from(room.get()) << 40 | joined.0.min(SEQ_MAX))
    }

    fn room(self) -> RoomId {
        RoomId::new((self.0 >> 40) as u32).expect("made of a room")
    }

    fn joined(self) -> Seq {
        Seq(self.0 & SEQ_MAX)
    }
}

/// The rooms of one account.
#[derive(Debug, Default)]
struct Belongs {
    /// Ascending.
    rooms: Vec<Place>,
    /// Where it is more or less than a member without marks, ascending; few are.
    marks: Vec<(RoomId, Standing)>,
    /// Joins that were let through and are not decided yet.
    joining: u32,
    /// Of the rooms, those of two.
    direct: u32,
}

/// What may be read of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its newest durable event.
    pub head: Seq,
    /// The first place that may be read.
    pub from: Seq,
}

impl Reading {
    /// Whether what stands at this place may be shown: it may be read, and it is known what came of it.
    pub fn shows(self, seq: Seq) -> bool {
        (self.from..=self.head).contains(&seq)
    }

    /// Whether all that follows this place may be read.
    pub fn goes_on_from(self, after: Seq) -> bool {
        after.next() >= self.from
    }
}

impl Directory {
    /// No rooms yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            rooms: RwLock::default(),
            belongs: std::array::from_fn(|_| Mutex::default()),
            nowhere: Entry::nowhere(),
            posts_total: AtomicU64::new(0),
            keeping: Arc::new(Keeping::new(limits)),
            leavers: Arc::default(),
            closing: Mutex::default(),
            avatars: Mutex::default(),
            rooms_max: limits.rooms_max,
            rooms_per_user_max: limits.rooms_per_user_max,
            pushed_members_max: limits.pushed_members_max,
        }
    }

    /// How long rooms keep what was said.
    pub fn keeping(&self) -> &Arc<Keeping> {
        &self.keeping
    }

    /// Start-up: a room as the shard has it.
    pub fn restore(
        &self,
        room: RoomId,
        name: RoomName,
        settled: Settled,
        (head, posts): (Seq, u64),
        people: impl Iterator<Item = (UserId, Person)>,
    ) {
        let mut count = 0;
        let people: Vec<_> = people.collect();
        let direct = settled.policy.kind == Kind::Direct;
        self.keeping.note(room, settled.policy.keep_seconds);
        for (user, person) in people.iter().copied() {
            let mut belonging = self.belonging(user);
            let belongs = belonging.entry(user).or_default();
            if let Some(joined) = person.joined() {
                count += 1;
                belongs.direct += u32::from(direct);
                belongs.add(room, joined);
            }
            belongs.mark(room, person.standing());
            forget_if_nothing(&mut belonging, user);
        }
        self.shown(Avatar(None), settled.avatar);
        let entry = Entry {
            name: Mutex::new(name),
            settled: Mutex::new(settled),
            head: AtomicU64::new(head.0),
            posts: AtomicU64::new(posts),
            members: AtomicU32::new(count),
        };
        self.posts_total.fetch_add(posts, Ordering::Relaxed);
        let mut rooms = self.write();
        rooms.len += 1;
        rooms.put(room, entry);
        if direct {
            rooms.direct.restore(room, &people);
        }
    }

    /// Lets an account join one more room, or says that it has enough.
    pub fn may_join(
        self: &Arc<Self>,
        user: UserId,
        room: Option<RoomId>,
    ) -> Result<Held, Rejection> {
        let mut belonging = self.belonging(user);
        let belongs = belonging.entry(user).or_default();
        let member = room.is_some_and(|room| belongs.joined(room).is_some());
        let count = belongs.rooms.len() - belongs.direct as usize + belongs.joining as usize;
        if !member && count >= self.rooms_per_user_max {
            return Err(Rejection::LimitReached);
        }
        belongs.joining += 1;
        Ok(Held::place(self, user))
    }

    /// The join is decided, one way or the other.
    fn settle(&self, user: UserId) {
        let mut belonging = self.belonging(user);
        if let Some(belongs) = belonging.get_mut(&user) {
            belongs.joining -= 1;
            forget_if_nothing(&mut belonging, user);
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
        if let EventKind::Created { name, kind, .. } = &event.kind {
            let policy = Policy { kind: *kind, ..Policy::default() };
            let entry = Entry {
                name: Mutex::new(name.clone()),
                settled: Mutex::new(Settled { policy, ..Settled::default() }),
                head: AtomicU64::new(seq.0),
                posts: AtomicU64::new(0),
                members: AtomicU32::new(0),
            };
            self.keeping.note(room, None);
            self.write().put(room, entry);
            return;
        }
        if let EventKind::Set { settings, .. } = &event.kind
            && let Some(name) = &settings.name
        {
            self.write().renamed(room, name);
        }
        let membership = event.kind.about().map(|user| self.take_in(user, event));
        let rooms = self.read();
        let entry = rooms.get(room).expect("an event's room was created before");
        match membership {
            Some((false, true)) => _ = entry.members.fetch_add(1, Ordering::Relaxed),
            Some((true, false)) => _ = entry.members.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        match &event.kind {
            EventKind::Set { settings, .. } => {
                let mut settled = lock(&entry.settled);
                settled.policy = settled.policy.with(settings);
                self.keeping.note(room, settings.keep_seconds);
                if let Some(topic) = &settings.topic {
                    settled.topic = topic.clone();
                }
                if let Some(words) = &settings.words {
                    settled.words = words.clone();
                }
                if let Some(avatar) = settings.avatar {
                    self.shown(settled.avatar, avatar);
                    settled.avatar = avatar;
                }
            }
            EventKind::Posted { .. } => {
                entry.posts.fetch_add(1, Ordering::Relaxed);
                self.posts_total.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        // Released last: who sees this head sees the membership that goes with it.
        entry.head.store(seq.0, Ordering::Release);
    }

    /// An event about an account; whether it belonged before and after.
    fn take_in(&self, user: UserId, event: &Event) -> (bool, bool) {
        // The two of a direct room are there at its second and third place, and stay.
        let direct = event.seq <= Seq(3) && self.is_direct(event.room);
        let mut belonging = self.belonging(user);
        let belongs = belonging.entry(user).or_default();
        belongs.direct += u32::from(direct);
        let joined = belongs.joined(event.room);
        let was = joined.map(|seq| Person::new(seq, belongs.standing(event.room)));
        let marks = belongs.standing(event.room);
        let was = was.or_else(|| (!marks.is_nothing()).then(|| Person::new(Seq::ZERO, marks)));
        let now = Person::after(event, was);
        let standing = now.map_or(Standing::default(), Person::standing);
        match now.and_then(Person::joined) {
            Some(seq) => belongs.add(event.room, seq),
            None => belongs.remove(event.room),
        }
        belongs.mark(event.room, standing);
        forget_if_nothing(&mut belonging, user);
        (joined.is_some(), now.is_some_and(|now| now.joined().is_some()))
    }

    /// Where an account stands in a room, and where it joined.
    fn stands(&self, user: UserId, room: RoomId) -> (Standing, Option<Seq>) {
        let belonging = self.belonging(user);
        belonging.get(&user).map_or((Standing::default(), None), |belongs| {
            (belongs.standing(room), belongs.joined(room))
        })
    }

    /// What an account may read of a room, or why nothing.
    pub fn reading(
        &self,
        user: UserId,
        room: RoomId,
        operation: Operation,
    ) -> Result<Reading, Rejection> {
        // First the head: who sees an event of its membership sees the membership too.
        let (there, head, policy) = {
            let rooms = self.read();
            let entry = rooms.get(room);
            let asked = entry.unwrap_or(&self.nowhere);
            let head = asked.head.load(Ordering::Acquire);
            (entry.is_some(), head, lock(&asked.settled).policy)
        };
        let (standing, joined) = self.stands(user, room);
        permit(operation, standing, policy)?;
        if !there {
            return Err(Rejection::NoSuchRoom);
        }
        Ok(Reading { head: Seq(head), from: policy.readable_from(joined) })
    }

    /// A room's word filter, for one who may read it.
    pub fn words(&self, user: UserId, room: RoomId) -> Result<Words, Rejection> {
        self.reading(user, room, Operation::Words)?;
        let rooms = self.read();
        let entry = rooms.get(room).ok_or(Rejection::NoSuchRoom)?;
        Ok(lock(&entry.settled).words.clone())
    }

    /// The newest durable event of a room, for one who may hear it; the refusal for others.
    pub fn head(&self, user: UserId, room: RoomId) -> Result<Seq, Rejection> {
        self.reading(user, room, Operation::Subscribe).map(|reading| reading.head)
    }

    /// The same for one who has it up to a place and wants what follows; `TooOld` where that is not for it:
    /// it was removed since and has come back, and history is for those who were there.
    pub fn goes_on(&self, user: UserId, room: RoomId, after: Seq) -> Result<Seq, Rejection> {
        let reading = self.reading(user, room, Operation::Subscribe)?;
        if reading.goes_on_from(after) { Ok(reading.head) } else { Err(Rejection::TooOld) }
    }

    /// How many belong to a room, and whether they are few enough to be named to each other.
    pub fn members(&self, room: RoomId) -> (u32, bool) {
        let members = self.read().get(room).map(|it| it.members.load(Ordering::Relaxed));
        let members = members.unwrap_or_default();
        (members, members as usize <= self.pushed_members_max)
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
        self.read().len
    }

    /// Posts of the whole server so far.
    pub fn posts_total(&self) -> u64 {
        self.posts_total.load(Ordering::Relaxed)
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

    fn put(&mut self, room: RoomId, mut entry: Entry) {
        let number = room.get() as usize;
        if self.by_number.len() <= number {
            self.by_number.resize_with(number + 1, || None);
        }
        let settled = entry.settled.get_mut().unwrap_or_else(PoisonError::into_inner);
        if settled.policy.kind == Kind::Public {
            self.name(lock(&entry.name).keys(), room);
            // Shards commit side by side: nearly in order.
            if let Err(at) = self.public.binary_search(&room) {
                self.public.insert(at, room);
            }
        }
        self.by_number[number] = Some(Arc::new(entry));
    }
}

impl Entry {
    fn nowhere() -> Self {
        let policy = Policy { kind: Kind::Private, ..Policy::default() };
        Self {
            name: Mutex::new(RoomName::parse("nowhere").expect("plain letters")),
            settled: Mutex::new(Settled { policy, ..Settled::default() }),
            head: AtomicU64::new(0),
            posts: AtomicU64::new(0),
            members: AtomicU32::new(0),
        }
    }
}

impl Belongs {
    fn at(&self, room: RoomId) -> Result<usize, usize> {
        self.rooms.binary_search_by_key(&room, |place| place.room())
    }

    fn add(&mut self, room: RoomId, joined: Seq) {
        if let Err(at) = self.at(room) {
            // Most accounts are in few rooms, and there are many accounts.
            self.rooms.reserve_exact(1 + self.rooms.len() / 4);
            self.rooms.insert(at, Place::new(room, joined));
        }
    }

    fn remove(&mut self, room: RoomId) {
        if let Ok(at) = self.at(room) {
            self.rooms.remove(at);
        }
    }

    fn joined(&self, room: RoomId) -> Option<Seq> {
        self.at(room).ok().map(|at| self.rooms[at].joined())
    }

    /// Its role, if it belongs, and its marks.
    fn standing(&self, room: RoomId) -> Standing {
        let mark = self.marks.binary_search_by_key(&room, |(marked, _)| *marked);
        let mark = mark.map_or(Standing::default(), |at| self.marks[at].1);
        if self.at(room).is_ok() && mark.role().is_none() {
            return mark.as_role(Role::Member);
        }
        mark
    }

    fn mark(&mut self, room: RoomId, standing: Standing) {
        // To be a member and nothing else is what `rooms` says.
        let plain = standing.role() == Some(Role::Member);
        let mark = if plain { standing.without(Standing::of(Role::Member)) } else { standing };
        match self.marks.binary_search_by_key(&room, |(marked, _)| *marked) {
            Ok(at) if mark.is_nothing() => _ = self.marks.remove(at),
            Ok(at) => self.marks[at].1 = mark,
            Err(_) if mark.is_nothing() => {}
            Err(at) => self.marks.insert(at, (room, mark)),
        }
    }
}

fn forget_if_nothing(belonging: &mut HashMap<UserId, Belongs>, user: UserId) {
    let nothing = |it: &Belongs| it.rooms.is_empty() && it.marks.is_empty() && it.joining == 0;
    if belonging.get(&user).is_some_and(nothing) {
        belonging.remove(&user);
    }
}

fn lock<T>(settled: &Mutex<T>) -> MutexGuard<'_, T> {
    settled.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
