//! `POST /api/v1/guests` `{"name":…}` → 201 `session`: looks in without an account, for a while.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::Address;
use super::refusal::Refusal;
use super::sessions::session;
use crate::app::App;

/// Lets a guest in.
pub async fn create(
    State(app): State<Arc<App>>,
    Address(address): Address,
    Asked(v1::EnterAsGuest { name }): Asked<v1::EnterAsGuest>,
) -> Result<(StatusCode, Answer<v1::Session>), Refusal> {
    let login = app.auth.enter_as_guest(&name, address).await?;
    Ok((StatusCode::CREATED, Answer(session(&login))))
}
