//! The door to WebSocket: who may come through, and in which form.

use std::io::{Read, Write};
use std::net::TcpStream;

use throng_server::address::TrustedProxies;
use throng_wire::ws::{self, handshake};

use super::Server;
use super::client::{Client, Speak};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::{self, reply::Outcome};

/// The status and the head of the answer to a request.
fn ask(server: &Server, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk) {
            Ok(len) if len > 0 => head.extend_from_slice(&chunk[..len]),
            _ => break,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase())
}

fn upgrade(server: &Server, headers: &str) -> (u16, String) {
    let key = handshake::key([1; 16]);
    ask(
        server,
        &format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n",
            server.http
        ),
    )
}

#[test]
fn pages_of_foreign_origins_are_refused() {
    let server = Server::with(|settings| {
        settings.allowed_origins = vec!["https://app.example".to_owned()];
    });
    let own = format!("http://{}", server.http);
    let other_port = "http://127.0.0.1:1".to_owned();
    for (origin, status) in [
        (None, 101),
        (Some(own), 101),
        (Some("https://app.example".to_owned()), 101),
        (Some("https://evil.example".to_owned()), 403),
        (Some("https://app.example.evil".to_owned()), 403),
        (Some(other_port), 403),
        (Some("null".to_owned()), 403),
    ] {
        let header = origin.as_ref().map(|o| format!("Origin: {o}\r\n")).unwrap_or_default();
        assert_eq!(upgrade(&server, &header).0, status, "{origin:?}");
    }
}

#[test]
fn the_first_known_subprotocol_is_taken_and_an_unknown_one_is_refused() {
    let server = Server::start();
    let offer = |list: &str| upgrade(&server, &format!("Sec-WebSocket-Protocol: {list}\r\n"));
    let (status, head) = offer("x, throng.v1.protobuf, throng.v1.json");
    assert_eq!(status, 101);
    assert!(head.contains("sec-websocket-protocol: throng.v1.protobuf\r\n"), "{head}");
    assert_eq!(offer("mqtt").0, 400);
    let (status, head) = upgrade(&server, "");
    assert_eq!(status, 101, "without one it is JSON");
    assert!(!head.contains("sec-websocket-protocol"), "{head}");
}

