//! Rooms of a server that tells no places: what can be known there of who had to hear what, and what cannot.
//!
//! Neighbours: `mod` and `membership` tell what was said, acked and joined, one thing after the other; `verdict`
//! closes the books. Where a room has places, nothing here is asked.
//!
//! Without places there is no order that all tellers tell, no page that names what is missing, nothing to resume
//! from. What is left is *before* and *after*, as the lab itself saw it: what was sent after a join was acked was
//! said to a member, and so was what was acked before it asked to leave. That is due, and **lost** where it was not
//! heard. What was under way while somebody came or went may have been said before or after: it is the window of
//! doubt, which is counted and printed, and never taken for right. A connection that is lost ends a stay: due is
//! what was acked before the newest that was heard on it was sent. What was acked is read back nowhere, and in which
//! order it was told is not compared: a run against such a server is never a pass.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{Fault, Kind, Ledger, RoomIx, SendIx, Side, State, UserIx};

/// The books are told one thing after another: this is which.
type Moment = u64;
/// Has not come yet.
const NEVER: Moment = Moment::MAX;

/// What is known without places.
#[derive(Debug, Default)]
pub(super) struct Placeless {
    now: Moment,
    sends: HashMap<u32, Said>,
    stays: Vec<Stay>,
    /// Those that last, by their listener.
    lasting: HashMap<u32, usize>,
}

/// One send.
#[derive(Clone, Copy, Debug)]
struct Said {
    sent: Moment,
    acked: Moment,
}

/// One user in one room, from a join to a leave.
#[derive(Debug)]
struct Stay {
    user: UserIx,
    room: RoomIx,
    joined: Moment,
    /// What was acked before this was due.
    leaving: Moment,
    /// What was sent after this was not.
    left: Moment,
    /// When the newest was sent that it heard.
    heard_up_to: Moment,
    heard: HashSet<u32>,
}

/// What a run cannot prove, because the server tells no places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unproved {
    /// Rooms without places: their order was not compared, and no history of theirs was read back.
    pub rooms: u64,
    /// Sends to them that were acked, and so are not known to be kept.
    pub acked: u64,
    /// Deliveries that were surely due.
    pub due: u64,
    /// The window of doubt: deliveries that may or may not have been due.
    pub in_doubt: u64,
    /// Of those, that came.
    pub in_doubt_heard: u64,
}

impl Unproved {
    /// For a person.
    pub fn words(&self) -> String {
        let Self { rooms, acked, due, in_doubt, in_doubt_heard } = self;
        format!(
            "the server tells no places in {rooms} rooms: {due} deliveries were surely due; of {in_doubt} more nobody \
             can say whether they were (the window of doubt; {in_doubt_heard} of them came); the order was not \
             compared, and none of {acked} acked sends was read back"
        )
    }
}

impl Ledger {
    /// A room, by its number, as its maker was told of its join: by the event at a place, live from a place on. Who
    /// has made a room stands at some place of it, unless the server tells none: then nothing is compared by places.
    pub fn room_made(&mut self, number: u32, told: (u64, u64)) -> RoomIx {
        let room = self.add_room(number, 0);
        self.rooms[room.0 as usize].placeless = told == (0, 0);
        room
    }

    /// Whether the server tells the places of a room.
    pub fn has_places(&self, room: RoomIx) -> bool {
        !self.rooms[room.0 as usize].placeless
    }

    /// A user is about to ask to leave a room: what is acked from now on may be said without it.
    pub(super) fn stay_may_end(&mut self, user: UserIx, room: RoomIx) {
        if self.has_places(room) {
            return;
        }
        let listener = self.listener_for(user, room);
        let now = self.placeless.tick();
        if let Some(stay) = self.placeless.lasting(listener) {
            stay.leaving = stay.leaving.min(now);
        }
    }

    pub(super) fn said(&mut self, ix: SendIx, room: RoomIx) {
        if !self.has_places(room) {
            let sent = self.placeless.tick();
            self.placeless.sends.insert(ix.0, Said { sent, acked: NEVER });
        }
    }

    pub(super) fn said_was_acked(&mut self, ix: SendIx) {
        let now = self.placeless.tick();
        if let Some(said) = self.placeless.sends.get_mut(&ix.0) {
            said.acked = said.acked.min(now);
        }
    }

    /// A listener begins to hear a room.
    pub(super) fn stay_begins(&mut self, listener: u32) {
        let (user, room) = {
            let it = &self.listeners[listener as usize];
            (it.user, it.room)
        };
        if self.has_places(room) {
            return;
        }
        let joined = self.placeless.tick();
        let (leaving, left) = (NEVER, NEVER);
        let heard = HashSet::new();
        self.placeless.lasting.insert(listener, self.placeless.stays.len());
        let stay = Stay { user, room, joined, leaving, left, heard_up_to: joined, heard };
        self.placeless.stays.push(stay);
    }

