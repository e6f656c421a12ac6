//! Which files messages carry, and what became of messages, in SQLite.
//!
//! Neighbours: `sqlite.rs`, whose fold writes them in the transaction of the blocks they follow from,
//! and whose readers ask. The bytes of files are elsewhere and go by what stands here.

use rusqlite::{Connection, params};
use throng_core::{Act, Body, Event, EventKind, FileId, RoomId, Seq};

use super::sqlite::{Failure, first_of, key, number};
use crate::pages::Note;

/// Takes in what an event changes of both.
pub fn fold(connection: &Connection, event: &Event) -> Result<(), Failure> {
    match &event.kind {
        EventKind::Posted { extras: Some(extras), author, .. } => {
            for file in &extras.files {
                let insert = "INSERT OR IGNORE INTO carried VALUES (?1, ?2, ?3)";
                let id = key(event.room, event.seq);
                let row = params![id, file.id.0, author.id.get() as i64];
                connection.prepare_cached(insert)?.execute(row)?;
            }
        }
        EventKind::Edited { of, body, .. } => note(connection, event, *of, Some(body))?,
        EventKind::Deleted { of, .. } => {
            note(connection, event, *of, None)?;
            let delete = "DELETE FROM carried WHERE id = ?1";
            connection.prepare_cached(delete)?.execute([key(event.room, *of)])?;
        }
        EventKind::Moderated { who, act: Act::DeleteAll, .. } => {
            let delete = "DELETE FROM carried WHERE id BETWEEN ?1 AND ?2 AND user = ?3";
            let (from, to) = (key(event.room, Seq(1)), key(event.room, event.seq));
            let row = params![from, to, who.id.get() as i64];
            connection.prepare_cached(delete)?.execute(row)?;
        }
        _ => {}
    }
    Ok(())
}

fn note(
    connection: &Connection,
    event: &Event,
    of: Seq,
    body: Option<&Body>,
) -> Result<(), Failure> {
    let insert = "INSERT OR REPLACE INTO notes VALUES (?1, ?2, ?3)";
    // Null for a message that is deleted, and for an edit that was; a text that was left blank is empty.
    let body = body.filter(|body| !body.is_erased()).map(Body::as_str);
    let row = params![key(event.room, of), event.seq.0 as i64, body];
    connection.prepare_cached(insert)?.execute(row)?;
    Ok(())
}

/// Whether a message that is not deleted carries this file.
pub fn carries(connection: &Connection, file: FileId) -> Result<bool, Failure> {
    let mut select = connection.prepare_cached("SELECT 1 FROM carried WHERE file = ?1")?;
    Ok(select.exists([file.0])?)
}

/// What became of the messages between two places, both included.
pub fn notes(
    connection: &Connection,
    room: RoomId,
    from: Seq,
    to: Seq,
) -> Result<Vec<Note>, Failure> {
    let select = "SELECT id, seq, body FROM notes WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([key(room, from), key(room, to)])?;
    let mut notes = Vec::new();
    while let Some(row) = rows.next()? {
        let body: Option<String> = row.get(2)?;
        let body = body.map(Body::beside_files).transpose();
        let body = body.map_err(|_| Failure::corrupt(room, "an edit's text breaks the rules"))?;
        notes.push(Note { of: first_of(row.get(0)?), seq: Seq(number(row, 1)?), body });
    }
    Ok(notes)
}
