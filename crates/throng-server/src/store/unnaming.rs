//! Takes names out of what was folded before they were to be named no more, a bounded slice at a time.
//!
//! Neighbours: `sqlite.rs` calls it in a transaction of its own, behind the fold and between its slices.
//! What it takes is shown to nobody any more; it decides nothing about that.

use rusqlite::{Connection, OptionalExtension as _, params};
use throng_core::id::SEQ_MAX;
use throng_core::{Kind, RoomId, RoomName, Seq};

use super::people::kind_number;
use super::sqlite::{Failure, first_of, key};
use super::{StoreError, Unnamed, packed};
use crate::leavers::Names;

/// Blocks looked at in one slice, and bytes written, as when texts are erased.
const SLICE_BLOCKS: usize = 64;
const SLICE_BYTES: usize = 512 * 1024;

/// A slice behind a place in a transaction of its own, and the rooms of which something was written.
pub fn slice(
    connection: &Connection,
    names: &Names,
    after: Option<(RoomId, Seq)>,
) -> Result<(Unnamed, Vec<RoomId>), Failure> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = behind(connection, names, after)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(done)
}

fn behind(
    connection: &Connection,
    names: &Names,
    after: Option<(RoomId, Seq)>,
) -> Result<(Unnamed, Vec<RoomId>), Failure> {
    let (mut at, mut bytes, mut changed) = (after, 0, Vec::new());
    for _ in 0..SLICE_BLOCKS {
        if bytes >= SLICE_BYTES {
            break;
        }
        let select = "SELECT id, bytes FROM blocks WHERE id > ?1 ORDER BY id LIMIT 1";
        let below = at.map_or(0, |(room, last)| key(room, last));
        let mut select = connection.prepare_cached(select)?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
        let Some((id, block)) = select.query_row([below], read).optional()? else {
            return Ok((Unnamed { changed: !changed.is_empty(), next: None }, changed));
        };
        let (room, first) = (room_of(id)?, first_of(id));
        let called = at.is_none_or(|(before, _)| before != room) && call(connection, names, room)?;
        let written = block_of(connection, names, (room, first), &block)?;
        bytes += written;
        if (called || written > 0) && changed.last() != Some(&room) {
            changed.push(room);
        }
        at = Some((room, first));
    }
    Ok((Unnamed { changed: !changed.is_empty(), next: at }, changed))
}

fn room_of(id: i64) -> Result<RoomId, Failure> {
    let room = u32::try_from(id >> (SEQ_MAX + 1).trailing_zeros()).ok().and_then(RoomId::new);
    let nowhere = || Failure::Refused(StoreError::Corrupt(format!("block {id} is of no room")));
    room.ok_or_else(nowhere)
}

/// A direct room is called by the names of the two.
fn call(connection: &Connection, names: &Names, room: RoomId) -> Result<bool, Failure> {
    let select = "SELECT name FROM rooms WHERE id = ?1 AND kind = ?2";
    let row = params![room.get(), kind_number(Kind::Direct)];
    let mut select = connection.prepare_cached(select)?;
    let name = select.query_row(row, |row| row.get::<_, String>(0)).optional()?;
    let name = name.and_then(|name| RoomName::parse_two(&name).ok());
    let Some(called) = name.and_then(|name| name.without(|name| names.has_name(name))) else {
        return Ok(false);
    };
    let update = "UPDATE rooms SET name = ?2 WHERE id = ?1";
    connection.prepare_cached(update)?.execute(params![room.get(), called.as_str()])?;
    Ok(true)
}

/// One block; the bytes that were written.
fn block_of(
    connection: &Connection,
    names: &Names,
    (room, first): (RoomId, Seq),
    bytes: &[u8],
) -> Result<usize, Failure> {
    let corrupt = |error| Failure::corrupt(room, error);
    let mut block = packed::reopen(first, bytes).map_err(corrupt)?;
    if !block.change_where(room, |event| names.taken_from(event)).map_err(corrupt)? {
        return Ok(0);
    }
    let left = packed::encode_as(bytes, &block).map_err(corrupt)?;
    let update = "UPDATE blocks SET bytes = ?2 WHERE id = ?1";
    connection.prepare_cached(update)?.execute(params![key(room, first), left])?;
    Ok(left.len())
}
