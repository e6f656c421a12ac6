//! `GET /api/v1/rooms/{id}/audit?before=&limit=` → `audit`: who did what there, the newest first, for those
//! who keep order.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use throng_wire::native::v1;

use super::body::{Answer, Asking};
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use super::reports::unexpected;
use crate::app::App;
use crate::protocols::moderation::Told;
use crate::protocols::native::mapping::oversight;

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    before: u64,
    limit: u32,
}

/// Lists.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asking(Which { before, limit }): Asking<Which>,
) -> Result<Answer<v1::Audit>, Refusal> {
    let asked = v1::ListAudit { room: room.get(), before, limit };
    match app.moderation(caller.user, oversight::audit(&asked)?).await? {
        Told::Audit(room, page) => Ok(Answer(oversight::audit_page(room, &page))),
        other => Err(unexpected(&other)),
    }
}
