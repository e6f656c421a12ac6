//! Files: which messages carry one, and whether who fetched it got what it must.
//!
//! Neighbours: the runner sends and fetches, and says who may read a message at that moment; a message that
//! is told without its file is another message, which `mod` finds out by its hash. A file that nobody may
//! have and a reader who may be out by now are different things: only what is sure is a fault.

use std::collections::HashMap;

use super::{Fault, Kind, Ledger, SendIx, Side, UserIx};
use crate::drivers::Change;

/// What messages carry: the hash of each that does, without its file.
#[derive(Debug, Default)]
pub struct Files {
    carried: HashMap<SendIx, u64>,
}

/// Whether one may read a message, from when its file was asked for until it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// All that time.
    Read,
    /// At no time.
    Not,
    /// It changed meanwhile, or may have.
    Either,
}

/// What one got who asked for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// Its bytes.
    Right,
    /// Other bytes.
    Wrong,
    /// A refusal.
    Refused,
    /// No answer, while the connection stood or again and again.
    Nothing,
}

impl Ledger {
    /// A file was sent. `right`: the server says that it has just these bytes.
    pub fn file_sent(&mut self, by: UserIx, right: bool) {
        self.counts.files += u64::from(right);
        if !right {
            let what = format!("user {}: a file was sent and is not kept as it was", by.0);
            self.faults.add(Fault { side: Side::Sends, kind: Kind::Lost, what });
        }
    }

    /// A file was sent and never answered for: nobody said that it is kept.
    pub fn file_unanswered(&mut self) {
        self.counts.files_unanswered += 1;
    }

    /// A send carries a file, which is part of its hash: `of` without it.
    pub fn carries(&mut self, send: SendIx, of: u64) {
        self.files.carried.insert(send, of);
    }

    /// The hash of another text of this send, with what it carries.
    pub(super) fn with_its_file(&self, send: SendIx, digest: u64) -> u64 {
        let without = self.files.carried.get(&send);
        without.map_or(digest, |of| digest ^ of ^ self.sends[send.0 as usize].digest)
    }

    /// A deletion of this send was asked for: its file may be gone.
    pub fn deletion_asked(&self, send: SendIx) -> bool {
        self.place_of(send).is_some_and(|seq| self.asked_of(send, seq, Change::Delete).is_some())
    }

    /// It has its place: the file is gone.
    pub fn deletion_is_known(&self, send: SendIx) -> bool {
        let asked = self.place_of(send).and_then(|seq| self.asked_of(send, seq, Change::Delete));
        asked.is_some_and(|asked| asked.at != 0)
    }

