//! `PATCH /api/v1/rooms/{id}` `{"name":…,"topic":…,"speak":…,"slow_seconds":…,"history":…}` → `applied`: changes
//! the settings that are given, and answers when that is durable.

use std::sync::Arc;

use axum::extract::State;
use throng_core::Command;
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::{Caller, InRoom};
use super::moderation::applied;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// Changes settings.
pub async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asked(asked): Asked<v1::SetRoom>,
) -> Result<Answer<v1::Applied>, Refusal> {
    let settings = Box::new(mapping::moderation::settings(asked)?);
    applied(room, app.ask(caller.user, Command::Set { room, settings }).await?)
}
