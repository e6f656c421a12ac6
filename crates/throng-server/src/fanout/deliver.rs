//! One shard's fan-out as a state: what was told and has not been handed to outboxes yet.
//!
//! Neighbours: `mod.rs` gives it orders and says when to write; it owns the shard's hub, renders each
//! event once per form and hands it to the listeners' outboxes. Small rooms are written in one go,
//! large ones in slices, so that other rooms go between. It never waits.

mod answers;
mod held;
mod here;
mod tick;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use throng_core::hub::Hub;
use throng_core::{Epoch, Event, EventKind, RoomId, Seq, Timestamp, UserId};

use super::pace::{Offered, Pace};
use super::presence::Presence;
use super::rendering::Rendering;
use super::{Attach, Attached, Order, Told};
use crate::clock::{Clock, Moment};
use crate::contacts::Contacts;
use crate::directory::Directory;
use crate::operations::metrics::{Metrics, Stage};
use crate::operations::posts::Path;
use crate::operations::traffic;
use crate::outbox::{ConnectionId, Outbox, Settles, Writer};
use crate::pages::{show_among, text_of};
use crate::protocols::Answer;
use crate::sessions::Sessions;
use crate::tail::{Tail, event_bytes};
use answers::{Traced, place_of};
use tick::Tick;

/// Rooms with more listeners than this are written in slices, by the fan-out's own thread.
pub const LARGE: usize = 256;
/// Listeners of one slice: a quarter of a millisecond of writes, which is what others wait.
const SLICE: usize = 96;
/// Events told and not handed on yet; beyond it no further turn is taken, and then the sequencer
/// waits.
const PENDING_MAX: usize = 8_192;
/// Events that a subscription is given at once, from memory; one that lacks more, or more bytes than
/// any outbox takes, reads them first, at its own pace.
const CATCH_UP_MAX: usize = 256;
const CATCH_UP_BYTES_MAX: usize = 16 * 1024;

/// What the fan-out of one shard knows.
#[derive(Debug)]
pub struct Deliver {
    around: Around,
    hub: Hub<u32>,
    outboxes: Vec<Option<Arc<Outbox>>>,
    free: Vec<u32>,
    keys: HashMap<ConnectionId, u32>,
    told: HashMap<RoomId, Vec<Arc<Event>>>,
    pending: usize,
    small: Vec<RoomId>,
    large: VecDeque<RoomId>,
    spreads: HashMap<RoomId, Spread>,
    /// Outboxes in which something was staged.
    touched: Vec<Arc<Outbox>>,
    presence: Presence,
    pace: Pace,
    writer: Writer,
    deliveries: u64,
    posts: traffic::Tally,
    /// The turns that were told and are not handed on.
    tick: Option<Tick>,
    /// Answers that say where their time went, until what was told with them is written.
    traced: Vec<Traced>,
    /// The posts among what is told, until their acks are handed on.
    path: Path,
    flushed: Moment,
}

/// The rooms around a fan-out.
#[derive(Clone, Debug)]
pub struct Around {
    /// Who belongs where.
    pub directory: Arc<Directory>,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// Who has blocked whom.
    pub contacts: Arc<Contacts>,
    /// The newest events.
    pub tail: Arc<Tail>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// This life of the orders.
    pub epoch: Epoch,
    /// The time, which is asked for answers that say where theirs went.
    pub clock: Clock,
}

/// A large room on its way: which slots have been served.
#[derive(Debug)]
struct Spread {
    rendering: Rendering,
    served: usize,
}

impl Deliver {
    /// Nobody listens yet. `seed` goes into the hub's maps.
    pub fn new(around: Around, offered: Offered, seed: u64) -> Self {
        Self {
            around,
            hub: Hub::new(seed),
            outboxes: Vec::new(),
            free: Vec::new(),
            keys: HashMap::new(),
            told: HashMap::new(),
            pending: 0,
            small: Vec::new(),
            large: VecDeque::new(),
            spreads: HashMap::new(),
            touched: Vec::new(),
            presence: Presence::new(true),
            pace: Pace::new(offered),
            writer: Writer::default(),
            deliveries: 0,
            posts: traffic::Tally::default(),
            tick: None,
            traced: Vec::new(),
            path: Path::default(),
            flushed: Moment::default(),
        }
    }

