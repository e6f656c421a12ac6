//! What a frame said, remembered by its bytes. The server writes the same bytes to every member of
//! a room, so all receivers but the first would decode what has just been decoded.
//!
//! It is exact: a frame is recognised by comparing all of its bytes, never by a hash alone. What it
//! gives back is what the decoder made of those very bytes.
//!
//! Neighbours: the drivers of one generator share one. It never holds more than `SLOTS` frames.

use std::fmt;

use super::{Event, Now, What};

/// A lobby's bursts and a hundred small rooms at once fit; 1,024 frames of some hundred bytes stay
/// in the second-level cache.
const SLOTS: usize = 1_024;
/// A shorter frame is decoded faster than found.
const LEN_MIN: usize = 48;
/// A longer one is rare, and would grow its slot for good.
const LEN_MAX: usize = 4_096;

/// The posts seen lately.
pub struct Memory {
    slots: Vec<Slot>,
    hits: u64,
    decoded: u64,
}

#[derive(Clone, Default)]
struct Slot {
    frame: Vec<u8>,
    origin_id: String,
    room: u32,
    seq: u64,
    prev: u64,
    at: u64,
    names: u64,
    n: u64,
    user: u64,
    digest: u64,
}

impl Memory {
    /// Empty.
    pub fn new() -> Self {
        Self { slots: vec![Slot::default(); SLOTS], hits: 0, decoded: 0 }
    }

    /// The post that these bytes are, if they were seen lately.
    pub fn recall(&mut self, frame: &[u8]) -> Option<Event<'_>> {
        let slot = &self.slots[place(frame)?];
        if slot.frame != frame {
            return None;
        }
        self.hits += 1;
        Some(Event {
            room: slot.room,
            seq: slot.seq,
            prev: slot.prev,
            at: slot.at,
            names: slot.names,
            what: What::Posted {
                n: slot.n,
                user: slot.user,
                origin_id: &slot.origin_id,
                digest: slot.digest,
                now: Now::AsSent,
            },
        })
    }

    /// Keeps what the bytes were decoded to, when it is a post.
    pub fn keep(&mut self, frame: &[u8], event: &Event<'_>) {
        let (Some(place), What::Posted { n, user, origin_id, digest, now: Now::AsSent }) =
            (place(frame), event.what)
        else {
            return;
        };
        let slot = &mut self.slots[place];
        slot.frame.clear();
        slot.frame.extend_from_slice(frame);
        slot.origin_id.clear();
        slot.origin_id.push_str(origin_id);
        (slot.room, slot.seq, slot.prev) = (event.room, event.seq, event.prev);
        (slot.at, slot.names) = (event.at, event.names);
        (slot.n, slot.user, slot.digest) = (n, user, digest);
    }

    /// A frame was decoded, whatever it said and however it came.
    pub fn decoded(&mut self) {
        self.decoded += 1;
    }

    /// Frames recognised, and frames that were decoded.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits, self.decoded)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} hits, {} decoded)", self.hits, self.decoded)
    }
}

/// Room and place are among the first bytes of a frame in either form; they choose the slot.
fn place(frame: &[u8]) -> Option<usize> {
    if frame.len() < LEN_MIN || frame.len() > LEN_MAX {
        return None;
    }
    let mut mixed = frame.len() as u64;
    for word in frame[..LEN_MIN].chunks_exact(8) {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        mixed = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    Some((mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Event<'static> {
        let what = What::Posted { n: seq, user: 2, origin_id: "o", digest: 3, now: Now::AsSent };
        Event { room: 1, seq, prev: seq - 1, at: seq + 5, names: seq + 6, what }
    }

    #[test]
    fn a_frame_is_recalled_by_all_of_its_bytes() {
        let mut memory = Memory::new();
        let mut frame = vec![7; 200];
        memory.keep(&frame, &event(9));
        assert_eq!(memory.recall(&frame), Some(event(9)));
        *frame.last_mut().unwrap() = 8;
        assert_eq!(memory.recall(&frame), None);
        memory.decoded();
        assert_eq!(memory.counts(), (1, 1));
    }

    #[test]
    fn it_stays_as_small_as_it_began() {
        let mut memory = Memory::new();
        for seq in 1..10_000_u64 {
            let frame: Vec<u8> = seq.to_le_bytes().repeat(8);
            memory.keep(&frame, &event(seq));
            assert_eq!(memory.recall(&frame), Some(event(seq)));
        }
        assert_eq!(memory.slots.len(), SLOTS);
        memory.keep(&vec![1; LEN_MAX + 1], &event(1));
        assert_eq!(memory.recall(&vec![1; LEN_MAX + 1]), None);
    }
}