    /// It was told that it has left.
    pub(super) fn stay_ends(&mut self, listener: u32) {
        let now = self.placeless.tick();
        if let Some(stay) = self.placeless.lasting(listener) {
            (stay.leaving, stay.left) = (stay.leaving.min(now), now);
        }
        self.placeless.lasting.remove(&listener);
    }

    /// Its connection is gone, and with it what was on its way.
    pub(super) fn stay_is_lost(&mut self, listener: u32) {
        let now = self.placeless.tick();
        if let Some(stay) = self.placeless.lasting(listener) {
            (stay.leaving, stay.left) = (stay.leaving.min(stay.heard_up_to), now);
        }
        self.placeless.lasting.remove(&listener);
    }

    /// A listener was told a send; false where it had heard it before.
    pub(super) fn heard_without_place(&mut self, listener: u32, ix: SendIx) -> bool {
        let sent = self.placeless.sends.get(&ix.0).map_or(0, |said| said.sent);
        let Some(stay) = self.placeless.lasting(listener) else { return true };
        stay.heard_up_to = stay.heard_up_to.max(sent);
        if stay.heard.insert(ix.0) {
            return true;
        }
        let (user, number) = (stay.user.0, self.rooms[stay.room.0 as usize].number);
        let what = format!("user {user}, room {number}: send {} again", ix.0);
        self.faults.add(Fault { side: Side::Deliveries, kind: Kind::Duplicated, what });
        false
    }

    /// Listeners that lack what is surely due to them.
    pub(super) fn behind_without_places(&self) -> u64 {
        if self.placeless.lasting.is_empty() {
            return 0;
        }
        let of_room = self.sends_of_rooms();
        let lacks = |stay: &&Stay| due(stay, &of_room).any(|ix| !stay.heard.contains(&ix));
        let lasting = self.placeless.lasting.values().map(|at| &self.placeless.stays[*at]);
        lasting.filter(lacks).count() as u64
    }

    /// Sends that were not refused, by their room.
    fn sends_of_rooms(&self) -> HashMap<u32, Vec<(u32, Said)>> {
        let mut of_room: HashMap<u32, Vec<(u32, Said)>> = HashMap::new();
        for (ix, said) in &self.placeless.sends {
            let send = &self.sends[*ix as usize];
            if send.state != State::Refused {
                of_room.entry(send.room.0).or_default().push((*ix, *said));
            }
        }
        of_room
    }

    /// What is known when all is over; none where every room has places.
    pub(super) fn judge_without_places(&mut self) -> Option<Unproved> {
        let rooms = self.rooms.iter().filter(|room| room.placeless).count() as u64;
        if rooms == 0 {
            return None;
        }
        let mut unproved = Unproved { rooms, ..Unproved::default() };
        let of_room = self.sends_of_rooms();
        let all = of_room.values().flatten();
        unproved.acked = all.filter(|(_, said)| said.acked != NEVER).count() as u64;
        let mut lost = Vec::new();
        for stay in &self.placeless.stays {
            let due: HashSet<u32> = due(stay, &of_room).collect();
            unproved.due += due.len() as u64;
            let lacks = due.difference(&stay.heard).count();
            if lacks > 0 {
                let number = self.rooms[stay.room.0 as usize].number;
                let (user, due) = (stay.user.0, due.len());
                let what = format!("user {user}, room {number}: {lacks} posts of {due}");
                lost.push((lacks as u64, what));
            }
            // Neither before it came nor after it went, and not surely while it was there.
            for (ix, said) in of_room.get(&stay.room.0).into_iter().flatten() {
                let outside = said.acked < stay.joined || said.sent > stay.left;
                if !outside && !due.contains(ix) {
                    unproved.in_doubt += 1;
                    unproved.in_doubt_heard += u64::from(stay.heard.contains(ix));
                }
            }
        }
        for (count, what) in lost {
            let fault = Fault { side: Side::Deliveries, kind: Kind::Lost, what };
            self.faults.add_many(count, fault);
        }
        Some(unproved)
    }
}

/// What a stay had to hear.
fn due<'a>(
    stay: &'a Stay,
    of_room: &'a HashMap<u32, Vec<(u32, Said)>>,
) -> impl Iterator<Item = u32> + 'a {
    let all = of_room.get(&stay.room.0).into_iter().flatten();
    let due = move |(_, said): &&(u32, Said)| said.sent > stay.joined && said.acked < stay.leaving;
    all.filter(due).map(|(ix, _)| *ix)
}

