//! The store in a SQLite file of its own: blocks of up to 64 events keyed by room and first place,
//! rooms and their members beside them.
//!
//! Neighbours: the fold is the one writer; `history.rs` and start-up read through a small pool of
//! connections. A commit is not synced (`synchronous=NORMAL`): what makes it safe is `sync`, a
//! checkpoint, before the log is trimmed.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use throng_core::id::SEQ_MAX;
use throng_core::{Act, Event, EventKind, FileId, RoomId, Seq, Tally, Timestamp, UserId};

use super::cursors::{Cursor, Cursors};
use super::packed::{self, Packer};
use super::schema::{KIND, READER};
use super::{
    Erased, Erasing, Members, RoomBatch, RoomSnapshot, Store, StoreError, Unnamed, VisitOrigin,
    carried, erasing, erasure, people, reactions, unnaming,
};
use crate::leavers::Names;
use crate::pages::{Note, Span};
use crate::record::{Block, OpenBlock, Raw};
use crate::sqlite::readers::Readers;
use crate::sqlite::{self, Trouble};

/// Events of a full block: decoding one costs a page of history little, and a busy room's fold
/// writes few of them.
const BLOCK_EVENTS_MAX: u64 = 64;
/// A block of long messages is full before, so that writing it again stays cheap.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Enough to keep both cores reading while one waits for the disk.
const READERS: usize = 4;

/// How the store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The SQLite VFS by name; the tests put their disk of faults here.
    pub vfs: Option<String>,
    /// Reads side by side, each with a connection of its own; more wait.
    pub readers: usize,
    /// Full blocks of so many bytes or more are packed.
    pub pack_from: Option<usize>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { vfs: None, readers: READERS, pack_from: None }
    }
}

/// The store in a file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<Writer>,
    readers: Readers,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    cursors: Cursors,
    scratch: Vec<u8>,
    /// Packs full blocks, if they are to be.
    packer: Option<Packer>,
    /// The journal may hold texts that were erased.
    scrub: bool,
    /// A sync failed: nothing is written any more.
    failed: Option<String>,
}

/// The key of a block, or a bound among keys.
pub(super) fn key(room: RoomId, seq: Seq) -> i64 {
    i64::from(room.get()) << 40 | seq.0.min(SEQ_MAX) as i64
}

pub(super) fn first_of(id: i64) -> Seq {
    Seq(id as u64 & SEQ_MAX)
}

impl SqliteStore {
    /// Opens the store, or makes it.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        Self::open_file(path, options)
            .map_err(|t| StoreError::from_trouble(t.of("store.db"), "open the store"))
    }

    fn open_file(path: &Path, options: &StoreOptions) -> Result<Self, Trouble> {
        let vfs = options.vfs.as_deref();
        let connection = sqlite::open(path, vfs, &KIND, "NORMAL")?;
        erasure::overwrite_what_is_freed(&connection)?;
        let idle = (0..options.readers.max(1)).map(|_| sqlite::open_reader(path, vfs, &READER));
        let readers = Readers::new(idle.collect::<Result<_, _>>()?);
        let cursors = Cursors::default();
        let packer = options.pack_from.map(Packer::new).transpose();
        let packer = packer.map_err(|error| Trouble::Io(error.to_string()))?;
        let scratch = Vec::new();
        let writer = Writer { connection, cursors, scratch, packer, scrub: true, failed: None };
        Ok(Self { writer: Mutex::new(writer), readers })
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("a panic while folding ends the process")
    }
}

