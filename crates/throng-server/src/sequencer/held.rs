//! What waits in a shard's rooms for their delays: wakes the sequencer when some of it is due, and says
//! what waits, and who stands how, to those who ask.
//!
//! Neighbours: `sequencer.rs`, whose turns these are; the shard keeps what waits and decides what comes of
//! it, the fan-out tells those who keep order. It sleeps only where the sequencer would wait for its queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use throng_core::limits::PAGE_BYTES_MAX;
use throng_core::shard::{HeldPage, RoomState, Shard, Waited};
use throng_core::{Act, Event, EventKind, Rejection, Role, RoomId, Standing, Timestamp, UserId};
use tokio::sync::{mpsc, oneshot};

use super::{Item, Sequencer};
use crate::fanout::{Answered, HeldNews, ReplyTo};

/// The wall clock is looked at this often while something waits: it may be set, or turned by a test.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A question for what a shard alone knows of a room.
#[derive(Debug)]
pub struct Look {
    /// Which room.
    pub room: RoomId,
    /// Who asks.
    pub asker: UserId,
    /// Above this number.
    pub after: u64,
    /// At most this many.
    pub limit: usize,
    /// What for, and where the answer goes.
    pub at: LookAt,
}

/// What is asked for.
#[derive(Debug)]
pub enum LookAt {
    /// What waits.
    Held(oneshot::Sender<Result<HeldPage, Rejection>>),
    /// Who has this mark, and whether there are more.
    Standings(Standing, oneshot::Sender<Result<(Vec<UserId>, bool), Rejection>>),
}

/// Those who keep order in rooms in which something waits, so that the people of a large room are not gone
/// through for each of its messages. Who does so no longer may stand here still: the fan-out asks again.
pub(super) type Keepers = HashMap<RoomId, Arc<[UserId]>>;

fn keepers_of(shard: &Shard, room: RoomId) -> Arc<[UserId]> {
    let people = shard.room(room).into_iter().flat_map(RoomState::people);
    let keeps = people.filter(|(_, person)| person.standing().role() >= Some(Role::Moderator));
    keeps.map(|(user, _)| user).collect()
}

/// Wakes a thread that is parked.
pub(super) struct Unpark(pub(super) Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Sequencer {
    /// Takes what comes into the queue, as its own call does, but waits no longer than until `due`; `None`
    /// when that has come first.
    pub(super) fn receive_until(
        &self,
        due: Timestamp,
        queue: &mut mpsc::Receiver<Item>,
        items: &mut Vec<Item>,
    ) -> Option<usize> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        // Half a turn is for what is due.
        let most = (self.turn_max / 2).max(1);
        loop {
            if let Poll::Ready(taken) = queue.poll_recv_many(&mut context, items, most) {
                return Some(taken);
            }
            let now = self.shard.time(self.around.clock.wall());
            if now >= due {
                return None;
            }
            thread::park_timeout(Duration::from_millis(due.0 - now.0).min(LOOK_EVERY));
        }
    }

    /// Puts what is due at the head of a turn of so many others, as much as it has place for.
    pub(super) fn release(&mut self, others: usize, answers: &mut Vec<Answered>) {
        let now = self.now();
        let most = self.turn_max.saturating_sub(others).max(1);
        self.shard.due(now, most, &mut self.scratch.requests);
        answers.extend(self.scratch.requests.iter().map(|request| {
            let (to, outcome) = (ReplyTo::Nobody, Err(Rejection::Unavailable));
            Answered { to, room: request.command.room(), outcome }
        }));
    }

    /// What of it is to be told, and to whom besides its senders; after these events.
    pub(super) fn news(&mut self, waited: Vec<Waited>, events: &[Arc<Event>]) -> Vec<HeldNews> {
        if !self.keepers.is_empty() {
            for event in events {
                if let EventKind::Moderated { act: Act::SetRole(_), .. } = event.kind {
                    self.keepers.remove(&event.room);
                }
            }
        }
        let news = waited.into_iter().map(|waited| {
            let keepers = self.keepers.entry(waited.post.room);
            let keepers = keepers.or_insert_with_key(|room| keepers_of(&self.shard, *room));
            HeldNews { keepers: Arc::clone(keepers), waited }
        });
        let news: Vec<_> = news.collect();
        for HeldNews { waited, .. } in &news {
            if !self.shard.waits_in(waited.post.room) {
                self.keepers.remove(&waited.post.room);
            }
        }
        news
    }

    /// Answers one who asks what waits, or who stands how.
    pub(super) fn show(&self, look: Look) {
        let Look { room, asker, after, limit, at } = look;
        // Who asked is gone: nobody is left to be told.
        match at {
            LookAt::Held(done) => {
                _ = done.send(self.shard.held(room, asker, after, limit, PAGE_BYTES_MAX));
            }
            LookAt::Standings(mark, done) => {
                _ = done.send(self.shard.standings(room, asker, mark, (after, limit)));
            }
        }
    }
}
