//! Erases for good, a bounded slice at a time: the texts of messages that a room keeps no longer, those
//! of senders all of whose messages were taken away, and at last the blocks that hold neither a text
//! nor an `origin_id` that counts.
//!
//! Neighbours: `sqlite.rs` calls it in a transaction of its own, behind the fold and between its
//! slices. What it takes is shown to nobody any more; it decides nothing about that.

use rusqlite::{Connection, OptionalExtension, params};
use throng_core::id::SEQ_MAX;
use throng_core::{Event, EventKind, RoomId, Seq, Timestamp, UserId};

use super::Erased;
use super::erasure::erase_in_file;
use super::packed;
use super::sqlite::{Failure, first_of, key, number};
use crate::pages::sender_of;
use crate::record::Block;

/// Blocks looked at in one slice…
const SLICE_BLOCKS: usize = 64;
/// …and bytes written: the log's sync waits for a slice's.
const SLICE_BYTES: usize = 512 * 1024;

/// Pages that are not used and stay for what comes next, and those given back in one slice.
const PAGES_SPARE: i64 = 64;
const PAGES_GIVEN_BACK: i64 = 32;

/// A slice being made.
struct Slice<'a> {
    connection: &'a Connection,
    room: RoomId,
    blocks: usize,
    bytes: usize,
}

type Found = Option<(Seq, Vec<u8>)>;

/// What is too old in a room. Texts up to `erased` have gone before.
pub fn old(
    connection: &Connection,
    room: RoomId,
    texts: Timestamp,
    places: Timestamp,
) -> Result<Erased, Failure> {
    let select = "SELECT erased, head FROM rooms WHERE id = ?1";
    let mut select = connection.prepare_cached(select)?;
    let bounds = |row: &rusqlite::Row<'_>| Ok((Seq(number(row, 0)?), Seq(number(row, 1)?)));
    let Some((was, head)) = select.query_row([room.get()], bounds).optional()? else {
        return Ok(Erased::default());
    };
    let mut slice = Slice::new(connection, room);
    let mut erased = was;
    let mut old = true;
    while old && erased < head && slice.goes_on() {
        let Some((first, bytes)) = slice.block_at(erased.next())? else { break };
        let (through, last) = slice.erase_old(first, &bytes, texts)?;
        old = through == last;
        slice.forget_about(erased.next(), through)?;
        erased = erased.max(through);
    }
    let more = old && erased < head;
    if erased > was {
        let update = "UPDATE rooms SET erased = ?2 WHERE id = ?1";
        connection.prepare_cached(update)?.execute(params![room.get(), erased.0 as i64])?;
    }
    let dropped = slice.drop_old(erased, head, places)?;
    Ok(Erased { changed: erased > was || dropped.changed, more: more || dropped.more })
}

/// What one sender had said before all of it was taken away; which room it was.
pub fn swept(connection: &Connection) -> Result<Option<(RoomId, Erased)>, Failure> {
    let select =
        "SELECT room, user, seq, done FROM erasing WHERE room > 0 ORDER BY room, user LIMIT 1";
    let next = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, u32>(0)?, number(row, 1)?, Seq(number(row, 2)?), Seq(number(row, 3)?)))
    };
    let found = connection.prepare_cached(select)?.query_row([], next).optional()?;
    let Some((number, user, seq, mut done)) = found else { return Ok(None) };
    let (Some(room), Some(user)) = (RoomId::new(number), UserId::new(user)) else {
        let what = format!("room {number}: one whose messages are to be erased is nobody");
        return Err(Failure::Refused(super::StoreError::Corrupt(what)));
    };
    let mut slice = Slice::new(connection, room);
    let mut ends = false;
    while !ends && slice.goes_on() {
        let found = if done < seq { slice.block_from(done.next())? } else { None };
        let Some((first, bytes)) = found else {
            ends = true;
            continue;
        };
        done = slice.erase_of(first, &bytes, (user, seq))?;
    }
    let row = params![number, user.get() as i64, done.0 as i64];
    if ends {
        let delete = "DELETE FROM erasing WHERE room = ?1 AND user = ?2";
        connection.prepare_cached(delete)?.execute(&row[..2])?;
    } else {
        let update = "UPDATE erasing SET done = ?3 WHERE room = ?1 AND user = ?2";
        connection.prepare_cached(update)?.execute(row)?;
    }
    Ok(Some((room, Erased { changed: true, more: true })))
}

