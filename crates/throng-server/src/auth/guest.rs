//! Coming in without an account, where the server allows it.
//!
//! Neighbours: connections and REST ask; `accounts` keeps who is a guest, and until when. A guest has
//! no password: nothing is hashed, and what bounds how many come is a throttle of their own for each
//! address.

use throng_core::{Rejection, Username};

use super::{Auth, Guests, Login, new_token};
use crate::accounts::guests::Newcomer;
use crate::address::AddressKey;

/// Names that are tried for one that did not choose any: the second is needed once in some million
/// times.
const NAMES: usize = 3;

/// Letters and digits of a name that was made up; those that look like others are left out.
const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

impl Auth {
    /// Lets somebody in without an account, under this name, or under one that is made up.
    pub async fn enter_as_guest(&self, name: &str, from: AddressKey) -> Result<Login, Rejection> {
        if self.guests == Guests::Off {
            return Err(Rejection::NoGuests);
        }
        let names = if name.is_empty() {
            (0..NAMES).map(|_| made_up()).collect::<Result<_, _>>()?
        } else {
            vec![Username::parse(name)?]
        };
        self.throttles.guest(from, self.clock.now())?;
        let token = new_token()?;
        let newcomer = Newcomer {
            names,
            token: token.hash(),
            address: from,
            lasts_ms: self.guest_lifetime_ms,
            guests_max: self.guests_max,
        };
        let made = self.accounts.enter(newcomer).await?;
        Ok(Login { user: made.user, session: made.session, token })
    }
}

