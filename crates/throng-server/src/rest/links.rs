//! `POST /api/v1/rooms/{id}/links` `{"uses":…,"hours":…}` → 201 `room_link`; `GET` of the same →
//! `room_links`; `DELETE /api/v1/rooms/{id}/links/{link}` → `done`. `POST /api/v1/joins` `{"link":…}` →
//! `joined`, when it is durable.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use throng_core::{Position, Rejection, Reply};
use throng_wire::native::v1;

use super::at::{At, number};
use super::body::{Answer, Asked};
use super::caller::{Caller, InRoom};
use super::membership;
use super::refusal::Refusal;
use super::reports::unexpected;
use crate::app::App;
use crate::protocols::moderation::{Asked as Ask, Told};
use crate::protocols::native::mapping::{self, links};

/// Makes one.
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asked(v1::MakeRoomLink { uses, hours, .. }): Asked<v1::MakeRoomLink>,
) -> Result<(StatusCode, Answer<v1::RoomLink>), Refusal> {
    match app.moderation(caller.user, Ask::MakeLink { room, uses, hours }).await? {
        Told::Link(token, link) => Ok((StatusCode::CREATED, Answer(links::made(&token, &link)))),
        other => Err(unexpected(&other)),
    }
}

/// Lists.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Answer<v1::RoomLinks>, Refusal> {
    match app.moderation(caller.user, Ask::Links { room }).await? {
        Told::Links(room, list) => Ok(Answer(links::list(room, &list))),
        other => Err(unexpected(&other)),
    }
}

/// Ends one.
pub async fn end(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
) -> Result<Answer<v1::Done>, Refusal> {
    let (room, link) = number(at, Rejection::BadArgument)?;
    match app.moderation(caller.user, Ask::EndLink { room, link }).await? {
        Told::Done => Ok(Answer(v1::Done {})),
        other => Err(unexpected(&other)),
    }
}

/// Becomes a member by one.
pub async fn join(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(v1::JoinByLink { link }): Asked<v1::JoinByLink>,
) -> Result<Answer<v1::Joined>, Refusal> {
    let command = app.by_link(&caller.user, &link).await?;
    let room = command.room();
    match app.ask(caller.user, command).await? {
        Reply::Joined { seq, already } => {
            let position = Some(mapping::position(Position { epoch: app.epoch, seq }));
            Ok(Answer(v1::Joined { room: room.get(), seq: seq.0, position, already }))
        }
        other => Err(membership::unexpected(other)),
    }
}
