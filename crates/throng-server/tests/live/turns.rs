//! What one asks is answered in the order in which it was asked, though something in it is slow; and how long
//! it is waited for.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

use throng_wire::native::v1;
use throng_wire::native::v1::ClientFrame;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::ws;

use super::client::{Came, Client, Speak, post};
use super::slow::{Server, room};

fn page() -> Request {
    Request::History(v1::History { room: room().get(), ..v1::History::default() })
}

fn ping() -> Request {
    Request::Ping(v1::Ping {})
}

fn posted(outcome: &Outcome) -> u64 {
    let Outcome::Posted(posted) = outcome else { panic!("{outcome:?}") };
    posted.n
}

/// All answers to these, in whatever order they come, by number.
fn answers(client: &mut Client, ids: RangeInclusive<u32>) -> BTreeMap<u32, Outcome> {
    let mut answers = BTreeMap::new();
    while answers.len() < ids.clone().count() {
        match client.next() {
            Came::Frame(Frame::Reply(reply)) if ids.contains(&reply.re) => {
                answers.insert(reply.re, reply.outcome.unwrap());
            }
            Came::Frame(Frame::Event(_)) => {}
            other => panic!("{other:?} after {} answers", answers.len()),
        }
    }
    answers
}

fn member(server: &Server, speak: Speak) -> Client {
    let mut client = server.join_in_as(speak, &format!("{speak:?}"));
    client.join(room().get());
    client
}

/// The second message waits for a page; what follows in the same read is far more than is decoded at a time.
#[test]
fn what_follows_something_slow_does_not_overtake_it() {
    for speak in Speak::ALL {
        let server = Server::start();
        let mut client = member(&server, speak);
        let tea = room().get();
        let first = [post(tea, "first"), page(), post(tea, "second")];
        let pings = (0..1_100).map(|_| ping());
        let last = client.send_all(first.into_iter().chain(pings).chain([post(tea, "third")]));
        server.store.wait_for(1);
        server.store.open();
        let answers = answers(&mut client, last - 1_103..=last);
        let places = [1_103, 1_101, 0].map(|before| posted(&answers[&(last - before)]));
        assert!(places.is_sorted_by(|a, b| a + 1 == *b), "{speak:?}: {places:?}");
    }
}

#[test]
fn a_stop_answers_what_was_asked_before_it_says_goodbye() {
    for speak in Speak::ALL {
        let server = Server::start();
        let mut client = member(&server, speak);
        let mut beside = server.join_in("beside");
        let last = client.send_all([page(), page(), ping()]);
        server.store.wait_for(1);
        server.app.lifecycle.drain();
        server.app.sessions.drain();
        // All have been told when one has.
        assert_eq!(beside.farewell().code, 1012);
        server.store.open();
        let answers = answers(&mut client, last - 2..=last);
        for id in [last - 2, last - 1] {
            assert!(matches!(answers[&id], Outcome::Page(_)), "{speak:?}");
        }
        assert_eq!(client.farewell().code, 1012, "{speak:?}");
    }
}

#[test]
fn who_says_goodbye_gets_the_answers_to_what_it_asked_before() {
    for speak in [Speak::Json, Speak::Protobuf] {
        let server = Server::start();
        let mut client = member(&server, speak);
        let tea = room().get();
        let mut bytes = Vec::new();
        for (id, request) in (91..).zip([post(tea, "first"), page(), post(tea, "second")]) {
            client.encode(&ClientFrame { id, request: Some(request) }, &mut bytes);
        }
        let payload = ws::close_payload(1001, "going away");
        ws::encode_frame(ws::Opcode::Close, &payload, Some([1; 4]), &mut bytes);
        client.stream.write_all(&bytes).unwrap();
        server.store.wait_for(1);
        server.store.open();
        let answers = answers(&mut client, 91..=93);
        assert!(matches!(answers[&92], Outcome::Page(_)), "{speak:?}");
        assert_eq!(posted(&answers[&91]) + 1, posted(&answers[&93]), "{speak:?}");
        while let Came::Frame(_) = client.next() {}
        assert_eq!(client.closed, Some(1001), "{speak:?}");
    }
}

/// While the server does not read, a pong would lie in the socket: it is not missed before it is read again.
#[test]
fn who_waits_for_something_slow_is_not_taken_for_dead() {
    let (second, two) = (Duration::from_secs(1), Duration::from_secs(2));
    let server = Server::with(|settings| {
        settings.limits.ping_interval_ms = 1_000;
        settings.limits.ping_timeout_ms = 2_000;
    });
    let mut client = member(&server, Speak::Json);
    let mut beside = server.join_in("beside");
    let asked = client.send(page());
    server.store.wait_for(1);
    server.clock.advance(second);
    beside.probed();
    server.clock.advance(two);
    assert_eq!(beside.farewell().code, 4001, "who is read and says nothing");
    server.store.open();
    assert!(matches!(client.answer(asked), Outcome::Page(_)));
    assert_eq!(client.pings, 0);
    // From now on it is listened to.
    client.ask(ping());
    server.clock.advance(second);
    client.probed();
    server.clock.advance(two);
    assert_eq!(client.farewell().code, 4001);
}
