//! Random joins, leaves, posts and repeats, failed commits, unreadable stores and restarts: a shard
//! does as the model says, always.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use throng_core::id::GUESTS_FROM;
use throng_core::shard::{Facts, Now, Restored, Shard, Turn, Want};
use throng_core::{
    Act, Attachment, Author, Body, Command, EventKind, Extras, FileHash, FileId, FileKind,
    FileName, Kind, Limits, OriginId, Reaction, Rejection, Request, Role, RoomId, RoomName, Seq,
    Settings, Speak, Timestamp, UserId, Username, Verdict, Visibility, Words,
};

use crate::model::Model;
use crate::seeds;

const USERS: u64 = 6;
/// Guests, of whom all but the last come from one address.
const GUESTS: u64 = 3;

#[test]
fn a_shard_does_as_the_model_says_through_failures_and_restarts() {
    seeds::each("a_shard_does_as_the_model_says", 300, |rng| {
        let mut world = World::new(rng);
        for _ in 0..rng.random_range(1..60) {
            match rng.random_range(0..100) {
                0..5 => world.restart(rng),
                5..10 => world.warm(rng),
                _ => world.turn(rng),
            }
            world.check();
        }
        world.check_order();
    });
}

#[test]
fn the_same_events_give_the_same_state_on_any_shard() {
    seeds::each("the_same_events_give_the_same_state", 50, |rng| {
        let mut world = World::new(rng);
        for _ in 0..30 {
            world.turn(rng);
        }
        // Another seed, other maps, everything replayed twice: the same rooms.
        let mut other = Shard::new(rng.next_u64(), &world.model.limits);
        for event in world.model.events.iter().chain(&world.model.events) {
            other.replay(event).expect("what was decided follows");
        }
        world.shard = other;
        world.model.restart(0);
        world.check();
        for _ in 0..10 {
            world.turn(rng);
            world.check();
        }
    });
}

/// A shard beside its model, which also is its log and its store.
struct World {
    model: Model,
    shard: Shard,
    now: Now,
    rooms: u32,
}

pub fn room(number: u32) -> RoomId {
    RoomId::new(number).expect("a small number")
}

pub fn user(number: u64) -> Author {
    let name = Username::parse(&format!("u{number}")).expect("a short name");
    Author { id: UserId::new(number).expect("a small number"), name }
}

/// An account, or a guest.
fn person(rng: &mut StdRng) -> Author {
    let guest = rng.random_bool(0.25);
    user(if guest {
        guest_number(rng.random_range(0..GUESTS))
    } else {
        rng.random_range(1..=USERS)
    })
}

fn guest_number(number: u64) -> u64 {
    GUESTS_FROM + number
}

/// The other guests from this one's address.
fn beside(guest: &Author) -> Vec<Author> {
    let of_address = (0..GUESTS - 1).map(|number| user(guest_number(number)));
    let of_address: Vec<Author> = of_address.collect();
    let there = of_address.contains(guest);
    of_address.into_iter().filter(|one| there && one != guest).collect()
}

pub fn origin(number: u64) -> OriginId {
    OriginId::parse(format!("o{number}")).expect("a short id")
}

/// Something to say: some of it answers what stands at a place, some is a file, with a text or without.
fn said(rng: &mut StdRng, of: Seq) -> (Body, Option<Box<Extras>>) {
    let text = format!("{:x}", rng.next_u64());
    let reply_to = if rng.random_bool(0.2) { of.0 } else { 0 };
    if rng.random_bool(0.8) {
        let extras = Extras::parse(reply_to, &[]).expect("a small number");
        return (Body::parse(text).expect("a short text"), extras);
    }
    let file = Attachment {
        id: FileId([1; 16]),
        hash: FileHash([1; 32]),
        kind: FileKind::Png,
        len: 7,
        size: (1, 1),
        name: FileName::parse("z").expect("a short name"),
    };
    let text = if rng.random_bool(0.5) { String::new() } else { text };
    let extras = Extras::carrying(reply_to, &[], Box::new([file])).expect("a small number");
    (Body::beside_files(text).expect("a short text"), extras)
}

