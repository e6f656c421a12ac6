//! The end of an account in the tables: its sessions, links and password go. Its name stays, so that it
//! is never given again; or goes too, and then a hash of it stays by itself, and who it was is kept only
//! until nothing names it any more. Who still may stand in a room, or have kept something for itself, is
//! known until that is cleared up, also by the next start.
//!
//! Neighbours: `life.rs` and `app/leaving.rs` ask; `tables.rs`, in whose file these are. It decides
//! nothing about messages.

use rusqlite::{OptionalExtension as _, params};
use throng_core::id::GUESTS_FROM;
use throng_core::{Author, Rejection, Timestamp, UserId, Username};

use super::tables::{Ended, Tables, Writes, author, ended, explain, number};
use super::{Accounts, AccountsError};
use crate::sqlite::never_checkpoint_again;

/// What makes version 4 of version 3: who is being forgotten, and names that are given no more.
pub(super) const STEP_4: &str = "
    CREATE TABLE leaving (
        user INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE gone (name BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// What makes version 5 of version 4: who went, and was not cleared up behind. Those who went before then
/// are looked at once more.
pub(super) const STEP_5: &str = "
    CREATE TABLE going (user INTEGER PRIMARY KEY) STRICT;
    INSERT INTO going SELECT id FROM users WHERE rank = -1;
";

/// So many of those who go are cleared up behind at a time.
const GOING_MAX: i64 = 100;

/// What is kept of a name that is given no more. Who guesses it can see that it was somebody's, as by
/// asking for it; whose, it does not say.
fn trace(folded: &str) -> [u8; 32] {
    *blake3::hash(format!("throng name {folded}").as_bytes()).as_bytes()
}

impl Tables {
    /// Those who are named no more, and are not forgotten yet.
    pub(super) fn leaving(&self) -> Result<Vec<(Author, Timestamp)>, AccountsError> {
        let find = || {
            let sql = "SELECT user, name, at FROM leaving";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows =
                statement.query_map([], |row| Ok((author(row, 0)?, Timestamp(number(row, 2)?))))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        find().map_err(|error| explain(&error, &self.path))
    }

    /// Some of those who went and were not cleared up behind.
    fn going(&self) -> Result<Vec<Author>, AccountsError> {
        let find = || {
            let sql = "SELECT u.id, u.name FROM going g CROSS JOIN users u ON u.id = g.user
                       WHERE g.user > 0 ORDER BY g.user LIMIT ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([GOING_MAX], |row| author(row, 0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        find().map_err(|error| explain(&error, &self.path))
    }
}

impl Tables {
    /// Who has or had this number: an account or a guest, also one that has gone, by the name that is left
    /// of it. `None` for a number that was never given.
    fn once_numbered(&self, user: UserId) -> Result<Option<Author>, AccountsError> {
        let find = || {
            let (known, table, row) = if user.is_guest() {
                (self.guest_numbered(user)?, "guests", user.get() - GUESTS_FROM)
            } else {
                let sql = "SELECT id, name FROM users WHERE id = ?1";
                let mut statement = self.connection.prepare_cached(sql)?;
                let row = [user.get() as i64];
                (statement.query_row(row, |row| author(row, 0)).optional()?, "users", user.get())
            };
            if known.is_some() {
                return Ok(known);
            }
            let sql = "SELECT 1 FROM sqlite_sequence WHERE name = ?1 AND seq >= ?2";
            let row = i64::try_from(row).unwrap_or(i64::MAX);
            let given = self.connection.prepare_cached(sql)?.exists(params![table, row])?;
            Ok(given.then(|| Author { id: user, name: Username::gone() }))
        };
        find().map_err(|error| explain(&error, &self.path))
    }

    /// Who has or had this name, if that is left of it.
    fn once_named(&self, folded: &str) -> Result<Option<Author>, AccountsError> {
        let find = || {
            let sql = "SELECT id, name FROM users WHERE folded = ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let known = statement.query_row([folded], |row| author(row, 0)).optional()?;
            if known.is_some() { Ok(known) } else { self.guest_named(folded) }
        };
        find().map_err(|error| explain(&error, &self.path))
    }
}

impl Writes<'_> {
    /// Ends an account whose password is still this, all that it could log in by with it; `None` where
    /// it is another.
    pub fn delete_user(&self, user: UserId, password: &str) -> rusqlite::Result<Option<Ended>> {
        let sql = "UPDATE users SET phc = NULL, rank = -1 WHERE id = ?1 AND phc = ?2";
        if self.0.prepare_cached(sql)?.execute(params![user.get() as i64, password])? == 0 {
            return Ok(None);
        }
        let sql = "DELETE FROM links WHERE user = ?1";
        self.0.prepare_cached(sql)?.execute([user.get() as i64])?;
        let sql = "DELETE FROM sessions WHERE user = ?1 RETURNING id, token";
        let mut statement = self.0.prepare_cached(sql)?;
        statement.query_map([user.get() as i64], ended)?.collect::<Result<_, _>>().map(Some)
    }

    /// One that was just deleted is to be cleared up behind.
    pub fn goes(&self, user: UserId) -> rusqlite::Result<()> {
        let sql = "INSERT OR IGNORE INTO going VALUES (?1)";
        self.0.prepare_cached(sql)?.execute([user.get() as i64]).map(drop)
    }

    /// It was.
    fn is_cleared_up(&self, user: UserId) -> rusqlite::Result<()> {
        let sql = "DELETE FROM going WHERE user = ?1";
        self.0.prepare_cached(sql)?.execute([user.get() as i64]).map(drop)
    }

    /// One that was just deleted is named no more: of its name a hash is kept, and the name itself among
    /// those that are being forgotten.
    pub fn take_name(&self, user: UserId, at: Timestamp) -> rusqlite::Result<()> {
        let id = user.get() as i64;
        let sql = "INSERT OR REPLACE INTO leaving SELECT id, name, ?2 FROM users WHERE id = ?1";
        self.0.prepare_cached(sql)?.execute(params![id, at.0 as i64])?;
        let sql = "DELETE FROM users WHERE id = ?1 RETURNING folded";
        let folded = self.0.prepare_cached(sql)?.query_row([id], |row| row.get::<_, String>(0));
        if let Some(folded) = folded.optional()? {
            let sql = "INSERT OR IGNORE INTO gone VALUES (?1)";
            self.0.prepare_cached(sql)?.execute([trace(&folded)])?;
        }
        Ok(())
    }

    /// Whether somebody was called so who is named no more.
    pub(super) fn was_somebodys(&self, folded: &str) -> rusqlite::Result<bool> {
        self.0.prepare_cached("SELECT 1 FROM gone WHERE name = ?1")?.exists([trace(folded)])
    }

    /// Nothing names this one any more.
    fn forget_leaver(&self, user: UserId) -> rusqlite::Result<()> {
        let sql = "DELETE FROM leaving WHERE user = ?1";
        self.0.prepare_cached(sql)?.execute([user.get() as i64]).map(drop)
    }
}

impl Accounts {
    /// Those who were being forgotten when the server started.
    pub fn leaving_before(&self) -> &[(Author, Timestamp)] {
        &self.leaving
    }

    /// Some of those who went under their names and were not cleared up behind.
    pub async fn going(&self) -> Result<Vec<Author>, Rejection> {
        self.look(Tables::going).await
    }

    /// One of them was.
    pub async fn is_cleared_up(&self, user: UserId) -> Result<(), Rejection> {
        self.change(move |writes, _| writes.is_cleared_up(user).map(Ok)).await
    }

    /// Who has or had this number, also one that has gone: by the name that is left of it.
    pub async fn once_known(&self, user: UserId) -> Result<Option<Author>, Rejection> {
        self.look(move |tables| tables.once_numbered(user)).await
    }

    /// Who has or had this name, if that is left of it.
    pub async fn once_called(&self, name: &Username) -> Result<Option<Author>, Rejection> {
        let folded = name.fold();
        self.look(move |tables| tables.once_named(&folded)).await
    }

    /// Nothing names these any more: they are forgotten, and the journal with them.
    pub async fn forget_leavers(&self, gone: Vec<UserId>) -> Result<(), Rejection> {
        self.change(move |writes, _| {
            gone.iter().try_for_each(|user| writes.forget_leaver(*user))?;
            Ok(Ok(()))
        })
        .await?;
        self.look(Tables::empty_journal).await
    }
}

impl Tables {
    /// Writes the journal back and empties it. Somebody who reads is in the way: the next time.
    fn empty_journal(&self) -> Result<(), AccountsError> {
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        emptied.map_err(|error| {
            let error = explain(&error, &self.path);
            if matches!(error, AccountsError::SyncFailed(_)) {
                never_checkpoint_again(&self.connection);
            }
            error
        })
    }
}
