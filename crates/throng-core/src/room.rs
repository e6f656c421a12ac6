//! One room's state, as a fold over its events: the same path for what was just decided, what the
//! log replays, and (backwards) what could not be committed.
//!
//! Neighbours: `shard` decides and owns the rooms. It never refuses: an event that does not follow
//! is reported, and the caller knows whether that is a bug or a broken folder.

use alloc::boxed::Box;
use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::event::{Event, EventKind};
use crate::id::{RoomId, SEQ_MAX, Seq, Timestamp, UserId};
use crate::origins::Origins;
use crate::rights::{Policy, Role, Standing};
use crate::text::Words;

/// What a room knows of one account: where it joined and where it stands, in eight bytes, so that a
/// member of a room takes no more than its number and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person(u64);

impl Person {
    /// One who joined at this place, or (0) only has marks.
    pub fn new(joined: Seq, standing: Standing) -> Self {
        debug_assert!(joined.0 <= SEQ_MAX, "a place has forty bits");
        Self(joined.0 << 8 | u64::from(standing.byte()))
    }

    /// The place of its `Joined`, if it belongs.
    pub fn joined(self) -> Option<Seq> {
        self.standing().role().map(|_| Seq(self.0 >> 8))
    }

    /// Where it stands.
    pub fn standing(self) -> Standing {
        Standing::given(self.0 as u8)
    }

    /// What is known of the account that this event is about (`EventKind::about`) after it.
    pub fn after(event: &Event, was: Option<Self>) -> Option<Self> {
        let standing = was.map_or(Standing::default(), Self::standing);
        match &event.kind {
            EventKind::Joined { who } => {
                let role = match who.id.is_guest() {
                    true => Role::Visitor,
                    // Who made a room joins it at its second place, and is its owner.
                    false if event.seq == Seq(2) => Role::Owner,
                    false => Role::Member,
                };
                let standing = standing.without(Standing::INVITED).as_role(role);
                Some(Self::new(event.seq, standing))
            }
            // One who was invited declines.
            EventKind::Left { .. } if standing.declines() => {
                Self::outside(standing.without(Standing::INVITED))
            }
            // One who had gone already is forgotten: see `Command::Forget`.
            EventKind::Left { .. } if standing.role().is_none() => None,
            EventKind::Left { .. } => Self::outside(standing.outside()),
            EventKind::Moderated { act, .. } => {
                let now = act.applied(standing);
                match was.and_then(Self::joined) {
                    Some(joined) if now.role().is_some() => Some(Self::new(joined, now)),
                    _ => Self::outside(now),
                }
            }
            _ => was,
        }
    }

    /// What is kept of one who does not belong.
    fn outside(standing: Standing) -> Option<Self> {
        (!standing.is_nothing()).then(|| Self::new(Seq::ZERO, standing))
    }
}

/// Who belongs, and who has marks.
pub(crate) type People = HashMap<UserId, Person, FixedState>;

/// When each account posted last, kept while slow mode is on and no longer than that counts.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    posted: HashMap<UserId, Timestamp, FixedState>,
    /// Looked through when there are this many.
    sweep_at: usize,
}

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
    people: People,
    /// Of the people, those who belong.
    members: usize,
    /// Of the people, those with marks.
    marked: usize,
    pub(crate) policy: Policy,
    /// What may not be said.
    pub(crate) words: Words,
    slow: Option<Box<Slow>>,
    pins: Option<Box<Pins>>,
    pub(crate) origins: Origins,
}

/// The messages that are pinned, ascending; few rooms have any.
#[derive(Clone, Debug)]
pub(crate) struct Pins(Vec<Seq>);

