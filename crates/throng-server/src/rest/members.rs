//! `GET /api/v1/rooms/{id}/members?after=&limit=` → those who belong to a room, with what they are there
//! and whether they are there. `POST /api/v1/rooms/{id}/typing` → `done`: the caller types.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use throng_wire::native::v1;

use super::body::{Answer, Asking};
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping::personal;

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    after: u64,
    limit: u32,
}

/// A page of the members.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asking(Which { after, limit }): Asking<Which>,
) -> Result<Answer<v1::MemberList>, Refusal> {
    let members = app.members(caller.user.id, room, after, limit).await?;
    Ok(Answer(personal::members(&members)))
}

/// The caller types.
pub async fn typing(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Answer<v1::Done>, Refusal> {
    app.types(caller.user.id, room, app.clock.now())?;
    Ok(Answer(v1::Done {}))
}
