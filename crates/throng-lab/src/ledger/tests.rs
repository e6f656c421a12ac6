//! The ledger against a double of a server that can be told to misbehave, once for each promise.

mod lies;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::drivers::{NAMELESS, called};

const EPOCH: u64 = 1_000;
const NUMBER: u32 = 7;

/// What the double does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sin {
    None,
    /// One delivery is not made.
    Drop,
    /// One delivery is made twice.
    Repeat,
    /// Two deliveries to one listener change places.
    Swap,
    /// One listener is told after it left.
    TellTheGone,
    /// A body is changed on its way to one listener.
    Alter,
    /// An ack names the next place.
    LieInAck,
    /// An acked post is not in history.
    Forget,
    /// A retry becomes a second post.
    PostTwice,
    /// A resume begins one too late.
    ResumeLate,
    /// A resume begins one too early.
    ResumeEarly,
    /// A resume leaves out its last event.
    ResumeShort,
    /// A resume returns nothing and says that nothing happened.
    ResumeNothing,
    /// Two listeners are told different orders.
    TwoOrders,
    /// A post is told and never kept.
    TellUnkept,
    /// The chain of `prev` hides a dropped delivery.
    DropAndHide,
    /// A member event is not told.
    DropNotice,
    /// A send is never answered.
    Silence,
}

#[derive(Clone, Debug, PartialEq)]
enum Happened {
    Post { user: usize, send: SendIx, origin_id: String, digest: u64, n: u64 },
    Joined(usize),
    Left(usize),
}

