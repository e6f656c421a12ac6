//! The log in a SQLite file of its own: one blob a turn, appended in the order of arrival.
//!
//! Neighbours: the sequencers append, the fold trims. Group commit without a thread of its own: a
//! caller that finds nobody committing does it itself, for all that wait by then, so that a lone
//! append never changes threads. It never looks inside a turn.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use rusqlite::{Connection, params};
use throng_core::Epoch;

use super::{Log, LogError, SyncObserver, TurnId, Visit};
use crate::clock::Clock;
use crate::sqlite::{self, Kind, Trouble};

/// Old turns deleted in one commit's own transaction, for each turn that it adds: enough to catch
/// up with any rate, too few to be seen in a commit's time.
const TRIM_TURNS_MAX: u64 = 64;
/// Transactions that one idle `trim` may make before it leaves the rest to later commits.
const TRIM_ROUNDS_MAX: u64 = 8;
/// Pages of WAL after which a checkpoint is due: about 2 MiB, some 2 ms of stall (measured; a
/// larger one moves the stall from p99 to the maximum).
const CHECKPOINT_PAGES: u64 = 500;
/// While checkpoints fail the WAL grows; beyond this many times what makes one due it is the
/// appends that are refused.
const CHECKPOINTS_MISSED_MAX: u64 = 64;
const PAGE_SIZE: u32 = 4096;

const KIND: Kind = Kind {
    what: "log",
    application_id: 0x5468_724c, // "ThrL"
    version: 1,
    page_size: PAGE_SIZE,
    cache_kib: 16 * 1024,
    steps: &[],
    schema: "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE turns (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
    exclusive: true,
    shrinks: false,
};

/// How the log is opened.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Times the syncs.
    pub clock: Clock,
    /// The SQLite VFS by name; the tests put their disk of faults here.
    pub vfs: Option<String>,
    /// Pages of WAL after which a checkpoint is due.
    pub checkpoint_pages: u64,
    /// Old turns deleted in one commit's own transaction, for each turn that it adds.
    pub trim_turns_max: u64,
    /// Planted fault: commits are not synced (`synchronous=OFF`), so that an ack is not durable.
    #[cfg(feature = "planted-faults")]
    pub fault_no_sync: bool,
}

impl LogOptions {
    /// As a server runs it.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            vfs: None,
            checkpoint_pages: CHECKPOINT_PAGES,
            trim_turns_max: TRIM_TURNS_MAX,
            #[cfg(feature = "planted-faults")]
            fault_no_sync: crate::faults::planted(crate::faults::Fault::NoSync),
        }
    }

    #[cfg_attr(
        not(feature = "planted-faults"),
        expect(clippy::unused_self, reason = "only the planted fault asks the options")
    )]
    fn synchronous(&self) -> &'static str {
        #[cfg(feature = "planted-faults")]
        if self.fault_no_sync {
            return "OFF";
        }
        "FULL"
    }
}

/// The log in a file.
#[derive(Debug)]
pub struct SqliteLog {
    epoch: Epoch,
    clock: Clock,
    file: Mutex<File>,
    queue: Mutex<Queue>,
    /// A group was committed, or refused.
    done: Condvar,
    trimmed: AtomicU64,
    observer: OnceLock<Arc<dyn SyncObserver>>,
}

/// The connection, held by the one that leads, and what it knows of the file.
#[derive(Debug)]
struct File {
    connection: Connection,
    /// The newest turn; 0 for none.
    newest: u64,
    /// The oldest turn kept.
    oldest: u64,
    /// Estimate of the pages written to the WAL since the last checkpoint.
    wal_pages: u64,
    /// After how many of them a checkpoint is due…
    checkpoint_pages: u64,
    /// …and the next one is: later, when the last one failed.
    checkpoint_due: u64,
    trim_turns_max: u64,
    /// A sync failed: nothing is written any more.
    failed: Option<String>,
}

/// Turns that wait, copied end to end.
#[derive(Debug, Default)]
struct Group {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Somebody is committing.
    leading: bool,
    /// The group that the next leader takes.
    forming: Group,
    /// Its number.
    generation: u64,
    /// Committed groups whose callers have not all woken yet; at most one for each caller.
    finished: Vec<Finished>,
}

#[derive(Debug)]
struct Finished {
    generation: u64,
    /// The id of the group's first turn.
    outcome: Result<u64, Trouble>,
    unread: usize,
}

impl Group {
    fn push(&mut self, turn: &[u8]) -> usize {
        self.bytes.extend_from_slice(turn);
        self.ends.push(self.bytes.len());
        self.ends.len() - 1
    }

