//! The rooms and their people in SQLite: who belongs, who has marks, and what was settled.
//!
//! Neighbours: `sqlite.rs`, whose fold writes them in the transaction of the blocks they follow from,
//! and start-up, which reads all of them in one walk.

use rusqlite::{Connection, OptionalExtension, Row, params};
use throng_core::{
    Avatar, Event, EventKind, FileHash, Kind, Person, Policy, RoomId, RoomName, Seq, Settings,
    Standing, Timestamp, Topic, UserId, Words,
};

use super::sqlite::{Failure, first_of, number};
use super::{Member, Members, RoomSnapshot, StoreError};
use crate::record::moderation::{history_number, history_of, speak_number, speak_of};
use crate::sqlite;

/// The number on disk.
pub fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Public => 0,
        Kind::Private => 1,
        Kind::Direct => 2,
    }
}

fn kind_of(number: u8) -> Option<Kind> {
    [Kind::Public, Kind::Private, Kind::Direct].into_iter().nth(usize::from(number))
}

/// Takes in what an event changes of this account.
/// `posts` are those of the room so far.
pub fn fold(
    connection: &Connection,
    user: UserId,
    event: &Event,
    posts: u64,
) -> Result<(), Failure> {
    let (room, id) = (event.room.get(), user.get() as i64);
    let select = "SELECT seq, standing, posts FROM members WHERE room = ?1 AND user = ?2";
    let mut select = connection.prepare_cached(select)?;
    let was = select
        .query_row(params![room, id], |row| {
            Ok((number(row, 0)?, row.get::<_, u8>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let joins = matches!(event.kind, EventKind::Joined { .. });
    let posts = was.filter(|_| !joins).map_or(posts as i64, |(.., posts)| posts);
    let was = was.map(|(seq, standing, _)| person(event.room, seq, standing)).transpose()?;
    if let Some(person) = Person::after(event, was) {
        let insert = "INSERT OR REPLACE INTO members VALUES (?1, ?2, ?3, ?4, ?5)";
        let seq = person.joined().unwrap_or(Seq::ZERO).0 as i64;
        let row = params![room, id, seq, person.standing().byte(), posts];
        connection.prepare_cached(insert)?.execute(row)?;
    } else {
        let delete = "DELETE FROM members WHERE room = ?1 AND user = ?2";
        connection.prepare_cached(delete)?.execute(params![room, id])?;
    }
    Ok(())
}

/// Takes changed settings in.
pub fn set(connection: &Connection, room: u32, settings: &Settings) -> Result<(), Failure> {
    let update = "UPDATE rooms SET name = coalesce(?10, name), topic = coalesce(?2, topic), speak = coalesce(?3, speak),
                  history = coalesce(?4, history), slow = coalesce(?5, slow),
                  words = coalesce(?6, words), keep = coalesce(?7, keep),
                  avatar = coalesce(?8, avatar),
                  delay = coalesce(?9, delay) WHERE id = ?1";
    let Settings {
        name,
        topic,
        speak,
        history,
        slow_seconds,
        words,
        keep_seconds,
        avatar,
        delay_seconds: delay,
    } = settings;
    let (speak, history) = (speak.map(speak_number), history.map(history_number));
    // No word has a line's end in it.
    let words = words.as_ref().map(|words| words.list().collect::<Vec<_>>().join("\n"));
    // None is empty: NULL is what stays.
    let avatar = avatar.map(|Avatar(hash)| hash.map_or_else(Vec::new, |hash| hash.0.to_vec()));
    let topic = topic.as_ref().map(Topic::as_str);
    let name = name.as_ref().map(RoomName::as_str);
    let row = params![
        room,
        topic,
        speak,
        history,
        slow_seconds,
        words,
        keep_seconds,
        avatar,
        delay,
        name
    ];
    connection.prepare_cached(update)?.execute(row)?;
    Ok(())
}

/// All that an account has said up to a place is taken away, and is to be erased: from where it was
/// erased to before.
pub fn sweep(connection: &Connection, room: u32, user: UserId, seq: Seq) -> Result<(), Failure> {
    let erase = "INSERT INTO erasing VALUES (?1, ?2, ?3, coalesce(
                     (SELECT seq FROM sweeps WHERE room = ?1 AND user = ?2), 0))
                 ON CONFLICT (room, user) DO UPDATE SET seq = excluded.seq";
    let row = params![room, user.get() as i64, seq.0 as i64];
    connection.prepare_cached(erase)?.execute(row)?;
    let insert = "INSERT OR REPLACE INTO sweeps VALUES (?1, ?2, ?3)";
    let row = params![room, user.get() as i64, seq.0 as i64];
    connection.prepare_cached(insert)?.execute(row)?;
    Ok(())
}

/// Up to where all is taken away that these accounts have said.
pub fn sweeps(
    connection: &Connection,
    room: RoomId,
    users: &[UserId],
) -> Result<Vec<(UserId, Seq)>, Failure> {
    // Few rooms have any: one look tells.
    let any = "SELECT 1 FROM sweeps WHERE room = ?1 LIMIT 1";
    if !connection.prepare_cached(any)?.exists([room.get()])? {
        return Ok(Vec::new());
    }
    let select = "SELECT seq FROM sweeps WHERE room = ?1 AND user = ?2";
    let mut select = connection.prepare_cached(select)?;
    let mut sweeps = Vec::new();
    for user in users {
        let key = params![room.get(), user.get() as i64];
        let seq = select.query_row(key, |row| number(row, 0)).optional()?;
        sweeps.extend(seq.map(|seq| (*user, Seq(seq))));
    }
    Ok(sweeps)
}

/// Some of those who belong to a room. The head is read first: what follows is not older.
pub fn members(
    connection: &Connection,
    room: RoomId,
    after: u64,
    limit: usize,
) -> Result<Members, Failure> {
    let select = "SELECT head FROM rooms WHERE id = ?1";
    let mut statement = connection.prepare_cached(select)?;
    let head = statement.query_row([room.get()], |row| number(row, 0)).optional()?;
    let select = "SELECT user, seq, standing, posts FROM members
                  WHERE room = ?1 AND user > ?2 AND seq > 0 ORDER BY user LIMIT ?3";
    let mut statement = connection.prepare_cached(select)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![room.get(), after, limit as i64])?;
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        let user = UserId::new(number(row, 0)?)
            .ok_or_else(|| Failure::corrupt(room, "a member has no such number"))?;
        let person = person(room, number(row, 1)?, row.get(2)?)?;
        members.push(Member { user, person, posts: number(row, 3)? });
    }
    Ok(Members { head: Seq(head.unwrap_or(0)), members })
}

