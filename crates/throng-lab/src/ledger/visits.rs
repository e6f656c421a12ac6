//! Users who are not there all the time, and pages that are read by those who come: what of it the
//! books hold.
//!
//! Neighbours: `mod` has the order and the listeners; the runner tells who comes and goes.

use super::listener::Step;
use super::room::Mark;
use super::{Event, Fault, Kind, Ledger, RoomIx, Side, Told, UserIx};

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
            let (seq, prev) = (event.seq, Some(event.prev));
            match self.told(room, event) {
                None => self.foreign(format!("a page has {event:?}, never asked for so")),
                Some(Told::Post(send, n)) => self.place_send(send, seq, n, prev, "page"),
                Some(Told::Mark(mark)) => self.place_mark(room, seq, mark, prev, "page"),
            }
        }
    }

    /// A resume was refused as too old, and the user reads pages instead: an event of one.
    pub fn caught_up(&mut self, user: UserIx, room: RoomIx, events: &[Event<'_>]) {
        let listener = self.listener_for(user, room);
        for event in events {
            let (seq, prev) = (event.seq, Some(event.prev));
            let Some(told) = self.told(room, event) else {
                self.foreign(format!("a page has {event:?}, which was never asked for so"));
                continue;
            };
            let post = matches!(told, Told::Post(..));
            match told {
                Told::Post(send, n) => {
                    self.counts.deliveries += 1;
                    self.place_send(send, seq, n, prev, "page");
                }
                Told::Mark(mark) => self.place_mark(room, seq, mark, prev, "page"),
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