fn made_up() -> Result<Username, Rejection> {
    let mut chance = [0; 6];
    getrandom::fill(&mut chance).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        Rejection::Unavailable
    })?;
    let signs = chance.map(|byte| char::from(SIGNS[usize::from(byte) % SIGNS.len()]));
    Username::parse(&format!("guest-{}", signs.iter().collect::<String>()))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use throng_core::limits::{GUEST_REMEMBERED_HOURS, GUESTS_REMEMBERED_MAX};
    use throng_core::{Limits, UserId};

    use super::*;
    use crate::accounts::Form;
    use crate::auth::SignUp;
    use crate::clock::Clock;
    use crate::operations::metrics::Metrics;

    const HOUR: Duration = Duration::from_hours(1);

    fn auth(change: impl FnOnce(&mut Limits)) -> Auth {
        let mut limits = Limits { hash_threads: 1, ..Limits::default() };
        change(&mut limits);
        let auth = Auth::open(Form::Memory, &limits, SignUp::Open, Clock::manual(), Metrics::new());
        let auth = auth.unwrap().with_guests(Guests::On);
        // Before the clock's beginning there is no time.
        auth.clock.advance(HOUR);
        auth
    }

    fn from(last: u8) -> AddressKey {
        IpAddr::from([10, 0, 0, last]).into()
    }

    /// What the server does with those whose time is over, but for their rooms.
    async fn sweep(auth: &Auth) -> Vec<UserId> {
        let accounts = auth.accounts();
        let going = accounts.guests_going().await.unwrap();
        for guest in &going {
            accounts.guest_is_gone(guest.id).await.unwrap();
        }
        for guest in accounts.guests_to_forget(GUESTS_REMEMBERED_MAX).await.unwrap() {
            accounts.forget_guest(guest.id).await.unwrap();
        }
        going.iter().map(|guest| guest.id).collect()
    }

    #[tokio::test]
    async fn no_guest_comes_in_where_none_is_taken() {
        let auth = auth(|_| {}).with_guests(Guests::Off);
        let refused = auth.enter_as_guest("", from(1)).await;
        assert_eq!(refused.unwrap_err(), Rejection::NoGuests);
    }

    #[tokio::test]
    async fn a_guest_is_known_by_its_number_and_enters_by_its_token_until_its_time_is_over() {
        let auth = auth(|_| {});
        let login = auth.enter_as_guest("", from(1)).await.unwrap();
        assert!(login.user.id.is_guest());
        assert!(login.user.name.as_str().starts_with("guest-"), "{:?}", login.user.name);
        auth.clock.advance(HOUR.saturating_sub(Duration::from_millis(1)));
        let known = auth.authenticate(login.token.reveal()).await.unwrap();
        assert_eq!((&known.user, known.session), (&login.user, login.session));
        assert!(sweep(&auth).await.is_empty());
        auth.clock.advance(Duration::from_millis(1));
        let late = auth.authenticate(login.token.reveal()).await;
        assert_eq!(late.unwrap_err(), Rejection::BadToken);
        assert_eq!(sweep(&auth).await, [login.user.id]);
        assert!(sweep(&auth).await.is_empty());
    }

    #[tokio::test]
    async fn one_that_logs_out_is_over_and_makes_place_for_another() {
        let auth = auth(|limits| limits.guests_max = 2);
        let first = auth.enter_as_guest("", from(1)).await.unwrap();
        auth.enter_as_guest("", from(1)).await.unwrap();
        let third = auth.enter_as_guest("", from(1)).await;
        assert_eq!(third.unwrap_err(), Rejection::LimitReached, "as many as there may be");
        auth.logout(first.session).await.unwrap();
        assert!(auth.authenticate(first.token.reveal()).await.is_err());
        assert!(auth.enter_as_guest("", from(1)).await.is_err(), "it is still in its rooms");
        assert_eq!(sweep(&auth).await, [first.user.id]);
        auth.enter_as_guest("", from(1)).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_sends_so_many_guests_a_minute_and_one_more_is_told_when() {
        let auth = auth(|limits| limits.guests_per_minute_address = 2);
        for _ in 0..2 {
            auth.enter_as_guest("", from(1)).await.unwrap();
        }
        let refused = auth.enter_as_guest("", from(1)).await.unwrap_err();
        assert_eq!(refused, Rejection::RateLimited { retry_after_ms: 30_000 });
        auth.enter_as_guest("", from(2)).await.unwrap();
        auth.clock.advance(Duration::from_secs(30));
        auth.enter_as_guest("", from(1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_is_an_accounts_or_a_guests_and_free_again_when_the_guest_is_forgotten() {
        let auth = auth(|_| {});
        let taken = |made: Result<Login, Rejection>| made.unwrap_err();
        auth.register("anna", "correct horse", "", from(1)).await.unwrap();
        assert_eq!(taken(auth.enter_as_guest("Anna", from(1)).await), Rejection::UsernameTaken);
        let gus = auth.enter_as_guest("Gus", from(1)).await.unwrap();
        let sign_up = async || auth.register("gus", "correct horse", "", from(1)).await;
        assert_eq!(taken(auth.enter_as_guest("gus", from(2)).await), Rejection::UsernameTaken);
        assert_eq!(taken(sign_up().await), Rejection::UsernameTaken);
        assert_eq!(
            taken(auth.login("gus", "correct horse", from(1)).await),
            Rejection::WrongCredentials
        );
        auth.logout(gus.session).await.unwrap();
        sweep(&auth).await;
        let remembered = Duration::from_hours(GUEST_REMEMBERED_HOURS.into());
        auth.clock.advance(remembered.saturating_sub(Duration::from_millis(1)));
        sweep(&auth).await;
        assert_eq!(taken(sign_up().await), Rejection::UsernameTaken, "it is remembered");
        auth.clock.advance(Duration::from_millis(1));
        sweep(&auth).await;
        assert!(!sign_up().await.unwrap().user.id.is_guest());
        assert!(auth.accounts().known(gus.user.id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn so_many_that_went_are_remembered_and_of_more_the_first_is_forgotten() {
        let auth = auth(|_| {});
        let mut guests = Vec::new();
        for _ in 0..3 {
            guests.push(auth.enter_as_guest("", from(1)).await.unwrap().user.id);
            auth.clock.advance(Duration::from_millis(1));
        }
        auth.clock.advance(HOUR);
        let accounts = auth.accounts();
        assert_eq!(sweep(&auth).await, guests);
        let beyond = async |most| accounts.guests_to_forget(most).await.unwrap();
        assert!(beyond(4).await.is_empty() && beyond(3).await.is_empty());
        let first: Vec<_> = beyond(2).await.iter().map(|guest| guest.id).collect();
        assert_eq!(first, guests[..1]);
    }

    #[tokio::test]
    async fn guests_of_one_place_are_known_to_be_while_one_of_them_is_here_or_was_judged() {
        let auth = auth(|_| {});
        let enter = async |last| auth.enter_as_guest("", from(last)).await.unwrap().user.id;
        let [one, two, other] = [enter(1).await, enter(1).await, enter(2).await];
        let addresses = auth.accounts().addresses();
        assert_eq!(addresses.others(one), [two]);
        assert_eq!(addresses.others(other), []);
        addresses.gone(|_| true, &[two]);
        assert_eq!(addresses.others(one), [two]);
        addresses.gone(|_| false, &[two]);
        assert_eq!(addresses.others(one), []);
        addresses.judged(two);
        assert_eq!(addresses.others(one), [two], "it was judged after it had gone");
        auth.clock.advance(HOUR);
        sweep(&auth).await;
        auth.clock.advance(Duration::from_hours(GUEST_REMEMBERED_HOURS.into()));
        sweep(&auth).await;
        assert_eq!(addresses.others(one), [], "forgotten");
    }
}
