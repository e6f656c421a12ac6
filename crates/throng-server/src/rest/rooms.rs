//! `GET /api/v1/rooms?after=&limit=&mine=&named=` → `rooms`: a page of the server's rooms by number, or of
//! those whose names have something in them.
//! `POST /api/v1/rooms` `{"name":…,"kind":…}` → 201 `joined`: makes a room and joins it; what else it is to
//! begin with may be said too.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use throng_core::{NamePart, Position, RoomName};
use throng_wire::native::v1;

use super::body::{Answer, Asked, Asking};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::app::App;
use crate::pages::Listed;
use crate::protocols::native::mapping;

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    after: u32,
    limit: u32,
    mine: bool,
    named: String,
}

/// A page of rooms.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asking(Which { after, limit, mine, named }): Asking<Which>,
) -> Result<Answer<v1::Rooms>, Refusal> {
    let named = NamePart::parse(&named)?;
    let asked = Listed { after, limit, mine, named };
    Ok(Answer(mapping::rooms(&app.rooms(caller.user.id, &asked))))
}

/// Makes a room.
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<v1::CreateRoom>,
) -> Result<(StatusCode, Answer<v1::Joined>), Refusal> {
    let named = (RoomName::parse(&asked.name)?, mapping::kind_of(asked.kind)?);
    let settled = mapping::defaults::settled(&asked)?;
    let (room, seq) = app.create_room(caller.user, named, settled).await?;
    let position = Position { epoch: app.epoch, seq };
    let joined = v1::Joined {
        room: room.get(),
        seq: seq.0,
        position: Some(mapping::position(position)),
        already: false,
    };
    Ok((StatusCode::CREATED, Answer(joined)))
}
