//! The unit of order: decides batches of requests for many rooms, in memory, without waiting.
//!
//! Neighbours: the sequencer gathers what a batch wants to know (`wants`), lets it decide (`apply`),
//! commits the turn's events, and tells them; or takes the turn back (`revert`). Start-up puts rooms
//! back (`restore`, `replay`). A room's state is a fold over its events (`room`); which `origin_id`s
//! it has seen, and for how long, is in `origins` and `window`; who may do what is asked of `rights`;
//! what is said is decided in `posts` and, where a room delays it, waits in `waiting`; what is done to
//! messages, people and settings in `moderation` and `answered`, and what is between two in `direct`. It
//! never reads the store and never sees a connection.

mod answered;
mod direct;
mod facts;
mod guests;
mod known;
mod moderation;
mod posts;
mod standings;
mod waiting;

pub use facts::{Facts, Want};
pub use waiting::{HeldPage, HeldPost, Waited};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::{FixedState, FoldHasher};
use hashbrown::HashMap;

use crate::command::{Command, Reply, Request};
use crate::event::{Author, Event, EventKind};
use crate::id::{RoomId, SEQ_MAX, Seq, Timestamp, UserId};
use crate::limits::Limits;
use crate::origins::{Fingerprint, Origins};
use crate::rejection::Rejection;
use crate::rights::{Act, Kind, Operation, Policy, Settings};
use crate::room::{Before, Misfit, Person, Room};
use crate::text::{RoomName, Words};
use crate::window::{Grain, Window};
use waiting::Waiting;

/// Time, as an argument.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The server's wall clock. A shard's times never go back: it takes the greater of this and the last.
    pub at: Timestamp,
    /// Posts of the whole server so far, against which the window of `origin_id`s is counted; 0 when
    /// not known (then this shard's own are).
    pub posts_total: u64,
}

/// One decided batch, to be committed or reverted.
#[derive(Debug)]
#[must_use = "a turn is committed, or reverted"]
pub struct Turn {
    /// What came of each request, in the order of the batch.
    pub outcomes: Vec<Result<Reply, Rejection>>,
    /// The events to commit, in order; empty when nothing durable came of the batch.
    pub events: Vec<Arc<Event>>,
    /// What waits from now on, or waits no longer, in order.
    pub waited: Vec<Waited>,
    /// What `revert` needs and the events do not say: what some of them have overwritten.
    before: Vec<(usize, Before)>,
    /// When it is decided.
    at: Timestamp,
    /// Posts of the whole server, this turn's included; 0 when not known.
    posts_total: u64,
}

/// A room at start-up, as the store has it.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which room.
    pub room: RoomId,
    /// Its name.
    pub name: RoomName,
    /// When the newest folded event was decided.
    pub at: Timestamp,
    /// The newest folded event.
    pub head: Seq,
    /// The newest folded event that was pushed.
    pub pushed: Seq,
    /// Posts so far.
    pub posts: u64,
    /// What it has settled.
    pub policy: Policy,
    /// Which words may not be said.
    pub words: Words,
    /// Who belongs, and who has marks.
    pub people: Vec<(UserId, Person)>,
    /// The messages that are pinned.
    pub pins: Vec<Seq>,
}

/// What is asked of a room's state by those who do not decide.
#[derive(Clone, Copy, Debug)]
pub struct RoomState<'a>(&'a Room);

impl<'a> RoomState<'a> {
    /// The newest event.
    pub fn head(self) -> Seq {
        self.0.head
    }

    /// The newest event that was pushed.
    pub fn pushed(self) -> Seq {
        self.0.pushed
    }

    /// Posts so far.
    pub fn posts(self) -> u64 {
        self.0.posts
    }

    /// The place of this account's `Joined`, if it is a member.
    pub fn member(self, user: UserId) -> Option<Seq> {
        self.0.joined(user)
    }

