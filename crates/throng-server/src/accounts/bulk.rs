//! What is done to accounts from outside: many at once, each with a token (for a load test;
//! passwords only where they are asked for, because each costs a hash), all sessions of one ended, and
//! who is an administrator.
//!
//! Neighbours: `throng admin` alone. It writes beside a running server, which hears of new accounts
//! when they first authenticate, of ended sessions when it looks (`Accounts::look_outside`), and of
//! administrators when they ask for something.

pub use throng_core::limits::PASSWORD_LINK_HOURS;
use throng_core::{Author, Timestamp, Username};

use super::links::{LinkKind, NewLink};
use super::tables::Tables;
use super::{AccountsError, Location};
use crate::auth::password::{Arena, Password, Phc};
use crate::auth::token::Token;

/// Accounts of one transaction: a server that writes beside it waits no longer than for these.
const BATCH: usize = 2_000;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// The tables.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The prefix and a number make no username.
    #[error(
        "cannot name accounts '{0}1', '{0}2', …: a username is 2 to 32 letters, digits, dots, dashes or underscores"
    )]
    Prefix(String),
    /// The one who asked could not take the tokens.
    #[error("cannot write the tokens: {0}")]
    Write(#[from] std::io::Error),
    /// The operating system gave no random bytes.
    #[error("cannot make a token: {0}")]
    Chance(getrandom::Error),
    /// A password could not be hashed.
    #[error("cannot hash a password: {0}")]
    Hash(String),
}

/// What each account has beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A token.
    Token,
    /// A token and a password of its own.
    TokenAndPassword,
}

/// Which accounts to make.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// They are named by this and the next free numbers.
    pub prefix: &'a str,
    /// How many.
    pub count: usize,
    /// Now.
    pub at: Timestamp,
    /// As many as there may be in all.
    pub users_max: u64,
    /// What each has beside its name.
    pub keys: Keys,
}

/// Makes accounts, their tokens by `token` (`Token::generate`, or what a test repeats), and gives each
/// with its token and its password to `write` once its transaction is durable. Blocks.
pub fn create<'a>(
    location: impl Into<Location<'a>>,
    wanted: &Wanted<'_>,
    mut token: impl FnMut() -> Result<Token, getrandom::Error>,
    mut write: impl FnMut(&Author, &Token, Option<&str>) -> std::io::Result<()>,
) -> Result<usize, BulkError> {
    let Wanted { prefix, count, at, users_max, .. } = *wanted;
    let mut tables = Tables::open(location.into())?;
    let (mut number, mut made) = (0_u64, 0);
    while made < count {
        let tokens = (0..BATCH.min(count - made))
            .map(|_| token())
            .collect::<Result<Vec<_>, _>>()
            .map_err(BulkError::Chance)?;
        let wrong = || BulkError::Prefix(prefix.to_owned());
        // The longest number there can be must fit as well.
        Username::parse(&format!("{prefix}{}", number + (2 * count as u64)))
            .map_err(|_| wrong())?;
        let passwords = match wanted.keys {
            Keys::Token => Vec::new(),
            Keys::TokenAndPassword => passwords(tokens.len())?,
        };
        let phcs = passwords.iter().map(|(_, phc)| Some(phc.clone()));
        let entries = tokens.into_iter().zip(phcs.chain(std::iter::repeat(None))).collect();
        let batch = tables
            .write(|writes| writes.add_numbered(prefix, &mut number, entries, at, users_max))?;
        if batch.is_empty() {
            break;
        }
        made += batch.len();
        for (at, (author, token)) in batch.iter().enumerate() {
            write(author, token, passwords.get(at).map(|(password, _)| password.reveal()))?;
        }
    }
    Ok(made)
}

/// Ends all sessions of an account, or the time of a guest; how many there were, or `None` when there is
/// nobody of that name. A server that runs on the folder closes their connections within a second. Blocks.
pub fn end_sessions<'a>(
    location: impl Into<Location<'a>>,
    name: &str,
    now: Timestamp,
) -> Result<Option<usize>, AccountsError> {
    let Ok(name) = Username::parse(name) else { return Ok(None) };
    let mut tables = Tables::open(location.into())?;
    tables.write(|writes| match writes.end_all(&name.fold())? {
        Some(ended) => Ok(Some(ended)),
        None => writes.end_guest_named(&name.fold(), now),
    })
}

/// What came of making somebody an administrator, or one no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// It was so before, and nothing was changed.
    pub already: bool,
    /// Administrators that there are now.
    pub administrators: u64,
    /// Invitations of its that are good for nothing from now on.
    pub invitations_ended: usize,
}

/// Makes an account an administrator, which ends the link for the first one; or (`false`) one no longer,
/// which ends the invitations that it made. `None` when there is no such account. A server that runs on
/// the folder goes by it from then on. Blocks.
pub fn set_administrator<'a>(
    location: impl Into<Location<'a>>,
    name: &str,
    is: bool,
) -> Result<Option<Ranked>, AccountsError> {
    let Ok(name) = Username::parse(name) else { return Ok(None) };
    let mut tables = Tables::open(location.into())?;
    tables.write(|writes| {
        let Some(user) = writes.user_of(&name.fold())? else { return Ok(None) };
        let already = writes.is_administrator(user)? == is;
        let mut invitations_ended = 0;
        if !already && is {
            writes.make_administrator(user)?;
            writes.end_administrator_link()?;
        } else if !already {
            invitations_ended = writes.unmake_administrator(user)?;
        }
        let administrators = writes.administrators()?;
        Ok(Some(Ranked { already, administrators, invitations_ended }))
    })
}

/// Keeps a link by which the account's password can be set once, for `PASSWORD_LINK_HOURS`; `false` when there
/// is no such account. Links given out before are good for nothing from then on. Blocks.
pub fn offer_password<'a>(
    location: impl Into<Location<'a>>,
    name: &str,
    link: &Token,
    now: Timestamp,
) -> Result<bool, AccountsError> {
    let Ok(name) = Username::parse(name) else { return Ok(false) };
    let mut tables = Tables::open(location.into())?;
    tables.write(|writes| {
        let Some(user) = writes.user_of(&name.fold())? else { return Ok(false) };
        writes.end_password_links(user)?;
        let (token, kind) = (link.hash(), LinkKind::Password);
        let lasts = u64::from(PASSWORD_LINK_HOURS) * 60 * 60 * 1_000;
        let expires_at = Timestamp(now.0.saturating_add(lasts));
        let link = NewLink { token, kind, user: Some(user), uses: 1, expires_at };
        writes.add_link(&link, now).map(|()| true)
    })
}

/// Random passwords with their hashes, made on all cores. A password is written as a token is.
fn passwords(count: usize) -> Result<Vec<(Token, Phc)>, BulkError> {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let hash = |count: usize| {
        let mut arena = Arena::default();
        let one = |_| {
            let password = Token::generate().map_err(BulkError::Chance)?;
            let parsed = Password::parse(password.reveal()).expect("43 characters are a password");
            let phc = arena.hash(&parsed).map_err(BulkError::Hash)?;
            Ok((password, phc))
        };
        (0..count).map(one).collect::<Result<Vec<_>, BulkError>>()
    };
    std::thread::scope(|scope| {
        let parts = (0..cores).map(|core| count * (core + 1) / cores - count * core / cores);
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || hash(part))).collect();
        let mut all = Vec::with_capacity(count);
        for thread in threads {
            let part = thread.join().map_err(|_| BulkError::Hash("a thread ended".into()))?;
            all.append(&mut part?);
        }
        Ok(all)
    })
}
