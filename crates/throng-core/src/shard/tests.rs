//! What a shard decides, case by case. Random histories against a model are in `tests/`.

mod answered;
mod blank;
mod direct;
mod guests;
mod held;
mod invited;
mod repeats;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;

use super::*;
use crate::rights::{Act, Role, Settings, Speak, Standing, Visibility};
use crate::text::{Body, OriginId, Username};

const NOW: Now = Now { at: Timestamp(1_000_000), posts_total: 0 };

fn room(number: u32) -> RoomId {
    RoomId::new(number).unwrap()
}

fn user(number: u64) -> Author {
    let name = Username::parse(&format!("u{number}")).unwrap();
    Author { id: UserId::new(number).unwrap(), name }
}

fn origin(text: &str) -> OriginId {
    OriginId::parse(text).unwrap()
}

fn create(who: u64, number: u32) -> Request {
    let name = RoomName::parse(&format!("room {number}")).unwrap();
    Request {
        from: user(who),
        command: Command::Create { room: room(number), name, kind: Kind::Public, settings: None },
    }
}

fn join(who: u64, number: u32) -> Request {
    Request { from: user(who), command: Command::Join { room: room(number) } }
}

fn leave(who: u64, number: u32) -> Request {
    Request { from: user(who), command: Command::Leave { room: room(number) } }
}

fn post(who: u64, number: u32, origin_id: &str) -> Request {
    let origin_id = (!origin_id.is_empty()).then(|| origin(origin_id));
    let body = Body::parse("hello").unwrap();
    Request {
        from: user(who),
        command: Command::Post { room: room(number), origin_id, body, extras: None },
    }
}

type Outcome = Result<Reply, Rejection>;

#[expect(clippy::unnecessary_wraps, reason = "it stands beside outcomes that are refusals")]
fn posted(seq: u64, n: u64, repeat: bool) -> Outcome {
    Ok(Reply::Posted { seq: Seq(seq), n, at: NOW.at, repeat })
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn joined(seq: u64, already: bool) -> Outcome {
    Ok(Reply::Joined { seq: Seq(seq), already })
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn left(seq: u64) -> Outcome {
    Ok(Reply::Left { seq: Seq(seq) })
}

/// A shard with its whole history, from which wanted events are found.
struct Kept {
    shard: Shard,
    events: Vec<Arc<Event>>,
    /// Who takes nothing from whom.
    unwanted: Vec<(UserId, UserId)>,
}

impl Kept {
    fn new(limits: &Limits) -> Self {
        Self { shard: Shard::new(7, limits), events: Vec::new(), unwanted: Vec::new() }
    }

    fn facts(&self, batch: &[Request], now: Now) -> Facts {
        let mut wants = Vec::new();
        self.shard.wants(batch, now, &mut wants);
        let mut facts = Facts::default();
        for want in wants {
            let found = |room, seq| self.events.iter().find(|e| (e.room, e.seq) == (room, seq));
            match want {
                Want::Origins { .. } => {}
                Want::Event { room, seq } => {
                    facts.add(Arc::clone(found(room, seq).expect("it wants what there is")));
                }
                Want::Message { room, seq } => {
                    let found = found(room, seq).expect("it wants what there is");
                    let deletes = |e: &&Arc<Event>| {
                        e.room == room
                            && matches!(e.kind, EventKind::Deleted { of, .. } if of == seq)
                    };
                    let deleted = self.events.iter().find(deletes).is_some();
                    let shown = if deleted { Arc::new(found.erased()) } else { found.clone() };
                    facts.add_message(shown);
                }
                Want::Consent { room, from, to } => {
                    if self.unwanted.contains(&(to, from)) {
                        facts.refuse(room, from, to);
                    }
                }
                Want::Tallies { room, seq, user } => {
                    let about = |e: &&Arc<Event>| e.room == room && e.kind.changes() == Some(seq);
                    let mut tallies = Vec::new();
                    for event in self.events.iter().filter(about) {
                        crate::reaction::take_in(&mut tallies, event, user);
                    }
                    facts.add_tallies(room, seq, user, tallies);
                }
            }
        }
        facts
    }

    fn turn(&mut self, batch: &[Request]) -> Vec<Outcome> {
        let facts = self.facts(batch, NOW);
        let turn = self.shard.apply(batch, &facts, NOW);
        self.events.extend(turn.events);
        turn.outcomes
    }
}

#[test]
fn a_room_begins_with_its_making_and_its_maker() {
    let mut kept = Kept::new(&Limits::default());
    assert_eq!(kept.turn(&[create(1, 1)]), [Ok(Reply::Created { seq: Seq(2) })]);
    assert_eq!(kept.events.len(), 2);
    assert!(matches!(kept.events[0].kind, EventKind::Created { .. }));
    assert!(matches!(kept.events[1].kind, EventKind::Joined { .. }));
    assert_eq!((kept.events[0].seq, kept.events[0].prev), (Seq(1), Seq(0)));
    assert_eq!((kept.events[1].seq, kept.events[1].prev), (Seq(2), Seq(1)));
}

#[test]
fn only_members_post_and_leave() {
    let mut kept = Kept::new(&Limits::default());
    let outcomes = kept.turn(&[
        create(1, 1),
        post(2, 1, "a"),
        leave(2, 1),
        post(1, 2, "a"),
        leave(1, 2),
        join(1, 2),
        join(2, 1),
        post(2, 1, "a"),
        leave(2, 1),
        post(2, 1, "b"),
        post(2, 1, "a"),
    ]);
    let (stranger, absent) = (Err(Rejection::NotMember), Err(Rejection::NoSuchRoom));
    assert_eq!(outcomes[1..6], [stranger, stranger, absent, absent, absent]);
    assert_eq!(outcomes[6..9], [joined(3, false), posted(4, 1, false), left(5)]);
    assert_eq!(outcomes[9..], [stranger, stranger], "a repeat is for members, too");
}

#[test]
fn a_repeat_gets_the_first_ack_in_the_same_turn_and_later() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), join(2, 1)]);
    let batch = [post(1, 1, "a"), post(2, 1, "a"), post(1, 1, "a"), post(1, 1, "")];
    let first = [posted(4, 1, false), posted(5, 2, false), posted(4, 1, true), posted(6, 3, false)];
    assert_eq!(kept.turn(&batch), first);
    let again = kept.turn(&batch);
    assert_eq!(again[..3], [posted(4, 1, true), posted(5, 2, true), posted(4, 1, true)]);
    assert_eq!(again[3], posted(7, 4, false), "without an origin_id it is another message");
}

