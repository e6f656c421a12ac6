//! Whom an account does not want to hear from. Asked for every direct message, so it is in memory;
//! the file keeps it.
//!
//! Neighbours: `mod.rs`, whose file it is; `app` asks before it lets one write to another.

use std::collections::{BTreeSet, HashMap};
use std::sync::{MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::{Connection, params};
use throng_core::limits::BLOCKED_MAX;
use throng_core::{Author, Rejection, UserId};

use super::{Moderation, author, page_len};

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

    fn blocks(&self, user: UserId, other: UserId) -> bool {
        self.0.get(&user).is_some_and(|blocked| blocked.contains(&other))
    }

    /// How many this one blocks.
    fn of(&self, user: UserId) -> usize {
        self.0.get(&user).map_or(0, BTreeSet::len)
    }

    fn unblock(&mut self, user: UserId, other: UserId) {
        let Some(blocked) = self.0.get_mut(&user) else { return };
        blocked.remove(&other);
        if blocked.is_empty() {
            self.0.remove(&user);
        }
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
    /// Whether `user` does not want to hear from `other`. Answered from memory, whatever is written meanwhile.
    pub fn blocks(&self, user: UserId, other: UserId) -> bool {
        self.known_blocks().blocks(user, other)
    }

    pub(super) fn known_blocks(&self) -> RwLockReadGuard<'_, Blocks> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For who has written what changes, and holds `change_blocks` since before that.
    pub(super) fn changed_blocks(&self) -> RwLockWriteGuard<'_, Blocks> {
        self.blocks.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One at a time changes who blocks whom.
    pub(super) fn change_blocks(&self) -> MutexGuard<'_, ()> {
        self.blocking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks somebody; again changes nothing.
    pub fn block(&self, user: UserId, other: &Author) -> Result<(), Rejection> {
        if user == other.id {
            return Err(Rejection::BadArgument);
        }
        let changing = self.change_blocks();
        if self.blocks(user, other.id) {
            return Ok(());
        }
        if self.known_blocks().of(user) >= BLOCKED_MAX {
            return Err(Rejection::LimitReached);
        }
        self.change(|connection| {
            let insert = "INSERT OR REPLACE INTO blocks VALUES (?1, ?2, ?3)";
            let row = params![user.get() as i64, other.id.get() as i64, other.name.as_str()];
            connection.prepare_cached(insert)?.execute(row)?;
            Ok(Ok(()))
        })?;
        self.changed_blocks().0.entry(user).or_default().insert(other.id);
        drop(changing);
        Ok(())
    }

    /// Hears from somebody again; from one who is not blocked, too.
    pub fn unblock(&self, user: UserId, other: UserId) -> Result<(), Rejection> {
        let changing = self.change_blocks();
        if !self.blocks(user, other) {
            return Ok(());
        }
        self.change(|connection| {
            let delete = "DELETE FROM blocks WHERE user = ?1 AND blocked = ?2";
            let key = params![user.get() as i64, other.get() as i64];
            connection.prepare_cached(delete)?.execute(key)?;
            Ok(Ok(()))
        })?;
        self.changed_blocks().unblock(user, other);
        drop(changing);
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
