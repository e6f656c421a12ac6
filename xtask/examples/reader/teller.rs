//! The process that tells: one room's events, the same bytes to every connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use throng_lab::clock::Nanos;
use throng_lab::drivers::digest;
use throng_lab::ledger::{Ledger, SendIx, UserIx};
use throng_wire::native::json;
use throng_wire::native::v1::{self, ServerFrame, event::What, server_frame::Frame};
use throng_wire::ws::{self, Opcode, handshake};

use super::Work;

/// The server's number of the room.
pub const ROOM: u32 = 7;
/// Its members' accounts begin here; the first of them speaks.
pub const ACCOUNT: u64 = 100;
/// What both sides call the run, so that both know the names of its sends.
const RUN: u32 = 1;
/// As in the scenario `canonical`, at the median.
const BODY: &str = "sixty bytes of what people say to each other all day long ..";

/// The books in which all sends of the work are entered, as if they had just been sent; with the members.
pub fn books(work: Work) -> (Ledger, Vec<UserIx>, Vec<SendIx>) {
    let mut ledger = Ledger::new(RUN);
    let room = ledger.add_room(ROOM, 0);
    let users: Vec<_> =
        (0..work.connections).map(|user| ledger.add_user(ACCOUNT + user as u64)).collect();
    for user in &users {
        ledger.joined(*user, room, 0, 0);
    }
    let sends = work.turns * work.frames;
    let sends = (0..sends).map(|_| ledger.sent(users[0], room, Nanos(0), digest(BODY))).collect();
    (ledger, users, sends)
}

/// The events, each as a WebSocket frame.
fn frames(work: Work) -> Vec<Vec<u8>> {
    let (ledger, _, sends) = books(work);
    let framed = |(seq, send): (u64, SendIx)| {
        let from = Some(v1::User { id: ACCOUNT, name: "anna".into() });
        let origin_id = ledger.origin_id(send);
        let message =
            v1::Message { n: seq, from, origin_id, body: BODY.into(), ..v1::Message::default() };
        let what = Some(What::Message(message));
        let event = v1::Event { room: ROOM, seq, prev: seq - 1, at: 1_760_000_000_000, what };
        let frame = ServerFrame { frame: Some(Frame::Event(event)) };
        let mut bytes = Vec::new();
        ws::encode_with(Opcode::Text, &mut bytes, |out| json::encode_server(&frame, out));
        bytes
    };
    (1..).zip(sends).map(framed).collect()
}

/// Bytes of each turn on one connection.
pub fn lengths(work: Work) -> Vec<usize> {
    frames(work).chunks(work.frames).map(|turn| turn.iter().map(Vec::len).sum()).collect()
}

/// Listens, lets all connect, and tells a turn for each byte that comes over the first connection.
pub fn tell(work: Work) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("it is bound"));
    let frames = frames(work);
    let mut ask = listener.accept().expect("who asks").0;
    let mut told: Vec<TcpStream> = (0..work.connections).map(|_| opened(&listener)).collect();
    let mut byte = [0; 1];
    for turn in frames.chunks(work.frames) {
        ask.read_exact(&mut byte).expect("asked for each turn");
        let bytes = turn.concat();
        for stream in &mut told {
            stream.write_all(&bytes).expect("it is read");
        }
    }
    // Until the reader has done with it.
    _ = ask.read(&mut byte);
}

fn opened(listener: &TcpListener) -> TcpStream {
    let mut stream = listener.accept().expect("a connection").0;
    stream.set_nodelay(true).expect("a socket");
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer).expect("a request");
        assert!(count > 0, "it ended within its request");
        head.extend_from_slice(&buffer[..count]);
    }
    let head = String::from_utf8(head).expect("text");
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        values.next().expect("the field is there").1.to_owned()
    };
    let accept = handshake::accept_key(&field("sec-websocket-key"));
    let protocol = field("sec-websocket-protocol");
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: {protocol}\r\n\r\n"
    );
    stream.write_all(response.as_bytes()).expect("it is read");
    stream
}
