//! Who was sent away for flooding, or for what is no grammar of ours, waits before it may connect again: an
//! account by itself, wherever it comes from; by its address only one that was nobody.
//!
//! Neighbours: a connection that ends says so; connections, the upgrade and logins ask before anything is
//! done for the newcomer. The memory is one fixed table, found by a secret hash of the account: nothing
//! grows, nothing must be swept, and a restart forgets it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use throng_core::{Limits, Rejection, UserId};

use super::Auth;
use crate::address::AddressKey;
use crate::clock::Moment;

/// Accounts that can wait at a time, 96 KiB. Two that meet in a slot never share its wait: the one that
/// comes later is let in again at once.
const SLOTS: usize = 1 << 12;
/// After so long without trouble the next wait is half as long, and so on.
const HALVES_AFTER_MS: u64 = 60_000;

/// Those who wait.
#[derive(Debug)]
pub struct Away {
    slots: Mutex<Box<[Option<Waits>]>>,
    /// Nobody waits any longer than until then.
    latest_ms: AtomicU64,
    hash: RandomState,
    first_ms: u64,
    max_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    user: UserId,
    until_ms: u64,
    /// How long it was told to wait the last time.
    last_ms: u64,
}

impl Away {
    /// As the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            slots: Mutex::new(vec![None; SLOTS].into()),
            latest_ms: AtomicU64::new(0),
            hash: RandomState::new(),
            first_ms: limits.away_ms,
            max_ms: limits.away_ms_max,
        }
    }

    /// A connection of this account was sent away. Several at once are one offence.
    pub fn sent(&self, user: UserId, now: Moment) {
        let now = now.millis();
        let mut slots = self.lock();
        let slot = self.slot(&mut slots, user);
        let last_ms = match slot {
            Some(waits) if now < waits.until_ms => return,
            Some(waits) if waits.user == user => {
                let halvings = (now - waits.until_ms) / HALVES_AFTER_MS;
                let last_ms = waits.last_ms.checked_shr(halvings.min(63) as u32).unwrap_or(0);
                last_ms.saturating_mul(2).max(self.first_ms)
            }
            _ => self.first_ms,
        };
        let last_ms = last_ms.min(self.max_ms);
        if self.first_ms > 0 {
            *slot = Some(Waits { user, until_ms: now + last_ms, last_ms });
            self.latest_ms.fetch_max(now + last_ms, Ordering::Relaxed);
        }
    }

    /// Whether there is anybody who may not connect now.
    pub fn anybody_waits(&self, now: Moment) -> bool {
        now.millis() < self.latest_ms.load(Ordering::Relaxed)
    }

    /// Whether this account may connect now, or when.
    pub fn look(&self, user: UserId, now: Moment) -> Result<(), Rejection> {
        let now = now.millis();
        let mut slots = self.lock();
        let waits = *self.slot(&mut slots, user);
        match waits.filter(|waits| waits.user == user && now < waits.until_ms) {
            None => Ok(()),
            Some(Waits { until_ms, .. }) => {
                let retry_after_ms = u32::try_from(until_ms - now).unwrap_or(u32::MAX);
                Err(Rejection::RateLimited { retry_after_ms })
            }
        }
    }

    fn slot<'a>(&self, slots: &'a mut [Option<Waits>], user: UserId) -> &'a mut Option<Waits> {
        &mut slots[self.hash.hash_one(user) as usize % SLOTS]
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Option<Waits>]>> {
        // A slot is written whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Auth {
    /// A connection was sent away: of this account, or of one that was nobody.
    pub fn sent_away(&self, user: Option<UserId>, from: AddressKey) {
        let now = self.clock.now();
        match user {
            Some(user) => self.away.sent(user, now),
            None => self.throttles.abuse(from, now),
        }
    }

    /// Whether an account may be spoken for by another connection now, or when.
    pub fn may_come_in(&self, user: UserId) -> Result<(), Rejection> {
        self.away.look(user, self.clock.now())
    }

    /// Whether somebody may connect from there who has not said who it is.
    pub fn may_connect(&self, from: AddressKey) -> Result<(), Rejection> {
        self.throttles.look_abuse(from, self.clock.now())
    }

    /// The same of one that shows a token with its first words: a good one speaks for its account,
    /// whatever others do at that address. Whose it is, is looked up only where the answer may depend on it:
    /// the connection does that for itself, and thousands may come back at once.
    pub async fn may_connect_with(&self, token: &str, from: AddressKey) -> Result<(), Rejection> {
        if !self.away.anybody_waits(self.clock.now()) && self.may_connect(from).is_ok() {
            return Ok(());
        }
        match self.authenticate(token).await {
            Ok(known) => self.may_come_in(known.user.id),
            Err(_) => self.may_connect(from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn away(away_ms: u64, away_ms_max: u64) -> Away {
        Away::new(&Limits { away_ms, away_ms_max, ..Limits::default() })
    }

    fn user(number: u64) -> UserId {
        UserId::new(number).unwrap()
    }

    fn at(ms: u64) -> Moment {
        Moment::default().plus(Duration::from_millis(ms))
    }

    fn told(retry_after_ms: u32) -> Result<(), Rejection> {
        Err(Rejection::RateLimited { retry_after_ms })
    }

    #[test]
    fn each_time_the_wait_is_twice_as_long_up_to_its_bound_and_nobody_else_waits() {
        let away = away(1_000, 5_000);
        let mut now = 7;
        for wait in [1_000, 2_000, 4_000, 5_000, 5_000] {
            assert_eq!(away.look(user(1), at(now)), Ok(()));
            away.sent(user(1), at(now));
            assert_eq!(away.look(user(1), at(now)), told(wait));
            assert_eq!(away.look(user(2), at(now)), Ok(()));
            now += u64::from(wait);
            assert_eq!(away.look(user(1), at(now - 1)), told(1));
            assert!(away.anybody_waits(at(now - 1)) && !away.anybody_waits(at(now)));
        }
        assert_eq!(away.look(user(1), at(now)), Ok(()));
    }

    #[test]
    fn many_connections_that_are_sent_away_together_are_one_offence() {
        let away = away(1_000, 60_000);
        for _ in 0..20 {
            away.sent(user(1), at(5));
        }
        assert_eq!(away.look(user(1), at(5)), told(1_000));
    }

    #[test]
    fn each_minute_without_trouble_halves_the_next_wait() {
        for (minutes, next) in
            [(0, 32_000), (1, 16_000), (2, 8_000), (4, 2_000), (5, 1_000), (99, 1_000)]
        {
            let away = away(1_000, 60_000);
            let mut now = 1;
            for wait in [1_000, 2_000, 4_000, 8_000, 16_000] {
                away.sent(user(1), at(now));
                now += wait;
            }
            now += minutes * HALVES_AFTER_MS;
            away.sent(user(1), at(now));
            assert_eq!(away.look(user(1), at(now)), told(next), "after {minutes} minutes");
        }
    }

    #[test]
    fn where_it_is_switched_off_nobody_waits() {
        let away = away(0, 60_000);
        away.sent(user(1), at(5));
        away.sent(user(1), at(5));
        assert_eq!(away.look(user(1), at(5)), Ok(()));
        assert!(!away.anybody_waits(at(5)));
    }

    #[test]
    fn the_table_is_no_larger_however_many_are_sent_away_and_none_waits_for_another() {
        let away = away(1_000, 60_000);
        let waiting = |numbers: std::ops::Range<u64>| {
            numbers.filter(|number| away.look(user(*number), at(5)).is_err()).count()
        };
        for number in 1..20_000 {
            away.sent(user(number), at(5));
        }
        let listed = waiting(1..20_000);
        assert!((SLOTS * 9 / 10..=SLOTS).contains(&listed), "{listed}");
        assert_eq!(waiting(20_000..40_000), 0, "who did nothing does not wait");
    }
}
