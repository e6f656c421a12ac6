//! `POST /api/v1/rooms/{id}/join` → `joined`; `POST /api/v1/rooms/{id}/leave` → `left`. Both answer
//! when it is durable.

use std::sync::Arc;

use axum::extract::State;
use throng_core::{Command, Position, Rejection, Reply};
use throng_wire::native::v1;

use super::body::Answer;
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// Becomes a member.
pub async fn join(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Answer<v1::Joined>, Refusal> {
    match app.ask(caller.user, Command::Join { room }).await? {
        Reply::Joined { seq, already } => {
            let position = Position { epoch: app.epoch, seq };
            Ok(Answer(v1::Joined {
                room: room.get(),
                seq: seq.0,
                position: Some(mapping::position(position)),
                already,
            }))
        }
        other => Err(unexpected(other)),
    }
}

/// Is a member no longer.
pub async fn leave(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Answer<v1::Left>, Refusal> {
    match app.ask(caller.user, Command::Leave { room }).await? {
        Reply::Left { seq } => Ok(Answer(mapping::left(room, seq, None))),
        other => Err(unexpected(other)),
    }
}

/// A shard that answers another question is a bug; the one who asked must not take it for success.
pub fn unexpected(reply: Reply) -> Refusal {
    tracing::error!(?reply, "a reply does not fit its request; this is a bug");
    debug_assert!(false, "{reply:?} does not fit its request");
    Refusal(Rejection::Unavailable)
}
