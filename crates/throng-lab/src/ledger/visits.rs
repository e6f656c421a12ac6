//! Users who are not there all the time, and pages that are read by those who come: what of it the
//! books hold.
//!
//! Neighbours: `mod` has the order and the listeners; the runner tells who comes and goes.

use super::listener::Step;
use super::room::{Besides, Mark};
use super::{Ended, Event, Fault, Kind, Ledger, RoomIx, Side, Told, UserIx};

impl Ledger {
    /// The user is a member and cannot hear: nothing is due to it.
    pub fn joined_unheard(&mut self, user: UserIx, room: RoomIx, seq: u64) {
        let account = self.users[user.0 as usize].account;
        if seq != 0 {
            self.place(room, seq, Mark::joined(account), None, "ack of a join");
        }
    }

    /// What a user that wants to go has to hear before: in each room that it hears, everything up to the
    /// newest place at which a post is known to stand, by whoever's ack or telling.
    pub fn owed(&self, user: UserIx) -> Vec<(RoomIx, u64)> {
        let listeners = self.users[user.0 as usize].rooms.iter().map(|(_, it)| *it as usize);
        let hears = listeners.map(|it| &self.listeners[it]).filter(|it| !it.is_out());
        hears.map(|it| (it.room, self.rooms[it.room.0 as usize].newest_post)).collect()
    }

    /// Whether it has heard so much, or is in the room no more.
    pub fn has_heard(&self, user: UserIx, owed: &[(RoomIx, u64)]) -> bool {
        owed.iter().all(|(room, place)| {
            let listener = self.listener_of(user, self.number(*room));
            let listener = listener.map(|it| &self.listeners[it as usize]);
            listener.is_none_or(|it| it.is_out() || it.last() >= *place)
        })
    }

    /// The user closes its connections and stays away for a while: it is judged up to the last it
    /// heard, which is no less than what it was owed when it wanted to go, and what it will hear again is
    /// told by [`Ledger::joined`].
    pub fn departed(&mut self, user: UserIx) {
        for at in 0..self.users[user.0 as usize].rooms.len() {
            let (_, listener) = self.users[user.0 as usize].rooms[at];
            let state = &self.listeners[listener as usize];
            if !state.is_live() {
                self.end_in_doubt(listener);
                continue;
            }
            let last = state.last();
            self.rooms[state.room.0 as usize].listening -= 1;
            self.stay_is_lost(listener);
            self.close_span(listener, last, Ended::Gone);
            self.listeners[listener as usize].end();
        }
    }

    /// A page that somebody looked at who had just come: every event in it must be what the room's
    /// order says, and nobody is owed less for it.
    pub fn looked_at(&mut self, room: RoomIx, events: &[Event<'_>]) {
        for event in events {
            let (seq, besides) = (event.seq, Some(Besides::of(event)));
            match self.told(room, event) {
                None => self.foreign(format!("a page has {event:?}, never asked for so")),
                Some(Told::Post(send, n)) => self.place_send(send, seq, n, besides, "page"),
                Some(Told::Mark(mark)) => self.place_mark(room, seq, mark, besides, "page"),
            }
        }
    }

    /// A resume was refused as too old, and the user reads pages instead: an event of one.
    pub fn caught_up(&mut self, user: UserIx, room: RoomIx, events: &[Event<'_>]) {
        let listener = self.listener_for(user, room);
        for event in events {
            let (seq, besides) = (event.seq, Some(Besides::of(event)));
            let Some(told) = self.told(room, event) else {
                self.foreign(format!("a page has {event:?}, which was never asked for so"));
                continue;
            };
            let post = matches!(told, Told::Post(..));
            match told {
                Told::Post(send, n) => {
                    self.counts.deliveries += 1;
                    self.place_send(send, seq, n, besides, "page");
                }
                Told::Mark(mark) => self.place_mark(room, seq, mark, besides, "page"),
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
