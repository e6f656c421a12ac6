//! A blocking client: one socket, a frame at a time, in any form.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
pub use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, ClientFrame, ServerFrame};
use throng_wire::native::{Form, json, protobuf};
use throng_wire::{raw, ws};

/// A server that says nothing for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speak {
    Json,
    Protobuf,
    Raw,
}

impl Speak {
    pub const ALL: [Self; 3] = [Self::Json, Self::Protobuf, Self::Raw];
}

pub struct Client {
    pub stream: TcpStream,
    speak: Speak,
    ws: ws::Decoder,
    raw: raw::Decoder,
    frames: VecDeque<Frame>,
    /// The close code, once it came.
    pub closed: Option<u16>,
    /// Events met while waiting for an answer.
    pub events: VecDeque<v1::Event>,
    /// Rooms that it was told it has left.
    pub left: VecDeque<v1::Left>,
    /// How far it was told that another connection of its account has read.
    pub read_to: VecDeque<v1::ReadTo>,
    /// Who it was told is there; comes at any time.
    pub here: VecDeque<v1::Here>,
    /// What it was told waits, and waits no longer; comes outside of any order.
    pub held: VecDeque<v1::HeldPost>,
    pub unheld: VecDeque<v1::Unheld>,
    /// What it was told that its account has joined or left otherwise; likewise.
    pub memberships: VecDeque<v1::Membership>,
    requests: u32,
    /// Pings that came, none of which it answers.
    pub pings: usize,
    /// Bytes that were read off the socket.
    pub received: usize,
    pub epoch: u32,
    pub limits: v1::Limits,
    pub user: u64,
    pub token: String,
}

/// What came of waiting for a frame.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Came {
    Frame(Frame),
    /// The stream is at its end.
    End,
}

impl Client {
    pub fn connect(address: SocketAddr, speak: Speak) -> Self {
        Self::connect_as(address, speak, "")
    }

    /// With more headers in the request.
    pub fn connect_as(address: SocketAddr, speak: Speak, headers: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let limits = ws::Limits { frame_len_max: 1 << 24, message_len_max: 1 << 24 };
        let mut client = Self {
            stream,
            speak,
            ws: ws::Decoder::new(ws::Role::Client, limits),
            raw: raw::Decoder::new(1 << 24),
            frames: VecDeque::new(),
            closed: None,
            events: VecDeque::new(),
            left: VecDeque::new(),
            read_to: VecDeque::new(),
            here: VecDeque::new(),
            held: VecDeque::new(),
            unheld: VecDeque::new(),
            memberships: VecDeque::new(),
            requests: 0,
            pings: 0,
            received: 0,
            epoch: 0,
            limits: v1::Limits::default(),
            user: 0,
            token: String::new(),
        };
        if speak != Speak::Raw {
            client.shake_hands(address, headers);
        }
        match client.next() {
            Came::Frame(Frame::Welcome(welcome)) => {
                client.epoch = welcome.epoch;
                client.limits = welcome.limits.unwrap();
            }
            other => panic!("{other:?} is no welcome"),
        }
        client
    }

