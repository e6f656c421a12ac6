//! Closing the books: history is read back, spans are counted, and every difference has a name.

use std::collections::HashMap;

use serde::Serialize;

use super::listener::Doubt;
use super::placeless::Unproved;
use super::room::{Besides, Room};
use super::{Ledger, RoomIx, SendIx, Shown, State, Told, UserIx};
use crate::drivers::{Event, Now, What};

/// Faults described in words; the others are counted.
const DESCRIBED_MAX: usize = 50;

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The room's order and what was promised to senders.
    Sends,
    /// What members were told.
    Deliveries,
}

/// The four ways to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Promised and not there.
    Lost,
    /// There twice.
    Duplicated,
    /// There at another place, or late.
    Reordered,
    /// There and never sent, or told to one who may not hear it.
    Foreign,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// About what.
    pub side: Side,
    /// Of which kind.
    pub kind: Kind,
    /// In words.
    pub what: String,
}

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Promised and not there.
    pub lost: u64,
    /// There twice.
    pub duplicated: u64,
    /// There at another place, or late.
    pub reordered: u64,
    /// There and never sent, or told to one who may not hear it.
    pub foreign: u64,
}

impl Tally {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.lost + self.duplicated + self.reordered + self.foreign
    }

    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Lost => &mut self.lost,
            Kind::Duplicated => &mut self.duplicated,
            Kind::Reordered => &mut self.reordered,
            Kind::Foreign => &mut self.foreign,
        }
    }
}

/// The faults so far.
#[derive(Debug, Default)]
pub struct Faults {
    sends: Tally,
    deliveries: Tally,
    described: Vec<Fault>,
}

impl Faults {
    pub fn add(&mut self, fault: Fault) {
        self.add_many(1, fault);
    }

    pub fn add_many(&mut self, count: u64, fault: Fault) {
        if count == 0 {
            return;
        }
        let tally = match fault.side {
            Side::Sends => &mut self.sends,
            Side::Deliveries => &mut self.deliveries,
        };
        *tally.of(fault.kind) += count;
        if self.described.len() < DESCRIBED_MAX {
            self.described.push(fault);
        }
    }
}

/// A stretch through which a user was entitled to everything, and how many posts it took of it.
#[derive(Clone, Debug)]
pub struct Span {
    pub room: RoomIx,
    pub user: UserIx,
    pub from: u64,
    /// How many sends had been made when the server named it: those that were made later stand behind it.
    pub made: u32,
    /// The newest event taken.
    pub heard: u64,
    pub to: u64,
    pub posts: u32,
    /// Stretches (above, below) that were skipped, by the chain of what was pushed.
    pub holes: Vec<(u64, u64)>,
    /// What the room's order has to decide.
    pub doubt: Option<Doubt>,
    pub ended: Ended,
}

/// Why a span ended where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A leave was acked at the next place.
    Left,
    /// A resume said that it had caught up.
    Resumed,
    /// The run was over.
    Over,
    /// Its user went, after it had heard all that was known to have been said.
    Gone,
    /// What ended it was lost; it is judged up to its last event.
    InDoubt,
}

/// What came of a run's promises.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Sends made, repeats not counted.
    pub sends: u64,
    /// Of these, acknowledged.
    pub acked: u64,
    /// Refused for good.
    pub refused: u64,
    /// Never answered, though the connection stood or came back; files among them.
    pub unanswered: u64,
    /// Of the unanswered, found in history.
    pub unanswered_kept: u64,
    /// Acks that said *repeat*: the send had arrived before the connection was lost.
    pub repeats: u64,
    /// Edits, deletions and reactions that were acknowledged.
    pub changes: u64,
    /// Members put out, acknowledged.
    pub removals: u64,
    /// Sends refused because their sender had been put out.
    pub refused_outside: u64,
    /// Files that the server has as they were sent.
    pub files: u64,
    /// Files of messages fetched by members, each with its bytes.
    pub fetches: u64,
    /// Asked for by one who might not read the message, and refused.
    pub fetches_refused: u64,
    /// Asked for by one who came or went meanwhile, or of a message that did: either answer is right.
    pub fetches_doubted: u64,
    /// Posts told to members.
    pub deliveries: u64,
    /// Posts that members were entitled to.
    pub deliveries_due: u64,
    /// Other events told to members: of membership, and what was done to messages.
    pub notices: u64,
    /// Resumes that were completed.
    pub resumed: u64,
    /// Spans whose tail is in doubt, because the leave or the resume that ended them was lost.
    pub doubted: u64,
    /// Listeners that never came back.
    pub away: u64,
    /// Events read back from history.
    pub history: u64,
    /// Rooms of which all history was read back.
    pub rooms_read: u64,
    /// Rooms of the run.
    pub rooms: u64,
    /// What cannot be proved, because the server tells no places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unproved: Option<Unproved>,
    /// Faults of the order and of promises.
    pub send_faults: Tally,
    /// Faults of what was told.
    pub delivery_faults: Tally,
    /// The first of the faults, in words.
    pub described: Vec<Fault>,
}

