//! What is done to messages and to members: edits, deletions, reactions; who is put out, and who is let
//! in again. Each is an event of the room's order, and only what was asked for may be one.
//!
//! Neighbours: `mod` and `verdict` ask what an event stands for; `membership` ends the spans of those who
//! are put out. A message is changed at most once in each way by one account, so that a change is known
//! by what it is.

use std::collections::HashMap;

use super::room::{Besides, Mark, Room};
use super::verdict::Faults;
use super::{Event, Fault, Kind, Ledger, RoomIx, SendIx, Side, State, UserIx, What};
use crate::drivers::{self, Act, Change, Now};

/// A change that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    send: SendIx,
    change: Change,
    /// Of the new text.
    digest: u64,
    /// 0: not known to have been done.
    pub(super) at: u64,
    /// Asked for more than once.
    again: bool,
    /// The server says that it was done before.
    done_before: bool,
    /// History has its text.
    has_text: bool,
}

/// What was asked for, beside sends and memberships.
#[derive(Debug, Default)]
pub struct Changes {
    asked: HashMap<(RoomIx, Mark), Asked>,
    /// What was asked to be done to an account in a room, and by whom.
    acts: HashMap<(RoomIx, u64, Act), UserIx>,
    /// Who was told to be no member where it had not left: the room's order must have put it out after
    /// this place.
    claims: Vec<(RoomIx, UserIx, u64)>,
}

/// What history shows of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Unread,
    AsSent,
    Edited,
    Deleted,
}

/// What an event stands for.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// One of our sends, by its number among the posts.
    Post(SendIx, u64),
    /// Anything else.
    Mark(Mark),
}

impl Ledger {
    /// A change of a send that has its place is about to be asked for.
    pub fn asked_change(&mut self, by: UserIx, send: SendIx, change: Change, digest: u64) {
        let Some(it) = self.sends.get(send.0 as usize).filter(|it| it.seq != 0) else { return };
        let (room, mark) = (it.room, Mark::change(change, by, it.seq));
        self.rooms[room.0 as usize].caused += 1;
        let (at, again, done_before, has_text) = (0, false, false, false);
        let asked = Asked { send, change, digest, at, again, done_before, has_text };
        let known = self.changes.asked.entry((room, mark));
        known.and_modify(|known| known.again = true).or_insert(asked);
    }

    /// The server says that the change has its place.
    pub fn changed(&mut self, by: UserIx, send: SendIx, change: Change, seq: u64) {
        let it = &self.sends[send.0 as usize];
        let (room, mark) = (it.room, Mark::change(change, by, it.seq));
        self.counts.changes += 1;
        self.place_mark(room, seq, mark, None, "ack of a change");
    }

    /// The server says that the change was made before and adds nothing: then it was asked for before, and has
    /// its place.
    pub fn changed_before(&mut self, by: UserIx, send: SendIx, change: Change) {
        let it = &self.sends[send.0 as usize];
        let key = (it.room, Mark::change(change, by, it.seq));
        let Some(asked) = self.changes.asked.get_mut(&key) else { return };
        asked.done_before = true;
        if !asked.again {
            let what = format!("{change:?} of send {} was done before, and asked for once", send.0);
            self.faults.add(Fault { side: Side::Sends, kind: Kind::Lost, what });
        }
    }

    /// History has a change, with this text.
    pub(super) fn change_is_shown(&mut self, room: RoomIx, mark: Mark, digest: u64) {
        if let Some(asked) = self.changes.asked.get_mut(&(room, mark)) {
            asked.has_text = asked.change == Change::Edit && asked.digest == digest;
        }
    }

    /// Something is about to be asked to be done to a member.
    pub fn asked_act(&mut self, by: UserIx, room: RoomIx, of: UserIx, act: Act) {
        let account = self.users[of.0 as usize].account;
        self.rooms[room.0 as usize].caused += 1;
        self.changes.acts.insert((room, account, act), by);
    }

