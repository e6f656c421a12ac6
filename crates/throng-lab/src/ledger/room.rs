//! A room's order as it comes to be known: one word for what stands at a place and one for the
//! place pushed before it.

use std::collections::{BTreeMap, HashMap};

use super::{SendIx, UserIx};
use crate::drivers::{Act, Change, Event};

/// Places beyond what the run can have caused, before a place is taken for a lie. A server may add
/// an event or two of its own.
const SLACK: u64 = 64;

/// What stands at a place, as one comparable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(u64);

impl Mark {
    const UNKNOWN: Self = Self(0);
    const KIND: u64 = 7 << 61;
    const POST: u64 = 1 << 61;
    const ACCOUNT: u64 = (1 << 60) - 1;

    pub fn post(send: SendIx) -> Self {
        Self(Self::POST | u64::from(send.0))
    }

    pub fn joined(account: u64) -> Self {
        Self(2 << 61 | account & !Self::KIND)
    }

    pub fn left(account: u64) -> Self {
        Self(3 << 61 | account & !Self::KIND)
    }

    pub fn created() -> Self {
        Self(4 << 61)
    }

    /// One change of one message: nobody changes one twice in the same way.
    pub fn change(change: Change, by: UserIx, of: u64) -> Self {
        let by = u64::from(by.0) & ((1 << 27) - 1);
        Self(5 << 61 | (change as u64) << 59 | by << 32 | of & u64::from(u32::MAX))
    }

    /// What was done to somebody.
    pub fn act(act: Act, account: u64) -> Self {
        match act {
            Act::Kick => Self(6 << 61 | account & Self::ACCOUNT),
            Act::Ban => Self(6 << 61 | 1 << 60 | account & Self::ACCOUNT),
            Act::Unban => Self(7 << 61 | account & !Self::KIND),
        }
    }

    /// A change of a message stands here.
    pub fn is_change(self) -> bool {
        self.0 >> 61 == 5
    }

    /// Whose membership began (`true`) or ended here.
    fn membership(self) -> Option<(u64, bool)> {
        match self.0 >> 61 {
            2 => Some((self.0 & !Self::KIND, true)),
            3 => Some((self.0 & !Self::KIND, false)),
            6 => Some((self.0 & Self::ACCOUNT, false)),
            _ => None,
        }
    }

    /// Who came in (`true`) or went, by its own asking.
    fn moved(self) -> Option<(u64, bool)> {
        self.membership().filter(|_| self.0 >> 61 != 6)
    }

    pub fn is_post(self) -> bool {
        self.0 & Self::KIND == Self::POST
    }

    /// The send that stands here.
    fn send(self) -> Option<SendIx> {
        self.is_post().then_some(SendIx(self.0 as u32))
    }
}

/// What an event says besides what happened: an ack says nothing of it.
#[derive(Clone, Copy, Debug)]
pub struct Besides {
    /// The place pushed before.
    prev: u64,
    /// When, and what those whom it names are called: one word, that is never [`UNSTAMPED`].
    stamp: u64,
}

impl Besides {
    pub fn of(event: &Event<'_>) -> Self {
        // The factor is odd: another time is another word.
        let stamp = event.at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ event.names;
        Self { prev: event.prev, stamp: stamp.max(UNSTAMPED + 1) }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub mark: Mark,
    /// The place pushed before, as first told; `UNTOLD` until then.
    prev: u32,
    /// Somebody was told it, so everybody entitled must be.
    pushed: bool,
    /// When and of whom, as first told; `UNSTAMPED` until then.
    stamp: u64,
}

const UNTOLD: u32 = u32::MAX;
const UNSTAMPED: u64 = 0;
const EMPTY: Slot = Slot { mark: Mark::UNKNOWN, prev: UNTOLD, pushed: false, stamp: UNSTAMPED };

impl Slot {
    pub fn is_known(self) -> bool {
        self.mark != Mark::UNKNOWN
    }
}

/// One room.
#[derive(Debug)]
pub struct Room {
    pub number: u32,
    /// The books begin after this place.
    pub base: u64,
    /// Live listeners.
    pub listening: u32,
    /// Events that the run may have caused.
    pub caused: u64,
    /// The newest place known to hold a post.
    pub newest_post: u64,
    /// Read back from history up to here; the number of the post before.
    pub read: u64,
    pub read_n: Option<u64>,
    /// All of history was read.
    pub read_all: bool,
    /// The server tells no places of it.
    pub placeless: bool,
    slots: Vec<Slot>,
}

impl Room {
    pub fn new(number: u32, base: u64) -> Self {
        Self {
            number,
            base,
            listening: 0,
            caused: 0,
            newest_post: 0,
            read: base,
            read_n: None,
            read_all: false,
            placeless: false,
            slots: Vec::new(),
        }
    }

