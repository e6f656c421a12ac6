//! A message from socket to log to every member.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, Ack};

use super::Server;
use super::client::{Came, Speak, body, post, refused};

#[test]
fn what_one_says_in_any_form_reaches_all_in_every_form_in_one_order() {
    let server = Server::start();
    let mut people: Vec<_> = Speak::ALL
        .iter()
        .enumerate()
        .map(|(i, speak)| server.join_in(*speak, &format!("user{i}")))
        .collect();
    let room = people[0].create("tea");
    for person in &mut people[1..] {
        person.join(room);
    }
    let mut acked = Vec::new();
    for round in 0..20 {
        let person = &mut people[round % 3];
        acked.push(person.post(room, &format!("line {round}")).seq);
    }
    assert!(acked.is_sorted());
    for person in &mut people {
        let mut heard = Vec::new();
        while heard.len() < 20 {
            let event = person.event();
            if let Some(What::Message(_)) = event.what {
                heard.push((event.seq, body(&event).to_owned()));
            }
        }
        let said = acked.iter().enumerate().map(|(i, seq)| (*seq, format!("line {i}")));
        assert!(said.eq(heard));
    }
}

#[test]
fn the_acks_of_a_burst_in_one_write_come_in_its_order() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut client = server.join_in(speak, &format!("{speak:?}"));
        let room = client.create(&format!("{speak:?}"));
        let last = client.send_all((0..40).map(|i| post(room, &format!("{i}"))));
        let seqs: Vec<u64> = (last - 39..=last)
            .map(|id| match client.answer(id) {
                Outcome::Posted(posted) => posted.seq,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected: Vec<u64> = (3..43).collect();
        assert_eq!(seqs, expected, "{speak:?}");
    }
}

#[test]
fn who_left_hears_nothing_after_the_ack_and_everything_before_it() {
    leave_while_others_talk(0, 50);
}

#[test]
fn who_leaves_a_large_room_half_way_through_a_spread_hears_all_before_it_too() {
    leave_while_others_talk(300, 20);
}

/// Joins and leaves a room in which one talks all the time and so many others listen.
fn leave_while_others_talk(listeners: usize, rounds: usize) {
    let server = Server::with(|settings| {
        settings.limits.sends_burst = 1_000_000;
        // How far the one who talks gets ahead of the one who leaves is the scheduler's.
        settings.limits.outbox_frames_max = 1 << 20;
        settings.limits.outbox_bytes_max = 1 << 26;
        settings.limits.connections_per_address = 1_000;
        settings.limits.connections_per_user = 1_000;
    });
    let mut poster = server.join_in(Speak::Raw, "poster");
    let room = poster.create("tea");
    let _listeners: Vec<_> = (0..listeners)
        .map(|_| {
            // They read nothing, and hear less than what a socket and an outbox hold.
            let mut listener = server.connect(Speak::Raw);
            listener.authenticate(&poster.token);
            listener.subscribe(room, None);
            listener
        })
        .collect();
    let mut leaver = server.join_in(Speak::Json, "leaver");
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let posting = scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                poster.post(room, "hi");
                poster.events.clear();
            }
        });
        for _ in 0..rounds {
            let joined = leaver.join(room);
            leaver.events.clear();
            let first = leaver.event().seq;
            assert_eq!(first, joined.seq + 1, "live begins right after the join");
            let left = match leaver.ask(Request::Leave(v1::Leave { room })) {
                Outcome::Left(left) => left.seq,
                other => panic!("{other:?}"),
            };
            let heard: Vec<u64> = leaver.events.drain(..).map(|event| event.seq).collect();
            assert!(heard.into_iter().eq(first + 1..left), "all up to the leave, and no gap");
            // The answer to a question that follows comes with no event before it.
            assert_eq!(refused(&leaver.subscribe(room, None)), 206);
            assert!(leaver.events.is_empty());
        }
        enough.store(true, Ordering::Relaxed);
        posting.join().unwrap();
    });
}

#[test]
fn the_other_connections_of_one_who_left_are_told_so_and_hear_nothing_more_either() {
    // Also where membership is not pushed.
    for pushed_members_max in [0, 100] {
        let server =
            Server::with(|settings| settings.limits.pushed_members_max = pushed_members_max);
        leave_by_one_of_two(&server);
    }
}