#[test]
fn what_is_no_upgrade_is_told_so() {
    let server = Server::start();
    let host = server.http;
    assert_eq!(ask(&server, &format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n\r\n")).0, 426);
    let wrong = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let old = format!(
        "{wrong}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n\r\n"
    );
    assert_eq!(ask(&server, &old).0, 426);
    let keyless = format!("{wrong}Sec-WebSocket-Version: 13\r\n\r\n");
    assert_eq!(ask(&server, &keyless).0, 400);
}

#[test]
fn only_a_get_of_http_1_1_to_one_host_is_upgraded() {
    let server = Server::start();
    let key = handshake::key([1; 16]);
    let asked = |line: &str, hosts: &str| {
        ask(
            &server,
            &format!(
                "{line}\r\n{hosts}Upgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ),
        )
    };
    assert_eq!(asked("GET /ws HTTP/1.1", "Host: a\r\n").0, 101);
    assert_eq!(asked("GET /ws HTTP/1.1", "").0, 400);
    assert_eq!(asked("GET /ws HTTP/1.1", "Host: a\r\nHost: b\r\n").0, 400);
    for line in ["HEAD /ws HTTP/1.1", "GET /ws HTTP/1.0"] {
        let (status, head) = asked(line, "Host: a\r\n");
        assert_eq!(status, 426, "{line}");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    }
}

#[test]
fn a_socket_that_was_refused_an_upgrade_counts_like_any_other_and_may_ask_again() {
    let server = Server::with(|settings| {
        settings.trusted_proxies =
            "127.0.0.1".parse().map(|one| TrustedProxies(vec![one])).unwrap();
        settings.limits.connections_per_address = 1;
        settings.limits.connections_max = 2;
    });
    let key = handshake::key([1; 16]);
    let asked = |stream: &mut TcpStream, from: &str| {
        let headers = format!("X-Forwarded-For: {from}\r\n");
        let host = server.http.to_string();
        let request = handshake::request(&host, "/ws", &key, "throng.v1.json", &headers);
        stream.write_all(&request).unwrap();
        status(stream)
    };
    let mut first = TcpStream::connect(server.http).unwrap();
    assert_eq!(asked(&mut first, "2.2.2.2"), 101);
    let mut second = TcpStream::connect(server.http).unwrap();
    assert_eq!(asked(&mut second, "2.2.2.2"), 429);
    // It is open still, so that there are two, which is as many as there may be.
    let mut third = TcpStream::connect(server.http).unwrap();
    let closed = third.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(closed.and_then(|()| third.read(&mut [0; 1])).unwrap_or(0), 0);
    assert_eq!(asked(&mut second, "2.2.2.2"), 429, "again");
    assert_eq!(asked(&mut second, "3.3.3.3"), 101, "for somebody else");
}

/// The status of the next answer; what comes behind its head stays where it is.
fn status(stream: &mut TcpStream) -> u16 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let body = head.to_ascii_lowercase();
    let len = body.lines().find_map(|line| line.strip_prefix("content-length: "));
    let len = len.map_or(0, |len| len.parse().unwrap());
    stream.read_exact(&mut vec![0; len]).unwrap();
    head[9..12].parse().unwrap()
}

#[test]
fn a_bearer_of_a_token_is_somebody_at_once() {
    let server = Server::start();
    let known = server.join_in(Speak::Raw, "anna");
    let header = format!("Authorization: Bearer {}\r\n", known.token);
    let mut client = Client::connect_as(server.http, Speak::Json, &header);
    assert!(matches!(client.ask(Request::ListRooms(v1::ListRooms::default())), Outcome::Rooms(_)));
    let mut wrong = Client::connect_as(server.http, Speak::Json, "Authorization: Bearer x\r\n");
    let outcome = wrong.ask(Request::ListRooms(v1::ListRooms::default()));
    assert_eq!(super::client::refused(&outcome), 200);
}

#[test]
fn a_head_beyond_its_limit_is_cut_off() {
    let server = Server::start();
    let long = format!("GET /ws HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let (status, _) = ask(&server, &long);
    assert!(matches!(status, 0 | 431), "{status}");
}

#[test]
fn what_comes_right_behind_the_request_is_not_lost() {
    let server = Server::start();
    let key = handshake::key([1; 16]);
    let mut bytes = handshake::request(&server.http.to_string(), "/ws", &key, "throng.v1.json", "");
    let mut frame = Vec::new();
    let text = br#"{"id":9,"register":{"name":"anna","password":"correct horse"}}"#;
    ws::encode_frame(ws::Opcode::Text, text, Some([5; 4]), &mut frame);
    bytes.extend(frame);
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("\"re\":9") {
        let mut chunk = [0; 1024];
        let len = stream.read(&mut chunk).unwrap();
        assert!(len > 0, "closed: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&chunk[..len]);
    }
}

#[test]
fn long_messages_are_compressed_for_those_who_offer_it_and_only_where_it_is_switched_on() {
    let offer = format!("Sec-WebSocket-Extensions: {}\r\n", ws::deflate::OFFER);
    let (_, head) = upgrade(&Server::start(), &offer);
    assert!(!head.contains("sec-websocket-extensions"), "{head}");

    let server = Server::with(|settings| settings.websocket_deflate = true);
    let (_, head) = upgrade(&server, &offer);
    assert!(head.contains("sec-websocket-extensions: permessage-deflate; server_no"), "{head}");
    let text = "never gonna give you up ".repeat(150);
    let mut anna = Client::connect_as(server.http, Speak::Json, &offer);
    anna.register("anna");
    let room = anna.create("long");
    let mut hears = [
        (Speak::Json, ""),
        (Speak::Protobuf, ""),
        (Speak::Json, &offer),
        (Speak::Protobuf, &offer),
    ]
    .map(|(speak, headers)| Client::connect_as(server.http, speak, headers));
    for (client, name) in hears.iter_mut().zip(["bea", "cleo", "dora", "emmy"]) {
        client.register(name);
        client.join(room);
    }
    let before = hears.each_ref().map(|client| client.received);
    let id = anna.send_compressed(super::client::post(room, &text));
    assert!(matches!(anna.answer(id), Outcome::Posted(_)));
    for client in &mut hears {
        while super::client::body(&client.event()) != text {}
    }
    let mut bytes = hears.each_ref().map(|client| client.received);
    bytes.iter_mut().zip(before).for_each(|(after, before)| *after -= before);
    assert!(bytes[0] > text.len() && bytes[1] > text.len(), "{bytes:?}");
    assert!(bytes[2] < text.len() / 2 && bytes[3] < text.len() / 2, "{bytes:?}");
}
