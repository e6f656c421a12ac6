//! Each limit from both sides, and what becomes of those who do not keep one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use throng_server::clock::Clock;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self};
use throng_wire::ws;

use super::Server;

use super::client::{Came, Client, Frame, Speak, body, post, refused};

const BAD_ROOM: u32 = 9_999;

#[test]
fn sends_are_taken_up_to_the_burst_and_the_next_is_told_when() {
    let server = Server::with(|settings| {
        settings.limits.sends_per_second = 1;
        settings.limits.sends_burst = 5;
    });
    let mut client = server.join_in(Speak::Json, "anna");
    let room = client.create("tea");
    for i in 0..5 {
        client.post(room, &format!("{i}"));
    }
    match client.ask(post(room, "one too many")) {
        Outcome::Rejected(rejected) => {
            assert_eq!((rejected.code, rejected.retry_after_ms), (300, Some(1_000)));
        }
        other => panic!("{other:?}"),
    }
    // The rate is the account's: another connection of it has no other.
    let mut other = server.connect(Speak::Raw);
    other.authenticate(&client.token);
    assert_eq!(refused(&other.ask(post(room, "me neither"))), 300);
}

#[test]
fn requests_of_a_connection_are_taken_up_to_the_burst() {
    let server = Server::with(|settings| {
        settings.limits.requests_per_second = 1;
        settings.limits.requests_burst = 3;
    });
    let mut client = server.join_in(Speak::Json, "anna");
    for _ in 0..3 {
        assert!(matches!(client.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
    }
    assert_eq!(refused(&client.ask(Request::Ping(v1::Ping {}))), 300);
}

#[test]
fn an_account_has_as_many_connections_as_it_may_and_not_one_more() {
    let server = Server::with(|settings| settings.limits.connections_per_user = 3);
    let first = server.join_in(Speak::Json, "anna");
    let mut more = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect(Speak::Protobuf);
        assert!(matches!(client.authenticate(&first.token), Outcome::Session(_)));
        more.push(client);
    }
    let mut client = server.connect(Speak::Json);
    let token = first.token.clone();
    client.send(Request::Authenticate(v1::Authenticate { token }));
    assert_eq!(client.farewell().code, 4403);
    assert_eq!(server.app().metrics.connections_refused.get(), 1, "refused at a limit");
}

#[test]
fn an_address_has_as_many_connections_as_it_may_and_not_one_more() {
    let server = Server::with(|settings| settings.limits.connections_per_address = 3);
    let tasks = || server.app().lifecycle.tasks();
    let until_tasks = |count| {
        while tasks() != count {
            std::thread::yield_now();
        }
    };
    let doors = tasks();
    let mut inside: Vec<Client> = (0..3).map(|_| server.connect(Speak::Json)).collect();
    until_tasks(doors + 3);
    let mut refused = TcpStream::connect(server.http).unwrap();
    let mut nothing = [0; 1];
    assert!(matches!(refused.read(&mut nothing), Ok(0) | Err(_)), "closed without a word");
    // One leaves, and is seen to have left, and another comes in.
    let mut leaving = inside.pop().unwrap();
    let mut close = Vec::new();
    ws::encode_frame(ws::Opcode::Close, &1000_u16.to_be_bytes(), Some([1; 4]), &mut close);
    leaving.stream.write_all(&close).unwrap();
    assert!(matches!(leaving.next(), Came::End));
    assert_eq!(leaving.closed, Some(1000));
    drop(leaving);
    // Its place is given back before its task has ended.
    until_tasks(doors + 2);
    inside.push(server.connect(Speak::Json));
}

#[test]
fn one_that_stays_nobody_is_sent_away() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| settings.limits.auth_timeout_ms = 100);
    for speak in Speak::ALL {
        let mut nobody = server.connect(speak);
        clock.advance(Duration::from_millis(100));
        let goodbye = nobody.farewell();
        assert_eq!((goodbye.code, goodbye.reconnect), (4400, false), "{speak:?}");
    }
}

#[test]
fn a_silent_peer_is_probed_and_one_that_does_not_answer_is_sent_away() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| {
        settings.limits.ping_interval_ms = 1_000;
        settings.limits.ping_timeout_ms = 2_000;
    });
    // Our client reads pings without answering: what a dead peer's proxy would do.
    let mut client = server.join_in(Speak::Json, "anna");
    clock.advance(Duration::from_secs(1));
    client.probed();
    clock.advance(Duration::from_secs(2));
    let goodbye = client.farewell();
    assert_eq!((goodbye.code, goodbye.reconnect), (4001, true));
}