    /// The members with the place of their `Joined`, in no order.
    pub fn members(self) -> impl Iterator<Item = (UserId, Seq)> + 'a {
        self.people().filter_map(|(user, person)| Some((user, person.joined()?)))
    }

    /// Who belongs, and who has marks, in no order.
    pub fn people(self) -> impl Iterator<Item = (UserId, Person)> + 'a {
        self.0.people().iter().map(|(user, person)| (*user, *person))
    }

    /// What it has settled.
    pub fn policy(self) -> Policy {
        self.0.policy
    }

    /// The messages that are pinned, ascending.
    pub fn pins(self) -> &'a [Seq] {
        self.0.pins()
    }

    /// Which words may not be said.
    pub fn words(self) -> Words {
        self.0.words.clone()
    }
}

/// A sweep looks at this many slots a turn, and at two more for each request: faster than they fill.
const SWEEP_SLOTS_MIN: usize = 64;
/// What going to another room counts for.
const SWEEP_SLOTS_ROOM: usize = 16;

/// The state of the rooms of one shard.
#[derive(Debug)]
pub struct Shard {
    rooms: Vec<Room>,
    /// Where a room stands in `rooms`.
    index: HashMap<RoomId, u32, FixedState>,
    /// Some room is a direct one, or was for a turn: others need not be asked.
    has_direct: bool,
    window: Window,
    /// Posts that have no place yet.
    waiting: Waiting,
    /// The time of the newest turn.
    at: Timestamp,
    /// Which slot of which room's `origins` is swept next.
    sweeping: (usize, usize),
    /// Which room's `origins` are loaded next when nobody wants any.
    warming: usize,
    /// What is asked in place of a room that there is not.
    nowhere: Room,
    seed: u64,
    fingerprint_seed: SharedSeed,
    members_max: usize,
    marked_max: usize,
    pushed_members_max: usize,
}

impl Shard {
    /// An empty shard. `seed` goes into the maps' hash and the fingerprints.
    pub fn new(seed: u64, limits: &Limits) -> Self {
        Self {
            rooms: Vec::new(),
            index: HashMap::with_hasher(FixedState::with_seed(seed)),
            has_direct: false,
            window: Window::new(limits),
            waiting: Waiting::new(seed, limits),
            at: Timestamp::default(),
            sweeping: (0, 0),
            warming: 0,
            nowhere: known::nowhere(seed),
            seed,
            fingerprint_seed: SharedSeed::from_u64(seed),
            members_max: limits.members_max,
            marked_max: limits.marked_max,
            pushed_members_max: limits.pushed_members_max,
        }
    }

    /// Start-up: a room as the store has it. Its `origin_id`s are loaded when first wanted.
    pub fn restore(&mut self, restored: Restored) {
        let slot = self.add_room(restored.room);
        let room = &mut self.rooms[slot];
        room.head = restored.head;
        room.pushed = restored.pushed;
        room.posts = restored.posts;
        for (user, person) in restored.people {
            room.restore(user, person);
        }
        room.settle(restored.policy, restored.words);
        self.has_direct |= restored.policy.kind == Kind::Direct;
        restored.pins.into_iter().for_each(|of| _ = room.pin(of, true));
        room.origins = Origins::unloaded(restored.head);
        self.at = self.at.max(restored.at);
    }

    /// Start-up: an event of the log; passed over when the room has it already. An event that does
    /// not follow means that the log and the store are not of one piece.
    pub fn replay(&mut self, event: &Event) -> Result<(), Misfit> {
        let slot = match (self.slot(event.room), &event.kind) {
            (Some(slot), _) => slot,
            (None, EventKind::Created { .. }) => self.add_room(event.room),
            (None, _) => {
                let why = "there is no such room";
                return Err(Misfit { room: event.room, head: Seq::ZERO, seq: event.seq, why });
            }
        };
        if event.seq <= self.rooms[slot].head {
            return Ok(());
        }
        self.at = self.at.max(event.at);
        self.fold(slot, event, 0).map(|_| ())
    }

