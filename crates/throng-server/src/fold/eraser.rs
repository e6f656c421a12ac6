//! Erases on disk what nobody is shown any more, behind the fold: what rooms keep no longer, and what
//! was said by those all of whose messages were taken away.
//!
//! Neighbours: `fold.rs` calls it between its folds, on its thread; `keeping.rs` says what is too old,
//! the store erases it, a slice at a time. Nobody waits for it: what is too old is not shown from its
//! time on. It never takes an `origin_id` that still counts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng_core::{Limits, Timestamp};

use crate::clock::{Clock, Moment};
use crate::keeping::Keeping;
use crate::store::{Erased, Erasing, Store, StoreError};

/// Rooms are gone through this often at most, so that a block is written again for what a minute made
/// old in it, not for each message.
const ROUND: Duration = Duration::from_mins(1);
/// Rooms looked at in one step: a look is one or two blocks.
const ROOMS_LOOKED: usize = 256;
/// An `origin_id` is remembered by grains of time, and a little longer than it must be.
const ORIGINS_MARGIN_MS: u64 = 86_400_000;

/// What is erased next.
#[derive(Debug)]
pub struct Eraser {
    store: Arc<dyn Store>,
    keeping: Arc<Keeping>,
    clock: Clock,
    origin_window_ms: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A round is under way.
    going: bool,
    /// The last room that it has done with.
    room: u32,
    /// When the round began.
    began: Option<Moment>,
    /// Something was erased of which the log may have a copy.
    erased: bool,
}