    fn turns(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

impl Queue {
    /// Takes the lead with all that waits.
    fn lead(&mut self) -> (Group, u64) {
        assert!(!self.leading, "one leads at a time");
        self.leading = true;
        let generation = self.generation;
        self.generation += 1;
        (std::mem::take(&mut self.forming), generation)
    }

    fn collect(&mut self, generation: u64, index: usize) -> Option<Result<TurnId, LogError>> {
        let at = self.finished.iter().position(|f| f.generation == generation)?;
        let finished = &mut self.finished[at];
        finished.unread -= 1;
        let outcome = finished.outcome.clone();
        if finished.unread == 0 {
            self.finished.swap_remove(at);
        }
        Some(name_turn(outcome, index))
    }
}

fn name_turn(outcome: Result<u64, Trouble>, index: usize) -> Result<TurnId, LogError> {
    match outcome {
        Ok(first) => Ok(TurnId(first + index as u64)),
        Err(trouble) => Err(LogError::from_trouble(trouble, "append to the log")),
    }
}

impl SqliteLog {
    /// Opens the log, or makes it with an epoch of its own.
    pub fn open(path: &Path, options: &LogOptions) -> Result<Self, LogError> {
        Self::open_file(path, options).map_err(|t| LogError::from_trouble(t, "open the log"))
    }

    fn open_file(path: &Path, options: &LogOptions) -> Result<Self, Trouble> {
        let connection = sqlite::open(path, options.vfs.as_deref(), &KIND, options.synchronous())?;
        let epoch = epoch(&connection)?;
        // Each of the two is a seek; both of one table at once would be a walk.
        let bounds = "SELECT coalesce((SELECT min(id) FROM turns), 0),
                             coalesce((SELECT max(id) FROM turns), 0)";
        let (oldest, newest): (i64, i64) =
            connection.query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if oldest < 0 {
            return Err(Trouble::Corrupt(format!("a turn has the number {oldest}")));
        }
        let file = File {
            connection,
            newest: newest as u64,
            oldest: (oldest as u64).max(1),
            wal_pages: 0,
            checkpoint_pages: options.checkpoint_pages,
            checkpoint_due: options.checkpoint_pages,
            trim_turns_max: options.trim_turns_max,
            failed: None,
        };
        Ok(Self {
            epoch,
            clock: options.clock.clone(),
            file: Mutex::new(file),
            queue: Mutex::default(),
            done: Condvar::new(),
            trimmed: AtomicU64::new(0),
            observer: OnceLock::new(),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().expect("a panic while committing ends the process")
    }

    /// Commits `own` (the leader's turn, not copied) and the group's, and tells the group.
    /// `of_group`: the leader's own turn stands in the group at this place.
    fn lead(
        &self,
        own: Option<&[u8]>,
        of_group: Option<usize>,
        group: &Group,
        generation: u64,
    ) -> Result<TurnId, LogError> {
        let outcome = self.commit(own, group);
        let mut queue = self.queue();
        queue.leading = false;
        let unread = group.ends.len() - usize::from(of_group.is_some());
        if unread > 0 {
            let ahead = u64::from(own.is_some());
            let outcome = outcome.clone().map(|first| first + ahead);
            queue.finished.push(Finished { generation, outcome, unread });
        }
        let others = unread > 0 || !queue.forming.ends.is_empty();
        drop(queue);
        if others {
            self.done.notify_all();
        }
        name_turn(outcome, of_group.unwrap_or(0))
    }

    /// One transaction and one sync; the id of its first turn.
    fn commit(&self, own: Option<&[u8]>, group: &Group) -> Result<u64, Trouble> {
        self.observed(|| self.write(own, group))
    }

    /// Does something for which others wait.
    fn observed<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(observer) = self.observer.get() else { return work() };
        observer.begins();
        let done = work();
        observer.ends();
        done
    }

    fn write(&self, own: Option<&[u8]>, group: &Group) -> Result<u64, Trouble> {
        let mut file = self.file();
        file.check()?;
        self.checkpoint_when_due(&mut file)?;
        let count = group.ends.len() + usize::from(own.is_some());
        let bytes = group.bytes.len() + own.map_or(0, <[u8]>::len);
        let trim = file.deletable(self.trimmed.load(Ordering::Acquire), count as u64);
        let began = self.clock.now();
        let first = file.newest + 1;
        let written = file.write(own.into_iter().chain(group.turns()), trim);
        file.settle(written)?;
        file.newest += count as u64;
        file.oldest = trim.map_or(file.oldest, |(_, last)| last + 1);
        // A commit dirties the turns' own pages, the way down to them, and the list of free pages.
        file.wal_pages += bytes as u64 / u64::from(PAGE_SIZE) + 3 + count as u64;
        drop(file);
        if let Some(observer) = self.observer.get() {
            observer.synced(count, bytes, self.clock.now().since(began));
        }
        Ok(first)
    }

    fn checkpoint_when_due(&self, file: &mut File) -> Result<(), Trouble> {
        if !file.is_checkpoint_due() {
            return Ok(());
        }
        let began = self.clock.now();
        let done = file.checkpoint();
        if let Some(observer) = self.observer.get() {
            observer.checkpointed(self.clock.now().since(began));
        }
        done
    }

    /// Does something to old turns while nobody appends; what came of it, or `None` when somebody
    /// appends. Trouble leaves it to later, but for a failed sync.
    fn idle<T>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&mut File, u64) -> Result<T, Trouble>,
    ) -> Result<Option<T>, LogError> {
        let mut queue = self.queue();
        if queue.leading || !queue.forming.ends.is_empty() {
            return Ok(None);
        }
        queue.leading = true;
        drop(queue);
        let trimmed = self.trimmed.load(Ordering::Acquire);
        let done = self.observed(|| work(&mut self.file(), trimmed));
        let mut queue = self.queue();
        queue.leading = false;
        let others = !queue.forming.ends.is_empty();
        drop(queue);
        if others {
            self.done.notify_all();
        }
        match done {
            Ok(done) => Ok(Some(done)),
            Err(trouble @ Trouble::SyncFailed(_)) => {
                Err(LogError::from_trouble(trouble, attempted))
            }
            Err(trouble) => {
                tracing::warn!(?trouble, "cannot {attempted}, trying again later");
                Ok(None)
            }
        }
    }
}

impl Log for SqliteLog {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn append(&self, turn: &[u8]) -> Result<TurnId, LogError> {
        assert!(!turn.is_empty(), "a turn without events is not appended");
        let mut queue = self.queue();
        if !queue.leading {
            let (group, generation) = queue.lead();
            drop(queue);
            return self.lead(Some(turn), None, &group, generation);
        }
        let generation = queue.generation;
        let index = queue.forming.push(turn);
        loop {
            queue = self.done.wait(queue).expect("nothing panics while it holds the queue");
            if let Some(outcome) = queue.collect(generation, index) {
                return outcome;
            }
            if !queue.leading && queue.generation == generation {
                let (group, generation) = queue.lead();
                drop(queue);
                return self.lead(None, Some(index), &group, generation);
            }
        }
    }

