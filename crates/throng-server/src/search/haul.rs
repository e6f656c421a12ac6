//! One question to the index: the newest messages that have the words, in the rooms asked for.
//!
//! Neighbours: `index.rs` keeps the rows, `rank.rs` puts into order what comes from here. The walk goes
//! from the newest message to the oldest. What it costs is bounded three times: by the messages that
//! are given, by those that are passed over because they are of other rooms, and by time. Rooms are
//! named to the index when they are few; of many, each key says which it may be of.

use std::collections::HashMap;

use rusqlite::{Connection, ErrorCode};
use throng_core::limits::SEARCH_RANKED_MAX;
use throng_core::{RoomId, Seq, Timestamp, UserId};

use super::index::ASK;
use super::key;
use super::query::Query;
use crate::clock::{Clock, Moment};
use crate::sqlite::{self, Trouble};

/// Steps of SQLite between two looks at the clock.
const STEPS: i32 = 2_000;
/// Up to so many rooms the index is told which: each is one more list to look through side by side.
const ROOMS_NAMED: usize = 64;
/// Messages of one walk, most of them passed over because they are of other rooms.
const WALKED_MAX: usize = 200_000;

/// A room, as far as the asker may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Which room.
    pub room: RoomId,
    /// From which place on.
    pub from: Seq,
    /// From which time on.
    pub since: Timestamp,
}

/// What is asked of the index.
#[derive(Debug)]
pub struct Question<'a> {
    /// The words.
    pub query: &'a Query,
    /// Only of this sender.
    pub sender: Option<UserId>,
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
    /// The newest first, but for those of one second.
    pub candidates: Vec<Candidate>,
    /// There are more than those, or the walk was ended.
    pub more: bool,
    /// Messages that it came by.
    pub walked: usize,
}

/// The rooms of the asker, as a key tells them.
struct Rooms<'a> {
    scopes: &'a [Scope],
    hints: HashMap<u32, Hinted>,
}

/// The rooms of one hint.
#[derive(Default)]
struct Hinted {
    rooms: usize,
    /// Messages older than this are before the asker's time in the room.
    oldest: Option<i64>,
}

/// What a row says.
enum Row {
    Candidate(Candidate),
    /// Of a room that is not asked for, or of another time.
    Other,
    /// From before the asker might read the room.
    Before,
}

/// Asks the index; `scopes` ascend by room.
pub fn haul(
    connection: &mut Connection,
    scopes: &[Scope],
    question: &Question<'_>,
    clock: &Clock,
    deadline: Moment,
) -> Result<Haul, Trouble> {
    let mut haul = Haul::default();
    if scopes.is_empty() {
        return Ok(haul);
    }
    let watch = clock.clone();
    connection.progress_handler(STEPS, Some(move || watch.now() >= deadline))?;
    // One look at the file for all of it.
    connection.execute_batch("BEGIN")?;
    let walked = walk(connection, Rooms::new(scopes), (question, WALKED_MAX), &mut haul);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    sqlite::roll_back(connection);
    match walked {
        Err(error) if out_of_time(&error) => haul.more = true,
        walked => walked?,
    }
    Ok(haul)
}

