//! `POST /api/v1/sessions` `{"name":…,"password":…}` → 201 `session`: logs in.
//! `DELETE /api/v1/sessions/current` → `{}`: logs out; the token is refused and its connections are
//! closed from then on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::{Address, Caller};
use super::refusal::Refusal;
use crate::app::App;
use crate::auth::Login;
use crate::protocols::native::mapping;

/// Logs in by password.
pub async fn create(
    State(app): State<Arc<App>>,
    Address(address): Address,
    Asked(v1::Login { name, password }): Asked<v1::Login>,
) -> Result<(StatusCode, Answer<v1::Session>), Refusal> {
    let login = app.auth.login(&name, password, address).await?;
    Ok((StatusCode::CREATED, Answer(session(&login))))
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
