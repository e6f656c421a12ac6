//! The one thread that reads and writes the accounts. What waits together is done together: all
//! reads, then all writes in one transaction with one sync, then the answers. A storm of sign-ups
//! costs a sync a batch, not one each.
//!
//! Neighbours: `Accounts` sends jobs, `Tables` does them. An answer is given after the commit, never
//! before; when the commit fails everyone in it hears *unavailable* and nothing was done.

use std::sync::{Arc, OnceLock};

use throng_core::{Author, Limits, Rejection, SessionId, Timestamp, UserId, Username};
use tokio::sync::{mpsc, oneshot};

use super::cache::Cache;
use super::links::LinkKind;
use super::tables::{Ended, Refusal, Tables, Writes};
use super::{AccountsError, Authenticated, Found, Watch};
use crate::auth::password::Phc;
use crate::auth::token::TokenHash;
use crate::clock::Moment;

/// Jobs of one batch: bounds how long a read waits for the writes before it.
const BATCH_MAX: usize = 512;

/// Sessions whose `last_used` waits to be written; beyond it the newest are left out, which only
/// makes a session look older than it is.
const TOUCHED_MAX: usize = 4_096;

/// How many of them make a transaction of their own, when nothing else is written.
const TOUCHED_ENOUGH: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, Rejection>>;

/// What is asked of the thread.
pub enum Job {
    Find {
        folded: String,
        reply: Reply<Option<Found>>,
    },
    Known {
        user: UserId,
        reply: Reply<Option<Author>>,
    },
    Authenticate {
        token: TokenHash,
        at: Timestamp,
        /// Remember the answer as of this moment.
        keep: Option<Moment>,
        reply: Reply<Authenticated>,
    },
    /// The version of what other processes have written.
    Version {
        reply: Reply<i64>,
    },
    /// Another process has written: those of these sessions that it ended are to be closed.
    Recheck {
        sessions: Vec<SessionId>,
        reply: Reply<()>,
    },
    Register {
        name: Username,
        phc: Phc,
        token: TokenHash,
        /// To be used for it.
        link: Option<(TokenHash, LinkKind)>,
        at: Timestamp,
        reply: Reply<Authenticated>,
    },
    Begin {
        user: Author,
        token: TokenHash,
        at: Timestamp,
        reply: Reply<Authenticated>,
    },
    End {
        session: SessionId,
        at: Timestamp,
        reply: Reply<()>,
    },
    Renew {
        user: UserId,
        old: Phc,
        new: Phc,
        reply: Reply<()>,
    },
    /// Another read, which answers by itself; `Err` is for the operator.
    Look {
        look: Box<Look>,
    },
    /// Another write.
    Change {
        change: Box<Change>,
    },
}