impl Verdict {
    /// No fault, nothing unanswered, everybody back, and all of history read.
    pub fn is_clean(&self) -> bool {
        self.send_faults.sum() + self.delivery_faults.sum() + self.unanswered + self.away == 0
            && self.rooms_read == self.rooms
    }
}

impl Ledger {
    /// Where to read a room's history from: the page after this place is wanted. `None`: all was
    /// read.
    pub fn page_wanted(&self, room: RoomIx) -> Option<u64> {
        let room = &self.rooms[room.0 as usize];
        (!room.read_all && !room.placeless).then_some(room.read)
    }

    /// A page of history arrived.
    pub fn page(&mut self, room: RoomIx, events: &[Event<'_>], more: bool) {
        let ix = room.0 as usize;
        for event in events {
            let (number, expected) = (self.rooms[ix].number, self.rooms[ix].read + 1);
            if event.room != number || event.seq != expected {
                let what = format!(
                    "history of room {number} has {}/{} where {expected} belongs",
                    event.room, event.seq
                );
                let kind = if event.seq < expected { Kind::Duplicated } else { Kind::Lost };
                self.faults.add(Fault { side: Side::Sends, kind, what });
                if event.room != number || event.seq < expected {
                    continue;
                }
            }
            self.rooms[ix].read = event.seq;
            self.read_back(room, event);
        }
        self.rooms[ix].read_all = !more || events.is_empty();
    }

    fn read_back(&mut self, room: RoomIx, event: &Event<'_>) {
        if let What::Posted { n, .. } = event.what {
            self.dense(room, n);
        }
        match self.told(room, event) {
            None => {
                let what = format!("history has {event:?}, which was never asked for so");
                self.faults.add(Fault { side: Side::Sends, kind: Kind::Foreign, what });
            }
            Some(Told::Post(send, n)) => {
                let it = &mut self.sends[send.0 as usize];
                it.kept = true;
                if let What::Posted { now, .. } = event.what {
                    it.shown = match now {
                        Now::AsSent => Shown::AsSent,
                        Now::Edited(_) => Shown::Edited,
                        Now::Deleted => Shown::Deleted,
                    };
                }
                self.place_send(send, event.seq, n, Some(Besides::of(event)), "history");
            }
            Some(Told::Mark(mark)) => {
                if let What::Changed { digest, .. } = event.what {
                    self.change_is_shown(room, mark, digest);
                }
                self.place_mark(room, event.seq, mark, Some(Besides::of(event)), "history");
            }
        }
    }

    fn dense(&mut self, room: RoomIx, n: u64) {
        let room = &mut self.rooms[room.0 as usize];
        let before = room.read_n.replace(n);
        if before.is_some_and(|before| n != before + 1) {
            let what = format!("room {}: post {n} follows {before:?}", room.number);
            self.faults.add(Fault { side: Side::Sends, kind: Kind::Reordered, what });
        }
    }

    /// Closes the books. Nothing may be told afterwards.
    pub fn verdict(mut self) -> Verdict {
        let away = self.away();
        for listener in 0..self.listeners.len() as u32 {
            if self.listeners[listener as usize].is_live() {
                let room = self.listeners[listener as usize].room;
                let last = self.listeners[listener as usize].last();
                let room = &self.rooms[room.0 as usize];
                let head = room.base + room.slots().count() as u64;
                let to = head.max(last);
                self.close_span(listener, to, Ended::Over);
            } else {
                self.end_in_doubt(listener);
            }
        }
        for room in 0..self.rooms.len() as u32 {
            self.judge_room(RoomIx(room));
        }
        let unproved = self.judge_without_places();
        let due = unproved.map_or(0, |it| it.due);
        let deliveries_due = self.judge_spans() + due;
        self.judge_sends();
        self.judge_changes();
        let unanswered = self.sends.iter().filter(|send| send.state == State::Open);
        let unanswered_kept = unanswered.filter(|send| send.kept).count() as u64;
        Verdict {
            sends: self.sends.len() as u64,
            acked: self.counts.acked,
            refused: self.counts.refused,
            unanswered: self.open + self.counts.files_unanswered,
            unanswered_kept,
            repeats: self.counts.repeats,
            changes: self.counts.changes,
            removals: self.counts.removals,
            refused_outside: self.counts.refused_outside,
            files: self.counts.files,
            fetches: self.counts.fetches,
            fetches_refused: self.counts.fetches_refused,
            fetches_doubted: self.counts.fetches_doubted,
            deliveries: self.counts.deliveries,
            deliveries_due,
            notices: self.counts.notices,
            resumed: self.counts.resumed,
            doubted: self.counts.doubted - away,
            away,
            history: self.rooms.iter().map(|room| room.read - room.base).sum(),
            rooms_read: self.rooms.iter().filter(|room| room.read_all).count() as u64,
            rooms: self.rooms.len() as u64,
            unproved,
            send_faults: self.faults.sends,
            delivery_faults: self.faults.deliveries,
            described: self.faults.described,
        }
    }

    /// For each send that was heard: where, and when the last of those who heard it did, after it
    /// should have left, in microseconds.
    pub fn last_heard(&self) -> impl Iterator<Item = (RoomIx, u64)> + '_ {
        let heard = self.sends.iter().filter(|send| send.heard > 0);
        heard.map(|send| (send.room, u64::from(send.last_us)))
    }

