//! Takes what is durable into the search index, behind everybody else.
//!
//! Neighbours: the tail says which rooms have changed, the history gives their events as they are
//! shown now, `index.rs` keeps them. One thread, at low priority: batches are small, each its own
//! transaction, with a checkpoint now and then (a large sync anywhere on the disk stalls the log's),
//! and while the fold is behind it rests. It never holds up a post, and never indexes what is not durable.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use throng_core::{Event, EventKind, RoomId, Seq, Timestamp};

use super::index::{Change, Index, RoomPart};
use crate::clock::{Clock, Moment};
use crate::history::History;
use crate::pages::Span;
use crate::sqlite::Trouble;
use crate::store::StoreError;
use crate::tail::Tail;

/// How often it looks for what is new: half of the two seconds that it may be behind, because each
/// look writes a segment, and every so many of them are merged into one.
pub const EVERY: Duration = Duration::from_secs(1);
/// Events of one transaction: some 2 MB with what the index makes of them.
const BATCH_EVENTS: usize = 2_048;
/// Of one where much is to be caught up with: each full one is followed by one of twice as many. What many
/// rooms said in one second stands side by side in the file, so that the more rooms a transaction takes in,
/// the fewer of its pages are written again and again.
const BATCH_EVENTS_MAX: usize = 8 * BATCH_EVENTS;
/// Bytes of text from which on a transaction is large enough, however few its events are.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of text after which the WAL is carried into the file: they make about 1 MiB of it, because a
/// large sync anywhere on the disk holds up the log, and a sync after each batch costs more than the
/// batch while little is said.
const CHECKPOINT_BYTES: usize = 256 << 10;
/// What a message is counted for beside its text.
const ROW_BYTES: usize = 100;
/// Events of one room that are read at a time: its share of a transaction, and at least so many.
const PAGE: usize = 256;
/// Old messages are looked for this often at most, in so many rooms at a time.
const ROUND: Duration = Duration::from_mins(1);
const ROOMS_LOOKED: usize = 64;
/// Rest while the fold is behind, and after trouble.
const REST: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(5);
/// The lowest: below the fold, which is below chat.
const NICE: i32 = 19;

/// How the index is doing.
#[derive(Debug)]
pub struct IndexStatus {
    /// Events taken in.
    pub events: AtomicU64,
    /// Transactions.
    pub batches: AtomicU64,
    /// Those that failed and were tried again.
    pub failures: AtomicU64,
    /// Age of the oldest event of the newest batch when it was taken in, milliseconds.
    pub lag_millis: AtomicU64,
    behind: AtomicBool,
}

impl IndexStatus {
    /// It has not caught up with what was durable when it last looked.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }
}

/// What keeps the indexer from going on.
#[derive(Debug)]
enum Halt {
    /// Of the index.
    Index(Trouble),
    /// Of one room's history.
    Room(RoomId, StoreError),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Index(trouble)
    }
}

/// The indexer's state; `start` gives it a thread.
#[derive(Debug)]
pub struct Indexer {
    index: Arc<Index>,
    tail: Arc<Tail>,
    history: History,
    clock: Clock,
    status: Arc<IndexStatus>,
    stop: AtomicBool,
    work: Mutex<Work>,
}

/// What is to be done. One at a time, whoever asks for it.
#[derive(Debug, Default)]
struct Work {
    /// Rooms that may have more than the index has; each once, or twice after it changed again.
    rooms: VecDeque<RoomId>,
    /// A text left the index, and the WAL holds it still.
    scrub: bool,
    /// Events of the next transaction, where the last ones were full.
    most: Option<usize>,
    /// Bytes taken in since the last checkpoint.
    unchecked: usize,
    /// The last room whose old messages were forgotten.
    forgotten: u32,
    /// When the newest round of that began.
    began: Option<Moment>,
    /// It is under way.
    forgetting: bool,
}

/// The indexer's thread; ends when it is dropped.
#[derive(Debug)]
pub struct Indexing {
    indexer: Arc<Indexer>,
    thread: Option<JoinHandle<()>>,
}

