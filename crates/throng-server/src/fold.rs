//! Carries what is durable from the tail into the store, behind the ack, and then trims the log.
//!
//! Neighbours: takes from `tail.rs`, writes to the store, trims the log. One thread, niced. A
//! batch is sorted by room and cut into small slices, each its own transaction and checkpoint,
//! because a large sync anywhere on the disk stalls the log's own (20 to 145 ms measured). It never
//! takes an event out of the tail, nor a turn out of the log, before the store has synced it.

mod eraser;
mod unnamer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub use eraser::Eraser;
pub use unnamer::Unnamer;

use crate::log::Log;
use crate::moderation::Moderation;
use crate::record;
use crate::store::{RoomBatch, Store, StoreError};
use crate::tail::{Tail, Unfolded, event_bytes};

/// Unfolded events at which a fold is due: a hundred for each of a thousand rooms, which is what
/// makes it cheap (cost falls with events a room, not with events).
pub const FOLD_EVENTS: usize = 100_000;
/// A quiet server folds this often, so that its tail does not stay unfolded for ever.
pub const FOLD_AGE: Duration = Duration::from_millis(1_500);
/// A batch is cut in about this many slices…
const SLICES: usize = 20;
/// …but not below this, where transactions are all there is…
const SLICE_BYTES_MIN: usize = 256 * 1024;
/// …and not above this: the log's sync waits for a slice's, and for so much that is 4 ms.
const SLICE_BYTES_MAX: usize = 512 * 1024;
/// Rest between two slices, in which the commits have the disk for themselves.
const PAUSE: Duration = Duration::from_millis(5);
/// Slices that are erased between two folds, and at the end.
const ERASED_SLICES: usize = 16;
const ERASED_SLICES_LAST: usize = 64;
/// First wait after a failed fold; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Chat goes first, but the fold gets a share even where nothing is idle: at nice 10 it was left 5 %
/// of a busy core, less than 50,000 events a second take.
const NICE: i32 = 5;

/// How the fold is doing, for the metrics; the lag is `Tail::len` and `Tail::since`.
#[derive(Debug, Default)]
pub struct FoldStatus {
    /// Batches folded whole.
    pub folds: AtomicU64,
    /// Events folded.
    pub events: AtomicU64,
    /// Slices written and synced.
    pub slices: AtomicU64,
    /// Folds that failed and were tried again.
    pub failures: AtomicU64,
    /// The last fold failed: what is durable stays in the log and the tail.
    pub failing: AtomicBool,
}

/// Why the fold cannot go on: the process must end.
#[derive(Debug, thiserror::Error)]
pub enum FoldEnded {
    /// The store cannot be trusted any more (I10).
    #[error(transparent)]
    SyncFailed(StoreError),
    /// A bug; its message is in the log.
    #[error("the fold's thread panicked")]
    Panicked,
}

/// Called once when the fold cannot go on, on its thread.
pub type OnFatal = Box<dyn Fn(&FoldEnded) + Send + Sync>;

/// The fold's state; `start` gives it a thread.
#[derive(Debug)]
pub struct Folder {
    tail: Arc<Tail>,
    log: Arc<dyn Log>,
    store: Arc<dyn Store>,
    audit: Option<Arc<Moderation>>,
    eraser: Option<Eraser>,
    unnamer: Option<Unnamer>,
    status: Arc<FoldStatus>,
    stop: AtomicBool,
    /// One fold at a time, whoever asks for it.
    folding: Mutex<()>,
}

/// The fold's thread; ends with `finish`.
#[derive(Debug)]
pub struct Fold {
    folder: Arc<Folder>,
    thread: Option<JoinHandle<()>>,
}

impl Folder {
    /// A folder without a thread.
    pub fn new(tail: Arc<Tail>, log: Arc<dyn Log>, store: Arc<dyn Store>) -> Self {
        Self {
            tail,
            log,
            store,
            audit: None,
            eraser: None,
            unnamer: None,
            status: Arc::default(),
            stop: AtomicBool::new(false),
            folding: Mutex::default(),
        }
    }

    /// What moderators did is noted there too, before the store has it.
    pub fn with_audit(self, audit: Arc<Moderation>) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Erases what nobody is shown any more.
    pub fn with_eraser(self, eraser: Eraser) -> Self {
        Self { eraser: Some(eraser), ..self }
    }

