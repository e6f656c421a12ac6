//! `POST /api/v1/accounts` `{"name":…,"password":…,"link":…}` → 201 `session`: makes an account and logs in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::Address;
use super::refusal::Refusal;
use super::sessions::session;
use crate::app::App;

/// Makes an account.
pub async fn create(
    State(app): State<Arc<App>>,
    Address(address): Address,
    Asked(v1::Register { name, password, link }): Asked<v1::Register>,
) -> Result<(StatusCode, Answer<v1::Session>), Refusal> {
    let login = app.auth.register(&name, password, &link, address).await?;
    Ok((StatusCode::CREATED, Answer(session(&login))))
}
