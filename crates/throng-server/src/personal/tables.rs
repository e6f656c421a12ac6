//! The accounts' own notes in a SQLite file, `personal.db`.
//!
//! Neighbours: `mod.rs` alone, which gathers what is written and asks for what is read.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use throng_core::{RoomId, Seq, UserId};

use super::{Batch, Kept, Level, Marker, Writers};
use crate::sqlite::{self, Kind, Trouble};

const KIND: Kind = Kind {
    what: "file of notes",
    application_id: 0x5468_7250, // "ThrP"
    version: 1,
    page_size: 4 * 1024,
    cache_kib: 4 * 1024,
    schema: "CREATE TABLE rooms (
                 user INTEGER NOT NULL, room INTEGER NOT NULL, seq INTEGER NOT NULL DEFAULT 0,
                 n INTEGER NOT NULL DEFAULT 0, level INTEGER,
                 PRIMARY KEY (user, room)) WITHOUT ROWID;
             CREATE TABLE writers (user INTEGER PRIMARY KEY, who INTEGER NOT NULL)",
    steps: &[],
    exclusive: true,
    shrinks: false,
};

/// An open file.
#[derive(Debug)]
pub(super) struct Tables(Connection);

impl Tables {
    /// Opens the file or makes it; without a path it is kept nowhere.
    pub fn open(path: Option<&Path>) -> Result<Self, Trouble> {
        if let Some(path) = path {
            return Ok(Self(sqlite::open(path, None, &KIND, "FULL")?));
        }
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(KIND.schema)?;
        Ok(Self(connection))
    }

    /// Who may write to those that did not say everyone.
    pub fn writers(&self) -> Result<HashMap<UserId, Writers>, Trouble> {
        let mut statement = self.0.prepare("SELECT user, who FROM writers ORDER BY user")?;
        let mut rows = statement.query([])?;
        let mut writers = HashMap::new();
        while let Some(row) = rows.next()? {
            let user = row.get::<_, i64>(0)? as u64;
            let who = [Writers::Everyone, Writers::Shared, Writers::Nobody]
                .get(usize::from(row.get::<_, u8>(1)?))
                .copied();
            let corrupt =
                || Trouble::Corrupt("personal.db says what this build does not know".into());
            writers.insert(UserId::new(user).ok_or_else(corrupt)?, who.ok_or_else(corrupt)?);
        }
        Ok(writers)
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
        writers: &HashMap<UserId, Writers>,
        forgotten: &HashSet<UserId>,
    ) -> Result<(), Trouble> {
        if batch.is_empty() && writers.is_empty() && forgotten.is_empty() {
            return Ok(());
        }
        let transaction = self.0.transaction()?;
        for user in forgotten {
            let delete = "DELETE FROM rooms WHERE user = ?1";
            transaction.prepare_cached(delete)?.execute([user.get() as i64])?;
            let delete = "DELETE FROM writers WHERE user = ?1";
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
        transaction.commit()?;
        // At once: nobody waits for this file, and it stays small.
        sqlite::checkpoint(&self.0, KIND.what)
    }
}