/// Visits every room. Rooms and members lie in the same order: one walk along both.
pub fn rooms(connection: &Connection, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), Failure> {
    connection.execute_batch("BEGIN")?;
    let visited = walk(connection, visit);
    sqlite::roll_back(connection);
    visited
}

fn walk(connection: &Connection, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), Failure> {
    let select =
        "SELECT id, name, created_at, at, head, pushed, posts, kind, topic, speak, history,
                  slow, words, keep, avatar, delay FROM rooms ORDER BY id";
    let mut rooms = connection.prepare_cached(select)?;
    let mut rooms = rooms.query([])?;
    let select = "SELECT room, user, seq, standing FROM members ORDER BY room, user";
    let mut members = connection.prepare_cached(select)?;
    let mut members = members.query([])?;
    let mut next = next_person(&mut members)?;
    let mut pins = connection.prepare_cached("SELECT id FROM pins ORDER BY id")?;
    let mut pins = pins.query([])?;
    let mut pin = next_pin(&mut pins)?;
    while let Some(row) = rooms.next()? {
        let mut snapshot = room(row)?;
        let id = snapshot.room;
        while let Some((of, user, seq, standing)) = next {
            if of != id.get() {
                break;
            }
            let user = UserId::new(user)
                .ok_or_else(|| Failure::corrupt(id, "a member has no such number"))?;
            snapshot.people.push((user, person(id, seq, standing)?));
            next = next_person(&mut members)?;
        }
        while let Some((_, seq)) = pin.filter(|(of, _)| *of == id.get()) {
            snapshot.pins.push(seq);
            pin = next_pin(&mut pins)?;
        }
        visit(snapshot);
    }
    match next {
        None => Ok(()),
        Some((of, ..)) => {
            Err(Failure::Refused(StoreError::Corrupt(format!("members of no room: {of}"))))
        }
    }
}

fn room(row: &Row<'_>) -> Result<RoomSnapshot, Failure> {
    let id: u32 = row.get(0)?;
    let bad = |what| Failure::Refused(StoreError::Corrupt(format!("room {id}: {what}")));
    let room = RoomId::new(id).ok_or_else(|| bad("no such number"))?;
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let topic = Topic::stored(text(8)?).map_err(|_| bad("its topic breaks the rules"))?;
    let words = text(12)?.split('\n').filter(|word| !word.is_empty()).map(str::to_owned);
    let words = Words::parse(words.collect()).map_err(|_| bad("its filter breaks the rules"))?;
    let avatar = row.get_ref(14)?.as_blob().map_err(rusqlite::Error::from)?;
    let avatar = match avatar {
        [] => Avatar(None),
        hash => Avatar(Some(FileHash(hash.try_into().map_err(|_| bad("its avatar is no hash"))?))),
    };
    let unknown = || bad("a setting that this build does not know");
    let policy = Policy {
        kind: kind_of(row.get(7)?).ok_or_else(unknown)?,
        speak: speak_of(row.get(9)?).ok_or_else(unknown)?,
        history: history_of(row.get(10)?).ok_or_else(unknown)?,
        slow_seconds: row.get(11)?,
        delay_seconds: row.get(15)?,
        keep_seconds: row.get(13)?,
    };
    let name = match policy.kind {
        Kind::Direct => RoomName::parse_two(text(1)?),
        Kind::Public | Kind::Private => RoomName::stored(text(1)?),
    };
    let name = name.map_err(|_| bad("its name breaks the rules"))?;
    Ok(RoomSnapshot {
        room,
        name,
        created_at: Timestamp(number(row, 2)?),
        at: Timestamp(number(row, 3)?),
        head: Seq(number(row, 4)?),
        pushed: Seq(number(row, 5)?),
        posts: number(row, 6)?,
        policy,
        topic,
        words,
        avatar,
        people: Vec::new(),
        pins: Vec::new(),
    })
}

