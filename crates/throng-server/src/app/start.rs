//! Starts the server: opens the data folder, restores the rooms, starts the threads.
//!
//! Neighbours: `throng serve` and the tests call it, `stop.rs` is the other direction. Order is
//! everything here: what a thread needs is there before it starts, and goes after it has ended.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng_core::session::Rate;
use throng_core::shard::{Restored, Shard};
use throng_core::{Avatar, Epoch, Event, EventKind, Limits, Misfit, RoomId, RoomName, Topic};
use tokio::sync::mpsc;

use super::export::Exports;
use super::folder::{lock_folder, trust_the_disk};
use super::numbers::{self, open_auth};
use super::stop::Stop;
use super::{App, ShardDoor, files, links, search, shard_of};
use crate::accounts::Numbers;
use crate::auth::{AuthError, Guests};
use crate::clock::Clock;
use crate::config::Settings;
use crate::contacts::Contacts;
use crate::directory::{Directory, Settled};
use crate::fanout::{self, Deliver, Fanout, Offered};
use crate::fold::{Eraser, FOLD_EVENTS, Fold, FoldEnded, Folder, Unnamer};
use crate::history::History;
use crate::lifecycle::{Fatal, Lifecycle};
use crate::log::{Log, LogError, LogOptions, MemoryLog, SqliteLog, SyncObserver};
use crate::moderation::{self, Moderation};
use crate::operations::metrics::Metrics;
use crate::operations::syncs::Syncs;
use crate::personal::{self, Personal};
use crate::recovery::{RecoveryError, recover};
use crate::sequencer::{self, Sequencer};
use crate::sessions::Sessions;
use crate::sqlite::Trouble;
use crate::store::{
    MemoryStore, PACKED_LEN_MIN, RoomSnapshot, SqliteStore, Store, StoreError, StoreOptions,
};
use crate::tail::Tail;

/// What the memory form keeps of log and history.
const MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Deadlines are looked at this often at least, and at most.
const SWEEP_MIN: Duration = Duration::from_millis(10);
const SWEEP_MAX: Duration = Duration::from_secs(1);

/// How often what other processes did to the accounts is looked at: an ended session's connections
/// are closed within a second, on a busy machine too.
const LOOK_OUTSIDE: Duration = Duration::from_millis(250);
const _: () = assert!(LOOK_OUTSIDE.as_millis() < 1_000);