/// As all are told it.
fn event(seq: u64, what: What<'_>) -> Event<'_> {
    let (at, names) = (1_790_000_000_000 + seq, called(NAMELESS, "somebody"));
    Event { room: NUMBER, seq, prev: seq.saturating_sub(1), at, names, what }
}

/// A server of one small room whose members all listen, and its clients' ledger.
struct Double {
    ledger: Ledger,
    room: RoomIx,
    users: Vec<UserIx>,
    /// Place of each user's newest delivery while connected; `None`: not a member.
    member: Vec<Option<Reader>>,
    order: Vec<Happened>,
    posts: u64,
    now: u64,
    sin: Sin,
    sinned: bool,
    recorded: Vec<Receipt>,
    /// The naive account: the places that each user is entitled to and was not told.
    owed: Vec<Vec<u64>>,
}

#[derive(Clone, Copy)]
struct Reader {
    connected: bool,
}

impl Double {
    fn new(users: usize, sin: Sin) -> Self {
        let mut ledger = Ledger::new(0xabc);
        let room = ledger.add_room(NUMBER, 0);
        let users: Vec<UserIx> = (0..users).map(|i| ledger.add_user(100 + i as u64)).collect();
        let users_len = users.len();
        let member = vec![None; users_len];
        let mut double = Self {
            ledger,
            room,
            users,
            member,
            order: Vec::new(),
            posts: 0,
            now: EPOCH,
            sin,
            sinned: false,
            recorded: Vec::new(),
            owed: vec![Vec::new(); users_len],
        };
        for user in 0..double.users.len() {
            double.join(user);
        }
        double
    }

    /// Whether to sin now; at most once.
    fn sins(&mut self, sin: Sin) -> bool {
        let now = self.sin == sin && !self.sinned;
        self.sinned |= now;
        now
    }

    fn head(&self) -> u64 {
        self.order.len() as u64
    }

    fn join(&mut self, user: usize) {
        self.ledger.asks_to_join(self.users[user], self.room);
        self.happen(Happened::Joined(user));
        let at = self.head();
        self.ledger.joined(self.users[user], self.room, at, at);
        self.member[user] = Some(Reader { connected: true });
    }

    fn leave(&mut self, user: usize) {
        self.ledger.asks_to_leave(self.users[user], self.room);
        let gone = self.member[user].take();
        self.happen(Happened::Left(user));
        self.ledger.left(self.users[user], self.room, self.head());
        if self.sins(Sin::TellTheGone) {
            self.post((user + 1) % self.users.len(), "secret");
            self.tell(user, self.head());
        }
        assert!(gone.is_some());
    }

    fn post(&mut self, user: usize, body: &str) -> SendIx {
        let digest = crate::drivers::digest(body);
        let send = self.ledger.sent(self.users[user], self.room, Nanos(self.now), digest);
        self.commit(user, send, digest);
        if self.sins(Sin::PostTwice) {
            self.ledger.sent_again(send);
            self.commit(user, send, digest);
        }
        send
    }

    fn commit(&mut self, user: usize, send: SendIx, digest: u64) {
        self.posts += 1;
        let origin_id = self.ledger.origin_id(send);
        let n = self.posts;
        self.happen(Happened::Post { user, send, origin_id, digest, n });
        let mut seq = self.head();
        seq += u64::from(self.sins(Sin::LieInAck));
        if self.sins(Sin::Silence) {
            return;
        }
        let posted = Posted { room: NUMBER, seq, n, repeat: false, durable: true, trace: None };
        self.ledger.acked(send, &posted);
    }

    fn happen(&mut self, what: Happened) {
        self.now += 1_000;
        self.order.push(what);
        let seq = self.head();
        for (owed, _) in self.owed.iter_mut().zip(&self.member).filter(|it| it.1.is_some()) {
            owed.push(seq);
        }
        let hearing = |reader: &Option<Reader>| reader.is_some_and(|it| it.connected);
        let hearers: Vec<usize> =
            (0..self.users.len()).filter(|user| hearing(&self.member[*user])).collect();
        let post = matches!(self.order.last(), Some(Happened::Post { .. }));
        for user in hearers {
            let drop = if post { self.sins(Sin::Drop) } else { self.sins_late(Sin::DropNotice) };
            if drop || self.sin == Sin::Swap && post && self.sins(Sin::Swap) {
                continue;
            }
            if post && self.sins(Sin::DropAndHide) {
                continue;
            }
            self.tell(user, seq);
            if self.sin == Sin::Swap && self.sinned && user == 0 && post {
                self.sin = Sin::None;
                self.tell(user, seq - 1);
            }
            if post && self.sins(Sin::Repeat) {
                self.tell(user, seq);
            }
        }
    }

    /// Not among the joins at the beginning.
    fn sins_late(&mut self, sin: Sin) -> bool {
        self.posts > 0 && self.sins(sin)
    }

    fn tell(&mut self, user: usize, seq: u64) {
        let happened = self.order[seq as usize - 1].clone();
        self.owed[user].retain(|place| *place != seq);
        let alter = user == 1 && matches!(happened, Happened::Post { .. }) && self.sins(Sin::Alter);
        let mut place = seq;
        if user == 1 && self.posts > 3 && matches!(happened, Happened::Post { .. }) {
            place += u64::from(self.sins(Sin::TwoOrders));
        }
        let mut prev = seq - 1;
        if self.sin == Sin::DropAndHide && self.sinned && user == 0 {
            prev = seq - 2;
            self.sin = Sin::None;
        }
        let what = Self::what(&happened, alter);
        let event = Event { prev, ..event(place, what) };
        let receipt = self.ledger.delivered(self.users[user], &event, Nanos(self.now), Nanos(0));
        self.recorded.extend(receipt);
    }

    fn what(happened: &Happened, alter: bool) -> What<'_> {
        match happened {
            Happened::Post { user, origin_id, digest, n, .. } => What::Posted {
                n: *n,
                user: 100 + *user as u64,
                origin_id,
                digest: digest ^ u64::from(alter),
                now: crate::drivers::Now::AsSent,
            },
            Happened::Joined(user) => What::Joined { user: 100 + *user as u64 },
            Happened::Left(user) => What::Left { user: 100 + *user as u64 },
        }
    }

    fn disconnect(&mut self, user: usize) {
        self.member[user].as_mut().unwrap().connected = false;
        self.ledger.disconnected(self.users[user]);
    }

    fn resume(&mut self, user: usize) {
        let from = self.ledger.resume_from(self.users[user], self.room, false).unwrap();
        let mut places: Vec<u64> = (from + 1..=self.head()).collect();
        if places.len() > 1 && self.sins(Sin::ResumeLate) {
            places.remove(0);
        }
        if places.len() > 1 && self.sins(Sin::ResumeEarly) {
            places.insert(0, from);
        }
        if places.len() > 1 && self.sins(Sin::ResumeShort) {
            places.pop();
        }
        if places.len() > 1 && self.sins(Sin::ResumeNothing) {
            places.clear();
        }
        for place in places {
            self.tell(user, place);
        }
        self.ledger.resumed(self.users[user], self.room, self.head());
        self.member[user] = Some(Reader { connected: true });
    }

    /// Reads history in small pages and closes the books.
    fn verdict(mut self) -> Verdict {
        if self.sin == Sin::TellUnkept {
            let last = self.order.pop();
            assert!(matches!(last, Some(Happened::Post { .. })));
        }
        let mut kept: Vec<Happened> = self.order.clone();
        if self.sin == Sin::Forget {
            let at = kept.iter().rposition(|it| matches!(it, Happened::Post { .. })).unwrap();
            kept.truncate(at);
        }
        while let Some(after) = self.ledger.page_wanted(self.room) {
            let to = (after as usize + 3).min(kept.len());
            let events: Vec<Event<'_>> = (after as usize..to)
                .map(|at| {
                    let what = Self::what(&kept[at], false);
                    event(at as u64 + 1, what)
                })
                .collect();
            self.ledger.page(self.room, &events, to < kept.len());
        }
        self.ledger.verdict()
    }
}

