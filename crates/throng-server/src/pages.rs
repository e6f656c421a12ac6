//! What is read in pages: which part is asked for, and what is answered.
//!
//! Neighbours: the store and the history answer spans of a room's events, the directory lists rooms,
//! protocols and REST write both out. It reads nothing itself.

use std::sync::Arc;

use throng_core::{Event, RoomId, RoomName, Seq};

/// Which events of a room, and from which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The newest ones below this place.
    Before(Seq),
    /// The oldest ones above this place.
    After(Seq),
}

/// One page of a room's history.
#[derive(Clone, Debug)]
pub struct Page {
    /// Which room.
    pub room: RoomId,
    /// Ascending, membership included.
    pub events: Vec<Arc<Event>>,
    /// There is more in the direction asked for.
    pub more: bool,
}

/// A room as the list tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSummary {
    /// Which room.
    pub room: RoomId,
    /// Its name.
    pub name: RoomName,
    /// How many belong.
    pub members: u32,
    /// Place of the newest durable event.
    pub head: Seq,
    /// Posts so far.
    pub posts: u64,
    /// The asker belongs.
    pub member: bool,
}

/// One page of the list of rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomList {
    /// Ascending by number.
    pub rooms: Vec<RoomSummary>,
    /// There are more after the last of these.
    pub more: bool,
}
