//! What every store must do, as one function; each implementation's tests call it.
//!
//! Every call also fails once: `Failing` refuses it, and the store behind must be as if that call
//! had never been.

mod erasing;
mod notes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use throng_core::{
    Act, Author, Avatar, Event, EventKind, Extras, FileId, Kind, Person, Policy, Reaction, Role,
    RoomId, Seq, Standing, Tally, Timestamp, Topic, UserId, Words,
};

use super::{
    Erased, Erasing, Members, Names, RoomBatch, RoomSnapshot, Store, StoreError, Unnamed,
    VisitOrigin,
};
use crate::pages::{Note, Span};
use crate::samples;

/// A store that refuses the next `refusals` calls.
#[derive(Debug)]
pub struct Failing {
    /// The store behind.
    pub store: Arc<dyn Store>,
    /// How many calls are refused from now on.
    pub refusals: AtomicUsize,
    /// Syncs fail from now on.
    pub sync_fails: AtomicBool,
    /// The number of a room whose blocks are damaged; 0 for none.
    pub damaged: AtomicU32,
}

impl Failing {
    /// Refuses nothing yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            refusals: AtomicUsize::new(0),
            sync_fails: AtomicBool::new(false),
            damaged: AtomicU32::new(0),
        }
    }

    fn refuse(&self, attempted: &'static str) -> Result<(), StoreError> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Err(StoreError::Io { attempted, cause: "refused by the test".into() }),
            Err(_) => Ok(()),
        }
    }
}

impl Store for Failing {
    fn fold(&self, rooms: &[RoomBatch]) -> Result<(), StoreError> {
        self.refuse("write to the store")?;
        let damaged = self.damaged.load(Ordering::Relaxed);
        if rooms.iter().any(|batch| batch.room.get() == damaged) {
            return Err(StoreError::Corrupt(format!("room {damaged}: by the test")));
        }
        self.store.fold(rooms)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.refuse("checkpoint the store")?;
        if self.sync_fails.load(Ordering::Relaxed) {
            return Err(StoreError::SyncFailed("refused by the test".into()));
        }
        self.store.sync()
    }

    fn rooms(&self, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), StoreError> {
        self.refuse("read the rooms")?;
        self.store.rooms(visit)
    }

    fn page(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        self.refuse("read history")?;
        self.store.page(room, span, limit)
    }

    fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        self.refuse("read history")?;
        self.store.event(room, seq)
    }

    fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Note>, StoreError> {
        self.refuse("read edits")?;
        self.store.notes(room, from, to)
    }

    fn reactions(
        &self,
        room: RoomId,
        from: Seq,
        to: Seq,
        asker: UserId,
    ) -> Result<Vec<(Seq, Tally)>, StoreError> {
        self.refuse("read reactions")?;
        self.store.reactions(room, from, to, asker)
    }

    fn pins(&self, room: RoomId) -> Result<Vec<Seq>, StoreError> {
        self.refuse("read pins")?;
        self.store.pins(room)
    }

    fn sweeps(&self, room: RoomId, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        self.refuse("read deletions")?;
        self.store.sweeps(room, users)
    }

    fn members(&self, room: RoomId, after: u64, limit: usize) -> Result<Members, StoreError> {
        self.refuse("read the members")?;
        self.store.members(room, after, limit)
    }

    fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, u64)>, StoreError> {
        self.refuse("read mentions")?;
        self.store.mentions(room, user, after, limit)
    }

    fn carries(&self, file: FileId) -> Result<bool, StoreError> {
        self.refuse("look for a file")?;
        self.store.carries(file)
    }

    fn first_since(&self, room: RoomId, since: Timestamp) -> Result<Option<Seq>, StoreError> {
        self.refuse("look for what is kept")?;
        self.store.first_since(room, since)
    }

    fn erase(&self, what: Erasing) -> Result<Erased, StoreError> {
        self.refuse("erase from the store")?;
        self.store.erase(what)
    }

    fn unname(&self, names: &Names, after: Option<(RoomId, Seq)>) -> Result<Unnamed, StoreError> {
        self.refuse("take names out of the store")?;
        self.store.unname(names, after)
    }

    fn origins(
        &self,
        room: RoomId,
        through: Seq,
        since: Timestamp,
        visit: &mut VisitOrigin<'_>,
    ) -> Result<(), StoreError> {
        self.refuse("read the ids of posts")?;
        self.store.origins(room, through, since, visit)
    }
}

