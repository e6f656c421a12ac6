//! What each account keeps for itself: how far it has read in each room, what of a room it wants to
//! be told of, who may write to it, and how the rooms that it makes begin.
//!
//! Neighbours: connections and REST ask through `app`, which asks it too when a room is made; the
//! sequencer asks who may write to whom. None of it is of a room's order, and no append of the log is spent on it: markers are gathered in memory
//! and written by a thread of their own, at most once a second in one transaction; a crash takes a
//! marker back by so much. What was set by a person is answered when it is durable.

mod tables;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use throng_core::{Rejection, RoomDefaults, RoomId, Seq, UserId};
use tokio::sync::oneshot;

use crate::accounts::{Location, Numbers};
use crate::lifecycle::Fatal;
pub use crate::sqlite::Trouble;
use tables::Tables;

/// The file in the data folder.
pub const FILE: &str = "personal.db";

/// Markers that may wait to be written; beyond it a further one is refused as *unavailable*.
const WAITING_MAX: usize = 65_536;
/// How long they are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// How far an account has read in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// The place of the last message read.
    pub seq: Seq,
    /// Its number among the posts.
    pub n: u64,
}

/// What of a room an account wants to be told of; the server keeps it and the clients act on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Every message.
    #[default]
    All,
    /// Those that mention it.
    Mentions,
    /// Nothing.
    Nothing,
}

/// Who may write to an account in a direct room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writers {
    /// Who likes.
    #[default]
    Everyone,
    /// Those it shares a room with.
    Shared,
    /// Nobody.
    Nobody,
}

/// What is kept of one account in one room; `None` is not known, or not changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How far it has read.
    pub read: Option<Marker>,
    /// What it wants to be told of.
    pub level: Option<Level>,
}

impl Kept {
    /// With what came after it: a marker moves forward only.
    fn with(self, later: Self) -> Self {
        let read = match (self.read, later.read) {
            (Some(was), Some(now)) if now.seq <= was.seq => Some(was),
            (was, now) => now.or(was),
        };
        Self { read, level: later.level.or(self.level) }
    }
}

/// What accounts have settled about themselves; those that settled nothing are not in it.
#[derive(Debug, Default)]
struct Settled {
    /// Who may write to whom: those that did not say everyone.
    writers: HashMap<UserId, Writers>,
    /// How the rooms begin that they make.
    rooms: HashMap<UserId, RoomDefaults>,
}

impl Settled {
    fn forget(&mut self, gone: UserId) {
        self.writers.remove(&gone);
        self.rooms.remove(&gone);
    }
}

type Batch = HashMap<(UserId, RoomId), Kept>;
type Waiter = oneshot::Sender<Result<(), Rejection>>;

#[derive(Debug, Default)]
struct Waiting {
    kept: Batch,
    /// As it is to be, also where that is nothing.
    settled: Settled,
    /// Those of whom nothing is kept, but for what is above.
    forgotten: HashSet<UserId>,
    waiters: Vec<Waiter>,
    /// What the thread is writing: neither above nor in the tables yet.
    writing: Arc<Batch>,
    stop: bool,
}

/// What is written next.
#[derive(Debug)]
struct Taken {
    batch: Arc<Batch>,
    settled: Settled,
    forgotten: HashSet<UserId>,
    waiters: Vec<Waiter>,
    stop: bool,
}

/// The accounts' own notes.
#[derive(Debug)]
pub struct Personal {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// What is on disk of it.
    settled: RwLock<Settled>,
    tables: Mutex<Tables>,
    failed: AtomicBool,
}

impl Personal {
    /// Opens the file in this folder, or makes it; without one nothing outlives the process.
    pub fn open(folder: Option<&Path>) -> Result<Arc<Self>, Trouble> {
        Self::open_at(folder.map(Location::from))
    }

