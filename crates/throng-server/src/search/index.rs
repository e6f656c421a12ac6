//! The index in a SQLite file of its own (FTS5): which message of which room has which words, and how
//! far each room has been taken in. Whoever loses the file loses nothing: it is made again from the
//! history.
//!
//! Neighbours: `indexer.rs` is the one writer, `haul.rs` asks; `key.rs` says under which key a message
//! stands. Room and sender are tokens as the words are, so that an asker of few rooms has only those
//! looked through. What is deleted leaves the file, not only the answers (`secure-delete`,
//! `secure_delete`). It knows nobody's rights: it is told which rooms, and from which place on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, params};
use throng_core::{Body, Epoch, RoomId, Seq, Timestamp, UserId};

use super::{key, words};
use crate::sqlite::readers::Readers;
use crate::sqlite::{self, Kind, Trouble};

/// Questions that are answered side by side; more wait before they come here.
pub const READERS: usize = 2;
/// Segments of a level that are merged into one: what a write costs against what a question costs. With
/// four of them, merging was half of what a message cost, and no question was quicker.
const AUTOMERGE: i64 = 16;
/// Segments of a level at which all of them are merged at once, however long that takes. Merging some
/// with each write keeps well below it.
const CRISISMERGE: i64 = 64;
/// Bytes that FTS5 gathers before it writes a segment: the largest batch of the indexer whole. By its own
/// default of one MiB a small one would be three segments already.
const HASH_BYTES: i64 = 16 << 20;

/// Words come cut already, with a space between two: the simplest of the tokenizers will do.
macro_rules! messages {
    () => {
        "CREATE VIRTUAL TABLE messages USING fts5(
             text, signs, tags, room UNINDEXED, seq UNINDEXED, at UNINDEXED,
             tokenize = 'ascii', prefix = '2 3', columnsize = 0);
         INSERT INTO messages (messages, rank) VALUES ('secure-delete', 1);"
    };
}

/// Makes an index anew.
const AGAIN: &str = concat!("DROP TABLE messages; DELETE FROM progress;", messages!());

const KIND: Kind = Kind {
    what: "search index",
    application_id: 0x5468_7278, // "Thrx"
    version: 3,
    // Two leaves of the index, 4,050 bytes each: half as many pages to write as with one. With four of
    // them a look that finds little writes much.
    page_size: 8192,
    cache_kib: 16 * 1024,
    schema: concat!(
        messages!(),
        "CREATE TABLE progress (room INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
         CREATE TABLE life (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL)"
    ),
    // The keys of version 1 were of another kind, and to version 2 ς was not σ: all is taken in again.
    steps: &[AGAIN, AGAIN],
    exclusive: false,
    shrinks: false,
};

const READER: Kind = Kind { cache_kib: 8 * 1024, ..KIND };

/// The index.
#[derive(Debug)]
pub struct Index {
    file: Option<PathBuf>,
    writer: Arc<Readers>,
    pub(super) readers: Arc<Readers>,
}

/// What has become of the messages of one room since the index was there.
#[derive(Debug)]
pub struct RoomPart {
    /// Which room.
    pub room: RoomId,
    /// Up to which place the index has it then.
    pub through: Seq,
    /// At most one of a message; sweeps are carried out last.
    pub changes: Vec<Change>,
}

/// What becomes of a message, or of many.
#[derive(Debug)]
pub enum Change {
    /// It reads so, whatever it was before.
    Put {
        /// Where.
        seq: Seq,
        /// When it was said.
        at: Timestamp,
        /// By whom.
        who: UserId,
        /// Its text now.
        body: Body,
    },
    /// It is not to be found.
    Drop {
        /// Where.
        seq: Seq,
        /// When it was said.
        at: Timestamp,
    },
    /// All that one sender had said before this place is not to be found.
    Sweep {
        /// The sender.
        who: UserId,
        /// Not that which came later.
        before: Seq,
    },
}

/// The token of a sender: `§` is no letter, so that no text has it.
pub fn who_token(who: UserId) -> String {
    format!("§{who}")
}

