//! `POST /api/v1/sessions` `{"name":…,"password":…}` → 201 `session`: logs in.
//! `GET /api/v1/sessions` → `sessions`: the account's own.
//! `DELETE /api/v1/sessions/current` → `{}`: logs out; the token is refused and its connections are
//! closed from then on. `DELETE /api/v1/sessions/{session}` → `{}`: the same to one of the account's.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use throng_core::Rejection;
use throng_wire::native::v1;

use super::account::{Told, tell};
use super::body::{Answer, Asked};
use super::caller::{Address, Caller};
use super::refusal::Refusal;
use crate::app::App;
use crate::auth::Login;
use crate::auth::account::AccountAsk;
use crate::protocols::native::mapping::{self, account};

/// Logs in by password.
pub async fn create(
    State(app): State<Arc<App>>,
    Address(address): Address,
    Asked(v1::Login { name, password }): Asked<v1::Login>,
) -> Result<(StatusCode, Answer<v1::Session>), Refusal> {
    let login = app.auth.login(&name, password, address).await?;
    Ok((StatusCode::CREATED, Answer(session(&login))))
}

/// Which there are.
pub async fn list(
    State(app): State<Arc<App>>,
    address: Address,
    caller: Caller,
) -> Result<Told, Refusal> {
    tell(&app, &caller, address, AccountAsk::ListSessions).await
}

/// Ends one of them.
pub async fn end_one(
    State(app): State<Arc<App>>,
    address: Address,
    caller: Caller,
    path: Result<Path<u64>, PathRejection>,
) -> Result<Told, Refusal> {
    // What cannot be a session's number is none.
    let Path(session) = path.map_err(|_| Refusal(Rejection::NoSuchSession))?;
    tell(&app, &caller, address, account::end_session(session)).await
}

/// Logs out.
pub async fn end(State(app): State<Arc<App>>, caller: Caller) -> Result<Answer<v1::Done>, Refusal> {
    app.auth.logout(caller.session).await?;
    Ok(Answer(v1::Done {}))
}

/// What one who logged in is told.
pub fn session(login: &Login) -> v1::Session {
    v1::Session { user: Some(mapping::user(&login.user)), token: login.token.reveal().to_owned() }
}
