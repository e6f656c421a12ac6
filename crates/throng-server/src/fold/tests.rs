//! The fold on a log and a store in memory that can be made to fail.

use throng_core::{Epoch, Seq};

use super::*;
use crate::log::{MemoryLog, TurnId, suite::Failing as FailingLog};
use crate::pages::Span;
use crate::record;
use crate::samples;
use crate::store::{MemoryStore, suite::Failing};

struct Bench {
    log: Arc<MemoryLog>,
    store: Arc<Failing>,
    tail: Arc<Tail>,
}

fn bench(fold_events: usize) -> Bench {
    let store = Arc::new(MemoryStore::new(1 << 24));
    Bench {
        log: Arc::new(MemoryLog::new(Epoch(1), 1 << 24)),
        store: Arc::new(Failing::new(store)),
        tail: Arc::new(Tail::new(1 << 24, fold_events)),
    }
}

impl Bench {
    fn folder(&self) -> Folder {
        Folder::new(self.tail.clone(), self.log.clone(), self.store.clone())
    }

    fn commit(&self, room: u32, from: u64, to: u64) {
        let events = samples::history(samples::room(room), from, to);
        let mut turn = Vec::new();
        record::encode_turn(&events, &mut turn);
        self.tail.insert(self.log.append(&turn).unwrap(), &events);
    }

    fn turns_kept(&self) -> usize {
        crate::log::suite::turns(&*self.log, TurnId(0)).len()
    }

    fn folded(&self, room: u32) -> usize {
        self.store.page(samples::room(room), Span::After(Seq(0)), 99_999).unwrap().len()
    }
}

#[test]
fn a_batch_is_cut_by_size_and_a_large_room_within_itself() {
    let rooms = vec![
        RoomBatch { room: samples::room(1), events: samples::history(samples::room(1), 1, 10) },
        RoomBatch { room: samples::room(2), events: samples::history(samples::room(2), 1, 20_000) },
    ];
    let slices = slices(rooms.clone(), SLICE_BYTES_MIN);
    assert!(slices.len() > 5, "{}", slices.len());
    let mut again: Vec<RoomBatch> = Vec::new();
    for batch in slices.into_iter().flatten() {
        match again.last_mut().filter(|last| last.room == batch.room) {
            Some(last) => last.events.extend(batch.events),
            None => again.push(batch),
        }
    }
    assert_eq!(again.len(), 2);
    assert_eq!(again[1].events, rooms[1].events);
}

#[test]
fn what_is_folded_is_in_the_store_out_of_the_tail_and_out_of_the_log() {
    let bench = bench(1000);
    let folder = bench.folder();
    bench.commit(1, 1, 5);
    bench.commit(2, 1, 300);
    folder.fold_now().unwrap();
    assert_eq!((bench.folded(1), bench.folded(2)), (5, 300));
    assert!(bench.tail.is_empty());
    assert_eq!(bench.turns_kept(), 0);
}

#[test]
fn a_fold_that_fails_takes_nothing_from_the_tail_or_the_log() {
    let bench = bench(1000);
    let folder = bench.folder();
    bench.commit(1, 1, 5);
    // The fold, then the sync after it.
    for refused in 0..2 {
        bench.store.refusals.store(1, Ordering::Relaxed);
        if refused == 1 {
            bench.store.refusals.store(0, Ordering::Relaxed);
            bench.store.store.fold(&bench.tail.unfolded().rooms).unwrap();
            bench.store.refusals.store(1, Ordering::Relaxed);
        }
        assert!(folder.fold_now().is_err());
        assert_eq!(bench.tail.len(), 5);
        assert_eq!(bench.turns_kept(), 1);
        assert!(folder.status.failing.load(Ordering::Relaxed));
    }
    folder.fold_now().unwrap();
    assert_eq!(bench.folded(1), 5);
    assert_eq!(bench.turns_kept(), 0);
}

#[test]
fn the_thread_folds_when_due_goes_on_after_trouble_and_finishes_the_rest() {
    let bench = bench(10);
    bench.store.refusals.store(1, Ordering::Relaxed);
    let fold = Fold::start(bench.folder(), Box::new(|_| ())).unwrap();
    bench.commit(1, 1, 10);
    let status = fold.status();
    while status.events.load(Ordering::Relaxed) < 10 {
        std::thread::yield_now();
    }
    assert_eq!(status.failures.load(Ordering::Relaxed), 1);
    bench.commit(1, 11, 12);
    fold.finish().unwrap();
    assert_eq!(bench.folded(1), 12);
    assert_eq!(bench.turns_kept(), 0);
}

#[test]
fn a_damaged_room_holds_up_itself_and_the_trim_and_no_other_room() {
    let bench = bench(1000);
    let folder = bench.folder();
    (1..=3).for_each(|room| bench.commit(room, 1, 5));
    bench.store.damaged.store(2, Ordering::Relaxed);
    for _ in 0..2 {
        assert!(matches!(folder.fold_now(), Err(FoldError::Store(StoreError::Corrupt(_)))));
        assert_eq!((bench.folded(1), bench.folded(2), bench.folded(3)), (5, 0, 5));
        assert_eq!((bench.tail.len(), bench.turns_kept()), (5, 3));
    }
    bench.store.damaged.store(0, Ordering::Relaxed);
    folder.fold_now().unwrap();
    assert_eq!((bench.folded(2), bench.turns_kept()), (5, 0));
}

#[test]
fn after_a_failed_sync_the_fold_ends_and_says_so_and_nothing_is_trimmed() {
    let bench = bench(10);
    bench.store.sync_fails.store(true, Ordering::Relaxed);
    let (told, said) = std::sync::mpsc::sync_channel(1);
    let on_fatal = move |ended: &FoldEnded| {
        told.send(matches!(ended, FoldEnded::SyncFailed(_))).unwrap();
    };
    let fold = Fold::start(bench.folder(), Box::new(on_fatal)).unwrap();
    bench.commit(1, 1, 10);
    assert!(said.recv().unwrap(), "it is the sync that failed");
    drop(fold);
    assert_eq!((bench.tail.len(), bench.turns_kept()), (10, 1));
}

/// A folder whose log cannot take old turns away: a sync of it fails.
fn trims_fail(bench: &Bench) -> Folder {
    let log = FailingLog::new(bench.log.clone());
    log.trims_fail.store(true, Ordering::Relaxed);
    Folder::new(bench.tail.clone(), Arc::new(log), bench.store.clone())
}

#[test]
fn after_a_failed_sync_of_a_trim_the_fold_ends_and_says_so() {
    let bench = bench(10);
    let (told, said) = std::sync::mpsc::sync_channel(1);
    let on_fatal = move |ended: &FoldEnded| told.send(ended.to_string()).unwrap();
    let fold = Fold::start(trims_fail(&bench), Box::new(on_fatal)).unwrap();
    bench.commit(1, 1, 10);
    let said = said.recv().unwrap();
    assert!(said.starts_with("cannot sync the log"), "{said}");
    drop(fold);
    assert_eq!((bench.folded(1), bench.turns_kept()), (10, 1));
}

#[test]
fn a_sync_that_fails_as_the_log_is_closed_is_told() {
    let bench = bench(10);
    let fold = Fold::start(trims_fail(&bench), Box::new(|_| ())).unwrap();
    let told = fold.finish().unwrap_err();
    assert!(told.is_failed_sync(), "{told}");
}
