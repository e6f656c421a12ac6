//! Rooms in which what is said waits before it has a place.

use super::*;
use crate::command::{Came, Verdict};
use crate::limits::{HELD_OF_ROOM_MAX, HELD_OF_SENDER_MAX};

/// Millisecond 0 of these tests.
fn at(ms: u64) -> Now {
    Now { at: Timestamp(NOW.at.0 + ms), posts_total: 0 }
}

fn delay(seconds: u32) -> Settings {
    Settings { delay_seconds: Some(seconds), ..Settings::default() }
}

/// A room of user 1's with a delay of ten seconds, and users 2 to 4 in it.
fn delayed(limits: &Limits) -> Kept {
    let mut kept = Kept::new(limits);
    let outcomes =
        kept.turn(&[create(1, 1), join(2, 1), join(3, 1), join(4, 1), set(1, 1, delay(10))]);
    assert!(outcomes.iter().all(Result::is_ok));
    kept
}

impl Kept {
    /// One turn at this time; what is due comes first, and its outcomes too.
    fn turn_at(&mut self, now: Now, batch: &[Request]) -> (Vec<Outcome>, Vec<Waited>) {
        let turn = self.decide_at(now, batch);
        self.events.extend(turn.events);
        (turn.outcomes, turn.waited)
    }

    /// The same, not committed yet.
    fn decide_at(&mut self, now: Now, batch: &[Request]) -> Turn {
        let mut requests = Vec::new();
        self.shard.due(now, 1_000, &mut requests);
        requests.extend_from_slice(batch);
        let facts = self.facts(&requests, now);
        self.shard.apply(&requests, &facts, now)
    }

    /// The numbers of what waits in room 1, as this account is shown them.
    fn waiting(&self, who: u64) -> Vec<u64> {
        let page = self.shard.held(room(1), UserId::new(who).unwrap(), 0, 10_000, usize::MAX);
        page.unwrap().posts.iter().map(|(post, _)| post.number).collect()
    }

    fn head(&self) -> u64 {
        self.shard.room(room(1)).unwrap().head().0
    }
}

fn settle(who: u64, number: u64, verdict: Verdict) -> Request {
    Request { from: user(who), command: Command::Held { room: room(1), number, verdict } }
}

#[track_caller]
fn number_of(outcome: Outcome) -> u64 {
    let Ok(Reply::Held { number, .. }) = outcome else { panic!("{outcome:?} does not wait") };
    number
}