    /// Names those no more who are to be named no more.
    pub fn with_unnamer(self, unnamer: Unnamer) -> Self {
        Self { unnamer: Some(unnamer), ..self }
    }

    /// Erases up to so many slices of what is to be erased now, without rests.
    pub fn erase_now(&self, slices: usize) -> Result<(), StoreError> {
        self.erase(slices, || true)
    }

    /// Slice after slice, as long as `goes_on` says so between two.
    fn erase(&self, slices: usize, goes_on: impl Fn() -> bool) -> Result<(), StoreError> {
        let Some(eraser) = &self.eraser else { return Ok(()) };
        let folding = self.folding.lock().expect("a panic while folding ends the process");
        let mut left = slices;
        while left > 0 && (self.unname()? || eraser.step()?) {
            left -= 1;
            if !goes_on() {
                return Ok(());
            }
        }
        if self.unnamer.as_ref().is_some_and(Unnamer::take_written) {
            eraser.put_erased();
        }
        let through = self.tail.through();
        if self.tail.is_empty() && eraser.take_erased() {
            // Those of before the start were folded by then, and it has not been told.
            self.log.trim(through);
            let mut nothing = Vec::new();
            record::encode_turn(&[], &mut nothing);
            if !self.log.scrub(&nothing) {
                eraser.put_erased();
            }
        }
        drop(folding);
        Ok(())
    }

    fn unname(&self) -> Result<bool, StoreError> {
        self.unnamer.as_ref().map_or(Ok(false), |unnamer| unnamer.step(self.tail.since()))
    }

    /// Folds all that is in the tail now, without rests, and trims the log behind it.
    pub fn fold_now(&self) -> Result<(), StoreError> {
        self.fold(|| ())
    }

    fn fold(&self, rest: impl Fn()) -> Result<(), StoreError> {
        let folding = self.folding.lock().expect("a panic while folding ends the process");
        let Unfolded { through, rooms } = self.tail.unfolded();
        let outcome = self.fold_slices(rooms, &rest);
        self.status.failing.store(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Ok(()) => {
                self.tail.fold_finished();
                self.status.folds.fetch_add(1, Ordering::Relaxed);
                self.log.trim(through);
            }
            Err(_) => _ = self.status.failures.fetch_add(1, Ordering::Relaxed),
        }
        drop(folding);
        outcome
    }

    fn fold_slices(&self, rooms: Vec<RoomBatch>, rest: &impl Fn()) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for (number, slice) in slices(rooms).iter().enumerate() {
            if number > 0 {
                rest();
            }
            match self.fold_slice(slice) {
                Err(StoreError::Corrupt(_) | StoreError::Gap { .. }) => {
                    outcome = self.fold_apart(slice).and(outcome);
                }
                folded => folded?,
            }
        }
        outcome
    }

    fn fold_slice(&self, slice: &[RoomBatch]) -> Result<(), StoreError> {
        let unnamed = self.unnamer.as_ref().and_then(|unnamer| unnamer.taken_from(slice));
        self.write_slice(unnamed.as_deref().unwrap_or(slice))?;
        self.tail.folded(slice);
        let events: usize = slice.iter().map(|batch| batch.events.len()).sum();
        self.status.events.fetch_add(events as u64, Ordering::Relaxed);
        self.status.slices.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write_slice(&self, slice: &[RoomBatch]) -> Result<(), StoreError> {
        if let Some(audit) = &self.audit {
            audit.fold(slice)?;
        }
        self.store.fold(slice)?;
        self.store.sync()
    }

    /// A room whose blocks are damaged holds up itself and the log's trim, and no other room.
    fn fold_apart(&self, slice: &[RoomBatch]) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for batch in slice {
            match self.fold_slice(std::slice::from_ref(batch)) {
                Err(error @ (StoreError::Corrupt(_) | StoreError::Gap { .. })) => {
                    outcome = Err(error);
                }
                folded => folded?,
            }
        }
        outcome
    }

    /// Until it is stopped.
    fn run(&self) -> Result<(), FoldEnded> {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::warn!(%error, "cannot lower the fold's priority, chat may feel it");
        }
        let mut retry = None;
        while !self.stop.load(Ordering::Acquire) {
            match retry {
                None => self.tail.wait_until_due(FOLD_AGE, &self.stop),
                Some(wait) => self.tail.wait_for_stop(wait, &self.stop),
            }
            if self.stop.load(Ordering::Acquire) {
                continue;
            }
            if self.tail.is_empty() {
                retry = self.erase_between()?;
                continue;
            }
            let folded = self.fold(|| {
                if !self.tail.is_behind() {
                    self.tail.wait_for_stop(PAUSE, &self.stop);
                }
            });
            retry = match folded {
                Ok(()) => self.erase_between()?,
                Err(error @ StoreError::SyncFailed(_)) => return Err(FoldEnded::SyncFailed(error)),
                Err(error) => {
                    let wait = retry.map_or(RETRY_FIRST, |wait| RETRY_LAST.min(wait * 2));
                    tracing::error!(%error, ?wait, "cannot fold, trying again");
                    Some(wait)
                }
            };
        }
        Ok(())
    }
}

