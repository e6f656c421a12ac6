//! The server put together: what a listener, a REST handler or a test asks it.
//!
//! Neighbours: `listeners` and `rest` hold an `Arc<App>`; below it are the sequencers, the
//! directory, the sessions and the history. It decides nothing about a room: the shard does.

use std::sync::Arc;

use throng_core::{
    Author, Command, Epoch, Event, Limits, Rejection, Reply, RoomId, RoomName, Seq, SessionId,
    UserId,
};

use crate::clock::Clock;
use crate::operations::metrics::Metrics;
use crate::store::Span;

/// The running server.
#[derive(Debug)]
pub struct App {
    /// What is allowed.
    pub limits: Limits,
    /// This life of the orders.
    pub epoch: Epoch,
    /// The only reader of time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
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

impl App {
    /// Asks a room's order and waits until the answer is durable. Posts count against the rate of
    /// the account.
    pub async fn ask(&self, _from: Author, _command: Command) -> Result<Reply, Rejection> {
        std::future::ready(()).await;
        todo!("arrives with the sequencer")
    }

    /// Reserves a number and the name, makes the room, and joins its maker.
    pub async fn create_room(
        &self,
        _from: Author,
        _name: RoomName,
    ) -> Result<(RoomId, Seq), Rejection> {
        std::future::ready(()).await;
        todo!("arrives with the sequencer")
    }

    /// A page of the rooms above `after`; `limit` 0 is the page's own size, above it is cut to it.
    pub fn rooms(&self, _asker: UserId, _after: u32, _limit: u32, _mine: bool) -> RoomList {
        todo!("arrives with the directory")
    }

    /// A page of history, for a member; `limit` as in `rooms`.
    pub async fn page(
        &self,
        _asker: UserId,
        _room: RoomId,
        _span: Span,
        _limit: u32,
    ) -> Result<Page, Rejection> {
        std::future::ready(()).await;
        todo!("arrives with the history")
    }

    /// The session was ended: its connections are closed before this returns.
    pub fn session_ended(&self, _session: SessionId) {
        todo!("arrives with the sessions")
    }

    /// Whether new work is taken: false from the first signal to stop.
    pub fn ready(&self) -> bool {
        todo!("arrives with the lifecycle")
    }
}
