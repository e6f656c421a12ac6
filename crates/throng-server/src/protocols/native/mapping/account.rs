//! Requests about accounts, and their answers, between wire types and ours.
//!
//! Neighbours: `mapping.rs` sends the requests here, REST its bodies.

use throng_core::{Rejection, SessionId};
use throng_wire::native::v1::{self, reply::Outcome};

use crate::accounts::life::SessionInfo;
use crate::auth::account::{AccountAnswer, AccountAsk, Secret};
use crate::protocols::What;

/// A new account.
pub fn register(asked: v1::Register) -> What {
    let v1::Register { name, password, link } = asked;
    What::Register { name, password, link }
}

/// A password by a link.
pub fn reset_password(asked: v1::ResetPassword) -> What {
    let v1::ResetPassword { link, password } = asked;
    What::ResetPassword { link, password }
}

/// The end of an account.
pub fn delete(asked: v1::DeleteAccount) -> What {
    What::DeleteAccount { password: Secret(asked.password) }
}

/// The end of a session.
pub fn end_session(session: u64) -> AccountAsk {
    AccountAsk::EndSession { session: SessionId(session) }
}

/// Another password.
pub fn change_password(asked: v1::ChangePassword) -> AccountAsk {
    let v1::ChangePassword { password, new_password } = asked;
    AccountAsk::ChangePassword { password: Secret(password), new_password: Secret(new_password) }
}

/// An invitation, or its refusal.
pub fn invite(asked: v1::InvitePeople) -> Result<AccountAsk, Rejection> {
    AccountAsk::invite(asked.uses, asked.hours)
}

/// A session; `own` is the one that asks.
pub fn session(it: &SessionInfo, own: SessionId) -> v1::SessionInfo {
    let current = it.session == own;
    let (began_at, used_at) = (it.began_at.0, it.used_at.0);
    v1::SessionInfo { id: it.session.0, began_at, used_at, current }
}

/// An answer as its wire message.
pub fn outcome(answer: &AccountAnswer) -> Outcome {
    match answer {
        AccountAnswer::Done => Outcome::Done(v1::Done {}),
        AccountAnswer::Sessions(sessions, own) => {
            let sessions = sessions.iter().map(|it| session(it, *own)).collect();
            Outcome::Sessions(v1::Sessions { sessions })
        }
        AccountAnswer::Invitation { link, uses, expires_at } => {
            Outcome::Invitation(v1::Invitation {
                link: link.reveal().to_owned(),
                uses: *uses,
                expires_at: expires_at.0,
            })
        }
    }
}
