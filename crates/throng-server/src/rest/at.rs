//! What a path names below a room: a message, a report, a link, what waits.
//!
//! A part that cannot be read names nothing, and is refused as one that is not there, whoever asks and
//! whatever the room is. As `no_such_room` is refused only what stands at the room's place: a client may
//! forget a room of which it hears that.

use axum::extract::Path;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use throng_core::{Rejection, RoomId, Seq};

use super::refusal::Refusal;
use crate::protocols::native::mapping;

/// A room's number, and what stands behind it.
pub type At<T = (u32, u64)> = Result<Path<T>, PathRejection>;

/// The parts of the path; `none` is the refusal of what is not there behind the room.
pub fn parts<T>(at: At<T>, none: Rejection) -> Result<T, Refusal> {
    match at {
        Ok(Path(parts)) => Ok(parts),
        Err(unread) if is_room(&unread) => Err(Refusal(Rejection::NoSuchRoom)),
        Err(_) => Err(Refusal(none)),
    }
}

/// The room and the number behind it.
pub fn number(at: At, none: Rejection) -> Result<(RoomId, u64), Refusal> {
    let (room, number) = parts(at, none)?;
    Ok((mapping::room_id(room)?, number))
}

/// The message of the path.
pub fn message(at: At) -> Result<(RoomId, Seq), Refusal> {
    let (room, seq) = number(at, Rejection::NoSuchMessage)?;
    Ok((room, Seq::said(seq)))
}

/// Whether what could not be read is the room.
fn is_room(unread: &PathRejection) -> bool {
    let PathRejection::FailedToDeserializePathParams(failed) = unread else { return true };
    match failed.kind() {
        ErrorKind::ParseErrorAtIndex { index, .. } => *index == 0,
        ErrorKind::InvalidUtf8InPathParam { key } => key == "room",
        _ => true,
    }
}