impl Indexer {
    /// An indexer without a thread.
    pub fn new(index: Arc<Index>, tail: Arc<Tail>, history: History, clock: Clock) -> Self {
        let status = IndexStatus {
            events: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            lag_millis: AtomicU64::new(0),
            behind: AtomicBool::new(true),
        };
        Self {
            index,
            tail,
            history,
            clock,
            status: Arc::new(status),
            stop: AtomicBool::new(false),
            work: Mutex::default(),
        }
    }

    /// How it is doing.
    pub fn status(&self) -> Arc<IndexStatus> {
        Arc::clone(&self.status)
    }

    #[cfg(test)]
    pub(super) fn index_for_test(&self) -> &Index {
        &self.index
    }

    /// Takes in all that is durable now, without rests; on its own thread, or a test's.
    pub fn catch_up(&self) -> Result<(), Trouble> {
        let mut work = self.work.lock().expect("a panic while indexing ends the indexer");
        self.take_changed(&mut work);
        while !work.rooms.is_empty() {
            self.batch(&mut work)?;
        }
        self.rested(&mut work)
    }

    fn take_changed(&self, work: &mut Work) {
        self.tail.take_changed(|room| work.rooms.push_back(room));
    }

    /// All was taken in: what left the index leaves its WAL too.
    fn rested(&self, work: &mut Work) -> Result<(), Trouble> {
        self.status.behind.store(false, Ordering::Relaxed);
        self.forget_old(work)?;
        if work.scrub && self.index.checkpoint(true)? {
            (work.scrub, work.unchecked) = (false, 0);
        }
        Ok(())
    }

    /// What rooms keep no longer leaves the index; it is found by nobody since its time.
    fn forget_old(&self, work: &mut Work) -> Result<(), Trouble> {
        let now = self.clock.now();
        if !work.forgetting {
            if work.began.is_some_and(|began| now.since(began) < ROUND) {
                return Ok(());
            }
            (work.forgetting, work.forgotten, work.began) = (true, 0, Some(now));
        }
        for _ in 0..ROOMS_LOOKED {
            let Some(room) = self.history.next_bounded(work.forgotten) else {
                work.forgetting = false;
                break;
            };
            let before = self.history.since(room);
            let mut more = before > Timestamp(0);
            while more && !self.stop.load(Ordering::Acquire) && !self.tail.is_behind() {
                let forgotten = self.index.forget_old(room, before)?;
                more = forgotten.more;
                work.scrub |= forgotten.some;
                if forgotten.some {
                    self.index.checkpoint(false)?;
                }
            }
            work.forgotten = room.get();
        }
        Ok(())
    }