/// Whether it was the clock that ended it.
fn out_of_time(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

fn walk(
    connection: &Connection,
    mut rooms: Rooms<'_>,
    (question, walked_max): (&Question<'_>, usize),
    haul: &mut Haul,
) -> rusqlite::Result<()> {
    let named = if rooms.scopes.len() <= ROOMS_NAMED { rooms.scopes } else { &[] };
    let named = named.iter().map(|scope| scope.room);
    let expression = question.query.expression(question.sender, named);
    let (newest, oldest) = key::span(question.since, question.until);
    let mut ask = connection.prepare_cached(ASK)?;
    let mut look = connection.prepare_cached(LOOK)?;
    let mut keys = ask.query(rusqlite::params![expression, newest, oldest])?;
    while let Some(key) = keys.next()? {
        let key: i64 = key.get(0)?;
        if haul.walked == walked_max {
            haul.more = true;
            break;
        }
        haul.walked += 1;
        if !rooms.may_have(key) {
            continue;
        }
        match look.query_row([key], |row| rooms.row(row, question))? {
            Row::Candidate(_) if haul.candidates.len() == SEARCH_RANKED_MAX => {
                haul.more = true;
                break;
            }
            Row::Candidate(candidate) => haul.candidates.push(candidate),
            Row::Other => {}
            Row::Before => rooms.none_before(key),
        }
    }
    Ok(())
}

const LOOK: &str = "SELECT c3, c4, c5, c0 FROM messages_content WHERE id = ?1";

impl<'a> Rooms<'a> {
    fn new(scopes: &'a [Scope]) -> Self {
        let mut hints: HashMap<u32, Hinted> = HashMap::with_capacity(scopes.len());
        for scope in scopes {
            hints.entry(key::hint(scope.room)).or_default().rooms += 1;
        }
        Self { scopes, hints }
    }

    fn may_have(&self, key: i64) -> bool {
        let hinted = self.hints.get(&key::hint_of(key));
        hinted.is_some_and(|it| it.oldest.is_none_or(|oldest| key::age(key) <= oldest))
    }

    /// The times of a room do not go back: what is older than this is from before its asker too.
    fn none_before(&mut self, key: i64) {
        let hinted = self.hints.get_mut(&key::hint_of(key));
        if let Some(hinted) = hinted.filter(|hinted| hinted.rooms == 1) {
            hinted.oldest = Some(key::age(key));
        }
    }

    fn row(&self, row: &rusqlite::Row<'_>, question: &Question<'_>) -> rusqlite::Result<Row> {
        let Some(room) = RoomId::new(row.get(0)?) else { return Ok(Row::Other) };
        let Ok(place) = self.scopes.binary_search_by_key(&room, |scope| scope.room) else {
            return Ok(Row::Other);
        };
        let seq = Seq(row.get::<_, i64>(1)? as u64);
        let at = Timestamp(row.get::<_, i64>(2)? as u64);
        if seq < self.scopes[place].from || at < self.scopes[place].since {
            return Ok(Row::Before);
        }
        let since = question.since.is_none_or(|since| at >= since);
        if !since || question.until.is_some_and(|until| at >= until) {
            return Ok(Row::Other);
        }
        Ok(Row::Candidate(Candidate { room, seq, at, text: row.get(3)? }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use throng_core::{Body, Epoch};

    use super::*;
    use crate::samples;
    use crate::search::index::{Change, Index, RoomPart};

    /// One message in each of these rooms, the first in the first.
    fn index(rooms: impl Iterator<Item = u32>) -> Index {
        let index = Index::open(None, Epoch(1)).unwrap();
        for (room, second) in rooms.zip(1..) {
            let at = Timestamp(1_760_000_000_000 + second * 1_000);
            let (room, seq) = (samples::room(room), Seq(3));
            let (who, body) = (samples::author(1).id, Body::parse("tea").unwrap());
            let changes = vec![Change::Put { seq, at, who, body }];
            index.take_in(&[RoomPart { room, through: seq, changes }]).unwrap();
        }
        index
    }

    fn scopes(count: u32) -> Vec<Scope> {
        let scope = |room| Scope { room: samples::room(room), from: Seq(1), since: Timestamp(0) };
        (1..=count).map(scope).collect()
    }

    fn question(query: &Query) -> Question<'_> {
        Question { query, sender: None, since: None, until: None }
    }

    #[test]
    fn few_rooms_are_named_to_the_index_and_of_one_more_all_messages_are_walked_over() {
        let named = ROOMS_NAMED as u32;
        let index = index((1..=named).chain(1_000..1_010));
        let query = Query::parse("tea").unwrap();
        let clock = Clock::manual();
        let deadline = clock.now().plus(Duration::from_secs(1));
        let mut lease = index.readers.lease();
        for (rooms, walked) in [(named - 1, named - 1), (named, named), (named + 1, named + 10)] {
            let found = haul(&mut lease, &scopes(rooms), &question(&query), &clock, deadline);
            let found = found.unwrap();
            assert_eq!(found.walked, walked as usize, "{rooms} rooms");
            assert_eq!(found.candidates.len(), rooms.min(named) as usize);
            assert!(!found.more);
        }
    }

    #[test]
    fn a_walk_comes_by_so_many_messages_and_says_that_there_is_more_behind_the_last() {
        // The oldest is the asker's, the others are not.
        let index = index([1, 1_000, 1_001, 1_002].into_iter());
        let query = Query::parse("tea").unwrap();
        let lease = index.readers.lease();
        let scopes = scopes(ROOMS_NAMED as u32 + 1);
        for (walked_max, found, more) in [(3, 0, true), (4, 1, false), (5, 1, false)] {
            let mut haul = Haul::default();
            let question = question(&query);
            walk(&lease, Rooms::new(&scopes), (&question, walked_max), &mut haul).unwrap();
            assert_eq!((haul.candidates.len(), haul.more), (found, more), "{walked_max}");
            assert_eq!(haul.walked, walked_max.min(4));
        }
    }
}
