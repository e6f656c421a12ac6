//! What a server says of itself, and nobody may believe: from where one hears, who has left, when something
//! was said, what was refused.

use super::*;
use crate::drivers::Act;

impl Double {
    /// What is told to the others now does not reach this one.
    fn withhold(&mut self, user: usize, withheld: bool) {
        self.member[user] = Some(Reader { connected: !withheld });
    }

    /// It comes in, and hears what comes so many places after that.
    fn join_late(&mut self, user: usize, late: u64) {
        self.ledger.asks_to_join(self.users[user], self.room);
        self.happen(Happened::Joined(user));
        let at = self.head();
        self.ledger.joined(self.users[user], self.room, at, at + late);
    }

    fn account(&self, user: usize) -> UserIx {
        self.users[user]
    }
}

fn faults(verdict: &Verdict) -> Vec<(Side, Kind)> {
    verdict.described.iter().map(|fault| (fault.side, fault.kind)).collect()
}

#[test]
fn who_joins_hears_what_follows_its_coming_and_not_what_follows_later() {
    for late in [0, 2] {
        let mut double = Double::new(3, Sin::None);
        double.post(0, "before");
        double.leave(1);
        double.join_late(1, late);
        double.withhold(1, true);
        for _ in 0..late {
            double.post(0, "withheld");
        }
        double.withhold(1, false);
        double.post(0, "heard");
        let found = faults(&double.verdict());
        if late == 0 {
            assert_eq!(found, []);
        } else {
            assert!(found.contains(&(Side::Deliveries, Kind::Lost)), "{found:?}");
        }
    }
}

/// Where it comes back to is believed as far as what had been sent by then.
#[test]
fn what_is_said_after_one_hears_is_not_before_the_place_from_which_it_does() {
    for late in [0, 1] {
        let mut double = Double::new(3, Sin::None);
        double.post(0, "heard");
        double.ledger.departed(double.account(2));
        double.withhold(2, true);
        double.post(0, "meanwhile");
        // Under way when the other is told from where it hears.
        let digest = crate::drivers::digest("under way");
        let under_way = double.ledger.sent(double.account(1), double.room, Nanos(0), digest);
        let from = double.head() + 1 + late;
        double.ledger.joined(double.account(2), double.room, 0, from);
        double.commit(1, under_way, digest);
        double.withhold(2, late > 0);
        double.post(0, "later");
        double.withhold(2, false);
        double.post(0, "and later");
        let found = faults(&double.verdict());
        let expected = if late == 0 { vec![] } else { vec![(Side::Deliveries, Kind::Lost)] };
        assert_eq!(found, expected, "{late} late");
    }
}

#[test]
fn who_is_a_member_already_has_asked_to_be_one_before() {
    let mut double = Double::new(2, Sin::None);
    let stranger = double.ledger.add_user(900);
    double.ledger.asks_to_join(stranger, double.room);
    double.ledger.joined_before(stranger, double.room);
    double.ledger.asks_to_join(stranger, double.room);
    double.ledger.joined_before(stranger, double.room);
    assert_eq!(faults(&double.verdict()), [(Side::Sends, Kind::Lost)], "the first time only");
}

#[test]
fn nobody_comes_or_goes_that_has_not_asked_for_it() {
    for (asked_once, sends, deliveries) in [(false, 1, 3), (true, 1, 0)] {
        let mut double = Double::new(3, Sin::None);
        if asked_once {
            double.leave(1);
            double.join(1);
        }
        double.post(0, "heard");
        double.member[1] = None;
        double.happen(Happened::Left(1));
        double.ledger.told_left(double.account(1), NUMBER, double.head(), None);
        double.post(0, "not heard");
        let verdict = double.verdict();
        // Told to the two who stay, to itself, and by history; the second time it is one more than it asked for.
        let foreign = (verdict.send_faults.foreign, verdict.delivery_faults.foreign);
        assert_eq!(foreign.1, deliveries, "{verdict:#?}");
        assert!(foreign.0 >= sends, "{verdict:#?}");
    }
    let mut double = Double::new(2, Sin::None);
    double.happen(Happened::Joined(9));
    assert!(double.verdict().delivery_faults.foreign > 0, "a stranger in the room");
}

#[test]
fn a_time_or_a_name_that_is_not_what_others_were_told_is_found_out() {
    type Change = fn(&mut Event<'_>);
    let altered: [(Change, u64); 3] =
        [(|_| {}, 0), (|event| event.at += 1, 1), (|event| event.names ^= 1, 1)];
    for (alter, count) in altered {
        let mut double = Double::new(3, Sin::None);
        double.withhold(1, true);
        double.post(0, "to all");
        double.withhold(1, false);
        let happened = double.order[double.head() as usize - 1].clone();
        let mut event = event(double.head(), Double::what(&happened, false));
        alter(&mut event);
        double.ledger.delivered(double.account(1), &event, Nanos(double.now), Nanos(0));
        let verdict = double.verdict();
        let sums = (verdict.send_faults.sum(), verdict.delivery_faults.sum());
        assert_eq!(sums, (count, 0), "{verdict:#?}");
        assert_eq!(verdict.send_faults.reordered, count);
    }
}

/// It may have been kept at first, and its sender have been put out by the second time.
#[test]
fn what_was_refused_is_not_kept_unless_it_was_sent_twice() {
    for again in [false, true] {
        let mut double = Double::new(2, Sin::None);
        let digest = crate::drivers::digest("no");
        let send = double.ledger.sent(double.account(0), double.room, Nanos(5), digest);
        if again {
            double.ledger.sent_again(send);
        }
        double.ledger.refused(send);
        double.posts += 1;
        let origin_id = double.ledger.origin_id(send);
        double.happen(Happened::Post { user: 0, send, origin_id, digest, n: 1 });
        let verdict = double.verdict();
        let expected = if again { vec![] } else { vec![(Side::Sends, Kind::Foreign)] };
        assert_eq!(faults(&verdict), expected);
        assert_eq!(verdict.refused, 1);
    }
}

#[test]
fn a_first_leave_is_not_refused_to_a_member() {
    let withheld = [(Side::Sends, Kind::Lost)];
    // Its first leave was lost with its connection: it may have been done.
    for again in [false, true] {
        let mut double = Double::new(3, Sin::None);
        double.post(0, "heard");
        double.ledger.asks_to_leave(double.account(1), double.room);
        if again {
            double.disconnect(1);
            double.resume(1);
            double.ledger.asks_to_leave(double.account(1), double.room);
        }
        double.withhold(1, true);
        double.post(0, "not heard");
        double.ledger.leave_is_refused(double.account(1), double.room);
        let expected = if again { &[][..] } else { &withheld };
        assert_eq!(faults(&double.verdict()), expected, "again: {again}");
    }
    // Refused for now, it was not done: the one after it is a first one again.
    let mut double = Double::new(2, Sin::None);
    for _ in 0..2 {
        double.ledger.asks_to_leave(double.account(1), double.room);
        double.ledger.leave_is_settled(double.account(1), double.room);
    }
    double.ledger.asks_to_leave(double.account(1), double.room);
    double.ledger.leave_is_refused(double.account(1), double.room);
    assert_eq!(faults(&double.verdict()), withheld);
    // Somebody was asked to put it out, and by all that is known has.
    let mut double = Double::new(2, Sin::None);
    double.ledger.asked_act(double.account(0), double.room, double.account(1), Act::Kick);
    double.ledger.asks_to_leave(double.account(1), double.room);
    double.ledger.leave_is_refused(double.account(1), double.room);
    assert_eq!(faults(&double.verdict()), []);
}