    /// One transaction.
    fn batch(&self, work: &mut Work) -> Result<(), Trouble> {
        let (mut parts, mut events, mut oldest) = (Vec::new(), 0, u64::MAX);
        let most = work.most.unwrap_or(BATCH_EVENTS);
        let page = (most / work.rooms.len().max(1)).max(PAGE);
        // Not one room after the other: a busy one does not keep the others waiting.
        for _ in 0..work.rooms.len() {
            let Some(room) = work.rooms.pop_front() else { break };
            let part = match self.part(room, page) {
                Ok(part) => part,
                Err(Halt::Index(trouble)) => {
                    work.rooms.push_front(room);
                    self.put_back(work, &parts);
                    return Err(trouble);
                }
                // The next event of the room, or the next start, tries it again.
                Err(Halt::Room(room, error)) => {
                    tracing::error!(%error, %room, "cannot index a room");
                    continue;
                }
            };
            let Some(part) = part else { continue };
            let (part, count, since) = part;
            events += count;
            oldest = oldest.min(since.0);
            parts.push(part);
            if events >= most {
                break;
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        let taken = self.index.take_in(&parts);
        // Those that have more come again; the others are found to have nothing more.
        self.put_back(work, &parts);
        work.scrub |= taken?;
        let bytes: usize = parts.iter().flat_map(|part| &part.changes).map(Change::bytes).sum();
        let next = if bytes < BATCH_BYTES { (2 * most).min(BATCH_EVENTS_MAX) } else { most };
        work.most = (events >= most).then_some(next);
        work.unchecked += bytes;
        if work.unchecked >= CHECKPOINT_BYTES {
            self.index.checkpoint(false)?;
            work.unchecked = 0;
        }
        let lag = self.clock.wall().0.saturating_sub(oldest);
        self.status.lag_millis.store(lag, Ordering::Relaxed);
        self.status.batches.fetch_add(1, Ordering::Relaxed);
        self.status.events.fetch_add(events as u64, Ordering::Relaxed);
        Ok(())
    }

    fn put_back(&self, work: &mut Work, parts: &[RoomPart]) {
        work.rooms.extend(parts.iter().map(|part| part.room));
        if !parts.is_empty() {
            self.status.behind.store(true, Ordering::Relaxed);
        }
    }

    /// What follows of a room, in how many events, since when; `None` when the index has all of it.
    fn part(
        &self,
        room: RoomId,
        page: usize,
    ) -> Result<Option<(RoomPart, usize, Timestamp)>, Halt> {
        let mut has = self.index.progress(room)?;
        let head = self.history.head(room);
        if has > head {
            // The folder was put back to an earlier day, and the index was not.
            self.index.forget(room)?;
            has = Seq::ZERO;
        }
        if has == head {
            return Ok(None);
        }
        self.read(room, has, page).map_err(|error| Halt::Room(room, error))
    }

    fn read(
        &self,
        room: RoomId,
        has: Seq,
        page: usize,
    ) -> Result<Option<(RoomPart, usize, Timestamp)>, StoreError> {
        let mut events = self.history.page(room, Span::After(has), page)?;
        self.history.show(room, &mut events)?;
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(None) };
        let mut changes: Vec<Change> = events.iter().filter_map(|event| said(event)).collect();
        for of in changed_before(&events, first.seq) {
            let event = self.history.shown(room, of)?;
            changes.extend(event.and_then(|event| {
                said(&event).or_else(|| Some(Change::Drop { seq: of, at: event.at }))
            }));
        }
        let part = RoomPart { room, through: last.seq, changes };
        Ok(Some((part, events.len(), first.at)))
    }

    /// Until it is stopped, or the index cannot be used any more.
    fn run(&self) {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::warn!(%error, "cannot lower the indexer's priority, chat may feel it");
        }
        let mut rest = EVERY;
        while !self.stop.load(Ordering::Acquire) {
            self.tail.wait_for_stop(rest, &self.stop);
            rest = match self.round() {
                Ok(true) => EVERY,
                Ok(false) => REST,
                Err(trouble @ (Trouble::Corrupt(_) | Trouble::SyncFailed(_))) => {
                    tracing::error!(
                        ?trouble,
                        "the search index cannot be used any more; the next start makes it again"
                    );
                    self.status.behind.store(true, Ordering::Relaxed);
                    self.index.give_up();
                    return;
                }
                Err(trouble) => {
                    self.status.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(?trouble, "cannot write the search index, trying again");
                    RETRY
                }
            };
        }
    }