/// The token of a room.
pub fn room_token(room: RoomId) -> String {
    format!("¶{room}")
}

/// The keys that have these words, the newest first.
pub(super) const ASK: &str = "SELECT rowid FROM messages WHERE messages MATCH ?1
                              AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid";
const ASK_SOME: &str = "SELECT rowid FROM messages WHERE messages MATCH ?1
                        AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid LIMIT ?4";
const SAID: &str = "SELECT c3, c5 FROM messages_content WHERE id = ?1";
/// Messages that are forgotten in one transaction.
const FORGOTTEN_MAX: usize = 512;
const OCCUPANTS: &str =
    "SELECT id, c3, c4 FROM messages_content WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
const INSERT: &str = "INSERT INTO messages (rowid, text, signs, tags, room, seq, at)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const DELETE: &str = "DELETE FROM messages WHERE rowid = ?1";

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

    /// Knows nothing of a room any more.
    pub fn forget(&self, room: RoomId) -> Result<(), Trouble> {
        let writer = self.writer.lease();
        let forgotten = (|| {
            writer.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            delete(&writer, &format!("\"{}\"", room_token(room)), (room, None))?;
            set_progress(&writer, room, Seq::ZERO)?;
            writer.prepare_cached("COMMIT")?.execute([])
        })();
        if forgotten.is_err() {
            sqlite::roll_back(&writer);
        }
        forgotten?;
        Ok(())
    }

    /// Takes away what was said in a room before this time, some of it at a time; `true` when there may
    /// be more.
    pub fn forget_old(&self, room: RoomId, before: Timestamp) -> Result<Forgotten, Trouble> {
        let writer = self.writer.lease();
        let forgotten = forget_old(&writer, room, before);
        if forgotten.is_err() {
            sqlite::roll_back(&writer);
        }
        Ok(forgotten?)
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
    let set = "INSERT INTO messages (messages, rank) VALUES (?1, ?2)";
    for setting in
        [("automerge", AUTOMERGE), ("crisismerge", CRISISMERGE), ("hashsize", HASH_BYTES)]
    {
        connection.execute(set, setting)?;
    }
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

fn take_in(connection: &Connection, parts: &[RoomPart]) -> rusqlite::Result<bool> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    // In the order of their keys: one below the last would make FTS5 write what it has gathered.
    let mut sorted: BTreeMap<(i64, RoomId, Seq), (&Change, bool)> = BTreeMap::new();
    for part in parts {
        let has = progress(connection, part.room)?;
        for change in &part.changes {
            let (Change::Put { seq, at, .. } | Change::Drop { seq, at }) = change else { continue };
            let message = (key::first(part.room, *seq, *at), part.room, *seq);
            sorted.insert(message, (change, *seq > has));
        }
    }
    let (mut row, mut left) = (Row::new(connection)?, false);
    for (message, (change, new)) in sorted {
        left |= row.change(connection, message, change, new)?;
    }
    for part in parts {
        for change in &part.changes {
            let Change::Sweep { who, before } = change else { continue };
            let both = format!("\"{}\" AND \"{}\"", who_token(*who), room_token(part.room));
            left |= delete(connection, &both, (part.room, Some(*before)))?;
        }
        set_progress(connection, part.room, part.through)?;
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(left)
}

/// What came of forgetting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Texts left the index.
    pub some: bool,
    /// There may be more.
    pub more: bool,
}

fn forget_old(
    connection: &Connection,
    room: RoomId,
    before: Timestamp,
) -> rusqlite::Result<Forgotten> {
    let (newest, oldest) = key::span(None, Some(before));
    let token = format!("\"{}\"", room_token(room));
    let mut select = connection.prepare_cached(ASK_SOME)?;
    let row = params![token, newest, oldest, FORGOTTEN_MAX as i64];
    let keys = select.query_map(row, |row| row.get::<_, i64>(0))?;
    let keys: Vec<i64> = keys.collect::<Result<_, _>>()?;
    let mut old = Vec::new();
    let mut look = connection.prepare_cached(SAID)?;
    for key in &keys {
        let said = look.query_row([key], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?)));
        if said.optional()?.is_some_and(|(of, at)| of == room.get() && (at as u64) < before.0) {
            old.push(*key);
        }
    }
    let more = keys.len() == FORGOTTEN_MAX && !old.is_empty();
    if old.is_empty() {
        return Ok(Forgotten { some: false, more });
    }
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut delete = connection.prepare_cached(DELETE)?;
    for key in old {
        delete.execute([key])?;
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(Forgotten { some: true, more })
}