/// The first place whose event was decided at this time or later.
pub fn first_since(
    connection: &Connection,
    room: RoomId,
    since: Timestamp,
) -> Result<Option<Seq>, Failure> {
    let select = "SELECT erased, head FROM rooms WHERE id = ?1";
    let mut select = connection.prepare_cached(select)?;
    let bounds = |row: &rusqlite::Row<'_>| Ok((number(row, 0)?, number(row, 1)?));
    let Some((_, head)) = select.query_row([room.get()], bounds).optional()? else {
        return Ok(None);
    };
    let mut slice = Slice::new(connection, room);
    let (mut low, mut high, mut found) = (1, head, None);
    while low <= high {
        let middle = low + (high - low) / 2;
        let Some((first, bytes)) = slice.block_at(Seq(middle))? else {
            low = middle + 1;
            continue;
        };
        let corrupt = |error| Failure::corrupt(room, error);
        let bytes = packed::unpack(&bytes).map_err(corrupt)?;
        let mut block = Block::open(first, &bytes).map_err(corrupt)?;
        let (mut here, mut last) = (None, first);
        while let Some(raw) = block.advance().map_err(corrupt)? {
            last = raw.seq;
            if here.is_none() && raw.at >= since {
                here = Some(raw.seq);
            }
        }
        match here {
            Some(here) if here > first => return Ok(Some(here)),
            Some(here) => {
                found = Some(here);
                high = first.0 - 1;
            }
            None => low = last.0 + 1,
        }
    }
    Ok(found)
}

/// Gives some of the pages that are not used any more back to the disk; when there are none, what the
/// journal still holds, if it may hold texts that were erased.
pub fn give_back(connection: &Connection, scrub: &mut bool) -> Result<Erased, Failure> {
    let free = || -> Result<i64, Failure> {
        let mut free = connection.prepare_cached("PRAGMA freelist_count")?;
        Ok(free.query_row([], |row| row.get(0))?)
    };
    let was = free()?;
    if was > PAGES_SPARE {
        let count = PAGES_GIVEN_BACK.min(was - PAGES_SPARE);
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({count})"))?;
        // The file of an older build cannot become smaller; its free pages are used again.
        if free()? < was {
            *scrub = true;
            return Ok(Erased { changed: true, more: true });
        }
    }
    if *scrub {
        let mut empty = connection.prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")?;
        // A reader in the way: the next time.
        *scrub = empty.query_row([], |row| row.get(0))?;
    }
    Ok(Erased::default())
}

impl<'a> Slice<'a> {
    fn new(connection: &'a Connection, room: RoomId) -> Self {
        Self { connection, room, blocks: 0, bytes: 0 }
    }

    fn goes_on(&self) -> bool {
        self.blocks < SLICE_BLOCKS && self.bytes < SLICE_BYTES
    }

