//! The account of a run: every send, every delivery, and whether each is what it must be.
//!
//! Neighbours: the runner tells it what was asked and what was observed; `room` keeps an order,
//! `listener` one user's way through it, `verdict` closes the books. It reads no clock and no
//! socket, and it believes the server in nothing that it can check.
//!
//! # Why it is exact, with a few bytes a send and none a delivery
//!
//! *What was said.* A send is named by its `origin_id`, which holds its index in our table, and
//! known by the hash of its body. A post that arrives anywhere is looked up by that name and must
//! have come from that sender, in that room, with that body; else it is **foreign**. So a post that
//! passes *is* one of our sends.
//!
//! *Where it stands.* Each room has one array: place → what stands there. Whoever first tells a
//! place (an ack, any delivery, a page of history) fills it; everybody after must agree, with the
//! pushed event before it too, and with its time and what it calls those whom it names. A second thing
//! at one place, or an ack that names another place, is **reordered**; one send at two places is
//! **duplicated**. So all tellers, if none is at fault, tell parts of one sequence.
//!
//! *What was heard.* A listener takes places in rising order. One that does not rise is either in a
//! hole left before (**reordered**: it came late) or not (**duplicated**). So what a listener has
//! taken is a set of distinct posts, each of which stands in the room's order. A *span* is a
//! stretch `(from, to]` through which it was entitled to everything: from where it was told that
//! live begins, to where a resume says it has caught up, to the `Seq` of its `Left`, or to the
//! room's end. Everything taken in a span lies in it, because places rise and the ends are places.
//! A set of distinct posts of a stretch that has as many elements as the stretch has posts is all
//! of them: *one number a span* decides, and posts in the stretch less posts taken are the
//! **lost**. Which of the membership events are pushed is the server's choice, made alike for all:
//! what one was told, or what is named as `prev`, all are entitled to; holes in the chain of
//! `prev`, and the end of a span after the last event heard, are looked through for them.
//!
//! *What was done to it.* Edits, deletions, reactions and who was put out are places of the same order:
//! only what was asked for may stand there, all tellers must agree, and at the end history shows each
//! message as the newest of its changes left it, and no text of what was deleted (`changes`). A file that a message carries is part of its hash,
//! and is fetched by those who may read it and by one who may not (`files`).
//!
//! *Where live begins* is the server's word, and held against two things: who joins hears what follows its
//! `Joined`, and nothing that was sent after the word came can stand at or below the place it names. Nor is
//! *no member any more* believed: nobody comes or goes more often than it asked to, or than others were
//! asked to put it out. What was done *already* was asked for before; what was refused and never sent again
//! is nowhere.
//!
//! *Entitlement* is the room's own order: a `Joined` at a place, a `Left` (or a kick, or a ban) at a
//! place, and nothing on that connection after the reply to the leave, or after it was told to be out. A listener whose connection was lost keeps its
//! span; the resume must continue it. Only if the reply to a leave was lost with its connection is
//! there doubt: between the last place heard and that leave the server may or may not have told
//! more. Such stretches are counted as `doubted`; what lies before them and after the next join is
//! checked as ever, and nothing may come from the time between.
//!
//! *What was promised.* At the end all history above where the run began is read. Its places and
//! its post numbers must be dense; it must agree with the array; every acked send is in it, or
//! **lost**. A send without an ack is resolved by it. What was heard and is denied by history is
//! **foreign**.

mod changes;
mod files;
mod index;
mod listener;
mod membership;
mod placeless;
mod room;
mod verdict;
mod visits;

use std::collections::HashMap;

use crate::clock::Nanos;
use crate::drivers::{Event, Posted, What};
use changes::{Changes, Shown, Told};
use files::Files;
pub use files::{Got, May};
pub use index::{RoomIx, SendIx, UserIx};
use listener::{Listener, Step};
use membership::Moves;
use placeless::Placeless;
pub use placeless::Unproved;
use room::{Besides, Mark, Room};
use verdict::{Ended, Faults, Span};
pub use verdict::{Fault, Kind, Side, Tally, Verdict};

/// A delivery that was right, for the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where it was said.
    pub room: RoomIx,
    /// When the message should have been sent.
    pub intended: Nanos,
    /// The first of the room's listeners to hear it.
    pub first: bool,
    /// Half of those who listen have heard it now.
    pub median: bool,
    /// Whether its latency says something of the server: the hearer was there when it was sent.
    pub live: bool,
}