    /// The server says that it was done.
    pub fn acted(&mut self, room: RoomIx, of: UserIx, act: Act, seq: u64) {
        let account = self.users[of.0 as usize].account;
        self.counts.removals += u64::from(act.removes());
        self.place(room, seq, Mark::act(act, account), None, "ack of an act");
    }

    /// Somebody has been asked to put this user out.
    pub fn may_be_out(&self, user: UserIx, room: RoomIx) -> bool {
        let account = self.users[user.0 as usize].account;
        let asked = |act| self.changes.acts.contains_key(&(room, account, act));
        asked(Act::Kick) || asked(Act::Ban)
    }

    /// A send was refused because its sender is no member: it was put out, and the room's order must say
    /// so.
    pub fn refused_outside(&mut self, ix: SendIx) {
        let send = &self.sends[ix.0 as usize];
        if send.state == State::Open {
            self.changes.claims.push((send.room, send.user, 0));
            self.sends[ix.0 as usize].state = State::Refused;
            self.open -= 1;
            self.counts.refused_outside += 1;
        }
    }

    /// A resume was refused because the user was put out while it was away. What it heard before is
    /// judged; what was on its way when its connection was lost is not.
    pub fn put_out_while_away(&mut self, user: UserIx, room: RoomIx) {
        let listener = self.listener_for(user, room);
        let from = self.listeners[listener as usize].from();
        self.changes.claims.push((room, user, from));
        self.end_in_doubt(listener);
    }

    /// The place of a send, once that is known.
    pub fn place_of(&self, send: SendIx) -> Option<u64> {
        self.sends.get(send.0 as usize).map(|it| it.seq).filter(|seq| *seq != 0)
    }

    /// Who made a send.
    pub fn author(&self, send: SendIx) -> UserIx {
        self.sends[send.0 as usize].user
    }

    /// Whether an account was asked to be put out so.
    pub(super) fn asked_out(&self, room: RoomIx, account: u64, act: Act) -> bool {
        self.changes.acts.contains_key(&(room, account, act))
    }

    /// What an event stands for; `None` when nobody ever asked for it.
    pub(super) fn told(&self, room: RoomIx, event: &Event<'_>) -> Option<Told> {
        Some(match event.what {
            What::Posted { n, user, origin_id, digest, now } => {
                let send = self.known(room, user, origin_id)?;
                self.is_now(send, event.seq, digest, now).then_some(Told::Post(send, n))?
            }
            What::Joined { user } => {
                let asked = self.moves.of(room, user).joins > 0;
                asked.then_some(Told::Mark(Mark::joined(user)))?
            }
            What::Left { user } => {
                let asked = self.moves.of(room, user).leaves > 0;
                asked.then_some(Told::Mark(Mark::left(user)))?
            }
            What::Created => Told::Mark(Mark::created()),
            What::Changed { user, of, change, digest: is } => {
                let mark = Mark::change(change, *self.accounts.get(&user)?, of);
                let asked = self.changes.asked.get(&(room, mark))?;
                let emptied = || {
                    self.asked_of(asked.send, of, Change::Delete).is_some()
                        && is == drivers::digest("")
                };
                (asked.digest == is || emptied()).then_some(Told::Mark(mark))?
            }
            What::Moderated { by, user, act } => {
                let asked = self.changes.acts.get(&(room, user, act))?;
                (self.accounts.get(&by) == Some(asked))
                    .then_some(Told::Mark(Mark::act(act, user)))?
            }
        })
    }

    /// Whether a send that stands at `seq` may look like this.
    fn is_now(&self, send: SendIx, seq: u64, digest: u64, now: Now) -> bool {
        match now {
            Now::AsSent => self.sends[send.0 as usize].digest == digest,
            Now::Edited(at) => self
                .asked_of(send, seq, Change::Edit)
                .filter(|it| it.at == 0 || it.at == at)
                .is_some_and(|it| self.with_its_file(send, it.digest) == digest),
            Now::Deleted => {
                // Neither text nor file.
                self.asked_of(send, seq, Change::Delete).is_some() && digest == drivers::digest("")
            }
        }
    }

