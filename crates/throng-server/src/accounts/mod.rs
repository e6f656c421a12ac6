//! Who has an account, and which sessions it has: `accounts.db`, or the same tables in memory.
//!
//! Neighbours: `auth` asks it; `throng admin` writes beside a running server through `bulk`. All SQL
//! runs on one thread of its own (`thread.rs`), which commits together what waits together. It
//! hashes no password and counts no tries; tokens and passwords are known to it by their hashes.

pub mod bulk;
mod cache;
mod given;
pub mod guests;
mod leaving;
pub mod life;
pub mod links;
mod tables;
mod thread;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use throng_core::{Author, Limits, Rejection, SessionId, Timestamp, UserId, Username};
use tokio::sync::{mpsc, oneshot};

use crate::auth::password::Phc;
use crate::auth::token::TokenHash;
use crate::clock::Clock;
use crate::faults::{Fault, planted};
use cache::Cache;
pub use given::Numbers;
use guests::Addresses;
use links::LinkKind;
use tables::Tables;
use thread::{Job, Keeper};

/// The file in the data folder.
pub const FILE: &str = "accounts.db";

/// Jobs that wait for the thread; beyond it those who ask wait for a place. One is some 200 bytes.
const QUEUE_MAX: usize = 4_096;

/// Sessions looked up in one job: half a millisecond, which is what a login behind it waits.
const RECHECK_MAX: usize = 256;

/// Where accounts are kept.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// In `accounts.db` of a folder.
    Folder(Location<'a>),
    /// Nowhere: they are gone when the process ends.
    Memory,
}

/// In which folder the file is, and how it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// The data folder.
    pub folder: &'a Path,
    /// SQLite's name for what it reads and writes files with; `None` for the system's own way.
    pub vfs: Option<&'a str>,
    /// Commits are not synced: wrong on purpose.
    pub fault_no_sync: bool,
}

impl<'a> From<&'a Path> for Location<'a> {
    fn from(folder: &'a Path) -> Self {
        Self { folder, vfs: None, fault_no_sync: planted(Fault::NoSync) }
    }
}

/// Those who must hear what happens here. Called from the accounts' thread: it may not wait.
pub trait Watch: Send + Sync + fmt::Debug {
    /// A session was ended: its connections are to be closed. The one who asked is answered after
    /// this returns.
    fn session_ended(&self, session: SessionId);

    /// A sync failed, so what is on disk is unknown: the process must end (I10).
    fn sync_failed(&self, error: &AccountsError);
}

/// The accounts. Dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct Accounts {
    jobs: Option<mpsc::Sender<Job>>,
    cache: Arc<Cache>,
    watch: Arc<OnceLock<Arc<dyn Watch>>>,
    addresses: Arc<Addresses>,
    given: given::Given,
    /// Guests that were gone at start-up.
    gone: Vec<UserId>,
    /// Those who were being forgotten at start-up.
    leaving: Vec<(Author, Timestamp)>,
    clock: Clock,
    /// What other processes have written and was looked at.
    looked_at: AtomicI64,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// An account as a login finds it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who it is.
    pub user: Author,
    /// What is kept of the password; `None` for accounts that log in by token only.
    pub phc: Option<Phc>,
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Whose session it is.
    pub user: Author,
    /// Which one.
    pub session: SessionId,
}

impl Accounts {
    /// Opens or makes the tables. Blocks: for start-up.
    pub fn open(form: Form<'_>, limits: &Limits, clock: Clock) -> Result<Self, AccountsError> {
        Self::open_beside(form, limits, clock, |given| given)
    }

    /// The same beside files that know accounts by their numbers: told which were given here, `known` says
    /// which were given at all. A file that was lost, or is an older copy, gives none of them again,
    /// for whoever had it would stand in the other one's rooms.
    pub fn open_beside(
        form: Form<'_>,
        limits: &Limits,
        clock: Clock,
        known: impl FnOnce(Numbers) -> Numbers,
    ) -> Result<Self, AccountsError> {
        let mut tables = match form {
            Form::Folder(location) => Tables::open(location)?,
            Form::Memory => Tables::in_memory()?,
        };
        let given = tables.given()?;
        let known = given.or(known(given));
        if known != given {
            tables.give_above(known)?;
        }
        let addresses = Arc::new(Addresses::default());
        let (gone, leaving) = (tables.known_guests(&addresses)?, tables.leaving()?);
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let cache = Arc::new(Cache::default());
        let watch = Arc::new(OnceLock::new());
        let keeper = Keeper::new(tables, limits, Arc::clone(&cache), Arc::clone(&watch));
        let thread = std::thread::Builder::new()
            .name("accounts".into())
            .spawn(move || keeper.run(queue))
            .map_err(|error| AccountsError::io("start the thread of the accounts", &error))?;
        let looked_at = AtomicI64::new(i64::MIN);
        let (jobs, thread, given) = (Some(jobs), Some(thread), given::Given::default());
        Ok(Self { jobs, cache, watch, addresses, given, gone, leaving, clock, looked_at, thread })
    }

    /// Names those who must hear of ended sessions and failed syncs; once, at start-up.
    pub fn watch(&self, watch: Arc<dyn Watch>) {
        assert!(self.watch.set(watch).is_ok(), "the accounts are watched once");
    }