impl Placeless {
    fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    fn lasting(&mut self, listener: u32) -> Option<&mut Stay> {
        let at = self.lasting.get(&listener)?;
        self.stays.get_mut(*at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::drivers::{Event, NAMELESS, Now, Posted, What};
    use crate::ledger::Verdict;

    const NUMBER: u32 = 7;

    /// Two accounts in a room without places; the first hears it.
    struct Books {
        ledger: Ledger,
        room: RoomIx,
        users: [UserIx; 2],
    }

    impl Books {
        fn new() -> Self {
            let mut ledger = Ledger::new(1);
            let users = [ledger.add_user(101), ledger.add_user(102)];
            let room = ledger.room_made(NUMBER, (0, 0));
            ledger.joined(users[0], room, 0, 0);
            Self { ledger, room, users }
        }

        fn send(&mut self) -> SendIx {
            self.ledger.sent(self.users[0], self.room, Nanos(0), 5)
        }

        fn ack(&mut self, ix: SendIx) {
            let posted =
                Posted { room: NUMBER, seq: 0, n: 0, repeat: false, durable: true, trace: None };
            assert!(self.ledger.acked(ix, &posted).is_some());
        }

        fn tell(&mut self, user: usize, ix: SendIx) -> bool {
            let origin_id = self.ledger.origin_id(ix);
            let (n, now) = (0, Now::AsSent);
            let what = What::Posted { n, user: 101, origin_id: &origin_id, digest: 5, now };
            let (seq, at, names) = (0, 0, NAMELESS);
            let event = Event { room: NUMBER, seq, prev: 0, at, names, what };
            self.ledger.delivered(self.users[user], &event, Nanos(9), Nanos(0)).is_some()
        }

        /// Said, acked, and told to these.
        fn say(&mut self, to: &[usize]) {
            let ix = self.send();
            self.ack(ix);
            for user in to {
                assert!(self.tell(*user, ix));
            }
        }

        fn close(self) -> (Verdict, Unproved) {
            let verdict = self.ledger.verdict();
            let unproved = verdict.unproved.unwrap();
            (verdict, unproved)
        }
    }

    fn faults(verdict: &Verdict) -> (u64, u64) {
        (verdict.send_faults.sum(), verdict.delivery_faults.sum())
    }

    #[test]
    fn what_was_said_to_a_member_from_beginning_to_end_is_due_and_nothing_is_proved() {
        let mut books = Books::new();
        books.ledger.joined(books.users[1], books.room, 0, 0);
        (0..3).for_each(|_| books.say(&[0, 1]));
        let (verdict, unproved) = books.close();
        assert_eq!(faults(&verdict), (0, 0), "{:?}", verdict.described);
        let window = (unproved.in_doubt, unproved.in_doubt_heard);
        assert_eq!((unproved.rooms, unproved.acked, unproved.due, window), (1, 3, 6, (0, 0)));
        assert_eq!((verdict.deliveries, verdict.deliveries_due), (6, 6));
        assert!(!verdict.is_clean(), "its history was not read");
    }

    #[test]
    fn what_is_under_way_while_one_comes_or_goes_is_in_doubt_whether_it_came_or_not() {
        let mut books = Books::new();
        books.say(&[0]);
        let [early, late] = [books.send(), books.send()];
        books.ledger.joined(books.users[1], books.room, 0, 0);
        for ix in [early, late] {
            books.ack(ix);
            assert!(books.tell(0, ix));
        }
        assert!(books.tell(1, late), "one of the two came");
        books.say(&[0, 1]);
        // One more while it goes.
        books.ledger.asks_to_leave(books.users[1], books.room);
        books.say(&[0]);
        books.ledger.left(books.users[1], books.room, 0);
        books.say(&[0]);
        let (verdict, unproved) = books.close();
        assert_eq!(faults(&verdict), (0, 0), "{:?}", verdict.described);
        assert_eq!((unproved.in_doubt, unproved.in_doubt_heard), (3, 1));
        assert_eq!(unproved.due, 6 + 1);
        assert!(unproved.words().contains("of 3 more nobody can say"), "{}", unproved.words());
    }

    #[test]
    fn what_was_surely_due_and_did_not_come_is_lost_and_what_came_twice_is_duplicated() {
        let mut books = Books::new();
        books.ledger.joined(books.users[1], books.room, 0, 0);
        books.say(&[0]);
        assert_eq!(books.ledger.behind(), 1);
        let ix = books.send();
        books.ack(ix);
        assert!(books.tell(0, ix) && books.tell(1, ix) && !books.tell(1, ix));
        let verdict = books.close().0;
        assert_eq!((verdict.delivery_faults.lost, verdict.delivery_faults.duplicated), (1, 1));
    }

    #[test]
    fn one_who_has_left_is_told_nothing_and_a_lost_connection_takes_along_what_was_on_its_way() {
        let mut books = Books::new();
        books.ledger.joined(books.users[1], books.room, 0, 0);
        books.say(&[0]);
        books.say(&[0, 1]);
        books.say(&[0]);
        books.ledger.disconnected(books.users[1]);
        let ix = books.send();
        books.ack(ix);
        assert!(books.tell(0, ix) && !books.tell(1, ix));
        let (verdict, unproved) = books.close();
        // The first was said before what it heard after it; the third may have been on its way.
        assert_eq!(verdict.delivery_faults.lost, 1);
        assert_eq!(verdict.delivery_faults.foreign, 1);
        // The newest that it heard itself, and what came after it.
        assert_eq!((unproved.in_doubt, unproved.in_doubt_heard), (2, 1));
    }
}
