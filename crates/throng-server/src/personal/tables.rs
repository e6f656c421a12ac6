//! The accounts' own notes in a SQLite file, `personal.db`.
//!
//! Neighbours: `mod.rs` alone, which gathers what is written and asks for what is read.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use throng_core::id::GUESTS_FROM;
use throng_core::{RoomDefaults, RoomId, Seq, Speak, UserId, Visibility};

use super::{Batch, FILE, Kept, Level, Marker, Settled, Writers};
use crate::accounts::Location;
use crate::sqlite::{self, Kind, Trouble};

const KIND: Kind = Kind {
    what: "file of notes",
    application_id: 0x5468_7250, // "ThrP"
    version: 2,
    page_size: 4 * 1024,
    cache_kib: 4 * 1024,
    schema: "CREATE TABLE rooms (
                 user INTEGER NOT NULL, room INTEGER NOT NULL, seq INTEGER NOT NULL DEFAULT 0,
                 n INTEGER NOT NULL DEFAULT 0, level INTEGER,
                 PRIMARY KEY (user, room)) WITHOUT ROWID;
             CREATE TABLE writers (user INTEGER PRIMARY KEY, who INTEGER NOT NULL);
             CREATE TABLE room_defaults (
                 user INTEGER PRIMARY KEY, speak INTEGER, history INTEGER, slow INTEGER,
                 delay INTEGER, keep INTEGER)",
    steps: &[
        // 2: how the rooms begin that somebody makes.
        "CREATE TABLE IF NOT EXISTS room_defaults (
             user INTEGER PRIMARY KEY, speak INTEGER, history INTEGER, slow INTEGER,
             delay INTEGER, keep INTEGER)",
    ],
    exclusive: true,
    shrinks: false,
};

/// As they are numbered on disk.
const SPEAK: [Speak; 3] = [Speak::Everyone, Speak::Members, Speak::Voiced];
const HISTORY: [Visibility; 3] = [Visibility::Members, Visibility::Joining, Visibility::All];

fn unknown() -> Trouble {
    Trouble::Corrupt("personal.db says what this build does not know".into())
}

fn one_of<T: Copy>(all: &[T], number: Option<u8>) -> Result<Option<T>, Trouble> {
    let known = |number: u8| all.get(usize::from(number)).copied().ok_or_else(unknown);
    number.map(known).transpose()
}

fn number_of<T: PartialEq + Copy>(all: &[T], said: Option<T>) -> Option<u8> {
    all.iter().position(|one| said == Some(*one)).map(|number| number as u8)
}

/// How the rooms begin that an account makes; who says nothing has no row.
fn begin_so(
    transaction: &Transaction<'_>,
    user: UserId,
    defaults: &RoomDefaults,
) -> Result<(), Trouble> {
    if defaults.is_empty() {
        let delete = "DELETE FROM room_defaults WHERE user = ?1";
        transaction.prepare_cached(delete)?.execute([user.get() as i64])?;
        return Ok(());
    }
    let upsert = "INSERT OR REPLACE INTO room_defaults VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = params![
        user.get() as i64,
        number_of(&SPEAK, defaults.speak),
        number_of(&HISTORY, defaults.history),
        defaults.slow_seconds,
        defaults.delay_seconds,
        defaults.keep_seconds,
    ];
    transaction.prepare_cached(upsert)?.execute(row)?;
    Ok(())
}

/// An open file.
#[derive(Debug)]
pub(super) struct Tables(Connection);

impl Tables {
    /// Opens the file or makes it; without a folder it is kept nowhere.
    pub fn open(location: Option<Location<'_>>) -> Result<Self, Trouble> {
        if let Some(Location { folder, vfs, fault_no_sync }) = location {
            let synchronous = if fault_no_sync { "OFF" } else { "FULL" };
            return Ok(Self(sqlite::open(&folder.join(FILE), vfs, &KIND, synchronous)?));
        }
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(KIND.schema)?;
        Ok(Self(connection))
    }

    /// What accounts have settled.
    pub fn settled(&self) -> Result<Settled, Trouble> {
        Ok(Settled { writers: self.writers()?, rooms: self.room_defaults()? })
    }