    /// The same, which tells who hears what, or does not.
    pub fn with_presence(self, on: bool) -> Self {
        Self { presence: Presence::new(on), ..self }
    }

    /// Takes one order; what comes of it is written by `flush` and `spread`.
    pub fn take(&mut self, order: Order) {
        match order {
            Order::Told(told) => self.tell(told),
            Order::Attach(attach) => self.attach(attach),
            Order::Detach { room, outbox, re } => {
                if let Some(key) = self.keys.get(&outbox.id).copied() {
                    self.unsubscribe(room, key);
                    self.release(outbox.id, key);
                }
                outbox.judge(None);
                self.stage_answer(&outbox, re, &Answer::Done, Settles::Command);
            }
            Order::Gone(id) => {
                if let Some(key) = self.keys.get(&id).copied() {
                    for room in self.hub.rooms_of(key) {
                        self.presence.changed(room);
                        let listeners = self.hub.listeners(room);
                        self.around.metrics.heard.moved(listeners, listeners - 1);
                    }
                    self.hub.remove(key);
                    self.release(id, key);
                }
            }
            Order::Types { room, user, at } => {
                if self.around.directory.head(user, room).is_ok() {
                    self.presence.types(room, user, at);
                }
            }
            Order::Here { room, users, done } => {
                let parted = self.parted(room);
                let hears = |user| !parted && self.hears(room, user);
                let here = users.into_iter().map(hears).collect();
                // Who asked is gone: nobody is left to be told.
                _ = done.send(here);
            }
            Order::Parted(room) => self.presence.parted(room),
            Order::Sweep(now) => self.sweep(now),
        }
    }

    /// Whether further turns may be taken now.
    pub fn has_place(&self) -> bool {
        self.pending < PENDING_MAX
    }

    /// Whether a room or a notice waits to be written in slices.
    pub fn is_spreading(&self) -> bool {
        !self.large.is_empty() || !self.presence.notices.is_empty()
    }

    /// Whether all listeners of these events can be written to in one go.
    pub fn is_small(&self, events: &[Arc<Event>]) -> bool {
        events.iter().all(|event| !event.pushed || self.hub.listeners(event.room) <= LARGE)
    }

    /// How long from now until what is staged and told should be flushed; `None` if there is nothing.
    pub fn due(&mut self, now: Moment) -> Option<Duration> {
        if self.small.is_empty() && self.touched.is_empty() && self.traced.is_empty() {
            // Nobody is to be told: it is over as soon as it was looked at.
            self.path.over(now, &self.around.metrics.posts);
            if let Some(tick) = self.tick.take_if(|_| self.large.is_empty()) {
                tick.is_over(now, &self.around.metrics);
            }
            return None;
        }
        Some(self.until_flush(now))
    }

    /// What the whole server offers, for a test that makes it loud.
    #[cfg(test)]
    pub fn offered(&self) -> Offered {
        self.pace.offered()
    }

    /// How long gathering goes on, whether or not there is something.
    pub fn until_flush(&mut self, now: Moment) -> Duration {
        self.pace.gather(now).saturating_sub(now.since(self.flushed))
    }

    // ---- told turns ---------------------------------------------------------------------------

    fn tell(&mut self, told: Told) {
        let times = told.times;
        let committed = times.committed;
        self.tick.get_or_insert(Tick::begun(committed)).add(committed, told.answers.len());
        let mut events = told.events.into_iter();
        for answered in told.answers {
            // Answers and events are in one order: what happened before an answer is told before it.
            if let Some(seq) = place_of(answered.outcome) {
                for event in events.by_ref() {
                    let here = event.room == answered.room;
                    let last = here && event.seq == seq;
                    // A direct room is joined by its maker before it is joined by the other one.
                    let asker = if here { answered.to.connection() } else { None };
                    self.event(event, asker);
                    if last {
                        break;
                    }
                }
            }
            self.answer(answered, times);
        }
        for event in events {
            self.event(event, None);
        }
        for news in told.waited {
            self.waited(&news);
        }
    }

