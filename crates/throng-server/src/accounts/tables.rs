//! The tables of accounts and sessions and what can be asked of them, in SQLite.
//!
//! Neighbours: `thread.rs` and `bulk.rs` open transactions around these calls. Nothing here waits
//! for a client, and nothing else in the server knows these tables.

use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params,
};
use throng_core::{Author, SessionId, Timestamp, UserId, Username};

use super::guests::{STEP_3, guest_of_session};
use super::leaving::{STEP_4, STEP_5};
use super::life::SessionInfo;
use super::{AccountsError, Authenticated, FILE, Found, Location};
use crate::auth::password::Phc;
use crate::auth::token::{Token, TokenHash};
use crate::sqlite::{never_checkpoint_again, set_wal};

/// Version of the tables, in `user_version`.
const VERSION: i64 = 5;

/// Whether each table has a row, which reads the first of each and no more.
const FIRST_ROWS: &str = "
    SELECT EXISTS (SELECT 1 FROM users), EXISTS (SELECT 1 FROM sessions),
           EXISTS (SELECT 1 FROM links), EXISTS (SELECT 1 FROM guests),
           EXISTS (SELECT 1 FROM leaving), EXISTS (SELECT 1 FROM gone), EXISTS (SELECT 1 FROM going)";

/// "ThrA": so that another program's file is not taken for ours. Version 1 did not have it.
const APPLICATION_ID: i32 = 0x5468_7241;

/// How long a write waits for another process's write (`throng admin` commits some thousand rows at
/// a time, tens of milliseconds).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages of the journal at which a checkpoint is due: 1 MiB, because a large sync anywhere on the disk
/// holds up the log.
const CHECKPOINT_PAGES: u64 = 256;

/// While checkpoints fail the journal grows; beyond this many times what makes one due nothing more
/// is written.
const CHECKPOINTS_MISSED_MAX: u64 = 64;

/// `last_used` is written when it is older than this, so that authenticating costs no sync.
const LAST_USED_PRECISION_MS: u64 = 60 * 60 * 1_000;

/// `AUTOINCREMENT`: a number is never given twice, not even after a deletion, because messages name
/// their authors by it.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        phc TEXT,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user INTEGER NOT NULL REFERENCES users (id),
        token BLOB NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        last_used INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS sessions_by_user ON sessions (user, last_used);
";

/// What makes version 2 of version 1: links (`links.rs`), and who is an administrator (rank 1)
/// or was deleted (rank -1).
const STEP_2: &str = "
    ALTER TABLE users ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX administrators ON users (rank) WHERE rank = 1;
    CREATE TABLE links (
        token BLOB PRIMARY KEY,
        kind INTEGER NOT NULL,
        user INTEGER REFERENCES users (id),
        uses INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX links_by_user ON links (user, kind);
    CREATE INDEX links_by_kind ON links (kind, expires_at);
    CREATE INDEX links_by_expiry ON links (expires_at);
";

/// An open table file.
#[derive(Debug)]
pub struct Tables {
    pub(super) connection: Connection,
    pub(super) path: String,
    /// Estimate of the pages written to the journal since the last checkpoint…
    journal_pages: u64,
    /// …and at how many the next one is due.
    checkpoint_due: u64,
}

/// A session as authenticating finds it.
#[derive(Debug)]
pub struct FoundSession {
    /// Whose, and which.
    pub known: Authenticated,
    /// `last_used` is to be written.
    pub used_long_ago: bool,
}

/// Sessions that were ended, with what the cache knows them by.
pub type Ended = Vec<(SessionId, TokenHash)>;

/// Why a write did not happen, when the table itself is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name is in use.
    Taken,
    /// There are as many accounts as may be.
    Full,
}