/// Folds events of one room.
pub fn fold(store: &dyn Store, events: Vec<Arc<Event>>) {
    store.fold(&[RoomBatch { room: events[0].room, events }]).unwrap();
}

/// Every room.
pub fn rooms(store: &dyn Store) -> Vec<RoomSnapshot> {
    let mut rooms = Vec::new();
    store.rooms(&mut |room| rooms.push(room)).unwrap();
    rooms
}

/// Runs every claim on a fresh store.
pub fn run(make: &mut dyn FnMut() -> Arc<dyn Store>) {
    what_is_folded_is_read_from_both_ends(&*make());
    folding_the_same_again_is_harmless(&*make());
    a_gap_is_refused_and_nothing_of_the_fold_stays(&*make());
    rooms_know_their_members_and_numbers(&*make());
    ids_of_posts_are_visited_up_to_a_place_and_back_to_a_time(&*make());
    people_and_settings_are_what_the_events_make_of_them(&*make());
    notes::what_became_of_messages_is_kept_beside_them(&*make());
    notes::a_text_that_was_left_blank_is_kept_as_one_and_goes_as_one(&*make());
    reactions_are_counted_and_pins_kept_until_their_message_is_deleted(&*make());
    all_of_one_sender_is_taken_away_up_to_the_newest_place_it_was_asked_for(&*make());
    mentions_are_found_by_whom_they_mention_until_they_are_deleted(&*make());
    a_file_is_carried_until_its_last_message_is_deleted(&*make());
    erasing::what_is_old_loses_its_text_and_what_was_said_of_it_and_nothing_else_does(&*make());
    erasing::the_first_place_since_a_time_is_found(&*make());
    erasing::all_of_a_sender_who_was_taken_away_loses_its_text_up_to_that_place(&*make());
    erasing::what_a_sender_who_was_taken_away_mentioned_counts_no_more_up_to_that_place(&*make());
    erasing::a_file_of_an_old_message_is_carried_no_longer(&*make());
    erasing::names_are_taken_out_of_every_room_and_all_else_stays(&*make());
    a_refused_call_leaves_nothing(make());
    reads_beside_a_fold_see_it_whole_or_not_at_all(&*make());
}

fn what_is_folded_is_read_from_both_ends(store: &dyn Store) {
    let room = samples::room(5);
    let history = samples::history(room, 1, 300);
    for events in history.chunks(37) {
        fold(store, events.to_vec());
    }
    fold(store, samples::history(samples::room(4), 1, 70));
    fold(store, samples::history(samples::room(6), 1, 70));
    for at in [0, 1, 2, 63, 64, 65, 128, 299, 300, 301, 10_000] {
        for limit in [0, 1, 50, 64, 65, 1000] {
            let after = store.page(room, Span::After(Seq(at)), limit).unwrap();
            let skip = (at as usize).min(300);
            let expected: Vec<_> = history.iter().skip(skip).take(limit).cloned().collect();
            assert_eq!(after, expected, "after {at}, {limit}");
            let before = store.page(room, Span::Before(Seq(at)), limit).unwrap();
            let end = (at.saturating_sub(1) as usize).min(300);
            assert_eq!(before, history[end.saturating_sub(limit)..end], "before {at}, {limit}");
        }
        let expected = (at > 0).then(|| history.get(at as usize - 1).cloned()).flatten();
        assert_eq!(store.event(room, Seq(at)).unwrap(), expected);
    }
    assert_eq!(store.page(room, Span::Before(Seq(u64::MAX)), 1).unwrap(), history[299..]);
    assert!(store.page(samples::room(9), Span::After(Seq(0)), 10).unwrap().is_empty());
    assert!(store.page(samples::room(9), Span::Before(Seq(9)), 10).unwrap().is_empty());
}