impl World {
    fn new(rng: &mut StdRng) -> Self {
        let limits = Limits {
            members_max: rng.random_range(2..=USERS as usize + 1),
            marked_max: rng.random_range(1..=USERS as usize),
            pushed_members_max: rng.random_range(0..=USERS as usize),
            origin_window_ms: *pick(rng, &[0, 5, 100, 100_000, 1_000_000_000]),
            origin_window_posts: *pick(rng, &[1, 3, 20, 1_000_000]),
            ..Limits::default()
        };
        let shard = Shard::new(rng.next_u64(), &limits);
        let now = Now { at: Timestamp(rng.random_range(0..10_000_000)), posts_total: 0 };
        Self { model: Model::new(limits), shard, now, rooms: 0 }
    }

    fn request(&mut self, rng: &mut StdRng) -> Request {
        let from = user(rng.random_range(1..=USERS));
        if self.rooms == 0 || (self.rooms < 4 && rng.random_bool(0.05)) {
            self.rooms += 1;
            let name = RoomName::parse(&format!("room {}", self.rooms)).expect("a short name");
            let kind = *pick(rng, &[Kind::Public, Kind::Public, Kind::Private]);
            let settings = rng.random_bool(0.5).then(|| Box::new(settings(rng)));
            let command = Command::Create { room: room(self.rooms), name, kind, settings };
            return Request { from, command };
        }
        let opened = room(100 + rng.random_range(0..3));
        if rng.random_bool(0.05) {
            // The two of a direct room are always the same, and the directory knows its number.
            let first = u64::from(opened.get()) % 100 * 2 + 1;
            let second = user(first + 1);
            let from = if rng.random_bool(0.5) { user(first) } else { second.clone() };
            let with = if from == second { user(first) } else { second };
            return Request { from, command: Command::Direct { room: opened, with } };
        }
        let others = room(rng.random_range(1..=self.rooms + 1));
        let room = if rng.random_bool(0.2) { opened } else { others };
        let head = self.model.head(room).0;
        if rng.random_bool(0.05)
            && let Some(command) = self.settlement(rng)
        {
            return Request { from, command };
        }
        let of = Seq(rng.random_range(0..head + 3));
        let from = person(rng);
        let command = match rng.random_range(0..20) {
            0..3 if from.id.is_guest() => {
                let beside = beside(&from).iter().map(|one| one.id).collect();
                Command::Enter { room, beside }
            }
            0..3 => Command::Join { room },
            3 if rng.random_bool(0.3) => Command::Forget { room },
            3 => Command::Leave { room },
            4 => {
                let text = *pick::<&str>(rng, &["edited", ""]);
                Command::Edit { room, of, body: Body::beside_files(text).expect("a short text") }
            }
            5 => Command::Delete { room, of },
            6..8 => {
                let (who, act) = (person(rng), act(rng));
                if act == Act::Ban && who.id.is_guest() {
                    let beside = beside(&who).into();
                    Command::BanGuest { room, who, beside }
                } else {
                    Command::Moderate { room, act, who }
                }
            }
            8 => Command::Set { room, settings: Box::new(settings(rng)) },
            9..12 => {
                let reaction =
                    Reaction::parse(pick::<&str>(rng, &["+1", "tea"])).expect("it shows");
                Command::React { room, of, reaction, on: rng.random_bool(0.7) }
            }
            12 => Command::Pin { room, of, on: rng.random_bool(0.7) },
            _ => {
                let id = rng.random_range(0..30);
                let origin_id = (id > 5).then(|| origin(id));
                let (body, extras) = said(rng, of);
                Command::Post { room, origin_id, body, extras }
            }
        };
        Request { from, command }
    }

