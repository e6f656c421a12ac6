//! The index in a SQLite file of its own (FTS5): which message of which room has which words, and how
//! far each room has been taken in. Whoever loses the file loses nothing: it is made again from the
//! history.
//!
//! Neighbours: `indexer.rs` is the one writer, `mod.rs` asks. A message's key is its room above its
//! place, so that a question about a room is a range of keys and cannot touch another room. What is
//! deleted leaves the file, not only the answers (`secure-delete`, `secure_delete`). It knows nobody's
//! rights: it is told which rooms, and from which place on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use throng_core::id::SEQ_MAX;
use throng_core::{Epoch, Event, EventKind, RoomId, Seq, UserId};

use super::words;
use crate::sqlite::readers::Readers;
use crate::sqlite::{self, Kind, Trouble};

/// Questions that are answered side by side; more wait before they come here.
pub const READERS: usize = 2;
/// Segments of a level that are merged into one: what a write costs against what a question costs.
const AUTOMERGE: i64 = 4;

const KIND: Kind = Kind {
    what: "search index",
    application_id: 0x5468_7278, // "Thrx"
    version: 1,
    // A leaf of the index is 4,050 bytes.
    page_size: 4096,
    cache_kib: 16 * 1024,
    // Words come cut already, with a space between two: the simplest of the tokenizers will do.
    schema: "CREATE VIRTUAL TABLE messages USING fts5(
                 text, signs, who, at UNINDEXED, tokenize = 'ascii', prefix = '2 3', columnsize = 0);
             INSERT INTO messages (messages, rank) VALUES ('secure-delete', 1);
             CREATE TABLE progress (room INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
             CREATE TABLE life (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL)",
    steps: &[],
    exclusive: false,
};

const READER: Kind = Kind { cache_kib: 8 * 1024, ..KIND };

/// The index.
#[derive(Debug)]
pub struct Index {
    file: Option<PathBuf>,
    writer: Arc<Readers>,
    pub(super) readers: Arc<Readers>,
}

/// Events of one room, as they are shown now, that follow what the index has.
#[derive(Debug)]
pub struct RoomPart {
    /// Which room.
    pub room: RoomId,
    /// Ascending and dense.
    pub events: Vec<Arc<Event>>,
}

/// The key of a message, or a bound among keys. The newest of a room comes first: FTS5 seeks forwards
/// only, and it is the newest that are asked for.
pub fn key(room: RoomId, seq: Seq) -> i64 {
    i64::from(room.get()) << 40 | (SEQ_MAX - seq.0.min(SEQ_MAX)) as i64
}

/// The message of a key.
pub fn place(key: i64) -> Option<(RoomId, Seq)> {
    Some((RoomId::new((key >> 40) as u32)?, Seq(SEQ_MAX - (key as u64 & SEQ_MAX))))
}

