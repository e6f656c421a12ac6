//! Which `origin_id`s a room has seen: fingerprints with the place of the post, ten bytes each.
//!
//! Open addressing, linear probing; the slot follows from the fingerprint alone, so that a table
//! can be grown without knowing the ids. A shared fingerprint proves nothing: `shard` settles it by
//! the event. Neighbours: `window` says what counts, `shard` asks, sweeps and undoes. It never holds
//! an id.

use alloc::boxed::Box;
use alloc::vec;

use crate::id::Seq;
use crate::window::Grain;

/// Part of a hash of sender and `origin_id`; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u32);

impl Fingerprint {
    pub(crate) fn of(hash: u64) -> Self {
        Self(((hash >> 32) as u32).max(1))
    }
}

/// One post. `fingerprint` 0: free.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(2))]
struct Slot {
    fingerprint: u32,
    /// The low half of the place; the room's head gives the rest.
    seq: u32,
    age: u16,
}

const _: () = assert!(size_of::<Slot>() == 10);

/// The posts of one room that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    slots: Box<[Slot]>,
    len: u32,
    /// Posts up to here are in the store and not in this table; 0: all are known.
    missing: Seq,
}

impl Origins {
    /// Of a room that was put back: posts up to `head` must be loaded before the table can answer.
    pub(crate) fn unloaded(head: Seq) -> Self {
        Self { missing: head, ..Self::default() }
    }

    /// The place up to which posts are not known.
    pub(crate) fn missing(&self) -> Option<Seq> {
        (self.missing > Seq::ZERO).then_some(self.missing)
    }