    /// What becomes of one that waits, or of one that does not.
    fn settlement(&self, rng: &mut StdRng) -> Option<Command> {
        let posts = &self.model.waiting.posts;
        let post = &posts.get(rng.random_range(0..posts.len() + 1))?;
        let verdict = *pick(rng, &[Verdict::Pass, Verdict::Drop]);
        let number = if rng.random_bool(0.9) { post.number } else { post.number + 1 };
        Some(Command::Held { room: post.room, number, verdict })
    }

    /// What is due comes first in a turn, all of it and nothing else.
    fn released(&mut self) -> Vec<Request> {
        let mut released = Vec::new();
        self.shard.due(self.now, usize::MAX, &mut released);
        let mut model = self.model.clone();
        model.begin(self.now);
        let due = |request: &Request| match &request.command {
            Command::Held { room, number, verdict: Verdict::Due } => (*room, *number),
            other => panic!("{other:?} is not due"),
        };
        assert_eq!(released.iter().map(due).collect::<Vec<_>>(), model.due());
        released
    }

    fn turn(&mut self, rng: &mut StdRng) {
        let rooms_before = self.rooms;
        let step = *pick(rng, &[0, 1, 3, 50, 900, 20_000]);
        self.now.at = Timestamp((self.now.at.0 + step).saturating_sub(rng.random_range(0..3)));
        let mut batch = self.released();
        batch.extend((0..rng.random_range(0..12)).map(|_| self.request(rng)));
        self.now.posts_total = if rng.random_bool(0.9) { self.model.posts_total() } else { 0 };
        let unread = if rng.random_bool(0.1) { 0.5 } else { 0.0 };
        let (facts, withheld) = self.gather(&batch, rng, unread);
        let turn = self.shard.apply(&batch, &facts, self.now);
        let decided = self.judge(&batch, &turn, &withheld);
        // What could not be read or is not committed is tried again after a while.
        let mut put_off = undecided(&batch, &turn);
        if rng.random_bool(0.15) {
            let ended = turn.waited.iter().filter(|waited| waited.came.is_some());
            put_off.extend(ended.map(|waited| waited.post.room));
            self.shard.revert(turn);
            self.model.begin(self.now);
            self.rooms = rooms_before;
            for room in put_off {
                self.model.postpone(room);
            }
        } else {
            self.model = decided;
        }
    }

    /// What the shard wants, read from the model; each thing fails to be read with this chance.
    fn gather(&mut self, batch: &[Request], rng: &mut StdRng, unread: f64) -> (Facts, Withheld) {
        let (mut facts, mut withheld) = (Facts::default(), Withheld::new());
        let mut wants = Vec::new();
        for round in 0..2 {
            wants.clear();
            self.shard.wants(batch, self.now, &mut wants);
            for want in &wants {
                let read = !rng.random_bool(unread);
                match *want {
                    Want::Origins { room, .. } if !read || withheld.contains(&room) => {
                        self.load(*want, rng.random_range(0..20));
                        withheld.insert(room);
                    }
                    Want::Origins { .. } => {
                        assert_eq!(round, 0, "what was loaded is not wanted again");
                        self.load(*want, usize::MAX);
                    }
                    Want::Event { room, .. }
                    | Want::Message { room, .. }
                    | Want::Tallies { room, .. }
                        if !read =>
                    {
                        withheld.insert(room);
                    }
                    Want::Message { room, seq } => {
                        let shown = self.model.shown(room, seq);
                        facts.add_message(shown.expect("it wants what there is"));
                    }
                    // Everybody wants everything here.
                    Want::Consent { .. } => {}
                    Want::Tallies { room, seq, user } => {
                        let tallies = self.model.tallies(room, seq, user);
                        facts.add_tallies(room, seq, user, tallies);
                    }
                    Want::Event { room, seq } => {
                        let event = self.model.event(room, seq);
                        facts.add(Arc::clone(event.expect("it wants what there is")));
                    }
                }
            }
        }
        (facts, withheld)
    }

