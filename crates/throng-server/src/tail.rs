//! The unfolded tail: every durable event that the store may not have yet, by room, in memory.
//!
//! Neighbours: sequencers insert a turn once it is in the log; the fold takes events from it into the
//! store and only then out of here; `history.rs` and the fan-out read. It never holds an event that
//! is not durable, never loses one that is not in the store, and is bounded by making the sequencers
//! wait before they decide (`wait_for_room`), not by refusing what is durable already.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use throng_core::{Event, EventKind, RoomId, Seq, Timestamp, UserId, Words};

use crate::log::TurnId;
use crate::pages::{Note, Span};
use crate::store::RoomBatch;

/// Rooms are spread over this many locks; a room is held for one push or one page at a time.
const LANES: usize = 16;
/// An event's place in its deque, and the counts in front of it.
const EVENT_OVERHEAD: usize = 8 + 16;

/// The tail of all rooms.
#[derive(Debug)]
pub struct Tail {
    lanes: Box<[Mutex<Lane>]>,
    turns: Mutex<Turns>,
    bytes: AtomicUsize,
    bytes_max: usize,
    events: AtomicUsize,
    /// A fold is due from this many events.
    fold_events: usize,
    /// Time of the oldest event since the fold last took some, in milliseconds; 0 for none.
    since: AtomicU64,
    /// The same of what the fold took and has not finished.
    folding_since: AtomicU64,
    /// Guards nothing but the waits.
    gate: Mutex<()>,
    /// A fold is due, or the fold must stop.
    due: Condvar,
    /// The tail is below its bound again.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Lane {
    /// By room number over `LANES`: rooms are numbered densely.
    rooms: Vec<RoomTail>,
    /// Rooms that hold events; may name some that do no more.
    unfolded: Vec<RoomId>,
    /// Rooms that something happened in since `take_changed`, each once.
    changed: Vec<RoomId>,
    /// The events among them that change how a message is shown, each behind the message's place, of
    /// the rooms that have any; those that take all of a sender away behind no place.
    changes: HashMap<RoomId, BTreeSet<(Seq, Seq)>>,
}

#[derive(Debug, Default)]
struct RoomTail {
    head: Seq,
    /// Stands in the lane's `unfolded`.
    listed: bool,
    /// Stands in the lane's `changed`.
    changed: bool,
    /// The newest ones, dense up to `head`.
    events: VecDeque<Arc<Event>>,
}

/// Which turns are here whole. Several shards insert, so they come out of order.
#[derive(Debug, Default)]
struct Turns {
    /// All turns up to this one.
    through: u64,
    /// Those beyond; at most one for each shard.
    beyond: BTreeSet<u64>,
}

/// What the tail has of a span.
#[derive(Debug)]
pub struct Look {
    /// The lowest place the tail answers for; what is below is in the store.
    pub first: Seq,
    /// The room's newest place.
    pub head: Seq,
    /// The events of the span that are here, ascending.
    pub events: Vec<Arc<Event>>,
}

/// Where what is not too old begins.
#[derive(Debug)]
pub struct Since {
    /// The lowest place the tail answers for.
    pub first: Seq,
    /// The first place from it on that is not too old; one above the head for none.
    pub found: Seq,
}

/// What the fold takes.
#[derive(Debug)]
pub struct Unfolded {
    /// When all of `rooms` is in the store, the log may be trimmed up to here.
    pub through: TurnId,
    /// Every event of the tail, by room in ascending order.
    pub rooms: Vec<RoomBatch>,
}

/// About what an event takes in memory.
pub fn event_bytes(event: &Event) -> usize {
    let texts = match &event.kind {
        EventKind::Posted { origin_id, body, extras, .. } => {
            body.as_str().len()
                + origin_id.as_ref().map_or(0, |id| id.as_str().len())
                + extras.as_ref().map_or(0, |extras| extras.bytes())
        }
        EventKind::Edited { body, .. } => body.as_str().len(),
        EventKind::Reacted { reaction, .. } => reaction.as_str().len(),
        EventKind::Set { settings, .. } => {
            let topic = settings.topic.as_ref().map_or(0, |topic| topic.as_str().len());
            let words = settings.words.as_ref().map_or(0, Words::bytes);
            let name = settings.name.as_ref().map_or(0, |name| name.as_str().len());
            size_of::<throng_core::Settings>() + name + topic + words
        }
        _ => 0,
    };
    size_of::<Event>() + EVENT_OVERHEAD + texts
}

impl RoomTail {
    /// The lowest place this room's tail answers for.
    fn first(&self) -> Seq {
        Seq(self.head.0 + 1 - self.events.len() as u64)
    }

