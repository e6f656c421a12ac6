//! How often one account may be tried, and one address may try.
//!
//! Neighbours: `auth` asks before it spends anything on a password. The memory is two fixed tables
//! of eight-byte slots, found by a secret hash of the key: nothing grows, nothing must be swept. Two
//! keys that meet in a slot share its rate, which an attacker cannot arrange without the secret.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use throng_core::session::{Gcra, Rate};
use throng_core::{Limits, Rejection};

use crate::address::AddressKey;
use crate::clock::Moment;

/// Slots for accounts, 512 KiB: with ten thousand logins a minute one in seven shares its slot.
const ACCOUNT_SLOTS: usize = 1 << 16;
/// Slots for addresses, 512 KiB.
const ADDRESS_SLOTS: usize = 1 << 16;

/// The throttles of logins and sign-ups.
#[derive(Debug)]
pub struct Throttles {
    accounts: Table,
    addresses: Table,
}

impl Throttles {
    /// As the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            accounts: Table::new(ACCOUNT_SLOTS, limits.logins_per_minute_account),
            addresses: Table::new(ADDRESS_SLOTS, limits.logins_per_minute_address),
        }
    }

    /// One login to this (folded) name, whether it exists or not.
    pub fn login(&self, folded: &str, from: AddressKey, now: Moment) -> Result<(), Rejection> {
        self.addresses.take(&from, now)?;
        self.accounts.take(folded, now)
    }

    /// One sign-up.
    pub fn sign_up(&self, from: AddressKey, now: Moment) -> Result<(), Rejection> {
        self.addresses.take(&from, now)
    }
}

#[derive(Debug)]
struct Table {
    slots: Mutex<Box<[Gcra]>>,
    hash: RandomState,
    rate: Rate,
}

impl Table {
    fn new(slots: usize, per_minute: u32) -> Self {
        Self {
            slots: Mutex::new(vec![Gcra::default(); slots].into()),
            hash: RandomState::new(),
            rate: Rate::per_minute(per_minute),
        }
    }

    fn take<K: Hash + ?Sized>(&self, key: &K, now: Moment) -> Result<(), Rejection> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.hash.hash_one(key) as usize % slots.len();
        slots[slot].take(self.rate, now.millis())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;

    fn throttles() -> Throttles {
        let limits = Limits {
            logins_per_minute_account: 5,
            logins_per_minute_address: 20,
            ..Limits::default()
        };
        Throttles::new(&limits)
    }

    fn address(last: u8) -> AddressKey {
        IpAddr::from([10, 0, 0, last]).into()
    }

    #[test]
    fn an_account_is_tried_up_to_its_limit_and_again_when_the_told_time_has_passed() {
        let throttles = throttles();
        let now = Moment::default().plus(Duration::from_secs(100));
        for last in 0..5 {
            assert_eq!(throttles.login("anna", address(last), now), Ok(()), "try {last}");
        }
        let refused = throttles.login("anna", address(9), now);
        let Err(Rejection::RateLimited { retry_after_ms }) = refused else { panic!("{refused:?}") };
        assert_eq!(retry_after_ms, 12_000);
        let wait = Duration::from_millis(u64::from(retry_after_ms));
        let just_before = now.plus(Duration::from_millis(u64::from(retry_after_ms) - 1));
        assert!(throttles.login("anna", address(9), just_before).is_err());
        assert_eq!(throttles.login("anna", address(9), now.plus(wait)), Ok(()));
    }

    #[test]
    fn an_address_tries_up_to_its_limit_over_all_accounts_and_sign_ups() {
        let throttles = throttles();
        let now = Moment::default();
        for number in 0..19 {
            assert_eq!(throttles.login(&format!("user{number}"), address(1), now), Ok(()));
        }
        assert_eq!(throttles.sign_up(address(1), now), Ok(()));
        assert!(matches!(
            throttles.sign_up(address(1), now),
            Err(Rejection::RateLimited { retry_after_ms: 3_000 })
        ));
        assert!(throttles.login("user99", address(1), now).is_err());
        assert_eq!(throttles.sign_up(address(2), now), Ok(()));
    }
}
