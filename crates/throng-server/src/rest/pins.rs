//! `PUT /api/v1/rooms/{id}/pins/{seq}` → `applied`: pins a message. `DELETE` of the same → `applied`:
//! takes it off. `GET /api/v1/rooms/{id}/pins?after=&limit=` → `page`: the pinned messages.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use throng_core::Command;
use throng_wire::native::v1;

use super::at::{At, message};
use super::body::{Answer, Asking};
use super::caller::{Caller, InRoom};
use super::moderation::applied;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

async fn set(app: &App, caller: Caller, at: At, on: bool) -> Result<Answer<v1::Applied>, Refusal> {
    let (room, of) = message(at)?;
    applied(room, app.ask(caller.user, Command::Pin { room, of, on }).await?)
}

/// Pins.
pub async fn pin(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
) -> Result<Answer<v1::Applied>, Refusal> {
    set(&app, caller, at, true).await
}

/// Takes off.
pub async fn unpin(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
) -> Result<Answer<v1::Applied>, Refusal> {
    set(&app, caller, at, false).await
}

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    after: u64,
    limit: u32,
}

/// The pinned messages.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asking(Which { after, limit }): Asking<Which>,
) -> Result<Answer<v1::Page>, Refusal> {
    let after = mapping::pinned_after(after)?;
    let page = app.pins(caller.user.id, room, after, limit).await?;
    Ok(Answer(mapping::page(&page)))
}
