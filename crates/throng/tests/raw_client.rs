//! The smallest client: one blocking socket, length-prefixed Protobuf, a frame at a time.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use throng_wire::native::protobuf;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{
    Authenticate, ClientFrame, CreateRoom, Event, Goodbye, History, Page, Post, Register, Reply,
};
use throng_wire::raw;

/// A server that says nothing for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection, authenticated.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    decoder: raw::Decoder,
    input: Vec<u8>,
    frames: VecDeque<Frame>,
    requests: u32,
    pub epoch: u32,
}

impl Client {
    /// Connects and says who it is.
    pub fn open(address: SocketAddr, token: &str) -> io::Result<Self> {
        Self::enter(address, Request::Authenticate(Authenticate { token: token.into() }))
    }

    /// Connects and makes an account.
    pub fn register(address: SocketAddr, name: &str) -> io::Result<Self> {
        let password = format!("{name}'s password");
        Self::enter(
            address,
            Request::Register(Register { name: name.into(), password, ..Register::default() }),
        )
    }

    fn enter(address: SocketAddr, request: Request) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let decoder = raw::Decoder::new(1 << 20);
        let (input, frames) = (vec![0; 64 * 1024], VecDeque::new());
        let mut client = Self { stream, decoder, input, frames, requests: 0, epoch: 0 };
        match client.read()? {
            Frame::Welcome(welcome) => client.epoch = welcome.epoch,
            other => panic!("{other:?} is no welcome"),
        }
        match client.ask(request)? {
            (Outcome::Session(_), _) => Ok(client),
            (other, _) => panic!("{other:?} is no session"),
        }
    }

    /// From now on its socket takes in little before it is read.
    pub fn read_slowly(&self) {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, 4_096)
            .expect("a socket's buffer may be small");
    }

    /// Sends a request; returns its id.
    pub fn send(&mut self, request: Request) -> io::Result<u32> {
        self.requests += 1;
        let frame = ClientFrame { id: self.requests, request: Some(request) };
        let mut bytes = Vec::new();
        raw::encode_with(&mut bytes, |out| protobuf::encode_client(&frame, out));
        self.stream.write_all(&bytes)?;
        Ok(self.requests)
    }

    /// Asks the same again and again without reading an answer, until the other side takes no more,
    /// or has taken so many bytes: whether it stopped. The last request may be cut short.
    pub fn floods(&mut self, request: &Request, bytes_max: usize) -> io::Result<bool> {
        let mut bytes = Vec::new();
        for _ in 0..1_000 {
            self.requests += 1;
            let frame = ClientFrame { id: self.requests, request: Some(request.clone()) };
            raw::encode_with(&mut bytes, |out| protobuf::encode_client(&frame, out));
        }
        self.stream.set_nonblocking(true)?;
        let mut taken = 0;
        let stopped = loop {
            match self.stream.write(&bytes[taken % bytes.len()..]) {
                Ok(len) => taken += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(error) => return Err(error),
            }
            if taken > bytes_max {
                break false;
            }
        };
        self.stream.set_nonblocking(false)?;
        Ok(stopped)
    }

    /// The next frame, when it has come.
    pub fn read(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            let len = match self.stream.read(&mut self.input) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing came for {PATIENCE:?}")
                }
                Err(error) => return Err(error),
            };
            let mut rest = &self.input[..len];
            while !rest.is_empty() {
                let step = self.decoder.decode(rest).expect("a frame is below its limit");
                rest = &rest[step.used..];
                if let Some(bytes) = step.frame {
                    let frame =
                        protobuf::decode_server(&bytes).expect("the server knows its grammar");
                    self.frames.push_back(frame.frame.expect("a frame of this version"));
                }
            }
        }
    }

    /// Asks and waits; the events that came before the answer are returned beside it.
    pub fn ask(&mut self, request: Request) -> io::Result<(Outcome, Vec<Event>)> {
        let id = self.send(request)?;
        let mut events = Vec::new();
        loop {
            match self.read()? {
                Frame::Reply(Reply { re, outcome }) if re == id => {
                    return Ok((outcome.expect("an answer of this version"), events));
                }
                Frame::Reply(other) => panic!("{other:?} answers nothing that was asked"),
                Frame::Event(event) => events.push(event),
                Frame::Goodbye(Goodbye { reason, .. }) => return Err(io::Error::other(reason)),
                Frame::Welcome(_) => panic!("welcome comes once"),
                Frame::Opened(_)
                | Frame::Invited(_)
                | Frame::Membership(_)
                | Frame::Read(_)
                | Frame::Here(_)
                | Frame::HeldPost(_)
                | Frame::Unheld(_) => {}
                Frame::Left(left) => panic!("{left:?}, and nobody leaves"),
            }
        }
    }

    /// Makes a room and returns its number.
    pub fn create_room(&mut self, name: &str) -> u32 {
        let name = name.into();
        match self.ask(Request::CreateRoom(CreateRoom { name, ..Default::default() })) {
            Ok((Outcome::Joined(joined), _)) => joined.room,
            other => panic!("cannot make a room: {other:?}"),
        }
    }

    /// All of a room's history above a place.
    pub fn history(&mut self, room: u32, mut after: u64) -> io::Result<Vec<Event>> {
        let mut history = Vec::new();
        loop {
            let page = History { room, before: None, after: Some(after), limit: 0 };
            match self.ask(Request::History(page))? {
                (Outcome::Page(Page { events, more, .. }), _) => {
                    after = events.last().map_or(after, |event| event.seq);
                    history.extend(events);
                    if !more {
                        return Ok(history);
                    }
                }
                (other, _) => panic!("{other:?} is no page"),
            }
        }
    }
}

/// A durable post.
pub fn post(room: u32, origin_id: &str, body: &str) -> Request {
    let (body, origin_id) = (body.into(), origin_id.into());
    Request::Post(Post { room, body, origin_id, ..Post::default() })
}
