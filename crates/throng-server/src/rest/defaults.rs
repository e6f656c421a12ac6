//! `GET /api/v1/room-defaults` → how the rooms begin that the caller makes, as far as it has said it;
//! `PUT` `{"speak":…,"history":…,"slow_seconds":…,"delay_seconds":…,"keep_seconds":…}` settles that, all of
//! it, and answers when it is durable.

use std::sync::Arc;

use axum::extract::State;
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// How the caller's rooms begin.
pub async fn show(State(app): State<Arc<App>>, caller: Caller) -> Answer<v1::RoomDefaultsAre> {
    Answer(mapping::defaults::are(app.personal.room_defaults(caller.user.id)))
}

/// Settles that.
pub async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<v1::SetRoomDefaults>,
) -> Result<Answer<v1::Done>, Refusal> {
    let defaults = mapping::defaults::said(&asked)?;
    app.personal.set_room_defaults(caller.user.id, defaults).await?;
    Ok(Answer(v1::Done {}))
}
