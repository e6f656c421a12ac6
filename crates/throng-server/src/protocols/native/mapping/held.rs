//! What waits for a room's delay: the wire's messages and ours, both ways.
//!
//! Neighbours: `mapping.rs`, and REST, which asks and answers with the same messages.

use throng_core::shard::{HeldPage, HeldPost};
use throng_core::{Came, Rejection, RoomId, Timestamp, Verdict};
use throng_wire::native::v1;

use super::{message, rejected, room_id};
use crate::protocols::HeldBack;
use crate::protocols::moderation::Asked;

/// A page of what waits.
pub fn list_asked(asked: &v1::ListHeld) -> Result<Asked, Rejection> {
    let v1::ListHeld { room, after, limit } = *asked;
    Ok(Asked::Held { room: room_id(room)?, after, limit })
}

/// What becomes of one of them.
pub fn settle_asked(asked: &v1::SettleHeld) -> Result<Asked, Rejection> {
    let v1::SettleHeld { room, held, pass } = *asked;
    let verdict = if pass { Verdict::Pass } else { Verdict::Drop };
    Ok(Asked::SettleHeld { room: room_id(room)?, number: held, verdict })
}

/// The answer to a post that waits.
pub fn held(room: RoomId, HeldBack { number, until, repeat }: HeldBack) -> v1::Held {
    v1::Held { room: room.get(), held: number, until: until.0, repeat }
}

/// What waits.
pub fn post(post: &HeldPost, until: Timestamp) -> v1::HeldPost {
    let HeldPost { number, room, at, author, origin_id, body, extras } = post;
    let message = message(0, author, origin_id.as_ref(), body, extras.as_deref());
    v1::HeldPost {
        room: room.get(),
        held: *number,
        at: at.0,
        until: until.0,
        message: Some(message),
    }
}

/// A page of it.
pub fn posts(room: RoomId, page: &HeldPage) -> v1::HeldPosts {
    let posts = page.posts.iter().map(|(waits, until)| post(waits, *until)).collect();
    v1::HeldPosts { room: room.get(), posts, more: page.more }
}

/// What waits no longer.
pub fn unheld(room: RoomId, number: u64, came: Came) -> v1::Unheld {
    let (seq, refused) = match came {
        Came::Posted { seq, .. } => (seq.0, None),
        Came::Refused(rejection) => (0, Some(rejected(rejection))),
        Came::Dropped => (0, None),
    };
    v1::Unheld { room: room.get(), held: number, seq, refused }
}