impl Store for SqliteStore {
    fn fold(&self, rooms: &[RoomBatch]) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let folded = writer.check().and_then(|()| writer.fold(rooms));
        if folded.is_err() {
            writer.take_back(rooms);
        }
        let folded = folded.map_err(|failure| failure.named("write to the store"));
        writer.settle(folded)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let synced = writer.check().and_then(|()| writer.checkpoint());
        let synced = synced.map_err(|failure| failure.named("checkpoint the store"));
        writer.settle(synced)
    }

    fn rooms(&self, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), StoreError> {
        let lease = self.readers.lease();
        people::rooms(&lease, visit).map_err(|failure| failure.named("read the rooms"))
    }

    fn page(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let lease = self.readers.lease();
        let page = match span {
            Span::Before(before) => page_before(&lease, room, before, limit),
            Span::After(after) => page_after(&lease, room, after, limit),
        };
        page.map_err(|failure| failure.named("read history"))
    }

    fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        if seq == Seq::ZERO {
            return Ok(None);
        }
        let page = self.page(room, Span::After(Seq(seq.0 - 1)), 1)?;
        Ok(page.into_iter().next().filter(|event| event.seq == seq))
    }

    fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Note>, StoreError> {
        let lease = self.readers.lease();
        carried::notes(&lease, room, from, to).map_err(|failure| failure.named("read edits"))
    }

    fn reactions(
        &self,
        room: RoomId,
        from: Seq,
        to: Seq,
        asker: UserId,
    ) -> Result<Vec<(Seq, Tally)>, StoreError> {
        let lease = self.readers.lease();
        let read = reactions::reactions(&lease, room, (from, to), asker);
        read.map_err(|failure| failure.named("read reactions"))
    }

    fn pins(&self, room: RoomId) -> Result<Vec<Seq>, StoreError> {
        let lease = self.readers.lease();
        reactions::pins(&lease, room).map_err(|failure| failure.named("read pins"))
    }

    fn sweeps(&self, room: RoomId, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let lease = self.readers.lease();
        people::sweeps(&lease, room, users).map_err(|failure| failure.named("read deletions"))
    }

    fn members(&self, room: RoomId, after: u64, limit: usize) -> Result<Members, StoreError> {
        let lease = self.readers.lease();
        let read = people::members(&lease, room, after, limit);
        read.map_err(|failure| failure.named("read the members"))
    }

    fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, u64)>, StoreError> {
        let lease = self.readers.lease();
        let read = reactions::mentions(&lease, room, user, (after, limit));
        read.map_err(|failure| failure.named("read mentions"))
    }

    fn carries(&self, file: FileId) -> Result<bool, StoreError> {
        let lease = self.readers.lease();
        carried::carries(&lease, file).map_err(|failure| failure.named("look for a file"))
    }

    fn first_since(&self, room: RoomId, since: Timestamp) -> Result<Option<Seq>, StoreError> {
        let lease = self.readers.lease();
        let found = erasing::first_since(&lease, room, since);
        found.map_err(|failure| failure.named("look for what is kept"))
    }

    fn erase(&self, what: Erasing) -> Result<Erased, StoreError> {
        self.behind("erase from the store", |writer| writer.erase(what))
    }

    fn unname(&self, names: &Names, after: Option<(RoomId, Seq)>) -> Result<Unnamed, StoreError> {
        self.behind("take names out of the store", |writer| writer.unname(names, after))
    }

    fn origins(
        &self,
        room: RoomId,
        through: Seq,
        since: Timestamp,
        visit: &mut VisitOrigin<'_>,
    ) -> Result<(), StoreError> {
        let lease = self.readers.lease();
        let visited = each_block_before(&lease, room, through.next(), |mut block| {
            // A room's times do not go back: once a block ends before `since`, so do all below it.
            let mut last = Timestamp(0);
            while let Some(raw) = block.advance().map_err(|e| Failure::corrupt(room, e))? {
                last = raw.at;
                if raw.seq <= through
                    && raw.at >= since
                    && let Some((user, id)) = raw.origin()
                {
                    visit(user, id, raw.seq, raw.at);
                }
            }
            Ok(last >= since)
        });
        visited.map_err(|failure| failure.named("read the ids of posts"))
    }
}

impl SqliteStore {
    /// Writes a slice behind the fold.
    fn behind<T>(
        &self,
        attempted: &'static str,
        write: impl FnOnce(&mut Writer) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer();
        let written = writer.check().and_then(|()| write(&mut writer));
        if written.is_err() {
            sqlite::roll_back(&writer.connection);
        }
        writer.settle(written.map_err(|failure| failure.named(attempted)))
    }
}

/// What ends a read or a fold: trouble below, or what the store refuses by itself.
pub(super) enum Failure {
    Trouble(Trouble),
    Refused(StoreError),
}

