//! How long each room keeps what was said: what it has settled, within what the server allows.
//!
//! Neighbours: the directory notes what rooms settle, before anybody is told; the history asks it at
//! every read, so that what is too old is gone at its time; the fold's `Eraser` asks which rooms have a
//! bound. It reads no clock and keeps nothing of rooms that have settled nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use throng_core::{Limits, RoomId, Timestamp};

/// What rooms keep.
#[derive(Debug)]
pub struct Keeping {
    /// For rooms that have settled nothing; 0 for ever.
    seconds: u32,
    /// For any room; 0 for no bound.
    seconds_max: u32,
    settled: RwLock<BTreeMap<RoomId, u32>>,
    /// The highest number of a room.
    newest: AtomicU32,
}

impl Keeping {
    /// As the server's limits are.
    pub fn new(limits: &Limits) -> Self {
        Self {
            seconds: limits.keep_seconds,
            seconds_max: limits.keep_seconds_max,
            settled: RwLock::default(),
            newest: AtomicU32::new(0),
        }
    }

    /// There is this room, and it has settled this.
    pub fn note(&self, room: RoomId, settled: Option<u32>) {
        self.newest.fetch_max(room.get(), Ordering::Relaxed);
        if let Some(seconds) = settled {
            let mut rooms = self.settled.write().unwrap_or_else(PoisonError::into_inner);
            rooms.insert(room, seconds);
        }
    }

    /// Seconds that a room keeps what was said; 0 for ever.
    pub fn seconds(&self, room: RoomId) -> u32 {
        let asked = self.settled().get(&room).copied().unwrap_or(self.seconds);
        match (asked, self.seconds_max) {
            (asked, 0) => asked,
            (0, most) => most,
            (asked, most) => asked.min(most),
        }
    }

    /// What was said in a room before this time is gone; 0 for nothing.
    pub fn since(&self, room: RoomId, now: Timestamp) -> Timestamp {
        match self.seconds(room) {
            0 => Timestamp(0),
            seconds => Timestamp(now.0.saturating_sub(u64::from(seconds) * 1_000)),
        }
    }

    /// The next room above this number that does not keep all for ever.
    pub fn next(&self, after: u32) -> Option<RoomId> {
        if self.seconds != 0 || self.seconds_max != 0 {
            let next = after.saturating_add(1);
            return RoomId::new(next).filter(|_| next <= self.newest.load(Ordering::Relaxed));
        }
        let settled = self.settled();
        let mut above = match RoomId::new(after) {
            Some(room) => settled.range((Bound::Excluded(room), Bound::Unbounded)),
            None => settled.range(..),
        };
        above.find(|(_, seconds)| **seconds != 0).map(|(room, _)| *room)
    }

    fn settled(&self) -> RwLockReadGuard<'_, BTreeMap<RoomId, u32>> {
        self.settled.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::room;

    fn keeping(keep_seconds: u32, keep_seconds_max: u32) -> Keeping {
        let keeping = Keeping::new(&Limits { keep_seconds, keep_seconds_max, ..Limits::default() });
        let settled = [(1, None), (2, Some(0)), (3, Some(99)), (4, Some(100)), (5, Some(101))];
        for (number, settled) in settled {
            keeping.note(room(number), settled);
        }
        keeping
    }

    #[test]
    fn a_room_keeps_what_it_settled_or_what_the_server_says_and_no_longer_than_the_bound() {
        let of = |keeping: &Keeping| [1, 2, 3, 4, 5].map(|number| keeping.seconds(room(number)));
        assert_eq!(of(&keeping(0, 0)), [0, 0, 99, 100, 101]);
        assert_eq!(of(&keeping(70, 0)), [70, 0, 99, 100, 101]);
        assert_eq!(of(&keeping(0, 100)), [100, 100, 99, 100, 100]);
        assert_eq!(of(&keeping(70, 100)), [70, 100, 99, 100, 100]);
        let keeping = keeping(0, 0);
        keeping.note(room(3), Some(0));
        assert_eq!(keeping.since(room(3), Timestamp(200_000)), Timestamp(0));
        assert_eq!(keeping.since(room(4), Timestamp(200_000)), Timestamp(100_000));
        assert_eq!(keeping.since(room(4), Timestamp(50_000)), Timestamp(0));
    }

    #[test]
    fn the_rooms_with_a_bound_are_met_one_after_the_other() {
        let met = |keeping: &Keeping| {
            let mut at = 0;
            let next = std::iter::from_fn(|| {
                at = keeping.next(at)?.get();
                Some(at)
            });
            next.collect::<Vec<u32>>()
        };
        assert_eq!(met(&keeping(0, 0)), [3, 4, 5]);
        assert_eq!(met(&keeping(0, 1)), [1, 2, 3, 4, 5]);
        assert!(met(&Keeping::new(&Limits::default())).is_empty());
    }
}