    /// Batch after batch, until nothing is left, or (`false`) the fold needs the disk.
    fn round(&self) -> Result<bool, Trouble> {
        let mut work = self.work.lock().expect("a panic while indexing ends the indexer");
        loop {
            self.take_changed(&mut work);
            if work.rooms.is_empty() {
                self.rested(&mut work)?;
                return Ok(true);
            }
            if self.stop.load(Ordering::Acquire) {
                return Ok(true);
            }
            if self.tail.is_behind() {
                self.status.behind.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            self.batch(&mut work)?;
        }
    }
}

impl Change {
    /// What it is counted for until the next checkpoint.
    fn bytes(&self) -> usize {
        match self {
            Self::Put { body, .. } => ROW_BYTES + body.as_str().len(),
            Self::Drop { .. } | Self::Sweep { .. } => ROW_BYTES,
        }
    }
}

/// What an event adds to the index or, of many at once, takes from it.
fn said(event: &Event) -> Option<Change> {
    match &event.kind {
        // One without a text, blank or erased, has no words to be found by.
        EventKind::Posted { author, body, .. } if !body.as_str().is_empty() => {
            let (seq, at, who) = (event.seq, event.at, author.id);
            Some(Change::Put { seq, at, who, body: body.clone() })
        }
        kind => kind.sweeps().map(|who| Change::Sweep { who, before: event.seq }),
    }
}

/// The messages before a place whose texts these events changed.
fn changed_before(events: &[Arc<Event>], place: Seq) -> BTreeSet<Seq> {
    let changed = events.iter().filter_map(|event| match event.kind {
        EventKind::Edited { of, .. } | EventKind::Deleted { of, .. } => Some(of),
        _ => None,
    });
    changed.filter(|of| *of < place).collect()
}

impl Indexing {
    /// Starts the thread.
    pub fn start(indexer: Arc<Indexer>) -> std::io::Result<Self> {
        let running = Arc::clone(&indexer);
        let thread = std::thread::Builder::new().name("search".into());
        let thread = thread.spawn(move || {
            // A bug here takes search down and nothing else; its message is in the log.
            if catch_unwind(AssertUnwindSafe(|| running.run())).is_err() {
                running.status.behind.store(true, Ordering::Relaxed);
                tracing::error!(
                    "the search indexer panicked; search finds nothing new until a restart"
                );
            }
        })?;
        Ok(Self { indexer, thread: Some(thread) })
    }

    /// What it runs.
    pub fn indexer(&self) -> &Arc<Indexer> {
        &self.indexer
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.indexer.stop.store(true, Ordering::Release);
        self.indexer.tail.wake_fold();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the indexer's thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use throng_core::Epoch;

    use super::*;
    use crate::log::TurnId;
    use crate::samples;
    use crate::store::MemoryStore;

    #[test]
    fn where_much_is_to_be_caught_up_with_each_full_batch_is_followed_by_a_larger_one() {
        let tail = Arc::new(Tail::new(1 << 28, 1 << 20));
        let history = History::new(Arc::clone(&tail), Arc::new(MemoryStore::new(1 << 24)));
        let index = Arc::new(Index::open(None, Epoch(1)).unwrap());
        let indexer = Indexer::new(index, Arc::clone(&tail), history, Clock::manual());
        let (first, all) = (3 * BATCH_EVENTS + 1, 4 * BATCH_EVENTS + 2);
        let events = samples::history(samples::room(1), 1, all as u64);
        let batches = |turn, events: &[Arc<Event>]| {
            tail.insert(TurnId(turn), events);
            let before = indexer.status.batches.load(Ordering::Relaxed);
            indexer.catch_up().unwrap();
            indexer.status.batches.load(Ordering::Relaxed) - before
        };
        assert_eq!(batches(1, &events[..first]), 3, "one, one twice as large, and the rest");
        assert_eq!(batches(2, &events[first..]), 2, "from the small one on again");
        assert_eq!(indexer.status.events.load(Ordering::Relaxed), all as u64);
    }

    #[test]
    fn while_the_fold_is_behind_the_indexer_rests_and_says_so() {
        let tail = Arc::new(Tail::new(1 << 24, 5));
        let history = History::new(Arc::clone(&tail), Arc::new(MemoryStore::new(1 << 24)));
        let index = Arc::new(Index::open(None, Epoch(1)).unwrap());
        let indexer = Indexer::new(index, Arc::clone(&tail), history, Clock::manual());
        assert!(indexer.status.is_behind(), "until it has looked");
        let events = samples::history(samples::room(1), 1, 10);
        tail.insert(TurnId(1), &events[..9]);
        assert!(indexer.round().unwrap() && !indexer.status.is_behind());
        tail.insert(TurnId(2), &events[9..]);
        assert!(tail.is_behind(), "twice what makes a fold due");
        assert!(!indexer.round().unwrap() && indexer.status.is_behind());
        assert_eq!(indexer.status.events.load(Ordering::Relaxed), 9);
        tail.folded(&tail.unfolded().rooms);
    }
}
