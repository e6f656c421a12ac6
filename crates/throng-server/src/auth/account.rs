//! What somebody asks about its own account, and an administrator about the server: one enum, one
//! function that answers, for a connection and REST alike.
//!
//! Neighbours: `protocols` makes the asks, `connection` and `rest` bring them here, `accounts` keeps.
//! Everything that tries a password counts as a login of its account and address, before anything is
//! spent on it.

use throng_core::limits::{
    INVITATION_HOURS, INVITATION_HOURS_MAX, INVITATION_USES_MAX, PASSWORD_LINK_HOURS,
};
use throng_core::session::Identity;
use throng_core::{Rejection, SessionId, Timestamp, UserId};

use super::password::{Password, Phc, Verdict};
use super::token::{Token, TokenHash};
use super::{Auth, Login, SignUp, new_token};
use crate::accounts::life::SessionInfo;
use crate::accounts::links::LinkKind;
use crate::address::AddressKey;

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// What is asked, well-formed.
#[derive(Debug)]
pub enum AccountAsk {
    /// Which sessions are mine?
    ListSessions,
    /// End that one.
    EndSession {
        /// By its number.
        session: SessionId,
    },
    /// Another password; all other sessions end.
    ChangePassword {
        /// What it is now, as given.
        password: Secret,
        /// What it is to be, as given.
        new_password: Secret,
    },
    /// A link by which others sign up.
    Invite {
        /// How many.
        uses: u32,
        /// For how long.
        hours: u32,
    },
    /// No invitation is good any more.
    EndInvitations,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum AccountAnswer {
    /// It is done.
    Done,
    /// Those sessions, and the one that asks.
    Sessions(Vec<SessionInfo>, SessionId),
    /// Give this to whom you invite.
    Invitation {
        /// The link's token.
        link: Token,
        /// How many may use it.
        uses: u32,
        /// Until when.
        expires_at: Timestamp,
    },
}

/// A text that `Debug` does not show.
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl AccountAsk {
    /// An invitation within its bounds; 0 is the default.
    pub fn invite(uses: u32, hours: u32) -> Result<Self, Rejection> {
        let hours = if hours == 0 { INVITATION_HOURS } else { hours };
        if uses > INVITATION_USES_MAX || hours > INVITATION_HOURS_MAX {
            return Err(Rejection::BadArgument);
        }
        Ok(Self::Invite { uses: uses.max(1), hours })
    }
}

impl Auth {
    /// Answers one who is somebody.
    pub async fn account(
        &self,
        who: &Identity,
        from: AddressKey,
        ask: AccountAsk,
    ) -> Result<AccountAnswer, Rejection> {
        let accounts = &self.accounts;
        match ask {
            AccountAsk::ListSessions => {
                let sessions = accounts.sessions_of(who.user.id).await?;
                Ok(AccountAnswer::Sessions(sessions, who.session))
            }
            AccountAsk::EndSession { session } => {
                accounts.end_session_of(who.user.id, session).await?;
                Ok(AccountAnswer::Done)
            }
            AccountAsk::ChangePassword { password, new_password } => {
                self.change_password(who, from, password.0, new_password.0).await?;
                Ok(AccountAnswer::Done)
            }
            AccountAsk::Invite { uses, hours } => {
                if self.sign_up == SignUp::Closed {
                    self.must_administrate(who.user.id).await?;
                    // It would let nobody in.
                    return Err(Rejection::SignUpClosed);
                }
                let link = new_token()?;
                let lasts = u64::from(hours) * HOUR_MS;
                let expires_at = accounts.invite(who.user.id, link.hash(), uses, lasts).await?;
                Ok(AccountAnswer::Invitation { link, uses, expires_at })
            }
            AccountAsk::EndInvitations => {
                accounts.end_invitations(who.user.id).await?;
                Ok(AccountAnswer::Done)
            }
        }
    }

    /// Refuses whoever is no administrator.
    pub async fn must_administrate(&self, who: UserId) -> Result<(), Rejection> {
        self.accounts.must_administrate(who).await
    }

    async fn change_password(
        &self,
        who: &Identity,
        from: AddressKey,
        password: String,
        new_password: String,
    ) -> Result<(), Rejection> {
        let new_password = Password::parse(new_password)?;
        let old = self.prove(who, from, password).await?;
        let new = self.hashing.place()?.hash(new_password).await?;
        self.accounts.change_password(who.user.id, old, new, who.session).await
    }

    /// What is kept of the account's password, if this is it.
    pub async fn prove(
        &self,
        who: &Identity,
        from: AddressKey,
        password: String,
    ) -> Result<Phc, Rejection> {
        if who.user.id.is_guest() {
            // It has none, and no account for which to set one.
            return Err(Rejection::Forbidden);
        }
        let password = Password::parse(password)?;
        let place = self.hashing.place()?;
        self.throttles.login(&who.user.name.fold(), from, self.clock.now())?;
        let found = self.accounts.find(&who.user.name).await?;
        let kept = found.and_then(|found| found.phc);
        let tried = kept.clone().unwrap_or_else(|| self.dummy.clone());
        let verified = place.verify(password, tried).await?;
        let right = matches!(verified.verdict, Verdict::Right | Verdict::RightButStale);
        kept.filter(|_| right).ok_or(Rejection::WrongCredentials)
    }

