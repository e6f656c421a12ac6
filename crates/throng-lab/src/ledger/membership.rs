//! Who hears a room, from which place on and up to which: what acks of joins, leaves and resumes say.
//!
//! Neighbours: `mod.rs` enters what is sent and told; each span that ends here is checked by `verdict`
//! when the room's order is known. It never judges a delivery.

use std::collections::HashMap;

use super::room::Mark;
use super::{Ended, Fault, Kind, Ledger, RoomIx, Side, UserIx};
use crate::drivers::Act;

/// What each account asked for in each room: nobody comes or goes but by its own asking, or because somebody
/// was asked to put it out (`changes`).
#[derive(Debug, Default)]
pub struct Moves(HashMap<(RoomIx, u64), Asked>);

/// How often one account asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// To be let in; to have made the room is one of them.
    pub joins: u32,
    /// To leave.
    pub leaves: u32,
    /// Of these, known to have been done, or to have been refused. The others may be done late.
    settled: u32,
}

impl Moves {
    pub fn of(&self, room: RoomIx, account: u64) -> Asked {
        self.0.get(&(room, account)).copied().unwrap_or_default()
    }
}

impl Ledger {
    /// The user is about to ask to be let into a room, or to make it.
    pub fn asks_to_join(&mut self, user: UserIx, room: RoomIx) {
        self.asked(user, room).joins += 1;
        self.rooms[room.0 as usize].caused += 1;
    }

    /// The user is about to ask to leave a room.
    pub fn asks_to_leave(&mut self, user: UserIx, room: RoomIx) {
        self.asked(user, room).leaves += 1;
        self.rooms[room.0 as usize].caused += 1;
        self.stay_may_end(user, room);
    }

    /// A leave was done, or refused for now: it will not be done late.
    pub fn leave_is_settled(&mut self, user: UserIx, room: RoomIx) {
        self.asked(user, room).settled += 1;
    }

    /// A leave was refused, because the user is no member. One that it asked for before may have been done late,
    /// or somebody has put it out; if neither can be, it was a member and what was said since was withheld.
    pub fn leave_is_refused(&mut self, user: UserIx, room: RoomIx) {
        let asked = *self.asked(user, room);
        let another = asked.leaves > asked.settled + 1;
        self.leave_is_settled(user, room);
        let listener = self.listener_of(user, self.number(room));
        let hears = listener.is_some_and(|it| self.listeners[it as usize].is_live());
        if hears && !another && !self.may_be_out(user, room) {
            self.expelled(user, room);
        }
        self.not_member(user, room);
    }

    fn asked(&mut self, user: UserIx, room: RoomIx) -> &mut Asked {
        let account = self.users[user.0 as usize].account;
        self.moves.0.entry((room, account)).or_default()
    }

