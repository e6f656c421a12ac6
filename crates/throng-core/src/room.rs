//! One room's state, as a fold over its events: the same path for what was just decided, what the
//! log replays, and (backwards) what could not be committed.
//!
//! Neighbours: `shard` decides and owns the rooms. It never refuses: an event that does not follow
//! is reported, and the caller knows whether that is a bug or a broken folder.

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::event::{Event, EventKind};
use crate::id::{RoomId, Seq, UserId};
use crate::origins::Origins;

/// What a room knows of its members: who, and the place of the `Joined`.
pub(crate) type Members = HashMap<UserId, Seq, FixedState>;

/// A room's state.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    /// The newest event.
    pub(crate) head: Seq,
    /// The newest event that was pushed.
    pub(crate) pushed: Seq,
    /// Posts so far.
    pub(crate) posts: u64,
    pub(crate) members: Members,
    pub(crate) origins: Origins,
}

/// An event that is not the next one of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The room.
    pub room: RoomId,
    /// Its newest event.
    pub head: Seq,
    /// The place of the event that does not follow.
    pub seq: Seq,
    /// In what it does not.
    pub why: &'static str,
}

impl Room {
    pub(crate) fn new(id: RoomId, seed: FixedState) -> Self {
        Self {
            id,
            head: Seq::ZERO,
            pushed: Seq::ZERO,
            posts: 0,
            members: Members::with_hasher(seed),
            origins: Origins::default(),
        }
    }

    /// Takes the next event in. Returns the place of the `Joined` that a `Left` ended.
    pub(crate) fn fold(&mut self, event: &Event) -> Result<Option<Seq>, Misfit> {
        let misfit = |why| Misfit { room: self.id, head: self.head, seq: event.seq, why };
        if event.seq != self.head.next() {
            return Err(misfit("its place is not the next one"));
        }
        if event.prev != self.pushed {
            return Err(misfit("the event pushed before it is another"));
        }
        let mut joined = None;
        match &event.kind {
            EventKind::Created { .. } if event.seq != Seq(1) => {
                return Err(misfit("a room is made once"));
            }
            EventKind::Created { .. } => {}
            EventKind::Joined { who } => {
                if self.members.contains_key(&who.id) {
                    return Err(misfit("a member joins again"));
                }
                self.members.insert(who.id, event.seq);
            }
            EventKind::Left { who } => {
                joined = self.members.remove(&who.id);
                if joined.is_none() {
                    return Err(misfit("one who is no member leaves"));
                }
            }
            EventKind::Posted { n, .. } => {
                if *n != self.posts + 1 {
                    return Err(misfit("its number is not the next one"));
                }
                self.posts = *n;
            }
        }
        self.head = event.seq;
        if event.pushed {
            self.pushed = event.seq;
        }
        Ok(joined)
    }

    /// Takes the newest event back. `joined` is what `fold` returned for it.
    pub(crate) fn unfold(&mut self, event: &Event, joined: Option<Seq>) {
        assert_eq!(event.seq, self.head, "the newest event is taken back first");
        match &event.kind {
            EventKind::Created { .. } => {}
            EventKind::Joined { who } => {
                let was = self.members.remove(&who.id);
                assert_eq!(was, Some(event.seq), "who joined is a member until that is undone");
            }
            EventKind::Left { who } => {
                let was = joined.expect("a `Left` ended a membership");
                let now = self.members.insert(who.id, was);
                assert!(now.is_none(), "who left is no member until that is undone");
            }
            EventKind::Posted { .. } => self.posts -= 1,
        }
        self.head = Seq(event.seq.0 - 1);
        self.pushed = event.prev;
    }
}