fn folding_the_same_again_is_harmless(store: &dyn Store) {
    let room = samples::room(1);
    fold(store, samples::history(room, 1, 100));
    fold(store, samples::history(room, 1, 100));
    fold(store, samples::history(room, 50, 120));
    fold(store, samples::history(room, 3, 7));
    assert_eq!(
        store.page(room, Span::After(Seq(0)), 1000).unwrap(),
        samples::history(room, 1, 120)
    );
    assert_eq!(rooms(store)[0].head, Seq(120));
}

fn a_gap_is_refused_and_nothing_of_the_fold_stays(store: &dyn Store) {
    let (good, bad) = (samples::room(1), samples::room(2));
    fold(store, samples::history(bad, 1, 4));
    let batches = [
        RoomBatch { room: good, events: samples::history(good, 1, 3) },
        RoomBatch { room: bad, events: samples::history(bad, 6, 7) },
    ];
    let refused = store.fold(&batches).unwrap_err();
    assert!(
        matches!(refused, StoreError::Gap { room, has: Seq(4), begins: Seq(6) } if room == bad),
        "{refused}"
    );
    assert!(store.page(good, Span::After(Seq(0)), 10).unwrap().is_empty());
    fold(store, samples::history(good, 1, 3));
    fold(store, samples::history(bad, 5, 7));
    assert_eq!(store.page(bad, Span::After(Seq(0)), 10).unwrap(), samples::history(bad, 1, 7));
    let never_made = [RoomBatch { room: samples::room(3), events: vec![samples::post(good, 3)] }];
    assert!(store.fold(&never_made).is_err());
}

fn rooms_know_their_members_and_numbers(store: &dyn Store) {
    let (one, two) = (samples::room(1), samples::room(2));
    let (ann, bob) = (samples::author(1), samples::author(2));
    let mut events = samples::history(one, 1, 4);
    events.push(samples::event(one, 5, EventKind::Joined { who: bob.clone() }));
    events.push(samples::event(one, 6, EventKind::Left { who: ann.clone() }));
    let mut quiet = Event::clone(&samples::event(one, 7, EventKind::Joined { who: ann.clone() }));
    quiet.pushed = false;
    events.push(Arc::new(quiet));
    fold(store, samples::history(two, 1, 2));
    fold(store, events.clone());
    let rooms = rooms(store);
    assert_eq!(rooms.len(), 2);
    let expected = RoomSnapshot {
        room: one,
        name: samples::name(one),
        created_at: events[0].at,
        at: events[6].at,
        head: Seq(7),
        pushed: Seq(6),
        posts: 2,
        policy: Policy::default(),
        topic: Topic::default(),
        words: Words::default(),
        avatar: Avatar::default(),
        people: vec![
            (ann.id, Person::new(Seq(7), Standing::of(Role::Member))),
            (bob.id, Person::new(Seq(5), Standing::of(Role::Member))),
        ],
        pins: Vec::new(),
    };
    assert_eq!(rooms[0], expected);
    let owner = Person::new(Seq(2), Standing::of(Role::Owner));
    assert_eq!(rooms[1].people, [(ann.id, owner)]);
}