    /// Answers a want of origins with all that the room has, more than was asked for; or breaks off.
    fn load(&mut self, want: Want, events_max: usize) {
        let Want::Origins { room, through, since } = want else { return };
        for event in self.model.room(room).take(events_max) {
            if let EventKind::Posted { author, origin_id: Some(id), .. } = &event.kind
                && (event.seq > through || event.at >= since)
            {
                self.shard.load_origin(room, author.id, id.as_str(), event.seq, event.at);
            }
        }
        if events_max == usize::MAX {
            self.shard.origins_loaded(room);
        }
    }

    /// The model decides the same batch; what it says is what the shard did.
    fn judge(&self, batch: &[Request], turn: &Turn, withheld: &Withheld) -> Model {
        let mut model = self.model.clone();
        model.begin(self.now);
        assert_eq!(turn.outcomes.len(), batch.len());
        for (request, actual) in batch.iter().zip(&turn.outcomes) {
            let asks = matches!(
                request.command,
                Command::Post { origin_id: Some(_), .. }
                    | Command::Edit { .. }
                    | Command::Delete { .. }
                    | Command::React { .. }
                    | Command::Pin { .. }
                    | Command::Held { verdict: Verdict::Due | Verdict::Pass, .. }
            );
            let unread = withheld.contains(&request.command.room()) && asks;
            let is_member = model.members(request.command.room()).contains_key(&request.from.id);
            if *actual == Err(Rejection::Unavailable) && unread && is_member {
                if let Command::Held { room, .. } = &request.command {
                    model.postpone(*room);
                }
                continue; // It could not know, and said so.
            }
            let expected = model.decide(request, *actual);
            assert_eq!(*actual, expected, "{request:?}");
        }
        assert_eq!(turn.events, model.events[self.model.events.len()..]);
        model
    }

    /// Another process: some of each room is folded, the log's tail is replayed from anywhere before.
    fn restart(&mut self, rng: &mut StdRng) {
        let mut shard = Shard::new(rng.next_u64(), &self.model.limits);
        let folded = rng.random_range(0..=self.model.events.len());
        let begins = rng.random_range(0..=folded);
        for number in self.all_rooms() {
            let mut part = self.model.clone();
            part.events.truncate(folded);
            let room = room(number);
            if part.head(room) > Seq(0) {
                shard.restore(Restored {
                    room,
                    name: RoomName::parse("room").expect("a short name"),
                    at: part.room(room).next_back().expect("it has a head").at,
                    head: part.head(room),
                    pushed: part.pushed(room),
                    posts: part.posts(room),
                    policy: part.policy(room),
                    words: part.words(room),
                    people: part.people(room).into_iter().collect(),
                    pins: part.pins(room).into_iter().collect(),
                });
            }
        }
        for event in &self.model.events[begins..] {
            shard.replay(event).expect("the log follows the store");
        }
        self.shard = shard;
        self.model.restart(folded);
    }

    /// The origins of a room are loaded before anybody wants them.
    fn warm(&mut self, rng: &mut StdRng) {
        if let (Some(want), true) = (self.shard.wants_warming(self.now), rng.random_bool(0.8)) {
            self.load(want, usize::MAX);
        }
    }

    /// The numbers of the rooms that there are, the direct ones behind the others.
    fn all_rooms(&self) -> Vec<u32> {
        let direct = (100..103).filter(|number| self.model.head(room(*number)) > Seq(0));
        (1..=self.rooms).chain(direct).collect()
    }

    fn check(&self) {
        assert_eq!(self.shard.rooms_len(), self.all_rooms().len());
        assert_eq!(self.shard.next_due(), self.model.next_due());
        for number in self.all_rooms() {
            let state = self.shard.room(room(number)).expect("it was made");
            assert_eq!(state.head(), self.model.head(room(number)));
            assert_eq!(state.pushed(), self.model.pushed(room(number)));
            assert_eq!(state.posts(), self.model.posts(room(number)));
            assert_eq!(state.policy(), self.model.policy(room(number)));
            assert!(state.pins().iter().eq(&self.model.pins(room(number))));
            assert_eq!(state.people().collect::<std::collections::BTreeMap<_, _>>(), {
                self.model.people(room(number))
            });
        }
    }