    /// `asker` asked for it, and is told by the answer.
    fn event(&mut self, event: Arc<Event>, asker: Option<ConnectionId>) {
        if let Some(removed) = event.kind.removes() {
            self.left(removed, &event, asker);
        }
        self.note_presence(&event, asker);
        let listeners = self.hub.listeners(event.room);
        if let EventKind::Posted { .. } = event.kind {
            self.posts.post(listeners);
        }
        if !event.pushed || listeners == 0 {
            return;
        }
        self.pace.offer(listeners as u64);
        self.pending += 1;
        let room = event.room;
        let told = self.told.entry(room).or_default();
        told.push(event);
        if told.len() == 1 && !self.spreads.contains_key(&room) {
            if listeners <= LARGE {
                self.small.push(room);
            } else {
                self.large.push_back(room);
            }
        }
    }

    /// An account left or was removed: none of its connections hears the room after that is acknowledged. What
    /// came before it is still theirs. Each is told: the one that asked by its answer, the others,
    /// which may not know that anybody asked, by a frame of their own.
    fn left(&mut self, user: UserId, event: &Event, asker: Option<ConnectionId>) {
        let (room, seq) = (event.room, event.seq);
        let act = match event.kind {
            EventKind::Moderated { act, .. } => Some(act),
            _ => None,
        };
        // One that is put out where it never was is told nothing of that room.
        let went = matches!(event.kind, EventKind::Left { .. });
        for outbox in self.around.sessions.of(user) {
            let key = self.keys.get(&outbox.id).copied();
            let heard = key.and_then(|key| Some((key, self.hub.after(room, key)?)));
            let Some((key, after)) = heard else {
                if went && asker != Some(outbox.id) {
                    self.membership(&outbox, (room, seq), true);
                }
                continue;
            };
            if after >= seq && self.around.directory.head(user, room).is_ok() {
                // It came to listen after the account had joined again.
                continue;
            }
            self.hand_over(room, key, after, &outbox);
            self.unsubscribe(room, key);
            self.release(outbox.id, key);
            if asker != Some(outbox.id) {
                let mut bytes = Vec::with_capacity(64);
                outbox.form.left(room, seq, act, &mut bytes);
                self.tell_one(&outbox, bytes);
            }
        }
    }

    /// Stages for one listener what was told in a room and has not reached it.
    fn hand_over(&mut self, room: RoomId, key: u32, after: Seq, outbox: &Arc<Outbox>) {
        self.send_traced_to(outbox);
        let slot = self.hub.slot(room, key).unwrap_or(usize::MAX);
        if let Some(spread) = self.spreads.get_mut(&room)
            && slot >= spread.served
        {
            self.deliveries += stage_part(&mut spread.rendering, after, outbox, &mut self.touched);
        }
        let told = self.told.get(&room).cloned().unwrap_or_default();
        if let Some(mut rendering) = Rendering::of(told) {
            self.deliveries += stage_part(&mut rendering, after, outbox, &mut self.touched);
        }
    }

    // ---- listeners ----------------------------------------------------------------------------

    /// The connection hears the room after this place, which is returned.
    fn listen(&mut self, room: RoomId, outbox: &Arc<Outbox>, after: Seq) -> Seq {
        // One that is gone has said so already, or will say so after this.
        outbox.set_listens();
        if !outbox.is_gone() {
            let key = self.key(outbox);
            if self.hub.subscribe(room, key, after) {
                self.presence.changed(room);
                let listeners = self.hub.listeners(room);
                self.around.metrics.heard.moved(listeners - 1, listeners);
            }
        }
        after
    }

    /// The listener hears the room no more.
    fn unsubscribe(&mut self, room: RoomId, key: u32) {
        if self.hub.unsubscribe(room, key) {
            self.presence.changed(room);
            let listeners = self.hub.listeners(room);
            self.around.metrics.heard.moved(listeners + 1, listeners);
        }
    }