    /// What its sender asked to be done to a send.
    pub(super) fn asked_of(&self, send: SendIx, seq: u64, change: Change) -> Option<&Asked> {
        let it = &self.sends[send.0 as usize];
        self.changes.asked.get(&(it.room, Mark::change(change, it.user, seq)))
    }

    /// Something other than a post stands at a place, says the teller.
    pub(super) fn place_mark(
        &mut self,
        room: RoomIx,
        seq: u64,
        mark: Mark,
        besides: Option<Besides>,
        teller: &str,
    ) {
        if mark.is_change()
            && let Some(asked) = self.changes.asked.get_mut(&(room, mark))
        {
            if asked.at == 0 {
                asked.at = seq;
            } else if asked.at != seq {
                let (at, change, send) = (asked.at, asked.change, asked.send.0);
                let what = format!("{change:?} of send {send} stands at {at}, and at {seq}");
                self.faults.add(Fault { side: Side::Sends, kind: Kind::Duplicated, what });
            }
        }
        self.place(room, seq, mark, besides, teller);
    }

    /// History must show each message as the newest of its changes left it, have what was said to be done
    /// before, have put out whoever was told to be no member, and show no text of what was deleted.
    pub(super) fn judge_changes(&mut self) {
        let Self { changes, sends, rooms, users, faults, .. } = self;
        let Changes { asked, claims, .. } = changes;
        let done = |send: SendIx, change: Change| {
            let it = &sends[send.0 as usize];
            let key = (it.room, Mark::change(change, it.user, it.seq));
            asked.get(&key).is_some_and(|it| it.at != 0)
        };
        let mut told = |kind, what| faults.add(Fault { side: Side::Sends, kind, what });
        for it in asked.values() {
            let (ix, send) = (it.send.0, &sends[it.send.0 as usize]);
            let read_all = rooms[send.room.0 as usize].read_all;
            if read_all && it.again && it.done_before && it.at == 0 {
                let what =
                    format!("{:?} of send {ix} was done before, and has no place", it.change);
                told(Kind::Lost, what);
            }
            if !read_all || send.shown == Shown::Unread || it.change == Change::React {
                continue;
            }
            if it.has_text && done(it.send, Change::Delete) {
                let what = format!("send {ix} was deleted, and history has the text of its edit");
                told(Kind::Foreign, what);
            }
            let shows = match (done(it.send, Change::Delete), done(it.send, Change::Edit)) {
                (true, _) => Shown::Deleted,
                (false, true) => Shown::Edited,
                (false, false) => Shown::AsSent,
            };
            if send.shown != shows {
                let is = send.shown;
                let what = format!("send {ix} is to be shown {shows:?} and history has it {is:?}");
                told(Kind::Lost, what);
            }
        }
        claims.sort_unstable();
        for of_room in claims.chunk_by(|a, b| a.0 == b.0) {
            let room = &rooms[of_room[0].0.0 as usize];
            let account = |user: UserIx| users[user.0 as usize].account;
            judge_claims(room, of_room, &account, faults);
        }
    }
}