    pub(crate) fn loaded(&mut self) {
        self.missing = Seq::ZERO;
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// The places of the posts that share this fingerprint. `head` is the room's newest place.
    pub(crate) fn hits(
        &self,
        fingerprint: Fingerprint,
        head: Seq,
        cutoff: Grain,
    ) -> impl Iterator<Item = Seq> {
        let mut slot = self.home(fingerprint.0);
        core::iter::from_fn(move || {
            while let Some(found) = self.slots.get(slot).filter(|found| found.fingerprint != 0) {
                slot = self.after(slot);
                if found.fingerprint == fingerprint.0 && cutoff.reaches(found.age) {
                    return Some(Seq(head.0 - u64::from((head.0 as u32).wrapping_sub(found.seq))));
                }
            }
            None
        })
    }

    /// Whether this post is remembered.
    pub(crate) fn has(&self, fingerprint: Fingerprint, seq: Seq) -> bool {
        self.find(fingerprint, seq).is_some()
    }

    /// Remembers a post. What no longer counts goes when the table has to grow.
    pub(crate) fn insert(
        &mut self,
        fingerprint: Fingerprint,
        seq: Seq,
        grain: Grain,
        cutoff: Grain,
    ) {
        // Three quarters full at most: probing stays short and ends.
        if (self.len as usize + 1) * 4 > self.slots.len() * 3 {
            self.resize(1, cutoff);
        }
        self.put(Slot { fingerprint: fingerprint.0, seq: seq.0 as u32, age: grain.age() });
        self.len += 1;
    }

    /// Forgets a post that did not come to be. Returns whether it was remembered.
    pub(crate) fn remove(&mut self, fingerprint: Fingerprint, seq: Seq) -> bool {
        let found = self.find(fingerprint, seq);
        if let Some(slot) = found {
            self.free(slot);
        }
        found.is_some()
    }

    /// Frees what no longer counts among `slots_max` slots from `from` on. Returns where to go on;
    /// at the end memory is given back and 0 is returned.
    pub(crate) fn sweep(&mut self, from: usize, slots_max: usize, cutoff: Grain) -> usize {
        let mut slot = from;
        for _ in 0..slots_max {
            let Some(found) = self.slots.get(slot) else { break };
            if found.fingerprint != 0 && !cutoff.reaches(found.age) {
                self.free(slot); // Another may have moved here: look again.
            } else {
                slot += 1;
            }
        }
        if slot < self.slots.len() {
            return slot;
        }
        if (self.len as usize) * 4 < self.slots.len() {
            self.resize(0, cutoff);
        }
        0
    }

    fn home(&self, fingerprint: u32) -> usize {
        ((u64::from(fingerprint) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn find(&self, fingerprint: Fingerprint, seq: Seq) -> Option<usize> {
        let mut slot = self.home(fingerprint.0);
        while let Some(found) = self.slots.get(slot).filter(|found| found.fingerprint != 0) {
            if found.fingerprint == fingerprint.0 && found.seq == seq.0 as u32 {
                return Some(slot);
            }
            slot = self.after(slot);
        }
        None
    }

    fn put(&mut self, new: Slot) {
        let mut slot = self.home(new.fingerprint);
        while self.slots[slot].fingerprint != 0 {
            slot = self.after(slot);
        }
        self.slots[slot] = new;
    }

    /// Frees a slot and moves the followers up that were pushed past it.
    fn free(&mut self, slot: usize) {
        let mut hole = slot;
        let mut next = self.after(hole);
        while self.slots[next].fingerprint != 0 {
            let home = self.home(self.slots[next].fingerprint);
            let stays =
                if hole < next { hole < home && home <= next } else { hole < home || home <= next };
            if !stays {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.slots[hole] = Slot::default();
        self.len -= 1;
    }

    /// A table with room for what still counts and for `more`, and to spare.
    fn resize(&mut self, more: usize, cutoff: Grain) {
        let counts = |slot: &&Slot| slot.fingerprint != 0 && cutoff.reaches(slot.age);
        let kept = self.slots.iter().filter(counts).count();
        let capacity = if kept + more == 0 { 0 } else { ((kept + more) * 7 / 4).max(4) };
        let old = core::mem::replace(&mut self.slots, vec![Slot::default(); capacity].into());
        for slot in old.iter().filter(counts) {
            self.put(*slot);
        }
        self.len = u32::try_from(kept).expect("a room remembers fewer posts than that");
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::id::Timestamp;
    use crate::limits::Limits;
    use crate::window::Window;

    fn print(i: u64) -> Fingerprint {
        Fingerprint::of(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn grain(i: u64) -> Grain {
        let limits = Limits { origin_window_ms: 8_192, ..Limits::default() };
        Window::new(&limits).grain(Timestamp(i))
    }

    fn places(table: &Origins, i: u64, head: u64, cutoff: Grain) -> Vec<u64> {
        table.hits(print(i), Seq(head), cutoff).map(|seq| seq.0).collect()
    }

    #[test]
    fn what_was_put_in_is_found_and_what_was_taken_out_is_not() {
        let mut table = Origins::default();
        let none = Grain::default();
        for i in 1..=1_000 {
            table.insert(print(i), Seq(i), none, none);
        }
        for i in (1..=1_000).filter(|i| i % 3 == 0) {
            assert!(table.remove(print(i), Seq(i)));
            assert!(!table.remove(print(i), Seq(i)));
        }
        for i in 1..=1_000 {
            let expected = if i % 3 == 0 { Vec::new() } else { vec![i] };
            assert_eq!(places(&table, i, 1_000, none), expected);
        }
    }

    #[test]
    fn a_shared_fingerprint_gives_every_place_that_has_it() {
        let mut table = Origins::default();
        let none = Grain::default();
        for seq in 1..=20 {
            table.insert(print(1), Seq(seq), none, none);
        }
        let mut found = places(&table, 1, 20, none);
        found.sort_unstable();
        assert_eq!(found, (1..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_place_beyond_four_thousand_million_is_told_whole() {
        let mut table = Origins::default();
        let none = Grain::default();
        let seq = (1 << 33) - 1;
        table.insert(print(1), Seq(seq), none, none);
        for head in [seq, seq + 1, seq + (1 << 31)] {
            assert_eq!(places(&table, 1, head, none), [seq]);
        }
    }

    #[test]
    fn what_no_longer_counts_is_not_found_and_a_sweep_gives_its_memory_back() {
        let mut table = Origins::default();
        for i in 1..=1_000 {
            table.insert(print(i), Seq(i), grain(i), Grain::default());
        }
        assert!(places(&table, 500, 1_000, grain(501)).is_empty());
        assert_eq!(places(&table, 501, 1_000, grain(501)), [501]);
        let mut at = 0;
        for _ in 0..100 {
            at = table.sweep(at, 64, grain(991));
        }
        assert!(table.capacity() < 64, "{} slots for ten posts", table.capacity());
        for i in 1..=1_000 {
            assert_eq!(places(&table, i, 1_000, grain(991)).len(), usize::from(i > 990));
        }
        while table.sweep(0, 64, grain(2_000)) != 0 {}
        assert_eq!(table.bytes(), 0);
        table.insert(print(1), Seq(2_000), grain(2_000), grain(2_000));
        assert_eq!(places(&table, 1, 2_000, grain(2_000)), [2_000]);
    }

    #[test]
    fn a_table_costs_less_than_eighteen_bytes_a_post() {
        let mut table = Origins::default();
        let none = Grain::default();
        for i in 1..=100_000 {
            table.insert(print(i), Seq(i), none, none);
            assert!(i < 100 || table.bytes() as u64 <= i * 18, "{} at {i}", table.bytes());
        }
    }
}
