//! One question to the index: the newest messages of each room that have the words, at most so many.
//!
//! Neighbours: `index.rs` keeps the rows, `rank.rs` puts into order what comes from here. What a
//! question costs is bounded three times: by the rows that are taken of each room, by the rows whose
//! text is read, and by time.

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use throng_core::id::SEQ_MAX;
use throng_core::limits::{SEARCH_HITS_MAX, SEARCH_RANKED_MAX};
use throng_core::{RoomId, Seq, Timestamp};

use super::index::{key, place, progress};
use crate::clock::{Clock, Moment};
use crate::sqlite::{self, Trouble};

/// Steps of SQLite between two looks at the clock.
const STEPS: i32 = 2_000;
/// Above so many rooms a question that gathers many words is asked once for all of them.
const ROOMS_ASKED_APART: usize = 4;
/// Of many rooms so many are asked first, to see how often the words are said…
const ROOMS_PROBED: usize = 24;
/// …and to ask one more costs as much as to walk over so many rows.
const ROWS_FOR_A_ROOM: usize = 200;

/// A room, as far as the asker may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Which room.
    pub room: RoomId,
    /// From which place on.
    pub from: Seq,
}

/// What is asked of the index.
#[derive(Debug)]
pub struct Question<'a> {
    /// In FTS5's grammar.
    pub expression: &'a str,
    /// It gathers the places of many words before it can tell the first.
    pub gathers: bool,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// A message that has the words, or had them a moment ago.