    /// Somebody asked for the file of a message.
    pub fn fetched(&mut self, by: UserIx, send: SendIx, may: May, got: Got) {
        let (kind, why) = match (may, got) {
            (_, Got::Wrong) => (Kind::Foreign, "got other bytes"),
            (May::Not, Got::Right) => (Kind::Foreign, "may not read it and got it"),
            (_, Got::Nothing) => (Kind::Lost, "got no answer"),
            (May::Read, Got::Refused) => (Kind::Lost, "may read it and was refused"),
            (May::Read, Got::Right) => {
                self.counts.fetches += 1;
                return;
            }
            (May::Not, Got::Refused) => {
                self.counts.fetches_refused += 1;
                return;
            }
            (May::Either, _) => {
                self.counts.fetches_doubted += 1;
                return;
            }
        };
        let what = format!("user {}: the file of send {}: {why}", by.0, send.0);
        self.faults.add(Fault { side: Side::Deliveries, kind, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::drivers::{Event, NAMELESS, Now, Posted, What, digest, with_file};
    use crate::ledger::Verdict;

    /// A room of one, who says something that carries a file at place 2, and is told `heard` of it.
    fn carrying(heard: u64, then: impl FnOnce(&mut Ledger, UserIx, SendIx)) -> Verdict {
        let mut ledger = Ledger::new(1);
        let user = ledger.add_user(100);
        let room = ledger.add_room(7, 1);
        ledger.joined(user, room, 0, 1);
        let said = digest("look");
        let send = ledger.sent(user, room, Nanos(0), with_file(said, "f", "h"));
        ledger.carries(send, said);
        let posted = Posted { room: 7, seq: 2, n: 1, repeat: false, durable: true, trace: None };
        ledger.acked(send, &posted);
        let origin_id = ledger.origin_id(send);
        let post = |digest, now| {
            let what = What::Posted { n: 1, user: 100, origin_id: &origin_id, digest, now };
            Event { room: 7, seq: 2, prev: 1, at: 2, names: NAMELESS, what }
        };
        ledger.delivered(user, &post(heard, Now::AsSent), Nanos(1), Nanos(0));
        then(&mut ledger, user, send);
        let edited = ledger.asked_of(send, 2, Change::Edit).is_some();
        let shown = if edited {
            post(with_file(digest("see"), "f", "h"), Now::Edited(3))
        } else {
            post(with_file(said, "f", "h"), Now::AsSent)
        };
        let edit = What::Changed { user: 100, of: 2, change: Change::Edit, digest: digest("see") };
        let edit = Event { room: 7, seq: 3, prev: 2, at: 3, names: NAMELESS, what: edit };
        let history = [shown, edit];
        ledger.page(room, &history[..=usize::from(edited)], false);
        ledger.verdict()
    }

    fn whole() -> u64 {
        with_file(digest("look"), "f", "h")
    }

    #[test]
    fn a_message_told_without_its_file_or_with_another_is_foreign() {
        assert!(carrying(whole(), |_, _, _| {}).is_clean());
        for heard in [digest("look"), with_file(digest("look"), "f", "another")] {
            assert_eq!(carrying(heard, |_, _, _| {}).delivery_faults.foreign, 1);
        }
    }

    #[test]
    fn a_message_of_a_file_alone_is_not_taken_for_a_deleted_one_nor_that_for_it() {
        let alone = with_file(digest(""), "f", "h");
        let shown = |deleted: bool, is: u64, now: Now| {
            let mut ledger = Ledger::new(1);
            let user = ledger.add_user(100);
            let room = ledger.add_room(7, 1);
            ledger.joined(user, room, 0, 1);
            let send = ledger.sent(user, room, Nanos(0), alone);
            ledger.carries(send, digest(""));
            let posted =
                Posted { room: 7, seq: 2, n: 1, repeat: false, durable: true, trace: None };
            ledger.acked(send, &posted);
            let origin_id = ledger.origin_id(send);
            let post = |digest, now| {
                let what = What::Posted { n: 1, user: 100, origin_id: &origin_id, digest, now };
                Event { room: 7, seq: 2, prev: 1, at: 2, names: NAMELESS, what }
            };
            ledger.delivered(user, &post(alone, Now::AsSent), Nanos(1), Nanos(0));
            let what = What::Changed { user: 100, of: 2, change: Change::Delete, digest: 0 };
            let deletion = Event { room: 7, seq: 3, prev: 2, at: 3, names: NAMELESS, what };
            if deleted {
                ledger.asked_change(user, send, Change::Delete, 0);
                ledger.changed(user, send, Change::Delete, 3);
                ledger.delivered(user, &deletion, Nanos(2), Nanos(0));
            }
            let history = [post(is, now), deletion];
            ledger.page(room, &history[..=usize::from(deleted)], false);
            let faults = ledger.verdict().send_faults;
            (faults.lost, faults.foreign)
        };
        assert_eq!(shown(false, alone, Now::AsSent), (0, 0));
        assert_eq!(shown(true, digest(""), Now::Deleted), (0, 0));
        assert_eq!(shown(true, alone, Now::AsSent), (1, 0), "it should be gone");
        let lost = shown(false, digest(""), Now::Deleted);
        assert_eq!(lost.1, 1, "nobody deleted it: {lost:?}");
        let bare = shown(false, digest(""), Now::AsSent);
        assert_eq!(bare.1, 1, "its file is missing: {bare:?}");
    }

    #[test]
    fn an_edited_message_carries_its_file_on() {
        let verdict = carrying(whole(), |ledger, user, send| {
            ledger.asked_change(user, send, Change::Edit, digest("see"));
            ledger.changed(user, send, Change::Edit, 3);
            let what =
                What::Changed { user: 100, of: 2, change: Change::Edit, digest: digest("see") };
            let event = Event { room: 7, seq: 3, prev: 2, at: 3, names: NAMELESS, what };
            ledger.delivered(user, &event, Nanos(2), Nanos(0));
        });
        assert!(verdict.is_clean(), "{verdict:#?}");
    }

    #[test]
    fn each_way_to_answer_one_who_asks_for_a_file_has_its_place_in_the_books() {
        let faults = |may, got| {
            let verdict = carrying(whole(), |ledger, user, send| {
                ledger.file_sent(user, true);
                ledger.fetched(user, send, may, got);
            });
            assert_eq!(verdict.files, 1);
            let counted = [verdict.fetches, verdict.fetches_refused, verdict.fetches_doubted];
            let tally = verdict.delivery_faults;
            assert_eq!(counted.iter().sum::<u64>() + tally.sum(), 1);
            (counted, tally.lost, tally.foreign)
        };
        assert_eq!(faults(May::Read, Got::Right), ([1, 0, 0], 0, 0));
        assert_eq!(faults(May::Not, Got::Refused), ([0, 1, 0], 0, 0));
        assert_eq!(faults(May::Either, Got::Right), ([0, 0, 1], 0, 0));
        assert_eq!(faults(May::Either, Got::Refused), ([0, 0, 1], 0, 0));
        assert_eq!(faults(May::Read, Got::Refused), ([0, 0, 0], 1, 0));
        assert_eq!(faults(May::Read, Got::Nothing), ([0, 0, 0], 1, 0));
        assert_eq!(faults(May::Not, Got::Right), ([0, 0, 0], 0, 1));
        assert_eq!(faults(May::Either, Got::Wrong), ([0, 0, 0], 0, 1));
    }

    #[test]
    fn a_file_that_is_not_kept_as_it_was_sent_is_lost() {
        let verdict = carrying(whole(), |ledger, user, _| ledger.file_sent(user, false));
        assert_eq!((verdict.files, verdict.send_faults.lost), (0, 1));
    }
}
