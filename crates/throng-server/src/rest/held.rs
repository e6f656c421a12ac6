//! `GET /api/v1/rooms/{id}/held?after=&limit=` → `held_posts`: what waits for the room's delay, all of it for
//! those who keep order, for others their own.
//! `POST /api/v1/rooms/{id}/held/{held}/settlement` `{"pass":…}` → `unheld`: lets one pass, or takes it away.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use throng_core::Rejection;
use throng_wire::native::v1;

use super::at::{At, number};
use super::body::{Answer, Asked, Asking};
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use super::reports::unexpected;
use crate::app::App;
use crate::protocols::moderation::Told;
use crate::protocols::native::mapping;

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    after: u64,
    limit: u32,
}

/// Lists.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asking(Which { after, limit }): Asking<Which>,
) -> Result<Answer<v1::HeldPosts>, Refusal> {
    let asked = v1::ListHeld { room: room.get(), after, limit };
    match app.moderation(caller.user, mapping::held::list_asked(&asked)?).await? {
        Told::Held(room, page) => Ok(Answer(mapping::held::posts(room, &page))),
        other => Err(unexpected(&other)),
    }
}

/// Settles one.
pub async fn settle(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
    Asked(v1::SettleHeld { pass, .. }): Asked<v1::SettleHeld>,
) -> Result<Answer<v1::Unheld>, Refusal> {
    let (room, held) = number(at, Rejection::NoSuchMessage)?;
    let asked = v1::SettleHeld { room: room.get(), held, pass };
    match app.moderation(caller.user, mapping::held::settle_asked(&asked)?).await? {
        Told::Unheld(room, number, came) => Ok(Answer(mapping::held::unheld(room, number, came))),
        other => Err(unexpected(&other)),
    }
}
