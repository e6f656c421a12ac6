//! `PATCH /api/v1/rooms/{id}/messages/{seq}` `{"body":…}` → `applied`: gives one's own message another
//! text, or none where it carries files. `DELETE` of the same → `applied`: takes a message away. Both answer when it is durable.

use std::sync::Arc;

use axum::extract::State;
use throng_core::{Body, Command};
use throng_wire::native::v1;

use super::at::{At, message};
use super::body::{Answer, Asked};
use super::caller::Caller;
use super::moderation::applied;
use super::refusal::Refusal;
use crate::app::App;

/// Edits.
pub async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
    Asked(v1::Edit { body, .. }): Asked<v1::Edit>,
) -> Result<Answer<v1::Applied>, Refusal> {
    let (room, of) = message(at)?;
    // Whether it may be blank, the message says.
    let command = Command::Edit { room, of, body: Body::beside_files(body)? };
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