/// A message sent.
#[derive(Clone, Debug)]
struct Send {
    intended: Nanos,
    digest: u64,
    /// 0: not known yet.
    seq: u64,
    n: u64,
    room: RoomIx,
    user: UserIx,
    heard: u32,
    last_us: u32,
    attempts: u8,
    state: State,
    /// Counted as duplicated.
    twice: bool,
    /// Found in history.
    kept: bool,
    /// As what.
    shown: Shown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Sent, and no answer yet.
    Open,
    Acked,
    Refused,
}

#[derive(Debug)]
struct User {
    account: u64,
    /// Room numbers with the listener of each, ascending.
    rooms: Vec<(u32, u32)>,
}

/// What is being counted, beside the faults.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    deliveries: u64,
    notices: u64,
    resumed: u64,
    doubted: u64,
    acked: u64,
    refused: u64,
    repeats: u64,
    changes: u64,
    removals: u64,
    refused_outside: u64,
    files: u64,
    files_unanswered: u64,
    fetches: u64,
    fetches_refused: u64,
    fetches_doubted: u64,
}

/// The books.
#[derive(Debug)]
pub struct Ledger {
    prefix: String,
    users: Vec<User>,
    accounts: HashMap<u64, UserIx>,
    rooms: Vec<Room>,
    numbers: HashMap<u32, RoomIx>,
    listeners: Vec<Listener>,
    sends: Vec<Send>,
    spans: Vec<Span>,
    moves: Moves,
    changes: Changes,
    files: Files,
    placeless: Placeless,
    open: u64,
    /// Each ack must be durable.
    durable: bool,
    counts: Counts,
    faults: Faults,
}

impl Ledger {
    /// Empty books. `run` goes into every `origin_id`, so that two runs on one server do not meet.
    pub fn new(run: u32) -> Self {
        Self {
            prefix: format!("{run:08x}-"),
            users: Vec::new(),
            accounts: HashMap::new(),
            rooms: Vec::new(),
            numbers: HashMap::new(),
            listeners: Vec::new(),
            sends: Vec::new(),
            spans: Vec::new(),
            moves: Moves::default(),
            changes: Changes::default(),
            files: Files::default(),
            placeless: Placeless::default(),
            open: 0,
            durable: true,
            counts: Counts::default(),
            faults: Faults::default(),
        }
    }

    /// Sends ask for less than a durable ack.
    pub fn asks_for_less(&mut self) {
        self.durable = false;
    }

    /// A user, by the account that the server says it has.
    pub fn add_user(&mut self, account: u64) -> UserIx {
        let user = UserIx(self.users.len() as u32);
        self.users.push(User { account, rooms: Vec::new() });
        self.accounts.insert(account, user);
        user
    }

    /// A room, by its number; the books begin after `base`.
    pub fn add_room(&mut self, number: u32, base: u64) -> RoomIx {
        let room = RoomIx(self.rooms.len() as u32);
        self.rooms.push(Room::new(number, base));
        self.numbers.insert(number, room);
        room
    }

    /// A send is about to leave, for the first time. Its name is `origin_id(ix)`.
    pub fn sent(&mut self, user: UserIx, room: RoomIx, intended: Nanos, digest: u64) -> SendIx {
        let ix = SendIx(self.sends.len() as u32);
        self.rooms[room.0 as usize].caused += 1;
        self.open += 1;
        self.sends.push(Send {
            intended,
            digest,
            seq: 0,
            n: 0,
            room,
            user,
            heard: 0,
            last_us: 0,
            attempts: 1,
            state: State::Open,
            twice: false,
            kept: false,
            shown: Shown::Unread,
        });
        self.said(ix, room);
        ix
    }

    /// The same send leaves again, under its name.
    pub fn sent_again(&mut self, ix: SendIx) {
        let send = &mut self.sends[ix.0 as usize];
        send.attempts = send.attempts.saturating_add(1);
        if send.state == State::Refused {
            send.state = State::Open;
            self.open += 1;
            self.counts.refused -= 1;
        }
    }

    /// The name of a send.
    pub fn origin_id(&self, ix: SendIx) -> String {
        format!("{}{:08x}", self.prefix, ix.0)
    }

    /// When a send should have left.
    pub fn intended(&self, ix: SendIx) -> Nanos {
        self.sends[ix.0 as usize].intended
    }

    /// Sends made so far.
    pub fn sends(&self) -> u64 {
        self.sends.len() as u64
    }

    /// Sends without an answer.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Deliveries of posts so far.
    pub fn deliveries(&self) -> u64 {
        self.counts.deliveries
    }

