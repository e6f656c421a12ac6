//! `PUT /api/v1/avatar` `{"file":…}` → `done`, `PUT /api/v1/rooms/{room}/avatar` `{"file":…}` → `applied`:
//! a picture for oneself, or for a room, made small of a file of one's own; none without `file`.
//! `GET /api/v1/avatars/{hash}`: such a picture, for anyone who knows its hash.
//!
//! It is named by what it is, so it never changes: caches keep it for ever. It was made here, and is
//! served as what it is, from where no script runs.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use throng_core::{FileHash, Rejection, Reply};
use throng_wire::native::v1;

use super::attachment::POLICY;
use super::body::{Answer, Asked};
use super::caller::{Caller, InRoom};
use super::membership::unexpected;
use super::refusal::Refusal;
use crate::app::App;
use crate::files::avatars::media;
use crate::protocols::native::mapping;

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Another picture for the asker.
pub async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(v1::SetAvatar { file }): Asked<v1::SetAvatar>,
) -> Result<Answer<v1::Done>, Refusal> {
    app.set_avatar(caller.user.id, mapping::picture(&file)?).await?;
    Ok(Answer(v1::Done {}))
}

/// Another picture for a room.
pub async fn set_room(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asked(v1::SetRoomAvatar { file, .. }): Asked<v1::SetRoomAvatar>,
) -> Result<Answer<v1::Applied>, Refusal> {
    let command = app.room_avatar(caller.user.id, room, mapping::picture(&file)?).await?;
    match app.ask(caller.user, command).await? {
        Reply::Applied { seq, at, already } => {
            Ok(Answer(v1::Applied { room: room.get(), seq: seq.0, at: at.0, already }))
        }
        other => Err(unexpected(other)),
    }
}

/// A picture.
pub async fn show(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(hash) = path.map_err(|_| Refusal(Rejection::NoSuchFile))?;
    let hash = FileHash::parse(&hash).ok_or(Rejection::NoSuchFile)?;
    let bytes = app.with_files(move |files| files.avatar(hash)).await?;
    let headers = [
        (CONTENT_TYPE, media(&bytes)),
        (CACHE_CONTROL, FOR_EVER),
        (CONTENT_SECURITY_POLICY, POLICY),
        (RESOURCE_POLICY, "same-origin"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, bytes).into_response())
}