fn people_and_settings_are_what_the_events_make_of_them(store: &dyn Store) {
    let room = samples::room(2);
    let (ann, bob) = (samples::author(1), samples::author(2));
    let (name, kind) = (samples::name(room), Kind::Private);
    let mut kinds = vec![
        EventKind::Created { by: ann.clone(), name, kind },
        EventKind::Joined { who: ann.clone() },
        EventKind::Joined { who: bob.clone() },
    ];
    let acts = [Act::SetRole(Role::Moderator), Act::Mute, Act::Kick, Act::Invite];
    let moderated =
        |who: &Author, act| EventKind::Moderated { by: ann.clone(), who: who.clone(), act };
    kinds.extend(acts.map(|act| moderated(&bob, act)));
    kinds.push(moderated(&samples::author(3), Act::Ban));
    kinds.push(moderated(&samples::author(4), Act::Invite));
    kinds.push(EventKind::Joined { who: samples::author(4) });
    let settings = samples::every_setting();
    let set = |settings| EventKind::Set { by: ann.clone(), settings: Box::new(settings) };
    kinds.extend(settings.into_iter().map(set));
    let events: Vec<_> =
        kinds.into_iter().zip(1..).map(|(kind, seq)| samples::event(room, seq, kind)).collect();
    let mut people = BTreeMap::new();
    let mut policy = Policy { kind, ..Policy::default() };
    for (i, event) in events.iter().enumerate() {
        // One at a time, and each twice.
        fold(store, events[i..=i].to_vec());
        fold(store, events[i..=i].to_vec());
        if let Some(user) = event.kind.about() {
            let person = Person::after(event, people.remove(&user));
            people.extend(person.map(|person| (user, person)));
        }
        if let EventKind::Set { settings, .. } = &event.kind {
            policy = policy.with(settings);
        }
        let told = rooms(store).remove(0);
        assert_eq!(told.people, people.clone().into_iter().collect::<Vec<_>>(), "{event:?}");
        assert_eq!(told.policy, policy, "{event:?}");
    }
    assert_eq!(people.len(), 4);
    assert!(rooms(store).iter().all(|it| (it.name.as_str(), it.topic.as_str()) == ("all", "all")));
}

fn reactions_are_counted_and_pins_kept_until_their_message_is_deleted(store: &dyn Store) {
    let room = samples::room(3);
    fold(store, samples::history(room, 1, 100));
    fold(store, samples::history(samples::room(4), 1, 10));
    let mut seq = 100;
    let mut next = |kind| {
        seq += 1;
        samples::event(room, seq, kind)
    };
    let (by, of) = (samples::author, Seq);
    let mut react = |user, place, text: &str, on, count| {
        let reaction = Reaction::parse(text).unwrap();
        next(EventKind::Reacted { by: by(user), of: of(place), reaction, on, count })
    };
    let given = vec![
        react(1, 7, "+1", true, 1),
        react(2, 7, "+1", true, 2),
        react(2, 7, "tea", true, 1),
        react(1, 9, "+1", true, 1),
        react(1, 7, "+1", false, 1),
        react(2, 7, "tea", false, 0),
    ];
    let pin = |place, on| EventKind::Pinned { by: by(1), of: of(place), on };
    let pinned =
        vec![next(pin(9, true)), next(pin(7, true)), next(pin(8, true)), next(pin(8, false))];
    for events in [given, pinned] {
        fold(store, events.clone());
        fold(store, events);
    }
    let tally = |text: &str, count, mine, seq| {
        let reaction = Reaction::parse(text).unwrap();
        Tally { reaction, count, mine, seq: Seq(seq) }
    };
    let asked = |user, from, to| {
        store.reactions(room, Seq(from), Seq(to), UserId::new(user).unwrap()).unwrap()
    };
    assert_eq!(asked(2, 7, 7), [(Seq(7), tally("+1", 1, true, 105))]);
    let both = [(Seq(7), tally("+1", 1, false, 105)), (Seq(9), tally("+1", 1, true, 104))];
    assert_eq!(asked(1, 1, 100), both);
    assert!(asked(1, 8, 8).is_empty() && asked(1, 10, 100).is_empty());
    assert_eq!(store.pins(room).unwrap(), [Seq(7), Seq(9)]);
    assert_eq!(store.pins(samples::room(4)).unwrap(), []);
    fold(store, vec![next(EventKind::Deleted { by: by(1), of: of(7), whose: None })]);
    assert_eq!(asked(1, 1, 100), both[1..]);
    let told = rooms(store);
    assert_eq!((&*told[0].pins, &*told[1].pins), (&[Seq(9)][..], &[][..]));
}

