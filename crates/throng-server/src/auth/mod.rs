//! Sign-up, login and log-out: how often someone may try, what it costs, what is answered.
//!
//! Neighbours: connections and REST ask it; `accounts` keeps, `hashing` hashes. A name that does not
//! exist is answered like a wrong password, by the same path and after the same work. Nothing here
//! writes a password, a token or a name into a log line.

pub mod account;
mod away;
mod guest;
pub mod hashing;
pub mod password;
mod throttle;
pub mod token;

use std::sync::Arc;

use throng_core::{Author, Limits, Rejection, SessionId, UserId, Username};

use crate::accounts::links::LinkKind;
use crate::accounts::{Accounts, AccountsError, Authenticated, Form};
use crate::address::AddressKey;
use crate::clock::Clock;
use crate::operations::metrics::Metrics;
use away::Away;
use hashing::Hashing;
use password::{Password, Phc, Verdict};
use throttle::Throttles;
use token::{Token, TokenHash};

/// Who may come in.
#[derive(Debug)]
pub struct Auth {
    accounts: Accounts,
    hashing: Hashing,
    throttles: Throttles,
    away: Away,
    /// What is tried in place of an account that does not exist.
    dummy: Phc,
    clock: Clock,
    sign_up: SignUp,
    guests: Guests,
    guests_max: u32,
    guest_lifetime_ms: u64,
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// Anyone.
    Open,
    /// Who has an invitation.
    Invite,
    /// Nobody, but for the first administrator.
    Closed,
}

/// Whether who has no account may look in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// For a while.
    On,
    /// Nobody.
    Off,
}

/// A login that went well.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who it is.
    pub user: Author,
    /// The new session.
    pub session: SessionId,
    /// Its token, for the client alone.
    pub token: Token,
}

/// Why it could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The tables.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The hashing threads.
    #[error("cannot start the threads that hash passwords: {0}")]
    Threads(std::io::Error),
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes: {0}")]
    Chance(getrandom::Error),
}

