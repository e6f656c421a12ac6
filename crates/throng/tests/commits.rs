//! Turns whose commit fails, with a server in this process on a log that does as it is told: every
//! sender hears *unavailable*, no receiver hears anything, the next turn works. And a turn full of
//! good requests with bad ones among them.

pub mod gate;

use std::time::Duration;

use throng_core::limits::UNAVAILABLE_RETRY_AFTER_MS;
use throng_server::clock::Clock;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{
    CreateRoom, Event, Join, Leave, ListHeld, Ping, Posted, Reply, SetRoom, SettleHeld,
};

use crate::raw_client::{Client, post};
use gate::{Ending, Server};

const THERE: &str = "the server is there";

#[test]
fn a_full_disk_refuses_the_turn_and_the_next_one_works() {
    a_failed_commit_is_refused_to_all_and_told_to_nobody(Ending::Full);
}

#[test]
fn a_failed_write_refuses_the_turn_and_the_next_one_works() {
    a_failed_commit_is_refused_to_all_and_told_to_nobody(Ending::Io);
}

fn a_failed_commit_is_refused_to_all_and_told_to_nobody(failure: Ending) {
    let server = Server::start();
    let [mut ann, mut bob, mut eve] = ["ann", "bob", "eve"].map(|name| server.register(name));
    let room = ann.create_room("room");
    bob.ask(join(room)).expect(THERE);
    eve.ask(join(room)).expect(THERE);

    // One turn is under way; all that comes meanwhile is the next one, and that one fails.
    server.gate.hold();
    let before = ann.send(post(room, "", "before")).expect(THERE);
    server.gate.wait_until_held();
    let of_ann = ask_in_turn(&mut ann, (0..3).map(|i| post(room, &format!("a{i}"), "lost")));
    let of_bob = ask_in_turn(&mut bob, [post(room, "b0", "lost"), leave(room), create("other")]);
    server.gate.release(&[Ending::Done, failure]);
    let answers = answers(&mut ann, 4);
    assert_eq!(answers[0].0, before);
    let first = posted(&answers[0].1);
    all_unavailable(&of_ann, &answers[1..]);
    all_unavailable(&of_bob, &self::answers(&mut bob, 3));
    assert_eq!(server.turns_reverted(), 1);

    // As if it had never been: the same id is no repeat, the next place is given, the name is free.
    let again = ann.ask(post(room, "a0", "after")).expect(THERE).0;
    let again = posted(&again);
    assert_eq!((again.seq, again.n, again.repeat), (first.seq + 1, first.n + 1, false));
    let told = events(&mut eve, 2);
    assert_eq!(told.iter().map(body).collect::<Vec<_>>(), ["before", "after"]);
    assert_eq!((told[1].seq, told[1].prev), (told[0].seq + 1, told[0].seq));
    assert!(matches!(bob.ask(create("other")), Ok((Outcome::Joined(_), _))));
    assert!(matches!(bob.ask(post(room, "b0", "still here")), Ok((Outcome::Posted(_), _))));
    let history = eve.history(room, again.seq).expect(THERE);
    assert_eq!(history.iter().map(body).collect::<Vec<_>>(), ["still here"]);
}

#[test]
fn what_waits_for_a_delay_and_cannot_be_committed_waits_on_and_is_seen_once() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |_| {});
    let [mut ann, mut bob, mut eve] = ["ann", "bob", "eve"].map(|name| server.register(name));
    let room = ann.create_room("room");
    bob.ask(join(room)).expect(THERE);
    eve.ask(join(room)).expect(THERE);
    let delay = SetRoom { room, delay_seconds: Some(10), ..SetRoom::default() };
    assert!(matches!(ann.ask(Request::SetRoom(delay)), Ok((Outcome::Applied(_), _))));
    let held = match bob.ask(post(room, "b0", "later")).expect(THERE).0 {
        Outcome::Held(held) => held.held,
        other => panic!("{other:?} does not wait"),
    };

    // Let pass by its moderator, who hears of it.
    server.gate.release(&[Ending::Full]);
    let pass = Request::SettleHeld(SettleHeld { room, held, pass: true });
    assert_eq!(name_of(&ann.ask(pass).expect(THERE).0), "unavailable");
    assert_eq!((server.turns_reverted(), waiting(&mut ann, room)), (1, vec![held]));

    // Its time comes, and nobody waits for an answer.
    server.gate.hold();
    clock.advance(Duration::from_secs(10));
    server.gate.wait_until_held();
    server.gate.release(&[Ending::Io]);
    assert_eq!((waiting(&mut ann, room), server.turns_reverted()), (vec![held], 2));

    // And is tried again, when a sender would try again.
    clock.advance(Duration::from_millis(UNAVAILABLE_RETRY_AFTER_MS.into()));
    let told = events(&mut eve, 2);
    assert!(matches!(told[0].what, Some(What::Set(_))));
    assert_eq!((body(&told[1]), told[1].seq), ("later", told[0].seq + 1));
    assert_eq!(waiting(&mut ann, room), [0; 0]);
    let (repeat, before) = bob.ask(post(room, "b0", "later")).expect(THERE);
    assert_eq!((posted(&repeat).seq, posted(&repeat).repeat), (told[1].seq, true));
    assert_eq!(
        before.iter().filter(|event| matches!(event.what, Some(What::Message(_)))).count(),
        1
    );
    let (_, after) = eve.ask(Request::Ping(Ping {})).expect(THERE);
    assert_eq!(after.len(), 0, "seen once: {after:?}");
}

