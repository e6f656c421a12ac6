//! `POST /api/v1/direct-rooms` `{"user":…}` or `{"name":…}` → `joined`: opens the direct room with
//! somebody. `GET /api/v1/contacts` → who may write to the caller; `PUT` `{"writers":…}` settles it.

use std::sync::Arc;

use axum::extract::State;
use throng_core::{Position, Reply};
use throng_wire::native::v1;

use super::body::{Answer, Asked};
use super::caller::Caller;
use super::membership::unexpected;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// Opens a direct room.
pub async fn open(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(v1::OpenDirect { user, name }): Asked<v1::OpenDirect>,
) -> Result<Answer<v1::Joined>, Refusal> {
    let target = mapping::moderation::target(user, name)?;
    let prepared = app.direct(&caller.user, target).await?;
    let room = prepared.command.room();
    let (seq, already) = match app.ask(caller.user, prepared).await? {
        Reply::Created { seq } => (seq, false),
        Reply::Joined { seq, already } => (seq, already),
        other => return Err(unexpected(other)),
    };
    let position = Some(mapping::position(Position { epoch: app.epoch, seq }));
    Ok(Answer(v1::Joined { room: room.get(), seq: seq.0, position, already }))
}

/// Who may write to the caller.
pub async fn contacts(State(app): State<Arc<App>>, caller: Caller) -> Answer<v1::ContactsAre> {
    Answer(mapping::personal::contacts(app.personal.writers(caller.user.id)))
}

/// Settles that.
pub async fn set_contacts(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(v1::SetContacts { writers }): Asked<v1::SetContacts>,
) -> Result<Answer<v1::Done>, Refusal> {
    app.personal.set_writers(caller.user.id, mapping::personal::writers_of(writers)?).await?;
    Ok(Answer(v1::Done {}))
}
