//! Those without an account: a name, a token and an end, in a table of their own, and from which
//! addresses they came.
//!
//! Neighbours: `auth` lets them in; `app` takes those whose time is over out of their rooms and says
//! when that is done; `thread.rs` carries out what is asked here among its other writes. What was
//! decided of a guest in a room is the room's to keep: here is only which guests come from one place.
//!
//! A guest is *here* (it has a token), then *going* (it has none, and is still in rooms), then *gone*
//! (its name and address are remembered), then forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{OptionalExtension as _, params};
use throng_core::id::GUESTS_FROM;
use throng_core::limits::GUEST_REMEMBERED_HOURS;
use throng_core::{Author, Rejection, SessionId, Timestamp, UserId, Username};

use super::tables::{Ended, Tables, Writes, author, explain, number};
use super::{Accounts, AccountsError, Authenticated};
use crate::address::AddressKey;
use crate::auth::token::TokenHash;

/// What makes version 3 of version 2. `gone`: it has left all its rooms.
pub(super) const STEP_3: &str = "
    CREATE TABLE guests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        token BLOB UNIQUE,
        address BLOB NOT NULL,
        began_at INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        gone INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX guests_by_end ON guests (gone, ends_at);
";

/// Guests that are taken out, or forgotten, in one go; the next one follows soon.
const SWEEP_MAX: usize = 64;

/// One who wants to look in.
#[derive(Debug)]
pub struct Newcomer {
    /// What it may be called, the best first.
    pub names: Vec<Username>,
    /// Its token.
    pub token: TokenHash,
    /// Where it comes from.
    pub address: AddressKey,
    /// How long it may stay.
    pub lasts_ms: u64,
    /// How many there may be.
    pub guests_max: u32,
}

/// Which guests came from where. As many as the table has rows.
#[derive(Debug, Default)]
pub struct Addresses(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    of: HashMap<UserId, AddressKey>,
    /// Those that are here, and those of whom a room keeps something: a room that banned one of them
    /// is looked for among these, so that they are few.
    at: HashMap<AddressKey, Vec<UserId>>,
    /// Of whom a ban was asked for; it may be on its way to its room still.
    judged: HashSet<UserId>,
}

impl Addresses {
    /// No guest is here, and none is remembered.
    pub fn is_empty(&self) -> bool {
        self.lock().of.is_empty()
    }

    /// The others that came from where this one came from.
    pub fn others(&self, guest: UserId) -> Vec<UserId> {
        let known = self.lock();
        let at = known.of.get(&guest).and_then(|address| known.at.get(address));
        at.map_or_else(Vec::new, |all| all.iter().copied().filter(|one| *one != guest).collect())
    }

    /// A room keeps, or is about to keep, something of it.
    pub fn judged(&self, guest: UserId) {
        let mut known = self.lock();
        if let Some(address) = known.of.get(&guest).copied() {
            known.judged.insert(guest);
            let at = known.at.entry(address).or_default();
            if !at.contains(&guest) {
                at.push(guest);
            }
        }
    }

    /// Of those that are gone, only these are looked for among those of one place.
    pub fn gone(&self, is_judged: impl Fn(UserId) -> bool, guests: &[UserId]) {
        let mut known = self.lock();
        for guest in guests.iter().filter(|guest| !is_judged(**guest)) {
            if !known.judged.contains(guest) {
                known.leave(*guest);
            }
        }
    }

    fn came(&self, guest: UserId, address: AddressKey) {
        let mut known = self.lock();
        known.leave(guest);
        known.of.insert(guest, address);
        known.at.entry(address).or_default().push(guest);
    }