#[test]
fn joining_twice_tells_the_place_of_the_first_time() {
    let mut kept = Kept::new(&Limits::default());
    let outcomes = kept.turn(&[create(1, 1), join(2, 1), join(2, 1), join(1, 1)]);
    assert_eq!(outcomes[1..], [joined(3, false), joined(3, true), joined(2, true)]);
    let outcomes = kept.turn(&[leave(2, 1), join(2, 1), join(2, 1)]);
    assert_eq!(outcomes, [left(4), joined(5, false), joined(5, true)]);
}

#[test]
fn a_full_room_takes_nobody_until_someone_leaves() {
    let mut kept = Kept::new(&Limits { members_max: 3, ..Limits::default() });
    let full = Err(Rejection::LimitReached);
    let outcomes = kept.turn(&[create(1, 1), join(2, 1), join(3, 1), join(4, 1), join(3, 1)]);
    assert_eq!(outcomes[1..], [joined(3, false), joined(4, false), full, joined(4, true)]);
    assert_eq!(kept.turn(&[leave(1, 1), join(4, 1)]), [left(5), joined(6, false)]);
}

#[test]
fn comings_and_goings_of_a_large_room_are_kept_and_not_pushed() {
    let mut kept = Kept::new(&Limits { pushed_members_max: 3, ..Limits::default() });
    kept.turn(&[create(1, 1), join(2, 1), join(3, 1), join(4, 1), post(1, 1, "")]);
    kept.turn(&[leave(4, 1), leave(3, 1), leave(2, 1), post(1, 1, "")]);
    let pushed: Vec<_> = kept.events.iter().map(|e| (e.seq.0, e.pushed, e.prev.0)).collect();
    let expected = [
        (1, true, 0),
        (2, true, 1),
        (3, true, 2),
        (4, true, 3),  // The third member comes,
        (5, false, 4), // the fourth,
        (6, true, 4),
        (7, false, 6), // the fourth goes,
        (8, true, 6),  // the third.
        (9, true, 8),
        (10, true, 9),
    ];
    assert_eq!(pushed, expected);
}

