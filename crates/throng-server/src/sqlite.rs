//! Opening a SQLite file of ours, and what its errors mean to us.
//!
//! Neighbours: `log/sqlite.rs`, `store/sqlite.rs`, `search/index.rs` and the accounts, each with a file of its own. It knows no table
//! but what it is given to create, and never decides what to do about trouble.

pub mod readers;

use std::fmt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::ffi;
use rusqlite::{Connection, OpenFlags};

/// What a file of ours is, and how it is made.
#[derive(Debug)]
pub struct Kind {
    /// What the operator calls it.
    pub what: &'static str,
    /// Stands in the file's header, so that another program's file is not taken for ours.
    pub application_id: i32,
    /// The version of the tables; a newer one is of a newer build and is refused.
    pub version: i32,
    /// Fixed when the file is made.
    pub page_size: u32,
    /// Pages kept in memory, KiB.
    pub cache_kib: u32,
    /// The tables of `version`.
    pub schema: &'static str,
    /// What makes the tables of version n + 2 of those of n + 1, at place n.
    pub steps: &'static [&'static str],
    /// One connection only: spares the locks and the shared-memory file.
    pub exclusive: bool,
    /// Pages that are not used any more can be given back to the disk (`auto_vacuum = INCREMENTAL`);
    /// fixed when the file is made.
    pub shrinks: bool,
}

/// What went wrong below, as far as it matters above.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// No space left.
    Full,
    /// A sync was refused: what is on disk is unknown.
    SyncFailed(String),
    /// The file is not what it should be.
    Corrupt(String),
    /// Anything else.
    Io(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no space left; free some"),
            Self::SyncFailed(cause) | Self::Corrupt(cause) | Self::Io(cause) => f.write_str(cause),
        }
    }
}

impl Trouble {
    /// With the name of the file whose trouble it is, where that is corrupt.
    #[must_use]
    pub fn of(self, file: &str) -> Self {
        match self {
            Self::Corrupt(cause) => Self::Corrupt(format!("{file}: {cause}")),
            other => other,
        }
    }

    /// What can be done at a start about a file that may be lost.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Corrupt(_) => "; put back a backup, or move it away to begin anew",
            Self::Full | Self::SyncFailed(_) | Self::Io(_) => "",
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error().map(|e| e.extended_code) else {
            return Self::Io(error.to_string());
        };
        let text = format!("{error} (SQLite {code})");
        match code {
            ffi::SQLITE_FULL => Self::Full,
            ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => Self::SyncFailed(text),
            _ => match code & 0xff {
                ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Self::Corrupt(text),
                _ => Self::Io(text),
            },
        }
    }
}

/// Opens the file, makes it when it is empty, and refuses one that is not ours or of a newer build.
/// `synchronous` is SQLite's word for how a commit is synced.
pub fn open(
    path: &Path,
    vfs: Option<&str>,
    kind: &Kind,
    synchronous: &str,
) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, vfs, flags, kind)?;
    connection.pragma_update(None, "page_size", kind.page_size)?;
    if kind.shrinks {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    if connection.is_readonly("main")? {
        return Err(Trouble::Io(format!("{} is read-only", path.display())));
    }
    recognise(&connection, path, kind)?;
    bound_cache(&connection, kind)?;
    let mode = set_wal(&connection)?;
    if mode != "wal" {
        return Err(Trouble::Io(format!("{} stays in journal mode {mode}", path.display())));
    }
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Checkpoints are called for by name, so that a failed one is seen.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    create(&connection, kind)?;
    Ok(connection)
}

/// Opens a file that `open` has made, for reading only.
pub fn open_reader(path: &Path, vfs: Option<&str>, kind: &Kind) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, vfs, flags, kind)?;
    connection.pragma_update(None, "query_only", true)?;
    bound_cache(&connection, kind)?;
    Ok(connection)
}

/// So many pages as the kind's cache has bytes. SQLite would reckon them itself, but by the size that pages
/// have at that moment: a new file's were made larger after it, and its cache was four times its bound.
fn bound_cache(connection: &Connection, kind: &Kind) -> Result<(), Trouble> {
    let page = connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))?;
    let pages = i64::from(kind.cache_kib) * 1024 / page.max(512);
    connection.pragma_update(None, "cache_size", pages)?;
    Ok(())
}

/// The same in memory, on one connection.
pub fn open_in_memory(kind: &Kind) -> Result<Connection, Trouble> {
    let connection = Connection::open_in_memory()?;
    bound_cache(&connection, kind)?;
    create(&connection, kind)?;
    Ok(connection)
}

/// Rows changed since the last checkpoint at which the next is due: about 1 MiB of a journal, because a
/// large sync anywhere on the disk holds up the log.
const CHECKPOINT_ROWS: u64 = 64;

