//! Posts that wait for their room's delay to be over. They have no place in any order, no event and no
//! number among the posts: to everything that is asked of the order they are not there.
//!
//! Neighbours: `posts.rs` puts them in and takes them out; the shard's turn says which, so that they can
//! be put back. In memory only: nobody was promised anything. It decides nothing.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher as _;
use core::sync::atomic::{AtomicUsize, Ordering};

use foldhash::SharedSeed;
use foldhash::quality::{FixedState, FoldHasher};
use hashbrown::HashMap;

use crate::command::Came;
use crate::event::{Author, Extras};
use crate::id::{RoomId, Timestamp, UserId};
use crate::limits::{HELD_OF_ROOM_MAX, HELD_OF_SENDER_MAX, Limits, UNAVAILABLE_RETRY_AFTER_MS};
use crate::rejection::Rejection;
use crate::text::{Body, OriginId};

/// A number is the millisecond above this many bits of chance: ascending, and no count of anything.
const NUMBER_CHANCE_BITS: u32 = 10;
/// Numbers stay below 2^53, which JSON keeps, until the year 2248.
const NUMBER_MILLIS_MASK: u64 = (1 << (53 - NUMBER_CHANCE_BITS)) - 1;

/// A post that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPost {
    /// Its number among what waits; greater than that of what waited before it.
    pub number: u64,
    /// In which room.
    pub room: RoomId,
    /// Since when.
    pub at: Timestamp,
    /// Whose it is.
    pub author: Author,
    /// The sender's own id.
    pub origin_id: Option<OriginId>,
    /// The text.
    pub body: Body,
    /// What few posts have.
    pub extras: Option<Box<Extras>>,
}

impl HeldPost {
    /// When its delay is over.
    pub fn until(&self, delay_seconds: u32) -> Timestamp {
        Timestamp(self.at.0 + u64::from(delay_seconds) * 1_000)
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let extras = self.extras.as_ref().map_or(0, |extras| extras.bytes());
        let origin = self.origin_id.as_ref().map_or(0, |id| id.as_str().len());
        size_of::<Self>()
            + self.author.name.as_str().len()
            + self.body.as_str().len()
            + origin
            + extras
    }
}

/// A post that waits from this turn on, or waits no longer after it.
#[derive(Clone, Debug)]
pub struct Waited {
    /// Which.
    pub post: Arc<HeldPost>,
    /// What came of it; `None` while it waits.
    pub came: Option<Came>,
    /// While it waits: when it will be decided again.
    pub until: Timestamp,
}

/// Some of what waits in a room, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldPage {
    /// What, and when each will be decided again.
    pub posts: Vec<(Arc<HeldPost>, Timestamp)>,
    /// There are more after the last of these.
    pub more: bool,
}

/// What waits in the rooms of a shard.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Only rooms in which something waits.
    rooms: HashMap<RoomId, Line, FixedState>,
    /// The same rooms, by when the first of each line is due.
    due: BTreeSet<(Timestamp, RoomId)>,
    newest: u64,
    seed: SharedSeed,
    total: Arc<Total>,
    held_max: usize,
    held_bytes_max: usize,
}

/// What waits in one room, in its order.
#[derive(Debug, Default)]
struct Line {
    posts: BTreeMap<u64, Arc<HeldPost>>,
    /// What could not be decided is not tried again before this.
    not_before: Timestamp,
    /// As it stands in `Waiting::due`.
    due: Timestamp,
}

/// What waits in all shards of a server.
#[derive(Debug, Default)]
struct Total {
    posts: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    pub(super) fn new(seed: u64, limits: &Limits) -> Self {
        Self {
            rooms: HashMap::with_hasher(FixedState::with_seed(seed)),
            due: BTreeSet::new(),
            newest: 0,
            seed: SharedSeed::from_u64(seed),
            total: Arc::default(),
            held_max: limits.held_max,
            held_bytes_max: limits.held_bytes_max,
        }
    }

    /// Counts what waits in all together with another.
    pub(super) fn count_with(&mut self, other: &Self) {
        assert!(self.rooms.is_empty(), "nothing waits yet");
        self.total = Arc::clone(&other.total);
    }