/// A conversation with everything in it.
fn conversation(sin: Sin) -> Verdict {
    let mut double = Double::new(5, sin);
    for i in 0..10 {
        double.post(i % 5, &format!("line {i}"));
    }
    double.disconnect(3);
    for i in 0..3 {
        double.post(i % 3, &format!("while one is away {i}"));
    }
    double.resume(3);
    double.leave(4);
    double.post(0, "without him");
    double.join(4);
    double.post(4, "back");
    double.verdict()
}

#[test]
fn a_server_that_does_all_it_should_is_clean() {
    let verdict = conversation(Sin::None);
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert_eq!(verdict.sends, 15);
    assert_eq!(verdict.deliveries, 15 * 5 - 1);
    assert_eq!(verdict.deliveries_due, verdict.deliveries);
}

#[test]
fn each_sin_is_caught_and_named() {
    use Kind::{Duplicated, Foreign, Lost, Reordered};
    use Side::{Deliveries, Sends};
    let expected = [
        (Sin::Drop, Deliveries, Lost, 1),
        (Sin::Repeat, Deliveries, Duplicated, 1),
        (Sin::Swap, Deliveries, Reordered, 1),
        (Sin::TellTheGone, Deliveries, Foreign, 1),
        (Sin::Alter, Deliveries, Foreign, 1),
        (Sin::LieInAck, Sends, Duplicated, 1),
        (Sin::PostTwice, Sends, Duplicated, 1),
        (Sin::Forget, Sends, Lost, 1),
        (Sin::ResumeLate, Deliveries, Lost, 1),
        (Sin::ResumeEarly, Deliveries, Duplicated, 1),
        (Sin::ResumeShort, Deliveries, Lost, 1),
        (Sin::ResumeNothing, Deliveries, Lost, 3),
        (Sin::TwoOrders, Sends, Duplicated, 1),
        (Sin::TellUnkept, Sends, Lost, 1),
        (Sin::DropAndHide, Deliveries, Lost, 1),
        (Sin::DropNotice, Deliveries, Lost, 1),
    ];
    for (sin, side, kind, count) in expected {
        let verdict = conversation(sin);
        let tally = match side {
            Sends => verdict.send_faults,
            Deliveries => verdict.delivery_faults,
        };
        let found = match kind {
            Lost => tally.lost,
            Duplicated => tally.duplicated,
            Reordered => tally.reordered,
            Foreign => tally.foreign,
        };
        assert!(!verdict.is_clean(), "{sin:?} went unseen");
        assert_eq!(found, count, "{sin:?}: {verdict:#?}");
    }
}

#[test]
fn a_send_without_an_answer_is_resolved_by_history() {
    let verdict = conversation(Sin::Silence);
    assert!(!verdict.is_clean());
    assert_eq!((verdict.unanswered, verdict.unanswered_kept), (1, 1));
    assert_eq!(verdict.send_faults.sum() + verdict.delivery_faults.sum(), 0);
}