/// When the journal of a small file is written back.
#[derive(Debug, Default)]
pub struct Checkpoints {
    /// Rows changed up to the last one.
    done: std::cell::Cell<u64>,
}

impl Checkpoints {
    /// Writes it back when that is due; called before a transaction.
    pub fn when_due(&self, connection: &Connection, what: &'static str) -> Result<(), Trouble> {
        let rows = connection.total_changes();
        if rows - self.done.get() < CHECKPOINT_ROWS {
            return Ok(());
        }
        self.done.set(rows);
        checkpoint(connection, what)
    }
}

/// Writes a journal back. It is called for by name, because a sync that fails in a checkpoint of SQLite's
/// own accord is told to nobody; that is the only error here. What was committed is on disk already, so
/// that other trouble is met again later.
pub fn checkpoint(connection: &Connection, what: &'static str) -> Result<(), Trouble> {
    let passive = "PRAGMA wal_checkpoint(PASSIVE)";
    match connection.query_row(passive, [], |_| Ok(())).map_err(Trouble::from) {
        Err(trouble @ Trouble::SyncFailed(_)) => {
            never_checkpoint_again(connection);
            Err(trouble)
        }
        Err(trouble) => {
            tracing::warn!(?trouble, what, "cannot checkpoint, trying again later");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// After a failed sync nothing more may be written, not even by closing.
pub fn never_checkpoint_again(connection: &Connection) {
    // A refusal leaves the checkpoint of a close: the process ends before it.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

/// Ends a transaction that failed; SQLite may have done so itself.
pub fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "cannot roll back");
    }
}

fn connect(
    path: &Path,
    vfs: Option<&str>,
    flags: OpenFlags,
    kind: &Kind,
) -> Result<Connection, Trouble> {
    let connection = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    if kind.exclusive {
        // Before all else: it must stand when the file is first looked at.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// Walks to the statement's end: that is where the change is committed, behind the row that already
/// tells of it, and where a failure is seen.
pub fn set_wal(connection: &Connection) -> rusqlite::Result<String> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    Ok(mode)
}

/// An empty file may become ours; any other must say that it is.
fn recognise(connection: &Connection, path: &Path, kind: &Kind) -> Result<(), Trouble> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application_id, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id == 0 && version == 0 && tables == 0 {
        return Ok(());
    }
    let file = path.display();
    if application_id != kind.application_id {
        return Err(Trouble::Corrupt(format!("{file} is not a {} of Throng", kind.what)));
    }
    if version > kind.version {
        return Err(Trouble::Corrupt(format!(
            "{file} was made by a newer build (version {version}, this one reads {}); \
             run that one, or put back a backup",
            kind.version
        )));
    }
    Ok(())
}

/// All or nothing, so that a cut while the folder is made or brought up to date leaves the file as it
/// was or a whole one.
fn create(connection: &Connection, kind: &Kind) -> Result<(), Trouble> {
    let made: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if made >= kind.version {
        return Ok(());
    }
    let tables = match usize::try_from(made - 1) {
        Ok(made) => kind.steps[made..].join(";"),
        Err(_) => kind.schema.to_owned(),
    };
    let made = connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {tables}; PRAGMA application_id={}; PRAGMA user_version={}; COMMIT",
        kind.application_id, kind.version
    ));
    if made.is_err() {
        roll_back(connection);
    }
    Ok(made?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        what: "a file of a test",
        application_id: 0x5468_7274,
        version: 1,
        page_size: 16 * 1024,
        cache_kib: 1024,
        schema: "CREATE TABLE kept (id INTEGER PRIMARY KEY, text BLOB)",
        steps: &[],
        exclusive: false,
        shrinks: false,
    };

    /// What SQLite may keep of the file in memory, in bytes.
    fn cache_bytes(connection: &Connection) -> i64 {
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        number("cache_size").unwrap() * number("page_size").unwrap()
    }

    #[test]
    fn the_cache_is_bounded_by_bytes_whatever_the_size_of_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.db");
        let asked = 1024 * 1024;
        let new = open(&path, None, &KIND, "NORMAL").unwrap();
        assert_eq!(cache_bytes(&new), asked, "a new file");
        let reader = open_reader(&path, None, &KIND).unwrap();
        assert_eq!(cache_bytes(&reader), asked, "a reader");
        drop((reader, new));
        let other = Kind { page_size: 4096, ..KIND };
        let old = open(&path, None, &other, "NORMAL").unwrap();
        assert_eq!(cache_bytes(&old), asked, "a file whose pages have another size");
        assert_eq!(cache_bytes(&open_in_memory(&KIND).unwrap()), asked, "no file");
    }
}
