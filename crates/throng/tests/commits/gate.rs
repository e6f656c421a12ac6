//! A server in this process whose log holds a turn until it is told how to end it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex};

use throng_server::app::{App, Disk};
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_server::lifecycle::Fatal;
use throng_server::listeners;
use throng_server::log::{Log, LogError, MemoryLog, SyncObserver, TurnId, Visit};
use throng_server::store::MemoryStore;
use tokio::runtime::Runtime;

use crate::raw_client::Client;

const MEMORY: usize = 64 * 1024 * 1024;

/// How an append ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    Done,
    Full,
    Io,
    SyncFailed,
}

/// The log.
#[derive(Debug)]
pub struct Gate {
    log: MemoryLog,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// A turn waits.
    held: bool,
    /// How the next appends end; after these all is well.
    endings: VecDeque<Ending>,
    /// A sync fails as old turns are taken away.
    trims_fail: bool,
}

impl Gate {
    /// From now on a turn waits.
    pub fn hold(&self) {
        self.state.lock().expect("nothing panics here").closed = true;
    }

    pub fn wait_until_held(&self) {
        let state = self.state.lock().expect("nothing panics here");
        drop(self.changed.wait_while(state, |state| !state.held).expect("nothing panics here"));
    }

    /// Lets turns go, to these endings.
    pub fn release(&self, endings: &[Ending]) {
        let mut state = self.state.lock().expect("nothing panics here");
        state.closed = false;
        state.endings.extend(endings);
        self.changed.notify_all();
    }

    /// From now on a sync fails as old turns are taken away.
    pub fn fail_trims(&self) {
        self.state.lock().expect("nothing panics here").trims_fail = true;
    }

    fn trimmed(&self) -> Result<(), LogError> {
        if self.state.lock().expect("nothing panics here").trims_fail {
            return Err(LogError::SyncFailed("told to".into()));
        }
        Ok(())
    }
}

impl Log for Gate {
    fn epoch(&self) -> throng_core::Epoch {
        self.log.epoch()
    }

    fn append(&self, turn: &[u8]) -> Result<TurnId, LogError> {
        let mut state = self.state.lock().expect("nothing panics here");
        state.held = true;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.closed).expect("nothing panics here");
        state.held = false;
        match state.endings.pop_front().unwrap_or(Ending::Done) {
            Ending::Done => self.log.append(turn),
            Ending::Full => Err(LogError::Full),
            Ending::Io => {
                Err(LogError::Io { attempted: "append to the log", cause: "told to".into() })
            }
            Ending::SyncFailed => Err(LogError::SyncFailed("told to".into())),
        }
    }

    fn replay(&self, after: TurnId, visit: &mut Visit<'_>) -> Result<(), LogError> {
        self.log.replay(after, visit)
    }

    fn trim(&self, through: TurnId) -> Result<(), LogError> {
        self.trimmed()?;
        self.log.trim(through)
    }

    fn scrub(&self, nothing: &[u8]) -> Result<bool, LogError> {
        self.trimmed()?;
        self.log.scrub(nothing)
    }

    fn close(&self) -> Result<(), LogError> {
        self.trimmed()?;
        self.log.close()
    }

    fn observe(&self, observer: Arc<dyn SyncObserver>) {
        self.log.observe(observer);
    }
}

/// The server.
#[derive(Debug)]
pub struct Server {
    pub gate: Arc<Gate>,
    app: Arc<App>,
    raw: SocketAddr,
    last_word: Receiver<(i32, String)>,
    /// Dropped: every connection is closed.
    runtime: Runtime,
}

impl Server {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// With these settings.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::at(Clock::system(), change)
    }

    /// With these settings, at the time of this clock.
    pub fn at(clock: Clock, change: impl FnOnce(&mut Settings)) -> Self {
        let log = MemoryLog::new(throng_core::Epoch(7), MEMORY);
        let gate = Arc::new(Gate { log, state: Mutex::default(), changed: Condvar::new() });
        let disk = Disk::new(Arc::clone(&gate) as _, Arc::new(MemoryStore::new(MEMORY)));
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings =
            Settings { listen: here, raw_listen: Some(here), shards: 1, ..Settings::default() };
        settings.memory = true;
        (settings.limits.sends_burst, settings.limits.sends_per_second) = (10_000, 10_000);
        change(&mut settings);
        let (say, last_word) = sync_channel(1);
        let fatal = Fatal::new(move |code, why| drop(say.try_send((code, why.to_owned()))));
        let runtime = Runtime::new().expect("threads can be started");
        let entered = runtime.enter();
        let app = App::start_on(disk, settings, clock, fatal).expect("it starts");
        let open = listeners::open(&app).expect("a port is free");
        drop(entered);
        let raw = open.raw.expect("it was asked for");
        Self { gate, app, raw, last_word, runtime }
    }

    /// Somebody new.
    pub fn register(&self, name: &str) -> Client {
        Client::register(self.raw, name).expect("the server is there")
    }

    /// Turns that were committed.
    pub fn turns(&self) -> u64 {
        self.app.metrics.turns.get()
    }

    /// Places left in the queue of a room's shard.
    pub fn places(&self, room: u32) -> usize {
        let room = throng_core::RoomId::new(room).expect("a room has a number");
        self.app.queue_of(room).capacity()
    }

    pub fn turns_reverted(&self) -> u64 {
        self.app.metrics.turns_reverted.get()
    }

    /// It stops, as after a signal.
    pub fn stop(&self) {
        self.runtime.block_on(Arc::clone(&self.app).stop());
    }

    /// What it says when it ends itself: the exit code, and why.
    pub fn last_word(&self) -> (i32, String) {
        self.last_word.recv().expect("the server lives on in this process")
    }
}