#[test]
fn a_retry_after_a_lost_connection_is_one_send() {
    let mut double = Double::new(2, Sin::None);
    let digest = crate::drivers::digest("once");
    let send = double.ledger.sent(double.users[0], double.room, Nanos(5), digest);
    double.posts += 1;
    let origin_id = double.ledger.origin_id(send);
    double.disconnect(0);
    double.happen(Happened::Post { user: 0, send, origin_id, digest, n: 1 });
    double.resume(0);
    double.ledger.sent_again(send);
    let seq = double.head();
    let posted = Posted { room: NUMBER, seq, n: 1, repeat: true, durable: true, trace: None };
    assert_eq!(double.ledger.acked(send, &posted), Some(Nanos(5)));
    assert_eq!(double.ledger.acked(send, &posted), None, "the second ack is not a first one");
    let verdict = double.verdict();
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert_eq!((verdict.sends, verdict.acked, verdict.repeats), (1, 1, 2));
}

#[test]
fn an_ack_that_is_not_durable_is_a_fault_unless_less_was_asked_for() {
    for less in [false, true] {
        let mut double = Double::new(2, Sin::None);
        if less {
            double.ledger.asks_for_less();
        }
        let digest = crate::drivers::digest("quick");
        let send = double.ledger.sent(double.users[0], double.room, Nanos(5), digest);
        double.posts += 1;
        let origin_id = double.ledger.origin_id(send);
        double.happen(Happened::Post { user: 0, send, origin_id, digest, n: 1 });
        let seq = double.head();
        let posted = Posted { room: NUMBER, seq, n: 1, repeat: false, durable: false, trace: None };
        double.ledger.acked(send, &posted);
        let verdict = double.verdict();
        assert_eq!(verdict.is_clean(), less, "{verdict:#?}");
    }
}

#[test]
fn a_lost_reply_to_a_leave_is_doubt_and_not_fault() {
    let mut double = Double::new(3, Sin::None);
    double.post(0, "one");
    double.disconnect(1);
    double.member[1] = None;
    double.ledger.asks_to_leave(double.users[1], double.room);
    double.happen(Happened::Left(1));
    double.post(0, "two");
    double.ledger.not_member(double.users[1], double.room);
    let verdict = double.verdict();
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert_eq!(verdict.doubted, 1);
}

/// The leave of a connection that was lost is read after the user came back, and told.
#[test]
fn a_late_leave_that_is_told_ends_the_span_exactly_and_nothing_may_follow_it() {
    for (leak, missed, clean) in [(false, false, true), (true, false, false), (false, true, false)]
    {
        let mut double = Double::new(3, Sin::None);
        double.post(0, "heard");
        double.ledger.asks_to_leave(double.users[1], double.room);
        double.disconnect(1);
        double.resume(1);
        if missed {
            double.sin = Sin::Drop;
        }
        double.post(0, "heard too");
        double.member[1] = None;
        double.happen(Happened::Left(1));
        double.ledger.told_left(double.users[1], NUMBER, double.head(), None);
        double.post(0, "after");
        if leak {
            double.tell(1, double.head());
        }
        let verdict = double.verdict();
        assert_eq!(verdict.is_clean(), clean, "leak {leak}, missed {missed}: {verdict:#?}");
        assert_eq!(verdict.doubted, 0);
    }
}

#[test]
fn being_told_of_a_leave_where_one_does_not_listen_is_foreign() {
    let mut double = Double::new(3, Sin::None);
    double.leave(1);
    double.ledger.told_left(double.users[1], NUMBER, double.head(), None);
    assert_eq!(double.verdict().delivery_faults.foreign, 1);
}

/// The replies to a leave and to the join after it are lost with the connection. What was said
/// between them must not be told; what was said before the leave may be.
#[test]
fn an_absence_whose_replies_were_lost_is_found_in_the_rooms_order() {
    // Who is a member again may read what was said while it was none: a server may tell it or not.
    for told in [false, true] {
        let mut double = Double::new(3, Sin::None);
        double.post(0, "heard");
        double.disconnect(1);
        double.post(0, "before the leave");
        double.member[1] = None;
        double.ledger.asks_to_leave(double.users[1], double.room);
        double.happen(Happened::Left(1));
        double.post(0, "between");
        let between = double.head();
        double.ledger.asks_to_join(double.users[1], double.room);
        double.happen(Happened::Joined(1));
        let back = double.head();
        double.post(0, "after");
        double.ledger.resume_from(double.users[1], double.room, true);
        if told {
            double.tell(1, between);
        }
        for place in back + 1..=double.head() {
            double.tell(1, place);
        }
        double.ledger.resumed(double.users[1], double.room, double.head());
        let verdict = double.verdict();
        assert!(verdict.is_clean(), "told {told}: {verdict:#?}");
        assert_eq!(verdict.doubted, 1);
    }
}

