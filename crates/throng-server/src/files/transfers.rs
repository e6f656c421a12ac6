//! How many files are being sent and fetched at a time, in all and of one account: each holds a piece
//! of memory, and one who reads slowly holds it long.
//!
//! Neighbours: `files` gives a `Transfer` to who sends or fetches; dropping it makes place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use throng_core::{Limits, Rejection, UserId};

use crate::spread::Spread;

/// What one is told to wait when all places are taken.
const RETRY_AFTER_MS: u32 = 1_000;

/// The count.
#[derive(Debug)]
pub struct Transfers {
    max: u32,
    max_per_user: u32,
    running: Mutex<Running>,
    refused: Spread,
}

#[derive(Debug, Default)]
struct Running {
    all: u32,
    /// Of those who have any.
    users: HashMap<UserId, u32>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Transfer {
    of: Arc<Transfers>,
    user: UserId,
}

impl Transfers {
    /// None yet.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let (max, max_per_user) = (limits.transfers_max, limits.transfers_per_user_max);
        Arc::new(Self { max, max_per_user, running: Mutex::default(), refused: Spread::default() })
    }

    /// A place for this account, or *busy*.
    pub fn begin(self: &Arc<Self>, user: UserId) -> Result<Transfer, Rejection> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.users.get(&user).copied().unwrap_or(0);
        if running.all >= self.max || own >= self.max_per_user {
            return Err(self.refused.busy(RETRY_AFTER_MS));
        }
        running.all += 1;
        running.users.insert(user, own + 1);
        Ok(Transfer { of: Arc::clone(self), user })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut running = self.of.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.all -= 1;
        match running.users.get_mut(&self.user) {
            Some(1) | None => _ = running.users.remove(&self.user),
            Some(own) => *own -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_are_counted_in_all_and_of_one_account_and_make_place_when_they_end() {
        let limits = Limits { transfers_max: 3, transfers_per_user_max: 2, ..Limits::default() };
        let transfers = Transfers::new(&limits);
        let user = |number| UserId::new(number).unwrap();
        let first = transfers.begin(user(1)).unwrap();
        let _second = transfers.begin(user(1)).unwrap();
        let busy = Rejection::Busy { retry_after_ms: RETRY_AFTER_MS };
        assert_eq!(transfers.begin(user(1)).unwrap_err(), busy, "two of one account");
        let _third = transfers.begin(user(2)).unwrap();
        let full = transfers.begin(user(3)).unwrap_err();
        assert!(matches!(full, Rejection::Busy { .. }), "three in all");
        assert_ne!(full, busy, "and is told another time than the one before");
        drop(first);
        let _fourth = transfers.begin(user(3)).unwrap();
        assert_eq!(transfers.running.lock().unwrap().users.len(), 3);
    }
}
