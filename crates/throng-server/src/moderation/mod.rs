//! What those who keep order look at and nobody else does: reports, the audit log, links into private
//! rooms; and whom an account does not want to hear from. Kept in `moderation.db`, or in memory.
//!
//! Neighbours: `app` asks it for connections and REST, the fold brings it what was done in the
//! rooms' orders before it brings it to the store. It decides no order and no right: who asks here
//! was asked before whether it may. Calls block; they are made where waiting holds up nobody.

mod audit;
mod blocks;
mod links;
mod numbers;
mod reports;
mod unnaming;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::{Connection, Row};
use throng_core::limits::{OVERSIGHT_LIST_MAX, REASON_LEN_MAX};
use throng_core::{Author, Rejection, UserId, Username};

use crate::accounts::Location;
use crate::leavers::Leavers;
use crate::sqlite::{self, Checkpoints, Kind, Trouble};
use crate::store::StoreError;
pub use audit::{AuditEntry, AuditPage, Intent};
pub use blocks::BlockedPage;
use blocks::Blocks;
pub use links::{RoomLink, Use};
pub use reports::{Report, ReportPage, Reported, Settlement};
pub use unnaming::Reached;

/// The file in the data folder.
pub const FILE: &str = "moderation.db";

const KIND: Kind = Kind {
    what: "file of moderation",
    application_id: 0x5468_724d, // "ThrM"
    version: 6,
    page_size: 4 * 1024,
    cache_kib: 2 * 1024,
    schema: "CREATE TABLE reports (
                 id INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL, seq INTEGER NOT NULL,
                 at INTEGER NOT NULL, by INTEGER NOT NULL, by_name TEXT NOT NULL,
                 about INTEGER NOT NULL, about_name TEXT NOT NULL,
                 reason TEXT NOT NULL, body TEXT NOT NULL,
                 settled_at INTEGER, settled_by INTEGER, settled_name TEXT,
                 upheld INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '',
                 files BLOB);
             CREATE UNIQUE INDEX reports_by_message ON reports (room, seq, by);
             CREATE INDEX reports_by_room ON reports (room, (settled_at IS NOT NULL), id);
             CREATE TABLE audit (
                 id INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL, seq INTEGER,
                 at INTEGER NOT NULL, by INTEGER NOT NULL, by_name TEXT NOT NULL, act TEXT NOT NULL,
                 about INTEGER, about_name TEXT, detail TEXT NOT NULL);
             CREATE UNIQUE INDEX audit_by_event ON audit (room, seq);
             CREATE INDEX audit_by_room ON audit (room, id);
             CREATE INDEX audit_by_time ON audit (room, at, id);
             CREATE TABLE blocks (
                 user INTEGER NOT NULL, blocked INTEGER NOT NULL, name TEXT NOT NULL,
                 PRIMARY KEY (user, blocked)) WITHOUT ROWID;
             CREATE TABLE links (
                 id INTEGER PRIMARY KEY AUTOINCREMENT, token BLOB NOT NULL UNIQUE,
                 room INTEGER NOT NULL, by INTEGER NOT NULL, by_name TEXT NOT NULL,
                 at INTEGER NOT NULL, uses INTEGER NOT NULL, expires_at INTEGER NOT NULL);
             CREATE INDEX links_by_room ON links (room, id);
             CREATE TABLE uses (
                 id INTEGER PRIMARY KEY, link INTEGER NOT NULL, room INTEGER NOT NULL,
                 user INTEGER NOT NULL);
             CREATE TABLE verdicts (
                 id INTEGER PRIMARY KEY, room INTEGER NOT NULL, at INTEGER NOT NULL,
                 by INTEGER NOT NULL, by_name TEXT NOT NULL, act TEXT NOT NULL,
                 about INTEGER, about_name TEXT, detail TEXT NOT NULL)",
    // A step that was released is never changed.
    steps: &[
        "CREATE TABLE links (
                  id INTEGER PRIMARY KEY AUTOINCREMENT, token BLOB NOT NULL UNIQUE,
                  room INTEGER NOT NULL, by INTEGER NOT NULL, by_name TEXT NOT NULL,
                  at INTEGER NOT NULL, uses INTEGER NOT NULL, expires_at INTEGER NOT NULL);
              CREATE INDEX links_by_room ON links (room, id)",
        "CREATE INDEX audit_by_time ON audit (room, at, id)",
        "CREATE TABLE uses (
                  id INTEGER PRIMARY KEY, link INTEGER NOT NULL, room INTEGER NOT NULL,
                  user INTEGER NOT NULL)",
        "CREATE TABLE verdicts (
                  id INTEGER PRIMARY KEY, room INTEGER NOT NULL, at INTEGER NOT NULL,
                  by INTEGER NOT NULL, by_name TEXT NOT NULL, act TEXT NOT NULL,
                  about INTEGER, about_name TEXT, detail TEXT NOT NULL)",
        "ALTER TABLE reports ADD COLUMN files BLOB",
    ],
    exclusive: false,
    shrinks: false,
};