impl Eraser {
    /// Over this store, by these times.
    pub fn new(
        store: &Arc<dyn Store>,
        keeping: &Arc<Keeping>,
        clock: &Clock,
        limits: &Limits,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            keeping: Arc::clone(keeping),
            clock: clock.clone(),
            origin_window_ms: limits.origin_window_ms,
            // A crash may have come between the store and the log.
            state: Mutex::new(State { erased: true, ..State::default() }),
        }
    }

    /// One slice, synced; `false` when there is nothing to do now.
    pub fn step(&self) -> Result<bool, StoreError> {
        let mut state = self.state.lock().expect("a panic while erasing ends the process");
        match self.store.erase(Erasing::Swept) {
            Ok(Erased { changed: true, .. }) => {
                state.erased = true;
                return self.store.sync().map(|()| true);
            }
            Ok(_) => {}
            Err(error @ StoreError::SyncFailed(_)) => return Err(error),
            // Of one damaged room: the others go on.
            Err(error) => tracing::error!(%error, "cannot erase what a sender had said"),
        }
        if self.old(&mut state)? {
            state.erased = true;
            return self.store.sync().map(|()| true);
        }
        let remains = self.store.erase(Erasing::Remains)?;
        if remains.changed {
            self.store.sync()?;
        }
        Ok(remains.more)
    }

    /// Whether something was erased since this was asked last.
    pub fn take_erased(&self) -> bool {
        let mut state = self.state.lock().expect("a panic while erasing ends the process");
        std::mem::take(&mut state.erased)
    }

    /// The log had no time for it: the next time.
    pub fn put_erased(&self) {
        self.state.lock().expect("a panic while erasing ends the process").erased = true;
    }

    /// A slice of the next room that has any; `false` when none of those looked at has.
    fn old(&self, state: &mut State) -> Result<bool, StoreError> {
        let now = self.clock.now();
        if !state.going {
            if state.began.is_some_and(|began| now.since(began) < ROUND) {
                return Ok(false);
            }
            *state = State { going: true, room: 0, began: Some(now), ..*state };
        }
        for _ in 0..ROOMS_LOOKED {
            let Some(room) = self.keeping.next(state.room) else {
                state.going = false;
                return Ok(false);
            };
            let wall = self.clock.wall();
            let texts = self.keeping.since(room, wall);
            let places = wall.0.saturating_sub(self.origin_window_ms + ORIGINS_MARGIN_MS);
            let places = Timestamp(places).min(texts);
            let before = std::mem::replace(&mut state.room, room.get());
            if texts == Timestamp(0) {
                continue;
            }
            let erased = self.store.erase(Erasing::Old { room, texts, places })?;
            if erased.changed && erased.more {
                state.room = before;
            }
            if erased.changed {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use throng_core::{Author, Body, Event, EventKind, RoomId, Seq};

    use super::*;
    use crate::fold::Folder;
    use crate::history::History;
    use crate::log::{Log, LogOptions, SqliteLog};
    use crate::pages::Span;
    use crate::record;
    use crate::samples;
    use crate::store::{SqliteStore, StoreOptions};
    use crate::tail::Tail;

    struct Bench {
        clock: Clock,
        log: Arc<SqliteLog>,
        tail: Arc<Tail>,
        folder: Folder,
        history: History,
    }

    fn bench(folder: &Path, keep_seconds: u32) -> Bench {
        let clock = Clock::manual();
        let limits = Limits { keep_seconds, ..Limits::default() };
        let keeping = Arc::new(Keeping::new(&limits));
        keeping.note(samples::room(1), None);
        let options = LogOptions::new(clock.clone());
        let log = Arc::new(SqliteLog::open(&folder.join("log.db"), &options).unwrap());
        let store = SqliteStore::open(&folder.join("store.db"), &StoreOptions::default());
        let store: Arc<dyn Store> = Arc::new(store.unwrap());
        let tail = Arc::new(Tail::new(1 << 26, 100_000));
        let eraser = Eraser::new(&store, &keeping, &clock, &limits);
        let folder = Folder::new(tail.clone(), log.clone(), store.clone()).with_eraser(eraser);
        let history = History::new(tail.clone(), store).keeping(keeping, clock.clone());
        Bench { clock, log, tail, folder, history }
    }

    impl Bench {
        /// One turn, decided now.
        fn commit(&self, kinds: impl IntoIterator<Item = EventKind>) {
            let room = samples::room(1);
            let from = self.tail.head(room).0 + 1;
            let at = self.clock.wall();
            let event = |(seq, kind)| {
                let event = Event::clone(&samples::event(room, seq, kind));
                Arc::new(Event { at, ..event })
            };
            let events: Vec<_> = (from..).zip(kinds).map(event).collect();
            let mut turn = Vec::new();
            record::encode_turn(&events, &mut turn);
            self.tail.insert(self.log.append(&turn).unwrap(), &events);
        }

        fn make(&self) {
            self.commit(samples::history(samples::room(1), 1, 2).iter().map(|it| it.kind.clone()));
        }

        fn say(&self, from: u64, texts: impl IntoIterator<Item = (Author, String)>) {
            self.commit((from..).zip(texts).map(|(n, (author, text))| EventKind::Posted {
                n,
                author,
                origin_id: None,
                body: Body::parse(text).unwrap(),
                extras: None,
            }));
        }

        fn shown(&self) -> usize {
            let room: RoomId = samples::room(1);
            let page = self.history.page(room, Span::After(Seq(0)), 99_999).unwrap();
            page.iter().filter(|event| event.stands()).count()
        }
    }

    /// Whether any file of the folder holds this text.
    fn holds(folder: &Path, text: &str) -> bool {
        std::fs::read_dir(folder).unwrap().any(|entry| {
            let file = std::fs::read(entry.unwrap().path()).unwrap();
            file.windows(text.len()).any(|bytes| bytes == text.as_bytes())
        })
    }

    fn len(folder: &Path) -> u64 {
        std::fs::metadata(folder.join("store.db")).unwrap().len()
    }

    #[test]
    fn what_a_room_keeps_no_longer_is_in_no_file_and_the_disk_has_its_space_back() {
        let folder = tempfile::tempdir().unwrap();
        let bench = bench(folder.path(), 3_600);
        bench.make();
        for turn in 0..15 {
            let text = |n| format!("ancient-{n}-words {}", "y".repeat(4_000));
            let texts = (turn * 100 + 1..=turn * 100 + 100).map(text);
            bench.say(turn * 100 + 1, texts.map(|text| (samples::author(2), text)));
        }
        bench.folder.fold_now().unwrap();
        let before = len(folder.path());
        bench.clock.advance(Duration::from_hours(1));
        assert_eq!(bench.shown(), 1_500, "to the last millisecond");
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(bench.shown(), 0, "at once, whoever erases it when");
        assert!(holds(folder.path(), "ancient-1500-words"), "the check finds what is there");
        bench.folder.erase_now(1_000).unwrap();
        assert!(!holds(folder.path(), "ancient-"), "not in the log's newest turn either");
        bench.say(1_501, [(samples::author(2), "modern-words".to_owned())]);
        bench.folder.fold_now().unwrap();
        assert_eq!(bench.shown(), 1);
        assert!(holds(folder.path(), "modern-words"));
        assert!(len(folder.path()) < before / 3, "{} of {before}", len(folder.path()));
        assert_eq!(bench.history.head(samples::room(1)), Seq(1_503), "places are for ever");
    }

    #[test]
    fn what_a_crash_left_in_the_log_of_what_the_store_has_erased_goes_after_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        {
            let bench = bench(folder.path(), 3_600);
            bench.make();
            bench.say(1, [(samples::author(2), "ancient-words".to_owned())]);
            bench.folder.fold_now().unwrap();
            let (room, texts) = (samples::room(1), Timestamp(1));
            let old = Erasing::Old { room, texts, places: Timestamp(0) };
            assert!(bench.folder.store.erase(old).unwrap().changed);
            bench.folder.store.sync().unwrap();
        }
        assert!(holds(folder.path(), "ancient-words"), "the newest turn is kept for its number");
        let bench = bench(folder.path(), 3_600);
        let mut replay = |turn, _: &[u8]| bench.tail.replay(turn, &[]);
        bench.log.replay(crate::log::TurnId(0), &mut replay).unwrap();
        bench.folder.erase_now(100).unwrap();
        assert!(!holds(folder.path(), "ancient-words"));
    }

    #[test]
    fn what_was_said_by_one_all_of_whose_messages_were_taken_away_is_in_no_file() {
        use throng_core::Act;
        let folder = tempfile::tempdir().unwrap();
        let bench = bench(folder.path(), 0);
        bench.make();
        let said =
            |user: u64| move |n: u64| (samples::author(user), format!("said-by-{user}-{n}."));
        bench.say(1, (1..=200).map(|n| said(5 + n % 2)(n)));
        bench.folder.fold_now().unwrap();
        bench.say(201, [said(5)(201), said(6)(202)]);
        let (by, who) = (samples::author(1), samples::author(5));
        bench.commit([EventKind::Moderated { by, who, act: Act::DeleteAll }]);
        bench.say(203, [said(5)(203)]);
        bench.folder.fold_now().unwrap();
        bench.folder.erase_now(1_000).unwrap();
        let there: Vec<u64> = (1..=203)
            .filter(|n| [5, 6].iter().any(|by| holds(folder.path(), &format!("said-by-{by}-{n}."))))
            .collect();
        let theirs = (1..=203_u64).filter(|n| n % 2 == 1 && *n <= 200 || *n == 202 || *n == 203);
        assert_eq!(there.len(), theirs.count(), "{there:?}");
        assert!(!holds(folder.path(), "said-by-5-201.") && holds(folder.path(), "said-by-5-203."));
    }

    #[test]
    fn rooms_are_gone_through_once_a_minute_and_ids_that_count_stay() {
        let folder = tempfile::tempdir().unwrap();
        let bench = bench(folder.path(), 60);
        bench.make();
        bench.say(1, (1..=200).map(|n| (samples::author(2), format!("first-{n}"))));
        bench.folder.fold_now().unwrap();
        bench.clock.advance(Duration::from_secs(61));
        bench.folder.erase_now(100).unwrap();
        assert!(!holds(folder.path(), "first-"));
        bench.say(201, [(samples::author(2), "second-1".to_owned())]);
        bench.folder.fold_now().unwrap();
        bench.clock.advance(Duration::from_millis(59_999));
        bench.folder.erase_now(100).unwrap();
        assert!(holds(folder.path(), "second-"), "the round has just been");
        bench.clock.advance(Duration::from_secs(2));
        bench.folder.erase_now(100).unwrap();
        assert!(!holds(folder.path(), "second-"));
        let event = |seq| bench.history.event(samples::room(1), Seq(seq)).unwrap();
        assert!(event(3).is_some(), "an id counts for a week");
        bench.clock.advance(Duration::from_hours(8 * 24 + 1));
        bench.folder.erase_now(100).unwrap();
        assert!(event(3).is_none() && event(203).is_some());
    }
}