    /// Events known of but denied by history, links of the chain that pass over a post, and more coming and going
    /// than was asked for.
    fn judge_room(&mut self, ix: RoomIx) {
        let room = &self.rooms[ix.0 as usize];
        let number = room.number;
        let mut told = Vec::new();
        for (seq, slot) in room.slots() {
            if room.read_all && seq > room.read && slot.is_known() && !slot.mark.is_post() {
                told.push((Kind::Foreign, format!("room {number}: history denies {seq}")));
            }
        }
        for seq in room.broken_links() {
            let what = format!("room {number}: the event pushed before {seq} is not the one told");
            told.push((Kind::Reordered, what));
        }
        for (account, (joins, leaves)) in room.moves() {
            let asked = self.moves.of(ix, account);
            for (word, is, asked) in
                [("joins", joins, asked.joins), ("leaves", leaves, asked.leaves)]
            {
                if is > asked {
                    let what = format!("room {number} has {is} {word} of account {account}");
                    told.push((Kind::Foreign, format!("{what}, which asked for {asked}")));
                }
            }
        }
        for (kind, what) in told {
            self.faults.add(Fault { side: Side::Sends, kind, what });
        }
    }

    fn judge_spans(&mut self) -> u64 {
        let mut spans = std::mem::take(&mut self.spans);
        spans.sort_unstable_by_key(|span| span.room);
        let mut due = 0;
        for of_room in spans.chunk_by(|a, b| a.room == b.room) {
            let order = Order::of(&self.rooms[of_room[0].room.0 as usize]);
            for span in of_room {
                let account = self.users[span.user.0 as usize].account;
                self.counts.doubted += u64::from(span.doubt.is_some());
                due += order.judge(span, account, &mut self.faults);
            }
        }
        due
    }