    /// The user hears the room from after `from`; `seq` is the place of its `Joined`, 0 if it
    /// was a member before. Who comes in hears what follows its coming, and not what follows later.
    pub fn joined(&mut self, user: UserIx, room: RoomIx, seq: u64, from: u64) {
        if seq != 0 {
            let account = self.users[user.0 as usize].account;
            self.place(room, seq, Mark::joined(account), None, "ack of a join");
            if from != seq && self.has_places(room) {
                let number = self.number(room);
                let what =
                    format!("user {}, room {number}: joined at {seq}, live after {from}", user.0);
                self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Lost, what });
            }
        }
        let listener = self.listener_for(user, room);
        if seq == 0 && self.listeners[listener as usize].is_live() {
            // It wanted to come back from where it has not been put out yet: it hears the room all along.
            return;
        }
        self.end_in_doubt(listener);
        let made = self.sends.len() as u32;
        self.listeners[listener as usize].begin(from, made);
        self.rooms[room.0 as usize].listening += 1;
        self.stay_begins(listener);
    }

    /// The server says that a user who asked to be let in is a member already: it has asked before, then.
    pub fn joined_before(&mut self, user: UserIx, room: RoomIx) {
        if self.asked(user, room).joins < 2 {
            let number = self.number(room);
            let what = format!("user {} is in room {number} already, and never came in", user.0);
            self.faults.add(Fault { side: Side::Sends, kind: Kind::Lost, what });
        }
    }

    /// The user's leave was acked: it heard everything before `seq`, and hears nothing from now on.
    pub fn left(&mut self, user: UserIx, room: RoomIx, seq: u64) {
        let account = self.users[user.0 as usize].account;
        self.leave_is_settled(user, room);
        self.place(room, seq, Mark::left(account), None, "ack of a leave");
        self.out(user, room, seq);
    }

    /// The membership ended at a place: everything before was heard, nothing will be.
    fn out(&mut self, user: UserIx, room: RoomIx, seq: u64) {
        let listener = self.listener_for(user, room);
        let state = &mut self.listeners[listener as usize];
        if state.is_out() {
            return;
        }
        if state.last() > seq {
            let what = format!("user {} left at {seq} and was told {}", user.0, state.last());
            self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Foreign, what });
        }
        if state.is_live() {
            self.rooms[room.0 as usize].listening -= 1;
            self.stay_ends(listener);
            self.close_span(listener, seq.saturating_sub(1), Ended::Left);
            self.listeners[listener as usize].end();
        } else {
            self.end_in_doubt(listener);
        }
    }

    /// The user is told that it left, and not by a request of this connection: one that was lost
    /// asked for it, and the server read it later; or it was put out (`removed`). It heard everything
    /// before, as with an ack.
    pub fn told_left(&mut self, user: UserIx, number: u32, seq: u64, removed: Option<Act>) {
        let listener = self.listener_of(user, number);
        let listener = listener.filter(|it| self.listeners[*it as usize].hears());
        let room = listener.map(|it| self.listeners[it as usize].room);
        match (room, removed) {
            (Some(room), None) => {
                if self.asked(user, room).leaves == 0 {
                    let what = format!("user {} was told that it left room {number}", user.0);
                    self.foreign(format!("{what}, and never asked to"));
                }
                self.left(user, room, seq);
            }
            (Some(room), Some(act)) => {
                let account = self.users[user.0 as usize].account;
                if !self.asked_out(room, account, act) {
                    let what = format!("user {}: {act:?} from room {number}", user.0);
                    self.foreign(format!("{what}, and nobody asked for it"));
                }
                self.place(room, seq, Mark::act(act, account), None, "word to who is out");
                self.out(user, room, seq);
            }
            (None, _) => {
                let what = format!("user {} does not listen to room {number}", user.0);
                self.foreign(format!("{what} and was told that it left it"));
            }
        }
    }

    /// A resume was refused because the user is not a member any more: its leave was done, and its
    /// reply lost.
    pub fn not_member(&mut self, user: UserIx, room: RoomIx) {
        let listener = self.listener_for(user, room);
        self.end_in_doubt(listener);
    }

    /// The user's connection is gone.
    pub fn disconnected(&mut self, user: UserIx) {
        for at in 0..self.users[user.0 as usize].rooms.len() {
            let (_, ix) = self.users[user.0 as usize].rooms[at];
            let listener = &mut self.listeners[ix as usize];
            if listener.is_live() {
                self.rooms[listener.room.0 as usize].listening -= 1;
                listener.lose();
                self.stay_is_lost(ix);
            }
        }
    }

    /// The rooms that a user does not hear and has not left, and how that stands, for a person.
    pub fn unheard(&self, user: UserIx) -> Vec<String> {
        let rooms = self.users[user.0 as usize].rooms.iter();
        let listeners = rooms.map(|(number, at)| (number, &self.listeners[*at as usize]));
        let unheard = listeners.filter(|(_, it)| !it.is_live() && !it.is_out());
        unheard.map(|(number, it)| format!("{number} {}", it.words())).collect()
    }

    /// The last place that a user knows of in a room; 0 for none.
    pub fn knows_of(&self, user: UserIx, room: RoomIx) -> u64 {
        let listener = self.listener_of(user, self.number(room));
        listener.map_or(0, |listener| self.listeners[listener as usize].last())
    }

    /// Where to resume from: the last place the user knows of, if it listened. `leave_unanswered`:
    /// it had asked to leave, and the reply was lost.
    pub fn resume_from(
        &mut self,
        user: UserIx,
        room: RoomIx,
        leave_unanswered: bool,
    ) -> Option<u64> {
        let number = self.rooms[room.0 as usize].number;
        let listener = self.listener_of(user, number)?;
        self.listeners[listener as usize].resume(leave_unanswered)
    }

    /// A resume is complete: everything pushed up to `position` was sent.
    pub fn resumed(&mut self, user: UserIx, room: RoomIx, position: u64) {
        let listener = self.listener_for(user, room);
        let state = &mut self.listeners[listener as usize];
        if state.is_out() {
            return;
        }
        if state.last() > position {
            let (last, what) = (state.last(), "was told before the reply that live events follow");
            let what = format!("user {}: {last} {what} {position}", user.0);
            self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Reordered, what });
        }
        if !state.is_live() {
            self.rooms[room.0 as usize].listening += 1;
        }
        self.counts.resumed += 1;
        self.close_span(listener, position, Ended::Resumed);
        let made = self.sends.len() as u32;
        self.listeners[listener as usize].begin(position, made);
    }

    /// The server says that the user is no member, though it never asked to leave.
    pub fn expelled(&mut self, user: UserIx, room: RoomIx) {
        let number = self.rooms[room.0 as usize].number;
        let what =
            format!("user {} is no member of room {number} any more, and never left", user.0);
        self.faults.add(Fault { side: Side::Sends, kind: Kind::Lost, what });
    }
}