/// Reports, audit log and blocked accounts.
pub struct Moderation {
    tables: Mutex<Tables>,
    /// Held for a moment, never while something is written: a shard, a fan-out and the runtime ask for it.
    blocks: RwLock<Blocks>,
    /// Held by who changes them, from the file to the memory, so that both change in one order.
    blocking: Mutex<()>,
    /// Who is named no more, also where it is written still.
    leavers: Arc<Leavers>,
    on_sync_failed: Box<dyn Fn(&str) + Send + Sync>,
}

struct Tables {
    connection: Connection,
    checkpoints: Checkpoints,
    /// A sync failed: nothing is written any more.
    failed: bool,
}

impl fmt::Debug for Moderation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moderation")
    }
}

impl Moderation {
    /// Opens the file, or makes it; without a folder it is gone with the process. A sync that fails
    /// is told to `on_sync_failed`, for what is on disk is unknown then (I10).
    pub fn open(
        folder: Option<&Path>,
        on_sync_failed: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Self, StoreError> {
        Self::open_at(folder.map(Location::from), on_sync_failed)
    }

    /// The same, on the disk that is named.
    pub fn open_at(
        location: Option<Location<'_>>,
        on_sync_failed: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let opened = match location {
            Some(Location { folder, vfs, fault_no_sync }) => {
                let synchronous = if fault_no_sync { "OFF" } else { "FULL" };
                sqlite::open(&folder.join(FILE), vfs, &KIND, synchronous)
            }
            None => sqlite::open_in_memory(&KIND),
        };
        let opened = opened.and_then(|connection| {
            connection.pragma_update(None, "secure_delete", true)?;
            audit::note_intents(&connection).inspect_err(|_| sqlite::roll_back(&connection))?;
            Ok((Blocks::read(&connection)?, connection))
        });
        let opened = opened.map_err(|trouble| {
            StoreError::from_trouble(trouble.of(FILE), "open what moderation keeps")
        });
        let (blocks, connection) = opened?;
        Ok(Self {
            tables: Mutex::new(Tables {
                connection,
                checkpoints: Checkpoints::default(),
                failed: false,
            }),
            blocks: RwLock::new(blocks),
            blocking: Mutex::default(),
            leavers: Arc::default(),
            on_sync_failed,
        })
    }

    /// Names these no more.
    pub fn without(self, leavers: Arc<Leavers>) -> Self {
        Self { leavers, ..self }
    }

    /// How many uses of links, and how much that somebody is about to do, the next start would settle.
    #[cfg(test)]
    pub fn left_open(&self) -> (u64, u64) {
        let select = "SELECT (SELECT count(*) FROM uses WHERE id > 0),
                             (SELECT count(*) FROM verdicts WHERE id > 0)";
        let row = |row: &Row<'_>| Ok((number(row, 0)?, number(row, 1)?));
        self.read(|connection| connection.query_row(select, [], row)).expect("in memory")
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads, or refuses as *unavailable*.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Rejection> {
        let tables = self.tables();
        read(&tables.connection).map_err(|error| {
            tracing::error!(%error, "cannot read what moderation keeps");
            Rejection::Unavailable
        })
    }

    /// Writes as one transaction that is durable when this returns `Ok`; what is refused, or fails,
    /// has changed nothing.
    fn write<T>(
        &self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, Rejection>>,
    ) -> Result<Result<T, Rejection>, Trouble> {
        let mut tables = self.tables();
        if tables.failed {
            return Err(Trouble::SyncFailed("a sync failed before".to_owned()));
        }
        let connection = &tables.connection;
        let written = tables.checkpoints.when_due(connection, KIND.what).and_then(|()| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let outcome = write(connection)?;
            connection.execute_batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            Ok(outcome)
        });
        written.inspect_err(|trouble| {
            sqlite::roll_back(&tables.connection);
            if let Trouble::SyncFailed(cause) = trouble {
                tables.failed = true;
                sqlite::never_checkpoint_again(&tables.connection);
                (self.on_sync_failed)(cause);
            }
        })
    }

    /// The same for one who waits for an answer.
    fn change<T>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, Rejection>>,
    ) -> Result<T, Rejection> {
        self.write(change).unwrap_or_else(|trouble| {
            tracing::error!(error = %trouble, "cannot write what moderation keeps");
            Err(Rejection::Unavailable)
        })
    }
}

/// A text that explains something: 1 to `REASON_LEN_MAX` bytes; none at all where that is allowed.
pub fn explanation(text: &str, may_be_empty: bool) -> Result<&str, Rejection> {
    let text = text.trim();
    let fits = text.len() <= REASON_LEN_MAX && (may_be_empty || !text.is_empty());
    if fits { Ok(text) } else { Err(Rejection::BadArgument) }
}

/// At most this many; 0 for the page's own size.
fn page_len(asked: u32) -> usize {
    match asked as usize {
        0 => OVERSIGHT_LIST_MAX,
        asked => asked.min(OVERSIGHT_LIST_MAX),
    }
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| number as u64)
}

fn author(row: &Row<'_>, first: usize) -> rusqlite::Result<Author> {
    let name: String = row.get(first + 1)?;
    let known = UserId::new(number(row, first)?).zip(Username::stored(&name).ok());
    known.map(|(id, name)| Author { id, name }).ok_or_else(|| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(first, kind, "not of an account".into())
    })
}

fn author_if_any(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Author>> {
    let id: Option<i64> = row.get(first)?;
    id.map(|_| author(row, first)).transpose()
}

#[cfg(test)]
mod tests;
