//! How conversations end: by the server's stop, by a log-out, by the peer.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self};
use throng_wire::ws;

use super::Server;
use super::client::{Came, Speak, post};

#[test]
fn a_stop_tells_everyone_to_come_back_and_answers_what_was_asked() {
    let mut server = Server::start();
    let mut people: Vec<_> =
        Speak::ALL.iter().map(|speak| server.join_in(*speak, &format!("{speak:?}"))).collect();
    let room = people[0].create("tea");
    for person in &mut people[1..] {
        person.join(room);
    }
    // Sent and not waited for: whatever of it is acked must be heard by all.
    let posts: Vec<u32> = people.iter_mut().map(|person| person.send(post(room, "last"))).collect();
    let acked: Vec<Outcome> =
        people.iter_mut().zip(posts).map(|(person, id)| person.answer(id)).collect();
    assert!(acked.iter().all(|outcome| matches!(outcome, Outcome::Posted(_))));
    let stopping = std::thread::spawn(move || server.stop());
    let mut waits = Vec::new();
    for person in &mut people {
        let goodbye = person.farewell();
        assert_eq!((goodbye.code, goodbye.reconnect), (1012, true));
        assert_eq!(person.events.iter().filter(|e| super::client::body(e) == "last").count(), 3);
        waits.push(goodbye.retry_after_ms);
    }
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits.len(), people.len(), "they do not all come back at once");
    drop(people);
    stopping.join().unwrap();
}

#[test]
fn a_stop_does_not_wait_for_one_who_asks_over_http_and_does_not_read() {
    let mut server = Server::with(|settings| settings.limits.send_buffer_bytes = 4_096);
    let mut stream = TcpStream::connect(server.http).unwrap();
    socket2::SockRef::from(&stream).set_recv_buffer_size(4_096).unwrap();
    stream.write_all(b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: throng\r\n\r\n").unwrap();
    assert_eq!(stream.peek(&mut [0]).unwrap(), 1, "it is being answered");
    let (ends, ended) = sync_channel(1);
    std::thread::spawn(move || {
        server.stop();
        ends.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_mins(1)).expect("it waits for a client");
    drop(stream);
}

#[test]
fn a_log_out_is_answered_and_closes_every_connection_of_the_session() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut first = server.join_in(speak, &format!("{speak:?}"));
        let mut second = server.connect(speak);
        second.authenticate(&first.token);
        assert!(matches!(first.ask(Request::Logout(v1::Logout {})), Outcome::Done(_)));
        for client in [&mut first, &mut second] {
            assert_eq!(client.farewell().code, 4401, "{speak:?}");
        }
        let mut third = server.connect(speak);
        assert_eq!(super::client::refused(&third.authenticate(&first.token)), 202);
    }
}

#[test]
fn a_close_is_answered_by_its_own_code() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Json, "anna");
    let mut close = Vec::new();
    let payload = ws::close_payload(1001, "going away");
    ws::encode_frame(ws::Opcode::Close, &payload, Some([1; 4]), &mut close);
    client.stream.write_all(&close).unwrap();
    assert!(matches!(client.next(), Came::End));
    assert_eq!(client.closed, Some(1001));
}

#[test]
fn one_that_closes_its_half_still_gets_its_answers() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut client = server.join_in(speak, &format!("{speak:?}"));
        let room = client.create(&format!("{speak:?}"));
        let last = client.send_all((0..20).map(|i| post(room, &format!("{i}"))));
        client.stream.shutdown(Shutdown::Write).unwrap();
        for id in last - 19..=last {
            assert!(matches!(client.answer(id), Outcome::Posted(_)), "{speak:?}");
        }
        while let Came::Frame(_) = client.next() {}
    }
}

#[test]
fn one_that_breaks_the_grammar_is_told_how() {
    let server = Server::start();
    let unmasked = b"\x81\x02{}".to_vec();
    let mut binary = Vec::new();
    ws::encode_frame(ws::Opcode::Binary, b"{}", Some([1; 4]), &mut binary);
    let mut not_utf8 = Vec::new();
    ws::encode_frame(ws::Opcode::Text, b"\xff", Some([1; 4]), &mut not_utf8);
    for (bytes, code) in [(unmasked, 1002), (binary, 1003), (not_utf8, 1007)] {
        let mut client = server.connect(Speak::Json);
        client.stream.write_all(&bytes).unwrap();
        assert_eq!(client.farewell().code, code);
    }
}