    fn find(&mut self, select: &str, from: Seq, to: Seq) -> Result<Found, Failure> {
        self.blocks += 1;
        let mut select = self.connection.prepare_cached(select)?;
        let found = select.query_row([key(self.room, from), key(self.room, to)], |row| {
            Ok((first_of(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
        });
        Ok(found.optional()?)
    }

    /// The block that has this place, or, where that has gone, none or one that ends before it.
    fn block_at(&mut self, place: Seq) -> Result<Found, Failure> {
        let select =
            "SELECT id, bytes FROM blocks WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1";
        self.find(select, Seq::ZERO, place)
    }

    /// The block that has this place, or else the next one.
    fn block_from(&mut self, place: Seq) -> Result<Found, Failure> {
        let at = self.block_at(place)?;
        let corrupt = |error| Failure::corrupt(self.room, error);
        if let Some((first, bytes)) = at {
            let count = packed::reopen(first, &bytes).map_err(corrupt)?.count();
            if first.0 + count > place.0 {
                return Ok(Some((first, bytes)));
            }
        }
        self.oldest(place)
    }

    fn oldest(&mut self, from: Seq) -> Result<Found, Failure> {
        let select = "SELECT id, bytes FROM blocks WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1";
        self.find(select, from, Seq(SEQ_MAX))
    }

    /// Writes a block without the texts of the events that this says; returns its last place.
    fn rewrite(
        &mut self,
        first: Seq,
        bytes: &[u8],
        mut gone: impl FnMut(&Event) -> bool,
    ) -> Result<Seq, Failure> {
        let corrupt = |error| Failure::corrupt(self.room, error);
        let mut block = packed::reopen(first, bytes).map_err(corrupt)?;
        let erase = |event: &Event| {
            let here = gone(event) && event.stands();
            here.then(|| event.erased())
        };
        if block.change_where(self.room, erase).map_err(corrupt)? {
            let left = packed::encode_as(bytes, &block).map_err(corrupt)?;
            self.bytes += bytes.len();
            let update = "UPDATE blocks SET bytes = ?2 WHERE id = ?1";
            let row = params![key(self.room, first), left];
            self.connection.prepare_cached(update)?.execute(row)?;
        }
        Ok(Seq(first.0 + block.count() - 1))
    }

    /// Erases what of a block is too old; returns the last place of that, and of the block.
    fn erase_old(
        &mut self,
        first: Seq,
        bytes: &[u8],
        texts: Timestamp,
    ) -> Result<(Seq, Seq), Failure> {
        let mut through = Seq::ZERO;
        let last = self.rewrite(first, bytes, |event| {
            if event.at < texts {
                through = event.seq;
            }
            event.at < texts
        })?;
        Ok((through, last))
    }

    /// Erases what of a block an account has said before a place; returns the block's last place.
    fn erase_of(
        &mut self,
        first: Seq,
        bytes: &[u8],
        (user, before): (UserId, Seq),
    ) -> Result<Seq, Failure> {
        let mut posts = Vec::new();
        let last = self.rewrite(first, bytes, |event| {
            let said = event.seq < before && sender_of(event) == Some(user);
            if said && matches!(event.kind, EventKind::Posted { .. }) {
                posts.push(event.seq);
            }
            said
        })?;
        let update = "UPDATE notes SET body = NULL WHERE id = ?1 AND body IS NOT NULL";
        let mut update = self.connection.prepare_cached(update)?;
        let mentions = "DELETE FROM mentions WHERE id = ?1";
        let mut mentions = self.connection.prepare_cached(mentions)?;
        for of in posts {
            update.execute([key(self.room, of)])?;
            mentions.execute([key(self.room, of)])?;
        }
        Ok(last)
    }

    /// What was said of the messages between these places, both included.
    fn forget_about(&mut self, from: Seq, through: Seq) -> Result<(), Failure> {
        if through < from {
            return Ok(());
        }
        let (low, high) = (key(self.room, from), key(self.room, through));
        let select = "SELECT seq FROM notes WHERE id BETWEEN ?1 AND ?2 AND body IS NOT NULL";
        let mut select = self.connection.prepare_cached(select)?;
        let edits = select.query_map([low, high], |row| number(row, 0))?;
        for edit in edits.collect::<Result<Vec<_>, _>>()? {
            self.bytes += erase_in_file(self.connection, self.room, Seq(edit))?;
        }
        for gone in [
            "DELETE FROM notes WHERE id BETWEEN ?1 AND ?2",
            "DELETE FROM reactions WHERE id BETWEEN ?1 AND ?2",
            "DELETE FROM tallies WHERE id BETWEEN ?1 AND ?2",
            "DELETE FROM pins WHERE id BETWEEN ?1 AND ?2",
            "DELETE FROM mentions WHERE id BETWEEN ?1 AND ?2",
            "DELETE FROM carried WHERE id BETWEEN ?1 AND ?2",
        ] {
            self.connection.prepare_cached(gone)?.execute([low, high])?;
        }
        Ok(())
    }

    /// Takes away the oldest blocks whose texts have gone and whose last event is so old. The newest
    /// block stays: the fold goes on from it.
    fn drop_old(&mut self, erased: Seq, head: Seq, places: Timestamp) -> Result<Erased, Failure> {
        let mut dropped = Erased::default();
        while self.goes_on() {
            let Some((first, bytes)) = self.oldest(Seq::ZERO)? else { return Ok(dropped) };
            let corrupt = |error| Failure::corrupt(self.room, error);
            let bytes = packed::unpack(&bytes).map_err(corrupt)?;
            let mut block = Block::open(first, &bytes).map_err(corrupt)?;
            let (mut last, mut at) = (first, Timestamp(0));
            while let Some(raw) = block.advance().map_err(corrupt)? {
                (last, at) = (raw.seq, raw.at);
            }
            if last > erased || last >= head || at >= places {
                return Ok(dropped);
            }
            let delete = "DELETE FROM blocks WHERE id = ?1";
            self.connection.prepare_cached(delete)?.execute([key(self.room, first)])?;
            self.bytes += bytes.len();
            dropped.changed = true;
        }
        Ok(Erased { more: true, ..dropped })
    }
}