impl Failure {
    pub(super) fn corrupt(room: RoomId, cause: impl std::fmt::Display) -> Self {
        Self::Refused(StoreError::Corrupt(format!("room {room}: {cause}")))
    }

    fn named(self, attempted: &'static str) -> StoreError {
        match self {
            Self::Trouble(trouble) => StoreError::from_trouble(trouble, attempted),
            Self::Refused(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Trouble(error.into())
    }
}

impl Writer {
    fn check(&self) -> Result<(), Failure> {
        match &self.failed {
            Some(cause) => Err(Failure::Trouble(Trouble::SyncFailed(cause.clone()))),
            None => Ok(()),
        }
    }

    fn settle<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::SyncFailed(cause)) = &outcome
            && self.failed.is_none()
        {
            self.failed = Some(cause.clone());
            sqlite::never_checkpoint_again(&self.connection);
        }
        outcome
    }

    /// After a failed fold: what is remembered of these rooms may be ahead of the file.
    fn take_back(&mut self, rooms: &[RoomBatch]) {
        sqlite::roll_back(&self.connection);
        for batch in rooms {
            self.cursors.forget(batch.room);
        }
    }

    fn fold(&mut self, rooms: &[RoomBatch]) -> Result<(), Failure> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for batch in rooms {
            let mut cursor = match self.cursors.take(batch.room) {
                Some(cursor) => cursor,
                None => read_cursor(&self.connection, batch.room)?,
            };
            self.fold_room(batch, &mut cursor)?;
            self.cursors.keep(batch.room, cursor);
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.cursors.shrink();
        Ok(())
    }

    fn fold_room(&mut self, batch: &RoomBatch, cursor: &mut Cursor) -> Result<(), Failure> {
        let room = batch.room;
        let before = cursor.head;
        for event in &batch.events {
            if event.seq <= cursor.head {
                continue;
            }
            if event.seq != cursor.head.next() || event.room != room {
                let (has, begins) = (cursor.head, event.seq);
                return Err(Failure::Refused(StoreError::Gap { room, has, begins }));
            }
            if cursor.block.count() >= BLOCK_EVENTS_MAX || cursor.block.len() >= BLOCK_BYTES_MAX {
                self.write_block(room, &cursor.block, true)?;
                cursor.block = OpenBlock::new(event.seq);
            }
            // Decided just before its message became too old.
            let late = event.kind.changes().is_some_and(|of| of <= cursor.erased);
            if late {
                cursor.block.push(&event.erased());
            } else {
                cursor.block.push(event);
            }
            cursor.head = event.seq;
            cursor.at = event.at;
            if event.pushed {
                cursor.pushed = event.seq;
            }
            if !late {
                self.fold_kind(event, cursor)?;
            }
        }
        if cursor.head == before {
            return Ok(());
        }
        self.write_block(room, &cursor.block, false)?;
        let update = "UPDATE rooms SET at = ?2, head = ?3, pushed = ?4, posts = ?5 WHERE id = ?1";
        let numbers = [cursor.at.0, cursor.head.0, cursor.pushed.0, cursor.posts].map(|n| n as i64);
        let row = params![room.get(), numbers[0], numbers[1], numbers[2], numbers[3]];
        let updated = self.connection.prepare_cached(update)?.execute(row)?;
        if updated == 1 { Ok(()) } else { Err(Failure::corrupt(room, "it was never made")) }
    }

