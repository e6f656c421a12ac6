//! What users ask for, and when they have to wait: the part of the crowd that turns deeds into
//! actions of their drivers.
//!
//! Neighbours: `crowd` owns the users and takes the answers; the runner says what is due.

use super::crowd::{Crowd, Later};
use super::recent::Meant;
use super::user::{Asked, Link, Todo};
use crate::clock::Nanos;
use crate::drivers::{Action, Position};
use crate::engine::Sockets;
use crate::ledger::SendIx;
use crate::traces;

impl Crowd {
    pub(super) fn resume(&mut self, user: u32, room: u32, sockets: &mut Sockets) -> bool {
        let Some((number, ix)) = self.places[room as usize].made else { return false };
        let doubt = self.users[user as usize].leave_is_unanswered(room);
        let me = self.me(user);
        if !self.ledger.has_places(ix) {
            // There is nothing to go on from: it hears what comes.
            return self.ledger.is_member(me, ix) && self.hear(user, room, sockets);
        }
        let Some(seq) = self.ledger.resume_from(me, ix, doubt) else { return false };
        let from = Some(Position { epoch: self.epoch.unwrap_or_default(), seq });
        let action = Action::Subscribe { room: number, from };
        self.ask(user, Asked::Resume(room), &action, sockets);
        true
    }

    /// Hears a room from now on, where it is a member and was away.
    pub(super) fn hear(&mut self, user: u32, room: u32, sockets: &mut Sockets) -> bool {
        let Some((number, _)) = self.places[room as usize].made else { return false };
        let it = &self.users[user as usize];
        if it.will_join(room) || !it.driver.hears() {
            return false;
        }
        let action = Action::Subscribe { room: number, from: None };
        self.ask(user, Asked::Hear(room), &action, sockets);
        true
    }

    pub(super) fn catch_up(&mut self, user: u32, room: u32, sockets: &mut Sockets) -> bool {
        let Some((number, ix)) = self.places[room as usize].made else { return false };
        let doubt = self.users[user as usize].leave_is_unanswered(room);
        let me = self.me(user);
        let Some(after) = self.ledger.resume_from(me, ix, doubt) else { return false };
        let action = Action::History { room: number, after, limit: 0 };
        self.ask(user, Asked::CatchUp(room), &action, sockets);
        true
    }

    pub(super) fn resumed_one(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.users[user as usize];
        if let Link::Resuming(left) = it.link {
            it.link = Link::Resuming(left.saturating_sub(1));
            if left <= 1 {
                self.up(user, sockets, now);
            }
        }
    }

    /// A room that was not asked for is not waited for.
    pub(super) fn one_room_less(
        &mut self,
        asked: bool,
        user: u32,
        sockets: &mut Sockets,
        now: Nanos,
    ) {
        if !asked {
            self.resumed_one(user, sockets, now);
        }
    }

    /// Does it if the user is up, else as soon as it is.
    pub fn doing(&mut self, user: u32, todo: Todo, sockets: &mut Sockets) {
        let user = self.least_busy(user, todo);
        let it = &mut self.users[user as usize];
        if it.link == Link::Up && it.backlog.is_empty() {
            self.do_now(user, todo, sockets);
        } else {
            it.backlog.push_back(todo);
        }
    }

    /// A post goes over that of the user's connections which has the least to do.
    fn least_busy(&self, user: u32, todo: Todo) -> u32 {
        let Some(lanes) = self.lanes.get(user as usize).filter(|lanes| !lanes.is_empty()) else {
            return user;
        };
        if !matches!(todo, Todo::Post { again: false, .. }) {
            return user;
        }
        let busy = |user: &u32| {
            let it = &self.users[*user as usize];
            it.asked.len() + it.backlog.len()
        };
        lanes.iter().copied().chain([user]).min_by_key(busy).unwrap_or(user)
    }

    pub(super) fn do_now(&mut self, user: u32, todo: Todo, sockets: &mut Sockets) {
        match todo {
            Todo::Join { room } => {
                let (number, ix) = self.made(room);
                self.ledger.asks_to_join(self.me(user), ix);
                self.users[user as usize].keep_room(room);
                self.users[user as usize].joins += 1;
                self.ask(user, Asked::Join(room), &Action::Join { room: number }, sockets);
            }
            Todo::Leave { room, .. } => {
                let (number, ix) = self.made(room);
                self.ledger.asks_to_leave(self.me(user), ix);
                self.ask(user, Asked::Leave(room), &Action::Leave { room: number }, sockets);
            }
            Todo::Look { room, history } => {
                let (number, _) = self.made(room);
                // From the newest on: no room has had so many events.
                let before = u64::from(u32::MAX);
                let action = Action::Latest { room: number, before, limit: history };
                self.ask(user, Asked::Look(room), &action, sockets);
            }
            Todo::Faces { room } => self.look_at_faces(user, room, sockets),
            Todo::Change { send, change } => self.change(user, send, change, sockets),
            Todo::Type { room } => {
                let (number, _) = self.made(room);
                self.ask(user, Asked::Type(room), &Action::Type { room: number }, sockets);
            }
            Todo::Moderate { room, of, act } => self.moderate(user, (room, of), act, sockets),
            Todo::Post { send, bytes, again } => {
                if again {
                    self.ledger.sent_again(send);
                }
                let number = self.ledger.number(self.ledger.room_of(send));
                let mut body = std::mem::take(&mut self.body);
                self.words.body(send.0, bytes, &mut body);
                let origin_id = self.ledger.origin_id(send);
                let (durable, file) = (self.durable, self.files.of(send));
                let file = file.as_deref();
                let origin_id = origin_id.as_str();
                let trace = !again && self.asks_for_trace(send);
                let room = number;
                let action = Action::Post { room, origin_id, body: &body, file, durable, trace };
                self.ask(user, Asked::Post { send, bytes }, &action, sockets);
                self.body = body;
            }
        }
    }

