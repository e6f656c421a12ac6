//! `POST /api/v1/rooms/{id}/messages` `{"body":…,"origin_id":…,"in_reply_to":…,"mentioned":[…],"attachments":[…]}` → 201 `posted`, after the message is
//! durable; the same `origin_id` again is answered alike, with 200 and `repeat`. In a room with a delay →
//! 202 `held`, at once.
//! `GET /api/v1/rooms/{id}/messages?before=&after=&limit=` → `page`: the newest events below
//! `before`, else the oldest above `after`; members only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use throng_core::{Rejection, Reply};
use throng_wire::native::v1;

use super::body::{Answer, Asked, Asking};
use super::caller::{Caller, InRoom};
use super::membership::unexpected;
use super::refusal::Refusal;
use crate::app::App;
use crate::operations::metrics::Stage;
use crate::protocols::HeldBack;
use crate::protocols::native::mapping;

/// Says something. Whatever `ack` names, the answer comes when the message is durable: an answer
/// over HTTP cannot come twice.
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asked(asked): Asked<v1::Post>,
) -> Result<Response, Refusal> {
    v1::Ack::try_from(asked.ack).map_err(|_| Rejection::BadArgument)?;
    let (command, files) = mapping::post_command(room, asked)?;
    let mut trace = caller.trace;
    trace.passed(Stage::Decode, app.clock.now());
    let command = app.carrying(caller.user.id, command, &files).await?;
    match app.post(caller.user, command, trace).await? {
        Reply::Posted { seq, n, at, repeat } => {
            let status = if repeat { StatusCode::OK } else { StatusCode::CREATED };
            let ack = v1::Ack::Durable as i32;
            let (room, seq, at) = (room.get(), seq.0, at.0);
            let posted = v1::Posted { room, seq, n, at, repeat, ack, trace: None };
            Ok((status, Answer(posted)).into_response())
        }
        Reply::Held { number, until, repeat } => {
            let held = mapping::held::held(room, HeldBack { number, until, repeat });
            Ok((StatusCode::ACCEPTED, Answer(held)).into_response())
        }
        other => Err(unexpected(other)),
    }
}

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    before: Option<u64>,
    after: Option<u64>,
    limit: u32,
}

/// A page of history.
pub async fn page(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asking(Which { before, after, limit }): Asking<Which>,
) -> Result<Answer<v1::Page>, Refusal> {
    let span = mapping::span(before, after)?;
    let page = app.page(caller.user.id, room, span, limit).await?;
    Ok(Answer(mapping::page(&page)))
}
