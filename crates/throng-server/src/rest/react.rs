//! `PUT /api/v1/rooms/{id}/messages/{seq}/reactions/{text}` → `applied`: gives a message a reaction
//! (percent-encoded in the path). `DELETE` of the same → `applied`: takes one's own back. Both answer
//! when it is durable.

use std::sync::Arc;

use axum::extract::State;
use throng_core::{Rejection, Seq};
use throng_wire::native::v1;

use super::at::{At, parts};
use super::body::Answer;
use super::caller::Caller;
use super::moderation::applied;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// What cannot be read behind the room is a reaction that is none, or the place of no message.
type Reacting = At<(u32, u64, String)>;

async fn react(
    app: &App,
    caller: Caller,
    at: Reacting,
    on: bool,
) -> Result<Answer<v1::Applied>, Refusal> {
    let (room, seq, reaction) = parts(at, Rejection::BadReaction)?;
    let room = mapping::room_id(room)?;
    let command = mapping::react(room, Seq::said(seq), &reaction, on)?;
    applied(room, app.ask(caller.user, command).await?)
}

/// Gives one.
pub async fn on(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: Reacting,
) -> Result<Answer<v1::Applied>, Refusal> {
    react(&app, caller, at, true).await
}

/// Takes one back.
pub async fn off(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: Reacting,
) -> Result<Answer<v1::Applied>, Refusal> {
    react(&app, caller, at, false).await
}