impl Tables {
    /// Opens or makes the file.
    pub fn open(location: Location<'_>) -> Result<Self, AccountsError> {
        let path = location.folder.join(FILE);
        let connection = match location.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&path, OpenFlags::default(), vfs),
            None => Connection::open(&path),
        };
        let path = path.display().to_string();
        let connection = connection.map_err(|error| explain(&error, &path))?;
        Self::new(connection, path).prepare(location.fault_no_sync)
    }

    /// The same tables, kept nowhere.
    pub fn in_memory() -> Result<Self, AccountsError> {
        let path = "memory".to_owned();
        let connection = Connection::open_in_memory().map_err(|error| explain(&error, &path))?;
        Self::new(connection, path).prepare(false)
    }

    fn new(connection: Connection, path: String) -> Self {
        Self { connection, path, journal_pages: 0, checkpoint_due: CHECKPOINT_PAGES }
    }

    fn prepare(self, fault_no_sync: bool) -> Result<Self, AccountsError> {
        let set_up = || -> rusqlite::Result<(i64, String)> {
            let c = &self.connection;
            c.busy_timeout(BUSY_TIMEOUT)?;
            // SQLite keeps the old mode in silence when it cannot switch.
            let mode = set_wal(c)?;
            c.pragma_update(None, "synchronous", if fault_no_sync { "OFF" } else { "FULL" })?;
            // Checkpoints are called for by name, so that a failed one is seen.
            c.pragma_update(None, "wal_autocheckpoint", 0)?;
            c.pragma_update(None, "foreign_keys", true)?;
            // Names of those who are named no more, tokens and hashes of passwords: not left behind.
            c.pragma_update(None, "secure_delete", true)?;
            let version = bring_up_to_date(c)?;
            if version <= VERSION {
                // Touches each, so that a file without them is found out now.
                c.query_row(FIRST_ROWS, [], |_| Ok(()))?;
            }
            Ok((version, mode))
        };
        let (version, mode) = set_up().map_err(|error| explain(&error, &self.path))?;
        if !matches!(mode.as_str(), "wal" | "memory") {
            let cause = format!("the journal stays in mode {mode}");
            return Err(AccountsError::Io { attempted: "open the accounts", cause });
        }
        if version > VERSION {
            return Err(AccountsError::TooNew { path: self.path, version });
        }
        Ok(self)
    }

    /// Runs `work` as one transaction that is durable when this returns `Ok`. After a failed sync
    /// it is unknown whether it is, and nothing may be written any more.
    pub fn write<T>(
        &mut self,
        work: impl FnOnce(&Writes<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, AccountsError> {
        let written = self.checkpoint_when_due().and_then(|()| self.commit(work));
        written.map_err(|error| {
            let error = explain(&error, &self.path);
            if matches!(error, AccountsError::SyncFailed(_)) {
                never_checkpoint_again(&self.connection);
            }
            error
        })
    }

    fn commit<T>(
        &mut self,
        work: impl FnOnce(&Writes<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let before = self.connection.total_changes();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let made = work(&Writes(&transaction))?;
        transaction.commit()?;
        // Each row dirties its own page and one of an index, each commit some of the ways down.
        self.journal_pages += 4 + 2 * (self.connection.total_changes() - before);
        Ok(made)
    }

    /// Writes the journal back. Trouble other than a failed sync is met again, and said, later.
    fn checkpoint_when_due(&mut self) -> rusqlite::Result<()> {
        if self.journal_pages < self.checkpoint_due {
            return Ok(());
        }
        let done = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match done {
            Ok(()) => {
                self.journal_pages = 0;
                self.checkpoint_due = CHECKPOINT_PAGES;
                Ok(())
            }
            Err(error)
                if self.journal_pages > CHECKPOINT_PAGES * CHECKPOINTS_MISSED_MAX
                    || is_failed_sync(&error) =>
            {
                Err(error)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot checkpoint the accounts, trying again later");
                self.checkpoint_due = self.journal_pages + CHECKPOINT_PAGES;
                Ok(())
            }
        }
    }

    /// The account of that folded name.
    pub fn find(&self, folded: &str) -> Result<Option<Found>, AccountsError> {
        let find = || {
            let sql = "SELECT id, name, phc FROM users WHERE folded = ?1 AND rank >= 0";
            let mut statement = self.connection.prepare_cached(sql)?;
            let found = statement
                .query_row([folded], |row| {
                    let phc: Option<String> = row.get(2)?;
                    Ok(Found { user: author(row, 0)?, phc: phc.map(Phc::stored) })
                })
                .optional()?;
            if found.is_some() {
                return Ok(found);
            }
            Ok(self.guest_named(folded)?.map(|user| Found { user, phc: None }))
        };
        find().map_err(|error| explain(&error, &self.path))
    }

    /// The account of that number.
    pub fn known(&self, user: UserId) -> Result<Option<Author>, AccountsError> {
        let find = || {
            if user.is_guest() {
                return self.guest_numbered(user);
            }
            let sql = "SELECT id, name FROM users WHERE id = ?1 AND rank >= 0";
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_row([user.get() as i64], |row| author(row, 0)).optional()
        };
        find().map_err(|error| explain(&error, &self.path))
    }

    /// The session of that token.
    pub fn session(
        &self,
        token: &TokenHash,
        at: Timestamp,
    ) -> Result<Option<FoundSession>, AccountsError> {
        let find = || {
            let sql = "SELECT u.id, u.name, s.id, s.last_used FROM sessions s
                       JOIN users u ON u.id = s.user WHERE s.token = ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let found = statement
                .query_row([token.0.as_slice()], |row| {
                    let session = SessionId(number(row, 2)?);
                    let last_used = number(row, 3)?;
                    Ok(FoundSession {
                        known: Authenticated { user: author(row, 0)?, session },
                        used_long_ago: at.0.saturating_sub(last_used) > LAST_USED_PRECISION_MS,
                    })
                })
                .optional()?;
            if found.is_some() {
                return Ok(found);
            }
            let guest = self.guest_of(token, at)?;
            Ok(guest.map(|known| FoundSession { known, used_long_ago: false }))
        };
        find().map_err(|error| explain(&error, &self.path))
    }

    /// The account's sessions, those used last first.
    pub fn sessions_of(
        &self,
        user: UserId,
        limit: usize,
    ) -> Result<Vec<SessionInfo>, AccountsError> {
        let find = || {
            if user.is_guest() {
                let began = self.guest_began(user)?;
                let one =
                    |at| SessionInfo { session: SessionId(user.get()), began_at: at, used_at: at };
                return Ok(began.map(one).into_iter().collect());
            }
            let sql = "SELECT id, created_at, last_used FROM sessions WHERE user = ?1
                       ORDER BY last_used DESC, id DESC LIMIT ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![user.get() as i64, limit as i64], |row| {
                Ok(SessionInfo {
                    session: SessionId(number(row, 0)?),
                    began_at: Timestamp(number(row, 1)?),
                    used_at: Timestamp(number(row, 2)?),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        find().map_err(|error| explain(&error, &self.path))
    }

    /// Moves whenever another process has written, and at no write of our own.
    pub fn version(&self) -> Result<i64, AccountsError> {
        let read = || {
            let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
            statement.query_row([], |row| row.get(0))
        };
        read().map_err(|error| explain(&error, &self.path))
    }

    /// Those of the sessions that there are no longer.
    pub fn gone(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>, AccountsError> {
        let find = || {
            let mut is = self.connection.prepare_cached("SELECT 1 FROM sessions WHERE id = ?1")?;
            let mut gone = Vec::new();
            for session in sessions {
                let there = match guest_of_session(*session) {
                    Some(guest) => self.guest_began(guest)?.is_some(),
                    None => is.exists([session.0 as i64])?,
                };
                if !there {
                    gone.push(*session);
                }
            }
            Ok(gone)
        };
        find().map_err(|error| explain(&error, &self.path))
    }
}

/// An open transaction.
#[derive(Debug)]
pub struct Writes<'a>(pub(super) &'a rusqlite::Transaction<'a>);

impl Writes<'_> {
    /// Adds an account. The greatest number is their count: what is deleted goes on being counted, but
    /// for the newest.
    pub fn add_user(
        &self,
        name: &Username,
        phc: Option<&Phc>,
        at: Timestamp,
        users_max: u64,
    ) -> rusqlite::Result<Result<UserId, Refusal>> {
        let newest = self
            .0
            .prepare_cached("SELECT coalesce(max(id), 0) FROM users")?
            .query_row([], |row| number(row, 0))?;
        if newest >= users_max {
            return Ok(Err(Refusal::Full));
        }
        // Looked up first, because an insert that conflicts would use up a number.
        let taken = self
            .0
            .prepare_cached("SELECT 1 FROM users WHERE folded = ?1")?
            .exists([name.fold()])?;
        if taken || self.is_guests_name(&name.fold())? || self.was_somebodys(&name.fold())? {
            return Ok(Err(Refusal::Taken));
        }
        let sql = "INSERT INTO users (name, folded, phc, created_at) VALUES (?1, ?2, ?3, ?4)
                   RETURNING id";
        let values = params![name.as_str(), name.fold(), phc.map(Phc::as_str), at.0 as i64];
        let id = self.0.prepare_cached(sql)?.query_row(values, |row| number(row, 0))?;
        UserId::new(id).map(Ok).ok_or_else(|| not_of_an_account(0, Type::Integer))
    }

    /// Adds an account and a session for each token, and a password where there is one, named by the
    /// next free numbers after `number`. Fewer when the server is full.
    pub fn add_numbered(
        &self,
        prefix: &str,
        number: &mut u64,
        tokens: Vec<(Token, Option<Phc>)>,
        at: Timestamp,
        users_max: u64,
    ) -> rusqlite::Result<Vec<(Author, Token)>> {
        let mut made = Vec::with_capacity(tokens.len());
        let mut tokens = tokens.into_iter();
        let mut next = tokens.next();
        while let Some((token, phc)) = next.take() {
            *number += 1;
            let Ok(name) = Username::parse(&format!("{prefix}{number}")) else { break };
            match self.add_user(&name, phc.as_ref(), at, users_max)? {
                Ok(id) => {
                    self.add_session(id, &token.hash(), at)?;
                    made.push((Author { id, name }, token));
                    next = tokens.next();
                }
                Err(Refusal::Taken) => next = Some((token, phc)),
                Err(Refusal::Full) => break,
            }
        }
        Ok(made)
    }

    /// Adds a session.
    pub fn add_session(
        &self,
        user: UserId,
        token: &TokenHash,
        at: Timestamp,
    ) -> rusqlite::Result<SessionId> {
        let sql = "INSERT INTO sessions (user, token, created_at, last_used)
                   VALUES (?1, ?2, ?3, ?3) RETURNING id";
        self.0
            .prepare_cached(sql)?
            .query_row(params![user.get() as i64, token.0.as_slice(), at.0 as i64], |row| {
                number(row, 0).map(SessionId)
            })
    }

    /// Ends the account's sessions that were used longest ago, down to `keep`; never `newest`.
    pub fn end_oldest(
        &self,
        user: UserId,
        keep: u32,
        newest: SessionId,
    ) -> rusqlite::Result<Ended> {
        let sql = "DELETE FROM sessions WHERE id IN (
                       SELECT id FROM sessions WHERE user = ?1 AND id <> ?3
                       ORDER BY last_used DESC, id DESC LIMIT -1 OFFSET ?2
                   ) RETURNING id, token";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(
            params![user.get() as i64, keep.saturating_sub(1), newest.0 as i64],
            ended,
        )?;
        rows.collect()
    }

    /// Ends a session; nothing when it had ended already.
    pub fn end(&self, session: SessionId, at: Timestamp) -> rusqlite::Result<Ended> {
        if let Some(guest) = guest_of_session(session) {
            return self.end_guest(guest, at);
        }
        let ended = self
            .0
            .prepare_cached("DELETE FROM sessions WHERE id = ?1 RETURNING id, token")?
            .query_row([session.0 as i64], ended)
            .optional()?;
        Ok(ended.into_iter().collect())
    }

    /// Ends a session, if it is this account's.
    pub fn end_of(
        &self,
        user: UserId,
        session: SessionId,
    ) -> rusqlite::Result<Option<(SessionId, TokenHash)>> {
        self.0
            .prepare_cached("DELETE FROM sessions WHERE id = ?1 AND user = ?2 RETURNING id, token")?
            .query_row([session.0 as i64, user.get() as i64], ended)
            .optional()
    }

    /// Ends all sessions of the account of that folded name; `None` when there is no such account.
    pub fn end_all(&self, folded: &str) -> rusqlite::Result<Option<usize>> {
        let user: Option<i64> = self
            .0
            .prepare_cached("SELECT id FROM users WHERE folded = ?1")?
            .query_row([folded], |row| row.get(0))
            .optional()?;
        let Some(user) = user else { return Ok(None) };
        self.0.prepare_cached("DELETE FROM sessions WHERE user = ?1")?.execute([user]).map(Some)
    }

    /// Notes that a session was used.
    pub fn touch(&self, session: SessionId, at: Timestamp) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("UPDATE sessions SET last_used = ?2 WHERE id = ?1")?
            .execute(params![session.0 as i64, at.0 as i64])
            .map(drop)
    }

    /// Keeps another hash, unless the password was changed meanwhile.
    pub fn renew(&self, user: UserId, old: &Phc, new: &Phc) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("UPDATE users SET phc = ?3 WHERE id = ?1 AND phc = ?2")?
            .execute(params![user.get() as i64, old.as_str(), new.as_str()])
            .map(drop)
    }
}

/// Makes the tables, or what they lack; the version that was found, where that is of a newer build, or
/// ours. In one transaction, which looks again: another process may have done it meanwhile.
fn bring_up_to_date(c: &Connection) -> rusqlite::Result<i64> {
    let version = || c.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let found = version()?;
    if found >= VERSION {
        return Ok(found);
    }
    c.execute_batch("BEGIN IMMEDIATE")?;
    let steps = match version()? {
        0 => format!("{SCHEMA}{STEP_2}{STEP_3}{STEP_4}{STEP_5}"),
        1 => format!("{STEP_2}{STEP_3}{STEP_4}{STEP_5}"),
        2 => format!("{STEP_3}{STEP_4}{STEP_5}"),
        3 => format!("{STEP_4}{STEP_5}"),
        4 => STEP_5.to_owned(),
        _ => String::new(),
    };
    let stamps =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
    let done = c.execute_batch(&format!("{steps}{stamps}COMMIT"));
    if done.is_err() {
        crate::sqlite::roll_back(c);
    }
    done.map(|()| VERSION)
}

/// SQLite's integers are signed; ours are stored as the same bits.
pub(super) fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| number as u64)
}