pub type Look = dyn FnOnce(&Tables) -> Result<(), AccountsError> + Send;
pub type Change = dyn FnOnce(&Writes<'_>, &mut Ended) -> rusqlite::Result<Answer> + Send;

impl Job {
    /// Whether it may be passed over: nobody would learn of the session it begins.
    fn asker_has_gone(&self) -> bool {
        match self {
            Self::Register { reply, .. } | Self::Begin { reply, .. } => reply.is_closed(),
            _ => false,
        }
    }
}

/// An answer that waits for the commit.
pub type Answer = Box<dyn FnOnce(Result<(), Rejection>)>;

/// The state of the thread.
#[derive(Debug)]
pub struct Keeper {
    tables: Tables,
    cache: Arc<Cache>,
    watch: Arc<OnceLock<Arc<dyn Watch>>>,
    touched: Vec<(SessionId, Timestamp)>,
    users_max: u64,
    sessions_max: u32,
    /// After a failed sync nothing more is written.
    failed: bool,
}

impl Keeper {
    pub fn new(
        tables: Tables,
        limits: &Limits,
        cache: Arc<Cache>,
        watch: Arc<OnceLock<Arc<dyn Watch>>>,
    ) -> Self {
        Self {
            tables,
            cache,
            watch,
            touched: Vec::new(),
            users_max: limits.users_max,
            sessions_max: limits.sessions_per_user_max,
            failed: false,
        }
    }

    /// Until the last sender is gone.
    pub fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let mut writes = Vec::new();
            for job in batch.drain(..) {
                self.read_or_keep(job, &mut writes);
            }
            if !writes.is_empty() || self.touched.len() >= TOUCHED_ENOUGH {
                self.write(writes);
            }
        }
        if !self.touched.is_empty() {
            self.write(Vec::new());
        }
    }

    /// Answers a read; a write is kept for the batch's transaction. One whose asker has gone is not
    /// begun, but an ending is always carried out.
    fn read_or_keep(&mut self, job: Job, writes: &mut Vec<Job>) {
        match job {
            Job::Find { folded, reply } => {
                let found = self.tables.find(&folded).map_err(|error| self.trouble(&error));
                drop(reply.send(found));
            }
            Job::Known { user, reply } => {
                let known = self.tables.known(user).map_err(|error| self.trouble(&error));
                drop(reply.send(known));
            }
            Job::Authenticate { token, at, keep, reply } => {
                drop(reply.send(self.authenticate(token, at, keep)));
            }
            Job::Version { reply } => {
                let version = self.tables.version().map_err(|error| self.trouble(&error));
                _ = reply.send(version);
            }
            Job::Recheck { sessions, reply } => drop(reply.send(self.recheck(&sessions))),
            Job::Look { look } => {
                if let Err(error) = look(&self.tables) {
                    self.trouble(&error);
                }
            }
            write => {
                if !write.asker_has_gone() {
                    writes.push(write);
                }
            }
        }
    }

    fn authenticate(
        &mut self,
        token: TokenHash,
        at: Timestamp,
        keep: Option<Moment>,
    ) -> Result<Authenticated, Rejection> {
        let found = self.tables.session(&token, at).map_err(|error| self.trouble(&error))?;
        let found = found.ok_or(Rejection::BadToken)?;
        if found.used_long_ago && self.touched.len() < TOUCHED_MAX {
            self.touched.push((found.known.session, at));
        }
        if let Some(now) = keep {
            self.cache.put(token, found.known.clone(), now);
        }
        Ok(found.known)
    }

    /// The tokens of what another process ended are in the cache until they are old.
    fn recheck(&mut self, sessions: &[SessionId]) -> Result<(), Rejection> {
        let gone = self.tables.gone(sessions).map_err(|error| self.trouble(&error))?;
        if let Some(watch) = self.watch.get() {
            for session in gone {
                watch.session_ended(session);
            }
        }
        Ok(())
    }

    /// One transaction for all of it, then the answers.
    fn write(&mut self, jobs: Vec<Job>) {
        let touched = std::mem::take(&mut self.touched);
        let (users_max, sessions_max) = (self.users_max, self.sessions_max);
        let mut answers: Vec<Answer> = Vec::with_capacity(jobs.len());
        let mut ended = Ended::new();
        let committed = if self.failed {
            Err(Rejection::Unavailable)
        } else {
            let work = |writes: &Writes<'_>| {
                for (session, at) in &touched {
                    writes.touch(*session, *at)?;
                }
                let bounds = Bounds { users_max, sessions_max };
                jobs.into_iter().try_for_each(|job| {
                    answers.push(carry_out(job, writes, bounds, &mut ended)?);
                    Ok(())
                })
            };
            self.tables.write(work).map_err(|error| self.trouble(&error))
        };
        if committed.is_ok() {
            self.tell_ended(&ended);
        }
        for answer in answers {
            answer(committed);
        }
    }

    /// Before the answers: one who hears that the session ended must find it ended everywhere.
    fn tell_ended(&self, ended: &Ended) {
        for (session, token) in ended {
            self.cache.end(token);
            if let Some(watch) = self.watch.get() {
                watch.session_ended(*session);
            }
        }
    }

    fn trouble(&mut self, error: &AccountsError) -> Rejection {
        tracing::error!(%error, "the accounts refuse what they are asked");
        let failed = matches!(error, AccountsError::SyncFailed(_));
        if failed
            && !std::mem::replace(&mut self.failed, true)
            && let Some(watch) = self.watch.get()
        {
            watch.sync_failed(error);
        }
        Rejection::Unavailable
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    users_max: u64,
    sessions_max: u32,
}

/// Does one write within the transaction, and says how its asker is to be answered after it.
fn carry_out(
    job: Job,
    writes: &Writes<'_>,
    bounds: Bounds,
    ended: &mut Ended,
) -> rusqlite::Result<Answer> {
    match job {
        Job::Register { name, phc, token, link, at, reply } => {
            if let Some((link, kind)) = link
                && !writes.is_good(&link, kind, at)?
            {
                return Ok(after_commit(reply, Err(Rejection::BadLink)));
            }
            let made = match writes.add_user(&name, Some(&phc), at, bounds.users_max)? {
                Ok(id) => {
                    let session = writes.add_session(id, &token, at)?;
                    if let Some((link, kind)) = link {
                        writes.use_link(&link, kind, at)?;
                        if kind == LinkKind::Administrator {
                            writes.make_administrator(id)?;
                        }
                    }
                    Ok(Authenticated { user: Author { id, name }, session })
                }
                Err(Refusal::Taken) => Err(Rejection::UsernameTaken),
                Err(Refusal::Full) => Err(Rejection::LimitReached),
            };
            Ok(after_commit(reply, made))
        }
        Job::Begin { user, token, at, reply } => {
            let session = writes.add_session(user.id, &token, at)?;
            ended.extend(writes.end_oldest(user.id, bounds.sessions_max, session)?);
            Ok(after_commit(reply, Ok(Authenticated { user, session })))
        }
        Job::End { session, at, reply } => {
            ended.extend(writes.end(session, at)?);
            Ok(after_commit(reply, Ok(())))
        }
        Job::Renew { user, old, new, reply } => {
            writes.renew(user, &old, &new)?;
            Ok(after_commit(reply, Ok(())))
        }
        Job::Change { change } => change(writes, ended),
        Job::Look { .. }
        | Job::Find { .. }
        | Job::Known { .. }
        | Job::Authenticate { .. }
        | Job::Version { .. }
        | Job::Recheck { .. } => {
            unreachable!("reads are answered before")
        }
    }
}

pub fn after_commit<T: 'static>(reply: Reply<T>, outcome: Result<T, Rejection>) -> Answer {
    // One who has gone needs no answer.
    Box::new(move |committed| drop(reply.send(committed.and(outcome))))
}
