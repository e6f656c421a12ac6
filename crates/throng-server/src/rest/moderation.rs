//! `POST /api/v1/rooms/{id}/moderation` `{"act":…,"user":…}` → `applied`: does something to somebody,
//! and answers when it is durable. Who was removed receives nothing more by then.

use std::sync::Arc;

use axum::extract::State;
use throng_core::{Reply, RoomId};
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::{Caller, InRoom};
use super::membership::unexpected;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// Moderates.
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asked(asked): Asked<v1::Moderate>,
) -> Result<Answer<v1::Applied>, Refusal> {
    let (act, target) = mapping::moderation::act(asked)?;
    let who = app.whom_for(act, target).await?;
    let asked = app.moderating(caller.user.id, room, act, who).await?;
    applied(room, app.ask(caller.user, asked).await?)
}

/// The answer to what is applied.
pub fn applied(room: RoomId, reply: Reply) -> Result<Answer<v1::Applied>, Refusal> {
    match reply {
        Reply::Applied { seq, at, already } => {
            Ok(Answer(v1::Applied { room: room.get(), seq: seq.0, at: at.0, already }))
        }
        other => Err(unexpected(other)),
    }
}