    /// What must be known before `apply`. Ask again after `load_origin`: a loaded room may want
    /// events. A second answer holds no `Origins` that was loaded.
    pub fn wants(&self, batch: &[Request], now: Now, wants: &mut Vec<Want>) {
        let from = wants.len();
        let cutoff = self.window.cutoff_at(now.at.max(self.at), now.posts_total);
        for request in batch {
            self.wanted_consent(request, wants);
            let Some((room, sender, origin_id)) = self.origin_of(request) else {
                self.wanted_message(request, wants);
                continue;
            };
            let Some(slot) = self.slot_known_to(room, sender) else { continue };
            wants.extend(self.wanted_origins(slot, cutoff));
            let state = &self.rooms[slot];
            let fingerprint = self.fingerprint(sender, origin_id.as_str());
            let hits = state.origins.hits(fingerprint, state.head, cutoff);
            wants.extend(hits.map(|seq| Want::Event { room, seq }));
        }
        if wants.len() - from > 1 {
            wants[from..].sort_unstable();
            wants.dedup();
        }
    }

    /// A room whose `origin_id`s are not in memory, another one each time: to load them while there
    /// is nothing better to do. `None` when a whole round found none.
    pub fn wants_warming(&mut self, now: Now) -> Option<Want> {
        let cutoff = self.window.cutoff_at(now.at.max(self.at), now.posts_total);
        for _ in 0..self.rooms.len() {
            self.warming = (self.warming + 1) % self.rooms.len();
            let want = self.wanted_origins(self.warming, cutoff);
            if want.is_some() {
                return want;
            }
        }
        None
    }

    /// Answers `Want::Origins`, one post at a time and in any order; what was not asked for, or is
    /// known already, is passed over. `origins_loaded` ends it; without that, the want remains.
    pub fn load_origin(
        &mut self,
        room: RoomId,
        sender: UserId,
        origin_id: &str,
        seq: Seq,
        at: Timestamp,
    ) {
        let Some(slot) = self.slot(room) else { return };
        let state = &self.rooms[slot];
        if state.origins.missing().is_none_or(|through| seq > through) {
            return;
        }
        let fingerprint = self.fingerprint(sender, origin_id);
        if !state.origins.has(fingerprint, seq) {
            self.at = self.at.max(at);
            self.remember(slot, fingerprint, seq, at, 0);
        }
    }

    /// All that a `Want::Origins` asked for was given to `load_origin`.
    pub fn origins_loaded(&mut self, room: RoomId) {
        if let Some(slot) = self.slot(room) {
            self.rooms[slot].origins.loaded();
        }
    }

    /// Decides a batch, in order, with the `now` that `wants` was asked with. A request whose wanted facts are missing (the store could not be
    /// read) is refused as `unavailable`; nothing else in the batch is touched by that.
    pub fn apply(&mut self, batch: &[Request], facts: &Facts, now: Now) -> Turn {
        let at = now.at.max(self.at);
        let mut turn = Turn {
            outcomes: Vec::with_capacity(batch.len()),
            events: Vec::with_capacity(batch.len()),
            waited: Vec::new(),
            before: Vec::new(),
            at,
            posts_total: now.posts_total,
        };
        self.at = at;
        self.window.advance(at, now.posts_total);
        self.sweep(SWEEP_SLOTS_MIN + 2 * batch.len());
        for request in batch {
            let outcome = self.decide(request, facts, &mut turn);
            turn.outcomes.push(outcome);
        }
        assert_eq!(turn.outcomes.len(), batch.len(), "each request has its outcome");
        turn
    }

    /// The commit failed: the state is as before `apply`, but for the time that has passed. Only the
    /// newest turn can be taken back.
    pub fn revert(&mut self, mut turn: Turn) {
        assert_eq!(self.at, turn.at, "the newest turn is taken back");
        for (index, event) in turn.events.iter().enumerate().rev() {
            let slot = self.slot(event.room).expect("a decided event has its room");
            if let EventKind::Posted { author, origin_id: Some(origin_id), .. } = &event.kind {
                let fingerprint = self.fingerprint(author.id, origin_id.as_str());
                let known = self.rooms[slot].origins.remove(fingerprint, event.seq);
                assert!(known, "a decided post is remembered");
                self.window.remove(self.window.grain(event.at));
            }
            let before = turn.before.pop_if(|(of, _)| *of == index).map(|(_, before)| before);
            self.rooms[slot].unfold(event, before);
            if matches!(event.kind, EventKind::Created { .. }) {
                assert_eq!(slot + 1, self.rooms.len(), "the newest room is taken back first");
                self.rooms.pop();
                self.index.remove(&event.room);
            }
        }
        assert!(turn.before.is_empty(), "all that was overwritten is back");
        self.wait_again(&turn);
    }