    fn shake_hands(&mut self, address: SocketAddr, headers: &str) {
        let form = if self.speak == Speak::Json { Form::Json } else { Form::Protobuf };
        let key = ws::handshake::key([7; 16]);
        let host = address.to_string();
        let request = ws::handshake::request(&host, "/ws", &key, form.subprotocol(), headers);
        self.stream.write_all(&request).unwrap();
        let mut head = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let len = self.stream.read(&mut chunk).unwrap();
            assert!(len > 0, "closed in the handshake: {}", String::from_utf8_lossy(&head));
            head.extend_from_slice(&chunk[..len]);
            if let Some(opened) = ws::handshake::response(&head, &key).unwrap() {
                assert_eq!(opened.subprotocol.as_deref(), Some(form.subprotocol()));
                if opened.deflate {
                    let limits = ws::Limits { frame_len_max: 1 << 24, message_len_max: 1 << 24 };
                    self.ws = ws::Decoder::new(ws::Role::Client, limits).with_deflate();
                }
                self.take(&mut head[opened.used..]);
                return;
            }
        }
    }

    pub fn register(&mut self, name: &str) {
        let (name, password) = (name.to_owned(), "correct horse".to_owned());
        match self.ask(Request::Register(v1::Register {
            name,
            password,
            ..v1::Register::default()
        })) {
            Outcome::Session(session) => {
                self.user = session.user.unwrap().id;
                self.token = session.token;
            }
            other => panic!("{other:?} is no session"),
        }
    }

    pub fn authenticate(&mut self, token: &str) -> Outcome {
        self.ask(Request::Authenticate(v1::Authenticate { token: token.to_owned() }))
    }

    pub fn encode(&self, frame: &ClientFrame, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        match self.speak {
            Speak::Json => {
                json::encode_client(frame, &mut payload);
                ws::encode_frame(ws::Opcode::Text, &payload, Some([9, 8, 7, 6]), out);
            }
            Speak::Protobuf => {
                protobuf::encode_client(frame, &mut payload);
                ws::encode_frame(ws::Opcode::Binary, &payload, Some([9, 8, 7, 6]), out);
            }
            Speak::Raw => raw::encode_with(out, |out| protobuf::encode_client(frame, out)),
        }
    }

    /// How long a frame is before it is framed.
    pub fn payload(&self, frame: &ClientFrame) -> usize {
        let mut payload = Vec::new();
        match self.speak {
            Speak::Json => json::encode_client(frame, &mut payload),
            Speak::Protobuf | Speak::Raw => protobuf::encode_client(frame, &mut payload),
        }
        payload.len()
    }

    /// Sends a request as a compressed message.
    pub fn send_compressed(&mut self, request: Request) -> u32 {
        self.requests += 1;
        let (mut payload, mut small, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        let frame = ClientFrame { id: self.requests, request: Some(request) };
        json::encode_client(&frame, &mut payload);
        assert!(ws::deflate::compress(&payload, &mut small));
        ws::encode_frame(ws::Opcode::Text, &small, Some([9, 8, 7, 6]), &mut bytes);
        bytes[0] |= 0x40;
        self.stream.write_all(&bytes).unwrap();
        self.requests
    }

    /// Sends a request; returns its id.
    pub fn send(&mut self, request: Request) -> u32 {
        self.send_all([request])
    }

    /// Sends several in one write; returns the last one's id.
    pub fn send_all(&mut self, requests: impl IntoIterator<Item = Request>) -> u32 {
        let mut bytes = Vec::new();
        for request in requests {
            self.requests += 1;
            let frame = ClientFrame { id: self.requests, request: Some(request) };
            self.encode(&frame, &mut bytes);
        }
        self.stream.write_all(&bytes).unwrap();
        self.requests
    }

    fn take(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let (used, payload) = match self.speak {
                Speak::Raw => {
                    let step = self.raw.decode(bytes).unwrap();
                    (step.used, step.frame.map(Cow::into_owned))
                }
                Speak::Json | Speak::Protobuf => {
                    let step = self.ws.decode(bytes).unwrap();
                    let payload = match step.message {
                        Some(ws::Message::Text(text)) => Some(text.into_owned().into_bytes()),
                        Some(ws::Message::Binary(bytes)) => Some(bytes.into_owned()),
                        Some(ws::Message::Close(said)) => {
                            self.closed = said.map(|(code, _)| code);
                            None
                        }
                        Some(ws::Message::Ping(_)) => {
                            self.pings += 1;
                            None
                        }
                        Some(ws::Message::Pong(_)) | None => None,
                    };
                    (step.used, payload)
                }
            };
            bytes = &mut bytes[used..];
            let Some(payload) = payload else { continue };
            let frame: ServerFrame = match self.speak {
                Speak::Json => json::decode_server(&payload).unwrap(),
                Speak::Protobuf | Speak::Raw => protobuf::decode_server(&payload).unwrap(),
            };
            match frame.frame.unwrap() {
                Frame::Here(here) => self.here.push_back(here),
                Frame::HeldPost(post) => self.held.push_back(post),
                Frame::Unheld(unheld) => self.unheld.push_back(unheld),
                Frame::Membership(told) => self.memberships.push_back(told),
                frame => self.frames.push_back(frame),
            }
        }
    }

    /// The next frame, or the end.
    pub fn next(&mut self) -> Came {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Came::Frame(frame);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Came::End,
                Ok(len) => {
                    self.received += len;
                    self.take(&mut chunk[..len]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Came::End;
                }
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// Waits for the answer to this request; events met on the way are kept.
    pub fn answer(&mut self, id: u32) -> Outcome {
        loop {
            match self.next() {
                Came::Frame(Frame::Reply(reply)) if reply.re == id => {
                    return reply.outcome.unwrap();
                }
                // Who it is, by the head of its upgrade.
                Came::Frame(Frame::Reply(reply)) if reply.re == 0 => {}
                Came::Frame(Frame::Event(event)) => self.events.push_back(event),
                Came::Frame(Frame::Left(left)) => self.left.push_back(left),
                Came::Frame(Frame::Read(read)) => self.read_to.push_back(read),
                Came::Frame(Frame::Opened(_) | Frame::Invited(_)) => {}
                other => panic!("{other:?} while waiting for the answer to {id}"),
            }
        }
    }

    /// The next telling of who is there.
    pub fn next_here(&mut self) -> v1::Here {
        self.told(|client| client.here.pop_front())
    }

    /// The next telling of what waits.
    pub fn next_held(&mut self) -> v1::HeldPost {
        self.told(|client| client.held.pop_front())
    }

    /// The next telling of what waits no longer.
    pub fn next_unheld(&mut self) -> v1::Unheld {
        self.told(|client| client.unheld.pop_front())
    }

    /// The next telling of what its account has joined or left otherwise.
    pub fn next_membership(&mut self) -> v1::Membership {
        self.told(|client| client.memberships.pop_front())
    }

    /// Waits until it was asked whether it is still there.
    pub fn probed(&mut self) {
        self.told(|client| (client.pings > 0).then_some(()));
    }

    fn told<T>(&mut self, next: impl Fn(&mut Self) -> Option<T>) -> T {
        loop {
            if let Some(told) = next(self) {
                return told;
            }
            let mut chunk = [0; 16 * 1024];
            let len = self.stream.read(&mut chunk).unwrap();
            assert!(len > 0, "the end instead of a telling");
            self.take(&mut chunk[..len]);
        }
    }

    pub fn ask(&mut self, request: Request) -> Outcome {
        let id = self.send(request);
        self.answer(id)
    }

    /// The next event.
    pub fn event(&mut self) -> v1::Event {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        loop {
            match self.next() {
                Came::Frame(Frame::Event(event)) => return event,
                Came::Frame(Frame::Invited(_)) => {}
                other => panic!("{other:?} is no event"),
            }
        }
    }

    /// The farewell, whatever comes before it, and the end after it.
    pub fn farewell(&mut self) -> v1::Goodbye {
        let goodbye = loop {
            match self.next() {
                Came::Frame(Frame::Goodbye(goodbye)) => break goodbye,
                Came::Frame(Frame::Event(event)) => self.events.push_back(event),
                Came::Frame(_) => {}
                Came::End => panic!("the end without a farewell"),
            }
        };
        assert!(matches!(self.next(), Came::End), "nothing comes after a farewell");
        if self.speak != Speak::Raw {
            assert_eq!(self.closed.map(u32::from), Some(goodbye.code));
        }
        goodbye
    }

    pub fn create(&mut self, name: &str) -> u32 {
        match self.ask(Request::CreateRoom(v1::CreateRoom {
            name: name.to_owned(),
            ..Default::default()
        })) {
            Outcome::Joined(joined) => joined.room,
            other => panic!("{other:?} is no new room"),
        }
    }

    pub fn join(&mut self, room: u32) -> v1::Joined {
        match self.ask(Request::Join(v1::Join { room })) {
            Outcome::Joined(joined) => joined,
            other => panic!("{other:?} is no membership"),
        }
    }

    pub fn post(&mut self, room: u32, body: &str) -> v1::Posted {
        match self.ask(post(room, body)) {
            Outcome::Posted(posted) => posted,
            other => panic!("{other:?} is no post"),
        }
    }

    pub fn subscribe(&mut self, room: u32, from: Option<u64>) -> Outcome {
        let from = from.map(|seq| v1::Position { epoch: self.epoch, seq });
        self.ask(Request::Subscribe(v1::Subscribe { room, from }))
    }
}

pub fn post(room: u32, body: &str) -> Request {
    let (origin_id, ack) = (String::new(), v1::Ack::Durable as i32);
    Request::Post(v1::Post { room, body: body.to_owned(), origin_id, ack, ..v1::Post::default() })
}

/// The text of a message.
pub fn body(event: &v1::Event) -> &str {
    match &event.what {
        Some(What::Message(message)) => &message.body,
        _ => "",
    }
}

/// The code of a refusal.
pub fn refused(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Rejected(rejected) => rejected.code,
        other => panic!("{other:?} is no refusal"),
    }
}
