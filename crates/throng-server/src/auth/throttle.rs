//! How often one account may be tried, one address may try, one account may ask over HTTP and make a
//! room, one address may ask that is nobody there, and connections of it may be sent away that are nobody.
//!
//! Neighbours: `auth` asks before it spends anything on a password; REST asks for each request,
//! where a connection has a rate of its own; `app` asks for each room. The memory is seven fixed tables
//! of eight-byte slots, found by a secret hash of the key: nothing grows, nothing must be swept. Two
//! keys that meet in a slot share its rate, which an attacker cannot arrange without the secret.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use throng_core::session::{Gcra, Rate};
use throng_core::{Limits, Rejection, UserId};

use crate::address::AddressKey;
use crate::clock::Moment;

/// Slots of a table, 512 KiB: with ten thousand logins a minute one in seven shares its slot.
const SLOTS: usize = 1 << 16;

/// The throttles of what no connection counts.
#[derive(Debug)]
pub struct Throttles {
    accounts: Table,
    addresses: Table,
    guests: Table,
    requests: Table,
    rooms: Table,
    anonymous: Table,
    abuses: Table,
}

impl Throttles {
    /// As the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            accounts: Table::new(Rate::per_minute(limits.logins_per_minute_account)),
            addresses: Table::new(Rate::per_minute(limits.logins_per_minute_address)),
            guests: Table::new(Rate::per_minute(limits.guests_per_minute_address)),
            requests: Table::new(Rate::requests(limits)),
            rooms: Table::new(Rate::rooms(limits)),
            anonymous: Table::new(Rate::anonymous(limits)),
            abuses: Table::new(Rate::per_minute(limits.abuses_per_minute_address)),
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

    /// One guest that comes in.
    pub fn guest(&self, from: AddressKey, now: Moment) -> Result<(), Rejection> {
        self.guests.take(&from, now)
    }

    /// One request over HTTP.
    pub fn request(&self, user: UserId, now: Moment) -> Result<(), Rejection> {
        self.requests.take(&user, now)
    }

    /// One room more that an account makes.
    pub fn room(&self, by: UserId, now: Moment) -> Result<(), Rejection> {
        self.rooms.take(&by, now)
    }

    /// One request over HTTP of somebody who is nobody.
    pub fn anonymous(&self, from: AddressKey, now: Moment) -> Result<(), Rejection> {
        self.anonymous.take(&from, now)
    }

    /// One connection that was sent away before it was anybody.
    pub fn abuse(&self, from: AddressKey, now: Moment) {
        // Beyond the rate none is taken any more, so that there is nobody to be refused.
        _ = self.abuses.take(&from, now);
    }

    /// Whether one that is nobody may connect.
    pub fn look_abuse(&self, from: AddressKey, now: Moment) -> Result<(), Rejection> {
        self.abuses.look(&from, now)
    }
}

#[derive(Debug)]
struct Table {
    slots: Mutex<Box<[Gcra]>>,
    hash: RandomState,
    rate: Rate,
}

impl Table {
    fn new(rate: Rate) -> Self {
        let slots = Mutex::new(vec![Gcra::default(); SLOTS].into());
        Self { slots, hash: RandomState::new(), rate }
    }

    fn take<K: Hash + ?Sized>(&self, key: &K, now: Moment) -> Result<(), Rejection> {
        self.slot(key, |slot| slot.take(self.rate, now.millis()))
    }

    fn look<K: Hash + ?Sized>(&self, key: &K, now: Moment) -> Result<(), Rejection> {
        self.slot(key, |slot| slot.look(self.rate, now.millis()))
    }

    fn slot<K: Hash + ?Sized, T>(&self, key: &K, with: impl FnOnce(&mut Gcra) -> T) -> T {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.hash.hash_one(key) as usize % slots.len();
        with(&mut slots[slot])
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

    #[test]
    fn an_address_that_is_nobody_asks_up_to_its_burst_and_then_at_its_rate() {
        let limits = Limits {
            requests_burst_anonymous: 3,
            requests_per_second_anonymous: 2,
            ..Limits::default()
        };
        let throttles = Throttles::new(&limits);
        let now = Moment::default().plus(Duration::from_secs(100));
        for _ in 0..3 {
            assert_eq!(throttles.anonymous(address(1), now), Ok(()));
        }
        let refused = Err(Rejection::RateLimited { retry_after_ms: 500 });
        assert_eq!(throttles.anonymous(address(1), now), refused);
        assert_eq!(throttles.anonymous(address(2), now), Ok(()), "another address is another");
        let before = now.plus(Duration::from_millis(499));
        assert!(throttles.anonymous(address(1), before).is_err());
        let after = now.plus(Duration::from_millis(500));
        assert_eq!(throttles.anonymous(address(1), after), Ok(()));
        assert!(throttles.anonymous(address(1), after).is_err());
    }

    #[test]
    fn an_address_whose_nobodies_are_sent_away_up_to_its_limit_connects_and_then_waits() {
        let limits = Limits { abuses_per_minute_address: 3, ..Limits::default() };
        let throttles = Throttles::new(&limits);
        let now = Moment::default().plus(Duration::from_secs(100));
        for _ in 0..3 {
            assert_eq!(throttles.look_abuse(address(1), now), Ok(()), "to look costs nothing");
            throttles.abuse(address(1), now);
        }
        let refused = Err(Rejection::RateLimited { retry_after_ms: 20_000 });
        assert_eq!(throttles.look_abuse(address(1), now), refused);
        throttles.abuse(address(1), now);
        assert_eq!(throttles.look_abuse(address(1), now), refused, "no longer for that");
        assert_eq!(throttles.look_abuse(address(2), now), Ok(()), "another address is another");
        assert_eq!(throttles.look_abuse(address(1), now.plus(Duration::from_secs(20))), Ok(()));
    }

    #[test]
    fn an_account_makes_rooms_up_to_its_burst_and_then_at_its_rate() {
        let limits = Limits { rooms_made_burst: 3, rooms_made_per_hour: 10, ..Limits::default() };
        let throttles = Throttles::new(&limits);
        let (user, other) = (UserId::new(7).unwrap(), UserId::new(8).unwrap());
        let now = Moment::default().plus(Duration::from_secs(100));
        for _ in 0..3 {
            assert_eq!(throttles.room(user, now), Ok(()));
        }
        let refused = Err(Rejection::RateLimited { retry_after_ms: 360_000 });
        assert_eq!(throttles.room(user, now), refused);
        assert_eq!(throttles.room(other, now), Ok(()), "another account is another");
        let before = now.plus(Duration::from_millis(359_999));
        assert!(throttles.room(user, before).is_err());
        let after = now.plus(Duration::from_mins(6));
        assert_eq!(throttles.room(user, after), Ok(()));
        assert!(throttles.room(user, after).is_err());
    }

    #[test]
    fn an_account_asks_over_http_up_to_its_burst() {
        let limits = Limits { requests_burst: 3, requests_per_second: 1, ..Limits::default() };
        let throttles = Throttles::new(&limits);
        let (now, user) = (Moment::default(), UserId::new(7).unwrap());
        for _ in 0..3 {
            assert_eq!(throttles.request(user, now), Ok(()));
        }
        let refused = throttles.request(user, now);
        assert_eq!(refused, Err(Rejection::RateLimited { retry_after_ms: 1_000 }));
        assert_eq!(throttles.request(user, now.plus(Duration::from_secs(1))), Ok(()));
    }
}