#[test]
fn one_who_never_comes_back_is_not_clean() {
    let mut double = Double::new(3, Sin::None);
    double.disconnect(2);
    double.post(0, "hello?");
    let verdict = double.verdict();
    assert_eq!(verdict.away, 1);
    assert!(!verdict.is_clean());
    assert_eq!(verdict.delivery_faults.sum(), 0);
}

#[test]
fn who_wants_to_go_is_owed_what_is_known_then_and_judged_by_it() {
    for hears_it in [true, false] {
        let mut double = Double::new(3, Sin::None);
        double.post(0, "before");
        let goes = double.users[2];
        // Known by its ack and by another, and still on its way to the one who goes.
        double.member[2].as_mut().unwrap().connected = false;
        double.post(0, "on its way");
        let (owed, place) = (double.ledger.owed(goes), double.head());
        assert_eq!(owed, [(double.room, place)]);
        assert!(!double.ledger.has_heard(goes, &owed));
        if hears_it {
            double.tell(2, place);
            assert!(double.ledger.has_heard(goes, &owed));
            double.ledger.departed(goes);
        }
        double.post(1, "after it");
        let verdict = double.verdict();
        assert_eq!((verdict.is_clean(), verdict.doubted), (hears_it, 0), "{verdict:#?}");
    }
}

#[test]
fn first_and_median_are_told_once_a_message() {
    let mut double = Double::new(5, Sin::None);
    double.recorded.clear();
    double.post(0, "to five");
    let told = |pick: fn(&Receipt) -> bool| double.recorded.iter().filter(|it| pick(it)).count();
    assert_eq!(double.recorded.len(), 5);
    assert_eq!(told(|it| it.first), 1);
    assert_eq!(told(|it| it.median), 1);
    assert!(double.recorded[2].median, "the third of five");
}

#[test]
fn a_place_out_of_this_world_is_refused_and_takes_no_memory() {
    let mut double = Double::new(2, Sin::None);
    let digest = crate::drivers::digest("far");
    let send = double.ledger.sent(double.users[0], double.room, Nanos(5), digest);
    let posted =
        Posted { room: NUMBER, seq: u64::MAX / 2, n: 1, repeat: false, durable: true, trace: None };
    double.ledger.acked(send, &posted);
    assert!(double.ledger.rooms[0].len() < 1_000);
    assert!(!double.verdict().is_clean());
}

/// A delivery dropped just before a connection is lost comes with the resume, and is no fault; any
/// other is. The naive account, which keeps every place of every user, knows which.
#[test]
fn in_random_conversations_the_ledger_and_a_naive_account_agree() {
    for seed in 0..200_u64 {
        for sin in [Sin::None, Sin::Drop, Sin::ResumeShort] {
            let mut chance = StdRng::seed_from_u64(seed);
            let mut double = Double::new(4, sin);
            for step in 0..60 {
                let user = chance.random_range(0..4);
                let connected = double.member[user].map(|reader| reader.connected);
                match (chance.random_range(0..10), connected) {
                    (0, Some(true)) => double.disconnect(user),
                    (_, Some(false)) => double.resume(user),
                    (1, Some(true)) => double.leave(user),
                    (_, None) => double.join(user),
                    (_, Some(true)) => {
                        double.post(user, &format!("{step}"));
                    }
                }
            }
            for user in 0..4 {
                if double.member[user].is_some_and(|reader| !reader.connected) {
                    double.resume(user);
                }
            }
            let owed: usize = double.owed.iter().map(Vec::len).sum();
            assert!(owed == 0 || double.sinned);
            let verdict = double.verdict();
            assert_eq!(verdict.is_clean(), owed == 0, "seed {seed}, {sin:?}: {verdict:#?}");
        }
    }
}
