//! `PUT /api/v1/password` `{"password":…,"new_password":…}` → `{}`: another password; all other
//! sessions end. `POST /api/v1/password` `{"link":…,"password":…}` → 201 `session`: sets it by the
//! link of an administrator. `POST /api/v1/invitations` `{"uses":…,"hours":…}` → 201 `invitation`, and
//! `DELETE /api/v1/invitations` → `{}`: for administrators. `DELETE /api/v1/account` `{"password":…}`
//! → `{}`: the end of the account. `GET` of the same → who the token stands for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use throng_core::session::Identity;
use throng_wire::native::v1::{self, reply::Outcome};

use super::body::{Answer, Asked};
use super::caller::{Address, Caller};
use super::refusal::Refusal;
use super::sessions::session;
use crate::app::App;
use crate::auth::account::{AccountAnswer, AccountAsk};
use crate::protocols::native::mapping::{self, account};

/// Who somebody is.
#[derive(Debug, Serialize)]
pub struct Who {
    user: v1::User,
    administrator: bool,
    guest: bool,
    /// The hash of the picture that stands for it; empty for none.
    avatar: String,
}

/// Who the token stands for.
pub async fn show(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer<Who>, Refusal> {
    let id = caller.user.id;
    let administrator = app.auth.accounts().is_administrator(id).await?;
    let avatar = mapping::avatar(app.face(id).await?);
    let user = mapping::user(&caller.user);
    Ok(Answer(Who { user, administrator, guest: id.is_guest(), avatar }))
}

/// What is answered about an account.
#[derive(Debug)]
pub struct Told(AccountAnswer);

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        match account::outcome(&self.0) {
            Outcome::Sessions(sessions) => Answer(sessions).into_response(),
            Outcome::Invitation(made) => (StatusCode::CREATED, Answer(made)).into_response(),
            _ => Answer(v1::Done {}).into_response(),
        }
    }
}

/// Asks for the caller.
pub async fn tell(
    app: &App,
    caller: &Caller,
    Address(address): Address,
    ask: AccountAsk,
) -> Result<Told, Refusal> {
    let who = Identity { user: caller.user.clone(), session: caller.session };
    Ok(Told(app.auth.account(&who, address, ask).await?))
}

/// Changes the password.
pub async fn change_password(
    State(app): State<Arc<App>>,
    address: Address,
    caller: Caller,
    Asked(asked): Asked<v1::ChangePassword>,
) -> Result<Told, Refusal> {
    tell(&app, &caller, address, account::change_password(asked)).await
}

/// Ends the account.
pub async fn end(
    State(app): State<Arc<App>>,
    Address(address): Address,
    caller: Caller,
    Asked(v1::DeleteAccount { password }): Asked<v1::DeleteAccount>,
) -> Result<Answer<v1::Done>, Refusal> {
    let who = Identity { user: caller.user, session: caller.session };
    app.delete_account(who, address, password, || {}).await?;
    Ok(Answer(v1::Done {}))
}

/// Sets it by a link.
pub async fn reset_password(
    State(app): State<Arc<App>>,
    Address(address): Address,
    Asked(v1::ResetPassword { link, password }): Asked<v1::ResetPassword>,
) -> Result<(StatusCode, Answer<v1::Session>), Refusal> {
    let login = app.auth.reset_password(&link, password, address).await?;
    Ok((StatusCode::CREATED, Answer(session(&login))))
}

/// Invites.
pub async fn invite(
    State(app): State<Arc<App>>,
    address: Address,
    caller: Caller,
    Asked(asked): Asked<v1::InvitePeople>,
) -> Result<Told, Refusal> {
    tell(&app, &caller, address, account::invite(asked)?).await
}

/// Ends all invitations.
pub async fn end_invitations(
    State(app): State<Arc<App>>,
    address: Address,
    caller: Caller,
) -> Result<Told, Refusal> {
    tell(&app, &caller, address, AccountAsk::EndInvitations).await
}
