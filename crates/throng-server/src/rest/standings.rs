//! `GET /api/v1/rooms/{id}/standings?what=&after=&limit=` → `standings`: who is banned, muted, voiced or
//! invited there, for those who keep order.

use std::sync::Arc;

use axum::extract::State;
use throng_wire::native::v1;

use super::body::{Answer, Asking};
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use super::reports::unexpected;
use crate::app::App;
use crate::protocols::moderation::Told;
use crate::protocols::native::mapping::oversight;

/// Lists.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asking(asked): Asking<v1::ListStandings>,
) -> Result<Answer<v1::Standings>, Refusal> {
    let asked = v1::ListStandings { room: room.get(), ..asked };
    match app.moderation(caller.user, oversight::standings_asked(&asked)?).await? {
        Told::Standings(room, page) => Ok(Answer(oversight::standings(room, &page))),
        other => Err(unexpected(&other)),
    }
}
