//! What of a room's history is still kept: everything from the first event on that is not older than
//! the room keeps what was said. What is older is nowhere shown from its time on, whenever it leaves
//! the disk.
//!
//! Neighbours: `history.rs` shows by it, `keeping.rs` says how long. The times of a room do not go back,
//! so that there is one place, the floor, where what is kept begins.

use std::sync::Arc;

use throng_core::{Event, EventKind, RoomId, Seq, Timestamp};

use super::History;
use crate::pages::{Span, text_of};
use crate::store::StoreError;

/// Events that are looked through for the first post that is kept; behind more of them what is unread
/// is counted by events.
const LOOKED_MAX: usize = 256;

impl History {
    /// What happened in a room before this time is gone; 0 for nothing.
    pub fn since(&self, room: RoomId) -> Timestamp {
        let kept = self.kept.as_ref();
        kept.map_or(Timestamp(0), |(keeping, clock)| keeping.since(room, clock.wall()))
    }

    /// The next room above this number that does not keep all for ever.
    pub fn next_bounded(&self, after: u32) -> Option<RoomId> {
        self.kept.as_ref().and_then(|(keeping, _)| keeping.next(after))
    }

    /// The first place that is kept, one above the head for none; `None` when all is. Blocks on the store.
    fn floor(&self, room: RoomId) -> Result<Option<Seq>, StoreError> {
        let since = self.since(room);
        if since == Timestamp(0) {
            return Ok(None);
        }
        let of_tail = self.tail.first_since(room, since);
        if of_tail.first < of_tail.found || of_tail.first <= Seq(1) {
            return Ok(Some(of_tail.found));
        }
        // What leaves the tail meanwhile is found in the store.
        let below = self.store.first_since(room, since)?;
        Ok(Some(below.map_or(of_tail.found, |below| below.min(of_tail.found))))
    }

    /// This place, or the last of those that are kept no longer.
    pub(super) fn above_old(&self, room: RoomId, after: Seq) -> Result<Seq, StoreError> {
        Ok(self.floor(room)?.map_or(after, |floor| after.max(Seq(floor.0 - 1))))
    }

    /// Takes from a page what is too old; `None` when it must be read again from another place, which
    /// is returned.
    pub(super) fn cut_old(
        &self,
        room: RoomId,
        span: Span,
        events: &mut Vec<Arc<Event>>,
    ) -> Result<Option<Span>, StoreError> {
        let since = self.since(room);
        let old = events.partition_point(|event| event.at < since);
        if old == 0 {
            return Ok(None);
        }
        if let Span::Before(_) = span {
            events.drain(..old);
            return Ok(None);
        }
        let floor = match events.get(old) {
            Some(event) => event.seq,
            None => self.floor(room)?.unwrap_or(Seq(1)),
        };
        Ok(Some(Span::After(Seq(floor.0 - 1))))
    }

    /// Takes the texts of edits whose messages are too old: a message's age is that of its first text.
    pub(super) fn hide_old_edits(
        &self,
        room: RoomId,
        events: &mut [Arc<Event>],
    ) -> Result<(), StoreError> {
        let Some(first) = events.first().map(|event| event.seq) else { return Ok(()) };
        let older = |event: &Event| text_of(event).is_some_and(|of| of < first);
        if !events.iter().any(|event| older(event)) {
            return Ok(());
        }
        let Some(floor) = self.floor(room)? else { return Ok(()) };
        for event in events {
            if text_of(event).is_some_and(|of| of < floor) {
                *event = Arc::new(event.erased());
            }
        }
        Ok(())
    }

    /// Of so many unread posts of a room that has had so many, those that are kept. Blocks on the store.
    pub fn unread_kept(&self, room: RoomId, unread: u64, posts: u64) -> Result<u64, StoreError> {
        if unread == 0 {
            return Ok(0);
        }
        let Some(floor) = self.floor(room)? else { return Ok(unread) };
        let events = self.read(room, Span::After(Seq(floor.0 - 1)), LOOKED_MAX)?;
        let first = events.iter().find_map(|event| match event.kind {
            EventKind::Posted { n, .. } => Some(n),
            _ => None,
        });
        let kept = match first {
            Some(n) => (posts + 1).saturating_sub(n),
            None if events.len() < LOOKED_MAX => 0,
            None => (self.head(room).0 + 1).saturating_sub(floor.0),
        };
        Ok(unread.min(kept))
    }
}
