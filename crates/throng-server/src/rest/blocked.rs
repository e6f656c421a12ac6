//! `GET /api/v1/blocked?after=&limit=` → `blocked`: whom the asker does not want to hear from.
//! `POST` of the same `{"user":…}` or `{"name":…}` → `done`; `DELETE /api/v1/blocked/{user}` → `done`.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use throng_core::Rejection;
use throng_wire::native::v1;

use super::body::{Answer, Asked, Asking};
use super::caller::Caller;
use super::refusal::Refusal;
use super::reports::unexpected;
use crate::app::App;
use crate::protocols::Target;
use crate::protocols::moderation::{Asked as Moderation, Told};
use crate::protocols::native::mapping::{moderation, oversight};

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
    Asking(Which { after, limit }): Asking<Which>,
) -> Result<Answer<v1::Blocked>, Refusal> {
    match app.moderation(caller.user, Moderation::Blocked { after, limit }).await? {
        Told::Blocked(page) => Ok(Answer(oversight::blocked(&page))),
        other => Err(unexpected(&other)),
    }
}

/// Blocks somebody.
pub async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(v1::Block { user, name }): Asked<v1::Block>,
) -> Result<Answer<v1::Done>, Refusal> {
    let asked = Moderation::Block(moderation::target(user, name)?);
    app.moderation(caller.user, asked).await?;
    Ok(Answer(v1::Done {}))
}

/// Hears from somebody again.
pub async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<u64>, axum::extract::rejection::PathRejection>,
) -> Result<Answer<v1::Done>, Refusal> {
    let Path(user) = path.map_err(|_| Refusal(Rejection::NoSuchUser))?;
    app.moderation(caller.user, Moderation::Unblock(Target::Number(user))).await?;
    Ok(Answer(v1::Done {}))
}