/// Who takes nothing cannot be told either: its connection is closed without a word.
#[test]
fn one_that_takes_nothing_is_cut_when_its_time_is_over_and_not_before() {
    const TIME_MS: u64 = 200;
    const MILLI: Duration = Duration::from_millis(1);
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| {
        settings.limits.write_timeout_ms = TIME_MS;
        settings.limits.auth_timeout_ms = TIME_MS - 1;
        settings.limits.sends_burst = 1_000_000;
        settings.limits.requests_burst = 1_000_000;
        settings.limits.send_buffer_bytes = 4_096;
    });
    let mut poster = server.join_in(Speak::Raw, "poster");
    let room = poster.create("tea");
    let mut stalled = server.join_in(Speak::Json, "stalled");
    socket2::SockRef::from(&stalled.stream).set_recv_buffer_size(4_096).unwrap();
    stalled.join(room);
    // Far more than both sockets hold, and less than may wait for it.
    for _ in 0..60 {
        poster.post(room, &"x".repeat(8_000));
        poster.events.clear();
    }
    let cut = || server.app().metrics.slow_disconnects.get();
    let mut nobody = server.connect(Speak::Raw);
    clock.advance(Duration::from_millis(TIME_MS - 1));
    // Whose deadline this is, too: they have been looked at.
    assert_eq!(nobody.farewell().code, 4400);
    poster.ask(Request::Ping(v1::Ping {}));
    assert_eq!(cut(), 0, "its time is not over");
    let over = (0..10_000).any(|_| {
        clock.advance(MILLI);
        poster.ask(Request::Ping(v1::Ping {}));
        cut() > 0
    });
    assert!(over, "it is not cut");
    while let Came::Frame(frame) = stalled.next() {
        assert!(!matches!(frame, Frame::Goodbye(_)), "{frame:?}");
    }
}

#[test]
fn refusals_in_a_row_end_a_connection_at_the_limit() {
    let server = Server::with(|settings| settings.limits.refusals_max = 5);
    let mut client = server.join_in(Speak::Json, "anna");
    let page = Request::History(v1::History { room: BAD_ROOM, ..v1::History::default() });
    for _ in 0..4 {
        assert_eq!(refused(&client.ask(page.clone())), 205);
    }
    client.send(page);
    assert_eq!(client.farewell().code, 4402);
}

/// Whether somebody belongs is the shard's to say; its refusals count like all others.
#[test]
fn refusals_of_the_shard_end_a_connection_at_the_limit_whatever_ack_was_asked_for() {
    for ack in [v1::Ack::Durable, v1::Ack::Accepted] {
        let server = Server::with(|settings| settings.limits.refusals_max = 5);
        let mut owner = server.join_in(Speak::Raw, "owner");
        let room = owner.create("tea");
        let mut client = server.join_in(Speak::Json, "anna");
        let own = client.create("coffee");
        let Request::Post(asked) = post(room, "let me in") else { unreachable!() };
        let asked = Request::Post(v1::Post { ack: ack as i32, ..asked });
        for _ in 0..2 {
            for _ in 0..4 {
                assert_eq!(refused(&client.ask(asked.clone())), 206);
            }
            client.post(own, "what is not refused begins anew");
        }
        for _ in 0..4 {
            assert_eq!(refused(&client.ask(asked.clone())), 206);
        }
        client.send(asked);
        assert_eq!(client.farewell().code, 4402, "{ack:?}");
        assert!(server.app().metrics.rejections.get() >= 13);
    }
}

/// A client that sends frames which ask nothing, and after them one message of so many pieces.
fn scraps(kind: ws::Opcode, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..count {
        let payload = if kind == ws::Opcode::Pong { &b"beat"[..] } else { &b""[..] };
        let at = bytes.len();
        ws::encode_frame(kind, payload, Some([7; 4]), &mut bytes);
        if kind == ws::Opcode::Text {
            // The first of an unfinished message, and what follows it.
            bytes[at] = u8::from(i == 0);
        }
    }
    bytes
}

#[test]
fn frames_that_ask_nothing_are_charged_and_beyond_the_rate_each_is_a_refusal() {
    for kind in [ws::Opcode::Ping, ws::Opcode::Pong, ws::Opcode::Text] {
        // No time passes: what was taken of the rate is not given back.
        let server = Server::at(Clock::manual(), |settings| {
            settings.limits.requests_burst = 10;
            settings.limits.refusals_max = 5;
        });
        let mut client = server.join_in(Speak::Json, "anna");
        let room = client.create("tea"); // One of the ten.
        client.stream.write_all(&scraps(kind, 9 + 4)).unwrap();
        if kind == ws::Opcode::Text {
            // The message's end: an empty one is no frame of ours, and a refusal.
            let mut end = Vec::new();
            ws::encode_frame(ws::Opcode::Text, b"", Some([7; 4]), &mut end);
            end[0] = 0x80;
            client.stream.write_all(&end).unwrap();
            assert_eq!(client.farewell().code, 4402, "{kind:?}");
            continue;
        }
        client.post(room, "still here, and within the rate of sends");
        client.stream.write_all(&scraps(kind, 4)).unwrap();
        client.post(room, "and still");
        client.stream.write_all(&scraps(kind, 5)).unwrap();
        assert_eq!(client.farewell().code, 4402, "{kind:?}");
    }
}

