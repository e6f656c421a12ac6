//! What users do to messages and to each other: which message is changed, and what is asked for.
//!
//! Neighbours: `acts` does everything else; the plan says when and in which room. A refusal is counted and
//! nothing else: its asker may have been put out meanwhile. The ledger knows what may come of it.

use std::collections::VecDeque;

use super::crowd::Crowd;
use super::user::{Asked, Todo};
use crate::drivers::{self, Act, Action, Change};
use crate::engine::Sockets;
use crate::ledger::{RoomIx, SendIx, UserIx};

/// Messages of a room that may be changed.
const RECENT_MAX: usize = 32;
/// Bytes of a new text.
const EDIT_BYTES: u32 = 48;

/// The newest acknowledged sends of each room, where the scenario changes any.
#[derive(Debug, Default)]
pub struct Recent {
    wanted: bool,
    /// By the ledger's index, with whether it was edited.
    rooms: Vec<VecDeque<(SendIx, bool)>>,
}

impl Recent {
    /// Keeps any only where they are `wanted`.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, rooms: Vec::new() }
    }

    /// A send was acknowledged.
    pub fn acked(&mut self, room: RoomIx, send: SendIx) {
        if !self.wanted {
            return;
        }
        let at = room.0 as usize;
        if at >= self.rooms.len() {
            self.rooms.resize(at + 1, VecDeque::new());
        }
        let recent = &mut self.rooms[at];
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((send, false));
    }

    /// One that this can be done to; whoever deletes it takes it away.
    fn choose(&mut self, room: RoomIx, change: Change, pick: u32) -> Option<SendIx> {
        let recent = self.rooms.get_mut(room.0 as usize).filter(|recent| !recent.is_empty())?;
        let at = pick as usize % recent.len();
        match change {
            Change::React => Some(recent[at].0),
            Change::Delete => recent.remove(at).map(|(send, _)| send),
            Change::Edit => {
                let (send, edited) = recent.iter_mut().skip(at).find(|(_, edited)| !*edited)?;
                *edited = true;
                Some(*send)
            }
        }
    }
}

impl Crowd {
    /// A message of this room is to be changed: by who said it, or (a reaction) by `user`.
    pub fn change_due(
        &mut self,
        (room, user): (u32, u32),
        change: Change,
        pick: u32,
        sockets: &mut Sockets,
    ) {
        let Some((_, ix)) = self.places[room as usize].made else { return };
        let Some(send) = self.recent.choose(ix, change, pick) else { return };
        let by = if change == Change::React { user } else { self.ledger.author(send).0 };
        self.doing(by, Todo::Change { send, change }, sockets);
    }

    pub(super) fn change(
        &mut self,
        user: u32,
        send: SendIx,
        change: Change,
        sockets: &mut Sockets,
    ) {
        let Some(seq) = self.ledger.place_of(send) else { return };
        let room = self.ledger.number(self.ledger.room_of(send));
        let mut body = std::mem::take(&mut self.body);
        // Below every number that a send has.
        self.words.body(u32::MAX - send.0, EDIT_BYTES, &mut body);
        let digest = if change == Change::Edit { drivers::digest(&body) } else { 0 };
        self.ledger.asked_change(self.me(user), send, change, digest);
        let action = match change {
            Change::Edit => Action::Edit { room, seq, body: &body },
            Change::Delete => Action::Delete { room, seq },
            Change::React => Action::React { room, seq },
        };
        self.ask(user, Asked::Change { send, change }, &action, sockets);
        self.body = body;
    }

    pub(super) fn moderate(
        &mut self,
        user: u32,
        (room, of): (u32, UserIx),
        act: Act,
        sockets: &mut Sockets,
    ) {
        let (number, ix) = self.made(room);
        self.ledger.asked_act(self.me(user), ix, of, act);
        let account = self.accounts[of.0 as usize].id;
        let action = Action::Moderate { room: number, user: account, act };
        self.ask(user, Asked::Moderate { room, of, act }, &action, sockets);
    }

    /// A resume was refused: it had left and did not know yet, or was put out.
    pub(super) fn is_out(&mut self, user: u32, room: u32) {
        let (ix, me) = (self.ix(room), self.me(user));
        let leaves = self.users[user as usize].forget_leave(room);
        if leaves {
            self.ledger.leave_is_settled(me, ix);
        } else if self.ledger.may_be_out(me, ix) {
            self.ledger.put_out_while_away(me, ix);
        } else {
            self.ledger.expelled(me, ix);
        }
        self.ledger.not_member(me, ix);
    }

    /// The room of two was made by the other: this one is a member already, and hears it from now on.
    pub fn join_direct(&mut self, user: u32, room: u32, sockets: &mut Sockets) {
        self.users[user as usize].rooms.push(room);
        if !self.hear(user, room, sockets) {
            let (_, ix) = self.made(room);
            self.ledger.joined_unheard(self.me(user), ix, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_edited_once_and_not_chosen_again_once_it_is_deleted() {
        let mut recent = Recent::new(true);
        for ix in 0..3 {
            recent.acked(RoomIx(1), SendIx(ix));
        }
        assert_eq!(recent.choose(RoomIx(0), Change::Edit, 0), None, "nothing was said there");
        assert_eq!(recent.choose(RoomIx(1), Change::Edit, 1), Some(SendIx(1)));
        assert_eq!(recent.choose(RoomIx(1), Change::Edit, 1), Some(SendIx(2)));
        assert_eq!(recent.choose(RoomIx(1), Change::Edit, 1), None);
        assert_eq!(recent.choose(RoomIx(1), Change::Delete, 1), Some(SendIx(1)));
        assert_eq!(recent.choose(RoomIx(1), Change::React, 1), Some(SendIx(2)));
    }

    #[test]
    fn of_each_room_only_the_newest_are_kept_and_none_where_nothing_is_changed() {
        let (mut recent, mut none) = (Recent::new(true), Recent::new(false));
        for ix in 0..100 {
            recent.acked(RoomIx(0), SendIx(ix));
            none.acked(RoomIx(0), SendIx(ix));
        }
        assert_eq!(recent.rooms[0].len(), RECENT_MAX);
        assert_eq!(recent.choose(RoomIx(0), Change::React, 0), Some(SendIx(68)));
        assert!(none.rooms.is_empty());
    }
}
