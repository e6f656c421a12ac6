//! Takes the names of those who are named no more out of reports and the audit log, and what was theirs
//! alone away: links that they made, whom they blocked.
//!
//! Neighbours: `mod.rs`, whose file it is; the fold calls it behind what it writes, a slice at a time.

use rusqlite::{Connection, params};
use throng_core::{Rejection, UserId, Username};

use super::Moderation;
use crate::leavers::Names;
use crate::sqlite::{self, Trouble};
use crate::store::StoreError;

/// Rows of one table that are looked at in one transaction.
const SLICE_ROWS: u64 = 512;

/// The columns of a table that name somebody: whose number, whose name, and what is written in a row.
struct Named {
    select: &'static str,
    updates: &'static [&'static str],
}

const TABLES: [Named; 3] = [
    Named {
        select: "SELECT id, by, about, settled_by FROM reports WHERE id > ?1 ORDER BY id LIMIT ?2",
        updates: &[
            "UPDATE reports SET by_name = ?2 WHERE id = ?1",
            "UPDATE reports SET about_name = ?2 WHERE id = ?1",
            "UPDATE reports SET settled_name = ?2 WHERE id = ?1",
        ],
    },
    Named {
        select: "SELECT id, by, about, NULL FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2",
        updates: &[
            "UPDATE audit SET by_name = ?2 WHERE id = ?1",
            "UPDATE audit SET about_name = ?2 WHERE id = ?1",
        ],
    },
    // Its maker keeps order nowhere any more, so that it is good for nothing.
    Named {
        select: "SELECT id, by, NULL, NULL FROM links WHERE id > ?1 ORDER BY id LIMIT ?2",
        updates: &["DELETE FROM links WHERE id = ?1 AND ?2 IS NOT NULL"],
    },
];

/// How far it has got: which table, and behind which row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    table: usize,
    row: i64,
}

impl Moderation {
    /// Goes on behind what was reached; `None` when it has gone through all. Durable when this returns.
    pub fn unname(&self, names: &Names, from: Reached) -> Result<Option<Reached>, StoreError> {
        let Some(table) = TABLES.get(from.table) else {
            self.empty_journal();
            return Ok(None);
        };
        let written = self.write(|connection| Ok(Ok(unname(connection, table, names, from.row)?)));
        let failed = |trouble| StoreError::from_trouble(trouble, "take names out of the reports");
        let next = match written.map_err(failed)? {
            Ok(Some(row)) => Reached { row, ..from },
            Ok(None) | Err(_) => Reached { table: from.table + 1, row: 0 },
        };
        Ok(Some(next))
    }

    /// An account is nobody any more: whom it blocked is nobody's business, and it needs not be blocked.
    pub fn forget_blocks(&self, gone: UserId) -> Result<(), Rejection> {
        let changing = self.change_blocks();
        let blockers = self.known_blocks().blockers_of(gone);
        self.change(|connection| {
            let own = "DELETE FROM blocks WHERE user = ?1";
            connection.prepare_cached(own)?.execute([gone.get() as i64])?;
            let of_others = "DELETE FROM blocks WHERE user = ?1 AND blocked = ?2";
            let mut of_others = connection.prepare_cached(of_others)?;
            for user in &blockers {
                of_others.execute([user.get() as i64, gone.get() as i64])?;
            }
            Ok(Ok(()))
        })?;
        self.changed_blocks().forget(gone);
        drop(changing);
        Ok(())
    }

    /// What was written over may stand in the journal still. A reader in the way: it is overwritten later.
    fn empty_journal(&self) {
        let mut tables = self.tables();
        if tables.failed {
            return;
        }
        let empty = "PRAGMA wal_checkpoint(TRUNCATE)";
        let emptied = tables.connection.query_row(empty, [], |_| Ok(()));
        match emptied.map_err(Trouble::from) {
            Ok(()) => {}
            Err(Trouble::SyncFailed(cause)) => {
                tables.failed = true;
                sqlite::never_checkpoint_again(&tables.connection);
                (self.on_sync_failed)(&cause);
            }
            Err(trouble) => tracing::warn!(?trouble, "cannot empty the journal of the reports"),
        }
    }
}

/// A slice of one table; the last row that it has looked at, `None` when there are no more.
fn unname(
    connection: &Connection,
    table: &Named,
    names: &Names,
    after: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut select = connection.prepare_cached(table.select)?;
    let mut rows = select.query(params![after, SLICE_ROWS as i64])?;
    let (mut last, mut count, gone) = (after, 0, Username::gone());
    while let Some(row) = rows.next()? {
        (last, count) = (row.get(0)?, count + 1);
        for (column, update) in table.updates.iter().enumerate() {
            let user: Option<i64> = row.get(1 + column)?;
            let user = user.and_then(|user| UserId::new(user as u64));
            if user.is_some_and(|user| names.has(user)) {
                connection.prepare_cached(update)?.execute(params![last, gone.as_str()])?;
            }
        }
    }
    Ok((count == SLICE_ROWS).then_some(last))
}
