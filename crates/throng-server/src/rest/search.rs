//! `GET /api/v1/search?query=&room=&sender=&since=&until=&newest=&skip=&limit=` → `found`: messages of
//! the caller's rooms by their words.

use std::sync::Arc;

use axum::extract::State;
use throng_wire::native::v1;

use super::body::{Answer, Asking};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::native::mapping;

/// Finds messages.
pub async fn find(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asking(asked): Asking<v1::Search>,
) -> Result<Answer<v1::Found>, Refusal> {
    let (room, sought) = mapping::search::sought(&asked)?;
    let found = app.search(caller.user.id, room, sought).await?;
    Ok(Answer(mapping::search::found(&found)))
}