/// What kept the server from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the data folder.
    #[error(
        "the data folder {0} is in use by another server; stop that one, or set another --data"
    )]
    InUse(String),
    /// The data folder cannot be used.
    #[error("cannot {attempted} {path}: {cause}; give the server's user leave to write there")]
    Folder {
        /// What was attempted.
        attempted: &'static str,
        /// Where.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Restoring the rooms.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The accounts or the hashing threads.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A file that may be lost: with it goes what only it holds.
    #[error("cannot open {file}: {trouble}{}", trouble.hint())]
    Kept {
        /// Which one.
        file: &'static str,
        /// What is wrong with it.
        trouble: Trouble,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit of processes")]
    Thread(io::Error),
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes: {0}")]
    Chance(getrandom::Error),
}

/// What carries and keeps the orders.
#[derive(Debug)]
pub struct Disk {
    log: Arc<dyn Log>,
    pub(super) store: Arc<dyn Store>,
    lock: Option<File>,
}

impl App {
    /// Opens the data, restores the rooms and starts all threads. Blocks: for start-up, inside a
    /// runtime, which carries the sweep of deadlines.
    pub fn start(settings: Settings, clock: Clock, fatal: Fatal) -> Result<Arc<Self>, StartError> {
        Self::start_paced(settings, clock, fatal, &Offered::default())
    }

    /// The same, beside a runtime that rests by what is offered: see `lifecycle::runtime`.
    pub fn start_paced(
        settings: Settings,
        clock: Clock,
        fatal: Fatal,
        offered: &Offered,
    ) -> Result<Arc<Self>, StartError> {
        let disk = Disk::open(&settings, &clock)?;
        Self::begin(disk, settings, clock, fatal, offered)
    }

    /// Starts on a log and a store that are open: what a test makes fail.
    pub fn start_on(
        disk: Disk,
        settings: Settings,
        clock: Clock,
        fatal: Fatal,
    ) -> Result<Arc<Self>, StartError> {
        Self::begin(disk, settings, clock, fatal, &Offered::default())
    }

    fn begin(
        disk: Disk,
        settings: Settings,
        clock: Clock,
        fatal: Fatal,
        offered: &Offered,
    ) -> Result<Arc<Self>, StartError> {
        let (limits, (metrics, syncs)) = (limits_of(&settings), disk.watch(&settings, &clock));
        let (directory, sessions) = nobody_yet(&limits);
        let mut rooms = Rooms::new(settings.shard_count(cores()), &limits)?;
        let tail = Arc::new(rooms.restore(&disk, &limits, &directory)?);
        let (epoch, history) = (disk.log.epoch(), history_of(&tail, &disk, &directory, &clock));
        let (moderation, personal, contacts) = open_notes(&settings, &directory, &fatal)?;
        let files = files::open(&settings, &clock, &fatal, (&disk.store, &tail, &directory))?;
        let beside = (rooms.numbers, &disk, &*moderation, &*personal, files.as_deref());
        let auth = open_auth(&settings, beside, (&sessions, &fatal, &directory), &clock, &metrics)?;
        let fold = start_fold(&tail, &disk, &moderation, (&directory, &clock, &limits), &fatal)?;
        let (search, indexing) = open_search(&disk, &settings, (&tail, &history), &clock).unzip();
        let around = Threads {
            sequencer: sequencer::Around {
                log: disk.log,
                history: history.clone(),
                store: disk.store,
                tail: Arc::clone(&tail),
                directory: Arc::clone(&directory),
                contacts: Arc::clone(&contacts),
                metrics: Arc::clone(&metrics),
                clock: clock.clone(),
            },
            fanout: fanout::Around {
                directory: Arc::clone(&directory),
                sessions: Arc::clone(&sessions),
                contacts: Arc::clone(&contacts),
                tail: Arc::clone(&tail),
                metrics: Arc::clone(&metrics),
                epoch,
                clock: clock.clone(),
            },
            fatal: fatal.clone(),
            offered: offered.clone(),
        };
        let mut stop = Stop::of((fold, indexing), &personal, &fatal, disk.lock)?;
        let shards = around.start(rooms, &settings, &mut stop).map_err(StartError::Thread)?;
        let app = Self {
            requests: Rate::requests(&limits),
            exports: Arc::new(Exports::new(&limits)),
            lifecycle: Lifecycle::default(),
            stop: Mutex::new(Some(stop)),
            settings,
            limits,
            epoch,
            clock,
            metrics,
            auth,
            directory,
            moderation,
            sessions,
            personal,
            contacts,
            history,
            flights: Arc::default(),
            tail,
            syncs,
            files,
            fatal,
            search,
            shards,
        };
        Ok(Arc::new(app).ticking())
    }

    /// With what is done now and then.
    fn ticking(self: Arc<Self>) -> Arc<Self> {
        self.start_sweep();
        self.start_presence();
        self.start_looking_outside();
        self.start_ending_guests();
        self.start_forgetting();
        self
    }

    /// Looks at deadlines; ends with the runtime.
    #[expect(clippy::disallowed_methods, reason = "nobody waits for the sweep to end")]
    fn start_sweep(self: &Arc<Self>) {
        let app = Arc::downgrade(self);
        let limits = &self.limits;
        let shortest = [
            limits.auth_timeout_ms,
            limits.ping_interval_ms,
            limits.ping_timeout_ms,
            limits.handshake_timeout_ms,
            limits.write_timeout_ms,
        ];
        let shortest = Duration::from_millis(shortest.into_iter().min().unwrap_or(1_000));
        let mut ticks = tokio::time::interval((shortest / 8).clamp(SWEEP_MIN, SWEEP_MAX));
        tokio::spawn(async move {
            loop {
                ticks.tick().await;
                let Some(app) = app.upgrade() else { return };
                app.sessions.sweep(app.clock.now());
                app.syncs.look();
                app.metrics.fold_lag_events.set(app.tail.len() as i64);
                let since =
                    app.tail.since().map_or(0, |since| app.clock.wall().0.saturating_sub(since.0));
                app.metrics.fold_lag_millis.set(since as i64);
                if let Some(search) = &app.search {
                    search.count_into(&app.metrics);
                }
            }
        });
    }

    /// Closes the connections of sessions that another process ended; ends with the runtime.
    #[expect(clippy::disallowed_methods, reason = "nobody waits for it to end")]
    fn start_looking_outside(self: &Arc<Self>) {
        if self.settings.memory {
            return;
        }
        let app = Arc::downgrade(self);
        let mut ticks = tokio::time::interval(LOOK_OUTSIDE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::spawn(async move {
            loop {
                ticks.tick().await;
                let Some(app) = app.upgrade() else { return };
                // What could not be read was logged, and is tried again at the next tick.
                _ = app.auth.accounts().look_outside(|| app.sessions.live()).await;
            }
        });
    }
}

impl Disk {
    /// What counts, and what counts the log's syncs.
    fn watch(&self, settings: &Settings, clock: &Clock) -> (Arc<Metrics>, Arc<Syncs>) {
        let metrics = Metrics::counting(settings.stage_timings);
        let syncs = Arc::new(Syncs::new(clock.clone(), Arc::clone(&metrics)));
        self.log.observe(Arc::clone(&syncs) as Arc<dyn SyncObserver>);
        (metrics, syncs)
    }

    /// Of these two, which nobody else writes.
    pub fn new(log: Arc<dyn Log>, store: Arc<dyn Store>) -> Self {
        Self { log, store, lock: None }
    }

    fn open(settings: &Settings, clock: &Clock) -> Result<Self, StartError> {
        if settings.memory {
            let epoch = Epoch(getrandom::u32().map_err(StartError::Chance)?);
            let log = Arc::new(MemoryLog::new(epoch, MEMORY_BYTES_MAX));
            let store = Arc::new(MemoryStore::new(MEMORY_BYTES_MAX));
            return Ok(Self::new(log, store));
        }
        let folder = &settings.data;
        let lock = lock_folder(folder)?;
        trust_the_disk(folder)?;
        let log = SqliteLog::open(&folder.join("log.db"), &LogOptions::new(clock.clone()))?;
        let options = StoreOptions {
            pack_from: settings.compress_history.then_some(PACKED_LEN_MIN),
            ..Default::default()
        };
        let store = SqliteStore::open(&folder.join("store.db"), &options)?;
        Ok(Self { log: Arc::new(log), store: Arc::new(store), lock: Some(lock) })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts the fold's thread; its end is the process's, for nothing would be trimmed after it.
fn start_fold(
    tail: &Arc<Tail>,
    disk: &Disk,
    moderation: &Arc<Moderation>,
    (directory, clock, limits): (&Directory, &Clock, &Limits),
    fatal: &Fatal,
) -> Result<Fold, StartError> {
    let eraser = Eraser::new(&disk.store, directory.keeping(), clock, limits);
    let folder = Folder::new(Arc::clone(tail), Arc::clone(&disk.log), Arc::clone(&disk.store));
    let unnamer = Unnamer::new(directory.leavers(), &disk.store, moderation, clock);
    let folder = folder.with_audit(Arc::clone(moderation)).with_eraser(eraser);
    let folder = folder.with_unnamer(unnamer);
    let fatal = fatal.clone();
    let ended = move |ended: &FoldEnded| match ended {
        FoldEnded::SyncFailed(error) => fatal.sync_failed(error),
        FoldEnded::Panicked => fatal.bug("the fold's thread panicked"),
    };
    Fold::start(folder, Box::new(ended)).map_err(StartError::Thread)
}

/// Who is known, and who is here: nobody yet.
fn nobody_yet(limits: &Limits) -> (Arc<Directory>, Arc<Sessions>) {
    (Arc::new(Directory::new(limits)), Arc::new(Sessions::new(limits)))
}

/// What has happened, as far back as rooms keep it.
fn history_of(tail: &Arc<Tail>, disk: &Disk, directory: &Directory, clock: &Clock) -> History {
    let history = History::new(Arc::clone(tail), Arc::clone(&disk.store));
    let history = history.keeping(Arc::clone(directory.keeping()), clock.clone());
    history.without(Arc::clone(directory.leavers()))
}

fn open_moderation(
    settings: &Settings,
    directory: &Directory,
    fatal: &Fatal,
) -> Result<Arc<Moderation>, StartError> {
    let folder = (!settings.memory).then_some(settings.data.as_path());
    let fatal = fatal.clone();
    let sync_failed = move |cause: &str| fatal.sync_of_failed(moderation::FILE, cause);
    let moderation = Moderation::open(folder, Box::new(sync_failed))?;
    Ok(Arc::new(moderation.without(Arc::clone(directory.leavers()))))
}

/// What those who keep order note, what each account does, and who may write to whom.
type Notes = (Arc<Moderation>, Arc<Personal>, Arc<Contacts>);

/// What those who keep order note, and what each account does. Who was blocked may not write, whatever else
/// was settled.
fn open_notes(
    settings: &Settings,
    directory: &Arc<Directory>,
    fatal: &Fatal,
) -> Result<Notes, StartError> {
    let moderation = open_moderation(settings, directory, fatal)?;
    links::settle_uses(&moderation, directory);
    let folder = (!settings.memory).then_some(settings.data.as_path());
    let personal = Personal::open(folder)
        .map_err(|trouble| StartError::Kept { file: personal::FILE, trouble })?;
    let contacts = Contacts::new(Arc::clone(&personal), Arc::clone(directory));
    let blocks = Arc::clone(&moderation);
    contacts.ask_blocks(Box::new(move |who, whom| blocks.blocks(who, whom)));
    Ok((moderation, personal, Arc::new(contacts)))
}

fn open_search(
    disk: &Disk,
    settings: &Settings,
    events: (&Arc<Tail>, &History),
    clock: &Clock,
) -> Option<search::Opened> {
    let folder = disk.lock.as_ref().map(|_| settings.data.as_path());
    search::open(settings, (folder, disk.log.epoch()), events, clock)
}

/// What is allowed; in memory, where nothing is kept on disk, no file is, and where no guests are taken
/// none stays for a moment, and clients are told so.
fn limits_of(settings: &Settings) -> Limits {
    let mut limits = settings.limits.clone();
    if settings.memory {
        limits.file_len_max = 0;
    }
    if settings.guests == Guests::Off {
        limits.guest_lifetime_ms = 0;
    }
    limits
}

/// What of a room its shard does not know.
type Shown = (Topic, Avatar);
/// What of that, and of its name, the log has changed.
type Changed = (Option<RoomName>, Option<Topic>, Option<Avatar>);

/// The shards while their rooms are put back.
struct Rooms {
    shards: Vec<Shard>,
    names: Vec<(RoomId, RoomName, Shown)>,
    /// Whom the events know that are not folded.
    numbers: Numbers,
    seed: u64,
}

impl Rooms {
    fn new(count: usize, limits: &Limits) -> Result<Self, StartError> {
        let seed = getrandom::u64().map_err(StartError::Chance)?;
        let mut shards: Vec<_> = (0..count).map(|_| Shard::new(seed, limits)).collect();
        if let Some((first, others)) = shards.split_first_mut() {
            for other in others {
                other.count_held_with(first);
            }
        }
        Ok(Self { shards, names: Vec::new(), numbers: Numbers::default(), seed })
    }

    fn restore(
        &mut self,
        disk: &Disk,
        limits: &Limits,
        directory: &Directory,
    ) -> Result<Tail, StartError> {
        let count = self.shards.len();
        let (shards, names) = (Mutex::new(&mut self.shards), Mutex::new(&mut self.names));
        let mut restore = |room: RoomSnapshot| {
            let shown = (room.topic.clone(), room.avatar);
            names.lock().expect("one thread").push((room.room, room.name.clone(), shown));
            let shard = shard_of(room.room, count);
            shards.lock().expect("one thread")[shard].restore(restored(room));
        };
        let mut changed: HashMap<RoomId, Changed> = HashMap::new();
        let mut replay = |event: &Arc<Event>| {
            numbers::note(&mut self.numbers, &event.kind);
            match &event.kind {
                EventKind::Created { name, .. } => {
                    let shown = Shown::default();
                    names.lock().expect("one thread").push((event.room, name.clone(), shown));
                }
                EventKind::Set { settings, .. } => {
                    let (called, topic, avatar) = changed.entry(event.room).or_default();
                    *called = settings.name.clone().or(called.take());
                    *topic = settings.topic.clone().or(topic.take());
                    *avatar = settings.avatar.or(*avatar);
                }
                _ => {}
            }
            let shard = shard_of(event.room, count);
            let replayed = shards.lock().expect("one thread")[shard].replay(event);
            replayed.map_err(|Misfit { room, head, seq, why }| {
                format!("room {room} ends at {head}, the log goes on at {seq}: {why}")
            })
        };
        let tail = recover(
            &*disk.log,
            &*disk.store,
            limits.tail_bytes_max,
            FOLD_EVENTS,
            &mut restore,
            &mut replay,
        )?;
        for (room, name, (topic, avatar)) in self.names.drain(..) {
            let state = self.shards[shard_of(room, count)].room(room);
            let state = state.expect("a named room was restored");
            let counts = (state.head(), state.posts());
            let (called, newer, picture) = changed.remove(&room).unwrap_or_default();
            let name = called.unwrap_or(name);
            let (topic, avatar) = (newer.unwrap_or(topic), picture.unwrap_or(avatar));
            let settled = Settled { policy: state.policy(), topic, words: state.words(), avatar };
            directory.restore(room, name, settled, counts, state.people());
        }
        Ok(tail)
    }
}

fn restored(room: RoomSnapshot) -> Restored {
    Restored {
        room: room.room,
        name: room.name,
        at: room.at,
        head: room.head,
        pushed: room.pushed,
        posts: room.posts,
        policy: room.policy,
        words: room.words,
        people: room.people,
        pins: room.pins,
    }
}

struct Threads {
    sequencer: sequencer::Around,
    fanout: fanout::Around,
    fatal: Fatal,
    offered: Offered,
}

impl Threads {
    fn start(
        self,
        rooms: Rooms,
        settings: &Settings,
        stop: &mut Stop,
    ) -> io::Result<Box<[ShardDoor]>> {
        let mut doors = Vec::new();
        for (number, shard) in rooms.shards.into_iter().enumerate() {
            let deliver = Deliver::new(self.fanout.clone(), self.offered.clone(), rooms.seed);
            let deliver = deliver.with_presence(settings.presence);
            let fanout = Arc::new(Fanout::new(deliver, self.sequencer.clock.clone()));
            stop.fanouts.push(fanout.start(number, self.fatal.clone())?);
            let (queue, receiver) = mpsc::channel(settings.limits.shard_queue_max);
            let around = self.sequencer.clone();
            let sequencer = Sequencer::new(shard, around, Arc::clone(&fanout), &settings.limits);
            stop.sequencers.push(sequencer.start(number, receiver, self.fatal.clone())?);
            doors.push(ShardDoor { queue, fanout });
        }
        Ok(doors.into_boxed_slice())
    }
}