#[test]
fn a_message_in_pieces_of_a_decent_size_costs_one_request() {
    let server = Server::at(Clock::manual(), |settings| {
        settings.limits.requests_burst = 2;
        settings.limits.refusals_max = 1;
    });
    let mut client = server.join_in(Speak::Json, "anna");
    let room = client.create("tea");
    let text = format!(r#"{{"id":9,"post":{{"room":{room},"body":"{}"}}}}"#, "x".repeat(6_400));
    let mut bytes = Vec::new();
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(64).collect();
    for (i, piece) in pieces.iter().enumerate() {
        let at = bytes.len();
        ws::encode_frame(ws::Opcode::Text, piece, Some([7; 4]), &mut bytes);
        let fin = if i + 1 == pieces.len() { 0x80 } else { 0 };
        bytes[at] = fin | u8::from(i == 0);
    }
    client.stream.write_all(&bytes).unwrap();
    assert!(matches!(client.answer(9), Outcome::Posted(_)));
}

#[test]
fn nobody_asks_for_more_than_to_come_in_before_it_has() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut client = server.connect(speak);
        for request in [
            post(1, "hi"),
            Request::Join(v1::Join { room: 1 }),
            Request::Subscribe(v1::Subscribe { room: 1, from: None }),
            Request::History(v1::History { room: 1, ..v1::History::default() }),
            Request::ListRooms(v1::ListRooms::default()),
            Request::CreateRoom(v1::CreateRoom { name: "x".into(), ..Default::default() }),
            Request::Logout(v1::Logout {}),
        ] {
            assert_eq!(refused(&client.ask(request)), 200);
        }
        client.register(&format!("{speak:?}"));
        let again = v1::Authenticate { token: client.token.clone() };
        assert_eq!(refused(&client.ask(Request::Authenticate(again))), 209);
    }
}

#[test]
fn a_frame_is_longer_than_allowed_only_until_one_is_somebody() {
    let server = Server::start();
    let long = "x".repeat(5_000);
    let mut nobody = server.connect(Speak::Json);
    nobody.send(Request::Authenticate(v1::Authenticate { token: long.clone() }));
    assert_eq!(nobody.farewell().code, 1009);
    let mut somebody = server.join_in(Speak::Json, "anna");
    let room = somebody.create("tea");
    somebody.post(room, &long);
    somebody.send(Request::Authenticate(v1::Authenticate { token: "x".repeat(70_000) }));
    assert_eq!(somebody.farewell().code, 1009);
}

#[test]
fn a_slow_reader_is_told_so_and_the_others_go_on() {
    let server = Server::with(|settings| {
        settings.limits.sends_burst = 1_000_000;
        settings.limits.send_buffer_bytes = 4_096;
        settings.limits.outbox_bytes_max = 64 * 1024;
    });
    let mut poster = server.join_in(Speak::Raw, "poster");
    let room = poster.create("tea");
    for speak in [Speak::Json, Speak::Raw] {
        let mut slow = server.join_in(speak, &format!("slow{speak:?}"));
        slow.join(room);
        slow.events.clear();
        let mut brisk = server.join_in(speak, &format!("brisk{speak:?}"));
        brisk.join(room);
        brisk.events.clear();
        let before = server.app().metrics.slow_disconnects.get();
        let text = "x".repeat(8_000);
        let mut seqs = Vec::new();
        while server.app().metrics.slow_disconnects.get() == before {
            seqs.push(poster.post(room, &text).seq);
            assert_eq!(brisk.event().seq, *seqs.last().unwrap(), "the other goes on");
            poster.events.clear();
            assert!(seqs.len() < 10_000, "a stalled reader held more than its outbox");
        }
        let goodbye = slow.farewell();
        assert_eq!((goodbye.code, goodbye.reconnect), (4000, true));
        let heard: Vec<u64> =
            slow.events.iter().filter(|e| !body(e).is_empty()).map(|event| event.seq).collect();
        assert!(heard.iter().eq(&seqs[..heard.len()]), "what it heard has no gap");
        let last = *heard.last().unwrap();
        let mut back = server.connect(speak);
        back.authenticate(&slow.token.clone());
        assert!(matches!(back.subscribe(room, Some(last)), Outcome::Subscribed(_)));
        let rest: Vec<u64> = back.events.iter().map(|event| event.seq).collect();
        assert!(rest.iter().filter(|seq| seqs.contains(seq)).eq(&seqs[heard.len()..]));
        // Only the two that are told of go on to the next round.
        drop((slow, brisk, back));
    }
}

#[test]
fn one_who_asks_and_does_not_read_is_not_served_further_and_not_sent_away() {
    let server = Server::with(|settings| {
        settings.limits.requests_burst = 1_000_000;
        settings.limits.send_buffer_bytes = 4_096;
    });
    let mut client = server.join_in(Speak::Json, "anna");
    let room = client.create("tea");
    for i in 0..40 {
        client.post(room, &format!("{i}{}", "x".repeat(6_000)));
        client.events.clear();
    }
    let page = Request::History(v1::History { room, ..v1::History::default() });
    let first = client.send_all((0..100).map(|_| page.clone())) - 99;
    for id in first..first + 100 {
        assert!(matches!(client.answer(id), Outcome::Page(_)));
    }
}