    pub(super) fn get(&self, room: RoomId, number: u64) -> Option<&Arc<HeldPost>> {
        self.rooms.get(&room)?.posts.get(&number)
    }

    /// What of this account waits in a room, the newest first.
    pub(super) fn of(&self, room: RoomId, user: UserId) -> impl Iterator<Item = &Arc<HeldPost>> {
        let line = self.rooms.get(&room).into_iter().flat_map(|line| line.posts.values().rev());
        line.filter(move |post| post.author.id == user)
    }

    /// What waits in a room, in its order.
    pub(super) fn line(&self, room: RoomId) -> impl Iterator<Item = &Arc<HeldPost>> {
        self.rooms.get(&room).into_iter().flat_map(|line| line.posts.values())
    }

    /// The number of a post that waits from this time on.
    pub(super) fn next_number(&self, at: Timestamp) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.newest, &self.seed);
        hasher.write_u64(at.0);
        let chance = hasher.finish() >> (u64::BITS - NUMBER_CHANCE_BITS);
        let number = (at.0 & NUMBER_MILLIS_MASK) << NUMBER_CHANCE_BITS | chance;
        number.max(self.newest + 1)
    }

    /// One more waits, unless too many do.
    pub(super) fn hold(&mut self, post: &Arc<HeldPost>) -> Result<(), Rejection> {
        let of_room = self.rooms.get(&post.room).map_or(0, |line| line.posts.len());
        let of_sender = self.of(post.room, post.author.id).count();
        let full = of_sender >= HELD_OF_SENDER_MAX || of_room >= HELD_OF_ROOM_MAX;
        if full || !self.total.add(post.bytes(), self.held_max, self.held_bytes_max) {
            return Err(Rejection::LimitReached);
        }
        self.newest = post.number;
        self.put(post);
        Ok(())
    }

    /// It waits no longer.
    pub(super) fn take(&mut self, post: &HeldPost) {
        let line = self.rooms.get_mut(&post.room).expect("what waits is in a line");
        line.posts.remove(&post.number).expect("what waits is in its line");
        self.total.sub(post.bytes());
    }

    /// It waits again, where it stood.
    pub(super) fn put_back(&mut self, post: &Arc<HeldPost>) {
        // What was let wait once is let wait again, whatever came since.
        _ = self.total.add(post.bytes(), usize::MAX, usize::MAX);
        self.put(post);
    }

    fn put(&mut self, post: &Arc<HeldPost>) {
        let line = self.rooms.entry(post.room).or_default();
        let was = line.posts.insert(post.number, Arc::clone(post));
        assert!(was.is_none(), "a number stands for one post");
    }

    /// What is due in this room could not be decided: not before a while.
    pub(super) fn postpone(&mut self, room: RoomId, at: Timestamp) {
        if let Some(line) = self.rooms.get_mut(&room) {
            line.not_before = Timestamp(at.0 + u64::from(UNAVAILABLE_RETRY_AFTER_MS));
        }
    }

    /// Brings the room's line to where it stands by this delay; after whatever changed it.
    pub(super) fn schedule(&mut self, room: RoomId, delay_seconds: u32) {
        let Some(line) = self.rooms.get_mut(&room) else { return };
        self.due.remove(&(line.due, room));
        match line.posts.first_key_value() {
            Some((_, first)) => {
                line.due = first.until(delay_seconds).max(line.not_before);
                self.due.insert((line.due, room));
            }
            None => _ = self.rooms.remove(&room),
        }
    }

    /// The rooms that have something due at this time.
    pub(super) fn due_at(&self, at: Timestamp) -> impl Iterator<Item = RoomId> {
        self.due.iter().take_while(move |(due, _)| *due <= at).map(|(_, room)| *room)
    }

    /// When the next of all is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }
}

impl Total {
    /// Counts one more in, if that is not more than may be.
    fn add(&self, bytes: usize, max: usize, bytes_max: usize) -> bool {
        let posts = self.posts.fetch_add(1, Ordering::Relaxed) + 1;
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let fits = posts <= max && held <= bytes_max;
        if !fits {
            self.sub(bytes);
        }
        fits
    }

    fn sub(&self, bytes: usize) {
        self.posts.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