#[derive(Debug)]
pub struct Candidate {
    /// Where.
    pub room: RoomId,
    /// At which place.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// Its words, with a space between two.
    pub text: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Haul {
    /// Those that may be ranked.
    pub candidates: Vec<Candidate>,
    /// How many were counted in each room that has any.
    pub counts: Vec<(RoomId, u32)>,
    /// There are more than were counted, or the time was up.
    pub more: bool,
}

/// Keys that were found, by room, each newest first.
#[derive(Default)]
struct Keys {
    rooms: Vec<Vec<i64>>,
    more: bool,
}

/// Asks the index; `scopes` ascend by room.
pub fn haul(
    connection: &mut Connection,
    scopes: &[Scope],
    question: &Question<'_>,
    clock: &Clock,
    deadline: Moment,
) -> Result<Haul, Trouble> {
    let watch = clock.clone();
    connection.progress_handler(STEPS, Some(move || watch.now() >= deadline))?;
    // One look at the file for all of it: a transaction for each room would cost more than its rows.
    connection.execute_batch("BEGIN")?;
    let hauled = gather(connection, scopes, question).and_then(|keys| read(connection, keys));
    connection.progress_handler(0, None::<fn() -> bool>)?;
    sqlite::roll_back(connection);
    Ok(hauled?)
}

/// Whether it was the clock that ended it.
fn out_of_time(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

fn gather(
    connection: &Connection,
    scopes: &[Scope],
    question: &Question<'_>,
) -> rusqlite::Result<Keys> {
    let each = (SEARCH_RANKED_MAX / scopes.len().max(1)).max(SEARCH_HITS_MAX / 4);
    let mut keys = Keys::default();
    match gather_into(&mut keys, connection, scopes, question, each) {
        Err(error) if out_of_time(&error) => keys.more = true,
        gathered => gathered?,
    }
    Ok(keys)
}

/// Room by room, as long as that is cheaper than one walk through all rooms that there are: asked for
/// a word that is seldom said, an asker of many rooms pays for the rooms and not for the word.
fn gather_into(
    keys: &mut Keys,
    connection: &Connection,
    scopes: &[Scope],
    question: &Question<'_>,
    each: usize,
) -> rusqlite::Result<()> {
    let apart = if question.gathers { ROOMS_ASKED_APART } else { ROOMS_PROBED };
    let (probed, rest) = scopes.split_at(scopes.len().min(apart));
    if question.gathers && !rest.is_empty() {
        return sweep(connection, scopes, question, each, keys);
    }
    probed.iter().try_for_each(|scope| ask_room(connection, *scope, question, each, keys))?;
    let (Some(first), Some(last)) = (rest.first(), rest.last()) else { return Ok(()) };
    let found: usize = keys.rooms.iter().map(Vec::len).sum();
    let walked = (last.room.get() - first.room.get()) as usize * (found + 1) / probed.len();
    if walked < rest.len() * ROWS_FOR_A_ROOM && keys.rooms.iter().all(|room| room.len() < each) {
        return sweep(connection, rest, question, each, keys);
    }
    rest.iter().try_for_each(|scope| ask_room(connection, *scope, question, each, keys))
}

const ASK: &str = "SELECT rowid FROM messages WHERE messages MATCH ?1
                   AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid";

fn ask_room(
    connection: &Connection,
    scope: Scope,
    question: &Question<'_>,
    each: usize,
    keys: &mut Keys,
) -> rusqlite::Result<()> {
    let (from, to) = bounds(connection, scope, question)?;
    if from > to {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(ASK)?;
    let mut rows = statement.query(rusqlite::params![question.expression, from, to])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() == each {
            keys.more = true;
            break;
        }
        found.push(row.get(0)?);
    }
    if !found.is_empty() {
        keys.rooms.push(found);
    }
    Ok(())
}

/// All rooms in one walk: its cost does not grow with their number.
fn sweep(
    connection: &Connection,
    scopes: &[Scope],
    question: &Question<'_>,
    each: usize,
    keys: &mut Keys,
) -> rusqlite::Result<()> {
    let mut spans = Vec::with_capacity(scopes.len());
    for scope in scopes {
        spans.push(bounds(connection, *scope, question)?);
    }
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let mut statement = connection.prepare_cached(ASK)?;
    let mut rows = statement.query(rusqlite::params![question.expression, first.0, last.1])?;
    let mut found: Vec<i64> = Vec::new();
    let mut spans = spans.iter().copied();
    let Some(mut span) = spans.next() else { return Ok(()) };
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        while key > span.1 {
            if !found.is_empty() {
                keys.rooms.push(std::mem::take(&mut found));
            }
            let Some(next) = spans.next() else { return Ok(()) };
            span = next;
        }
        if key >= span.0 && found.len() < each {
            found.push(key);
        } else if key >= span.0 {
            keys.more = true;
        }
    }
    if !found.is_empty() {
        keys.rooms.push(found);
    }
    Ok(())
}

/// The keys of a room that may be read, within the times asked for.
fn bounds(
    connection: &Connection,
    scope: Scope,
    question: &Question<'_>,
) -> rusqlite::Result<(i64, i64)> {
    let (newest, oldest) = (key(scope.room, Seq(SEQ_MAX)), key(scope.room, scope.from));
    if question.since.is_none() && question.until.is_none() {
        return Ok((newest, oldest));
    }
    let head = progress(connection, scope.room)?;
    let (newest, end) = (key(scope.room, head), oldest + 1);
    let first = match question.until {
        Some(until) => first_before(connection, newest, end, until)?,
        None => newest,
    };
    let end = match question.since {
        Some(since) => first_before(connection, first, end, since)?,
        None => end,
    };
    Ok((first, end - 1))
}

/// The least key from which on all times are before this one; a room's times do not go back, so they
/// fall as the keys rise.
fn first_before(
    connection: &Connection,
    mut from: i64,
    end: i64,
    at: Timestamp,
) -> rusqlite::Result<i64> {
    let select = "SELECT id, c3 FROM messages_content WHERE id BETWEEN ?1 AND ?2
                  ORDER BY id LIMIT 1";
    let mut select = connection.prepare_cached(select)?;
    let mut to = end;
    while from < to {
        let middle = from + (to - from) / 2;
        let next: Option<(i64, i64)> =
            select.query_row([middle, end - 1], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match next {
            Some((key, time)) if time as u64 >= at.0 => from = key + 1,
            _ => to = middle,
        }
    }
    Ok(from)
}

/// Reads the texts of the newest of each room in turn, until there are enough to rank.
fn read(connection: &Connection, keys: Keys) -> rusqlite::Result<Haul> {
    let Keys { rooms, more } = keys;
    let mut haul = Haul { more, ..Haul::default() };
    for found in &rooms {
        if let Some((room, _)) = found.first().and_then(|key| place(*key)) {
            haul.counts.push((room, found.len() as u32));
        }
    }
    let longest = rooms.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| rooms.iter().filter_map(move |keys| keys.get(turn)));
    let select = "SELECT c0, c3 FROM messages_content WHERE id = ?1";
    let mut select = connection.prepare_cached(select)?;
    for key in turns {
        if haul.candidates.len() == SEARCH_RANKED_MAX {
            haul.more = true;
            break;
        }
        let row = select.query_row([key], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)));
        let row = match row.optional() {
            Err(error) if out_of_time(&error) => {
                haul.more = true;
                break;
            }
            row => row?,
        };
        // None: it was deleted between the two looks.
        let (Some((text, at)), Some((room, seq))) = (row, place(*key)) else { continue };
        haul.candidates.push(Candidate { room, seq, at: Timestamp(at as u64), text });
    }
    Ok(haul)
}