#[test]
fn that_one_is_named_no_more_is_pushed_in_a_room_of_any_size() {
    let mut kept = Kept::new(&Limits { pushed_members_max: 1, ..Limits::default() });
    kept.turn(&[create(1, 1), join(2, 1), join(3, 1), join(4, 1)]);
    let from = Author { name: Username::gone(), ..user(4) };
    kept.turn(&[Request { from, ..leave(4, 1) }, leave(3, 1)]);
    let pushed: Vec<_> = kept.events.iter().skip(5).map(|e| (e.seq.0, e.pushed)).collect();
    assert_eq!(pushed, [(6, true), (7, false)]);
}

#[test]
fn the_last_place_of_a_room_is_given_and_no_other() {
    let mut shard = Shard::new(7, &Limits::default());
    shard.restore(restored(SEQ_MAX - 1));
    let batch = [post(1, 1, ""), post(1, 1, ""), leave(1, 1), join(2, 1)];
    let turn = shard.apply(&batch, &Facts::default(), NOW);
    let full = Err(Rejection::LimitReached);
    assert_eq!(turn.outcomes, [posted(SEQ_MAX, 11, false), full, full, full]);
}

fn restored(head: u64) -> Restored {
    Restored {
        room: room(1),
        name: RoomName::parse("room").unwrap(),
        at: Timestamp(5),
        head: Seq(head),
        pushed: Seq(head),
        posts: 10,
        policy: Policy::default(),
        words: Words::default(),
        people: vec![(UserId::new(1).unwrap(), Person::new(Seq(2), Standing::of(Role::Owner)))],
        pins: Vec::new(),
    }
}

#[test]
fn time_never_goes_back() {
    let mut shard = Shard::new(7, &Limits::default());
    shard.restore(Restored { at: Timestamp(500), ..restored(5) });
    let mut at = |now| {
        let now = Now { at: Timestamp(now), posts_total: 0 };
        let turn = shard.apply(&[post(1, 1, "")], &Facts::default(), now);
        turn.events[0].at.0
    };
    assert_eq!([at(400), at(600), at(550), at(601)], [500, 600, 600, 601]);
}

#[test]
fn a_restored_room_wants_its_origin_ids_and_then_the_events_they_may_repeat() {
    let mut shard = Shard::new(7, &Limits::default());
    shard.restore(restored(12));
    let batch = [post(1, 1, "old"), post(1, 1, "new"), post(1, 1, "")];
    let mut wants = Vec::new();
    shard.wants(&batch, NOW, &mut wants);
    let since = Timestamp(0);
    assert_eq!(wants, [Want::Origins { room: room(1), through: Seq(12), since }]);

    let refused = shard.apply(&batch, &Facts::default(), NOW);
    let unavailable = Err(Rejection::Unavailable);
    assert_eq!(refused.outcomes, [unavailable, unavailable, posted(13, 11, false)]);
    shard.revert(refused);

    let old = origin("old");
    let mut load = |seq| {
        shard.load_origin(room(1), UserId::new(1).unwrap(), old.as_str(), Seq(seq), NOW.at);
    };
    load(9); // The store fails after this one, and is asked again.
    load(9);
    load(13);
    shard.origins_loaded(room(1));
    assert_eq!(shard.origins_len(), 1, "13 was not asked for, and 9 was known");
    wants.clear();
    shard.wants(&batch, NOW, &mut wants);
    assert_eq!(wants, [Want::Event { room: room(1), seq: Seq(9) }]);

    let unread = shard.apply(&batch, &Facts::default(), NOW);
    let (new, plain) = (posted(13, 11, false), posted(14, 12, false));
    assert_eq!(unread.outcomes, [unavailable, new, plain]);
    shard.revert(unread);

    let mut facts = Facts::default();
    facts.add(Arc::new(Event {
        room: room(1),
        seq: Seq(9),
        prev: Seq(8),
        pushed: true,
        at: NOW.at,
        kind: EventKind::Posted {
            n: 8,
            author: user(1),
            origin_id: Some(old.clone()),
            body: Body::parse("first").unwrap(),
            extras: None,
        },
    }));
    assert_eq!(shard.apply(&batch, &facts, NOW).outcomes, [posted(9, 8, true), new, plain]);
}