    /// `mark` stands at `seq`. Says what it contradicts.
    pub fn place(
        &mut self,
        seq: u64,
        mark: Mark,
        besides: Option<Besides>,
    ) -> Result<(), &'static str> {
        if seq <= self.base {
            return Err("a place of before the run");
        }
        let at = seq - self.base - 1;
        if at >= self.caused.saturating_mul(2) + SLACK {
            return Err("a place beyond all that can have happened");
        }
        let at = at as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, EMPTY);
        }
        let slot = &mut self.slots[at];
        if slot.mark == Mark::UNKNOWN {
            slot.mark = mark;
            if mark.is_post() {
                self.newest_post = self.newest_post.max(seq);
            }
        } else if slot.mark != mark {
            return Err("something else stands there");
        }
        if let Some(Besides { prev, stamp }) = besides {
            if slot.stamp == UNSTAMPED {
                slot.stamp = stamp;
            } else if slot.stamp != stamp {
                return Err("its time or a name in it is not what others were told");
            }
            // Places before the books are all alike.
            let prev = prev.saturating_sub(self.base).min(u64::from(UNTOLD) - 1) as u32;
            if slot.prev == UNTOLD {
                slot.prev = prev;
            } else if slot.prev != prev {
                return Err("another event was pushed before it, others were told");
            }
        }
        Ok(())
    }

    /// What stands at the places after `base`, in order.
    pub fn slots(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        (self.base + 1..).zip(self.slots.iter().copied())
    }

    /// Posts at or below each place, from `base` on: `posts[seq - base]`.
    pub fn posts_up_to(&self) -> Vec<u32> {
        let mut posts = Vec::with_capacity(self.slots.len() + 1);
        let mut count = 0;
        posts.push(0);
        for (_, slot) in self.slots() {
            count += u32::from(slot.mark.is_post());
            posts.push(count);
        }
        posts
    }

    /// The newest of the sends at or below each place, as how many were made up to it: `newest[seq - base]`.
    pub fn newest_up_to(&self) -> Vec<u32> {
        let mut newest = Vec::with_capacity(self.slots.len() + 1);
        let mut made = 0;
        newest.push(0);
        for (_, slot) in self.slots() {
            made = made.max(slot.mark.send().map_or(0, |send| send.0 + 1));
            newest.push(made);
        }
        newest
    }

    /// How often each account came in and went, by its own asking; ascending.
    pub fn moves(&self) -> BTreeMap<u64, (u32, u32)> {
        let mut moves: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
        for (account, joined) in self.slots().filter_map(|(_, slot)| slot.mark.moved()) {
            let (joins, leaves) = moves.entry(account).or_default();
            *(if joined { joins } else { leaves }) += 1;
        }
        moves
    }

    /// The event at `seq` was told to somebody.
    pub fn pushed(&mut self, seq: u64) {
        if let Some(slot) = self.slots.get_mut((seq.wrapping_sub(self.base + 1)) as usize) {
            slot.pushed = true;
        }
    }

    /// Places that were pushed and hold no post, ascending: told to somebody, or named as pushed
    /// before another.
    pub fn notices(&self) -> Vec<u64> {
        let told = self.slots().filter(|(_, slot)| slot.pushed).map(|(seq, _)| seq);
        let mut places: Vec<u64> =
            self.slots().filter_map(|(_, slot)| self.prev(slot)).chain(told).collect();
        places.sort_unstable();
        places.dedup();
        places.retain(|place| {
            let at = place.checked_sub(self.base + 1).map(|at| at as usize);
            at.and_then(|at| self.slots.get(at)).is_some_and(|slot| !slot.mark.is_post())
        });
        places
    }

    /// Joins (`true`) and leaves of each account, by place.
    pub fn memberships(&self) -> HashMap<u64, Vec<(u64, bool)>> {
        let mut accounts: HashMap<u64, Vec<(u64, bool)>> = HashMap::new();
        for (seq, slot) in self.slots() {
            if let Some((account, joined)) = slot.mark.membership() {
                accounts.entry(account).or_default().push((seq, joined));
            }
        }
        accounts
    }

    /// As a place; `None` when it was not told, or lies before the books.
    fn prev(&self, slot: Slot) -> Option<u64> {
        (slot.prev != UNTOLD && slot.prev != 0).then(|| self.base + u64::from(slot.prev))
    }

    /// Places whose `prev` passes over a post: every post is pushed.
    pub fn broken_links(&self) -> impl Iterator<Item = u64> + '_ {
        let mut newest_post = 0;
        self.slots().filter_map(move |(seq, slot)| {
            let told = self.prev(slot).unwrap_or(self.base);
            let broken = slot.prev != UNTOLD && (told < newest_post || told >= seq);
            if slot.mark.is_post() {
                newest_post = seq;
            }
            broken.then_some(seq)
        })
    }

    /// Bytes that the order takes.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}