/// What an event has overwritten: with it, the event can be taken back.
#[derive(Debug)]
pub(crate) enum Before {
    /// What was known of the account that it was about.
    Person(UserId, Option<Person>),
    /// The policy and the filter, and who had posted when.
    Policy(Policy, Words, Option<Box<Slow>>),
    /// When the sender had posted before.
    Posted(UserId, Option<Timestamp>),
    /// What was pinned.
    Pins(Option<Box<Pins>>),
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
            people: People::with_hasher(seed),
            members: 0,
            marked: 0,
            policy: Policy::default(),
            words: Words::default(),
            slow: None,
            pins: None,
            origins: Origins::default(),
        }
    }

    /// Start-up: what the store knows of an account.
    pub(crate) fn restore(&mut self, user: UserId, person: Person) {
        self.put(user, Some(person));
    }

    /// Start-up: what the store knows of the settings.
    pub(crate) fn settle(&mut self, policy: Policy, words: Words) -> Before {
        let slow = self.slow.take();
        if policy.slow_seconds > 0 {
            let fresh = || Box::new(Slow::new(self.people.hasher().clone()));
            self.slow = Some(slow.clone().unwrap_or_else(fresh));
        }
        let words = core::mem::replace(&mut self.words, words);
        Before::Policy(core::mem::replace(&mut self.policy, policy), words, slow)
    }

    /// The messages that are pinned, ascending.
    pub(crate) fn pins(&self) -> &[Seq] {
        self.pins.as_ref().map_or(&[], |pins| &pins.0)
    }

    /// Pins a message or takes it off, if it is not so already.
    pub(crate) fn pin(&mut self, of: Seq, on: bool) -> Option<Before> {
        let place = self.pins().binary_search(&of);
        if place.is_ok() == on {
            return None;
        }
        let before = self.pins.clone();
        let pins = &mut self.pins.get_or_insert_with(|| Box::new(Pins(Vec::new()))).0;
        match place {
            Ok(at) => _ = pins.remove(at),
            Err(at) => pins.insert(at, of),
        }
        if pins.is_empty() {
            self.pins = None;
        }
        Some(Before::Pins(before))
    }

    /// Where an account stands.
    pub(crate) fn standing(&self, user: UserId) -> Standing {
        self.people.get(&user).map_or(Standing::default(), |person| person.standing())
    }

    /// The place of its `Joined`, if it belongs.
    pub(crate) fn joined(&self, user: UserId) -> Option<Seq> {
        self.people.get(&user)?.joined()
    }

    pub(crate) fn people(&self) -> &People {
        &self.people
    }

    /// How many belong.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    /// How many have marks.
    pub(crate) fn marked(&self) -> usize {
        self.marked
    }

    /// Milliseconds that slow mode has this account wait at this time.
    pub(crate) fn must_wait(&self, user: UserId, at: Timestamp) -> u64 {
        let posted = self.slow.as_ref().and_then(|slow| slow.posted.get(&user));
        let until =
            posted.map_or(0, |posted| posted.0 + u64::from(self.policy.slow_seconds) * 1_000);
        until.saturating_sub(at.0)
    }

    /// Takes the next event in. Returns what it has overwritten.
    pub(crate) fn fold(&mut self, event: &Event) -> Result<Option<Before>, Misfit> {
        let misfit = |why| Misfit { room: self.id, head: self.head, seq: event.seq, why };
        if event.seq != self.head.next() {
            return Err(misfit("its place is not the next one"));
        }
        if event.prev != self.pushed {
            return Err(misfit("the event pushed before it is another"));
        }
        let before = match &event.kind {
            EventKind::Created { .. } if event.seq != Seq(1) => {
                return Err(misfit("a room is made once"));
            }
            EventKind::Created { kind, .. } => {
                self.policy.kind = *kind;
                None
            }
            EventKind::Joined { who } => {
                if self.joined(who.id).is_some() {
                    return Err(misfit("a member joins again"));
                }
                Some(self.change(who.id, event))
            }
            EventKind::Left { who } => {
                if self.standing(who.id).is_nothing() {
                    return Err(misfit("one who is nobody here leaves"));
                }
                Some(self.change(who.id, event))
            }
            EventKind::Moderated { who, act, .. } => {
                let now = act.applied(self.standing(who.id));
                if now.role().is_some() && self.joined(who.id).is_none() {
                    return Err(misfit("one who is no member has a role"));
                }
                Some(self.change(who.id, event))
            }
            EventKind::Set { settings, .. } => {
                let words = settings.words.as_ref().unwrap_or(&self.words).clone();
                Some(self.settle(self.policy.with(settings), words))
            }
            EventKind::Posted { n, author, .. } => {
                if *n != self.posts + 1 {
                    return Err(misfit("its number is not the next one"));
                }
                self.posts = *n;
                self.note_said(author.id, event.at)
            }
            EventKind::Edited { by, .. } => self.note_said(by.id, event.at),
            EventKind::Pinned { of, on, .. } => self.pin(*of, *on),
            EventKind::Deleted { of, .. } => self.pin(*of, false),
            EventKind::Reacted { .. } => None,
        };
        self.head = event.seq;
        if event.pushed {
            self.pushed = event.seq;
        }
        Ok(before)
    }

    /// Takes the newest event back. `before` is what `fold` returned for it.
    pub(crate) fn unfold(&mut self, event: &Event, before: Option<Before>) {
        assert_eq!(event.seq, self.head, "the newest event is taken back first");
        match before {
            None => {}
            Some(Before::Person(user, was)) => _ = self.put(user, was),
            Some(Before::Policy(policy, words, slow)) => {
                self.policy = policy;
                self.words = words;
                self.slow = slow;
            }
            Some(Before::Pins(pins)) => self.pins = pins,
            Some(Before::Posted(user, was)) => {
                let posted = self.slow.as_mut().map(|slow| &mut slow.posted);
                let posted = posted.expect("slow mode is on until that is undone");
                match was {
                    Some(at) => _ = posted.insert(user, at),
                    None => _ = posted.remove(&user),
                }
            }
        }
        if let EventKind::Posted { .. } = &event.kind {
            self.posts -= 1;
        }
        self.head = Seq(event.seq.0 - 1);
        self.pushed = event.prev;
    }

    /// A text that was said, or changed, is what slow mode counts.
    fn note_said(&mut self, user: UserId, at: Timestamp) -> Option<Before> {
        let slow_ms = u64::from(self.policy.slow_seconds) * 1_000;
        let slow = self.slow.as_mut();
        slow.map(|slow| Before::Posted(user, slow.note(user, at, slow_ms)))
    }

    fn change(&mut self, user: UserId, event: &Event) -> Before {
        self.put(user, Person::after(event, self.people.get(&user).copied()))
    }

    /// What is known of an account from now on; returns what was.
    fn put(&mut self, user: UserId, person: Option<Person>) -> Before {
        let was = match person {
            Some(person) => self.people.insert(user, person),
            None => self.people.remove(&user),
        };
        let counts = |person: Option<Person>| {
            let standing = person.map_or(Standing::default(), Person::standing);
            (usize::from(standing.role().is_some()), usize::from(standing.is_marked()))
        };
        let ((members, marked), (left, unmarked)) = (counts(person), counts(was));
        self.members = self.members + members - left;
        self.marked = self.marked + marked - unmarked;
        Before::Person(user, was)
    }
}

impl Slow {
    fn new(hasher: FixedState) -> Self {
        Self { posted: HashMap::with_hasher(hasher), sweep_at: 64 }
    }

    /// Notes a post; returns when the account posted before.
    fn note(&mut self, user: UserId, at: Timestamp, slow_ms: u64) -> Option<Timestamp> {
        if self.posted.len() >= self.sweep_at {
            self.posted.retain(|_, posted| posted.0 + slow_ms > at.0);
            self.sweep_at = (self.posted.len() * 2).max(64);
        }
        self.posted.insert(user, at)
    }
}