impl Index {
    /// Opens the index in this folder, or makes it; without one, in memory. What is damaged, of another
    /// build or of another life of the orders is thrown away: it is made again.
    pub fn open(folder: Option<&Path>, epoch: Epoch) -> Result<Self, Trouble> {
        let Some(folder) = folder else {
            let connection = sqlite::open_in_memory(&KIND)?;
            prepare(&connection)?;
            let only = Arc::new(Readers::new(vec![connection]));
            return Ok(Self { file: None, writer: Arc::clone(&only), readers: only });
        };
        let file = folder.join("search.db");
        if damaged(&file).exists() {
            tracing::warn!("the search index was damaged, making it again");
            remove(&file)?;
        }
        match Self::open_file(&file, epoch) {
            Ok(Some(index)) => Ok(index),
            Ok(None) => {
                tracing::warn!("the search index is of another life of the log, making it again");
                Self::anew(&file, epoch)
            }
            Err(Trouble::Corrupt(cause)) => {
                tracing::warn!(%cause, "cannot use the search index, making it again");
                Self::anew(&file, epoch)
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn anew(file: &Path, epoch: Epoch) -> Result<Self, Trouble> {
        remove(file)?;
        let opened = Self::open_file(file, epoch)?;
        opened.ok_or_else(|| Trouble::Io("a new search index is not empty".into()))
    }

    fn open_file(file: &Path, epoch: Epoch) -> Result<Option<Self>, Trouble> {
        let connection = sqlite::open(file, None, &KIND, "NORMAL")?;
        prepare(&connection)?;
        connection.execute("INSERT OR IGNORE INTO life VALUES (1, ?1)", [epoch.0])?;
        let life: u32 =
            connection.query_row("SELECT epoch FROM life WHERE id = 1", [], |row| row.get(0))?;
        if life != epoch.0 {
            return Ok(None);
        }
        let readers = (0..READERS).map(|_| sqlite::open_reader(file, None, &READER));
        let readers = Readers::new(readers.collect::<Result<_, _>>()?);
        Ok(Some(Self {
            file: Some(file.to_owned()),
            writer: Arc::new(Readers::new(vec![connection])),
            readers: Arc::new(readers),
        }))
    }

    /// The file cannot be used any more: the next start makes it again.
    pub fn give_up(&self) {
        if let Some(file) = &self.file
            && let Err(error) = std::fs::write(damaged(file), b"")
        {
            tracing::error!(%error, "cannot mark the search index as damaged; delete search.db*");
        }
    }

    /// How far a room has been taken in.
    pub fn progress(&self, room: RoomId) -> Result<Seq, Trouble> {
        Ok(progress(&self.writer.lease(), room)?)
    }

    /// Takes these in, all or none; `true` when a text left the index. A part that is in it already
    /// does no harm.
    pub fn take_in(&self, parts: &[RoomPart]) -> Result<bool, Trouble> {
        let writer = self.writer.lease();
        let taken = take_in(&writer, parts);
        if taken.is_err() {
            sqlite::roll_back(&writer);
        }
        Ok(taken?)
    }

    /// A room ends before the index has it to end: what is beyond is forgotten.
    pub fn cut(&self, room: RoomId, head: Seq) -> Result<(), Trouble> {
        let writer = self.writer.lease();
        let cut = (|| {
            writer.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let beyond = "DELETE FROM messages WHERE rowid BETWEEN ?1 AND ?2";
            let ends = [key(room, Seq(SEQ_MAX)), key(room, head.next())];
            writer.prepare_cached(beyond)?.execute(ends)?;
            set_progress(&writer, room, head)?;
            writer.prepare_cached("COMMIT")?.execute([])
        })();
        if cut.is_err() {
            sqlite::roll_back(&writer);
        }
        cut?;
        Ok(())
    }

    /// Carries what was taken in from the WAL into the file. With `empty` nothing of it stays in the
    /// WAL either; `false` when a reader was in the way.
    pub fn checkpoint(&self, empty: bool) -> Result<bool, Trouble> {
        if self.file.is_none() {
            return Ok(true);
        }
        let pragma = if empty {
            "PRAGMA wal_checkpoint(TRUNCATE)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        };
        let writer = self.writer.lease();
        let busy: bool = writer.prepare_cached(pragma)?.query_row([], |row| row.get(0))?;
        Ok(!busy)
    }
}

fn prepare(connection: &Connection) -> Result<(), Trouble> {
    connection.pragma_update(None, "secure_delete", true)?;
    let merge = "INSERT INTO messages (messages, rank) VALUES ('automerge', ?1)";
    connection.execute(merge, [AUTOMERGE])?;
    Ok(())
}

fn damaged(file: &Path) -> PathBuf {
    file.with_extension("damaged")
}

/// The mark goes last: whatever stops this half-way, the next start does it again.
fn remove(file: &Path) -> Result<(), Trouble> {
    for path in
        [file.into(), file.with_extension("db-wal"), file.with_extension("db-shm"), damaged(file)]
    {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Trouble::Io(format!("cannot remove {}: {error}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn progress(connection: &Connection, room: RoomId) -> rusqlite::Result<Seq> {
    let select = "SELECT seq FROM progress WHERE room = ?1";
    let mut select = connection.prepare_cached(select)?;
    let seq = select.query_row([room.get()], |row| row.get::<_, i64>(0)).optional()?;
    Ok(Seq(seq.unwrap_or(0) as u64))
}

fn set_progress(connection: &Connection, room: RoomId, seq: Seq) -> rusqlite::Result<()> {
    let insert = "INSERT OR REPLACE INTO progress VALUES (?1, ?2)";
    connection.prepare_cached(insert)?.execute(params![room.get(), seq.0 as i64])?;
    Ok(())
}

/// What becomes of a message.
enum Change<'a> {
    Put { who: UserId, at: i64, body: &'a str },
    Edit { body: &'a str },
    Drop,
}

/// In the order of their keys, one a message: a key below the last one would make FTS5 write what it
/// has gathered.
fn changes(parts: &[RoomPart]) -> BTreeMap<i64, Change<'_>> {
    let mut changes = BTreeMap::new();
    for event in parts.iter().flat_map(|part| &part.events) {
        let (of, change) = match &event.kind {
            EventKind::Posted { author, body, .. } if !body.is_erased() => {
                let (who, at, body) = (author.id, event.at.0 as i64, body.as_str());
                (event.seq, Change::Put { who, at, body })
            }
            EventKind::Edited { of, body, .. } if !body.is_erased() => {
                let body = body.as_str();
                match changes.get(&key(event.room, *of)) {
                    Some(Change::Put { who, at, .. }) => {
                        (*of, Change::Put { who: *who, at: *at, body })
                    }
                    _ => (*of, Change::Edit { body }),
                }
            }
            EventKind::Deleted { of, .. } => (*of, Change::Drop),
            _ => continue,
        };
        changes.insert(key(event.room, of), change);
    }
    changes
}

fn take_in(connection: &Connection, parts: &[RoomPart]) -> rusqlite::Result<bool> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut row = Row::default();
    let mut left = false;
    for (key, change) in changes(parts) {
        left |= row.change(connection, key, &change)?;
    }
    for event in parts.iter().flat_map(|part| &part.events) {
        if let Some(who) = event.kind.sweeps() {
            left |= sweep(connection, event, who)?;
        }
    }
    for part in parts {
        if let Some(last) = part.events.last() {
            set_progress(connection, part.room, last.seq)?;
        }
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(left)
}

/// Takes all of one sender away that came before this event of its room; `true` when there was any.
fn sweep(connection: &Connection, event: &Event, who: UserId) -> rusqlite::Result<bool> {
    let select = "SELECT rowid FROM messages WHERE messages MATCH ?1 AND rowid BETWEEN ?2 AND ?3";
    let mut select = connection.prepare_cached(select)?;
    let sender = format!("who : \"{}\"", who.get());
    let (newest, oldest) = (key(event.room, event.seq), key(event.room, Seq(1)));
    let keys = select.query_map(params![sender, newest, oldest], |row| row.get::<_, i64>(0))?;
    let keys: Vec<i64> = keys.collect::<Result<_, _>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM messages WHERE rowid = ?1")?;
    for key in &keys {
        delete.execute([key])?;
    }
    Ok(!keys.is_empty())
}

/// A row being made.
#[derive(Debug, Default)]
struct Row {
    text: String,
    signs: String,
    who: String,
}

impl Row {
    /// `true` when a text left.
    fn change(&mut self, to: &Connection, key: i64, change: &Change<'_>) -> rusqlite::Result<bool> {
        match change {
            Change::Put { who, at, body } => {
                self.cut(body);
                self.put(to, key, *who, *at)?;
                Ok(false)
            }
            Change::Edit { body } => {
                let select = "SELECT c2, c3 FROM messages_content WHERE id = ?1";
                let mut select = to.prepare_cached(select)?;
                let was: Option<(String, i64)> =
                    select.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                // None: its message was deleted since, and is not there.
                let Some((who, at)) = was else { return Ok(false) };
                let Some(who) = who.parse().ok().and_then(UserId::new) else { return Ok(false) };
                self.cut(body);
                self.put(to, key, who, at)?;
                Ok(true)
            }
            Change::Drop => {
                let delete = "DELETE FROM messages WHERE rowid = ?1";
                Ok(to.prepare_cached(delete)?.execute([key])? > 0)
            }
        }
    }

    fn cut(&mut self, body: &str) {
        self.text.clear();
        self.signs.clear();
        for token in words::tokens(body) {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.push_str(&token.text);
            let sign = token.text.chars().next().filter(|_| token.signs);
            if let Some(sign) = sign.filter(|sign| !self.signs.contains(*sign)) {
                self.signs.push(sign);
                self.signs.push(' ');
            }
        }
    }

    fn put(&mut self, to: &Connection, key: i64, who: UserId, at: i64) -> rusqlite::Result<()> {
        self.who.clear();
        let _ = write!(self.who, "{}", who.get());
        let insert = "INSERT OR REPLACE INTO messages (rowid, text, signs, who, at)
                      VALUES (?1, ?2, ?3, ?4, ?5)";
        to.prepare_cached(insert)?.execute(params![key, self.text, self.signs, self.who, at])?;
        Ok(())
    }
}
