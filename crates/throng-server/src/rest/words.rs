//! `GET /api/v1/rooms/{id}/words` → `words`: the word filter, for those who keep order there.

use std::sync::Arc;

use axum::extract::State;
use throng_wire::native::v1;

use super::body::Answer;
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// Lists.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
) -> Result<Answer<v1::RoomWords>, Refusal> {
    let words = app.directory.words(caller.user.id, room)?;
    Ok(Answer(mapping::moderation::words(room, &words)))
}
