//! What users do to messages and to each other.
//!
//! Neighbours: `acts` does everything else; the plan says when and in which room, `recent` which message. A refusal is counted and
//! nothing else: its asker may have been put out meanwhile. The ledger knows what may come of it.

use super::crowd::Crowd;
use super::recent::{Meant, PLACELESS};
use super::user::{Asked, Todo};
use crate::drivers::{self, Act, Action, Change};
use crate::engine::Sockets;
use crate::ledger::{SendIx, UserIx};

/// Bytes of a new text.
const EDIT_BYTES: u32 = 48;

impl Crowd {
    /// A message of this room is to be changed: by who said it, or (a reaction) by `user`.
    pub fn change_due(
        &mut self,
        (room, user): (u32, u32),
        change: Change,
        pick: u32,
        sockets: &mut Sockets,
    ) {
        if let Some(send) = self.recent.due(room, user, change, pick) {
            self.change_by(user, send, change, sockets);
        }
    }

    /// The message has its ack: what waited for that is done.
    pub(super) fn change_now(&mut self, meant: Meant, send: SendIx, sockets: &mut Sockets) {
        for (user, change) in self.recent.waited(meant) {
            self.change_by(user, send, change, sockets);
        }
    }

    fn change_by(&mut self, user: u32, send: SendIx, change: Change, sockets: &mut Sockets) {
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
        let Some(seq) = self.ledger.place_of(send) else {
            return self.recent.unmade(PLACELESS);
        };
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