impl Auth {
    /// Opens the accounts and starts the hashing threads. Blocks: for start-up.
    pub fn open(
        form: Form<'_>,
        limits: &Limits,
        sign_up: SignUp,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AuthError> {
        let accounts = Accounts::open(form, limits, clock.clone())?;
        Self::over(accounts, limits, sign_up, clock, metrics)
    }

    /// The same over accounts that are open.
    pub fn over(
        accounts: Accounts,
        limits: &Limits,
        sign_up: SignUp,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AuthError> {
        Ok(Self {
            accounts,
            hashing: Hashing::start(limits, clock.clone(), metrics).map_err(AuthError::Threads)?,
            throttles: Throttles::new(limits),
            away: Away::new(limits),
            dummy: Phc::dummy().map_err(AuthError::Chance)?,
            clock,
            sign_up,
            guests: Guests::Off,
            guests_max: limits.guests_max,
            guest_lifetime_ms: limits.guest_lifetime_ms,
        })
    }

    /// The same, and guests are taken or not.
    #[must_use]
    pub fn with_guests(self, guests: Guests) -> Self {
        Self { guests, ..self }
    }

    /// The accounts behind it, to be watched and for figures.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Makes an account and logs it in. `link`: an invitation, or the first administrator's; empty for
    /// none.
    pub async fn register(
        &self,
        name: &str,
        password: impl Into<Box<str>>,
        link: &str,
        from: AddressKey,
    ) -> Result<Login, Rejection> {
        let name = Username::parse(name)?;
        let password = Password::parse(password)?;
        let place = self.hashing.place()?;
        self.throttles.sign_up(from, self.clock.now())?;
        let link = self.may_sign_up(link).await?;
        // Asked before hashing, to spare the work; decided by the insert.
        if self.accounts.find(&name).await?.is_some() {
            return Err(Rejection::UsernameTaken);
        }
        let phc = place.hash(password).await?;
        let token = new_token()?;
        let made = self.accounts.register(name, phc, token.hash(), link).await?;
        Ok(Login { user: made.user, session: made.session, token })
    }

    /// What a link is good for here, where one is given or needed.
    async fn may_sign_up(&self, link: &str) -> Result<Option<(TokenHash, LinkKind)>, Rejection> {
        if link.is_empty() {
            return match self.sign_up {
                SignUp::Open => Ok(None),
                SignUp::Invite => Err(Rejection::InvitationNeeded),
                SignUp::Closed => Err(Rejection::SignUpClosed),
            };
        }
        let link = TokenHash::of(link).ok_or(Rejection::BadLink)?;
        match self.accounts.link(link).await? {
            LinkKind::Password => Err(Rejection::BadLink),
            LinkKind::Invitation if self.sign_up == SignUp::Closed => Err(Rejection::SignUpClosed),
            kind @ (LinkKind::Administrator | LinkKind::Invitation) => Ok(Some((link, kind))),
        }
    }

    /// Logs in by password. A place in the pool is taken first, so that a full pool refuses at once
    /// and without counting as a try.
    pub async fn login(
        &self,
        name: &str,
        password: impl Into<Box<str>>,
        from: AddressKey,
    ) -> Result<Login, Rejection> {
        let password = Password::parse(password)?;
        let name = Username::parse(name)?;
        let place = self.hashing.place()?;
        self.throttles.login(&name.fold(), from, self.clock.now())?;
        let found = self.accounts.find(&name).await?;
        let kept = found.as_ref().and_then(|found| found.phc.clone());
        let tried = kept.clone().unwrap_or_else(|| self.dummy.clone());
        let verified = place.verify(password, tried).await?;
        match (verified.verdict, found, kept) {
            (Verdict::Right | Verdict::RightButStale, Some(found), Some(old)) => {
                // Told to who knows the password alone.
                self.may_come_in(found.user.id)?;
                if let Some(new) = verified.renewed {
                    // Failing to renew is no reason to refuse: the next login tries again.
                    let _ = self.accounts.renew(found.user.id, old, new).await;
                }
                self.begin_session(found.user).await
            }
            (Verdict::Unreadable, Some(found), _) => {
                tracing::error!(user = found.user.id.get(), "a kept password hash is unreadable");
                Err(Rejection::WrongCredentials)
            }
            _ => Err(Rejection::WrongCredentials),
        }
    }

    /// Whose session a token is, for a connection.
    pub async fn authenticate(&self, token: &str) -> Result<Authenticated, Rejection> {
        let token = TokenHash::of(token).ok_or(Rejection::BadToken)?;
        self.accounts.authenticate(token).await
    }

    /// Whose session a token is, for one request over HTTP, within the account's rate of those.
    pub async fn authenticate_request(&self, token: &str) -> Result<Authenticated, Rejection> {
        let token = TokenHash::of(token).ok_or(Rejection::BadToken)?;
        let known = self.accounts.authenticate_often(token).await?;
        self.throttles.request(known.user.id, self.clock.now())?;
        Ok(known)
    }

    /// One request over HTTP of somebody who is nobody, within its address's rate of those.
    pub fn anonymous_request(&self, from: AddressKey) -> Result<(), Rejection> {
        self.throttles.anonymous(from, self.clock.now())
    }

    /// One room more that an account makes, within its rate of those.
    pub fn may_make_room(&self, by: UserId) -> Result<(), Rejection> {
        self.throttles.room(by, self.clock.now())
    }

    /// Ends a session. When this returns, its token is refused and its connections are closed.
    pub async fn logout(&self, session: SessionId) -> Result<(), Rejection> {
        self.accounts.end_session(session).await
    }

    async fn begin_session(&self, user: Author) -> Result<Login, Rejection> {
        let token = new_token()?;
        let begun = self.accounts.begin_session(user, token.hash()).await?;
        Ok(Login { user: begun.user, session: begun.session, token })
    }
}

fn new_token() -> Result<Token, Rejection> {
    Token::generate().map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        Rejection::Unavailable
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::accounts::bulk;

    impl Auth {
        fn hashes(&self) -> u64 {
            self.hashing.metrics().hashes.get()
        }
    }

    fn auth(change: impl FnOnce(&mut Limits)) -> Auth {
        let mut limits = Limits { hash_threads: 1, ..Limits::default() };
        change(&mut limits);
        Auth::open(Form::Memory, &limits, SignUp::Open, Clock::manual(), Metrics::new()).unwrap()
    }

    fn wanted(count: usize, keys: bulk::Keys) -> bulk::Wanted<'static> {
        let at = throng_core::Timestamp(1);
        bulk::Wanted { prefix: "u", count, at, users_max: 10, keys }
    }

    fn on(form: Form<'_>) -> Auth {
        let limits = Limits::default();
        Auth::open(form, &limits, SignUp::Open, Clock::manual(), Metrics::new()).unwrap()
    }

    fn here() -> AddressKey {
        IpAddr::from([127, 0, 0, 1]).into()
    }

    #[tokio::test]
    async fn one_who_signed_up_logs_in_by_password_in_any_case_of_the_name() {
        let auth = auth(|_| {});
        let made = auth.register("Anna", "correct horse", "", here()).await.unwrap();
        let login = auth.login("anna", "correct horse", here()).await.unwrap();
        assert_eq!(login.user, made.user);
        assert_ne!(login.session, made.session);
        assert_ne!(login.token, made.token);
        let known = auth.authenticate(login.token.reveal()).await.unwrap();
        assert_eq!((known.user, known.session), (login.user, login.session));
        let again = auth.register("ANNA", "another horse", "", here()).await;
        assert_eq!(again.unwrap_err(), Rejection::UsernameTaken);
    }

    #[tokio::test]
    async fn an_unknown_name_costs_the_same_work_and_hears_the_same_as_a_wrong_password() {
        let auth = auth(|_| {});
        auth.register("anna", "correct horse", "", here()).await.unwrap();
        let mut heard = Vec::new();
        for name in ["anna", "nobody"] {
            let before = auth.hashes();
            heard.push(auth.login(name, "wrong horse", here()).await.unwrap_err());
            assert_eq!(auth.hashes() - before, 1, "{name}");
        }
        assert_eq!(heard, [Rejection::WrongCredentials; 2]);
    }

    #[tokio::test]
    async fn an_account_without_a_password_is_entered_by_none() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = wanted(1, bulk::Keys::Token);
        bulk::create(folder.path(), &wanted, Token::generate, |_, _, _| Ok(())).unwrap();
        let form = Form::Folder(folder.path().into());
        let auth = on(form);
        let tried = auth.login("u1", "whatever it is", here()).await;
        assert_eq!(tried.unwrap_err(), Rejection::WrongCredentials);
        assert_eq!(auth.hashes(), 1);
    }