    /// What an event changes besides the room's history.
    fn fold_kind(&mut self, event: &Event, cursor: &mut Cursor) -> Result<(), Failure> {
        let room = event.room.get();
        match &event.kind {
            EventKind::Created { name, kind, .. } => {
                let insert =
                    "INSERT INTO rooms (id, name, created_at, at, head, pushed, posts, kind)
                              VALUES (?1, ?2, ?3, 0, 0, 0, 0, ?4)";
                let kind = people::kind_number(*kind);
                let row = params![room, name.as_str(), event.at.0 as i64, kind];
                self.connection.prepare_cached(insert)?.execute(row)?;
            }
            EventKind::Moderated { who, act: Act::DeleteAll, .. } => {
                people::sweep(&self.connection, room, who.id, event.seq)?;
                carried::fold(&self.connection, event)?;
                reactions::fold(&self.connection, event)?;
            }
            EventKind::Joined { who }
            | EventKind::Left { who }
            | EventKind::Moderated { who, .. } => {
                people::fold(&self.connection, who.id, event, cursor.posts)?;
            }
            EventKind::Set { settings, .. } => people::set(&self.connection, room, settings)?,
            EventKind::Edited { of, .. } => {
                self.scrub = true;
                erasure::replaced(&self.connection, event.room, *of, &mut cursor.block)?;
                carried::fold(&self.connection, event)?;
            }
            EventKind::Deleted { of, .. } => {
                self.scrub = true;
                erasure::deleted(&self.connection, event.room, *of, &mut cursor.block)?;
                carried::fold(&self.connection, event)?;
                reactions::fold(&self.connection, event)?;
            }
            EventKind::Reacted { .. } | EventKind::Pinned { .. } => {
                reactions::fold(&self.connection, event)?;
            }
            EventKind::Posted { n, .. } => {
                cursor.posts = *n;
                reactions::fold(&self.connection, event)?;
                carried::fold(&self.connection, event)?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self, room: RoomId, block: &OpenBlock, full: bool) -> Result<(), Failure> {
        if block.is_empty() {
            return Ok(());
        }
        self.scratch.clear();
        block.encode(&mut self.scratch);
        if let Some(packer) = self.packer.as_mut().filter(|_| full) {
            packer.pack(&mut self.scratch);
        }
        let insert = "INSERT OR REPLACE INTO blocks VALUES (?1, ?2)";
        let row = params![key(room, block.first()), self.scratch];
        self.connection.prepare_cached(insert)?.execute(row)?;
        Ok(())
    }

    fn erase(&mut self, what: Erasing) -> Result<Erased, Failure> {
        if what == Erasing::Remains {
            return erasing::give_back(&self.connection, &mut self.scrub);
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let (room, erased) = match what {
            Erasing::Old { room, texts, places } => {
                (Some(room), erasing::old(&self.connection, room, texts, places)?)
            }
            _ => match erasing::swept(&self.connection)? {
                Some((room, erased)) => (Some(room), erased),
                None => (None, Erased::default()),
            },
        };
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        if let Some(room) = room.filter(|_| erased.changed) {
            self.cursors.forget(room);
            self.scrub = true;
        }
        Ok(erased)
    }

    fn unname(&mut self, names: &Names, after: Option<(RoomId, Seq)>) -> Result<Unnamed, Failure> {
        let (unnamed, rooms) = unnaming::slice(&self.connection, names, after)?;
        self.cursors.forget_all(rooms);
        self.scrub |= unnamed.changed;
        Ok(unnamed)
    }

    /// All of the WAL into the file, synced. A reader that is in the way makes it fail, and the
    /// fold tries again.
    fn checkpoint(&self) -> Result<(), Failure> {
        let mut statement = self.connection.prepare_cached("PRAGMA wal_checkpoint(FULL)")?;
        let busy: bool = statement.query_row([], |row| row.get(0))?;
        if busy {
            let cause = "a reader was in the way".to_owned();
            return Err(Failure::Trouble(Trouble::Io(cause)));
        }
        Ok(())
    }
}

/// Where the fold of a room goes on, from the file.
fn read_cursor(connection: &Connection, room: RoomId) -> Result<Cursor, Failure> {
    let select = "SELECT at, head, pushed, posts, erased FROM rooms WHERE id = ?1";
    let numbers = |row: &Row<'_>| {
        let (at, head, pushed) = (number(row, 0)?, number(row, 1)?, number(row, 2)?);
        Ok((at, head, pushed, number(row, 3)?, number(row, 4)?))
    };
    let found = connection.prepare_cached(select)?.query_row([room.get()], numbers).optional()?;
    let Some((at, head, pushed, posts, erased)) = found else {
        return Ok(Cursor::default());
    };
    let (at, head, pushed, erased) = (Timestamp(at), Seq(head), Seq(pushed), Seq(erased));
    let select = "SELECT id, bytes FROM blocks WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([key(room, Seq::ZERO), key(room, Seq(SEQ_MAX))])?;
    let row = rows.next()?.ok_or_else(|| Failure::corrupt(room, "its newest block is missing"))?;
    let first = first_of(row.get(0)?);
    let block = packed::reopen(first, blob(row, room)?).map_err(|e| Failure::corrupt(room, e))?;
    if first.0 + block.count() != head.0 + 1 {
        return Err(Failure::corrupt(room, "its newest block does not end at its head"));
    }
    Ok(Cursor { head, at, pushed, posts, erased, block })
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| number as u64)
}

fn blob<'a>(row: &'a Row<'_>, room: RoomId) -> Result<&'a [u8], Failure> {
    match row.get_ref(1)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(Failure::corrupt(room, "a block is not a blob")),
    }
}

