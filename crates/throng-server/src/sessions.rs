//! Which connections are open, and which session and account each of them speaks for.
//!
//! Neighbours: a connection enters itself and leaves; the fan-out asks for an account's connections,
//! logging out ends a session's, stopping ends all. Holds what all connections of an account share:
//! the rate of its sends. It never reads or writes a socket.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throng_core::session::{Gcra, Identity, Rate};
use throng_core::{Disconnect, Limits, Rejection, SessionId, UserId};

use crate::clock::Moment;
use crate::outbox::{ConnectionId, Outbox};

/// Locks; each guards the accounts and the connections whose number falls to it.
const STRIPES: usize = 16;

/// The open connections.
#[derive(Debug)]
pub struct Sessions {
    open: [Mutex<HashMap<ConnectionId, Arc<Outbox>>>; STRIPES],
    accounts: [Mutex<HashMap<UserId, Account>>; STRIPES],
    /// Whose session it is, while it has a connection.
    users: Mutex<HashMap<SessionId, UserId>>,
    next: AtomicU64,
    sends: Rate,
    connections_per_user: usize,
}

#[derive(Debug, Default)]
struct Account {
    sends: Gcra,
    connections: Vec<(SessionId, Arc<Outbox>)>,
}

impl Sessions {
    /// No connection yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            open: std::array::from_fn(|_| Mutex::default()),
            accounts: std::array::from_fn(|_| Mutex::default()),
            users: Mutex::default(),
            next: AtomicU64::new(1),
            sends: Rate::sends(limits),
            connections_per_user: limits.connections_per_user as usize,
        }
    }

    /// A name for the next connection.
    pub fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A connection is open.
    pub fn enter(&self, outbox: &Arc<Outbox>) {
        self.open(outbox.id).insert(outbox.id, Arc::clone(outbox));
    }

    /// It speaks for an account from now on, unless that has too many already.
    pub fn bind(&self, outbox: &Arc<Outbox>, identity: &Identity) -> Result<(), Disconnect> {
        let mut accounts = self.account(identity.user.id);
        let account = accounts.entry(identity.user.id).or_default();
        if account.connections.len() >= self.connections_per_user {
            return Err(Disconnect::TooManyConnections);
        }
        outbox.speaks_for(identity.user.id);
        account.connections.reserve_exact(1);
        account.connections.push((identity.session, Arc::clone(outbox)));
        lock(&self.users).insert(identity.session, identity.user.id);
        Ok(())
    }

    /// It is closed.
    pub fn leave(&self, id: ConnectionId, identity: Option<&Identity>, now: Moment) {
        self.open(id).remove(&id);
        let Some(identity) = identity else { return };
        let mut accounts = self.account(identity.user.id);
        let Some(account) = accounts.get_mut(&identity.user.id) else { return };
        account.connections.retain(|(_, outbox)| outbox.id != id);
        if account.connections.iter().all(|(session, _)| *session != identity.session) {
            lock(&self.users).remove(&identity.session);
        }
        if account.connections.is_empty() && account.sends.is_idle(now.millis()) {
            accounts.remove(&identity.user.id);
        }
    }

    /// Takes one send of the account's rate, or says when to try again.
    pub fn permit_send(&self, user: UserId, now: Moment) -> Result<(), Rejection> {
        self.account(user).entry(user).or_default().sends.take(self.sends, now.millis())
    }

    /// Ends the connections of a session that was logged out. They read no more from here on.
    pub fn end(&self, session: SessionId) {
        let Some(user) = lock(&self.users).get(&session).copied() else { return };
        let of_session = |account: &Account| {
            let mine = account.connections.iter().filter(|(of, _)| *of == session);
            mine.map(|(_, outbox)| Arc::clone(outbox)).collect::<Vec<_>>()
        };
        let outboxes = self.account(user).get(&user).map(of_session).unwrap_or_default();
        for outbox in outboxes {
            outbox.end(Disconnect::SessionEnded, 0);
        }
    }

    /// The sessions that have a connection.
    pub fn live(&self) -> Vec<SessionId> {
        lock(&self.users).keys().copied().collect()
    }

    /// An account's connections.
    pub fn of(&self, user: UserId) -> Vec<Arc<Outbox>> {
        let accounts = self.account(user);
        let connections = accounts.get(&user).map(|account| &account.connections);
        connections.into_iter().flatten().map(|(_, outbox)| Arc::clone(outbox)).collect()
    }

    /// Wakes the connections whose deadline has passed, and forgets the rates of accounts that have
    /// been quiet.
    pub fn sweep(&self, now: Moment) {
        for stripe in &self.open {
            for outbox in lock(stripe).values() {
                outbox.expire(now);
            }
        }
        for stripe in &self.accounts {
            lock(stripe).retain(|_, account| {
                !account.connections.is_empty() || !account.sends.is_idle(now.millis())
            });
        }
    }

    /// Tells every connection that the server is stopping.
    pub fn drain(&self) {
        for stripe in &self.open {
            for outbox in lock(stripe).values() {
                outbox.drain();
            }
        }
    }

    /// Open connections.
    pub fn len(&self) -> usize {
        self.open.iter().map(|stripe| lock(stripe).len()).sum()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn open(&self, id: ConnectionId) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Outbox>>> {
        lock(&self.open[id.0 as usize % STRIPES])
    }

    fn account(&self, user: UserId) -> MutexGuard<'_, HashMap<UserId, Account>> {
        lock(&self.accounts[user.get() as usize % STRIPES])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section leaves the maps whole at every point where it could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