    fn replay(&self, after: TurnId, visit: &mut Visit<'_>) -> Result<(), LogError> {
        let trouble = |e: rusqlite::Error| LogError::from_trouble(e.into(), "read the log");
        let file = self.file();
        let select = "SELECT id, bytes FROM turns WHERE id > ?1 ORDER BY id";
        let mut statement = file.connection.prepare_cached(select).map_err(trouble)?;
        let mut rows = statement.query([after.0 as i64]).map_err(trouble)?;
        let mut expected = None;
        while let Some(row) = rows.next().map_err(trouble)? {
            let id = row.get::<_, i64>(0).map_err(trouble)? as u64;
            let corrupt = |cause| LogError::Corrupt { at: TurnId(id), cause };
            if expected.is_some_and(|expected| expected != id) {
                return Err(corrupt("turns before it are missing".into()));
            }
            expected = Some(id + 1);
            let bytes = row.get_ref(1).map_err(trouble)?.as_blob();
            let bytes = bytes.map_err(|e| corrupt(e.to_string()))?;
            visit(TurnId(id), bytes).map_err(corrupt)?;
        }
        Ok(())
    }

    fn trim(&self, through: TurnId) -> Result<(), LogError> {
        self.trimmed.fetch_max(through.0, Ordering::AcqRel);
        for _ in 0..TRIM_ROUNDS_MAX {
            let trims = |file: &mut File, trimmed| {
                let more = file.trim(trimmed)?;
                if more {
                    self.checkpoint_when_due(file)?;
                }
                Ok(more)
            };
            if self.idle("delete folded turns", trims)? != Some(true) {
                break;
            }
        }
        Ok(())
    }

    fn scrub(&self, nothing: &[u8]) -> Result<bool, LogError> {
        let scrubbed =
            self.idle("write the log anew", |file, trimmed| file.scrub(trimmed, nothing));
        Ok(scrubbed? == Some(true))
    }

    fn close(&self) -> Result<(), LogError> {
        self.idle("close the log", |file, trimmed| {
            while file.trim(trimmed)? {
                self.checkpoint_when_due(file)?;
            }
            // SQLite would do that too, and tell nobody when it fails.
            file.checkpoint()
        })?;
        Ok(())
    }

    fn observe(&self, observer: Arc<dyn SyncObserver>) {
        // The first one stays: there is one set of metrics.
        let _ = self.observer.set(observer);
    }
}

impl File {
    fn check(&self) -> Result<(), Trouble> {
        match &self.failed {
            Some(cause) => Err(Trouble::SyncFailed(cause.clone())),
            None => Ok(()),
        }
    }