    fn attach(&mut self, attach: Attach) {
        let Attach { room, user, outbox, from, limit, since, re, done } = attach;
        let directory = &self.around.directory;
        let known = match from {
            Some(from) => directory.goes_on(user, room, from),
            None => directory.head(user, room),
        };
        let head = match known {
            Ok(head) => head,
            Err(rejection) => {
                _ = done.send(Attached::Refused(rejection));
                return;
            }
        };
        let heard = self.keys.get(&outbox.id).and_then(|key| self.hub.after(room, *key));
        let position = match (from, heard) {
            // It hears the room, and asks for nothing that it may have missed.
            (None, Some(after)) => after,
            (None, None) => self.listen(room, &outbox, head),
            (Some(from), _) => {
                debug_assert!(from <= head, "given {from:?}, and {head:?} is the head");
                let Some(missed) = self.missed(room, (from, head), limit, since) else {
                    _ = done.send(Attached::Behind);
                    return;
                };
                self.send_traced_to(&outbox);
                if let Some(mut rendering) = Rendering::of(missed) {
                    self.deliveries += stage_part(&mut rendering, from, &outbox, &mut self.touched);
                }
                self.listen(room, &outbox, head)
            }
        };
        let answer = Answer::Subscribed { room, position: self.position(position) };
        outbox.judge(None);
        self.stage_answer(&outbox, re, &answer, Settles::Nothing);
        _ = done.send(Attached::Done);
    }

    /// The pushed events between two places, if memory has them, all are kept still, and they are not
    /// too many.
    fn missed(
        &self,
        room: RoomId,
        (from, head): (Seq, Seq),
        limit: usize,
        since: Timestamp,
    ) -> Option<Vec<Arc<Event>>> {
        let mut events = self.around.tail.after(room, from, CATCH_UP_MAX)?;
        events.retain(|event| event.seq <= head);
        self.around.directory.leavers().names().take_from(&mut events);
        // Whether the message of an edit is kept still, the history must say.
        let before = |event: &Event| text_of(event).is_some_and(|of| of <= from);
        let unsure = |event: &Arc<Event>| event.at < since || before(event);
        if since > Timestamp(0) && events.iter().any(unsure) {
            return None;
        }
        show_among(&mut events);
        events.retain(|event| event.pushed);
        let bytes: usize = events.iter().map(|event| event_bytes(event)).sum();
        (events.len() <= limit && bytes <= CATCH_UP_BYTES_MAX).then_some(events)
    }

    fn key(&mut self, outbox: &Arc<Outbox>) -> u32 {
        if let Some(key) = self.keys.get(&outbox.id) {
            return *key;
        }
        let key = self.free.pop().unwrap_or(self.outboxes.len() as u32);
        if key as usize == self.outboxes.len() {
            self.outboxes.push(None);
        }
        self.outboxes[key as usize] = Some(Arc::clone(outbox));
        self.keys.insert(outbox.id, key);
        key
    }

    /// Forgets a connection that hears nothing here any more.
    fn release(&mut self, id: ConnectionId, key: u32) {
        if self.hub.rooms_of(key).next().is_none() {
            self.keys.remove(&id);
            self.outboxes[key as usize] = None;
            self.free.push(key);
        }
    }

    // ---- writing ------------------------------------------------------------------------------

    /// Hands everything that was told in small rooms to the outboxes, and writes.
    pub fn flush(&mut self, now: impl Fn() -> Moment) {
        let begun = now();
        self.send_traced(begun);
        let rooms = std::mem::take(&mut self.small);
        for room in &rooms {
            // One room alone is written as it is gone through; of several, a connection may hear
            // more than one, and gets them in one write.
            self.flush_room(*room, rooms.len() == 1, &now);
        }
        self.small = rooms;
        self.small.clear();
        for outbox in self.touched.drain(..) {
            outbox.flush(&mut self.writer);
            note_acks(&mut self.path, &mut self.writer, &now);
        }
        let ended = now();
        self.flushed = ended;
        self.path.over(ended, &self.around.metrics.posts);
        self.count(begun, ended);
    }

