//! Small inputs that want to become large ones, in every grammar that a client speaks: each costs the
//! server less than a mebibyte and little time, is refused or sent away, and leaves others served.
//!
//! They are borne by a process of its own, because what is counted is all that a process allocates;
//! what making them took is done before. Pictures are in `bombs.rs` beside this folder.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, ClientFrame};
use throng_wire::ws;

use super::Server;
use super::client::{Came, Client, Speak};
use crate::bombs::{ALLOCATED, CPU_MAX_MS, MEBIBYTE, cpu_ms};

/// Set for the process that bears them.
const CHILD: &str = "THRONG_TEST_GRAMMAR_BOMBS";
/// Below the frame's limit, so that its content is looked at.
const LEN: usize = 65_000;
/// The ping behind a bomb.
const PING: u32 = 4_000_000;

/// How a bomb comes: by which way, as which bytes.
enum Bomb {
    Socket(Speak, Vec<u8>),
    /// The head, and the body behind it.
    Rest(String, Vec<u8>),
}

#[test]
fn a_bomb_of_any_grammar_costs_less_than_a_mebibyte() {
    if std::env::var_os(CHILD).is_some() {
        return bear();
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(child.success());
}

#[expect(clippy::print_stdout, reason = "what each cost is told")]
fn bear() {
    let server = Server::with(|settings| {
        settings.websocket_deflate = true;
        settings.limits.connections_per_user = 10_000;
        settings.limits.requests_burst = 1_000_000;
        settings.limits.sends_burst = 1_000_000;
        // The same one comes again after each that it was sent away for.
        settings.limits.away_ms = 0;
        // Our client answers no pings.
        settings.limits.ping_interval_ms = 600_000;
    });
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    assert_eq!(room, 1, "the bombs name it");
    // What code and buffers the first one of each takes is there from then on.
    for _ in 0..3 {
        for (_, bomb) in bombs(2_000) {
            throw(&server, &host.token, &bomb);
        }
    }
    let mut told = String::new();
    let mut broken = Vec::new();
    for (name, bomb) in bombs(LEN) {
        let (before, began) = (ALLOCATED.current_usage(), cpu_ms());
        ALLOCATED.reset_peak_usage();
        let answer = throw(&server, &host.token, &bomb);
        let cost = ALLOCATED.peak_usage().saturating_sub(before).div_ceil(1_024);
        let took = cpu_ms() - began;
        let line = format!("{cost:>5} KiB {took:>4} ms  {name}: {answer}");
        println!("{line}");
        told = told + &line + "\n";
        if cost as u64 * 1_024 >= MEBIBYTE || took >= CPU_MAX_MS {
            broken.push(name);
        }
        host.post(room, "others go on");
        host.events.clear();
    }
    assert!(broken.is_empty(), "too dear: {broken:?}\n{told}");
    assert!(told.lines().count() > 40);
}

/// Throws it, and waits until the server has answered what comes behind it, or has closed. The codes
/// of what it said, of which none may be its own trouble.
fn throw(server: &Server, token: &str, bomb: &Bomb) -> String {
    let (speak, bytes) = match bomb {
        Bomb::Rest(head, body) => return throw_rest(server, token, head, body),
        Bomb::Socket(speak, bytes) => (*speak, bytes),
    };
    let address = if speak == Speak::Raw { server.raw } else { server.http };
    let offer = format!("Sec-WebSocket-Extensions: {}\r\n", ws::deflate::OFFER);
    let mut client = Client::connect_as(address, speak, &offer);
    client.authenticate(token);
    _ = client.stream.write_all(bytes);
    let mut ping = Vec::new();
    let frame = ClientFrame { id: PING, request: Some(Request::Ping(v1::Ping {})) };
    client.encode(&frame, &mut ping);
    _ = client.stream.write_all(&ping);
    let mut codes = std::collections::BTreeSet::new();
    loop {
        match client.next() {
            Came::Frame(Frame::Reply(reply)) if reply.re == PING => break,
            Came::Frame(Frame::Reply(reply)) => {
                if let Some(v1::reply::Outcome::Rejected(rejected)) = reply.outcome {
                    codes.insert(rejected.code);
                }
            }
            Came::Frame(Frame::Goodbye(goodbye)) => {
                codes.insert(goodbye.code);
                break;
            }
            Came::Frame(_) => {}
            Came::End => break,
        }
    }
    assert!(!codes.contains(&4002) && !codes.contains(&302), "{codes:?}");
    format!("{codes:?}")
}

fn throw_rest(server: &Server, token: &str, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = head.replace("TOKEN", token);
    _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.get(9..12).unwrap_or("nothing").to_owned();
    assert!(!status.starts_with('5'), "{answer}");
    status
}

fn json(begin: &str, middle: &str, end: &str, len: usize) -> Vec<u8> {
    format!("{begin}{}{end}", middle.repeat((len - begin.len() - end.len()) / middle.len()))
        .into_bytes()
}

/// A text whose every repetition has a number of its own.
fn numbered(begin: &str, each: impl Fn(usize) -> String, end: &str, len: usize) -> Vec<u8> {
    let mut text = String::from(begin);
    let mut count = 0;
    while text.len() + 32 < len {
        text.push_str(&each(count));
        count += 1;
    }
    (text + end).into_bytes()
}

/// Payloads of JSON that want to become large, each of so many bytes.
fn json_bombs(len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let post = r#"{"id":1,"post":{"room":1,"body":"x","#;
    vec![
        ("nested arrays", json(r#"{"id":1,"x":"#, "[", "", len)),
        ("nested arrays, closed", {
            let half = "[".repeat(len / 2 - 16) + &"]".repeat(len / 2 - 16);
            format!(r#"{{"id":1,"x":{half}}}"#).into_bytes()
        }),
        ("nested objects", json(r#"{"id":1,"x":"#, r#"{"x":"#, "", len)),
        ("nested where a request is", json(r#"{"id":1,"post":"#, r#"{"post":"#, "", len)),
        ("a long number", json(r#"{"id":1,"join":{"room":"#, "9", "}}", len)),
        ("a long number that is not looked for", json(r#"{"id":1,"x":"#, "9", "}", len)),
        ("a long fraction", json(r#"{"id":1,"x":0."#, "3", "e-99999}", len)),
        ("a long exponent", json(r#"{"id":1,"join":{"room":1e"#, "9", "}}", len)),
        ("a long key", json(r#"{"id":1,""#, "k", r#"":0}"#, len)),
        ("a long key of escapes", json(r#"{"id":1,""#, "\\u006b", r#"":0}"#, len)),
        ("many keys", numbered(r#"{"id":1"#, |i| format!(r#","k{i}":0"#), "}", len)),
        ("one key many times", json(r#"{"id":1"#, r#","id":1"#, "}", len)),
        ("a request many times", json(r#"{"id":1"#, r#","ping":{}"#, "}", len)),
        ("a field many times", json(post, r#""body":"yy","#, r#""n":0}}"#, len)),
        ("many mentioned", json(post, "1,", "1]}}", len).replacen(b"1,1,", br#""mentioned":[1,"#)),
        ("many attachments", json(&format!(r#"{post}"attachments":["#), r#""","#, r#"""]}}"#, len)),
        (
            "many words",
            json(r#"{"id":1,"set_room":{"room":1,"words":{"list":["#, r#""","#, r#"""]}}}"#, len),
        ),
        ("escapes", json(r#"{"id":1,"post":{"room":1,"body":""#, "\\u0041", "\"}}", len)),
        ("a lone half of a pair", json(r#"{"id":1,"post":{"body":""#, "\\ud800", "\"}}", len)),
        ("blanks", json(r#"{"id":1,"#, " ", r#""ping":{}}"#, len)),
        ("not UTF-8", vec![0xff; len]),
        ("an end that never comes", json(r#"{"id":1,"post":{"body":""#, "x", "", len)),
    ]
}

/// Replaces the first occurrence, in bytes.
trait Replacen {
    fn replacen(self, from: &[u8], to: &[u8]) -> Self;
}

impl Replacen for Vec<u8> {
    fn replacen(mut self, from: &[u8], to: &[u8]) -> Self {
        let at = self.windows(from.len()).position(|window| window == from).unwrap();
        self.splice(at..at + from.len(), to.iter().copied());
        self
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes.
fn bytes_field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(number << 3 | 2, &mut out);
    varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// Payloads of Protobuf that want to become large, each of so many bytes. 10 is `post`, 18 `set_room`.
fn protobuf_bombs(len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let head = || b"\x08\x01".to_vec();
    let with = |number, content: &[u8]| [head(), bytes_field(number, content)].concat();
    let repeated = |of: &[u8]| of.repeat((len - 32) / of.len());
    let mut deep = Vec::new();
    while deep.len() + 16 < len {
        deep = bytes_field(10, &deep);
    }
    let lie = |length: u64| {
        let mut lie = head();
        varint(10 << 3 | 2, &mut lie);
        varint(length, &mut lie);
        [lie, vec![0; len - 32]].concat()
    };
    let liar_inside = {
        let mut post = b"\x08\x01".to_vec();
        varint(2 << 3 | 2, &mut post);
        varint(u64::MAX, &mut post);
        with(10, &[post, vec![b'x'; len - 64]].concat())
    };
    vec![
        ("packed numbers", with(10, &bytes_field(6, &vec![1; len - 32]))),
        ("numbers one by one", with(10, &repeated(b"\x30\x01"))),
        ("many attachments", with(10, &repeated(b"\xc2\x02\x00"))),
        ("many words", with(18, &bytes_field(50, &repeated(b"\x0a\x00")))),
        ("a request many times", [head(), repeated(b"\x6a\x00")].concat()),
        ("posts many times", [head(), repeated(b"\x52\x03\x12\x01x")].concat()),
        ("groups that begin", vec![0x0b; len]),
        ("unknown groups", [head(), repeated(b"\xfb\x7f\xfc\x7f")].concat()),
        ("unknown groups, nested", [head(), b"\xfb\x7f".repeat(len / 2 - 8)].concat()),
        ("messages in messages", deep),
        ("a length of all that is", lie(u64::MAX)),
        ("a length of half of it", lie(1 << 63)),
        ("a length of two gigabytes", lie(0x7fff_ffff)),
        ("a length one too long", lie(len as u64 - 31)),
        ("a text that says it is longer", liar_inside),
        ("a number of eleven bytes", [vec![0x08], vec![0xff; len - 1]].concat()),
        ("a text that is none", with(10, &bytes_field(2, &vec![0xff; len - 32]))),
        ("a number where a text is", with(10, &repeated(b"\x10\x01"))),
    ]
}

/// Each bomb with so many bytes of payload.
fn bombs(len: usize) -> Vec<(String, Bomb)> {
    let mut all = Vec::new();
    let message = |opcode, payload: &[u8]| {
        let mut bytes = Vec::new();
        ws::encode_frame(opcode, payload, Some([1, 2, 3, 4]), &mut bytes);
        bytes
    };
    for (name, payload) in json_bombs(len) {
        let framed = message(ws::Opcode::Text, &payload);
        all.push((format!("json, {name}"), Bomb::Socket(Speak::Json, framed)));
        let body = payload.strip_prefix(br#"{"id":1,"post":"#).unwrap_or(&payload);
        let head = format!(
            "POST /api/v1/rooms/1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer TOKEN\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        all.push((format!("rest, {name}"), Bomb::Rest(head, body.to_vec())));
    }
    for (name, payload) in protobuf_bombs(len) {
        let framed = message(ws::Opcode::Binary, &payload);
        all.push((format!("protobuf, {name}"), Bomb::Socket(Speak::Protobuf, framed)));
        let record = [&(payload.len() as u32).to_be_bytes()[..], &payload].concat();
        all.push((format!("raw, {name}"), Bomb::Socket(Speak::Raw, record)));
    }
    for (name, inflated) in [
        ("spaces", vec![b' '; len * 900]),
        ("a text", json(r#"{"id":1,"post":{"room":1,"body":""#, "a", "\"}}", len * 900)),
        ("nested arrays", json(r#"{"id":1,"x":"#, "[", "", len * 900)),
    ] {
        let mut small = Vec::new();
        assert!(ws::deflate::compress(&inflated, &mut small));
        assert!(small.len() < len + 4_096, "{}", small.len());
        let mut framed = message(ws::Opcode::Text, &small);
        framed[0] |= 0x40;
        all.push((format!("inflate, {name}"), Bomb::Socket(Speak::Json, framed)));
    }
    all.extend(scraps(len).map(|(name, bomb)| (name.to_owned(), bomb)));
    all
}

/// Frames that are many, or that say they are long.
fn scraps(len: usize) -> impl Iterator<Item = (&'static str, Bomb)> {
    let long = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let head = |line: &str| format!("GET /api/v1/rooms?{line}\r\n\r\n");
    [
        ("raw, empty records", Bomb::Socket(Speak::Raw, vec![0; len])),
        ("raw, a record of four gigabytes", Bomb::Socket(Speak::Raw, vec![0xff; len])),
        (
            "json, empty messages",
            Bomb::Socket(Speak::Json, [0x81, 0x80, 1, 2, 3, 4].repeat(len / 6)),
        ),
        (
            "json, pieces of nothing",
            Bomb::Socket(
                Speak::Json,
                [&[0x01, 0x80, 1, 2, 3, 4][..], &[0x00, 0x80, 1, 2, 3, 4].repeat(len / 6)].concat(),
            ),
        ),
        ("json, pings", Bomb::Socket(Speak::Json, [0x89, 0x80, 1, 2, 3, 4].repeat(len / 6))),
        ("json, a frame of all that is", Bomb::Socket(Speak::Json, long(u64::MAX))),
        ("json, a frame of half of it", Bomb::Socket(Speak::Json, long(i64::MAX as u64))),
        (
            "rest, many names in a query",
            Bomb::Rest(
                head(&format!("{} HTTP/1.1\r\nconnection: close", "a=&".repeat(2_600))),
                Vec::new(),
            ),
        ),
        (
            "rest, many headers",
            Bomb::Rest(
                head(&format!(" HTTP/1.1\r\nconnection: close\r\n{}x: y", "a:\r\n".repeat(1_900))),
                Vec::new(),
            ),
        ),
    ]
    .into_iter()
}