    /// Sets a password by a link, ends all sessions of its account and begins one.
    pub async fn reset_password(
        &self,
        link: &str,
        password: impl Into<Box<str>>,
        from: AddressKey,
    ) -> Result<Login, Rejection> {
        let password = Password::parse(password)?;
        let link = TokenHash::of(link).ok_or(Rejection::BadLink)?;
        let place = self.hashing.place()?;
        self.throttles.sign_up(from, self.clock.now())?;
        // Looked at before hashing, to spare the work; decided by the one transaction that uses it.
        if self.accounts.link(link).await? != LinkKind::Password {
            return Err(Rejection::BadLink);
        }
        let phc: Phc = place.hash(password).await?;
        let token = new_token()?;
        let begun = self.accounts.reset_password(link, phc, token.hash()).await?;
        Ok(Login { user: begun.user, session: begun.session, token })
    }

    /// A link by which the first administrator signs up, where there is none yet; the one given out
    /// before is good for nothing from then on.
    pub async fn offer_administrator(&self) -> Result<Option<Token>, Rejection> {
        let link = new_token()?;
        let lasts = u64::from(PASSWORD_LINK_HOURS) * HOUR_MS;
        let offered = self.accounts.offer_administrator(link.hash(), lasts).await?;
        Ok(offered.then_some(link))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::Path;
    use std::time::Duration;

    use throng_core::Limits;

    use super::*;
    use crate::accounts::{Form, bulk};
    use crate::auth::SignUp;
    use crate::clock::Clock;
    use crate::operations::metrics::Metrics;

    fn auth(folder: &Path) -> Auth {
        let limits = Limits { hash_threads: 1, ..Limits::default() };
        let form = Form::Folder(folder.into());
        Auth::open(form, &limits, SignUp::Open, Clock::manual(), Metrics::new()).unwrap()
    }

    fn here() -> AddressKey {
        IpAddr::from([127, 0, 0, 1]).into()
    }

    fn good_for() -> Duration {
        Duration::from_hours(PASSWORD_LINK_HOURS.into())
    }

    /// What `throng admin users reset` gives out.
    fn link(folder: &Path, auth: &Auth, name: &str) -> Option<Token> {
        let (link, now) = (Token::generate().unwrap(), auth.clock.wall());
        bulk::offer_password(folder, name, &link, now).unwrap().then_some(link)
    }

    #[tokio::test]
    async fn a_link_sets_a_password_once_and_ends_all_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let auth = auth(folder.path());
        let first = auth.register("anna", "correct horse", "", here()).await.unwrap();
        assert!(link(folder.path(), &auth, "nobody").is_none());
        let stale = link(folder.path(), &auth, "anna").unwrap();
        let link = link(folder.path(), &auth, "ANNA").unwrap();
        let reset =
            async |link: &Token| auth.reset_password(link.reveal(), "staple horse", here()).await;
        assert_eq!(reset(&stale).await.unwrap_err(), Rejection::BadLink, "one stands at a time");
        let begun = reset(&link).await.unwrap();
        assert_eq!(begun.user, first.user);
        assert!(auth.authenticate(begun.token.reveal()).await.is_ok());
        assert!(auth.authenticate(first.token.reveal()).await.is_err());
        assert_eq!(reset(&link).await.unwrap_err(), Rejection::BadLink);
        assert!(auth.login("anna", "correct horse", here()).await.is_err());
        assert!(auth.login("anna", "staple horse", here()).await.is_ok());
    }

    #[tokio::test]
    async fn a_link_is_good_until_its_time_and_dies_with_the_password_it_was_for() {
        let folder = tempfile::tempdir().unwrap();
        let auth = auth(folder.path());
        let login = auth.register("anna", "correct horse", "", here()).await.unwrap();
        let who = Identity { user: login.user, session: login.session };
        let reset =
            async |link: &Token| auth.reset_password(link.reveal(), "staple horse", here()).await;
        let late = link(folder.path(), &auth, "anna").unwrap();
        auth.clock.advance(good_for());
        assert_eq!(reset(&late).await.unwrap_err(), Rejection::BadLink);
        let in_time = link(folder.path(), &auth, "anna").unwrap();
        auth.clock.advance(good_for().saturating_sub(Duration::from_millis(1)));
        assert!(reset(&in_time).await.is_ok());
        let unused = link(folder.path(), &auth, "anna").unwrap();
        let ask = AccountAsk::ChangePassword {
            password: Secret("staple horse".into()),
            new_password: Secret("horse battery".into()),
        };
        auth.account(&who, here(), ask).await.unwrap();
        assert_eq!(reset(&unused).await.unwrap_err(), Rejection::BadLink);
    }

    #[tokio::test]
    async fn a_password_link_signs_nobody_up_and_an_administrators_sets_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let auth = auth(folder.path());
        auth.register("anna", "correct horse", "", here()).await.unwrap();
        let password = link(folder.path(), &auth, "anna").unwrap();
        let refused = auth.register("bert", "correct horse", password.reveal(), here()).await;
        assert_eq!(refused.unwrap_err(), Rejection::BadLink);
        let administrator = auth.offer_administrator().await.unwrap().unwrap();
        let refused = auth.reset_password(administrator.reveal(), "staple horse", here()).await;
        assert_eq!(refused.unwrap_err(), Rejection::BadLink);
        // A second start's link takes the place of the first one's.
        let newer = auth.offer_administrator().await.unwrap().unwrap();
        let refused = auth.register("bert", "correct horse", administrator.reveal(), here()).await;
        assert_eq!(refused.unwrap_err(), Rejection::BadLink);
        auth.register("bert", "correct horse", newer.reveal(), here()).await.unwrap();
    }
}