    /// Whether another process (`throng admin`) has written since the last time; then the sessions
    /// that have connections here, as `live` tells them, are looked up, and those that were ended
    /// are told to the watch. One caller at a time.
    pub async fn look_outside(
        &self,
        live: impl FnOnce() -> Vec<SessionId>,
    ) -> Result<(), Rejection> {
        let version = self.ask(|reply| Job::Version { reply }).await?;
        if self.looked_at.load(Ordering::Relaxed) == version {
            return Ok(());
        }
        // First: who binds a connection while the list is made sees this move, and asks again.
        self.cache.ended_elsewhere();
        for sessions in live().chunks(RECHECK_MAX) {
            let sessions = sessions.to_vec();
            self.ask(|reply| Job::Recheck { sessions, reply }).await?;
        }
        self.looked_at.store(version, Ordering::Relaxed);
        Ok(())
    }

    /// How many sessions were ended so far. One who authenticates and then registers a connection
    /// reads it before and after: when it has moved, the session may have ended in between, and is
    /// to be authenticated again.
    pub fn endings(&self) -> u64 {
        self.cache.endings()
    }

    /// Guests that were gone when the server started.
    pub fn gone_before(&self) -> &[UserId] {
        &self.gone
    }

    /// The account or the guest of that name, in whatever case.
    pub async fn find(&self, name: &Username) -> Result<Option<Found>, Rejection> {
        let folded = name.fold();
        self.ask(|reply| Job::Find { folded, reply }).await
    }

    /// The account or the guest of that number.
    pub async fn known(&self, user: UserId) -> Result<Option<Author>, Rejection> {
        let known: Option<Author> = self.ask(|reply| Job::Known { user, reply }).await?;
        if known.is_some() {
            self.given.note(user);
        }
        Ok(known)
    }

    /// Whether this number was given to somebody, as far as is known without looking.
    pub fn was_given(&self, user: UserId) -> bool {
        self.given.has(user)
    }

    /// Makes an account and its first session; with a link, uses that, and does what it is good for.
    pub async fn register(
        &self,
        name: Username,
        phc: Phc,
        token: TokenHash,
        link: Option<(TokenHash, LinkKind)>,
    ) -> Result<Authenticated, Rejection> {
        let at = self.clock.wall();
        self.ask(|reply| Job::Register { name, phc, token, link, at, reply }).await
    }

    /// Makes a session. Beyond the account's bound the one used longest ago is ended.
    pub async fn begin_session(
        &self,
        user: Author,
        token: TokenHash,
    ) -> Result<Authenticated, Rejection> {
        let at = self.clock.wall();
        self.ask(|reply| Job::Begin { user, token, at, reply }).await
    }

    /// What a token stands for, or `BadToken`. For one who asks once and then holds a connection.
    pub async fn authenticate(&self, token: TokenHash) -> Result<Authenticated, Rejection> {
        self.look_up(token, false).await
    }

    /// The same for one who brings its token with every request: the answer is remembered a while.
    pub async fn authenticate_often(&self, token: TokenHash) -> Result<Authenticated, Rejection> {
        match self.cache.get(&token, self.clock.now()) {
            Some(known) => Ok(known),
            None => self.look_up(token, true).await,
        }
    }

    async fn look_up(&self, token: TokenHash, keep: bool) -> Result<Authenticated, Rejection> {
        let at = self.clock.wall();
        let keep = keep.then(|| self.clock.now());
        self.ask(|reply| Job::Authenticate { token, at, keep, reply }).await
    }

    /// Ends a session: when this returns its token is refused everywhere and its connections are
    /// closed. Ending it twice is harmless.
    pub async fn end_session(&self, session: SessionId) -> Result<(), Rejection> {
        let at = self.clock.wall();
        self.ask(|reply| Job::End { session, at, reply }).await
    }

    /// Keeps a hash of newer parameters in place of the old one. Lost when it cannot be written: the
    /// next login brings it again.
    pub async fn renew(&self, user: UserId, old: Phc, new: Phc) -> Result<(), Rejection> {
        self.ask(|reply| Job::Renew { user, old, new, reply }).await
    }

    /// Waits for a place in the queue, then for the answer.
    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Rejection>>) -> Job,
    ) -> Result<T, Rejection> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(Rejection::Unavailable)?;
        jobs.send(job(reply)).await.map_err(|_| Rejection::Unavailable)?;
        answer.await.unwrap_or(Err(Rejection::Unavailable))
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// Trouble with the accounts: for the operator. Clients see `unavailable`.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The disk or the quota is full.
    #[error("cannot write the accounts: no space left; free some, sign-ups are refused until then")]
    Full,
    /// The folder or the file may not be written.
    #[error("cannot write the accounts in {path}: {cause}; give the server's user leave to write")]
    ReadOnly {
        /// Which file.
        path: String,
        /// What the layer below said.
        cause: String,
    },
    /// The file is not what it should be.
    #[error("the accounts in {path} are corrupt: {cause}; restore a backup")]
    Corrupt {
        /// Which file.
        path: String,
        /// What was found.
        cause: String,
    },
    /// A newer version wrote the file.
    #[error("the accounts in {path} were written by a newer version ({version}); use that one")]
    TooNew {
        /// Which file.
        path: String,
        /// Its version.
        version: i64,
    },
    /// A sync failed: what is on disk is unknown.
    #[error("cannot sync the accounts: {0}; ending, so that recovery trusts only what is on disk")]
    SyncFailed(String),
    /// Anything else.
    #[error("cannot {attempted}: {cause}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// What the layer below said.
        cause: String,
    },
}

impl AccountsError {
    fn io(attempted: &'static str, cause: &dyn fmt::Display) -> Self {
        Self::Io { attempted, cause: cause.to_string() }
    }
}

#[cfg(test)]
mod tests;