    /// The turns that a transaction of `turns` turns deletes. The newest one stays, whatever the
    /// fold says: the next id is counted from it.
    fn deletable(&self, trimmed: u64, turns: u64) -> Option<(u64, u64)> {
        let most = self.oldest + self.trim_turns_max.saturating_mul(turns) - 1;
        let last = most.min(trimmed).min(self.newest.saturating_sub(1));
        (last >= self.oldest).then_some((self.oldest, last))
    }

    fn write<'a>(
        &self,
        turns: impl Iterator<Item = &'a [u8]>,
        trim: Option<(u64, u64)>,
    ) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut insert = connection.prepare_cached("INSERT INTO turns VALUES (?1, ?2)")?;
        for (id, turn) in (self.newest + 1..).zip(turns) {
            insert.execute(params![id as i64, turn])?;
        }
        drop(insert);
        if let Some((first, last)) = trim {
            connection
                .prepare_cached("DELETE FROM turns WHERE id BETWEEN ?1 AND ?2")?
                .execute([first as i64, last as i64])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// A transaction that failed is rolled back; after a failed sync no other one begins.
    fn settle<T>(&mut self, outcome: rusqlite::Result<T>) -> Result<T, Trouble> {
        outcome.map_err(|error| {
            let trouble = Trouble::from(error);
            sqlite::roll_back(&self.connection);
            if let Trouble::SyncFailed(cause) = &trouble {
                self.failed = Some(cause.clone());
                sqlite::never_checkpoint_again(&self.connection);
            }
            trouble
        })
    }

    fn is_checkpoint_due(&self) -> bool {
        self.wal_pages >= self.checkpoint_due
    }

    /// Moves the WAL into the file. A failure is no reason to refuse a turn until the WAL is too
    /// long, but for a failed sync.
    fn checkpoint(&mut self) -> Result<(), Trouble> {
        let checkpoint =
            self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match self.settle(checkpoint) {
            Ok(()) => {
                self.wal_pages = 0;
                self.checkpoint_due = self.checkpoint_pages;
                Ok(())
            }
            Err(trouble @ Trouble::SyncFailed(_)) => Err(trouble),
            Err(trouble) if self.wal_pages > self.checkpoint_pages * CHECKPOINTS_MISSED_MAX => {
                Err(trouble)
            }
            Err(trouble) => {
                tracing::warn!(?trouble, "cannot checkpoint the log, trying again later");
                self.checkpoint_due = self.wal_pages + self.checkpoint_pages;
                Ok(())
            }
        }
    }

    /// One transaction of deletes; `true` when there is more.
    fn trim(&mut self, trimmed: u64) -> Result<bool, Trouble> {
        self.check()?;
        let Some((first, last)) = self.deletable(trimmed, 1) else { return Ok(false) };
        let written = self.write(std::iter::empty(), Some((first, last)));
        self.settle(written)?;
        self.oldest = last + 1;
        self.wal_pages += 3 + last - first;
        Ok(self.deletable(trimmed, 1).is_some())
    }

    /// Writes the file anew when all of it is trimmed, and empties the journal; whether it did.
    fn scrub(&mut self, trimmed: u64, nothing: &[u8]) -> Result<bool, Trouble> {
        self.check()?;
        if trimmed < self.newest || self.oldest < self.newest {
            return Ok(false);
        }
        let scrubbed = self.write_anew(nothing);
        self.settle(scrubbed)?;
        self.wal_pages = 0;
        self.checkpoint_due = self.checkpoint_pages;
        Ok(true)
    }

    fn write_anew(&self, nothing: &[u8]) -> rusqlite::Result<()> {
        let update = "UPDATE turns SET bytes = ?2 WHERE id = ?1";
        self.connection.execute(update, params![self.newest as i64, nothing])?;
        self.connection.execute_batch("VACUUM")?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
}

impl Drop for SqliteLog {
    /// For those who do not close it: nobody can be told any more what fails here.
    fn drop(&mut self) {
        if self.file.get_mut().is_ok_and(|file| file.failed.is_none())
            && let Err(error) = self.close()
        {
            tracing::error!(%error, "the log is not closed well");
        }
    }
}

impl LogError {
    fn from_trouble(trouble: Trouble, attempted: &'static str) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::SyncFailed(cause) => Self::SyncFailed(cause),
            Trouble::Corrupt(cause) => Self::Corrupt { at: TurnId(0), cause },
            Trouble::Io(cause) => Self::Io { attempted, cause },
        }
    }
}

/// The epoch of this folder; given once, when the file is made.
fn epoch(connection: &Connection) -> Result<Epoch, Trouble> {
    let drawn = getrandom::u32().map_err(|e| Trouble::Io(format!("no random numbers: {e}")))?;
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?1)", [drawn])?;
    let select = "SELECT value FROM meta WHERE key = 'epoch'";
    Ok(Epoch(connection.query_row(select, [], |row| row.get(0))?))
}

#[cfg(test)]
mod tests;
