//! Where the fold of each room goes on, remembered between folds so that nothing is read back.
//!
//! Neighbours: the writer of `sqlite.rs`, alone. Bounded in bytes: the rooms that were folded
//! longest ago are forgotten, and read from the file when they speak again.

use std::collections::HashMap;

use throng_core::{RoomId, Seq, Timestamp};

use crate::record::OpenBlock;

/// A few thousand busy rooms with a half-full block each.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a cursor takes besides its block's bytes, with its place in the map.
const CURSOR_BYTES: usize = 160;

/// A room's numbers and its newest block.
#[derive(Debug)]
pub(super) struct Cursor {
    pub head: Seq,
    /// When `head` was decided.
    pub at: Timestamp,
    pub pushed: Seq,
    pub posts: u64,
    /// Up to here the texts are erased, because they are too old.
    pub erased: Seq,
    pub block: OpenBlock,
}

impl Default for Cursor {
    /// Of a room without events.
    fn default() -> Self {
        Self {
            head: Seq::ZERO,
            at: Timestamp::default(),
            pushed: Seq::ZERO,
            posts: 0,
            erased: Seq::ZERO,
            block: OpenBlock::new(Seq(1)),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Cursors {
    kept: HashMap<RoomId, (u64, Cursor)>,
    bytes: usize,
    /// Counts what was kept: the least number was kept longest ago.
    clock: u64,
}

fn bytes(cursor: &Cursor) -> usize {
    CURSOR_BYTES + cursor.block.capacity()
}

impl Cursors {
    pub fn take(&mut self, room: RoomId) -> Option<Cursor> {
        let (_, cursor) = self.kept.remove(&room)?;
        self.bytes -= bytes(&cursor);
        Some(cursor)
    }

    pub fn keep(&mut self, room: RoomId, cursor: Cursor) {
        self.clock += 1;
        self.bytes += bytes(&cursor);
        let before = self.kept.insert(room, (self.clock, cursor));
        assert!(before.is_none(), "a cursor is taken before it is kept again");
    }

    pub fn forget(&mut self, room: RoomId) {
        self.take(room);
    }

    pub fn forget_all(&mut self, rooms: impl IntoIterator<Item = RoomId>) {
        for room in rooms {
            self.forget(room);
        }
    }

    /// Back below the bound, with some way to go until the next time.
    pub fn shrink(&mut self) {
        if self.bytes <= BYTES_MAX {
            return;
        }
        let mut ages: Vec<_> = self.kept.iter().map(|(room, (at, _))| (*at, *room)).collect();
        ages.sort_unstable_by_key(|(at, _)| *at);
        for (_, room) in ages {
            if self.bytes <= BYTES_MAX / 4 * 3 {
                break;
            }
            self.forget(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use throng_core::EventKind;

    use super::*;
    use crate::samples;

    #[test]
    fn beyond_the_bound_the_rooms_folded_longest_ago_are_forgotten() {
        let mut cursors = Cursors::default();
        let body = throng_core::Body::parse("x".repeat(8_000)).unwrap();
        let rooms = 1..=u32::try_from(BYTES_MAX / 64_000).unwrap();
        for room in rooms.clone().map(samples::room) {
            let mut cursor = Cursor::default();
            for seq in 1..=10 {
                let (author, body) = (samples::author(1), body.clone());
                let kind =
                    EventKind::Posted { n: seq, author, origin_id: None, body, extras: None };
                cursor.block.push(&samples::event(room, seq, kind));
            }
            cursors.keep(room, cursor);
        }
        assert!(cursors.bytes > BYTES_MAX);
        cursors.shrink();
        assert!(cursors.bytes <= BYTES_MAX);
        assert!(cursors.take(samples::room(1)).is_none());
        assert!(cursors.take(samples::room(*rooms.end())).is_some());
    }
}