#[test]
fn a_failed_sync_ends_the_process_and_acks_nothing() {
    let server = Server::start();
    let mut ann = server.register("ann");
    let room = ann.create_room("room");
    server.gate.release(&[Ending::SyncFailed]);
    ann.send(post(room, "", "never acked")).expect(THERE);
    assert_eq!(server.last_word().0, throng_server::lifecycle::EXIT_SYNC_FAILED);
    // Here the process lives on, and what could still be said would come before the pong.
    let ping = ann.send(Request::Ping(Ping {})).expect(THERE);
    assert_eq!(answers(&mut ann, 1)[0].0, ping);
}

#[test]
fn a_sync_that_fails_as_old_turns_are_trimmed_ends_the_process_though_nobody_sends() {
    let server = Server::start();
    let mut ann = server.register("ann");
    server.gate.fail_trims();
    ann.create_room("room");
    // The fold comes by itself, and trims behind it.
    let (code, why) = server.last_word();
    assert_eq!(code, throng_server::lifecycle::EXIT_SYNC_FAILED);
    assert!(why.starts_with("cannot sync the log"), "{why}");
}

#[test]
fn a_sync_that_fails_as_the_server_stops_is_its_exit_code() {
    let server = Server::start();
    server.gate.fail_trims();
    server.stop();
    assert_eq!(server.last_word().0, throng_server::lifecycle::EXIT_SYNC_FAILED);
}

#[test]
fn bad_requests_among_a_thousand_spoil_none_of_the_good_ones() {
    const GOOD: usize = 900;
    let server = Server::start();
    let [mut ann, mut bob] = ["ann", "bob"].map(|name| server.register(name));
    let room = ann.create_room("room");
    let private = bob.create_room("private");
    server.gate.hold();
    ann.send(post(room, "", "held")).expect(THERE);
    server.gate.wait_until_held();
    let bad = [
        (post(room + 1_000, "x", "no such room"), "no_such_room"),
        (post(private, "x", "not a member"), "not_member"),
        (leave(private), "not_member"),
        (join(room + 1_000), "no_such_room"),
        (post(room, "x y", "a bad id"), "bad_origin_id"),
        (post(room, "x", ""), "empty_body"),
    ];
    let good = (0..GOOD).map(|i| (post(room, &format!("g{i}"), "good"), ""));
    let mut asked: Vec<_> = good.collect();
    for (i, bad) in bad.iter().cycle().take(GOOD / 9).enumerate() {
        asked.insert(i * 10, bad.clone());
    }
    let mut expected: Vec<_> = Vec::new();
    for (request, name) in asked {
        expected.push((ann.send(request).expect(THERE), name));
    }
    server.gate.release(&[]);
    let mut answers = answers(&mut ann, expected.len() + 1);
    answers.sort_by_key(|(re, _)| *re);
    let mut n = posted(&answers[0].1).n;
    for ((re, outcome), expected) in answers[1..].iter().zip(&expected) {
        assert_eq!((*re, name_of(outcome)), *expected, "{outcome:?}");
        if expected.1.is_empty() {
            n += 1;
            assert_eq!(posted(outcome).n, n, "in the order of asking");
        }
    }
    assert_eq!(n as usize, GOOD + 1);
}

fn join(room: u32) -> Request {
    Request::Join(Join { room })
}

fn leave(room: u32) -> Request {
    Request::Leave(Leave { room })
}

fn create(name: &str) -> Request {
    Request::CreateRoom(CreateRoom { name: name.into(), ..Default::default() })
}

/// What waits in a room, after all that was decided before.
fn waiting(client: &mut Client, room: u32) -> Vec<u64> {
    match client.ask(Request::ListHeld(ListHeld { room, ..ListHeld::default() })) {
        Ok((Outcome::HeldPosts(page), _)) => page.posts.iter().map(|post| post.held).collect(),
        other => panic!("{other:?} is no page of what waits"),
    }
}

/// Puts requests into a turn that is held: when the pong is back, they are in the queue.
fn ask_in_turn(client: &mut Client, requests: impl IntoIterator<Item = Request>) -> Vec<u32> {
    let asked = requests.into_iter().map(|request| client.send(request).expect(THERE)).collect();
    let ping = client.send(Request::Ping(Ping {})).expect(THERE);
    let (re, outcome) = answers(client, 1).remove(0);
    assert_eq!(re, ping, "everything else waits for the turn: {outcome:?}");
    asked
}

/// The next so many answers, whatever is told in between; who is here is told by the clock.
fn answers(client: &mut Client, count: usize) -> Vec<(u32, Outcome)> {
    let mut answers = Vec::new();
    while answers.len() < count {
        match client.read().expect(THERE) {
            Frame::Reply(Reply { re, outcome }) => {
                answers.push((re, outcome.expect("an answer of this version")));
            }
            Frame::Event(_) | Frame::Here(_) => {}
            other => panic!("{other:?}"),
        }
    }
    answers
}

/// The next so many frames, all of which must be events; who is here is told by the clock.
fn events(client: &mut Client, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        match client.read().expect(THERE) {
            Frame::Event(event) => events.push(event),
            Frame::Here(_) => {}
            other => panic!("{other:?} is no event"),
        }
    }
    events
}

fn all_unavailable(asked: &[u32], answers: &[(u32, Outcome)]) {
    let refused = answers.iter().map(|(re, outcome)| (*re, name_of(outcome)));
    assert!(refused.eq(asked.iter().map(|re| (*re, "unavailable"))), "{answers:?}");
}

fn name_of(outcome: &Outcome) -> &str {
    if let Outcome::Rejected(rejected) = outcome { &rejected.name } else { "" }
}

fn posted(outcome: &Outcome) -> Posted {
    if let Outcome::Posted(posted) = outcome { *posted } else { panic!("{outcome:?} is no ack") }
}

fn body(event: &Event) -> &str {
    match &event.what {
        Some(What::Message(message)) => &message.body,
        other => panic!("{other:?} is no message"),
    }
}
