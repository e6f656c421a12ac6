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

use crate::log::{Log, LogError};
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

/// What kept the fold from folding, erasing or trimming.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log, behind the store: a sync of it failed, other trouble it leaves to later.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl FoldError {
    /// Whether the process must end, for what is on disk is unknown (I10).
    pub fn is_failed_sync(&self) -> bool {
        matches!(self, Self::Store(StoreError::SyncFailed(_)) | Self::Log(LogError::SyncFailed(_)))
    }
}

/// Why the fold cannot go on: the process must end.
#[derive(Debug, thiserror::Error)]
pub enum FoldEnded {
    /// The store, or the log, cannot be trusted any more (I10).
    #[error(transparent)]
    SyncFailed(FoldError),
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
    slice_bytes_min: usize,
    #[cfg(feature = "planted-faults")]
    fault_trims_early: bool,
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
            slice_bytes_min: SLICE_BYTES_MIN,
            #[cfg(feature = "planted-faults")]
            fault_trims_early: false,
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

    /// Cuts slices as small as this, in bytes, where a batch is small.
    pub fn with_slices_of(self, slice_bytes_min: usize) -> Self {
        Self { slice_bytes_min: slice_bytes_min.min(SLICE_BYTES_MAX), ..self }
    }

    /// Planted fault: the log is trimmed behind the first slice of a batch, not behind its last one.
    #[cfg(feature = "planted-faults")]
    pub fn with_fault_trims_early(self, fault_trims_early: bool) -> Self {
        Self { fault_trims_early, ..self }
    }

    /// Erases up to so many slices of what is to be erased now, without rests.
    pub fn erase_now(&self, slices: usize) -> Result<(), FoldError> {
        self.erase(slices, || true)
    }

    /// Slice after slice, as long as `goes_on` says so between two.
    fn erase(&self, slices: usize, goes_on: impl Fn() -> bool) -> Result<(), FoldError> {
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
            self.log.trim(through)?;
            let mut nothing = Vec::new();
            record::encode_turn(&[], &mut nothing);
            if !self.log.scrub(&nothing)? {
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
    pub fn fold_now(&self) -> Result<(), FoldError> {
        self.fold(|| ())
    }

    fn fold(&self, rest: impl Fn()) -> Result<(), FoldError> {
        let folding = self.folding.lock().expect("a panic while folding ends the process");
        let Unfolded { through, rooms } = self.tail.unfolded();
        let folded = self.fold_slices(rooms, &|| {
            if self.trims_early() {
                _ = self.log.trim(through);
            }
            rest();
        });
        self.status.failing.store(folded.is_err(), Ordering::Relaxed);
        let outcome = match folded {
            Ok(()) => {
                self.tail.fold_finished();
                self.status.folds.fetch_add(1, Ordering::Relaxed);
                self.log.trim(through).map_err(FoldError::from)
            }
            Err(error) => {
                self.status.failures.fetch_add(1, Ordering::Relaxed);
                Err(error.into())
            }
        };
        drop(folding);
        outcome
    }

    fn fold_slices(&self, rooms: Vec<RoomBatch>, rest: &impl Fn()) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for (number, slice) in slices(rooms, self.slice_bytes_min).iter().enumerate() {
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

    #[cfg_attr(
        not(feature = "planted-faults"),
        expect(clippy::unused_self, reason = "only the planted fault asks the folder")
    )]
    fn trims_early(&self) -> bool {
        #[cfg(feature = "planted-faults")]
        if self.fault_trims_early {
            return true;
        }
        false
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
                Err(error) if error.is_failed_sync() => return Err(FoldEnded::SyncFailed(error)),
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
            Err(error) if error.is_failed_sync() => Err(FoldEnded::SyncFailed(error)),
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
    /// start replays nothing, and closes the log. What cannot be folded stays in it.
    pub fn finish(mut self) -> Result<(), FoldError> {
        self.stop();
        let folder = &self.folder;
        let folded = folder.fold_now().and_then(|()| folder.erase_now(ERASED_SLICES_LAST));
        if !folded.as_ref().is_err_and(FoldError::is_failed_sync) {
            folder.log.close()?;
        }
        folded
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
fn slices(rooms: Vec<RoomBatch>, bytes_min: usize) -> Vec<Vec<RoomBatch>> {
    let events = rooms.iter().flat_map(|batch| &batch.events);
    let total: usize = events.map(|event| event_bytes(event)).sum();
    let slice_bytes = (total / SLICES).clamp(bytes_min, SLICE_BYTES_MAX);
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
mod tests;
