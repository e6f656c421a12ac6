//! One-time links, and what an account is on this server besides its name: the SQL of both. A link is
//! 256 random bits that somebody was given; what is kept is their hash, what they are good for, how
//! often and until when.
//!
//! Neighbours: `life.rs` and `bulk.rs` open transactions around these calls; what a link does is done
//! in the same transaction that uses it up. It makes no token and reads no clock.

use rusqlite::{OptionalExtension as _, params};
use throng_core::limits::INVITATIONS_MAX;
use throng_core::{Author, Rejection, Timestamp, UserId};

use super::AccountsError;
use super::tables::{Ended, Tables, Writes, author, ended, explain, number};
use crate::auth::password::Phc;
use crate::auth::token::TokenHash;

/// What a link is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Who signs up by it becomes the first administrator.
    Administrator = 1,
    /// Sets the password of one account.
    Password = 2,
    /// Signs up where that needs an invitation.
    Invitation = 3,
}

impl LinkKind {
    fn of(number: i64) -> Option<Self> {
        [Self::Administrator, Self::Password, Self::Invitation]
            .into_iter()
            .find(|kind| *kind as i64 == number)
    }
}

/// A link that was used, and whose it was: whose password, or who invited.
#[derive(Clone, Copy, Debug)]
pub struct Used(pub Option<UserId>);