#[test]
fn a_shared_fingerprint_is_no_repeat() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), post(1, 1, "a")]);
    // The table is told that "b" has been seen at the place of "a", and at that of the `Joined`.
    let fingerprint = kept.shard.fingerprint(UserId::new(1).unwrap(), "b");
    let (grain, cutoff) = (kept.shard.window.grain(NOW.at), kept.shard.window.cutoff());
    for seq in [3, 2] {
        kept.shard.rooms[0].origins.insert(fingerprint, Seq(seq), grain, cutoff);
    }
    assert_eq!(kept.facts(&[post(1, 1, "b")], NOW).events.len(), 2);
    assert_eq!(kept.turn(&[post(1, 1, "b")]), [posted(4, 2, false)]);
    assert_eq!(kept.turn(&[post(1, 1, "b")]), [posted(4, 2, true)], "behind the false ones");
}

#[test]
fn an_origin_id_is_remembered_through_the_window_and_its_memory_given_back_after_it() {
    let limits = Limits { origin_window_ms: 1_000, ..Limits::default() };
    let mut kept = Kept::new(&limits);
    kept.turn(&[create(1, 1), create(1, 2)]);
    for i in 0..500 {
        kept.turn(&[post(1, 1, &format!("{i}")), post(1, 2, &format!("{i}"))]);
    }
    let full = kept.shard.origins_bytes();
    assert!(full >= 10_000, "{full}");
    for (at, repeat) in [(1_000, true), (1_001, false)] {
        let now = Now { at: Timestamp(NOW.at.0 + at), posts_total: 0 };
        let facts = kept.facts(&[post(1, 1, "0")], now);
        let turn = kept.shard.apply(&[post(1, 1, "0")], &facts, now);
        assert!(matches!(turn.outcomes[0], Ok(Reply::Posted { repeat: r, .. }) if r == repeat));
        kept.events.extend(turn.events);
    }
    let now = Now { at: Timestamp(NOW.at.0 + 1_001), posts_total: 0 };
    for _ in 0..100 {
        let turn = kept.shard.apply(&[], &Facts::default(), now);
        assert!(turn.outcomes.is_empty() && turn.events.is_empty());
    }
    assert_eq!(kept.shard.origins_len(), 1);
    assert!(kept.shard.origins_bytes() < 100, "the cold room has given its memory back");
}

#[test]
fn a_log_that_does_not_follow_the_store_is_told_and_changes_nothing() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), post(1, 1, "a"), post(1, 1, "b"), join(2, 1)]);
    let mut shard = Shard::new(7, &Limits::default());
    assert!(shard.replay(&kept.events[1]).is_err(), "no such room");
    assert_eq!(shard.replay(&kept.events[0]), Ok(()));
    assert!(shard.replay(&kept.events[2]).is_err(), "a gap");
    for event in &kept.events {
        assert_eq!(shard.replay(event), Ok(()), "what it has already is passed over");
    }
    assert_eq!(shard.room(room(1)).unwrap().head(), Seq(5));
    let mut odd = Event::clone(&kept.events[3]);
    odd.seq = Seq(6);
    assert!(shard.replay(&odd).is_err(), "its prev and its number are of another place");
    assert_eq!(shard.room(room(1)).unwrap().head(), Seq(5));
}

#[test]
#[should_panic(expected = "is made once")]
fn making_a_room_twice_is_a_bug() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), create(2, 1)]);
}

fn moderate(by: u64, number: u32, act: Act, who: u64) -> Request {
    let command = Command::Moderate { room: room(number), act, who: user(who) };
    Request { from: user(by), command }
}

fn edit(who: u64, number: u32, of: u64, text: &str) -> Request {
    let body = Body::parse(text).unwrap();
    Request { from: user(who), command: Command::Edit { room: room(number), of: Seq(of), body } }
}

fn delete(who: u64, number: u32, of: u64) -> Request {
    Request { from: user(who), command: Command::Delete { room: room(number), of: Seq(of) } }
}

