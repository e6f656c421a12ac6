//! What every store must do, as one function; each implementation's tests call it.
//!
//! Every call also fails once: `Failing` refuses it, and the store behind must be as if that call
//! had never been.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use throng_core::{Event, EventKind, RoomId, Seq, Timestamp};

use super::{RoomBatch, RoomSnapshot, Store, StoreError, VisitOrigin};
use crate::pages::Span;
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
        members: vec![(ann.id, Seq(7)), (bob.id, Seq(5))],
    };
    assert_eq!(rooms[0], expected);
    assert_eq!(rooms[1].members, [(ann.id, Seq(2))]);
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
