//! What is done to accounts from outside: many at once, each with a token and no password (for a
//! load test, which must not wait for ten thousand hashes), and all sessions of one ended.
//!
//! Neighbours: `throng admin` alone. It writes beside a running server, which hears of new accounts
//! when they first authenticate, and of ended sessions when it looks (`Accounts::look_outside`).

use std::path::Path;

use throng_core::{Author, Timestamp, Username};

use super::tables::Tables;
use super::{AccountsError, FILE};
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
}

/// Makes `count` accounts named by the prefix and the next free numbers, and gives each with its
/// token to `write` once its transaction is durable. Blocks.
pub fn create(
    folder: &Path,
    prefix: &str,
    count: usize,
    at: Timestamp,
    users_max: u64,
    mut write: impl FnMut(&Author, &Token) -> std::io::Result<()>,
) -> Result<usize, BulkError> {
    let mut tables = Tables::open(&folder.join(FILE))?;
    let (mut number, mut made) = (0_u64, 0);
    while made < count {
        let tokens = (0..BATCH.min(count - made))
            .map(|_| Token::generate())
            .collect::<Result<Vec<_>, _>>()
            .map_err(BulkError::Chance)?;
        let wrong = || BulkError::Prefix(prefix.to_owned());
        // The longest number there can be must fit as well.
        Username::parse(&format!("{prefix}{}", number + (2 * count as u64)))
            .map_err(|_| wrong())?;
        let batch = tables
            .write(|writes| writes.add_numbered(prefix, &mut number, tokens, at, users_max))?;
        if batch.is_empty() {
            break;
        }
        made += batch.len();
        for (author, token) in &batch {
            write(author, token)?;
        }
    }
    Ok(made)
}

/// Ends all sessions of an account; how many there were, or `None` when there is no such account.
/// A server that runs on the folder closes their connections within a second. Blocks.
pub fn end_sessions(folder: &Path, name: &str) -> Result<Option<usize>, AccountsError> {
    let Ok(name) = Username::parse(name) else { return Ok(None) };
    let mut tables = Tables::open(&folder.join(FILE))?;
    tables.write(|writes| writes.end_all(&name.fold()))
}
