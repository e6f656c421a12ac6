//! What a history may have lost of what was promised: the texts of messages that were deleted, edited
//! again or taken away with all of their sender, and nothing else.
//!
//! Neighbours: `workload.rs`, whose checks compare by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use throng_core::{Event, EventKind, RoomId, UserId};

fn sender_of(event: &Event) -> Option<UserId> {
    match &event.kind {
        EventKind::Posted { author, .. } => Some(author.id),
        EventKind::Edited { by, .. } => Some(by.id),
        _ => None,
    }
}

/// Whether an event is what was promised. A text may be gone, or may not be gone yet, if the history
/// has the deletion of its message or a newer edit of it.
pub fn is_still(is: &Event, promised: &Event, history: &[Arc<Event>]) -> bool {
    let may_go = || {
        let (of, edits) = match &promised.kind {
            EventKind::Edited { of, .. } => (*of, true),
            _ => (promised.seq, false),
        };
        history[promised.seq.0 as usize..].iter().any(|later| match &later.kind {
            EventKind::Deleted { of: deleted, .. } => *deleted == of,
            EventKind::Edited { of: edited, .. } => edits && *edited == of,
            later => later.sweeps().is_some() && later.sweeps() == sender_of(promised),
        })
    };
    is == promised || (is.erased() == promised.erased() && may_go())
}

/// The same of all rooms.
pub fn are_still(
    are: &BTreeMap<RoomId, Vec<Arc<Event>>>,
    promised: &BTreeMap<RoomId, Vec<Arc<Event>>>,
) -> bool {
    let of_room = |(is, was): (&Vec<Arc<Event>>, &Vec<Arc<Event>>)| {
        let still = |(now, then): (&Arc<Event>, &Arc<Event>)| is_still(now, then, is);
        is.len() == was.len() && is.iter().zip(was).all(still)
    };
    are.keys().eq(promised.keys()) && are.values().zip(promised.values()).all(of_room)
}
