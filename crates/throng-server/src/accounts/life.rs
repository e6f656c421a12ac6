//! What a person does with its account after it has one, and what is done by links: sessions listed
//! and ended one by one, a password changed or set anew, invitations.
//!
//! Neighbours: `auth` asks, `thread.rs` carries it out among its other writes, so that sessions that
//! end here are told to the watch before the one who asked is answered. It hashes no password.

use throng_core::limits::SESSIONS_LISTED_MAX;
use throng_core::{Rejection, SessionId, Timestamp, UserId};

use super::links::{LinkKind, NewLink, Used};
use super::tables::{Ended, Tables, Writes};
use super::thread::{Job, after_commit};
use super::{Accounts, AccountsError, Authenticated};
use crate::auth::password::Phc;
use crate::auth::token::TokenHash;

/// Told when one went who is named no more.
pub type Gone = Box<dyn FnOnce(Timestamp) + Send>;

/// A session as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Which.
    pub session: SessionId,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was used last, to the hour.
    pub used_at: Timestamp,
}

impl Accounts {
    /// An account's sessions, those used last first.
    pub async fn sessions_of(&self, user: UserId) -> Result<Vec<SessionInfo>, Rejection> {
        self.look(move |tables| tables.sessions_of(user, SESSIONS_LISTED_MAX)).await
    }

    /// Ends a session of this account. When this returns its token is refused and its connections are
    /// closed.
    pub async fn end_session_of(&self, user: UserId, session: SessionId) -> Result<(), Rejection> {
        if user.is_guest() && session.0 == user.get() {
            return self.end_session(session).await;
        }
        self.change(move |writes, ended| {
            Ok(match writes.end_of(user, session)? {
                Some(one) => {
                    ended.push(one);
                    Ok(())
                }
                None => Err(Rejection::NoSuchSession),
            })
        })
        .await
    }

    /// Keeps another password in place of `old`, and ends all sessions but this one.
    pub async fn change_password(
        &self,
        user: UserId,
        old: Phc,
        new: Phc,
        keep: SessionId,
    ) -> Result<(), Rejection> {
        self.change(move |writes, ended| {
            let others = writes.set_password(user, Some(&old), &new, Some(keep.0))?;
            // Changed by somebody else since it was tried.
            Ok(others.map(|others| ended.extend(others)).ok_or(Rejection::WrongCredentials))
        })
        .await
    }

    /// Ends an account whose password is still this: it has no session, no password and no link any
    /// more, and is found by nobody. Its name is never given again: it is kept, or, where it is named no
    /// more, a hash of it: then `gone` is told when it was, before anybody hears of the
    /// end. It hears nothing more when that could not be written after all. One that keeps its name is
    /// among those who are `going` until it `is_cleared_up`.
    pub async fn delete(
        &self,
        user: UserId,
        password: Phc,
        gone: Option<Gone>,
    ) -> Result<(), Rejection> {
        let now = self.clock.wall();
        self.change(move |writes, ended| {
            let Some(sessions) = writes.delete_user(user, password.as_str())? else {
                return Ok(Err(Rejection::WrongCredentials));
            };
            ended.extend(sessions);
            match gone {
                Some(gone) => {
                    writes.take_name(user, now)?;
                    gone(now);
                }
                None => writes.goes(user)?,
            }
            Ok(Ok(()))
        })
        .await
    }

    /// What a link is good for now, or `BadLink`.
    pub async fn link(&self, token: TokenHash) -> Result<LinkKind, Rejection> {
        let now = self.clock.wall();
        let found = self.look(move |tables| tables.link(&token, now)).await?;
        found.ok_or(Rejection::BadLink)
    }

    /// Sets the password of the link's account, ends all its sessions and begins one.
    pub async fn reset_password(
        &self,
        link: TokenHash,
        new: Phc,
        token: TokenHash,
    ) -> Result<Authenticated, Rejection> {
        let now = self.clock.wall();
        self.change(move |writes, ended| {
            let Some(Used(Some(user))) = writes.use_link(&link, LinkKind::Password, now)? else {
                return Ok(Err(Rejection::BadLink));
            };
            let others = writes.set_password(user, None, &new, None)?;
            let (Some(others), Some(user)) = (others, writes.author_of(user)?) else {
                return Ok(Err(Rejection::BadLink));
            };
            ended.extend(others);
            let session = writes.add_session(user.id, &token, now)?;
            Ok(Ok(Authenticated { user, session }))
        })
        .await
    }

    /// Keeps an administrator's invitation.
    pub async fn invite(
        &self,
        by: UserId,
        token: TokenHash,
        uses: u32,
        lasts_ms: u64,
    ) -> Result<Timestamp, Rejection> {
        let now = self.clock.wall();
        let expires_at = Timestamp(now.0.saturating_add(lasts_ms));
        let kind = LinkKind::Invitation;
        let link = NewLink { token, kind, user: Some(by), uses, expires_at };
        self.change(move |writes, _| Ok(writes.invite(by, &link, now)?.map(|()| expires_at))).await
    }

    /// Ends all invitations, at an administrator's word.
    pub async fn end_invitations(&self, by: UserId) -> Result<(), Rejection> {
        self.change(move |writes, _| writes.end_invitations(by)).await
    }

    /// Whether an account is an administrator.
    pub async fn is_administrator(&self, who: UserId) -> Result<bool, Rejection> {
        self.change(move |writes, _| Ok(Ok(writes.is_administrator(who)?))).await
    }

    /// Refuses whoever is no administrator.
    pub async fn must_administrate(&self, who: UserId) -> Result<(), Rejection> {
        self.change(move |writes, _| {
            let may = writes.is_administrator(who)?;
            Ok(if may { Ok(()) } else { Err(Rejection::Forbidden) })
        })
        .await
    }

    /// Keeps a link for the first administrator; `false` when there is one already.
    pub async fn offer_administrator(
        &self,
        token: TokenHash,
        lasts_ms: u64,
    ) -> Result<bool, Rejection> {
        let now = self.clock.wall();
        let expires_at = Timestamp(now.0.saturating_add(lasts_ms));
        let kind = LinkKind::Administrator;
        let link = NewLink { token, kind, user: None, uses: 1, expires_at };
        self.change(move |writes, _| writes.offer_administrator(&link, now).map(Ok)).await
    }

    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Tables) -> Result<T, AccountsError> + Send + 'static,
    ) -> Result<T, Rejection> {
        self.ask(|reply| Job::Look {
            look: Box::new(move |tables| match look(tables) {
                // One who has gone needs no answer, here and below.
                Ok(found) => {
                    drop(reply.send(Ok(found)));
                    Ok(())
                }
                Err(error) => {
                    drop(reply.send(Err(Rejection::Unavailable)));
                    Err(error)
                }
            }),
        })
        .await
    }

    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Writes<'_>, &mut Ended) -> rusqlite::Result<Result<T, Rejection>>
        + Send
        + 'static,
    ) -> Result<T, Rejection> {
        self.ask(|reply| Job::Change {
            change: Box::new(move |writes, ended| Ok(after_commit(reply, change(writes, ended)?))),
        })
        .await
    }
}