    /// The account of the greatest number of which something is kept.
    pub fn newest(&self) -> Result<Option<UserId>, Trouble> {
        let select = "SELECT max(user) FROM (
                          SELECT max(user) AS user FROM rooms WHERE user < ?1 UNION ALL
                          SELECT max(user) FROM writers WHERE user < ?1 UNION ALL
                          SELECT max(user) FROM room_defaults WHERE user < ?1)";
        let newest: Option<i64> =
            self.0.query_row(select, [GUESTS_FROM as i64], |row| row.get(0))?;
        Ok(newest.and_then(|user| UserId::new(user as u64)))
    }

    fn writers(&self) -> Result<HashMap<UserId, Writers>, Trouble> {
        let mut statement = self.0.prepare("SELECT user, who FROM writers ORDER BY user")?;
        let mut rows = statement.query([])?;
        let mut writers = HashMap::new();
        while let Some(row) = rows.next()? {
            let user = row.get::<_, i64>(0)? as u64;
            let who = [Writers::Everyone, Writers::Shared, Writers::Nobody]
                .get(usize::from(row.get::<_, u8>(1)?))
                .copied();
            writers.insert(UserId::new(user).ok_or_else(unknown)?, who.ok_or_else(unknown)?);
        }
        Ok(writers)
    }

    fn room_defaults(&self) -> Result<HashMap<UserId, RoomDefaults>, Trouble> {
        let select = "SELECT user, speak, history, slow, delay, keep FROM room_defaults
                      ORDER BY user";
        let mut statement = self.0.prepare(select)?;
        let mut rows = statement.query([])?;
        let mut defaults = HashMap::new();
        while let Some(row) = rows.next()? {
            let user = UserId::new(row.get::<_, i64>(0)? as u64).ok_or_else(unknown)?;
            let said = RoomDefaults {
                speak: one_of(&SPEAK, row.get(1)?)?,
                history: one_of(&HISTORY, row.get(2)?)?,
                slow_seconds: row.get(3)?,
                delay_seconds: row.get(4)?,
                keep_seconds: row.get(5)?,
            };
            said.check().map_err(|_| unknown())?;
            defaults.insert(user, said);
        }
        Ok(defaults)
    }

    /// What is kept of an account in a room.
    pub fn kept(&self, user: UserId, room: RoomId) -> Result<Kept, Trouble> {
        let select = "SELECT seq, n, level FROM rooms WHERE user = ?1 AND room = ?2";
        let mut statement = self.0.prepare_cached(select)?;
        let row = statement
            .query_row(params![user.get() as i64, room.get()], |row| {
                let (seq, n) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64);
                Ok((seq, n, row.get::<_, Option<u8>>(2)?))
            })
            .optional()?;
        let Some((seq, n, level)) = row else { return Ok(Kept::default()) };
        let levels = [Level::All, Level::Mentions, Level::Nothing];
        let level = level.and_then(|level| levels.get(usize::from(level)).copied());
        Ok(Kept { read: (seq > 0).then_some(Marker { seq: Seq(seq), n }), level })
    }

    /// Writes all of it, synced, or nothing; what was there of those who are forgotten goes first.
    pub fn write(
        &mut self,
        batch: &Batch,
        settled: &Settled,
        forgotten: &HashSet<UserId>,
    ) -> Result<(), Trouble> {
        let Settled { writers, rooms } = settled;
        if batch.is_empty() && writers.is_empty() && rooms.is_empty() && forgotten.is_empty() {
            return Ok(());
        }
        let transaction = self.0.transaction()?;
        for user in forgotten {
            let delete = "DELETE FROM rooms WHERE user = ?1";
            transaction.prepare_cached(delete)?.execute([user.get() as i64])?;
            let delete = "DELETE FROM writers WHERE user = ?1";
            transaction.prepare_cached(delete)?.execute([user.get() as i64])?;
            let delete = "DELETE FROM room_defaults WHERE user = ?1";
            transaction.prepare_cached(delete)?.execute([user.get() as i64])?;
        }
        for ((user, room), kept) in batch {
            let upsert = "INSERT INTO rooms VALUES (?1, ?2, ?3, ?4, ?5)
                          ON CONFLICT (user, room) DO UPDATE SET seq = max(seq, excluded.seq),
                          n = max(n, excluded.n), level = coalesce(excluded.level, level)";
            let Marker { seq, n } = kept.read.unwrap_or_default();
            let level = kept.level.map(|level| level as u8);
            let row = params![user.get() as i64, room.get(), seq.0 as i64, n as i64, level];
            transaction.prepare_cached(upsert)?.execute(row)?;
        }
        for (user, who) in writers {
            let upsert = "INSERT OR REPLACE INTO writers VALUES (?1, ?2)";
            let row = params![user.get() as i64, *who as u8];
            transaction.prepare_cached(upsert)?.execute(row)?;
        }
        for (user, defaults) in rooms {
            begin_so(&transaction, *user, defaults)?;
        }
        transaction.commit()?;
        // At once: nobody waits for this file, and it stays small.
        sqlite::checkpoint(&self.0, KIND.what)
    }
}