    /// The laws of a room's order, from its events alone.
    fn check_order(&self) {
        for number in self.all_rooms() {
            let mut members = BTreeSet::new();
            let (mut seq, mut n, mut pushed, mut at) = (0, 0, Seq(0), Timestamp(0));
            for event in self.model.room(room(number)) {
                seq += 1;
                assert_eq!(event.seq, Seq(seq), "dense");
                assert_eq!(event.prev, pushed, "prev is the one pushed before");
                assert!(event.at >= at, "time does not go back");
                at = event.at;
                match &event.kind {
                    EventKind::Created { .. } => assert_eq!(seq, 1),
                    EventKind::Joined { who } => assert!(members.insert(who.id)),
                    // Of one who has gone already the marks are forgotten, and nobody hears of it.
                    EventKind::Left { who } => assert!(members.remove(&who.id) || !event.pushed),
                    EventKind::Moderated { who, act, .. } => {
                        let gone = act.removes() && members.remove(&who.id);
                        assert!(gone || !matches!(act, Act::Kick), "who is kicked belonged");
                    }
                    EventKind::Edited { by, .. }
                    | EventKind::Deleted { by, .. }
                    | EventKind::Reacted { by, .. }
                    | EventKind::Pinned { by, .. } => {
                        assert!(members.contains(&by.id), "no stranger's hand");
                    }
                    EventKind::Set { by, .. } => assert!(members.contains(&by.id)),
                    EventKind::Posted { n: number, author, .. } => {
                        n += 1;
                        assert_eq!(*number, n, "posts are numbered densely");
                        assert!(members.contains(&author.id), "no stranger's message");
                    }
                }
                assert!(members.len() <= self.model.limits.members_max);
                if event.pushed {
                    pushed = event.seq;
                }
            }
        }
    }
}

type Withheld = BTreeSet<RoomId>;

/// The rooms in which something that waits could not be decided.
fn undecided(batch: &[Request], turn: &Turn) -> Withheld {
    let asked = batch.iter().zip(&turn.outcomes);
    let rooms = asked.filter_map(|(request, outcome)| match &request.command {
        Command::Held { room, .. } if *outcome == Err(Rejection::Unavailable) => Some(*room),
        _ => None,
    });
    rooms.collect()
}

fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

fn act(rng: &mut StdRng) -> Act {
    let role = *pick(rng, &Role::ALL);
    let acts = [
        Act::Kick,
        Act::Ban,
        Act::Unban,
        Act::Mute,
        Act::Unmute,
        Act::Voice,
        Act::Unvoice,
        Act::Invite,
        Act::SetRole(role),
        Act::DeleteAll,
    ];
    *pick(rng, &acts)
}

fn settings(rng: &mut StdRng) -> Settings {
    let one = rng.random_range(0..6);
    Settings {
        speak: (one == 0).then(|| *pick(rng, &[Speak::Everyone, Speak::Members, Speak::Voiced])),
        history: (one == 1)
            .then(|| *pick(rng, &[Visibility::Joining, Visibility::Members, Visibility::All])),
        slow_seconds: (one == 2).then(|| *pick(rng, &[0, 1, 20, 21_600])),
        words: (one == 3).then(|| {
            let lists: [&[&str]; 3] = [&[], &["a*", "tea"], &["edited", "*7*"]];
            let list = pick(rng, &lists);
            Words::parse(list.iter().map(ToString::to_string).collect()).expect("short words")
        }),
        delay_seconds: (one == 5).then(|| *pick(rng, &[0, 1, 10, 30, 300])),
        keep_seconds: (one == 4).then(|| *pick(rng, &[0, 60, 86_400])),
        ..Settings::default()
    }
}