    /// Whether this one is to say where its time went.
    fn asks_for_trace(&mut self, send: SendIx) -> bool {
        let asks = traces::asks(self.seed, send.0);
        self.recorder.traces.asked += u64::from(asks);
        asks
    }

    /// Enters a send into the books; `doing` makes it leave.
    pub fn new_send(
        &mut self,
        meant: Meant,
        user: u32,
        room: u32,
        bytes: u32,
        intended: Nanos,
    ) -> Todo {
        let (_, ix) = self.made(room);
        let number = self.ledger.sends() as u32;
        let mut body = std::mem::take(&mut self.body);
        self.words.body(number, bytes, &mut body);
        let me = self.me(user);
        let send = self.ledger.sent(me, ix, intended, crate::drivers::digest(&body));
        self.body = body;
        self.recent.sent(meant, send);
        Todo::Post { send, bytes, again: false }
    }

    /// Asks for the next page of a room's history, by any of its members that can.
    pub fn read_page(&mut self, room: u32, sockets: &mut Sockets) {
        let Some((number, ix)) = self.places[room as usize].made else { return };
        let Some(after) = self.ledger.page_wanted(ix) else { return };
        let up = |user: &&u32| {
            self.users[**user as usize].link == Link::Up
                && self.ledger.is_member(self.me(**user), ix)
        };
        let Some(user) = self.places[room as usize].members.iter().find(up).copied() else {
            return;
        };
        let action = Action::History { room: number, after, limit: 0 };
        self.ask(user, Asked::Page(room), &action, sockets);
    }

    /// It has read the history it came for.
    pub(super) fn looked(&mut self, user: u32, now: Nanos) {
        if let Some(intended) = self.users[user as usize].entering.take() {
            self.recorder.entered(intended, now);
        }
    }

    pub(super) fn later(&mut self, user: u32, asked: Asked, ms: u32) {
        let since = self.users[user as usize].lost_at;
        self.later.push(Later { ms, user, asked, since });
    }

    /// Asks again for what was refused for a while.
    pub fn ask_again(&mut self, it: Later, sockets: &mut Sockets, now: Nanos) {
        let Later { user, asked, since, .. } = it;
        if let Asked::Members { room, .. } = asked {
            self.gallery.looks_again(user, room);
        }
        // Who came back meanwhile has asked again for what belongs to a connection. What it was to do is
        // asked for by nobody else.
        let to_do =
            matches!(asked, Asked::Page(_) | Asked::Join(_) | Asked::Leave(_) | Asked::Errand(_));
        if self.users[user as usize].lost_at != since && !to_do {
            return;
        }
        match asked {
            Asked::Page(room) => self.read_page(room, sockets),
            // Who was put out, or is to join, while it waited has one room less to come back to.
            Asked::CatchUp(room) => {
                let asked = self.catch_up(user, room, sockets);
                self.one_room_less(asked, user, sockets, now);
            }
            Asked::Resume(room) => {
                let asked = self.resume(user, room, sockets);
                self.one_room_less(asked, user, sockets, now);
            }
            Asked::Hear(room) => {
                let asked = self.hear(user, room, sockets);
                self.one_room_less(asked, user, sockets, now);
            }
            Asked::Errand(number) => self.set_out(number, sockets),
            Asked::Members { room, after } => {
                if self.users[user as usize].link == Link::Up {
                    self.ask_members(user, room, after, sockets);
                }
            }
            // Who has just come and may not look yet does without.
            Asked::Look(_) => {}
            Asked::Join(room) => self.doing(user, Todo::Join { room }, sockets),
            Asked::Leave(room) => self.doing(user, Todo::Leave { room, again: true }, sockets),
            Asked::Create(room) => self.make(room, sockets),
            // Passwords wait in the server's queue; who finds it full tries again, as people do.
            Asked::Authenticate => self.log_in(user, sockets),
            Asked::Post { .. } | Asked::Change { .. } | Asked::Type(_) | Asked::Moderate { .. } => {
                self.trouble = Some(format!("user {user}: {asked:?} was refused for a while"));
            }
        }
    }

    /// Makes a room, by its first member.
    pub fn make(&mut self, room: u32, sockets: &mut Sockets) {
        let place = &self.places[room as usize];
        let (maker, name) = (place.maker, place.name.clone());
        let action = if place.direct {
            let other = self.me(place.members[1]);
            Action::OpenDirect { user: self.accounts[other.0 as usize].id }
        } else {
            Action::CreateRoom { name: &name }
        };
        self.ask(maker, Asked::Create(room), &action, sockets);
    }
}
