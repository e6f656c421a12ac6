//! Reactions, pins and mentions in SQLite: who gave which, how many that makes, what is pinned, and who
//! is mentioned where.
//!
//! Neighbours: `sqlite.rs`, whose fold writes them in the transaction of the blocks they follow from,
//! and whose readers ask. The counts stand beside the givers, so that a page counts nothing.

use rusqlite::{Connection, Row, params};
use throng_core::id::SEQ_MAX;
use throng_core::{Act, Event, EventKind, Reaction, RoomId, Seq, Tally, UserId};

use super::sqlite::{Failure, first_of, key, number};

/// Takes in what an event changes of reactions, pins and mentions.
pub fn fold(connection: &Connection, event: &Event) -> Result<(), Failure> {
    let execute = |statement: &str, row: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(statement)?.execute(row).map(|_| ())
    };
    match &event.kind {
        EventKind::Posted { extras: Some(extras), author, .. } => {
            for user in &extras.mentions {
                let mention = "INSERT OR REPLACE INTO mentions VALUES (?1, ?2, ?3)";
                let (user, sender) = (user.get() as i64, author.id.get() as i64);
                execute(mention, params![user, key(event.room, event.seq), sender])?;
            }
        }
        EventKind::Reacted { by, of, reaction, on, count } => {
            let (id, text, user) = (key(event.room, *of), reaction.as_str(), by.id.get() as i64);
            let given = if *on {
                "INSERT OR REPLACE INTO reactions VALUES (?1, ?2, ?3)"
            } else {
                "DELETE FROM reactions WHERE id = ?1 AND reaction = ?2 AND user = ?3"
            };
            execute(given, params![id, text, user])?;
            if *count == 0 {
                let none = "DELETE FROM tallies WHERE id = ?1 AND reaction = ?2";
                return Ok(execute(none, params![id, text])?);
            }
            let counted = "INSERT OR REPLACE INTO tallies VALUES (?1, ?2, ?3, ?4)";
            execute(counted, params![id, text, count, event.seq.0 as i64])?;
        }
        EventKind::Pinned { of, on, .. } => {
            let pinned = if *on {
                "INSERT OR REPLACE INTO pins VALUES (?1)"
            } else {
                "DELETE FROM pins WHERE id = ?1"
            };
            execute(pinned, params![key(event.room, *of)])?;
        }
        EventKind::Moderated { who, act: Act::DeleteAll, .. } => {
            let delete = "DELETE FROM mentions WHERE id BETWEEN ?1 AND ?2 AND sender = ?3";
            let (from, to) = (key(event.room, Seq(1)), key(event.room, event.seq));
            execute(delete, params![from, to, who.id.get() as i64])?;
        }
        EventKind::Deleted { of, .. } => {
            for gone in [
                "DELETE FROM reactions WHERE id = ?1",
                "DELETE FROM tallies WHERE id = ?1",
                "DELETE FROM pins WHERE id = ?1",
                "DELETE FROM mentions WHERE id = ?1",
            ] {
                execute(gone, params![key(event.room, *of)])?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What messages were answered with.
pub fn reactions(
    connection: &Connection,
    room: RoomId,
    (from, to): (Seq, Seq),
    asker: UserId,
) -> Result<Vec<(Seq, Tally)>, Failure> {
    let select = "SELECT t.id, t.reaction, t.count, t.seq, EXISTS (
                      SELECT 1 FROM reactions r
                      WHERE r.id = t.id AND r.reaction = t.reaction AND r.user = ?3)
                  FROM tallies t WHERE t.id BETWEEN ?1 AND ?2 ORDER BY t.id, t.reaction";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![key(room, from), key(room, to), asker.get() as i64])?;
    let mut tallies = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        let reaction = Reaction::stored(text)
            .map_err(|_| Failure::corrupt(room, "a reaction breaks the rules"))?;
        let (count, mine) = (row.get(2)?, row.get(4)?);
        let tally = Tally { reaction, count, mine, seq: Seq(number(row, 3)?) };
        tallies.push((first_of(row.get(0)?), tally));
    }
    Ok(tallies)
}

/// The newest messages above a place that mention an account, and who sent them.
pub fn mentions(
    connection: &Connection,
    room: RoomId,
    user: UserId,
    (after, limit): (Seq, usize),
) -> Result<Vec<(Seq, u64)>, Failure> {
    let select = "SELECT id, sender FROM mentions WHERE user = ?1 AND id BETWEEN ?2 AND ?3
                  ORDER BY id DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(select)?;
    let (lowest, highest) = (key(room, after.next()), key(room, Seq(SEQ_MAX)));
    let row = params![user.get() as i64, lowest, highest, limit as i64];
    let found = |row: &Row<'_>| Ok((first_of(row.get(0)?), number(row, 1)?));
    Ok(statement.query_map(row, found)?.collect::<Result<_, _>>()?)
}

/// What is pinned in a room.
pub fn pins(connection: &Connection, room: RoomId) -> Result<Vec<Seq>, Failure> {
    let select = "SELECT id FROM pins WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(select)?;
    let ids =
        statement.query_map([key(room, Seq::ZERO), key(room, Seq(SEQ_MAX))], |row| row.get(0))?;
    Ok(ids.map(|id| id.map(first_of)).collect::<Result<_, _>>()?)
}