fn came(outcome: Outcome) -> Option<Came> {
    match outcome {
        Ok(Reply::Unheld { came, .. }) => Some(came),
        _ => None,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside outcomes of which nothing came")]
fn said(seq: u64) -> Option<Came> {
    Some(Came::Posted { seq: Seq(seq), repeat: false })
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn refused(rejection: Rejection) -> Option<Came> {
    Some(Came::Refused(rejection))
}

#[test]
fn what_one_who_keeps_no_order_says_waits_and_has_no_place_before_its_delay_is_over() {
    let mut kept = delayed(&Limits::default());
    let head = kept.head();
    let (outcomes, waited) = kept.turn_at(at(0), &[post(2, 1, "a"), post(1, 1, "")]);
    let number = number_of(outcomes[0]);
    let until = Timestamp(NOW.at.0 + 10_000);
    assert_eq!(outcomes[0], Ok(Reply::Held { number, until, repeat: false }));
    assert_eq!(outcomes[1], posted(head + 1, 1, false), "who keeps order does not wait");
    assert_eq!((waited.len(), waited[0].came, waited[0].until), (1, None, until));
    assert_eq!(kept.shard.next_due(), Some(until));
    assert_eq!(kept.shard.room(room(1)).unwrap().posts(), 1);
    assert!(kept.turn_at(at(9_999), &[]).0.is_empty(), "not a millisecond too soon");
    let (outcomes, waited) = kept.turn_at(at(10_000), &[]);
    assert_eq!(came(outcomes[0]), said(head + 2));
    assert_eq!(waited[0].came, said(head + 2));
    let event = kept.events.last().unwrap();
    assert_eq!((event.seq, event.at), (Seq(head + 2), at(10_000).at));
    let EventKind::Posted { n: 2, author, origin_id: Some(id), .. } = &event.kind else { panic!() };
    assert_eq!((author.id.get(), id.as_str()), (2, "a"));
    assert_eq!(kept.shard.next_due(), None);
}

#[test]
fn what_waits_is_said_in_its_order_and_follows_the_rooms_delay_as_it_is_now() {
    let mut kept = delayed(&Limits::default());
    let head = kept.head();
    kept.turn_at(at(0), &[post(2, 1, "a"), post(3, 1, "b")]);
    kept.turn_at(at(1_000), &[post(2, 1, "c")]);
    kept.turn_at(at(2_000), &[set(1, 1, delay(60))]);
    assert!(kept.turn_at(at(10_000), &[]).0.is_empty(), "it is longer now");
    assert_eq!(kept.shard.next_due(), Some(at(60_000).at));
    kept.turn_at(at(11_000), &[set(1, 1, delay(0))]);
    let (outcomes, _) = kept.turn_at(at(11_000), &[post(4, 1, "d")]);
    let places: Vec<_> = outcomes[..3].iter().map(|outcome| came(*outcome)).collect();
    assert_eq!(places, [said(head + 3), said(head + 4), said(head + 5)]);
    let ids: Vec<_> =
        kept.events[kept.events.len() - 4..].iter().map(|event| &event.kind).collect();
    let ids = ids.iter().map(|kind| match kind {
        EventKind::Posted { origin_id: Some(id), .. } => id.as_str().into(),
        other => panic!("{other:?}"),
    });
    assert_eq!(ids.collect::<Vec<alloc::string::String>>(), ["a", "b", "c", "d"]);
}

#[test]
fn it_is_asked_all_again_when_its_delay_is_over() {
    let mut kept = delayed(&Limits::default());
    let words = Words::parse(vec!["hello".into()]).unwrap();
    kept.turn_at(at(0), &[post(2, 1, "a"), post(3, 1, "b"), post(4, 1, "c")]);
    let filter = Settings { words: Some(words), ..Settings::default() };
    let (outcomes, _) = kept.turn_at(
        at(5_000),
        &[
            moderate(1, 1, Act::Mute, 2),
            moderate(1, 1, Act::SetRole(Role::Moderator), 3),
            set(1, 1, filter),
        ],
    );
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let head = kept.head();
    let (outcomes, waited) = kept.turn_at(at(10_000), &[]);
    let came: Vec<_> = outcomes.iter().map(|outcome| came(*outcome)).collect();
    let muted = refused(Rejection::Muted);
    assert_eq!(came, [muted, said(head + 1), refused(Rejection::WordRefused)]);
    assert_eq!(waited.len(), 3);
    assert!(kept.waiting(1).is_empty() && kept.head() == head + 1, "and nobody waits any more");
}

#[test]
fn who_is_removed_or_leaves_or_has_all_taken_away_has_nothing_waiting() {
    for takes in [
        moderate(1, 1, Act::Kick, 2),
        moderate(1, 1, Act::Ban, 2),
        moderate(1, 1, Act::DeleteAll, 2),
        leave(2, 1),
    ] {
        let mut kept = delayed(&Limits::default());
        let said = kept.turn_at(at(0), &[post(2, 1, "a"), post(3, 1, "b"), post(2, 1, "c")]).0;
        let (outcomes, waited) = kept.turn_at(at(1), &[takes]);
        assert!(outcomes[0].is_ok());
        let gone: Vec<_> = waited.iter().map(|it| (it.post.number, it.came)).collect();
        let dropped = |outcome| (number_of(outcome), Some(Came::Dropped));
        assert_eq!(gone, [dropped(said[0]), dropped(said[2])]);
        assert_eq!(kept.waiting(1), [number_of(said[1])]);
        kept.turn_at(at(2), &[join(2, 1)]);
        assert_eq!(kept.turn_at(at(10_000), &[]).0.len(), 1, "also when it comes back");
    }
}

#[test]
fn those_who_keep_order_see_all_that_waits_and_others_their_own() {
    let mut kept = delayed(&Limits::default());
    let said = kept.turn_at(at(0), &[post(2, 1, "a"), post(3, 1, "b"), post(2, 1, "c")]).0;
    let [a, b, c] = [0, 1, 2].map(|i| number_of(said[i]));
    assert!(a < b && b < c, "ascending in their order");
    assert_eq!((kept.waiting(1), kept.waiting(2)), (vec![a, b, c], vec![a, c]));
    assert_eq!((kept.waiting(3), kept.waiting(4)), (vec![b], vec![]));
    let asked = |who, after, limit, bytes| {
        kept.shard.held(room(1), UserId::new(who).unwrap(), after, limit, bytes)
    };
    let of = |page: HeldPage| {
        (page.posts.iter().map(|(post, _)| post.number).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(of(asked(1, 0, 2, usize::MAX).unwrap()), (vec![a, b], true));
    assert_eq!(of(asked(1, b, 2, usize::MAX).unwrap()), (vec![c], false));
    assert_eq!(of(asked(1, 0, 9, 1).unwrap()), (vec![a], true), "one at least");
    assert_eq!(asked(9, 0, 9, 9), Err(Rejection::NotMember));
}

#[test]
fn one_is_let_pass_or_taken_away_by_those_who_keep_order_and_its_own_by_its_sender() {
    use Verdict::{Drop, Pass};
    let mut kept = delayed(&Limits::default());
    let said_ = kept.turn_at(at(0), &[post(2, 1, "a"), post(3, 1, "b"), post(2, 1, "c")]).0;
    let [a, b, c] = [0, 1, 2].map(|i| number_of(said_[i]));
    let head = kept.head();
    let none = Err(Rejection::NoSuchMessage);
    let (outcomes, waited) = kept.turn_at(
        at(1),
        &[
            settle(2, a, Pass),
            settle(3, a, Drop),
            settle(3, a + 1_000_000, Drop),
            settle(9, a, Drop),
            settle(1, b, Pass),
            settle(1, b, Pass),
            settle(1, a, Drop),
            settle(2, c, Drop),
        ],
    );
    assert_eq!(outcomes[0], Err(Rejection::Forbidden));
    assert_eq!(outcomes[1..3], [none, none], "another's is as if it were not there");
    assert_eq!(outcomes[3], Err(Rejection::NotMember));
    assert_eq!(came(outcomes[4]), said(head + 1));
    assert_eq!(outcomes[5], none);
    assert_eq!((came(outcomes[6]), came(outcomes[7])), (Some(Came::Dropped), Some(Came::Dropped)));
    assert_eq!(waited.len(), 3);
    assert!(kept.waiting(1).is_empty() && kept.head() == head + 1);
}

#[test]
fn one_who_keeps_order_takes_nothing_away_from_its_like() {
    let mut kept = delayed(&Limits::default());
    let said = kept.turn_at(at(0), &[post(2, 1, "a")]).0;
    let moderator = |who| moderate(1, 1, Act::SetRole(Role::Moderator), who);
    kept.turn_at(at(1), &[moderator(2), moderator(3)]);
    let number = number_of(said[0]);
    let (outcomes, _) = kept.turn_at(at(2), &[settle(3, number, Verdict::Drop)]);
    assert_eq!(outcomes[0], Err(Rejection::Forbidden));
    assert!(
        kept.turn_at(at(3), &[settle(1, number, Verdict::Drop)]).0[0].is_ok(),
        "the owner does"
    );
}

#[test]
fn the_same_origin_id_is_answered_with_the_one_that_waits_and_then_with_its_place() {
    let mut kept = delayed(&Limits::default());
    let head = kept.head();
    let outcomes = kept.turn_at(at(0), &[post(2, 1, "a"), post(2, 1, "a"), post(3, 1, "a")]).0;
    let Ok(Reply::Held { number, until, repeat: false }) = outcomes[0] else { panic!() };
    assert_eq!(outcomes[1], Ok(Reply::Held { number, until, repeat: true }));
    assert!(number_of(outcomes[2]) != number, "another's is another");
    let again = kept.turn_at(at(9_000), &[post(2, 1, "a")]).0[0];
    assert_eq!(again, outcomes[1]);
    kept.turn_at(at(10_000), &[]);
    let again = kept.turn_at(at(11_000), &[post(2, 1, "a")]).0[0];
    let place = Reply::Posted { seq: Seq(head + 1), n: 1, at: at(10_000).at, repeat: true };
    assert_eq!(again, Ok(place));
}

#[test]
fn one_that_was_posted_meanwhile_is_not_posted_again() {
    let mut kept = delayed(&Limits::default());
    kept.turn_at(at(0), &[post(2, 1, "a")]);
    // Lifted, and said again before what waits is due in the next turn.
    let (outcomes, _) = kept.turn_at(at(1), &[set(1, 1, delay(0)), post(2, 1, "a")]);
    let Ok(Reply::Posted { seq, repeat: false, .. }) = outcomes[1] else { panic!("{outcomes:?}") };
    let (outcomes, _) = kept.turn_at(at(2), &[]);
    assert_eq!(came(outcomes[0]), Some(Came::Posted { seq, repeat: true }));
    assert_eq!(kept.head(), seq.0);
}

#[test]
fn one_that_waits_counts_as_said_for_slow_mode() {
    let mut kept = delayed(&Limits::default());
    let slow = Settings { slow_seconds: Some(4), ..Settings::default() };
    kept.turn_at(at(0), &[set(1, 1, slow)]);
    let wait = |retry_after_ms| Err(Rejection::SlowMode { retry_after_ms });
    let (outcomes, _) = kept.turn_at(at(0), &[post(2, 1, "a"), post(2, 1, "b"), post(2, 1, "a")]);
    assert_eq!(outcomes[1], wait(4_000));
    assert!(matches!(outcomes[2], Ok(Reply::Held { repeat: true, .. })), "a repeat is none");
    assert_eq!(kept.turn_at(at(3_999), &[post(2, 1, "b")]).0[0], wait(1));
    number_of(kept.turn_at(at(4_000), &[post(2, 1, "b")]).0[0]);
    let (outcomes, _) = kept.turn_at(at(14_000), &[]);
    assert!(outcomes.iter().all(|outcome| matches!(came(*outcome), Some(Came::Posted { .. }))));
    assert_eq!(outcomes.len(), 2, "what was said in time is let out whenever that is");
}

#[test]
fn a_turn_that_is_not_committed_leaves_what_waits_as_it_was_and_is_not_tried_again_at_once() {
    let mut kept = delayed(&Limits::default());
    let said_ = kept.turn_at(at(0), &[post(2, 1, "a"), post(3, 1, "b"), post(4, 1, "c")]).0;
    let (before, head, due) = (kept.waiting(1), kept.head(), kept.shard.next_due());
    // Due, held, taken away, lengthened: all at once.
    let batch = [
        post(2, 1, "d"),
        settle(1, number_of(said_[1]), Verdict::Drop),
        set(1, 1, delay(20)),
        moderate(1, 1, Act::Kick, 4),
        post(3, 1, "e"),
    ];
    let turn = kept.decide_at(at(5_000), &batch);
    assert!(turn.outcomes.iter().all(Result::is_ok) && turn.waited.len() == 4);
    kept.shard.revert(turn);
    assert_eq!((kept.waiting(1), kept.head()), (before.clone(), head));
    assert_eq!(kept.shard.next_due(), due, "nothing was due, and nothing is put off");
    let turn = kept.decide_at(at(10_000), &[]);
    assert_eq!(turn.events.len(), 3);
    kept.shard.revert(turn);
    assert_eq!((kept.waiting(1), kept.head()), (before, head));
    assert_eq!(kept.shard.next_due(), Some(at(11_000).at), "in a second");
    assert!(kept.turn_at(at(10_999), &[]).0.is_empty());
    let (outcomes, _) = kept.turn_at(at(11_000), &[]);
    let places: Vec<_> = outcomes.iter().map(|outcome| came(*outcome)).collect();
    assert_eq!(places, [said(head + 1), said(head + 2), said(head + 3)], "in its order");
}

#[test]
fn so_many_of_one_sender_and_of_one_room_wait_and_not_one_more() {
    let mut kept = delayed(&Limits::default());
    let full = Err(Rejection::LimitReached);
    let many = vec![post(2, 1, ""); HELD_OF_SENDER_MAX + 1];
    let (outcomes, _) = kept.turn_at(at(0), &many);
    assert!(outcomes[..HELD_OF_SENDER_MAX].iter().all(Result::is_ok));
    assert_eq!(outcomes[HELD_OF_SENDER_MAX], full);
    let senders = (HELD_OF_ROOM_MAX / HELD_OF_SENDER_MAX) as u64;
    let others = 10..10 + senders - 1;
    let joins: Vec<_> = others.clone().chain([99]).map(|who| join(who, 1)).collect();
    kept.turn_at(at(1), &joins);
    let many: Vec<_> = others.flat_map(|who| vec![post(who, 1, ""); HELD_OF_SENDER_MAX]).collect();
    let (outcomes, _) = kept.turn_at(at(2), &many[1..]);
    assert!(outcomes.iter().all(Result::is_ok), "{:?}", outcomes.last());
    let (outcomes, _) = kept.turn_at(at(3), &[post(99, 1, ""), post(99, 1, "")]);
    assert_eq!((outcomes[0].is_ok(), outcomes[1]), (true, full));
    assert_eq!(kept.waiting(1).len(), HELD_OF_ROOM_MAX);
    // One that waits no longer makes place.
    let first = kept.waiting(1)[0];
    let (outcomes, _) = kept.turn_at(at(4), &[settle(1, first, Verdict::Drop), post(99, 1, "")]);
    assert!(outcomes.iter().all(Result::is_ok));
}

#[test]
fn so_many_posts_and_bytes_wait_on_a_server_and_not_one_more() {
    let limits = Limits { held_max: 3, ..Limits::default() };
    let mut one = delayed(&limits);
    let mut other = Kept::new(&limits);
    other.shard.count_held_with(&one.shard);
    other.turn(&[create(1, 2), join(2, 2), set(1, 2, delay(10))]);
    assert!(one.turn_at(at(0), &[post(2, 1, ""), post(2, 1, "")]).0.iter().all(Result::is_ok));
    let (outcomes, _) = other.turn_at(at(0), &[post(2, 2, ""), post(2, 2, "")]);
    assert_eq!((outcomes[0].is_ok(), outcomes[1]), (true, Err(Rejection::LimitReached)));
    one.turn_at(at(1), &[leave(2, 1)]);
    let (outcomes, _) = other.turn_at(at(1), &[post(2, 2, ""), post(2, 2, ""), post(2, 2, "")]);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);

    let mut kept = delayed(&Limits::default());
    let first = kept.turn_at(at(0), &[post(2, 1, "")]).1;
    let bytes = first[0].post.bytes();
    for (held_bytes_max, fit) in [(3 * bytes - 1, 2), (3 * bytes, 3), (3 * bytes + 1, 3)] {
        let mut kept = delayed(&Limits { held_bytes_max, ..Limits::default() });
        let (outcomes, _) = kept.turn_at(at(0), &vec![post(2, 1, ""); 4]);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), fit);
    }
}

#[test]
fn a_text_is_changed_in_a_room_with_a_delay_by_those_who_keep_order_only() {
    let mut kept = delayed(&Limits::default());
    let own = kept.head() + 1;
    kept.turn_at(at(0), &[post(2, 1, ""), post(1, 1, "")]);
    kept.turn_at(at(10_000), &[]);
    let edit = |who, of| {
        let body = Body::parse("another").unwrap();
        Request { from: user(who), command: Command::Edit { room: room(1), of: Seq(of), body } }
    };
    let (outcomes, _) = kept.turn_at(at(10_001), &[edit(2, own + 1), edit(1, own)]);
    assert_eq!((outcomes[0], outcomes[1].is_ok()), (Err(Rejection::Forbidden), true));
    let take_back = Command::Delete { room: room(1), of: Seq(own + 1) };
    let take_back = Request { from: user(2), command: take_back };
    assert!(kept.turn_at(at(10_002), &[take_back]).0[0].is_ok(), "one's own is taken back");
    kept.turn_at(at(10_003), &[set(1, 1, delay(0)), post(2, 1, "")]);
    let last = kept.head();
    assert!(kept.turn_at(at(10_004), &[edit(2, last)]).0[0].is_ok(), "where there is none");
}

#[test]
fn a_delay_is_five_minutes_at_most() {
    for (seconds, expected) in
        [(0, Ok(())), (299, Ok(())), (300, Ok(())), (301, Err(Rejection::BadArgument))]
    {
        assert_eq!(delay(seconds).check(), expected, "{seconds}");
    }
}

#[test]
fn a_number_is_no_count_of_what_others_say() {
    let number = |others: usize| {
        let mut kept = delayed(&Limits::default());
        let many = vec![post(2, 1, ""); others];
        kept.turn_at(at(0), &many);
        number_of(kept.turn_at(at(50), &[post(3, 1, "")]).0[0])
    };
    let (alone, among) = (number(0), number(15));
    assert_eq!(alone >> 10, among >> 10, "the millisecond");
    assert_eq!(alone >> 10, at(50).at.0);
}