/// Visits the blocks that hold places above `after`, oldest first, until the visitor has enough.
/// The first one may begin below.
fn each_block_after(
    connection: &Connection,
    room: RoomId,
    after: Seq,
    mut visit: impl FnMut(Block<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let select = "SELECT id, bytes FROM blocks WHERE id BETWEEN coalesce(
                      (SELECT max(id) FROM blocks WHERE id BETWEEN ?1 AND ?2), ?2) AND ?3
                  ORDER BY id";
    let (lowest, highest) = (key(room, Seq::ZERO), key(room, Seq(SEQ_MAX)));
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([lowest, key(room, after.next()), highest])?;
    while let Some(row) = rows.next()? {
        let bytes = packed::unpack(blob(row, room)?).map_err(|e| Failure::corrupt(room, e))?;
        let block = Block::open(first_of(row.get(0)?), &bytes);
        if !visit(block.map_err(|e| Failure::corrupt(room, e))?)? {
            break;
        }
    }
    Ok(())
}

/// Visits the blocks that hold places below `before`, newest first, until the visitor has enough.
/// The first one may end above.
fn each_block_before(
    connection: &Connection,
    room: RoomId,
    before: Seq,
    mut visit: impl FnMut(Block<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let select = "SELECT id, bytes FROM blocks WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC";
    let mut statement = connection.prepare_cached(select)?;
    let highest = key(room, Seq(before.0.saturating_sub(1)));
    let mut rows = statement.query([key(room, Seq::ZERO), highest])?;
    while let Some(row) = rows.next()? {
        let bytes = packed::unpack(blob(row, room)?).map_err(|e| Failure::corrupt(room, e))?;
        let block = Block::open(first_of(row.get(0)?), &bytes);
        if !visit(block.map_err(|e| Failure::corrupt(room, e))?)? {
            break;
        }
    }
    Ok(())
}

/// What became of the messages between two places.
fn page_after(
    connection: &Connection,
    room: RoomId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Arc<Event>>, Failure> {
    let mut events = Vec::new();
    if limit == 0 {
        return Ok(events);
    }
    let corrupt = |e| Failure::corrupt(room, e);
    each_block_after(connection, room, after, |mut block| {
        while let Some(raw) = block.advance().map_err(corrupt)? {
            if raw.seq > after && events.len() < limit {
                events.push(Arc::new(raw.to_event(room).map_err(corrupt)?));
            }
        }
        Ok(events.len() < limit)
    })?;
    Ok(events)
}

fn page_before(
    connection: &Connection,
    room: RoomId,
    before: Seq,
    limit: usize,
) -> Result<Vec<Arc<Event>>, Failure> {
    let mut events = Vec::new();
    if limit == 0 || before <= Seq(1) {
        return Ok(events);
    }
    let corrupt = |e| Failure::corrupt(room, e);
    each_block_before(connection, room, before, |mut block| {
        let mut raws: Vec<Raw<'_>> = Vec::with_capacity(BLOCK_EVENTS_MAX as usize);
        while let Some(raw) = block.advance().map_err(corrupt)? {
            if raw.seq < before {
                raws.push(raw);
            }
        }
        for raw in raws.iter().rev().take(limit - events.len()) {
            events.push(Arc::new(raw.to_event(room).map_err(corrupt)?));
        }
        Ok(events.len() < limit)
    })?;
    events.reverse();
    Ok(events)
}

#[cfg(test)]
mod tests;