fn judge_claims(
    room: &Room,
    claims: &[(RoomIx, UserIx, u64)],
    account: &dyn Fn(UserIx) -> u64,
    faults: &mut Faults,
) {
    if !room.read_all {
        return;
    }
    let moves = room.memberships();
    for (_, user, after) in claims {
        let of = moves.get(&account(*user)).map_or(&[][..], Vec::as_slice);
        if !of.iter().any(|(seq, joined)| !joined && seq > after) {
            let (number, user) = (room.number, user.0);
            let what = format!(
                "user {user} is no member of room {number}, and after {after} nothing put it out"
            );
            faults.add(Fault { side: Side::Sends, kind: Kind::Lost, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::drivers::{NAMELESS, Posted, digest};
    use crate::ledger::Verdict;

    const NUMBER: u32 = 7;

    /// A room of three who hear it all, made and joined before place 5; user 0 made it.
    struct Small {
        ledger: Ledger,
        room: RoomIx,
        users: Vec<UserIx>,
    }

    /// What happened at a place, as the server tells it.
    type Told = (u64, What<'static>);

    fn told((seq, what): Told) -> Event<'static> {
        Event { room: NUMBER, seq, prev: seq - 1, at: seq, names: NAMELESS, what }
    }

    impl Small {
        fn new() -> Self {
            let mut ledger = Ledger::new(1);
            let users: Vec<UserIx> = (0..3).map(|user| ledger.add_user(100 + user)).collect();
            let room = ledger.add_room(NUMBER, 4);
            for user in &users {
                ledger.joined(*user, room, 0, 4);
            }
            Self { ledger, room, users }
        }

        /// User 1 says something, which has this place.
        fn says(&mut self, seq: u64, n: u64, text: &str) -> SendIx {
            let send = self.ledger.sent(self.users[1], self.room, Nanos(0), digest(text));
            let posted = Posted { room: NUMBER, seq, n, repeat: false, durable: true, trace: None };
            self.ledger.acked(send, &posted);
            send
        }

        fn hear(&mut self, listeners: &[usize], (seq, what): Told) {
            let event = told((seq, what));
            for listener in listeners {
                self.ledger.delivered(self.users[*listener], &event, Nanos(1), Nanos(0));
            }
        }

        fn closed(mut self, history: &[Told]) -> Verdict {
            let events: Vec<Event<'_>> = history.iter().copied().map(told).collect();
            self.ledger.page(self.room, &events, false);
            self.ledger.verdict()
        }
    }

    fn post(text: &str, now: Now) -> What<'static> {
        What::Posted { n: 1, user: 101, origin_id: "00000001-00000000", digest: digest(text), now }
    }

    fn change(change: Change, digest: u64) -> What<'static> {
        What::Changed { user: 101, of: 5, change, digest }
    }

    fn kinds(verdict: &Verdict) -> Vec<(Side, Kind)> {
        verdict.described.iter().map(|fault| (fault.side, fault.kind)).collect()
    }

    /// One message, edited at 6 by request; told so to all three.
    fn edited() -> (Small, SendIx) {
        let mut small = Small::new();
        let send = small.says(5, 1, "old");
        small.hear(&[0, 1, 2], (5, post("old", Now::AsSent)));
        small.ledger.asked_change(small.users[1], send, Change::Edit, digest("new"));
        small.ledger.changed(small.users[1], send, Change::Edit, 6);
        (small, send)
    }

    #[test]
    fn an_edit_that_was_asked_for_is_told_to_all_and_shown_by_history() {
        let (mut small, _) = edited();
        let edit = (6, change(Change::Edit, digest("new")));
        small.hear(&[0, 1, 2], edit);
        let verdict = small.closed(&[(5, post("new", Now::Edited(6))), edit]);
        assert_eq!(kinds(&verdict), []);
        assert_eq!((verdict.changes, verdict.deliveries, verdict.notices), (1, 3, 3));
    }

    #[test]
    fn history_that_shows_the_old_text_or_what_was_deleted_is_found_out() {
        let (mut small, send) = edited();
        let edit = (6, change(Change::Edit, digest("new")));
        small.hear(&[0, 1, 2], edit);
        let (by, gone) = (small.users[1], (7, change(Change::Delete, 0)));
        small.ledger.asked_change(by, send, Change::Delete, 0);
        small.ledger.changed(by, send, Change::Delete, 7);
        small.hear(&[0, 1, 2], gone);
        let verdict = small.closed(&[(5, post("new", Now::Edited(6))), edit, gone]);
        assert!(kinds(&verdict).contains(&(Side::Sends, Kind::Lost)), "{verdict:?}");
        let (mut small, _) = edited();
        small.hear(&[0, 1, 2], edit);
        let verdict = small.closed(&[(5, post("old", Now::AsSent)), edit]);
        assert_eq!(kinds(&verdict), [(Side::Sends, Kind::Lost)]);
    }

    /// Edited at 6 and deleted at 7, as told to all.
    fn deleted() -> (Small, [Told; 2]) {
        let (mut small, send) = edited();
        let by = small.users[1];
        let told = [(6, change(Change::Edit, digest("new"))), (7, change(Change::Delete, 0))];
        small.hear(&[0, 1, 2], told[0]);
        small.ledger.asked_change(by, send, Change::Delete, 0);
        small.ledger.changed(by, send, Change::Delete, 7);
        small.hear(&[0, 1, 2], told[1]);
        (small, told)
    }

    #[test]
    fn what_was_deleted_is_shown_without_its_text_and_so_are_its_edits() {
        let foreign = [(Side::Sends, Kind::Foreign)];
        let emptied = change(Change::Edit, digest(""));
        for (body, edit, faults) in [
            ("", emptied, &[][..]),
            ("new", emptied, &foreign),
            ("", change(Change::Edit, digest("new")), &foreign),
        ] {
            let (small, [_, gone]) = deleted();
            let verdict = small.closed(&[(5, post(body, Now::Deleted)), (6, edit), gone]);
            assert!(kinds(&verdict).starts_with(faults), "{body:?}: {verdict:#?}");
            assert_eq!(verdict.is_clean(), faults.is_empty(), "{body:?}: {verdict:#?}");
        }
    }

    /// An answer that was lost with its connection is the only reason for another.
    #[test]
    fn what_was_done_before_was_asked_for_before_and_has_its_place() {
        let react = (6, change(Change::React, 0));
        for (asked, has_place, lost) in [(1, true, 1), (2, true, 0), (2, false, 1)] {
            let mut small = Small::new();
            let send = small.says(5, 1, "old");
            let said = (5, post("old", Now::AsSent));
            small.hear(&[0, 1, 2], said);
            let by = small.users[1];
            for _ in 0..asked {
                small.ledger.asked_change(by, send, Change::React, 0);
            }
            if has_place {
                small.hear(&[0, 1, 2], react);
            }
            small.ledger.changed_before(by, send, Change::React);
            let history = [said, react];
            let verdict = small.closed(&history[..=usize::from(has_place)]);
            assert_eq!(verdict.send_faults.lost, lost, "asked {asked}: {verdict:#?}");
            assert_eq!(verdict.is_clean(), lost == 0);
        }
    }

    #[test]
    fn an_edit_nobody_asked_for_or_with_another_text_is_foreign() {
        let (mut small, _) = edited();
        small.hear(&[0], (6, change(Change::Edit, digest("newer"))));
        small.hear(&[0], (7, change(Change::Delete, 0)));
        let (deliveries, foreign) = (Side::Deliveries, Kind::Foreign);
        let verdict = small.closed(&[(5, post("new", Now::Edited(6)))]);
        assert_eq!(kinds(&verdict)[..2], [(deliveries, foreign), (deliveries, foreign)]);
    }

    #[test]
    fn an_edit_that_one_member_is_not_told_is_lost() {
        let (mut small, _) = edited();
        let edit = (6, change(Change::Edit, digest("new")));
        small.hear(&[0, 2], edit);
        let verdict = small.closed(&[(5, post("new", Now::Edited(6))), edit]);
        assert_eq!(kinds(&verdict), [(Side::Deliveries, Kind::Lost)]);
    }

    #[test]
    fn an_edit_at_two_places_is_duplicated() {
        let (mut small, _) = edited();
        small.hear(&[0, 1, 2], (7, change(Change::Edit, digest("new"))));
        let verdict = small.closed(&[(5, post("new", Now::Edited(6)))]);
        assert!(kinds(&verdict).contains(&(Side::Sends, Kind::Duplicated)), "{verdict:?}");
    }

    const KICK: Told = (6, What::Moderated { by: 100, user: 102, act: Act::Kick });

    /// One message heard by all; then user 0 puts user 2 out, at 6.
    fn kicked() -> Small {
        let mut small = Small::new();
        small.says(5, 1, "all");
        small.hear(&[0, 1], (5, post("all", Now::AsSent)));
        small.ledger.asked_act(small.users[0], small.room, small.users[2], Act::Kick);
        small.ledger.acted(small.room, small.users[2], Act::Kick, 6);
        small.hear(&[0, 1], KICK);
        small
    }

    #[test]
    fn who_is_put_out_has_heard_all_before_and_hears_nothing_after() {
        let history = [(5, post("all", Now::AsSent)), KICK];
        let mut small = kicked();
        small.hear(&[2], history[0]);
        small.ledger.told_left(small.users[2], NUMBER, 6, Some(Act::Kick));
        let verdict = small.closed(&history);
        assert_eq!(kinds(&verdict), []);
        assert_eq!((verdict.removals, verdict.deliveries_due, verdict.away), (1, 3, 0));
        let mut small = kicked();
        small.ledger.told_left(small.users[2], NUMBER, 6, Some(Act::Kick));
        let verdict = small.closed(&history);
        assert_eq!(kinds(&verdict), [(Side::Deliveries, Kind::Lost)], "one message short");
        let mut small = kicked();
        small.hear(&[2], history[0]);
        small.ledger.told_left(small.users[2], NUMBER, 6, Some(Act::Kick));
        small.hear(&[2], (7, post("all", Now::AsSent)));
        let verdict = small.closed(&history);
        assert_eq!(kinds(&verdict)[0], (Side::Deliveries, Kind::Foreign), "told after it");
    }

    /// Whoever is to put it out may be slow.
    #[test]
    fn who_joins_again_before_it_was_put_out_has_heard_it_all_along() {
        let history = [(5, post("all", Now::AsSent)), KICK];
        let mut small = kicked();
        small.hear(&[2], history[0]);
        small.ledger.joined(small.users[2], small.room, 0, 4);
        small.ledger.told_left(small.users[2], NUMBER, 6, Some(Act::Kick));
        assert_eq!(kinds(&small.closed(&history)), []);
    }

    #[test]
    fn who_is_put_out_without_anybody_asking_is_a_fault() {
        let mut small = kicked();
        small.hear(&[2], (5, post("all", Now::AsSent)));
        small.ledger.told_left(small.users[1], NUMBER, 7, Some(Act::Ban));
        let verdict = small.closed(&[(5, post("all", Now::AsSent)), KICK]);
        assert_eq!(kinds(&verdict)[0], (Side::Deliveries, Kind::Foreign), "{verdict:?}");
    }

    #[test]
    fn to_be_told_no_member_needs_a_removal_in_the_rooms_order() {
        for (asked, history, faults) in [
            (Act::Kick, vec![(5, post("all", Now::AsSent)), KICK], vec![]),
            (Act::Kick, vec![(5, post("all", Now::AsSent))], vec![(Side::Sends, Kind::Lost)]),
        ] {
            let mut small = Small::new();
            small.says(5, 1, "all");
            small.hear(&[0, 1, 2], (5, post("all", Now::AsSent)));
            small.ledger.asked_act(small.users[0], small.room, small.users[2], asked);
            assert!(small.ledger.may_be_out(small.users[2], small.room));
            if history.len() > 1 {
                small.hear(&[0, 1], KICK);
            }
            small.ledger.disconnected(small.users[2]);
            small.ledger.resume_from(small.users[2], small.room, false).unwrap();
            small.ledger.put_out_while_away(small.users[2], small.room);
            assert_eq!(kinds(&small.closed(&history)), faults);
        }
    }
}
