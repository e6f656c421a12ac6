//! Takes texts that nobody is shown any more out of the blocks: those of deleted messages and of their
//! edits.
//!
//! Neighbours: `sqlite.rs` calls it in the fold's transaction, before it notes what became of the
//! message, so that a reader finds the text or the note. The place, the sender and the `origin_id` stay:
//! a room's order has no holes, and a repeat still gets its first answer.

use rusqlite::{Connection, OptionalExtension, params};
use throng_core::{RoomId, Seq};

use super::packed;
use super::sqlite::{Failure, first_of, key, number};
use crate::record::OpenBlock;
use crate::sqlite::Trouble;

/// What is freed is overwritten with zeros, whole pages of long texts too. A fold frees few that it
/// does not fill again at once.
pub(super) fn overwrite_what_is_freed(connection: &Connection) -> Result<(), Trouble> {
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(())
}

/// A message is deleted: its text goes, and that of its newest edit; those before went when they were
/// replaced. `open` is the room's newest block, which is not written yet.
pub(super) fn deleted(
    connection: &Connection,
    room: RoomId,
    of: Seq,
    open: &mut OpenBlock,
) -> Result<(), Failure> {
    replaced(connection, room, of, open)?;
    erase(connection, room, of, open)
}

/// A message is edited again: the text of the edit before goes. That of the message itself stays until
/// it is deleted, because one who resumes just then is given the message before the edit.
pub(super) fn replaced(
    connection: &Connection,
    room: RoomId,
    of: Seq,
    open: &mut OpenBlock,
) -> Result<(), Failure> {
    let select = "SELECT seq FROM notes WHERE id = ?1 AND body IS NOT NULL";
    let mut select = connection.prepare_cached(select)?;
    let edit = select.query_row([key(room, of)], |row| number(row, 0)).optional()?;
    edit.map_or(Ok(()), |edit| erase(connection, room, Seq(edit), open))
}

fn erase(
    connection: &Connection,
    room: RoomId,
    place: Seq,
    open: &mut OpenBlock,
) -> Result<(), Failure> {
    if place >= open.first() {
        open.erase(room, place).map_err(|error| Failure::corrupt(room, error))?;
        return Ok(());
    }
    erase_in_file(connection, room, place).map(|_| ())
}

/// The same of a block in the file; the bytes that were written.
pub(super) fn erase_in_file(
    connection: &Connection,
    room: RoomId,
    place: Seq,
) -> Result<usize, Failure> {
    let corrupt = |error| Failure::corrupt(room, error);
    let select = "SELECT id, bytes FROM blocks WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1";
    let found = connection
        .prepare_cached(select)?
        .query_row([key(room, Seq::ZERO), key(room, place)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let Some((id, bytes)) = found else { return Ok(0) };
    let mut block = packed::reopen(first_of(id), &bytes).map_err(corrupt)?;
    if block.erase(room, place).map_err(corrupt)? {
        let left = packed::encode_as(&bytes, &block).map_err(corrupt)?;
        let update = "UPDATE blocks SET bytes = ?2 WHERE id = ?1";
        connection.prepare_cached(update)?.execute(params![id, left])?;
        return Ok(bytes.len());
    }
    Ok(0)
}