fn all_of_one_sender_is_taken_away_up_to_the_newest_place_it_was_asked_for(store: &dyn Store) {
    let room = samples::room(5);
    let mut events = samples::history(room, 1, 2);
    let swept = |seq, user| {
        let (by, who) = (samples::author(1), samples::author(user));
        samples::event(room, seq, EventKind::Moderated { by, who, act: Act::DeleteAll })
    };
    events.extend([swept(3, 7), swept(4, 8), swept(5, 7)]);
    fold(store, events.clone());
    fold(store, events);
    let of = |room, users: &[u64]| {
        let users: Vec<_> = users.iter().map(|user| UserId::new(*user).unwrap()).collect();
        store.sweeps(room, &users).unwrap()
    };
    let user = |user| UserId::new(user).unwrap();
    assert_eq!(of(room, &[7, 8, 9]), [(user(7), Seq(5)), (user(8), Seq(4))]);
    assert_eq!(of(room, &[9]), []);
    assert_eq!(of(samples::room(6), &[7]), []);
}

fn mentions_are_found_by_whom_they_mention_until_they_are_deleted(store: &dyn Store) {
    let room = samples::room(3);
    fold(store, samples::history(room, 1, 9));
    let post = |seq, mentions: &[u64]| {
        let mut event = Event::clone(&samples::post(room, seq));
        if let EventKind::Posted { extras, .. } = &mut event.kind {
            *extras = Extras::parse(3, mentions).unwrap();
        }
        Arc::new(event)
    };
    fold(store, vec![post(10, &[7, 8]), post(11, &[7]), post(12, &[]), post(13, &[7])]);
    fold(store, vec![samples::event(room, 14, EventKind::Joined { who: samples::author(9) })]);
    let mentions = |user, after, limit| -> Vec<u64> {
        let user = UserId::new(user).unwrap();
        let found = store.mentions(room, user, Seq(after), limit).unwrap();
        found.into_iter().map(|(seq, _)| seq.0).collect()
    };
    assert_eq!((mentions(7, 0, 9), mentions(7, 10, 9)), (vec![13, 11, 10], vec![13, 11]));
    assert_eq!((mentions(7, 0, 2), mentions(8, 0, 9)), (vec![13, 11], vec![10]));
    assert_eq!((mentions(7, 13, 9), mentions(9, 0, 9)), (vec![], vec![]));
    fold(
        store,
        vec![samples::event(
            room,
            15,
            EventKind::Deleted { by: samples::author(1), of: Seq(11), whose: None },
        )],
    );
    assert_eq!(mentions(7, 0, 9), [13, 10]);
    let joined = |after, limit| -> Vec<(u64, u64)> {
        let told = store.members(room, after, limit).unwrap();
        told.members.iter().map(|it| (it.user.get(), it.posts)).collect()
    };
    assert_eq!(
        (joined(0, 9), joined(1, 9), joined(9, 9)),
        (vec![(1, 0), (9, 11)], vec![(9, 11)], vec![])
    );
    assert_eq!((joined(0, 1), store.members(room, 0, 1).unwrap().head), (vec![(1, 0)], Seq(15)));
    fold(store, vec![samples::event(room, 16, EventKind::Left { who: samples::author(9) })]);
    assert_eq!(joined(0, 9), [(1, 0)]);
}

fn a_file_is_carried_until_its_last_message_is_deleted(store: &dyn Store) {
    let (room, one, other) = (samples::room(1), samples::file(1), samples::file(2));
    fold(store, samples::history(room, 1, 2));
    let both = [one.clone(), other.clone()];
    fold(store, vec![samples::carrying(room, 3, &both), samples::carrying(room, 4, &both[..1])]);
    let carried = || (store.carries(one.id).unwrap(), store.carries(other.id).unwrap());
    assert_eq!(carried(), (true, true));
    let deleted = |seq: u64, of: u64| {
        let by = samples::author(1);
        samples::event(room, seq, EventKind::Deleted { by, of: Seq(of), whose: None })
    };
    fold(store, vec![deleted(5, 3)]);
    assert_eq!(carried(), (true, false));
    fold(store, vec![deleted(6, 4)]);
    assert_eq!(carried(), (false, false));
    // All of one sender, in one room, up to there.
    let swept = |seq, user| {
        let (by, who) = (samples::author(2), samples::author(user));
        samples::event(room, seq, EventKind::Moderated { by, who, act: Act::DeleteAll })
    };
    fold(store, vec![samples::carrying(room, 7, &both), swept(8, 2)]);
    assert_eq!(carried(), (true, true), "of another");
    fold(store, vec![swept(9, 1), samples::carrying(room, 10, &both[1..])]);
    assert_eq!(carried(), (false, true), "what is said after it stays");
    let elsewhere = samples::room(2);
    fold(store, samples::history(elsewhere, 1, 2));
    fold(store, vec![samples::carrying(elsewhere, 3, &both)]);
    fold(store, vec![swept(11, 1)]);
    assert_eq!(carried(), (true, true), "in another room");
}

