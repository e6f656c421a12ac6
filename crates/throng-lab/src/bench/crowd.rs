//! The bench's clients: many sockets, one thread, one epoll. Reads frames as cheaply as they can be
//! read, since the clients share two cores with what they measure.
//!
//! Neighbours: `load` says what is sent when; `book` hears every frame and checks it. The lab's
//! drivers simulate people; these only load. Nothing here judges what a frame says.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use throng_wire::native::v1::{self, client_frame::Request, reply::Outcome, server_frame::Frame};
use throng_wire::native::{Form, json, protobuf};
use throng_wire::ws::{self, handshake};

use crate::clock::{Nanos, now};
use crate::engine::timer::Timer;

/// Handshakes under way at once: fewer than any accept backlog.
const CONNECTING_MAX: usize = 64;
/// A request that is not answered for so long ends the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 256 * 1024;
/// A mask like any other; the server has to undo it all the same.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TIMER: Token = Token(usize::MAX - 1);

/// Who hears what the sockets read.
pub trait Hears {
    /// One frame's payload, read at `at`.
    fn frame(&mut self, link: usize, payload: &[u8], at: u64);
}

/// One socket.
#[derive(Debug)]
struct Link {
    stream: TcpStream,
    rest: Vec<u8>,
    unsent: Vec<u8>,
    key: String,
    opened: bool,
    closed: bool,
    asked: u32,
}

/// All of them.
#[derive(Debug)]
pub struct Crowd {
    poll: Poll,
    links: Vec<Link>,
    form: Form,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    frame: Vec<u8>,
    timer: Timer,
    opening: usize,
    /// Sockets that ended though nobody asked them to.
    pub dropped: usize,
    /// Bytes read.
    pub bytes: u64,
}