fn set(who: u64, number: u32, settings: Settings) -> Request {
    let settings = Box::new(settings);
    Request { from: user(who), command: Command::Set { room: room(number), settings } }
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn applied(seq: u64, already: bool) -> Outcome {
    Ok(Reply::Applied { seq: Seq(seq), at: NOW.at, already })
}

#[test]
fn who_is_kicked_may_come_back_and_who_is_banned_may_not_until_that_is_lifted() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), join(2, 1)]);
    let outcomes = kept.turn(&[
        moderate(2, 1, Act::Kick, 1),
        moderate(1, 1, Act::Kick, 2),
        post(2, 1, ""),
        join(2, 1),
        moderate(1, 1, Act::Ban, 2),
        moderate(1, 1, Act::Ban, 2),
        join(2, 1),
        moderate(1, 1, Act::Unban, 2),
        join(2, 1),
        moderate(1, 1, Act::Kick, 9),
        moderate(1, 1, Act::Kick, 1),
    ]);
    let (forbidden, banned) = (Err(Rejection::Forbidden), Err(Rejection::Banned));
    let kicked = [forbidden, applied(4, false), Err(Rejection::NotMember), joined(5, false)];
    assert_eq!(outcomes[..4], kicked);
    let lifted = [applied(6, false), applied(6, true), banned, applied(7, false), joined(8, false)];
    assert_eq!(outcomes[4..9], lifted);
    assert_eq!(outcomes[9..], [Err(Rejection::NoSuchUser), forbidden], "nobody kicks itself");
}

#[test]
fn a_mute_outlasts_leaving_and_counts_among_the_marks_that_a_room_may_keep() {
    let mut kept = Kept::new(&Limits { marked_max: 2, ..Limits::default() });
    kept.turn(&[create(1, 1), join(2, 1), join(3, 1), join(4, 1)]);
    let outcomes = kept.turn(&[
        moderate(1, 1, Act::Mute, 2),
        leave(2, 1),
        join(2, 1),
        post(2, 1, ""),
        moderate(1, 1, Act::Ban, 3),
        moderate(1, 1, Act::Mute, 4),
        moderate(1, 1, Act::Ban, 2),
        moderate(1, 1, Act::Unban, 3),
        moderate(1, 1, Act::Mute, 4),
    ]);
    assert_eq!(outcomes[3], Err(Rejection::Muted));
    assert_eq!(outcomes[4], applied(9, false), "the second of two");
    assert_eq!(outcomes[5], Err(Rejection::LimitReached), "a third is one too many");
    assert_eq!(outcomes[6], applied(10, false), "one that has a mark may have another");
    assert_eq!(outcomes[8], applied(12, false), "a place was made");
}

#[test]
fn a_message_is_edited_by_its_sender_and_deleted_by_it_or_by_those_above_it() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), join(2, 1), join(3, 1), post(2, 1, ""), post(1, 1, "")]);
    let outcomes = kept.turn(&[
        edit(2, 1, 5, "better"),
        edit(1, 1, 5, "not mine"),
        delete(3, 1, 5),
        delete(2, 1, 6),
        edit(2, 1, 3, "no post"),
        edit(2, 1, 0, "before all"),
        delete(2, 1, 99),
        delete(1, 1, 5),
        edit(2, 1, 5, "too late"),
        delete(2, 1, 5),
    ]);
    let (forbidden, none) = (Err(Rejection::Forbidden), Err(Rejection::NoSuchMessage));
    let edits = [applied(7, false), forbidden, forbidden, forbidden, none, none, none];
    assert_eq!(outcomes[..7], edits);
    assert_eq!(outcomes[7..], [applied(8, false), none, applied(8, true)]);
    let later = kept.turn(&[edit(2, 1, 5, "too late"), delete(2, 1, 5), delete(1, 1, 6)]);
    assert_eq!(later, [none, applied(8, true), applied(9, false)], "also in another turn");
}