/// A link to be kept.
#[derive(Clone, Copy, Debug)]
pub struct NewLink {
    /// Of what its holder was given.
    pub token: TokenHash,
    /// What it is good for.
    pub kind: LinkKind,
    /// Whose password, or who invites.
    pub user: Option<UserId>,
    /// How often.
    pub uses: u32,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Tables {
    /// What a link is good for now.
    pub fn link(
        &self,
        token: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<LinkKind>, AccountsError> {
        let sql = "SELECT kind FROM links WHERE token = ?1 AND expires_at > ?2";
        let find = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let row = params![token.0.as_slice(), now.0 as i64];
            statement.query_row(row, |row| row.get(0)).optional()
        };
        let kind = find().map_err(|error| explain(&error, &self.path))?;
        Ok(kind.and_then(LinkKind::of))
    }
}

impl Writes<'_> {
    /// Keeps a link, and forgets those that have expired.
    pub fn add_link(&self, link: &NewLink, now: Timestamp) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("DELETE FROM links WHERE expires_at <= ?1")?
            .execute([now.0 as i64])?;
        let sql = "INSERT INTO links (token, kind, user, uses, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let user = link.user.map(|user| user.get() as i64);
        let (token, kind) = (link.token.0.as_slice(), link.kind as i64);
        let row = params![token, kind, user, link.uses, link.expires_at.0 as i64];
        self.0.prepare_cached(sql)?.execute(row).map(drop)
    }

    /// Whether a link of this kind can still be used.
    pub fn is_good(
        &self,
        token: &TokenHash,
        kind: LinkKind,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM links WHERE token = ?1 AND kind = ?2 AND expires_at > ?3";
        let row = params![token.0.as_slice(), kind as i64, now.0 as i64];
        self.0.prepare_cached(sql)?.exists(row)
    }

    /// Uses a link once: whose it is, or `None` when there is none of this kind that is still good.
    pub fn use_link(
        &self,
        token: &TokenHash,
        kind: LinkKind,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Used>> {
        let sql = "UPDATE links SET uses = uses - 1
                   WHERE token = ?1 AND kind = ?2 AND expires_at > ?3 RETURNING user, uses";
        let row = params![token.0.as_slice(), kind as i64, now.0 as i64];
        let used: Option<(Option<i64>, i64)> = self
            .0
            .prepare_cached(sql)?
            .query_row(row, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((user, left)) = used else { return Ok(None) };
        if left <= 0 {
            let sql = "DELETE FROM links WHERE token = ?1";
            self.0.prepare_cached(sql)?.execute([token.0.as_slice()])?;
        }
        Ok(Some(Used(user.and_then(|user| UserId::new(user as u64)))))
    }

    /// Keeps a link for the first administrator in place of the one before, unless there is one.
    pub fn offer_administrator(&self, link: &NewLink, now: Timestamp) -> rusqlite::Result<bool> {
        if self.0.prepare_cached("SELECT 1 FROM users WHERE rank = 1")?.exists([])? {
            return Ok(false);
        }
        self.end_administrator_link()?;
        self.add_link(link, now).map(|()| true)
    }

    /// The link for the first administrator is good for nothing any more.
    pub fn end_administrator_link(&self) -> rusqlite::Result<()> {
        let sql = "DELETE FROM links WHERE kind = ?1";
        self.0.prepare_cached(sql)?.execute([LinkKind::Administrator as i64]).map(drop)
    }

    /// Keeps an invitation of an administrator.
    pub fn invite(&self, by: UserId, link: &NewLink, now: Timestamp) -> rusqlite::Result<Invited> {
        if !self.is_administrator(by)? {
            return Ok(Err(Rejection::Forbidden));
        }
        let sql = "SELECT count(*) FROM links WHERE kind = ?1 AND expires_at > ?2";
        let row = [LinkKind::Invitation as i64, now.0 as i64];
        let there = self.0.prepare_cached(sql)?.query_row(row, |row| number(row, 0))?;
        if there >= INVITATIONS_MAX {
            return Ok(Err(Rejection::LimitReached));
        }
        self.add_link(link, now).map(Ok)
    }

    /// Ends all invitations, at an administrator's word.
    pub fn end_invitations(&self, by: UserId) -> rusqlite::Result<Invited> {
        if !self.is_administrator(by)? {
            return Ok(Err(Rejection::Forbidden));
        }
        let sql = "DELETE FROM links WHERE kind = ?1";
        self.0.prepare_cached(sql)?.execute([LinkKind::Invitation as i64])?;
        Ok(Ok(()))
    }

    /// Whether the account may do what is about the server.
    pub fn is_administrator(&self, user: UserId) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM users WHERE id = ?1 AND rank = 1";
        self.0.prepare_cached(sql)?.exists([user.get() as i64])
    }

    /// From now on it may.
    pub fn make_administrator(&self, user: UserId) -> rusqlite::Result<()> {
        let sql = "UPDATE users SET rank = 1 WHERE id = ?1";
        self.0.prepare_cached(sql)?.execute([user.get() as i64]).map(drop)
    }

    /// From now on it may no longer, and nobody comes in by its invitations; how many stood.
    pub fn unmake_administrator(&self, user: UserId) -> rusqlite::Result<usize> {
        let sql = "UPDATE users SET rank = 0 WHERE id = ?1 AND rank = 1";
        self.0.prepare_cached(sql)?.execute([user.get() as i64])?;
        let sql = "DELETE FROM links WHERE user = ?1 AND kind = ?2";
        let row = params![user.get() as i64, LinkKind::Invitation as i64];
        self.0.prepare_cached(sql)?.execute(row)
    }

    /// How many there are.
    pub fn administrators(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT count(*) FROM users WHERE rank = 1";
        self.0.prepare_cached(sql)?.query_row([], |row| number(row, 0))
    }

    /// The account of that folded name.
    pub fn user_of(&self, folded: &str) -> rusqlite::Result<Option<UserId>> {
        let sql = "SELECT id FROM users WHERE folded = ?1 AND rank >= 0";
        let found =
            self.0.prepare_cached(sql)?.query_row([folded], |row| number(row, 0)).optional()?;
        Ok(found.and_then(UserId::new))
    }

    /// Keeps another password, and ends the account's sessions but one. With `old`: only in place of
    /// that. `None` when it was another.
    pub fn set_password(
        &self,
        user: UserId,
        old: Option<&Phc>,
        new: &Phc,
        keep: Option<u64>,
    ) -> rusqlite::Result<Option<Ended>> {
        let sql = "UPDATE users SET phc = ?2 WHERE id = ?1 AND (?3 IS NULL OR phc = ?3)";
        let row = params![user.get() as i64, new.as_str(), old.map(Phc::as_str)];
        if self.0.prepare_cached(sql)?.execute(row)? == 0 {
            return Ok(None);
        }
        self.end_password_links(user)?;
        let sql = "DELETE FROM sessions WHERE user = ?1 AND id <> ?2 RETURNING id, token";
        let mut statement = self.0.prepare_cached(sql)?;
        // No session has the number 0.
        let row = params![user.get() as i64, keep.unwrap_or(0) as i64];
        statement.query_map(row, ended)?.collect::<Result<_, _>>().map(Some)
    }

    /// A link that was given out for the old password is good for nothing any more.
    pub fn end_password_links(&self, user: UserId) -> rusqlite::Result<()> {
        let sql = "DELETE FROM links WHERE user = ?1 AND kind = ?2";
        let row = params![user.get() as i64, LinkKind::Password as i64];
        self.0.prepare_cached(sql)?.execute(row).map(drop)
    }

    /// Who an account is.
    pub fn author_of(&self, user: UserId) -> rusqlite::Result<Option<Author>> {
        let sql = "SELECT id, name FROM users WHERE id = ?1";
        self.0.prepare_cached(sql)?.query_row([user.get() as i64], |row| author(row, 0)).optional()
    }
}

/// Whether the asker may.
pub type Invited = Result<(), Rejection>;