impl Crowd {
    pub fn new(form: Form) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        Ok(Self {
            poll,
            links: Vec::new(),
            form,
            buffer: vec![0; READ_BYTES],
            payload: Vec::new(),
            frame: Vec::new(),
            timer,
            opening: 0,
            dropped: 0,
            bytes: 0,
        })
    }

    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Connects `count` more and opens their WebSockets; their first frames are heard by nobody.
    pub fn connect(&mut self, to: SocketAddr, count: usize) -> io::Result<()> {
        let mut left = count;
        let give_up = now().0 + ANSWER_WITHIN.as_nanos() as u64 + count as u64 * 5_000_000;
        while left > 0 || self.opening > 0 {
            while left > 0 && self.opening < CONNECTING_MAX {
                self.connect_one(to)?;
                left -= 1;
            }
            self.turn(Some(Duration::from_millis(100)), &mut Nobody)?;
            if now().0 > give_up || self.dropped > 0 {
                return Err(io::Error::other(format!(
                    "could not open {count} connections: {} opening, {} dropped",
                    self.opening, self.dropped
                )));
            }
        }
        Ok(())
    }

    fn connect_one(&mut self, to: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(self.links.len()), both)?;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&(self.links.len() as u64 + 1).to_le_bytes());
        let key = handshake::key(nonce);
        let host = to.to_string();
        let unsent = handshake::request(&host, "/ws", &key, self.form.subprotocol(), "");
        self.links.push(Link {
            stream,
            rest: Vec::new(),
            unsent,
            key,
            opened: false,
            closed: false,
            asked: 0,
        });
        self.opening += 1;
        Ok(())
    }

    /// Sends a request under the link's next id; the id.
    pub fn ask(&mut self, link: usize, request: Request) -> io::Result<u32> {
        self.links[link].asked += 1;
        let id = self.links[link].asked;
        self.send(link, &v1::ClientFrame { id, request: Some(request) })?;
        Ok(id)
    }

    /// Sends a frame as it is. On a socket that has ended it goes nowhere: the farewell before the
    /// end is read like everything else, and what was not answered is counted by who waits for it.
    pub fn send(&mut self, link: usize, frame: &v1::ClientFrame) -> io::Result<()> {
        self.payload.clear();
        let opcode = match self.form {
            Form::Json => {
                json::encode_client(frame, &mut self.payload);
                ws::Opcode::Text
            }
            Form::Protobuf => {
                protobuf::encode_client(frame, &mut self.payload);
                ws::Opcode::Binary
            }
        };
        self.frame.clear();
        ws::encode_frame(opcode, &self.payload, Some(MASK), &mut self.frame);
        let link = &mut self.links[link];
        if link.closed {
            return Ok(());
        }
        if !link.unsent.is_empty() {
            link.unsent.extend_from_slice(&self.frame);
            return Ok(());
        }
        let sent = match link.stream.write(&self.frame) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if ended(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        link.unsent.extend_from_slice(&self.frame[sent..]);
        Ok(())
    }

    /// Sends every request, at most `window` unanswered at once, and waits for the answers, which
    /// come in the order of the requests. A refusal is an error.
    pub fn ask_all(
        &mut self,
        requests: impl IntoIterator<Item = (usize, Request)>,
        window: usize,
    ) -> io::Result<Vec<Outcome>> {
        let mut waits = Waits { form: self.form, ..Waits::default() };
        let mut requests = requests.into_iter();
        let mut more = true;
        let mut quiet_since = now().0;
        loop {
            while more && waits.open.len() < window {
                let Some((link, request)) = requests.next() else {
                    more = false;
                    break;
                };
                let id = self.ask(link, request)?;
                waits.open.insert((link, id), waits.answers.len());
                waits.answers.push(None);
            }
            if !more && waits.open.is_empty() {
                return waits
                    .answers
                    .into_iter()
                    .map(|answer| answer.ok_or_else(|| io::Error::other("an answer went missing")))
                    .collect();
            }
            let before = waits.open.len();
            self.turn(Some(Duration::from_millis(100)), &mut waits)?;
            if let Some(refused) = waits.refused.take() {
                return Err(io::Error::other(refused));
            }
            if waits.open.len() < before {
                quiet_since = now().0;
            }
            if self.dropped > 0 || now().0 - quiet_since > ANSWER_WITHIN.as_nanos() as u64 {
                let text = format!(
                    "{} requests unanswered, {} connections dropped",
                    waits.open.len(),
                    self.dropped
                );
                return Err(io::Error::other(text));
            }
        }
    }

    /// Waits until something can be read, the timer is due or the time is over; reads it.
    pub fn turn(&mut self, timeout: Option<Duration>, hears: &mut impl Hears) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        self.wait(&mut events, timeout)?;
        for event in &events {
            self.ready(event.token(), event.is_writable(), hears);
        }
        Ok(())
    }

    /// The wait alone, for a loop that does other things between two reads.
    pub fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    /// Wakes `wait` at `at`.
    pub fn wake_at(&mut self, at: u64) -> io::Result<()> {
        self.timer.set(Nanos(at))
    }

    /// Reads one socket that is ready.
    pub fn ready(&mut self, token: Token, writable: bool, hears: &mut impl Hears) {
        if token == TIMER {
            let _ = self.timer.rang();
            return;
        }
        let index = token.0;
        if self.links[index].closed {
            return;
        }
        let went = (if writable { self.writable(index) } else { Ok(()) })
            .and_then(|()| self.read(index, hears));
        if went.is_err() {
            let link = &mut self.links[index];
            link.closed = true;
            self.dropped += 1;
            if !link.opened {
                self.opening -= 1;
            }
        }
    }

    fn writable(&mut self, index: usize) -> io::Result<()> {
        let link = &mut self.links[index];
        while !link.unsent.is_empty() {
            match link.stream.write(&link.unsent) {
                Ok(n) => drop(link.unsent.drain(..n)),
                Err(error) if not_now(&error) => return Ok(()),
                Err(error) if ended(&error) => {
                    link.unsent.clear();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self, index: usize, hears: &mut impl Hears) -> io::Result<()> {
        loop {
            let len = match self.links[index].stream.read(&mut self.buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(error) if not_now(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.bytes += len as u64;
            let at = now().0;
            self.received(index, len, at, hears)?;
            if len < READ_BYTES {
                return Ok(());
            }
        }
    }

    fn received(
        &mut self,
        index: usize,
        len: usize,
        at: u64,
        hears: &mut impl Hears,
    ) -> io::Result<()> {
        let link = &mut self.links[index];
        if link.opened && link.rest.is_empty() {
            let taken = frames(index, &self.buffer[..len], at, link, hears)?;
            link.rest.extend_from_slice(&self.buffer[taken..len]);
            return Ok(());
        }
        link.rest.extend_from_slice(&self.buffer[..len]);
        let mut rest = std::mem::take(&mut link.rest);
        let mut taken = 0;
        if !link.opened {
            let response = handshake::response(&rest, &link.key);
            let opened = response.map_err(|error| io::Error::other(error.to_string()))?;
            let Some(opened) = opened else {
                link.rest = rest;
                return Ok(());
            };
            taken = opened.used;
            link.opened = true;
            self.opening -= 1;
        }
        taken += frames(index, &rest[taken..], at, link, hears)?;
        rest.drain(..taken);
        link.rest = rest;
        Ok(())
    }
}

/// The socket is not ready, or not even connected yet: it will be told when it is.
fn not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

/// The peer has closed; what it said before may still be read.
fn ended(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Goes through whole frames of a server; the bytes they take.
fn frames(
    index: usize,
    bytes: &[u8],
    at: u64,
    link: &mut Link,
    hears: &mut impl Hears,
) -> io::Result<usize> {
    let mut start = 0;
    while let Some((head, len)) = frame_len(&bytes[start..]) {
        let end = start + head + len;
        let Some(payload) = bytes.get(start + head..end) else { break };
        match bytes[start] {
            0x81 | 0x82 => hears.frame(index, payload, at),
            0x89 => {
                ws::encode_frame(ws::Opcode::Pong, payload, Some(MASK), &mut link.unsent);
                let n = link.stream.write(&link.unsent).unwrap_or(0);
                link.unsent.drain(..n);
            }
            0x8a => {}
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        start = end;
    }
    Ok(start)
}

/// Header and payload length of an unmasked frame.
fn frame_len(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? {
        126 => Some((4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize)),
        len => Some((2, usize::from(*len))),
    }
}

/// Hears nothing.
pub struct Nobody;

impl Hears for Nobody {
    fn frame(&mut self, _: usize, _: &[u8], _: u64) {}
}

/// Waits for the replies to setup requests; everything else passes by.
struct Waits {
    form: Form,
    open: std::collections::HashMap<(usize, u32), usize>,
    answers: Vec<Option<Outcome>>,
    refused: Option<String>,
}

impl Default for Waits {
    fn default() -> Self {
        let open = std::collections::HashMap::new();
        Self { form: Form::Json, open, answers: Vec::new(), refused: None }
    }
}

impl Hears for Waits {
    fn frame(&mut self, link: usize, payload: &[u8], _: u64) {
        let Some(Frame::Reply(reply)) = decode(self.form, payload).and_then(|frame| frame.frame)
        else {
            return;
        };
        let Some(slot) = self.open.remove(&(link, reply.re)) else { return };
        match reply.outcome {
            Some(Outcome::Rejected(rejected)) => {
                self.refused = Some(format!("{}: {}", rejected.name, rejected.text));
            }
            Some(outcome) => self.answers[slot] = Some(outcome),
            None => {}
        }
    }
}

/// A server's frame in either form.
pub fn decode(form: Form, payload: &[u8]) -> Option<v1::ServerFrame> {
    match form {
        Form::Json => json::decode_server(payload).ok(),
        Form::Protobuf => protobuf::decode_server(payload).ok(),
    }
}