#[test]
fn slow_mode_says_how_long_to_wait_and_lets_moderators_and_repeats_through() {
    let mut kept = Kept::new(&Limits::default());
    let slow = |seconds| Settings { slow_seconds: Some(seconds), ..Settings::default() };
    kept.turn(&[create(1, 1), join(2, 1), set(1, 1, slow(10))]);
    let mut at = |ms, batch: &[Request]| {
        let now = Now { at: Timestamp(NOW.at.0 + ms), posts_total: 0 };
        let facts = kept.facts(batch, now);
        let turn = kept.shard.apply(batch, &facts, now);
        kept.events.extend(turn.events);
        turn.outcomes
    };
    let first = at(0, &[post(2, 1, "a"), post(2, 1, "b"), post(2, 1, "a"), post(1, 1, "")]);
    let wait = |retry_after_ms| Err(Rejection::SlowMode { retry_after_ms });
    assert_eq!(first[1], wait(10_000));
    assert!(matches!(first[2], Ok(Reply::Posted { repeat: true, .. })));
    assert!(first[3].is_ok());
    assert_eq!(at(9_999, &[post(2, 1, "b"), post(1, 1, "")])[0], wait(1));
    assert!(at(10_000, &[post(2, 1, "b")])[0].is_ok());
    let own = edit(2, 1, 5, "another text");
    assert_eq!(at(19_999, core::slice::from_ref(&own))[0], wait(1), "an edit counts as a post");
    assert!(at(20_000, core::slice::from_ref(&own))[0].is_ok());
    assert_eq!(at(29_999, &[post(2, 1, "c"), own])[..], [wait(1), wait(1)]);
    assert!(at(30_001, &[set(1, 1, slow(0)), post(2, 1, "c")])[1].is_ok(), "switched off");
}

#[test]
fn a_turn_of_moderation_that_is_not_committed_leaves_everything_as_it_was() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), join(2, 1), join(3, 1), post(2, 1, "")]);
    let state = |kept: &Kept| {
        let room = kept.shard.room(room(1)).unwrap();
        let mut people: Vec<_> = room.people().collect();
        people.sort_unstable();
        (room.head(), room.pushed(), room.policy(), room.words(), people)
    };
    let before = state(&kept);
    let changed = Settings {
        speak: Some(Speak::Voiced),
        history: Some(Visibility::Joining),
        slow_seconds: Some(5),
        words: Some(Words::parse(vec!["tea".into()]).unwrap()),
        keep_seconds: Some(60),
        name: None,
        topic: None,
        avatar: None,
        delay_seconds: Some(5),
    };
    let batch = [
        moderate(1, 1, Act::SetRole(Role::Moderator), 3),
        set(1, 1, changed),
        moderate(3, 1, Act::Ban, 2),
        post(3, 1, ""),
        moderate(1, 1, Act::Unban, 2),
        moderate(1, 1, Act::Mute, 3),
        leave(3, 1),
    ];
    let facts = kept.facts(&batch, NOW);
    let turn = kept.shard.apply(&batch, &facts, NOW);
    assert!(turn.outcomes.iter().all(Result::is_ok), "{:?}", turn.outcomes);
    kept.shard.revert(turn);
    assert_eq!(state(&kept), before);
    assert!(kept.turn(&batch).iter().all(Result::is_ok), "and can be done again");
}

#[test]
fn a_reply_names_a_place_that_is_there_and_in_its_senders_sight() {
    let mut kept = Kept::new(&Limits::default());
    let joining = Settings { history: Some(Visibility::Joining), ..Settings::default() };
    kept.turn(&[create(1, 1), post(1, 1, ""), set(1, 1, joining), join(2, 1)]);
    let reply = |who, to| {
        let mut request = post(who, 1, "");
        if let Command::Post { extras, .. } = &mut request.command {
            *extras = crate::event::Extras::parse(to, &[1, 9]).unwrap();
        }
        request
    };
    let none = Err(Rejection::NoSuchMessage);
    let outcomes = kept.turn(&[reply(1, 3), reply(1, 7), reply(2, 4), reply(2, 5), reply(2, 7)]);
    assert_eq!(outcomes[..3], [posted(6, 2, false), none, none]);
    assert_eq!(outcomes[3..], [posted(7, 3, false), posted(8, 4, false)]);
    let EventKind::Posted { extras: Some(extras), .. } = &kept.events[5].kind else { panic!() };
    assert_eq!((extras.reply_to, extras.mentions.len()), (Some(Seq(3)), 2));
}