    /// The same, on the disk that is named.
    pub fn open_at(location: Option<Location<'_>>) -> Result<Arc<Self>, Trouble> {
        let tables = Tables::open(location)?;
        let settled = RwLock::new(tables.settled()?);
        Ok(Arc::new(Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            settled,
            tables: Mutex::new(tables),
            failed: AtomicBool::new(false),
        }))
    }

    /// Starts the thread that writes.
    pub fn start(self: &Arc<Self>, fatal: Fatal) -> io::Result<JoinHandle<()>> {
        let personal = Arc::clone(self);
        let thread = std::thread::Builder::new().name("personal".into());
        // Who waits for it would wait for ever.
        let work = move || fatal.guard("the notes' thread panicked", || personal.run(&fatal));
        thread.spawn(work)
    }

    /// Has the thread write what waits, and end.
    pub fn stop(&self) {
        self.waiting().stop = true;
        self.changed.notify_one();
    }

    /// Who may write to this account.
    pub fn writers(&self, user: UserId) -> Writers {
        self.settled().writers.get(&user).copied().unwrap_or_default()
    }

    /// Settles who may write to this account; returns when it is durable.
    pub async fn set_writers(&self, user: UserId, writers: Writers) -> Result<(), Rejection> {
        if user.is_guest() {
            // Nobody writes to one.
            return Err(Rejection::Forbidden);
        }
        let written = self.urgently(|waiting| _ = waiting.settled.writers.insert(user, writers));
        written.await.unwrap_or(Err(Rejection::Unavailable))
    }

    /// How the rooms begin that this account makes.
    pub fn room_defaults(&self, user: UserId) -> RoomDefaults {
        self.settled().rooms.get(&user).copied().unwrap_or_default()
    }

    /// Settles how the rooms begin that this account makes, all of it; returns when it is durable.
    pub async fn set_room_defaults(
        &self,
        user: UserId,
        defaults: RoomDefaults,
    ) -> Result<(), Rejection> {
        if user.is_guest() {
            // It makes none.
            return Err(Rejection::Forbidden);
        }
        defaults.check()?;
        let written = self.urgently(|waiting| _ = waiting.settled.rooms.insert(user, defaults));
        written.await.unwrap_or(Err(Rejection::Unavailable))
    }

    /// It is on disk, and holds from now on, also if who set it did not wait for the answer.
    fn know(&self, settled: Settled, forgotten: &HashSet<UserId>) {
        let Settled { writers, rooms } = settled;
        if writers.is_empty() && rooms.is_empty() && forgotten.is_empty() {
            return;
        }
        let mut known = self.settled.write().unwrap_or_else(PoisonError::into_inner);
        for user in forgotten {
            known.forget(*user);
        }
        for (user, writers) in writers {
            match writers {
                Writers::Everyone => _ = known.writers.remove(&user),
                _ => _ = known.writers.insert(user, writers),
            }
        }
        for (user, defaults) in rooms {
            if defaults.is_empty() {
                known.rooms.remove(&user);
            } else {
                known.rooms.insert(user, defaults);
            }
        }
    }

    fn settled(&self) -> RwLockReadGuard<'_, Settled> {
        self.settled.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles what of a room an account wants to be told of; returns when it is durable.
    pub async fn set_level(
        &self,
        user: UserId,
        room: RoomId,
        level: Level,
    ) -> Result<(), Rejection> {
        let kept = Kept { read: None, level: Some(level) };
        let written = self.urgently(|waiting| {
            let entry = waiting.kept.entry((user, room)).or_default();
            *entry = entry.with(kept);
        });
        written.await.unwrap_or(Err(Rejection::Unavailable))
    }

    /// The greatest number of those of whom something is kept.
    pub fn numbers(&self) -> Result<Numbers, Trouble> {
        let mut numbers = Numbers::default();
        self.tables().newest()?.into_iter().for_each(|user| numbers.note(user));
        Ok(numbers)
    }

    /// Moves an account's marker in a room, forward only. Whether it moved. Blocks on the tables.
    pub fn mark(&self, user: UserId, room: RoomId, marker: Marker) -> Result<bool, Rejection> {
        let known = self.kept(user, room)?.read.unwrap_or_default();
        let mut waiting = self.waiting();
        let full = waiting.kept.len() >= WAITING_MAX;
        if full && !waiting.kept.contains_key(&(user, room)) {
            return Err(Rejection::Unavailable);
        }
        let entry = waiting.kept.entry((user, room)).or_default();
        let newest = known.seq.max(entry.read.unwrap_or_default().seq);
        if marker.seq <= newest {
            if *entry == Kept::default() {
                waiting.kept.remove(&(user, room));
            }
            return Ok(false);
        }
        *entry = entry.with(Kept { read: Some(marker), level: None });
        drop(waiting);
        self.changed.notify_one();
        Ok(true)
    }

    /// What is kept of an account in a room. Blocks on the tables.
    pub fn kept(&self, user: UserId, room: RoomId) -> Result<Kept, Rejection> {
        let (writing, newest) = {
            let waiting = self.waiting();
            (Arc::clone(&waiting.writing), waiting.kept.get(&(user, room)).copied())
        };
        let written = self.tables().kept(user, room).map_err(|trouble| {
            tracing::error!(?trouble, "cannot read the accounts' notes");
            Rejection::Unavailable
        })?;
        let writing = writing.get(&(user, room)).copied();
        let later = [writing, newest].into_iter().flatten();
        Ok(later.fold(written, Kept::with))
    }

    /// Forgets what is kept of one who is gone; returns when that is durable.
    pub async fn forget(&self, gone: UserId) -> Result<(), Rejection> {
        self.settled.write().unwrap_or_else(PoisonError::into_inner).forget(gone);
        let written = self.urgently(|waiting| {
            waiting.kept.retain(|(user, _), _| *user != gone);
            waiting.settled.forget(gone);
            waiting.forgotten.insert(gone);
        });
        written.await.unwrap_or(Err(Rejection::Unavailable))
    }

    fn urgently(
        &self,
        change: impl FnOnce(&mut Waiting),
    ) -> oneshot::Receiver<Result<(), Rejection>> {
        let (waiter, written) = oneshot::channel();
        let mut waiting = self.waiting();
        if waiting.waiters.len() >= WAITING_MAX || self.failed.load(Ordering::Relaxed) {
            // The waiter is dropped, and its asker refused.
            return written;
        }
        change(&mut waiting);
        waiting.waiters.push(waiter);
        drop(waiting);
        self.changed.notify_one();
        written
    }

    fn run(&self, fatal: &Fatal) {
        loop {
            let Taken { batch, settled, forgotten, waiters, stop } = self.take();
            let written = self.tables().write(&batch, &settled, &forgotten);
            let answer = match &written {
                Ok(()) => {
                    self.know(settled, &forgotten);
                    Ok(())
                }
                Err(Trouble::SyncFailed(cause)) => {
                    self.failed.store(true, Ordering::Relaxed);
                    return fatal.sync_of_failed(FILE, cause);
                }
                Err(trouble) => {
                    tracing::error!(?trouble, "cannot write the accounts' notes, trying again");
                    Err(Rejection::Unavailable)
                }
            };
            self.written(&batch, &written);
            for waiter in waiters {
                _ = waiter.send(answer);
            }
            if stop {
                return;
            }
        }
    }

    /// Waits until there is something to write, gathers, and takes it.
    fn take(&self) -> Taken {
        let idle = |it: &mut Waiting| it.kept.is_empty() && it.waiters.is_empty() && !it.stop;
        let waiting = self.changed.wait_while(self.waiting(), idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let calm = |it: &mut Waiting| it.waiters.is_empty() && !it.stop;
        let waited = self.changed.wait_timeout_while(waiting, GATHER, calm);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let batch = Arc::new(std::mem::take(&mut waiting.kept));
        waiting.writing = Arc::clone(&batch);
        Taken {
            batch,
            settled: std::mem::take(&mut waiting.settled),
            forgotten: std::mem::take(&mut waiting.forgotten),
            waiters: std::mem::take(&mut waiting.waiters),
            stop: waiting.stop,
        }
    }

    /// What could not be written waits again, below what came since; what a person waited for was
    /// refused, and is not tried again.
    fn written(&self, batch: &Batch, written: &Result<(), Trouble>) {
        let mut waiting = self.waiting();
        waiting.writing = Arc::default();
        if written.is_err() {
            for (key, kept) in batch.iter().filter(|(_, kept)| kept.read.is_some()) {
                let entry = waiting.kept.entry(*key).or_default();
                *entry = Kept { read: kept.read, level: None }.with(*entry);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use throng_core::{Speak, Visibility};

    use super::*;

    fn user(number: u64) -> UserId {
        UserId::new(number).unwrap()
    }

    fn room(number: u32) -> RoomId {
        RoomId::new(number).unwrap()
    }

    fn marker(seq: u64) -> Marker {
        Marker { seq: Seq(seq), n: seq - 2 }
    }

    fn slow(seconds: u32) -> RoomDefaults {
        RoomDefaults { slow_seconds: Some(seconds), ..RoomDefaults::default() }
    }

    const ALL: RoomDefaults = RoomDefaults {
        speak: Some(Speak::Voiced),
        history: Some(Visibility::Joining),
        slow_seconds: Some(0),
        delay_seconds: Some(300),
        keep_seconds: Some(60),
    };

    #[tokio::test]
    async fn what_one_settled_is_gone_with_it_also_while_it_is_being_written() {
        let personal = Personal::open(None).unwrap();
        let asked = |waiting: &mut Waiting| {
            waiting.settled.rooms.insert(user(2), slow(5));
            waiting.settled.writers.insert(user(2), Writers::Nobody);
        };
        drop(personal.urgently(asked));
        let Taken { batch, settled, .. } = personal.take();
        drop(personal.forget(user(2)));
        personal.tables().write(&batch, &settled, &HashSet::new()).unwrap();
        personal.know(settled, &HashSet::new());
        assert_eq!(personal.room_defaults(user(2)), slow(5), "on disk before it is forgotten");
        let thread = personal.start(fatal()).unwrap();
        personal.forget(user(2)).await.unwrap();
        assert_eq!(personal.room_defaults(user(2)), RoomDefaults::default());
        assert_eq!(personal.writers(user(2)), Writers::Everyone);
        let kept = personal.tables().settled().unwrap();
        assert!(kept.rooms.is_empty() && kept.writers.is_empty(), "{kept:?}");
        personal.stop();
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_guest_has_no_defaults_and_no_default_is_beyond_what_a_room_may_settle() {
        let personal = Personal::open(None).unwrap();
        let guest = UserId::new(1 << 40).unwrap();
        let refused = personal.set_room_defaults(guest, slow(5)).await;
        assert_eq!(refused, Err(Rejection::Forbidden));
        let refused = personal.set_room_defaults(user(1), slow(21_601)).await;
        assert_eq!(refused, Err(Rejection::BadArgument));
    }

    fn fatal() -> Fatal {
        Fatal::new(|code, why| panic!("ended with {code}: {why}"))
    }

    #[test]
    fn a_marker_moves_forward_only_wherever_it_is_kept() {
        let personal = Personal::open(None).unwrap();
        let mark = |seq| personal.mark(user(1), room(1), marker(seq)).unwrap();
        assert_eq!([mark(5), mark(5), mark(4), mark(7)], [true, false, false, true]);
        let Taken { batch, .. } = personal.take();
        assert!(!mark(7), "while it is being written");
        personal.tables().write(&batch, &Settled::default(), &HashSet::new()).unwrap();
        personal.written(&batch, &Ok(()));
        assert_eq!([mark(6), mark(7), mark(9)], [false, false, true]);
        assert_eq!(personal.kept(user(1), room(1)).unwrap().read, Some(marker(9)));
        assert_eq!(personal.kept(user(2), room(1)).unwrap(), Kept::default());
        assert_eq!(personal.waiting().kept.len(), 1, "what did not move is not written");
    }

    #[test]
    fn what_could_not_be_written_is_not_lost_and_not_put_above_what_came_since() {
        let personal = Personal::open(None).unwrap();
        let mark = |room_, seq| personal.mark(user(1), room(room_), marker(seq)).unwrap();
        assert!(mark(1, 5) && mark(2, 5));
        let Taken { batch, .. } = personal.take();
        assert!(mark(1, 8));
        personal.written(&batch, &Err(Trouble::Full));
        let kept = |number| personal.kept(user(1), room(number)).unwrap().read;
        assert_eq!((kept(1), kept(2)), (Some(marker(8)), Some(marker(5))));
    }

    #[test]
    fn so_many_markers_wait_and_one_more_is_refused() {
        let personal = Personal::open(None).unwrap();
        for number in 1..=WAITING_MAX as u64 {
            assert_eq!(personal.mark(user(number), room(1), marker(5)), Ok(true));
        }
        let next = user(WAITING_MAX as u64 + 1);
        assert_eq!(personal.mark(next, room(1), marker(5)), Err(Rejection::Unavailable));
        assert_eq!(personal.mark(user(1), room(1), marker(6)), Ok(true), "one that waits already");
    }

    #[tokio::test]
    async fn what_was_set_holds_also_for_one_who_did_not_wait_for_the_answer() {
        let personal = Personal::open(None).unwrap();
        let nobody = |waiting: &mut Waiting| {
            _ = waiting.settled.writers.insert(user(2), Writers::Nobody);
        };
        drop(personal.urgently(nobody));
        let thread = personal.start(fatal()).unwrap();
        // Taken with it or after it; when this is answered, both are written.
        personal.set_level(user(1), room(1), Level::Mentions).await.unwrap();
        assert_eq!(personal.writers(user(2)), Writers::Nobody);
        personal.stop();
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn of_a_guest_who_is_forgotten_nothing_is_kept_also_of_what_was_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let guest = user(7);
        {
            let personal = Personal::open(Some(folder.path())).unwrap();
            personal.mark(guest, room(1), marker(5)).unwrap();
            personal.mark(user(8), room(1), marker(5)).unwrap();
            let Taken { batch, .. } = personal.take();
            personal.mark(guest, room(2), marker(6)).unwrap();
            let forgotten = personal.forget(guest);
            let written = async {
                // The one batch was on its way when it was asked; the other is taken after it.
                personal.tables().write(&batch, &Settled::default(), &HashSet::new()).unwrap();
                personal.written(&batch, &Ok(()));
                let thread = personal.start(fatal()).unwrap();
                personal.stop();
                thread.join().unwrap();
            };
            tokio::join!(async { forgotten.await.unwrap() }, written);
        }
        let personal = Personal::open(Some(folder.path())).unwrap();
        let kept = |who, number| personal.kept(who, room(number)).unwrap().read;
        assert_eq!([kept(guest, 1), kept(guest, 2)], [None, None]);
        assert_eq!(kept(user(8), 1), Some(marker(5)));
    }

    #[tokio::test]
    async fn what_was_set_and_read_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        {
            let personal = Personal::open(Some(folder.path())).unwrap();
            let thread = personal.start(fatal()).unwrap();
            personal.set_level(user(1), room(1), Level::Mentions).await.unwrap();
            personal.set_writers(user(2), Writers::Shared).await.unwrap();
            personal.set_writers(user(3), Writers::Nobody).await.unwrap();
            personal.set_writers(user(3), Writers::Everyone).await.unwrap();
            personal.set_room_defaults(user(2), slow(30)).await.unwrap();
            personal.set_room_defaults(user(3), slow(40)).await.unwrap();
            personal.set_room_defaults(user(3), RoomDefaults::default()).await.unwrap();
            personal.set_room_defaults(user(4), ALL).await.unwrap();
            personal.set_room_defaults(user(5), slow(50)).await.unwrap();
            personal.forget(user(5)).await.unwrap();
            personal.mark(user(1), room(1), marker(5)).unwrap();
            personal.stop();
            thread.join().unwrap();
        }
        let personal = Personal::open(Some(folder.path())).unwrap();
        let rooms = [1, 2, 3, 4, 5].map(|number| personal.room_defaults(user(number)));
        let none = RoomDefaults::default();
        assert_eq!(rooms, [none, slow(30), none, ALL, none]);
        let kept = Kept { read: Some(marker(5)), level: Some(Level::Mentions) };
        assert_eq!(personal.kept(user(1), room(1)).unwrap(), kept);
        let writers = [1, 2, 3].map(|number| personal.writers(user(number)));
        assert_eq!(writers, [Writers::Everyone, Writers::Shared, Writers::Everyone]);
    }
}
