//! `PUT /api/v1/rooms/{id}/read/{seq}` → `done`: read up to that message. `PUT /api/v1/rooms/{id}/level`
//! `{"level":…}` → `done`: what of the room is to be told. `GET /api/v1/unread?after=&limit=` → what was
//! not read in the caller's rooms.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use throng_wire::native::v1;

use super::at::{At, message};
use super::body::{Answer, Asked, Asking};
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping::personal;

/// Read up to a message.
pub async fn read(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
) -> Result<Answer<v1::Done>, Refusal> {
    let (room, seq) = message(at)?;
    app.read_to(caller.user.id, room, seq, None).await?;
    Ok(Answer(v1::Done {}))
}

/// What is to be told.
pub async fn level(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asked(v1::SetLevel { level, .. }): Asked<v1::SetLevel>,
) -> Result<Answer<v1::Done>, Refusal> {
    app.set_level(caller.user.id, room, personal::level_of(level)?).await?;
    Ok(Answer(v1::Done {}))
}

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    after: u32,
    limit: u32,
}

/// What was not read.
pub async fn unread(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asking(Which { after, limit }): Asking<Which>,
) -> Result<Answer<v1::UnreadRooms>, Refusal> {
    let unreads = app.unread(caller.user.id, after, limit).await?;
    Ok(Answer(personal::unread(&unreads)))
}