    fn forget(&self, guest: UserId) {
        let mut known = self.lock();
        known.leave(guest);
        known.judged.remove(&guest);
        known.of.remove(&guest);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn leave(&mut self, guest: UserId) {
        let Some(address) = self.of.get(&guest) else { return };
        if let Some(at) = self.at.get_mut(address) {
            at.retain(|one| *one != guest);
            if at.is_empty() {
                self.at.remove(address);
            }
        }
    }
}

impl Accounts {
    /// Which guests came from where.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The guests that are here and come from where this one came from.
    pub async fn guests_beside(&self, guest: UserId) -> Result<Vec<Author>, Rejection> {
        let others = self.addresses.others(guest);
        if others.is_empty() {
            return Ok(Vec::new());
        }
        self.look(move |tables| {
            let known = others.iter().map(|other| tables.known(*other));
            known.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Lets a guest in, under the first of its names that is free.
    pub async fn enter(&self, newcomer: Newcomer) -> Result<Authenticated, Rejection> {
        let now = self.clock.wall();
        let addresses = Arc::clone(&self.addresses);
        self.change(move |writes, _| {
            Ok(writes.add_guest(&newcomer, now)?.inspect(|made| {
                // If the commit fails, the next guest has this number, and takes this place.
                addresses.came(made.user.id, newcomer.address);
            }))
        })
        .await
    }

    /// Ends those whose time is over; those that are to be taken out of their rooms, some of them.
    pub async fn guests_going(&self) -> Result<Vec<Author>, Rejection> {
        let now = self.clock.wall();
        let going = self.look(move |tables| tables.guests(GOING, now)).await?;
        if going.is_empty() {
            return Ok(going);
        }
        let guests = going.clone();
        self.change(move |writes, ended| {
            for guest in &guests {
                ended.extend(writes.end_guest(guest.id, now)?);
            }
            Ok(Ok(going))
        })
        .await
    }

    /// It has left all its rooms. Those that are remembered too long, or are too many, are to be
    /// forgotten: `guests_to_forget`.
    pub async fn guest_is_gone(&self, guest: UserId) -> Result<(), Rejection> {
        self.change(move |writes, _| writes.set_gone(guest).map(Ok)).await
    }

    /// Those that need not be remembered any longer, or are more than may be, some of them.
    pub async fn guests_to_forget(&self, remembered_max: usize) -> Result<Vec<Author>, Rejection> {
        let remembered = u64::from(GUEST_REMEMBERED_HOURS) * 3_600_000;
        let before = Timestamp(self.clock.wall().0.saturating_sub(remembered));
        self.look(move |tables| {
            let over = tables.guests_gone()?.saturating_sub(remembered_max as u64);
            let before = if over > 0 { Timestamp(i64::MAX as u64) } else { before };
            let mut guests = tables.guests(GONE, before)?;
            if over > 0 {
                guests.truncate(usize::try_from(over).unwrap_or(SWEEP_MAX));
            }
            Ok(guests)
        })
        .await
    }

    /// Its name is free.
    pub async fn forget_guest(&self, guest: UserId) -> Result<(), Rejection> {
        self.change(move |writes, _| writes.forget_guest(guest).map(Ok)).await?;
        self.addresses.forget(guest);
        Ok(())
    }
}

/// Not gone, and over by a time; gone, and over by it.
const GOING: &str = "SELECT id, name FROM guests WHERE gone = 0 AND ends_at <= ?1
                     ORDER BY ends_at LIMIT ?2";
const GONE: &str = "SELECT id, name FROM guests WHERE gone = 1 AND ends_at <= ?1
                    ORDER BY ends_at LIMIT ?2";

impl Tables {
    fn guests(&self, sql: &str, at: Timestamp) -> Result<Vec<Author>, AccountsError> {
        let find = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let row = params![at.0 as i64, SWEEP_MAX as i64];
            let rows = statement.query_map(row, guest)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        find().map_err(|error| explain(&error, &self.path))
    }

    fn guests_gone(&self) -> Result<u64, AccountsError> {
        let count = || {
            let sql = "SELECT count(*) FROM guests WHERE gone = 1";
            self.connection.prepare_cached(sql)?.query_row([], |row| number(row, 0))
        };
        count().map_err(|error| explain(&error, &self.path))
    }

    /// The guest of that token, while its time lasts.
    pub(super) fn guest_of(
        &self,
        token: &TokenHash,
        at: Timestamp,
    ) -> rusqlite::Result<Option<Authenticated>> {
        let sql = "SELECT id, name FROM guests WHERE token = ?1 AND ends_at > ?2";
        let row = params![token.0.as_slice(), at.0 as i64];
        let user = self.connection.prepare_cached(sql)?.query_row(row, guest).optional()?;
        Ok(user.map(|user| Authenticated { session: SessionId(user.id.get()), user }))
    }

    /// The guest of that folded name, gone ones too.
    pub(super) fn guest_named(&self, folded: &str) -> rusqlite::Result<Option<Author>> {
        let sql = "SELECT id, name FROM guests WHERE folded = ?1";
        self.connection.prepare_cached(sql)?.query_row([folded], guest).optional()
    }

    /// The guest of that number, gone ones too.
    pub(super) fn guest_numbered(&self, user: UserId) -> rusqlite::Result<Option<Author>> {
        let sql = "SELECT id, name FROM guests WHERE id = ?1";
        self.connection.prepare_cached(sql)?.query_row([row_of(user)], guest).optional()
    }

    /// When a guest began, if it is here.
    pub(super) fn guest_began(&self, user: UserId) -> rusqlite::Result<Option<Timestamp>> {
        let sql = "SELECT began_at FROM guests WHERE id = ?1 AND token IS NOT NULL";
        let began = |row: &rusqlite::Row<'_>| number(row, 0).map(Timestamp);
        self.connection.prepare_cached(sql)?.query_row([row_of(user)], began).optional()
    }

    /// Start-up: all of them with their addresses; those that are gone.
    pub(super) fn known_guests(&self, addresses: &Addresses) -> Result<Vec<UserId>, AccountsError> {
        let read = || {
            let mut gone = Vec::new();
            let sql = "SELECT id, address, gone FROM guests";
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let guest = id_of(row, 0)?;
                addresses.came(guest, AddressKey::from_bytes(row.get(1)?));
                if row.get(2)? {
                    gone.push(guest);
                }
            }
            Ok(gone)
        };
        read().map_err(|error| explain(&error, &self.path))
    }
}

impl Writes<'_> {
    /// Whether a guest has this name, or had it not long ago.
    pub(super) fn is_guests_name(&self, folded: &str) -> rusqlite::Result<bool> {
        self.0.prepare_cached("SELECT 1 FROM guests WHERE folded = ?1")?.exists([folded])
    }

    fn add_guest(
        &self,
        newcomer: &Newcomer,
        now: Timestamp,
    ) -> rusqlite::Result<Result<Authenticated, Rejection>> {
        let Newcomer { names, token, address, lasts_ms, guests_max } = newcomer;
        let sql = "SELECT count(*) FROM guests WHERE gone = 0";
        let here = self.0.prepare_cached(sql)?.query_row([], |row| number(row, 0))?;
        if here >= u64::from(*guests_max) {
            return Ok(Err(Rejection::LimitReached));
        }
        for name in names {
            let folded = name.fold();
            let accounts = "SELECT 1 FROM users WHERE folded = ?1";
            if self.0.prepare_cached(accounts)?.exists([&folded])?
                || self.is_guests_name(&folded)?
                || self.was_somebodys(&folded)?
            {
                continue;
            }
            let sql = "INSERT INTO guests (name, folded, token, address, began_at, ends_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id, name";
            let (token, address) = (token.0.as_slice(), address.to_bytes());
            let (began, ends) = (now.0 as i64, now.0.saturating_add(*lasts_ms) as i64);
            let row = params![name.as_str(), folded, token, address, began, ends];
            let user = self.0.prepare_cached(sql)?.query_row(row, guest)?;
            return Ok(Ok(Authenticated { session: SessionId(user.id.get()), user }));
        }
        Ok(Err(Rejection::UsernameTaken))
    }

    /// Ends a guest's session, if it has one: its time is over now.
    pub(super) fn end_guest(&self, user: UserId, now: Timestamp) -> rusqlite::Result<Ended> {
        let sql = "SELECT token FROM guests WHERE id = ?1 AND token IS NOT NULL";
        let mut select = self.0.prepare_cached(sql)?;
        let token = select.query_row([row_of(user)], |row| row.get(0)).optional()?;
        let Some(token) = token else { return Ok(Ended::new()) };
        let sql = "UPDATE guests SET token = NULL, ends_at = min(ends_at, ?2) WHERE id = ?1";
        self.0.prepare_cached(sql)?.execute(params![row_of(user), now.0 as i64])?;
        Ok(vec![(SessionId(user.get()), TokenHash(token))])
    }

    /// The same of the guest of this folded name: how many sessions that were; `None` for no such guest.
    pub(super) fn end_guest_named(
        &self,
        folded: &str,
        now: Timestamp,
    ) -> rusqlite::Result<Option<usize>> {
        let sql = "SELECT id, name FROM guests WHERE folded = ?1 AND gone = 0";
        let found = self.0.prepare_cached(sql)?.query_row([folded], guest).optional()?;
        found.map(|guest| Ok(self.end_guest(guest.id, now)?.len())).transpose()
    }

    fn set_gone(&self, user: UserId) -> rusqlite::Result<()> {
        let sql = "UPDATE guests SET gone = 1 WHERE id = ?1 AND token IS NULL";
        self.0.prepare_cached(sql)?.execute([row_of(user)]).map(drop)
    }

    fn forget_guest(&self, user: UserId) -> rusqlite::Result<()> {
        let sql = "DELETE FROM guests WHERE id = ?1 AND gone = 1";
        self.0.prepare_cached(sql)?.execute([row_of(user)]).map(drop)
    }
}

/// The guest whose session this is, if it is a guest's: each has one, of its own number.
pub(super) fn guest_of_session(session: SessionId) -> Option<UserId> {
    UserId::new(session.0).filter(|user| user.is_guest())
}

/// Rows are numbered from 1.
fn row_of(user: UserId) -> i64 {
    user.get().saturating_sub(GUESTS_FROM) as i64
}

fn id_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    let id = number(row, column)?.checked_add(GUESTS_FROM).and_then(UserId::new);
    id.ok_or(rusqlite::Error::IntegralValueOutOfRange(column, 0))
}

fn guest(row: &rusqlite::Row<'_>) -> rusqlite::Result<Author> {
    Ok(Author { id: id_of(row, 0)?, ..author(row, 0)? })
}
