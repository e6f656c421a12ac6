//! Users who are not there all the time, and pages that are read by those who come: what of it the
//! books hold.
//!
//! Neighbours: `mod` has the order and the listeners; the runner tells who comes and goes.

use super::listener::Step;
use super::room::Mark;
use super::{Event, Fault, Kind, Ledger, RoomIx, Side, UserIx, What};

impl Ledger {
    /// The user is a member and cannot hear: nothing is due to it.
    pub fn joined_unheard(&mut self, user: UserIx, room: RoomIx, seq: u64) {
        let account = self.users[user.0 as usize].account;
        if seq != 0 {
            self.place(room, seq, Mark::joined(account), None, "ack of a join");
        }
    }

    /// The user closes its connections and stays away for a while: it is judged up to the last it
    /// heard, and what it will hear again is told by [`Ledger::joined`].
    pub fn departed(&mut self, user: UserIx) {
        for at in 0..self.users[user.0 as usize].rooms.len() {
            let (_, listener) = self.users[user.0 as usize].rooms[at];
            self.end_in_doubt(listener);
        }
    }

    /// A page that somebody looked at who had just come: every event in it must be what the room's
    /// order says, and nobody is owed less for it.
    pub fn looked_at(&mut self, room: RoomIx, events: &[Event<'_>]) {
        for event in events {
            let mark = match event.what {
                What::Posted { n, user: account, origin_id, digest } => {
                    match self.known(room, account, origin_id, digest) {
                        Some(send) => {
                            self.place_send(send, event.seq, n, Some(event.prev), "page");
                        }
                        None => self.foreign(format!("a page has {event:?}, never sent so")),
                    }
                    continue;
                }
                What::Joined { user } => Mark::joined(user),
                What::Left { user } => Mark::left(user),
                What::Created => Mark::created(),
            };
            self.place(room, event.seq, mark, Some(event.prev), "page");
        }
    }

    /// A resume was refused as too old, and the user reads pages instead: an event of one.
    pub fn caught_up(&mut self, user: UserIx, room: RoomIx, events: &[Event<'_>]) {
        let listener = self.listener_for(user, room);
        for event in events {
            let mut post = false;
            if let What::Posted { n, user: account, origin_id, digest } = event.what {
                let Some(send) = self.known(room, account, origin_id, digest) else {
                    self.foreign(format!("a page has {event:?}, which was never sent so"));
                    continue;
                };
                self.counts.deliveries += 1;
                self.place_send(send, event.seq, n, Some(event.prev), "page");
                post = true;
            }
            let listener = &mut self.listeners[listener as usize];
            // Pages hold events that are not pushed as well; the chain skips those.
            let chain = event.prev.min(listener.last());
            if listener.take(event.seq, chain, post) != Step::Next {
                let what =
                    format!("user {}, room {}: a page has {} again", user.0, event.room, event.seq);
                self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Duplicated, what });
            }
        }
    }
}