    /// The server says that the send has its place. When it should have left, if this is its first
    /// ack.
    pub fn acked(&mut self, ix: SendIx, posted: &Posted) -> Option<Nanos> {
        let room = self.sends[ix.0 as usize].room;
        let number = self.rooms[room.0 as usize].number;
        let fault = |kind, what: String| Fault { side: Side::Sends, kind, what };
        if posted.room != number {
            let what = format!("send {} in room {number} was acked in {}", ix.0, posted.room);
            self.faults.add(fault(Kind::Foreign, what));
            return None;
        }
        let send = &mut self.sends[ix.0 as usize];
        if posted.repeat && send.attempts == 1 {
            let what = format!("send {} was acked as a repeat, but left only once", ix.0);
            self.faults.add(fault(Kind::Duplicated, what));
        }
        if self.durable && !posted.durable {
            let what = format!("send {} asked for durable and was acked for less", ix.0);
            self.faults.add(fault(Kind::Lost, what));
        }
        self.counts.repeats += u64::from(posted.repeat);
        let first = send.state != State::Acked;
        if send.state == State::Open {
            self.open -= 1;
        } else if send.state == State::Refused {
            self.counts.refused -= 1;
        }
        send.state = State::Acked;
        let (user, attempts, intended) = (send.user, send.attempts, send.intended);
        if first {
            self.counts.acked += 1;
        }
        if !self.has_places(room) {
            self.said_was_acked(ix);
            return first.then_some(intended);
        }
        self.place_send(ix, posted.seq, posted.n, None, "ack");
        if attempts == 1
            && let Some(listener) = self.listener_of(user, number)
        {
            let listener = &mut self.listeners[listener as usize];
            if posted.seq <= listener.acked {
                let (seq, before) = (posted.seq, listener.acked);
                let what = format!("send {} stands at {seq}, one sent before it at {before}", ix.0);
                self.faults.add(fault(Kind::Reordered, what));
            }
            listener.acked = listener.acked.max(posted.seq);
        }
        first.then_some(intended)
    }

    /// The server refused the send; it may be sent again.
    pub fn refused(&mut self, ix: SendIx) {
        let send = &mut self.sends[ix.0 as usize];
        if send.state == State::Open {
            send.state = State::Refused;
            self.open -= 1;
            self.counts.refused += 1;
        }
    }

