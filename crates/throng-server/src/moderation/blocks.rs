//! Whom an account does not want to hear from. Asked for every direct message, so it is in memory;
//! the file keeps it.
//!
//! Neighbours: `mod.rs`, whose file it is; `app` asks before it lets one write to another.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;

use rusqlite::{Connection, params};
use throng_core::{Author, Rejection, UserId};

use super::{BLOCKED_MAX, Moderation, author, page_len};

/// By the one who blocks, ascending.
#[derive(Debug, Default)]
pub(super) struct Blocks(HashMap<UserId, BTreeSet<UserId>>);

/// A page of those whom an account blocks, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedPage {
    /// Who.
    pub users: Vec<Author>,
    /// There are more after the last of these.
    pub more: bool,
}

impl Blocks {
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut blocks = Self::default();
        let mut statement = connection.prepare("SELECT user, blocked FROM blocks")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let ids = [row.get::<_, i64>(0)?, row.get(1)?].map(|id| UserId::new(id as u64));
            if let [Some(user), Some(blocked)] = ids {
                blocks.0.entry(user).or_default().insert(blocked);
            }
        }
        Ok(blocks)
    }

    /// Those who block, and those who are blocked.
    pub fn everybody(&self) -> impl Iterator<Item = UserId> {
        self.0.iter().flat_map(|(user, blocked)| blocked.iter().chain([user])).copied()
    }

    /// Who blocks this one.
    pub fn blockers_of(&self, gone: UserId) -> Vec<UserId> {
        let blocks = self.0.iter().filter(|(_, blocked)| blocked.contains(&gone));
        blocks.map(|(user, _)| *user).collect()
    }

    /// This one blocks nobody any more, and nobody blocks it.
    pub fn forget(&mut self, gone: UserId) {
        self.0.remove(&gone);
        self.0.retain(|_, blocked| {
            blocked.remove(&gone);
            !blocked.is_empty()
        });
    }
}

impl Moderation {
    /// Whether `user` does not want to hear from `other`. Answered from memory.
    pub fn blocks(&self, user: UserId, other: UserId) -> bool {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.0.get(&user).is_some_and(|blocked| blocked.contains(&other))
    }

    /// Blocks somebody; again changes nothing.
    pub fn block(&self, user: UserId, other: &Author) -> Result<(), Rejection> {
        if user == other.id {
            return Err(Rejection::BadArgument);
        }
        // Held while it is written: the file and the memory change in one order.
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let blocked = blocks.0.get(&user);
        if blocked.is_some_and(|blocked| blocked.contains(&other.id)) {
            return Ok(());
        }
        if blocked.is_some_and(|blocked| blocked.len() >= BLOCKED_MAX) {
            return Err(Rejection::LimitReached);
        }
        self.change(|connection| {
            let insert = "INSERT OR REPLACE INTO blocks VALUES (?1, ?2, ?3)";
            let row = params![user.get() as i64, other.id.get() as i64, other.name.as_str()];
            connection.prepare_cached(insert)?.execute(row)?;
            Ok(Ok(()))
        })?;
        blocks.0.entry(user).or_default().insert(other.id);
        Ok(())
    }

    /// Hears from somebody again; from one who is not blocked, too.
    pub fn unblock(&self, user: UserId, other: UserId) -> Result<(), Rejection> {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let Some(blocked) = blocks.0.get_mut(&user) else { return Ok(()) };
        if !blocked.contains(&other) {
            return Ok(());
        }
        self.change(|connection| {
            let delete = "DELETE FROM blocks WHERE user = ?1 AND blocked = ?2";
            let key = params![user.get() as i64, other.get() as i64];
            connection.prepare_cached(delete)?.execute(key)?;
            Ok(Ok(()))
        })?;
        blocked.remove(&other);
        if blocked.is_empty() {
            blocks.0.remove(&user);
        }
        Ok(())
    }

    /// Those whom an account blocks, with numbers above `after`.
    pub fn blocked(&self, user: UserId, after: u64, limit: u32) -> Result<BlockedPage, Rejection> {
        let limit = page_len(limit);
        let mut users = self.read(|connection| {
            let select = "SELECT blocked, name FROM blocks WHERE user = ?1 AND blocked > ?2
                          ORDER BY blocked LIMIT ?3";
            let mut statement = connection.prepare_cached(select)?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let asked = params![user.get() as i64, after, (limit + 1) as i64];
            let rows = statement.query_map(asked, |row| author(row, 0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let more = users.len() > limit;
        users.truncate(limit);
        self.leavers.names().take_name(&mut users);
        Ok(BlockedPage { users, more })
    }
}