    fn flush_room(&mut self, room: RoomId, alone: bool, now: &impl Fn() -> Moment) {
        let Some(mut told) = self.told.remove(&room) else { return };
        self.pending -= told.len();
        while let Some(mut rendering) = Rendering::take(&mut told) {
            for (key, after) in self.hub.slice(room, 0..usize::MAX) {
                let outbox =
                    self.outboxes[key as usize].as_ref().expect("a listener has its outbox");
                let frames = rendering.frames();
                let Some(part) = rendering.part(outbox.form, after) else { continue };
                let (bytes, frames) = part.of(frames);
                self.deliveries += u64::from(frames);
                if alone {
                    outbox.deliver(bytes, frames, &mut self.writer);
                    note_acks(&mut self.path, &mut self.writer, now);
                } else if outbox.stage(bytes, frames) {
                    self.touched.push(Arc::clone(outbox));
                }
            }
        }
    }

    /// Writes one slice of one large room. Rooms take turns.
    pub fn spread(&mut self, now: impl Fn() -> Moment) {
        let begun = now();
        self.send_traced(begun);
        self.spread_notice();
        let Some(room) = self.large.pop_front() else { return self.count(begun, now()) };
        let mut spread = match self.spreads.remove(&room) {
            Some(spread) => spread,
            None => match self.begin_spread(room) {
                Some(spread) => spread,
                None => return,
            },
        };
        let slots = spread.served..spread.served + SLICE;
        spread.served = slots.end;
        for (key, after) in self.hub.slice(room, slots) {
            let outbox = self.outboxes[key as usize].as_ref().expect("a listener has its outbox");
            let frames = spread.rendering.frames();
            let Some(part) = spread.rendering.part(outbox.form, after) else { continue };
            let (bytes, frames) = part.of(frames);
            self.deliveries += u64::from(frames);
            outbox.deliver(bytes, frames, &mut self.writer);
            note_acks(&mut self.path, &mut self.writer, &now);
        }
        if spread.served < self.hub.slots(room) {
            self.spreads.insert(room, spread);
            self.large.push_back(room);
        } else if self.told.contains_key(&room) {
            self.large.push_back(room);
        }
        self.count(begun, now());
    }

    fn begin_spread(&mut self, room: RoomId) -> Option<Spread> {
        let told = self.told.get_mut(&room)?;
        let before = told.len();
        let rendering = Rendering::take(told);
        self.pending -= before - told.len();
        if told.is_empty() {
            self.told.remove(&room);
        }
        Some(Spread { rendering: rendering?, served: 0 })
    }

    fn count(&mut self, begun: Moment, ended: Moment) {
        let metrics = &self.around.metrics;
        metrics.deliveries.inc_by(std::mem::take(&mut self.deliveries));
        metrics.heard.add(&mut self.posts);
        metrics.stages.observe(Stage::Write, ended.since(begun));
        self.writer.count_into(metrics);
        if self.small.is_empty()
            && self.large.is_empty()
            && let Some(tick) = self.tick.take()
        {
            tick.is_over(ended, metrics);
        }
    }
}

/// What was written had acks in it: when they were is asked for them alone.
fn note_acks(path: &mut Path, writer: &mut Writer, now: &impl Fn() -> Moment) {
    let acks = writer.take_acks();
    if acks > 0 && path.waits() {
        path.written(acks, now());
    }
}

/// Stages for one listener what comes after this place; how many events that are.
fn stage_part(
    rendering: &mut Rendering,
    after: Seq,
    outbox: &Arc<Outbox>,
    touched: &mut Vec<Arc<Outbox>>,
) -> u64 {
    let frames = rendering.frames();
    let Some(part) = rendering.part(outbox.form, after) else { return 0 };
    let (bytes, frames) = part.of(frames);
    if outbox.stage(bytes, frames) {
        touched.push(Arc::clone(outbox));
    }
    u64::from(frames)
}
