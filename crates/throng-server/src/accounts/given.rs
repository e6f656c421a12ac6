//! Which numbers were given to somebody: those up to the greatest that was seen, of accounts and of guests.
//!
//! Neighbours: `mod.rs` notes whom it has found, and asks before it looks for somebody; at a start `app`
//! says whom the rest of the data folder knows.

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{OptionalExtension as _, params};
use throng_core::UserId;
use throng_core::id::GUESTS_FROM;

use super::AccountsError;
use super::tables::{Tables, explain};

/// The greatest numbers that were given to accounts and to guests; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// To accounts.
    pub accounts: u64,
    /// To guests, counted from 1.
    pub guests: u64,
}

impl Numbers {
    /// Somebody has, or had, this number.
    pub fn note(&mut self, user: UserId) {
        if user.is_guest() {
            self.guests = self.guests.max(user.get() - GUESTS_FROM);
        } else {
            self.accounts = self.accounts.max(user.get());
        }
    }

    /// The greater of each.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { accounts: self.accounts.max(other.accounts), guests: self.guests.max(other.guests) }
    }
}

impl Tables {
    /// The greatest numbers that these tables gave.
    pub(super) fn given(&self) -> Result<Numbers, AccountsError> {
        let last = |table: &str| -> rusqlite::Result<u64> {
            let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let last = statement.query_row([table], |row| row.get::<_, i64>(0)).optional()?;
            Ok(last.unwrap_or(0) as u64)
        };
        let given = last("users").and_then(|accounts| {
            let guests = last("guests")?;
            Ok(Numbers { accounts, guests })
        });
        given.map_err(|error| explain(&error, &self.path))
    }

    /// Gives none of these numbers, nor any below them, to anybody.
    pub(super) fn give_above(&mut self, numbers: Numbers) -> Result<(), AccountsError> {
        self.write(|writes| {
            for (table, last) in [("users", numbers.accounts), ("guests", numbers.guests)] {
                // What `AUTOINCREMENT` goes on from; a table in which nothing ever was has no row.
                let row = params![table, i64::try_from(last).unwrap_or(i64::MAX)];
                let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
                if writes.0.execute(sql, row)? == 0 {
                    writes.0.execute("INSERT INTO sqlite_sequence VALUES (?1, ?2)", row)?;
                }
            }
            Ok(())
        })
    }
}

/// The greatest numbers seen; 0 for none.
#[derive(Debug, Default)]
pub struct Given {
    accounts: AtomicU64,
    guests: AtomicU64,
}

impl Given {
    /// Somebody has this number.
    pub fn note(&self, user: UserId) {
        self.of(user).fetch_max(user.get(), Ordering::Relaxed);
    }

    /// Whether this number was given, as far as is known.
    pub fn has(&self, user: UserId) -> bool {
        user.get() <= self.of(user).load(Ordering::Relaxed)
    }

    fn of(&self, user: UserId) -> &AtomicU64 {
        if user.is_guest() { &self.guests } else { &self.accounts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_greatest_number_was_given_and_guests_have_numbers_of_their_own() {
        let given = Given::default();
        let user = |number| UserId::new(number).unwrap();
        assert!(!given.has(user(1)));
        given.note(user(7));
        given.note(user(3));
        assert!(given.has(user(1)) && given.has(user(7)) && !given.has(user(8)));
        assert!(!given.has(user(GUESTS_FROM)));
        given.note(user(GUESTS_FROM + 1));
        assert!(given.has(user(GUESTS_FROM)) && !given.has(user(GUESTS_FROM + 2)));
        assert!(!given.has(user(8)));
    }

    #[test]
    fn numbers_that_others_know_are_given_no_more_of_either_kind() {
        let user = |number| UserId::new(number).unwrap();
        let mut known = Numbers::default();
        for one in [user(4), user(GUESTS_FROM + 3), user(2)] {
            known.note(one);
        }
        assert_eq!(known, Numbers { accounts: 4, guests: 3 });
        let mut tables = Tables::in_memory().unwrap();
        assert_eq!(tables.given().unwrap(), Numbers::default());
        tables.give_above(known).unwrap();
        assert_eq!(tables.given().unwrap(), known);
        tables.give_above(Numbers { accounts: 9, guests: 1 }).unwrap();
        assert_eq!(tables.given().unwrap(), Numbers { accounts: 9, guests: 3 }, "never down again");
    }
}