impl Folder {
    /// Erases between two folds, with rests, as long as the fold is not behind; after trouble says how
    /// long to wait.
    fn erase_between(&self) -> Result<Option<Duration>, FoldEnded> {
        let erased = self.erase(ERASED_SLICES, || {
            self.tail.wait_for_stop(PAUSE, &self.stop);
            !self.tail.is_behind() && !self.stop.load(Ordering::Acquire)
        });
        match erased {
            Ok(()) => Ok(None),
            Err(error @ StoreError::SyncFailed(_)) => Err(FoldEnded::SyncFailed(error)),
            Err(error) => {
                tracing::error!(%error, "cannot erase what is kept no longer, trying again");
                Ok(Some(RETRY_LAST))
            }
        }
    }
}

impl Fold {
    /// Starts the thread.
    pub fn start(folder: Folder, on_fatal: OnFatal) -> std::io::Result<Self> {
        let folder = Arc::new(folder);
        let running = folder.clone();
        let thread = std::thread::Builder::new().name("fold".into());
        let thread =
            thread.spawn(move || match catch_unwind(AssertUnwindSafe(|| running.run())) {
                Ok(Ok(())) => {}
                Ok(Err(ended)) => on_fatal(&ended),
                Err(_) => on_fatal(&FoldEnded::Panicked),
            })?;
        Ok(Self { folder, thread: Some(thread) })
    }

    /// How it is doing.
    pub fn status(&self) -> Arc<FoldStatus> {
        self.folder.status.clone()
    }

    /// A clean shutdown, after the last turn: ends the thread and folds the rest, so that the next
    /// start replays nothing. What cannot be folded stays in the log.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.stop();
        self.folder.fold_now()?;
        self.folder.erase_now(ERASED_SLICES_LAST)
    }

    fn stop(&mut self) {
        self.folder.stop.store(true, Ordering::Release);
        self.folder.tail.wake_fold();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the fold's thread had panicked");
        }
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Cuts a batch by bytes; a room of many events is cut too, in the order of its places.
fn slices(rooms: Vec<RoomBatch>) -> Vec<Vec<RoomBatch>> {
    let events = rooms.iter().flat_map(|batch| &batch.events);
    let total: usize = events.map(|event| event_bytes(event)).sum();
    let slice_bytes = (total / SLICES).clamp(SLICE_BYTES_MIN, SLICE_BYTES_MAX);
    let mut slices = vec![Vec::new()];
    let mut bytes = 0;
    for batch in rooms {
        let mut part = RoomBatch { room: batch.room, events: Vec::new() };
        for event in batch.events {
            if bytes >= slice_bytes {
                let events = std::mem::take(&mut part.events);
                push(&mut slices, RoomBatch { room: part.room, events });
                slices.push(Vec::new());
                bytes = 0;
            }
            bytes += event_bytes(&event);
            part.events.push(event);
        }
        push(&mut slices, part);
    }
    slices
}

fn push(slices: &mut [Vec<RoomBatch>], batch: RoomBatch) {
    if !batch.events.is_empty() {
        slices.last_mut().expect("there is always a slice").push(batch);
    }
}

#[cfg(test)]
mod tests {
    use throng_core::{Epoch, Seq};

    use super::*;
    use crate::log::{MemoryLog, TurnId};
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
            RoomBatch {
                room: samples::room(2),
                events: samples::history(samples::room(2), 1, 20_000),
            },
        ];
        let slices = slices(rooms.clone());
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
            assert!(matches!(folder.fold_now(), Err(StoreError::Corrupt(_))));
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
}