    /// Every acked send is in history; what was heard is in history; what was refused is not. One that was sent
    /// again may have been kept at first, and its sender have been put out by the second time.
    fn judge_sends(&mut self) {
        for (ix, send) in self.sends.iter().enumerate() {
            let room = &self.rooms[send.room.0 as usize];
            let number = room.number;
            if send.kept && send.state == State::Refused && send.attempts == 1 {
                let at = send.seq;
                let what = format!("send {ix} was refused, and history has it at {number}/{at}");
                self.faults.add(Fault { side: Side::Sends, kind: Kind::Foreign, what });
            }
            if send.kept || !room.read_all {
                continue;
            }
            if send.state == State::Acked {
                let at = send.seq;
                let what = format!("send {ix} was acked at {number}/{at} and history denies it");
                self.faults.add(Fault { side: Side::Sends, kind: Kind::Lost, what });
            } else if send.seq != 0 {
                let what = format!("send {ix} was told at {number}/{} only live", send.seq);
                self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Foreign, what });
            }
        }
    }
}

/// A room's order, in the forms that spans are judged by.
struct Order {
    number: u32,
    base: u64,
    /// Posts at or below each place.
    posts: Vec<u32>,
    /// How many sends had been made when the newest at or below each place was.
    made: Vec<u32>,
    /// Places of membership events that were pushed.
    notices: Vec<u64>,
    /// Joins (`true`) and leaves of each account.
    moves: HashMap<u64, Vec<(u64, bool)>>,
}

impl Order {
    fn of(room: &Room) -> Self {
        Self {
            number: room.number,
            base: room.base,
            posts: room.posts_up_to(),
            made: room.newest_up_to(),
            notices: room.notices(),
            moves: room.memberships(),
        }
    }

    /// Counts what the span lacks and what it should not have; how many posts were due.
    fn judge(&self, span: &Span, account: u64, faults: &mut Faults) -> u64 {
        let Span { user, from, to, posts, ended, .. } = *span;
        let side = Side::Deliveries;
        let where_ = format!("user {}, room {}", user.0, self.number);
        let (mut due, mut taken, mut surely_from) = (self.posts(from, to), posts, from);
        let doubt = span.doubt.as_ref();
        if let Some(doubt) = doubt
            && let Some(back) = self.back(account, doubt.lost_at, to)
        {
            // Between the last place heard and its join, either is right: it may have been told before the
            // leave, and who is a member again may read what was said while it was none.
            taken -= doubt.posts.iter().filter(|place| **place < back).count() as u32;
            due = self.posts(from, doubt.lost_at) + self.posts(back, to);
            surely_from = back;
        }
        let what = format!("{where_}, after {from} up to {to} ({ended:?}): {taken} posts of {due}");
        let (kind, count) =
            if taken < due { (Kind::Lost, due - taken) } else { (Kind::Foreign, taken - due) };
        faults.add_many(u64::from(count), Fault { side, kind, what });
        if self.made[self.at(from)] > span.made {
            let what =
                format!("{where_}: live after {from}, below which stands what was said later");
            faults.add(Fault { side, kind: Kind::Lost, what });
        }
        let tail = (span.heard < to).then_some((span.heard, to + 1));
        for (after, before) in span.holes.iter().copied().chain(tail) {
            let after = after.max(surely_from);
            let below = |place: u64| self.notices.partition_point(|notice| *notice < place);
            let missed = below(before).saturating_sub(below(after + 1)) as u64;
            let between =
                format!("events that are no posts, between {after} and {before} ({ended:?})");
            let what = format!("{where_}: {missed} {between}");
            faults.add_many(missed, Fault { side, kind: Kind::Lost, what });
        }
        u64::from(due)
    }

    /// Posts above `from`, up to `to`.
    fn posts(&self, from: u64, to: u64) -> u32 {
        self.posts[self.at(to.max(from))] - self.posts[self.at(from)]
    }

    /// Where a place is in what is kept of each.
    fn at(&self, seq: u64) -> usize {
        (seq.saturating_sub(self.base) as usize).min(self.posts.len() - 1)
    }

    /// The last join of the account above `after` and up to `to`: it had left before.
    fn back(&self, account: u64, after: u64, to: u64) -> Option<u64> {
        let moves = self.moves.get(&account)?;
        let mut back =
            moves.iter().rev().filter(|(seq, joined)| *joined && *seq > after && *seq <= to);
        back.next().map(|(seq, _)| *seq)
    }
}

impl SendIx {
    /// As a number, for messages.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