    /// An event arrived on the user's connection. A message intended before `live_since` is late by
    /// the user's own doing.
    pub fn delivered(
        &mut self,
        user: UserIx,
        event: &Event<'_>,
        now: Nanos,
        live_since: Nanos,
    ) -> Option<Receipt> {
        let heard = self.listener_of(user, event.room);
        let Some(ix) = heard.filter(|ix| self.listeners[*ix as usize].hears()) else {
            let what = format!("user {} does not listen to room {}", user.0, event.room);
            self.foreign(format!("{what} and was told its event {}", event.seq));
            return None;
        };
        let room = self.listeners[ix as usize].room;
        let send = match self.told(room, event) {
            None => {
                self.foreign(format!("room {}: {event:?} was never asked for so", event.room));
                return None;
            }
            Some(Told::Post(send, n)) => {
                self.counts.deliveries += 1;
                self.place_send(send, event.seq, n, Some(Besides::of(event)), "delivery");
                Some(send)
            }
            Some(Told::Mark(mark)) => {
                self.counts.notices += 1;
                self.place_mark(room, event.seq, mark, Some(Besides::of(event)), "delivery");
                None
            }
        };
        let step = match send.filter(|_| !self.has_places(room)) {
            Some(send) if !self.heard_without_place(ix, send) => return None,
            Some(_) => Step::Next,
            None if !self.has_places(room) => return None,
            None => self.listeners[ix as usize].take(event.seq, event.prev, send.is_some()),
        };
        match step {
            Step::Next => {}
            Step::Late => {
                let what = format!("user {}, room {}: {} came late", user.0, event.room, event.seq);
                self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Reordered, what });
            }
            Step::Again => {
                let what = format!("user {}, room {}: {} again", user.0, event.room, event.seq);
                self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Duplicated, what });
                return None;
            }
        }
        self.rooms[room.0 as usize].pushed(event.seq);
        let listening = self.rooms[room.0 as usize].listening;
        let send = &mut self.sends[send?.0 as usize];
        let mut receipt =
            Receipt { room, intended: send.intended, first: false, median: false, live: false };
        if send.intended >= live_since {
            send.heard += 1;
            send.last_us = now.since(send.intended).as_micros().min(u128::from(u32::MAX)) as u32;
            receipt.live = true;
            receipt.first = send.heard == 1;
            receipt.median = send.heard == listening.div_ceil(2).max(1);
        }
        Some(receipt)
    }

    /// Whether the user listens to the room, or did when its connection was lost.
    pub fn is_member(&self, user: UserIx, room: RoomIx) -> bool {
        let listener = self.listener_of(user, self.number(room));
        listener.is_some_and(|listener| !self.listeners[listener as usize].is_out())
    }

    /// The server's number of a room.
    pub fn number(&self, room: RoomIx) -> u32 {
        self.rooms[room.0 as usize].number
    }

    /// Where a send goes.
    pub fn room_of(&self, ix: SendIx) -> RoomIx {
        self.sends[ix.0 as usize].room
    }

    /// Live listeners that have not heard all of what is known to have been said.
    pub fn behind(&self) -> u64 {
        let behind =
            |it: &&Listener| it.hears() && it.last() < self.rooms[it.room.0 as usize].newest_post;
        self.listeners.iter().filter(behind).count() as u64 + self.behind_without_places()
    }

    /// Listeners whose connection was lost and that have not resumed.
    pub fn away(&self) -> u64 {
        self.listeners.iter().filter(|it| !it.is_live() && !it.is_out()).count() as u64
    }

    fn known(&self, room: RoomIx, account: u64, origin_id: &str) -> Option<SendIx> {
        let ix = origin_id.strip_prefix(&self.prefix).filter(|rest| rest.len() == 8)?;
        let ix = u32::from_str_radix(ix, 16).ok()?;
        let send = self.sends.get(ix as usize)?;
        let author = self.users[send.user.0 as usize].account;
        let same = send.room == room && author == account;
        same.then_some(SendIx(ix))
    }

    /// A send stands at a place, says the teller: everything that is known of either must agree.
    fn place_send(&mut self, ix: SendIx, seq: u64, n: u64, besides: Option<Besides>, teller: &str) {
        if !self.has_places(self.sends[ix.0 as usize].room) {
            return;
        }
        let send = &mut self.sends[ix.0 as usize];
        let room = send.room;
        if send.seq == 0 {
            (send.seq, send.n) = (seq, n);
        } else if send.seq != seq {
            if !std::mem::replace(&mut send.twice, true) {
                let at = send.seq;
                let what = format!("send {} stands at {at}, and at {seq} by its {teller}", ix.0);
                self.faults.add(Fault { side: Side::Sends, kind: Kind::Duplicated, what });
            }
        } else if send.n != n {
            let what = format!("send {} is post {}, and {n} by its {teller}", ix.0, send.n);
            self.faults.add(Fault { side: Side::Sends, kind: Kind::Reordered, what });
        }
        self.place(room, seq, Mark::post(ix), besides, teller);
    }

    fn place(
        &mut self,
        room: RoomIx,
        seq: u64,
        mark: Mark,
        besides: Option<Besides>,
        teller: &str,
    ) {
        if !self.has_places(room) {
            return;
        }
        if let Err(why) = self.rooms[room.0 as usize].place(seq, mark, besides) {
            let what =
                format!("room {}, {seq}: {teller}: {why}", self.rooms[room.0 as usize].number);
            self.faults.add(Fault { side: Side::Sends, kind: Kind::Reordered, what });
        }
    }

    fn foreign(&mut self, what: String) {
        self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Foreign, what });
    }

    fn listener_of(&self, user: UserIx, number: u32) -> Option<u32> {
        let rooms = &self.users[user.0 as usize].rooms;
        if let [only] = rooms[..] {
            return (only.0 == number).then_some(only.1);
        }
        rooms.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| rooms[at].1)
    }

    fn listener_for(&mut self, user: UserIx, room: RoomIx) -> u32 {
        let number = self.rooms[room.0 as usize].number;
        let rooms = &mut self.users[user.0 as usize].rooms;
        match rooms.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => rooms[at].1,
            Err(at) => {
                let ix = self.listeners.len() as u32;
                rooms.insert(at, (number, ix));
                self.listeners.push(Listener::new(user, room));
                ix
            }
        }
    }

    fn close_span(&mut self, listener: u32, to: u64, ended: Ended) {
        let listener = &mut self.listeners[listener as usize];
        self.spans.push(Span {
            room: listener.room,
            user: listener.user,
            from: listener.from(),
            made: listener.made(),
            heard: listener.heard(),
            to,
            posts: listener.posts(),
            holes: listener.holes().collect(),
            doubt: listener.doubt(),
            ended,
        });
    }

    /// What was heard so far is checked up to the last place heard; what may have been on its way
    /// is not.
    fn end_in_doubt(&mut self, listener: u32) {
        let state = &self.listeners[listener as usize];
        if state.is_out() {
            return;
        }
        if state.is_live() {
            self.rooms[state.room.0 as usize].listening -= 1;
        }
        self.counts.doubted += 1;
        let to = state.last();
        self.stay_is_lost(listener);
        self.close_span(listener, to, Ended::InDoubt);
        self.listeners[listener as usize].end();
    }
}

#[cfg(test)]
mod tests;