    /// Those above `after`; the caller has seen that the tail reaches back as far as it needs.
    fn above(
        &self,
        after: Seq,
    ) -> impl DoubleEndedIterator<Item = &Arc<Event>> + ExactSizeIterator {
        let skip = (after.0 + 1).saturating_sub(self.first().0);
        self.events.range((skip as usize).min(self.events.len())..)
    }
}

impl Lane {
    fn room(&mut self, room: RoomId) -> &mut RoomTail {
        let index = room.get() as usize / LANES;
        if self.rooms.len() <= index {
            self.rooms.resize_with(index + 1, RoomTail::default);
        }
        &mut self.rooms[index]
    }

    fn unlist_folded(&mut self) {
        let rooms = &mut self.rooms;
        self.unfolded.retain(|room| {
            let tail = &mut rooms[room.get() as usize / LANES];
            tail.listed = !tail.events.is_empty();
            tail.listed
        });
    }

    fn note_changed(&mut self, room: RoomId) {
        if !std::mem::replace(&mut self.room(room).changed, true) {
            self.changed.push(room);
        }
    }

    fn known(&self, room: RoomId) -> Option<&RoomTail> {
        self.rooms.get(room.get() as usize / LANES)
    }
}

impl Tail {
    /// An empty tail. `bytes_max` is where sequencers wait, `fold_events` where a fold is due
    /// whatever its age.
    pub fn new(bytes_max: usize, fold_events: usize) -> Self {
        Self {
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
            turns: Mutex::new(Turns::default()),
            bytes: AtomicUsize::new(0),
            bytes_max,
            events: AtomicUsize::new(0),
            fold_events,
            since: AtomicU64::new(0),
            folding_since: AtomicU64::new(0),
            gate: Mutex::default(),
            due: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// Start-up: the store has this room up to `head`.
    pub fn restore(&self, room: RoomId, head: Seq) {
        let mut lane = self.lane(room);
        lane.room(room).head = head;
        lane.note_changed(room);
    }

    /// Gives each room that something happened in since the last call, and at the first call each
    /// that there is. For one taker.
    pub fn take_changed(&self, mut give: impl FnMut(RoomId)) {
        for lane in &self.lanes {
            let mut lane = lock(lane);
            let changed = std::mem::take(&mut lane.changed);
            for room in &changed {
                lane.room(*room).changed = false;
            }
            drop(lane);
            changed.into_iter().for_each(&mut give);
        }
    }

    /// Takes a turn that is durable. Each room's events come in the order of their places, whoever
    /// else inserts: a room belongs to one shard.
    pub fn insert(&self, turn: TurnId, events: &[Arc<Event>]) {
        let was_due = self.count(events);
        for event in events {
            self.push(event).expect("a room's events are inserted densely");
        }
        self.turns().insert(turn.0);
        self.counted(events, was_due);
    }

    /// Start-up: takes what the store does not have of a turn of the log, whose turns come in order.
    /// Refuses what does not go on where the room ends.
    pub fn replay(&self, turn: TurnId, events: &[Arc<Event>]) -> Result<(), String> {
        let was_due = self.count(events);
        events.iter().try_for_each(|event| self.push(event))?;
        let mut turns = self.turns();
        assert!(turn.0 > turns.through && turns.beyond.is_empty(), "a replay is in order");
        turns.through = turn.0;
        drop(turns);
        self.counted(events, was_due);
        Ok(())
    }

    fn push(&self, event: &Arc<Event>) -> Result<(), String> {
        let (room, seq) = (event.room, event.seq);
        let mut lane = self.lane(room);
        let tail = lane.room(room);
        if seq != tail.head.next() {
            return Err(format!("room {room} goes on at {seq}, store.db ends at {}", tail.head));
        }
        tail.head = seq;
        tail.events.push_back(event.clone());
        let swept = event.kind.sweeps().map(|_| Seq::ZERO);
        let changes = event.kind.changes().or(swept);
        let listed = std::mem::replace(&mut tail.listed, true);
        let changed = std::mem::replace(&mut tail.changed, true);
        if !listed {
            lane.unfolded.push(room);
        }
        if !changed {
            lane.changed.push(room);
        }
        if let Some(of) = changes {
            lane.changes.entry(room).or_default().insert((of, seq));
        }
        Ok(())
    }

    /// Counts events that are about to be pushed: before, for the fold takes off what it finds. Whether a
    /// fold was due without them.
    fn count(&self, events: &[Arc<Event>]) -> bool {
        let was_due = self.is_due();
        let bytes = events.iter().map(|event| event_bytes(event)).sum();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.events.fetch_add(events.len(), Ordering::Relaxed);
        was_due
    }

    /// They are pushed: since when there are any, and the fold is woken when they make one due. Behind the
    /// push, for a fold that takes the time and not the events would leave them without one.
    fn counted(&self, events: &[Arc<Event>], was_due: bool) {
        let Some(first) = events.first() else { return };
        if self.since.load(Ordering::Relaxed) == 0 {
            self.since.store(first.at.0.max(1), Ordering::Relaxed);
        }
        if !was_due && self.is_due() {
            self.wake_fold();
        }
    }

    /// Waits until the tail is below its bound, so that a sequencer may decide another turn;
    /// `false` when the fold has not made room within `patience`.
    pub fn wait_for_room(&self, patience: Duration) -> bool {
        if self.bytes.load(Ordering::Relaxed) < self.bytes_max {
            return true;
        }
        let full = |(): &mut ()| self.bytes.load(Ordering::Relaxed) >= self.bytes_max;
        let waited = self.room.wait_timeout_while(self.gate(), patience, full);
        !waited.expect("nothing panics at the gate").1.timed_out()
    }

    /// What the tail has of a span, and how far it reaches back. Look here first, then in the store:
    /// what is not here by then was in the store before it left.
    pub fn look(&self, room: RoomId, span: Span, limit: usize) -> Look {
        let lane = self.lane(room);
        let Some(tail) = lane.known(room) else {
            return Look { first: Seq(1), head: Seq::ZERO, events: Vec::new() };
        };
        let events = match span {
            Span::After(after) => tail.above(after).take(limit).cloned().collect(),
            Span::Before(before) => {
                let below = before.0.saturating_sub(tail.first().0) as usize;
                let end = below.min(tail.events.len());
                tail.events.range(end.saturating_sub(limit)..end).cloned().collect()
            }
        };
        Look { first: tail.first(), head: tail.head, events }
    }

    /// The events that change how the messages between these places are shown, by message and then
    /// in order, as far as they are here. Look here first, then in the store, as for events; what is
    /// here is newer.
    pub fn changes(&self, room: RoomId, from: Seq, to: Seq) -> Vec<Arc<Event>> {
        let lane = self.lane(room);
        let (Some(tail), Some(changes)) = (lane.known(room), lane.changes.get(&room)) else {
            return Vec::new();
        };
        let first = tail.first().0;
        let places = changes.range((from, Seq::ZERO)..=(to, Seq(u64::MAX)));
        let events = places.filter_map(|(_, seq)| tail.events.get((seq.0 - first) as usize));
        events.cloned().collect()
    }

    /// Where what was decided at this time or later begins, as far as that is here.
    pub fn first_since(&self, room: RoomId, since: Timestamp) -> Since {
        let lane = self.lane(room);
        let Some(tail) = lane.known(room) else { return Since { first: Seq(1), found: Seq(1) } };
        let old = tail.events.partition_point(|event| event.at < since) as u64;
        Since { first: tail.first(), found: Seq(tail.first().0 + old) }
    }

    /// What became of the texts between these places, as far as that is here.
    pub fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Vec<Note> {
        let events = self.changes(room, from, to);
        events.iter().filter_map(|event| Note::from_event(event)).collect()
    }

    /// Up to which place all is taken away that an account has said, as far as that is here.
    pub fn sweeps(&self, room: RoomId) -> Vec<(UserId, Seq)> {
        let events = self.changes(room, Seq::ZERO, Seq::ZERO);
        events.iter().filter_map(|event| Some((event.kind.sweeps()?, event.seq))).collect()
    }

    /// The room's newest durable place; 0 for a room that is not known.
    pub fn head(&self, room: RoomId) -> Seq {
        self.lane(room).known(room).map_or(Seq::ZERO, |tail| tail.head)
    }

    /// Everything above `after`, or `None` when the tail does not reach back so far or holds more
    /// than `limit`: then history must be read first.
    pub fn after(&self, room: RoomId, after: Seq, limit: usize) -> Option<Vec<Arc<Event>>> {
        let lane = self.lane(room);
        let Some(tail) = lane.known(room) else { return Some(Vec::new()) };
        let above = tail.above(after);
        (after.next() >= tail.first() && above.len() <= limit).then(|| above.cloned().collect())
    }

    /// Events that are not folded yet.
    pub fn len(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// Whether all is folded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About what they take in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the oldest unfolded event was decided; may be up to one fold too early.
    pub fn since(&self) -> Option<Timestamp> {
        let oldest = [&self.since, &self.folding_since].map(|at| at.load(Ordering::Relaxed));
        let oldest = oldest.into_iter().filter(|at| *at != 0).min();
        oldest.filter(|_| !self.is_empty()).map(Timestamp)
    }

    /// Up to which turn all are here, or were. Asked before `is_empty`: when nothing is here then, all of
    /// them are folded.
    pub fn through(&self) -> TurnId {
        TurnId(self.turns().through)
    }

    /// All that is here. Until `folded` it stays here too.
    pub fn unfolded(&self) -> Unfolded {
        // The turns first: what is inserted while the rooms are walked may be taken or not.
        let through = self.through();
        let since = self.since.swap(0, Ordering::Relaxed);
        let _ = self.folding_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
        let mut listed = Vec::new();
        for lane in &self.lanes {
            let mut lane = lock(lane);
            lane.unlist_folded();
            listed.extend_from_slice(&lane.unfolded);
        }
        listed.sort_unstable();
        let rooms = listed.into_iter().map(|room| {
            let lane = self.lane(room);
            let events = lane.known(room).map(|tail| tail.events.iter().cloned().collect());
            RoomBatch { room, events: events.unwrap_or_default() }
        });
        Unfolded { through, rooms: rooms.filter(|batch| !batch.events.is_empty()).collect() }
    }

    /// The store has these, synced: they leave.
    pub fn folded(&self, rooms: &[RoomBatch]) {
        let (mut bytes, mut events) = (0, 0);
        for batch in rooms {
            let Some(through) = batch.events.last().map(|event| event.seq) else { continue };
            let mut lane = self.lane(batch.room);
            let tail = lane.room(batch.room);
            let count = (through.0 + 1).saturating_sub(tail.first().0) as usize;
            // Freed after the lock: the batch holds them still.
            for event in tail.events.drain(..count) {
                bytes += event_bytes(&event);
            }
            events += count;
            if tail.events.is_empty() {
                tail.events = VecDeque::new();
            }
            if let Some(changes) = lane.changes.get_mut(&batch.room) {
                changes.retain(|(_, seq)| *seq > through);
                if changes.is_empty() {
                    lane.changes.remove(&batch.room);
                }
            }
        }
        self.events.fetch_sub(events, Ordering::Relaxed);
        let was = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if was >= self.bytes_max {
            drop(self.gate());
            self.room.notify_all();
        }
    }

    /// All that `unfolded` gave has left.
    pub fn fold_finished(&self) {
        self.folding_since.store(0, Ordering::Relaxed);
    }

    /// Waits until a fold is due, `age` has passed, or `stop` is set (and `wake_fold` called).
    pub fn wait_until_due(&self, age: Duration, stop: &AtomicBool) {
        let rest = |(): &mut ()| !self.is_due() && !stop.load(Ordering::Acquire);
        let waited = self.due.wait_timeout_while(self.gate(), age, rest);
        drop(waited.expect("nothing panics at the gate"));
    }

    /// Waits for `pause`, or until `stop` is set (and `wake_fold` called).
    pub fn wait_for_stop(&self, pause: Duration, stop: &AtomicBool) {
        let rest = |(): &mut ()| !stop.load(Ordering::Acquire);
        let waited = self.due.wait_timeout_while(self.gate(), pause, rest);
        drop(waited.expect("nothing panics at the gate"));
    }

    /// Has the fold look again whether it is due or must stop.
    pub fn wake_fold(&self) {
        drop(self.gate());
        self.due.notify_all();
    }

    /// Whether folds do not keep up.
    pub fn is_behind(&self) -> bool {
        self.len() >= self.fold_events * 2 || self.bytes() >= self.bytes_max / 4 * 3
    }

    fn is_due(&self) -> bool {
        self.len() >= self.fold_events || self.bytes() >= self.bytes_max / 2
    }

    fn lane(&self, room: RoomId) -> MutexGuard<'_, Lane> {
        lock(&self.lanes[room.get() as usize % LANES])
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().expect("nothing panics while it holds the turns")
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().expect("nothing panics at the gate")
    }
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().expect("a panic in a sequencer or the fold ends the process")
}

impl Turns {
    fn insert(&mut self, turn: u64) {
        assert!(turn > self.through, "turn {turn} was inserted before");
        self.beyond.insert(turn);
        while self.beyond.first() == Some(&(self.through + 1)) {
            self.beyond.pop_first();
            self.through += 1;
        }
    }
}

#[cfg(test)]
mod tests;