fn person(room: RoomId, seq: u64, standing: u8) -> Result<Person, Failure> {
    let standing = Standing::from_byte(standing)
        .ok_or_else(|| Failure::corrupt(room, "a member stands where nobody can"))?;
    Ok(Person::new(Seq(seq), standing))
}

type Row4 = (u32, u64, u64, u8);

fn next_person(members: &mut rusqlite::Rows<'_>) -> Result<Option<Row4>, Failure> {
    let Some(row) = members.next()? else { return Ok(None) };
    Ok(Some((row.get(0)?, number(row, 1)?, number(row, 2)?, row.get(3)?)))
}

fn next_pin(pins: &mut rusqlite::Rows<'_>) -> Result<Option<(u32, Seq)>, Failure> {
    let Some(row) = pins.next()? else { return Ok(None) };
    let id: i64 = row.get(0)?;
    Ok(Some(((id >> 40) as u32, first_of(id))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use throng_core::Role;

    use super::*;
    use crate::record::OpenBlock;
    use crate::samples;
    use crate::store::{RoomBatch, SqliteStore, Store, StoreOptions};

    /// The tables of version 1, as its builds made them.
    const VERSION_1: &str = "CREATE TABLE rooms (
             id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL,
             at INTEGER NOT NULL, head INTEGER NOT NULL, pushed INTEGER NOT NULL, posts INTEGER NOT NULL);
         CREATE TABLE members (
             room INTEGER NOT NULL, user INTEGER NOT NULL, seq INTEGER NOT NULL,
             PRIMARY KEY (room, user)) WITHOUT ROWID;
         CREATE TABLE blocks (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
         INSERT INTO rooms VALUES (1, 'room 1', 5, 9, 3, 3, 0);
         INSERT INTO members VALUES (1, 1, 2), (1, 7, 3);
         PRAGMA application_id = 1416131155; PRAGMA user_version = 1";

    #[test]
    fn a_store_of_version_1_is_brought_up_to_date_and_who_made_a_room_owns_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let room = samples::room(1);
        let mut block = OpenBlock::new(Seq(1));
        for event in samples::history(room, 1, 2) {
            block.push(&event);
        }
        block.push(&samples::event(room, 3, EventKind::Joined { who: samples::author(7) }));
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        let old = Connection::open(&path).unwrap();
        old.execute_batch(VERSION_1).unwrap();
        old.execute("INSERT INTO blocks VALUES (?1, ?2)", params![1_i64 << 40 | 1, bytes]).unwrap();
        drop(old);

        let roles = |store: &SqliteStore| {
            let mut rooms = Vec::new();
            store.rooms(&mut |room| rooms.push(room)).unwrap();
            let people = rooms[0].people.iter();
            let of = |(user, person): &(UserId, Person)| (user.get(), person.standing());
            (rooms[0].policy, people.map(of).collect::<Vec<_>>())
        };
        let (owner, member) = (Standing::of(Role::Owner), Standing::of(Role::Member));
        for _ in 0..2 {
            let store = SqliteStore::open(&path, &StoreOptions::default()).unwrap();
            assert_eq!(roles(&store), (Policy::default(), vec![(1, owner), (7, member)]));
        }
        let store = SqliteStore::open(&path, &StoreOptions::default()).unwrap();
        let by = samples::author(1);
        let act = throng_core::Act::Mute;
        let muted = EventKind::Moderated { by, who: samples::author(7), act };
        let events = vec![samples::event(room, 4, muted)];
        store.fold(&[RoomBatch { room, events }]).unwrap();
        assert_eq!(roles(&store).1[1], (7, member.with(Standing::MUTED)));
        let made = Arc::new(store);
        assert_eq!(made.page(room, crate::pages::Span::After(Seq(0)), 9).unwrap().len(), 4);
    }
}