pub(super) fn author(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Author> {
    let id =
        UserId::new(number(row, first)?).ok_or_else(|| not_of_an_account(first, Type::Integer))?;
    let name = Username::parse(&row.get::<_, String>(first + 1)?)
        .map_err(|_| not_of_an_account(first + 1, Type::Text))?;
    Ok(Author { id, name })
}

fn not_of_an_account(column: usize, kind: Type) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, "not of an account".into())
}

pub(super) fn ended(row: &rusqlite::Row<'_>) -> rusqlite::Result<(SessionId, TokenHash)> {
    Ok((SessionId(number(row, 0)?), TokenHash(row.get(1)?)))
}

/// What the operator is told. The texts of SQLite name files and tables, never values.
pub(super) fn explain(error: &rusqlite::Error, path: &str) -> AccountsError {
    let (path, cause) = (path.to_owned(), error.to_string());
    let Some(code) = error.sqlite_error() else {
        return AccountsError::Corrupt { path, cause };
    };
    match code.code {
        ErrorCode::DiskFull => AccountsError::Full,
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            AccountsError::ReadOnly { path, cause }
        }
        ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => {
            AccountsError::Corrupt { path, cause }
        }
        _ if is_failed_sync(error) => AccountsError::SyncFailed(cause),
        _ => AccountsError::Io { attempted: "use the accounts", cause },
    }
}

fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let syncs = [rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC];
    error.sqlite_error().is_some_and(|error| syncs.contains(&error.extended_code))
}