fn ids_of_posts_are_visited_up_to_a_place_and_back_to_a_time(store: &dyn Store) {
    let room = samples::room(2);
    let history = samples::history(room, 1, 200);
    fold(store, history.clone());
    for (through, since) in [(0, 1), (200, 1), (100, 1), (200, 90), (150, 90), (64, 199)] {
        let since_at = history[since - 1].at;
        let mut seen = Vec::new();
        let mut visit = |user, id: &str, seq, at| seen.push((seq, user, id.to_owned(), at));
        store.origins(room, Seq(through), since_at, &mut visit).unwrap();
        seen.sort_unstable();
        let expected: Vec<_> = history
            .iter()
            .filter(|event| event.seq.0 <= through && event.at >= since_at)
            .filter_map(|event| match &event.kind {
                EventKind::Posted { author, origin_id: Some(id), .. } => {
                    Some((event.seq, author.id, id.as_str().to_owned(), event.at))
                }
                _ => None,
            })
            .collect();
        assert_eq!(seen, expected, "through {through} since {since}");
    }
}

fn a_refused_call_leaves_nothing(store: Arc<dyn Store>) {
    let failing = Failing::new(store);
    let room = samples::room(1);
    let batch = [RoomBatch { room, events: samples::history(room, 1, 5) }];
    let once = || failing.refusals.store(1, Ordering::Relaxed);
    once();
    assert!(failing.fold(&batch).is_err());
    assert!(failing.page(room, Span::After(Seq(0)), 9).unwrap().is_empty());
    failing.fold(&batch).unwrap();
    once();
    assert!(failing.sync().is_err());
    failing.sync().unwrap();
    once();
    assert!(failing.page(room, Span::After(Seq(0)), 9).is_err());
    assert_eq!(failing.page(room, Span::After(Seq(0)), 9).unwrap(), batch[0].events);
    once();
    assert!(failing.event(room, Seq(1)).is_err());
    once();
    assert!(failing.notes(room, Seq(1), Seq(9)).is_err());
    once();
    assert!(failing.reactions(room, Seq(1), Seq(9), samples::author(1).id).is_err());
    once();
    assert!(failing.pins(room).is_err());
    once();
    assert!(failing.sweeps(room, &[]).is_err());
    once();
    assert!(failing.members(room, 0, 9).is_err());
    once();
    assert!(failing.mentions(room, samples::author(1).id, Seq(0), 9).is_err());
    once();
    assert!(failing.rooms(&mut |_| ()).is_err());
    assert_eq!(rooms(&failing).len(), 1);
    once();
    assert!(failing.origins(room, Seq(9), Timestamp(0), &mut |_, _, _, _| ()).is_err());
}

fn reads_beside_a_fold_see_it_whole_or_not_at_all(store: &dyn Store) {
    const FOLDS: u64 = 40;
    let pair = [samples::room(1), samples::room(2)];
    std::thread::scope(|scope| {
        let folding = scope.spawn(|| {
            for fold in 0..FOLDS {
                let events = |room| samples::history(room, fold * 5 + 1, fold * 5 + 5);
                let batches = pair.map(|room| RoomBatch { room, events: events(room) });
                store.fold(&batches).unwrap();
            }
        });
        while !folding.is_finished() {
            let heads: Vec<_> = rooms(store).iter().map(|room| room.head).collect();
            assert!(heads.is_empty() || heads[0] == heads[1], "{heads:?}");
            let page = store.page(pair[0], Span::After(Seq(0)), 1000).unwrap();
            assert!(page.len().is_multiple_of(5));
        }
        folding.join().unwrap();
    });
    assert_eq!(rooms(store)[1].head, Seq(FOLDS * 5));
}