fn leave_by_one_of_two(server: &Server) {
    let mut first = server.join_in(Speak::Json, "anna");
    let room = first.create("tea");
    let mut second = server.connect(Speak::Protobuf);
    second.authenticate(&first.token.clone());
    assert!(matches!(second.subscribe(room, None), Outcome::Subscribed(_)));
    let mut other = server.join_in(Speak::Raw, "bert");
    other.join(room);
    let last = other.post(room, "heard by both").seq;
    let seq = match first.ask(Request::Leave(v1::Leave { room })) {
        Outcome::Left(left) => left.seq,
        outcome => panic!("{outcome:?}"),
    };
    other.post(room, "secret");
    for client in [&mut first, &mut second] {
        assert!(matches!(client.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
        assert_eq!(client.events.back().map(|event| event.seq), Some(last));
    }
    assert_eq!(second.left, [v1::Left { room, seq, act: 0 }]);
    assert!(first.left.is_empty(), "who asked is told by the answer alone");
}

/// The last thing said on a connection that was lost is read after the user has come back.
#[test]
fn a_leave_of_a_lost_connection_is_told_to_the_one_after_it() {
    let server = Server::start();
    let mut lost = server.join_in(Speak::Raw, "anna");
    let room = lost.create("tea");
    let mut back = server.connect(Speak::Json);
    back.authenticate(&lost.token.clone());
    assert!(matches!(back.subscribe(room, None), Outcome::Subscribed(_)));
    lost.send(Request::Leave(v1::Leave { room }));
    drop(lost);
    match back.next() {
        Came::Frame(Frame::Left(left)) => assert_eq!((left.room, left.seq), (room, 3)),
        other => panic!("{other:?} is no word of the leave"),
    }
    assert_eq!(refused(&back.subscribe(room, None)), 206);
    // Told once, and no more than that: it may join again at once.
    assert!(!back.join(room).already);
}

#[test]
fn a_leave_over_rest_is_told_to_those_who_listen() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Protobuf, "anna");
    let room = client.create("tea");
    let mut rest = TcpStream::connect(server.http).unwrap();
    let (path, token) = (format!("/api/v1/rooms/{room}/leave"), &client.token);
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
    rest.write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    match client.next() {
        Came::Frame(Frame::Left(left)) => assert_eq!((left.room, left.seq), (room, 3)),
        other => panic!("{other:?} is no word of the leave"),
    }
}

#[test]
fn a_message_may_be_acked_when_it_is_accepted() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Json, "anna");
    let room = client.create("tea");
    let Request::Post(asked) = post(room, "hi") else { unreachable!() };
    match client.ask(Request::Post(v1::Post { ack: Ack::Accepted as i32, ..asked })) {
        Outcome::Posted(posted) => {
            assert_eq!((posted.ack, posted.seq), (Ack::Accepted as i32, 3));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.event().seq, 3);
}

#[test]
fn the_same_origin_id_is_one_message_and_one_ack() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Json, "anna");
    let room = client.create("tea");
    let Request::Post(asked) = post(room, "hi") else { unreachable!() };
    let asked = v1::Post { origin_id: "one".into(), ..asked };
    let last = client.send_all([Request::Post(asked.clone()), Request::Post(asked.clone())]);
    let mut acks = vec![client.answer(last - 1), client.answer(last)];
    acks.push(client.ask(Request::Post(asked)));
    let acks: Vec<_> = acks
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Posted(posted) => (posted.seq, posted.n, posted.at, posted.repeat),
            other => panic!("{other:?}"),
        })
        .collect();
    let (seq, n, at, _) = acks[0];
    assert_eq!(acks, [(seq, n, at, false), (seq, n, at, true), (seq, n, at, true)]);
    assert_eq!(client.post(room, "next").seq, seq + 1);
}

#[test]
fn who_joins_and_asks_in_one_breath_has_joined() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut guest = server.join_in(Speak::Protobuf, "guest");
    let page = v1::History { room, ..v1::History::default() };
    let last = guest.send_all([
        Request::Join(v1::Join { room }),
        Request::History(page),
        post(room, "hello"),
        Request::Leave(v1::Leave { room }),
        Request::History(page),
    ]);
    let answers: Vec<_> = (last - 4..=last).map(|id| guest.answer(id)).collect();
    assert!(matches!(answers[0], Outcome::Joined(_)));
    assert!(matches!(&answers[1], Outcome::Page(page) if page.events.len() == 3));
    assert!(matches!(answers[2], Outcome::Posted(_)));
    assert!(matches!(answers[3], Outcome::Left(_)));
    assert_eq!(refused(&answers[4]), 206, "who left reads no more");
}

#[test]
fn a_room_of_hundreds_is_spread_in_slices_and_loses_nobody() {
    const MEMBERS: usize = 300;
    let server = Server::with(|settings| {
        settings.limits.connections_per_address = 1_000;
        settings.limits.connections_per_user = 1_000;
    });
    let mut host = server.join_in(Speak::Raw, "host");
    let room = host.create("tea");
    // One account on many connections: what is spread is listeners, and hashing takes its time.
    let mut members: Vec<_> = (0..MEMBERS)
        .map(|i| {
            let mut member = server.connect(Speak::ALL[i % 3]);
            member.authenticate(&host.token);
            assert!(matches!(member.subscribe(room, None), Outcome::Subscribed(_)));
            member
        })
        .collect();
    host.events.clear();
    let posted: Vec<u64> = (0..10).map(|i| host.post(room, &format!("{i}")).seq).collect();
    for member in &mut members {
        let mut heard = Vec::new();
        while heard.len() < posted.len() {
            let event = member.event();
            if !body(&event).is_empty() {
                heard.push(event.seq);
            }
        }
        assert_eq!(heard, posted);
    }
}