/// Takes away what the index finds so of a room, all or before a place; `true` when there was any.
fn delete(
    connection: &Connection,
    expression: &str,
    (room, before): (RoomId, Option<Seq>),
) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(ASK)?;
    let keys = select.query_map(params![expression, 0, i64::MAX], |row| row.get::<_, i64>(0))?;
    let keys: Vec<i64> = keys.collect::<Result<_, _>>()?;
    let mut delete = connection.prepare_cached(DELETE)?;
    let mut left = false;
    for key in keys {
        let there = occupants(connection, (key, key))?.pop();
        if there.is_some_and(|(_, of, seq)| of == room && before.is_none_or(|it| seq < it)) {
            left |= delete.execute([key])? > 0;
        }
    }
    Ok(left)
}

/// What stands under these keys, with its room and place.
fn occupants(
    connection: &Connection,
    (from, to): (i64, i64),
) -> rusqlite::Result<Vec<(i64, RoomId, Seq)>> {
    let mut select = connection.prepare_cached(OCCUPANTS)?;
    let mut rows = select.query([from, to])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(room) = RoomId::new(row.get(1)?) {
            found.push((row.get(0)?, room, Seq(row.get::<_, i64>(2)? as u64)));
        }
    }
    Ok(found)
}

/// Where a message stands, or would.
enum Place {
    There(i64),
    Free(i64),
    /// More was said in that room in that second than there are places for.
    Full,
}

fn place_of(
    connection: &Connection,
    (first, room, seq): (i64, RoomId, Seq),
) -> rusqlite::Result<Place> {
    let there = occupants(connection, (first, first + key::PLACES - 1))?;
    if let Some((key, ..)) = there.iter().find(|(_, of, at)| (*of, *at) == (room, seq)) {
        return Ok(Place::There(*key));
    }
    let mut keys = first..first + key::PLACES;
    let free = keys.find(|key| there.iter().all(|(taken, ..)| taken != key));
    Ok(free.map_or(Place::Full, Place::Free))
}

/// A row being made.
struct Row<'a> {
    insert: CachedStatement<'a>,
    text: String,
    signs: String,
}

impl<'a> Row<'a> {
    fn new(to: &'a Connection) -> rusqlite::Result<Self> {
        let insert = to.prepare_cached(INSERT)?;
        Ok(Self { insert, text: String::new(), signs: String::new() })
    }

    /// `true` when a text left. What is `new` stands nowhere yet, and where it belongs is hardly ever
    /// taken: it is put there without a look.
    fn change(
        &mut self,
        to: &Connection,
        (first, room, seq): (i64, RoomId, Seq),
        change: &Change,
        new: bool,
    ) -> rusqlite::Result<bool> {
        let place = if new { Place::Free(first) } else { place_of(to, (first, room, seq))? };
        let left = matches!(place, Place::There(_));
        if let Place::There(key) = place {
            to.prepare_cached(DELETE)?.execute([key])?;
        }
        let Change::Put { at, who, body, .. } = change else { return Ok(left) };
        let (Place::There(key) | Place::Free(key)) = place else {
            tracing::warn!(%room, seq = seq.0, "more in one second than the search index holds");
            return Ok(left);
        };
        words::cut(body.as_str(), &mut self.text, &mut self.signs);
        let tags = format!("{} {}", who_token(*who), room_token(room));
        let values =
            params![key, self.text, self.signs, tags, room.get(), seq.0 as i64, at.0 as i64];
        match self.insert.execute(values) {
            Err(error) if new && is_taken(&error) => {
                self.change(to, (first, room, seq), change, false)
            }
            inserted => inserted.map(|_| left),
        }
    }
}

/// Another message stands under that key.
fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