    /// A room's state.
    pub fn room(&self, room: RoomId) -> Option<RoomState<'_>> {
        self.slot(room).map(|slot| RoomState(&self.rooms[slot]))
    }

    /// How many rooms there are.
    pub fn rooms_len(&self) -> usize {
        self.rooms.len()
    }

    /// How many posts are remembered by their `origin_id`.
    pub fn origins_len(&self) -> u64 {
        self.window.posts()
    }

    /// Memory that they take, bytes. Looks at every room.
    pub fn origins_bytes(&self) -> usize {
        self.rooms.iter().map(|room| room.origins.bytes()).sum()
    }

    fn slot(&self, room: RoomId) -> Option<usize> {
        self.index.get(&room).map(|slot| *slot as usize)
    }

    fn add_room(&mut self, room: RoomId) -> usize {
        let slot = self.rooms.len();
        let was = self.index.insert(room, u32::try_from(slot).expect("room numbers are 23 bits"));
        assert!(was.is_none(), "room {room} is made once");
        self.rooms.push(Room::new(room, FixedState::with_seed(self.seed)));
        slot
    }

    fn wanted_origins(&self, slot: usize, cutoff: Grain) -> Option<Want> {
        let room = &self.rooms[slot];
        let through = room.origins.missing()?;
        let since = self.window.begins(cutoff);
        Some(Want::Origins { room: room.id, through, since })
    }

    fn fingerprint(&self, sender: UserId, origin_id: &str) -> Fingerprint {
        let mut hasher = FoldHasher::with_seed(sender.get(), &self.fingerprint_seed);
        hasher.write(origin_id.as_bytes());
        Fingerprint::of(hasher.finish())
    }

    /// Decides one request. What is refused has changed nothing.
    fn decide(
        &mut self,
        request: &Request,
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let who = &request.from;
        match &request.command {
            Command::Create { room, name, kind, settings } => {
                Ok(self.create(*room, who, (name, *kind, settings.as_deref()), turn))
            }
            Command::Direct { room, with } => self.direct(*room, who, with, turn),
            Command::Join { room } => self.join(*room, who, turn),
            Command::Leave { room } => self.leave(*room, who, turn),
            Command::Forget { room } => self.forget(*room, who, turn),
            Command::Post { room, .. } => self.post(*room, request, facts, turn),
            Command::Edit { room, of, body } => {
                self.edit(*room, who, (*of, Some(body)), facts, turn)
            }
            Command::Delete { room, of } => self.edit(*room, who, (*of, None), facts, turn),
            Command::React { room, .. } => self.react(*room, request, facts, turn),
            Command::Pin { room, of, on } => self.pin(*room, who, (*of, *on), facts, turn),
            Command::Moderate { room, act, who: target } => {
                self.moderate(*room, who, (*act, target), facts, turn)
            }
            Command::Admit { room, who: comer } => {
                // It asks for it itself: whom it takes messages from does not matter.
                self.moderate(*room, who, (Act::Invite, comer), &Facts::default(), turn)
            }
            Command::Enter { room, beside } => self.enter(*room, who, beside, turn),
            Command::BanGuest { room, who: guest, beside } => {
                self.ban_guest(*room, who, (guest, beside), facts, turn)
            }
            Command::Set { room, settings } => self.set(*room, who, settings, turn),
            Command::Held { room, number, verdict } => {
                self.settle_held(*room, who, (*number, *verdict), facts, turn)
            }
        }
    }

    /// The directory reserves the numbers, so that one that exists is a bug and ends the process. What
    /// the room begins with is settled in the same turn, in its maker's name: whoever meets the room
    /// meets it so, and a restart too, whatever defaults there are then.
    fn create(
        &mut self,
        room: RoomId,
        who: &Author,
        (name, kind, settings): (&RoomName, Kind, Option<&Settings>),
        turn: &mut Turn,
    ) -> Reply {
        let slot = self.add_room(room);
        let created = EventKind::Created { by: who.clone(), name: name.clone(), kind };
        let joined = EventKind::Joined { who: who.clone() };
        let fits = "a new room has places";
        self.happen(slot, created, true, turn).expect(fits);
        let pushed = self.pushed_members_max >= 1;
        let seq = self.happen(slot, joined, pushed, turn).expect(fits);
        if let Some(settings) = settings {
            let (by, settings) = (who.clone(), Box::new(settings.clone()));
            self.happen(slot, EventKind::Set { by, settings }, true, turn).expect(fits);
        }
        Reply::Created { seq }
    }

    fn join(&mut self, room: RoomId, who: &Author, turn: &mut Turn) -> Result<Reply, Rejection> {
        let slot = self.permitted(room, Operation::Join, who.id)?;
        let state = &self.rooms[slot];
        if let Some(seq) = state.joined(who.id) {
            return Ok(Reply::Joined { seq, already: true });
        }
        let members_with = state.members() + 1;
        if members_with > self.members_max {
            return Err(Rejection::LimitReached);
        }
        let pushed = members_with <= self.pushed_members_max;
        let seq = self.happen(slot, EventKind::Joined { who: who.clone() }, pushed, turn)?;
        Ok(Reply::Joined { seq, already: false })
    }

    fn leave(&mut self, room: RoomId, who: &Author, turn: &mut Turn) -> Result<Reply, Rejection> {
        let slot = self.permitted(room, Operation::Leave, who.id)?;
        // That one is named no more is told in rooms of any size.
        let few = self.rooms[slot].members() <= self.pushed_members_max;
        let pushed = few || who.name.is_gone();
        let seq = self.happen(slot, EventKind::Left { who: who.clone() }, pushed, turn)?;
        self.drop_held(room, who.id, turn);
        Ok(Reply::Left { seq })
    }

    /// Gives an event its place and takes it in.
    fn happen(
        &mut self,
        slot: usize,
        kind: EventKind,
        pushed: bool,
        turn: &mut Turn,
    ) -> Result<Seq, Rejection> {
        let room = &self.rooms[slot];
        let seq = room.head.next();
        if seq.0 > SEQ_MAX {
            return Err(Rejection::LimitReached);
        }
        if turn.posts_total > 0 && matches!(kind, EventKind::Posted { .. }) {
            turn.posts_total += 1;
        }
        let event = Event { room: room.id, seq, prev: room.pushed, pushed, at: turn.at, kind };
        let before = self.fold(slot, &event, turn.posts_total).expect("what was decided follows");
        turn.before.extend(before.map(|before| (turn.events.len(), before)));
        turn.events.push(Arc::new(event));
        Ok(seq)
    }

    /// The one path by which an event changes the state, decided now or replayed.
    fn fold(
        &mut self,
        slot: usize,
        event: &Event,
        posts_total: u64,
    ) -> Result<Option<Before>, Misfit> {
        let before = self.rooms[slot].fold(event)?;
        if let EventKind::Created { kind: Kind::Direct, .. } = &event.kind {
            self.has_direct = true;
        }
        if let EventKind::Posted { author, origin_id: Some(origin_id), .. } = &event.kind {
            let fingerprint = self.fingerprint(author.id, origin_id.as_str());
            self.remember(slot, fingerprint, event.seq, event.at, posts_total);
        }
        Ok(before)
    }

    fn remember(
        &mut self,
        slot: usize,
        fingerprint: Fingerprint,
        seq: Seq,
        at: Timestamp,
        posts_total: u64,
    ) {
        let grain = self.window.grain(at);
        if self.window.add(grain, posts_total) {
            self.rooms[slot].origins.insert(fingerprint, seq, grain, self.window.cutoff());
        }
    }

    /// Forgets, a few slots at a time and room after room, what no longer counts.
    fn sweep(&mut self, mut slots: usize) {
        while slots > 0 && !self.rooms.is_empty() {
            let (room, from) = self.sweeping;
            let room = room % self.rooms.len();
            let origins = &mut self.rooms[room].origins;
            let looked = slots.min(origins.capacity().saturating_sub(from));
            let next = origins.sweep(from, looked, self.window.cutoff());
            self.sweeping = if next == 0 { (room + 1, 0) } else { (room, next) };
            slots = slots.saturating_sub(looked.max(SWEEP_SLOTS_ROOM));
        }
    }
}

#[cfg(test)]
mod tests;
