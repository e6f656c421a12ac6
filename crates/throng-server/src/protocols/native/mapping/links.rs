//! Links into private rooms: our words as the wire's messages.
//!
//! Neighbours: `mapping.rs`, and REST, which asks and answers with the same messages.

use throng_core::{Rejection, RoomId};
use throng_wire::native::v1;

use super::{room_id, user};
use crate::auth::token::Token;
use crate::moderation::RoomLink;
use crate::protocols::What;
use crate::protocols::moderation::Asked;

/// To make one.
pub fn make(v1::MakeRoomLink { room, uses, hours }: v1::MakeRoomLink) -> Result<What, Rejection> {
    Ok(What::Moderation(Asked::MakeLink { room: room_id(room)?, uses, hours }))
}

/// To read which there are.
pub fn list_asked(v1::ListRoomLinks { room }: v1::ListRoomLinks) -> Result<What, Rejection> {
    Ok(What::Moderation(Asked::Links { room: room_id(room)? }))
}

/// To end one.
pub fn end(v1::EndRoomLink { room, link }: v1::EndRoomLink) -> Result<What, Rejection> {
    Ok(What::Moderation(Asked::EndLink { room: room_id(room)?, link }))
}

/// One that was just made, with what opens it.
pub fn made(token: &Token, link: &RoomLink) -> v1::RoomLink {
    let RoomLink { id, room, uses, expires_at, .. } = link;
    v1::RoomLink {
        room: room.get(),
        number: *id,
        link: token.reveal().to_owned(),
        uses: *uses,
        expires_at: expires_at.0,
    }
}

/// Those of a room.
pub fn list(room: RoomId, links: &[RoomLink]) -> v1::RoomLinks {
    let item = |it: &RoomLink| v1::RoomLinkItem {
        number: it.id,
        by: Some(user(&it.by)),
        at: it.at.0,
        uses: it.uses,
        expires_at: it.expires_at.0,
    };
    v1::RoomLinks { room: room.get(), links: links.iter().map(item).collect() }
}
