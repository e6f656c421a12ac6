//! `PATCH /api/v1/rooms/{id}/messages/{seq}` `{"body":…}` → `applied`: gives one's own message another
//! text. `DELETE` of the same → `applied`: takes a message away. Both answer when it is durable.

use std::sync::Arc;

use axum::extract::{Path, State};
use throng_core::{Body, Command, Rejection, RoomId, Seq};
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::Caller;
use super::moderation::applied;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

pub type At = Result<Path<(u32, u64)>, axum::extract::rejection::PathRejection>;

/// The message of the path; what cannot be a number names none.
pub fn message(at: At) -> Result<(RoomId, Seq), Refusal> {
    let Path((room, seq)) = at.map_err(|_| Refusal(Rejection::NoSuchRoom))?;
    Ok((mapping::room_id(room)?, Seq::said(seq)))
}

/// Edits.
pub async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
    Asked(v1::Edit { body, .. }): Asked<v1::Edit>,
) -> Result<Answer<v1::Applied>, Refusal> {
    let (room, of) = message(at)?;
    let command = Command::Edit { room, of, body: Body::parse(body)? };
    applied(room, app.ask(caller.user, command).await?)
}

/// Deletes.
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
) -> Result<Answer<v1::Applied>, Refusal> {
    let (room, of) = message(at)?;
    applied(room, app.ask(caller.user, Command::Delete { room, of }).await?)
}