    #[tokio::test]
    async fn an_account_of_a_pool_is_entered_by_the_password_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let mut pool = Vec::new();
        let wanted = wanted(3, bulk::Keys::TokenAndPassword);
        bulk::create(folder.path(), &wanted, Token::generate, |author, _, password| {
            pool.push((author.name.as_str().to_owned(), password.unwrap().to_owned()));
            Ok(())
        })
        .unwrap();
        assert!(pool[0].1 != pool[1].1 && pool[1].1 != pool[2].1);
        let form = Form::Folder(folder.path().into());
        let auth = on(form);
        for (name, password) in &pool {
            auth.login(name, password.as_str(), here()).await.unwrap();
        }
        let other = auth.login(&pool[0].0, pool[1].1.as_str(), here()).await;
        assert_eq!(other.unwrap_err(), Rejection::WrongCredentials);
    }

    #[tokio::test]
    async fn a_token_of_an_ended_session_and_one_that_never_was_are_refused_alike() {
        let auth = auth(|_| {});
        let login = auth.register("anna", "correct horse", "", here()).await.unwrap();
        auth.logout(login.session).await.unwrap();
        for token in [login.token.reveal(), Token::generate().unwrap().reveal(), "", "x"] {
            let refused = auth.authenticate(token).await.unwrap_err();
            assert_eq!(refused, Rejection::BadToken);
        }
    }

    #[tokio::test]
    async fn what_is_refused_before_hashing_costs_no_hash_and_gives_its_place_back() {
        let auth = auth(|limits| {
            limits.logins_per_minute_account = 1;
            limits.hash_queue_max = 1;
        });
        let long = "x".repeat(throng_core::limits::PASSWORD_LEN_MAX + 1);
        let refused = auth.login("anna", long, here()).await.unwrap_err();
        assert_eq!(refused, Rejection::BadPassword);
        let refused = auth.register("a b", "correct horse", "", here()).await.unwrap_err();
        assert_eq!(refused, Rejection::BadUsername);
        assert_eq!(auth.hashes(), 0);
        for expected in
            [Rejection::WrongCredentials, Rejection::RateLimited { retry_after_ms: 60_000 }]
        {
            let refused = auth.login("anna", "wrong horse", here()).await.unwrap_err();
            assert_eq!(refused, expected);
        }
        assert_eq!(auth.hashes(), 1);
        assert!(auth.register("bert", "correct horse", "", here()).await.is_ok());
    }

    #[tokio::test]
    async fn a_full_pool_says_busy_and_when_to_come_back_and_that_is_no_try() {
        let auth = auth(|limits| {
            limits.hash_queue_max = 1;
            limits.logins_per_minute_account = 1;
        });
        let place = auth.hashing.place().unwrap();
        for _ in 0..3 {
            let refused = auth.login("anna", "wrong horse", here()).await.unwrap_err();
            assert!(matches!(refused, Rejection::Busy { retry_after_ms: 250.. }), "{refused:?}");
        }
        drop(place);
        let refused = auth.login("anna", "wrong horse", here()).await.unwrap_err();
        assert_eq!(refused, Rejection::WrongCredentials);
    }

    #[tokio::test]
    async fn a_password_hashed_with_older_parameters_is_hashed_again_at_the_next_login() {
        use argon2::PasswordHasher as _;
        let auth = auth(|_| {});
        let weaker = argon2::Params::new(1024, 1, 1, Some(32)).unwrap();
        let old = argon2::Argon2::from(weaker)
            .hash_password_with_salt(b"correct horse", &[7; 16])
            .unwrap();
        let name = Username::parse("anna").unwrap();
        let token = Token::generate().unwrap();
        let phc = Phc::stored(old.to_string());
        auth.accounts().register(name.clone(), phc, token.hash(), None).await.unwrap();
        assert!(auth.login("anna", "correct horse", here()).await.is_ok());
        let renewed = auth.accounts().find(&name).await.unwrap().unwrap().phc.unwrap();
        assert!(renewed.as_str().contains("m=19456,t=2,p=1"));
        assert!(auth.login("anna", "correct horse", here()).await.is_ok());
        let same = auth.accounts().find(&name).await.unwrap().unwrap().phc.unwrap();
        assert_eq!(same, renewed);
    }
}
