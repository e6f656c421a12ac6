//! One thread's loop: thousands of non-blocking sockets and one timer in one wait.
//!
//! Neighbours: a [`Handler`] says what the bytes mean (`runner` puts the drivers of its users
//! behind one, the bench its own); `timer` is the clock that wakes, `far` are sockets that an agent
//! holds. No runtime is below it, because
//! a runtime's 1 ms wheel would be in every figure. It never looks into the bytes.
//!
//! How it is used:
//!
//! ```no_run
//! # use throng_lab::{clock::Nanos, engine::{Closed, ConnId, Engine, Handler, Next, Sockets}};
//! struct Echo;
//! impl Handler for Echo {
//!     fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, _now: Nanos) {
//!         sockets.out(conn).extend_from_slice(b"hello"); // leaves with the next flush
//!     }
//!     fn received(&mut self, _: &mut Sockets, _: ConnId, bytes: &mut [u8], _now: Nanos) {
//!         assert!(!bytes.is_empty()); // whatever one `recv` returned
//!     }
//!     fn closed(&mut self, _: &mut Sockets, _: ConnId, _why: Closed, _now: Nanos) {}
//!     fn due(&mut self, _sockets: &mut Sockets, now: Nanos) -> Next {
//!         Next::At(Nanos(now.0 + 1_000_000)) // do what is due, then say when to be asked again
//!     }
//! }
//! # fn main() -> std::io::Result<()> {
//! let mut engine = Engine::new()?;
//! engine.sockets.connect("127.0.0.1:8080".parse().unwrap())?;
//! engine.run(&mut Echo)?; // until `due` answers `Next::Stop`
//! # Ok(())
//! # }
//! ```
//!
//! Three promises:
//!
//! - *Time first.* `due` is asked between any two reads once its moment has come, so that a burst
//!   of
//!   deliveries does not hold up a send by more than one read.
//! - *One read a readiness.* One shared buffer, no allocation; a read that did not fill it has
//!   emptied the socket (epoll(7), edge-triggered), and the second `recv` is saved.
//! - *One write a turn.* What was appended to a connection since the last flush leaves in one
//!   `send`; what the kernel refuses is kept and follows when it takes more.

mod far;
mod handed;
pub(crate) mod timer;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::agents::wire::Frame;
use crate::clock::{self, Nanos};
pub use far::Link;
use handed::Stamps;
use timer::Timer;

/// What one `recv` can return at most: several full socket buffers of a busy reader.
const READ_BYTES: usize = 256 * 1024;
/// Readinesses taken from the kernel at once.
const EVENTS_MAX: usize = 1_024;
/// What may wait for one connection's kernel before it is given up: a peer that reads nothing.
const OUT_BYTES_MAX: usize = 4 * 1024 * 1024;
const TIMER: Token = Token(usize::MAX);

/// A connection: its place in the table and how often that place was used, so that a late word
/// about the one before is not taken for one about its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// A small number, used again after the connection is closed: for tables beside the engine's.
    pub fn index(self) -> usize {
        self.index as usize
    }

    fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.index as usize)
    }

    /// What it is called on the link to an agent.
    fn name(self) -> u64 {
        self.token().0 as u64
    }

    fn of(token: Token) -> Self {
        Self { index: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }
}

/// Why a connection is no more. Those closed by [`Sockets::close`] are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It could not be made.
    Refused(io::ErrorKind),
    /// The peer ended it in order.
    Ended,
    /// It broke.
    Broken(io::ErrorKind),
    /// The peer has not read for so long that too much waits for it.
    Backlog,
}

/// When to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At this moment, or as soon after it as the thread is free.
    At(Nanos),
    /// After the next readiness.
    Idle,
    /// Not at all: `run` returns.
    Stop,
}

/// What the bytes mean. Called by one thread only.
pub trait Handler {
    /// The connection stands; what is appended to `sockets.out(conn)` is its first write.
    fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, now: Nanos);
    /// What one read returned, and when it returned. Mutable, because decoders work in place.
    fn received(&mut self, sockets: &mut Sockets, conn: ConnId, bytes: &mut [u8], now: Nanos);
    /// The connection is gone; `conn` names nothing any more.
    fn closed(&mut self, sockets: &mut Sockets, conn: ConnId, why: Closed, now: Nanos);
    /// Does all that is due at `now`, and says when to be asked again.
    fn due(&mut self, sockets: &mut Sockets, now: Nanos) -> Next;
}

/// The loop.
#[derive(Debug)]
pub struct Engine {
    /// The connections; open to whoever holds the engine between two runs.
    pub sockets: Sockets,
    poll: Poll,
    timer: Timer,
    buffer: Vec<u8>,
    next: Next,
}

impl Engine {
    /// A loop without connections.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let timer = Timer::new(&registry, TIMER)?;
        Ok(Self {
            sockets: Sockets {
                registry,
                table: Vec::new(),
                free: Vec::new(),
                dirty: Vec::new(),
                nowhere: Vec::new(),
                waking: Vec::new(),
                links: Vec::new(),
                trouble: None,
                handed: Vec::new(),
                open: 0,
                reads: 0,
                writes: 0,
            },
            poll,
            timer,
            buffer: vec![0; READ_BYTES],
            next: Next::Idle,
        })
    }

    /// Runs until `due` says stop.
    pub fn run(&mut self, handler: &mut impl Handler) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.ask(handler, clock::now());
        while self.next != Next::Stop {
            self.wait(&mut events)?;
            for event in &events {
                if event.token() == TIMER {
                    self.timer.rang()?;
                } else {
                    self.ready(event, handler);
                }
                self.ask_if_due(handler);
                if self.next == Next::Stop {
                    return Ok(());
                }
            }
            while let Some(conn) = self.sockets.waking.pop() {
                self.read(conn, handler);
                self.ask_if_due(handler);
            }
            if self.next == Next::Idle || events.is_empty() {
                self.ask(handler, clock::now());
            }
            self.flush(handler);
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let now = clock::now();
        let ready = !self.sockets.waking.is_empty();
        let timeout = match self.next {
            _ if ready => Some(Duration::ZERO),
            Next::At(at) if at <= now => Some(Duration::ZERO),
            Next::At(at) => {
                self.timer.set(at)?;
                None
            }
            Next::Idle | Next::Stop => None,
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn ask_if_due(&mut self, handler: &mut impl Handler) {
        if let Next::At(at) = self.next {
            let now = clock::now();
            if at <= now {
                self.ask(handler, now);
            }
        }
    }

    fn ask(&mut self, handler: &mut impl Handler, now: Nanos) {
        self.next = handler.due(&mut self.sockets, now);
        self.flush(handler);
    }

    fn ready(&mut self, event: &Event, handler: &mut impl Handler) {
        let conn = ConnId::of(event.token());
        let Some(socket) = self.sockets.get(conn) else { return };
        if socket.state == State::Connecting && !self.establish(conn, handler) {
            return;
        }
        if event.is_writable() {
            self.sockets.mark(conn);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let Some(socket) = self.sockets.get(conn) else { return };
            socket.end_seen |= event.is_read_closed() || event.is_error();
            if socket.state == State::Paused {
                socket.readable = true;
            } else {
                self.read(conn, handler);
            }
        }
        if event.is_writable() {
            self.flush(handler);
        }
    }

    fn establish(&mut self, conn: ConnId, handler: &mut impl Handler) -> bool {
        let Some(socket) = self.sockets.get(conn) else { return false };
        let Some(stream) = &socket.stream else { return false };
        let failed = match stream.take_error() {
            Ok(Some(error)) | Err(error) => Some(error.kind()),
            Ok(None) => None,
        };
        let now = clock::now();
        if let Some(kind) = failed {
            self.sockets.close(conn);
            handler.closed(&mut self.sockets, conn, Closed::Refused(kind), now);
            return false;
        }
        if stream.peer_addr().is_err() {
            return false;
        }
        // A refusal leaves the delay on, which costs latency and nothing else.
        let _ = stream.set_nodelay(true);
        socket.state = State::Open;
        handler.connected(&mut self.sockets, conn, now);
        true
    }

    fn read(&mut self, conn: ConnId, handler: &mut impl Handler) {
        loop {
            let Some(socket) = self.sockets.get(conn) else { return };
            if socket.state != State::Open {
                return;
            }
            let (end_seen, link) = (socket.end_seen, socket.link);
            let Some(stream) = &mut socket.stream else { return };
            let outcome = stream.read(&mut self.buffer);
            self.sockets.reads += 1;
            let now = clock::now();
            match outcome {
                Ok(0) => return self.lost(conn, Closed::Ended, now, handler),
                Ok(len) => {
                    if let Some(number) = link {
                        self.told(number, len, now, handler);
                    } else {
                        let bytes = &mut self.buffer[..len];
                        handler.received(&mut self.sockets, conn, bytes, now);
                    }
                    if len < self.buffer.len() && !end_seen {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lost(conn, Closed::Broken(error.kind()), now, handler),
            }
        }
    }

    fn lost(&mut self, conn: ConnId, why: Closed, now: Nanos, handler: &mut impl Handler) {
        let link = self.sockets.get(conn).and_then(|socket| socket.link);
        self.sockets.close(conn);
        match link {
            Some(number) => self.sockets.link_lost(number, &format!("{why:?}")),
            None => handler.closed(&mut self.sockets, conn, why, now),
        }
    }

    /// Writes what was appended since the last time. A handler that is told of a loss may append
    /// again; that is flushed too.
    fn flush(&mut self, handler: &mut impl Handler) {
        while let Some(conn) = self.sockets.dirty.pop() {
            if let Err(why) = self.sockets.write(conn) {
                self.lost(conn, why, clock::now(), handler);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    /// Open, and not read from: a reader that stalls.
    Paused,
}

#[derive(Debug)]
struct Socket {
    /// None where an agent holds it.
    stream: Option<TcpStream>,
    /// The agent that does.
    through: Option<u16>,
    /// It is the link to this agent.
    link: Option<u16>,
    /// Connections that it counts for: none where it stood before it came here.
    counts: usize,
    /// What may wait for its kernel.
    out_max: usize,
    state: State,
    /// Just before the kernel was asked to make it.
    began: Nanos,
    /// When it stood, where it did as soon as the kernel had been asked.
    stood: Option<Nanos>,
    /// In `dirty` already.
    marked: bool,
    /// Became readable while paused.
    readable: bool,
    /// The peer's end was told by the kernel: read on until it is reached.
    end_seen: bool,
    out: Vec<u8>,
    sent: usize,
    stamps: Stamps,
}

impl Socket {
    fn new(stream: Option<TcpStream>, through: Option<u16>) -> Self {
        Self {
            stream,
            through,
            link: None,
            counts: 1,
            out_max: OUT_BYTES_MAX,
            state: State::Connecting,
            began: clock::now(),
            stood: None,
            marked: false,
            readable: false,
            end_seen: false,
            out: Vec::new(),
            sent: 0,
            stamps: Stamps::default(),
        }
    }
}

/// The connections of an engine.
#[derive(Debug)]
pub struct Sockets {
    registry: Registry,
    table: Vec<Slot>,
    free: Vec<u32>,
    dirty: Vec<ConnId>,
    nowhere: Vec<u8>,
    /// Resumed readers whose readiness was seen while they were paused.
    waking: Vec<ConnId>,
    links: Vec<Link>,
    /// Why a link is lost.
    trouble: Option<String>,
    /// Numbers of what the kernel was handed, and when, to be told.
    handed: Vec<(u32, Nanos)>,
    open: usize,
    reads: u64,
    writes: u64,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    socket: Option<Socket>,
}

impl Sockets {
    /// Begins a connection; `connected` or `closed` follows.
    pub fn connect(&mut self, to: SocketAddr) -> io::Result<ConnId> {
        let began = clock::now();
        let mut stream = TcpStream::connect(to)?;
        // Over loopback the whole handshake is in the call; whoever asks only in its turn of the loop would find
        // what the loop did for others in it.
        let stood = stream.peer_addr().is_ok().then(clock::now);
        let conn = self.take_slot();
        if let Err(error) = self.registry.register(
            &mut stream,
            conn.token(),
            Interest::READABLE | Interest::WRITABLE,
        ) {
            self.free.push(conn.index);
            return Err(error);
        }
        let socket = Socket { began, stood, ..Socket::new(Some(stream), None) };
        self.put(conn, socket);
        Ok(conn)
    }

    /// How long this connection took to be made, from just before the kernel was asked: until the kernel had it,
    /// where it had it at once, else until the loop saw it, at `seen`.
    pub fn connect_took(&self, conn: ConnId, seen: Nanos) -> Duration {
        let slot = self.table.get(conn.index()).filter(|it| it.generation == conn.generation);
        let socket = slot.and_then(|it| it.socket.as_ref());
        socket.map_or(Duration::ZERO, |it| it.stood.unwrap_or(seen).since(it.began))
    }

    /// Where to append what the connection shall say; it leaves with the next flush, which follows
    /// every call of the handler. Bytes for a connection that is gone go nowhere.
    pub fn out(&mut self, conn: ConnId) -> &mut Vec<u8> {
        self.mark(conn);
        match self.table.get_mut(conn.index()) {
            Some(Slot { generation, socket: Some(socket) }) if *generation == conn.generation => {
                &mut socket.out
            }
            _ => {
                self.nowhere.clear();
                &mut self.nowhere
            }
        }
    }

    /// Whether the connection is still there.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.table
            .get(conn.index())
            .is_some_and(|slot| slot.generation == conn.generation && slot.socket.is_some())
    }

    /// Reads no more from it until [`Sockets::resume`]: the kernel's buffers fill, then the peer's.
    pub fn pause(&mut self, conn: ConnId) {
        if let Some(socket) = self.get(conn)
            && socket.state == State::Open
        {
            socket.state = State::Paused;
            socket.readable = true;
            if let Some(number) = socket.through {
                self.tell(usize::from(number), &Frame::Pause(conn.name()));
            }
        }
    }

    /// Reads again.
    pub fn resume(&mut self, conn: ConnId) {
        let Some(socket) = self.get(conn) else { return };
        if socket.state == State::Paused {
            socket.state = State::Open;
            let readable = std::mem::take(&mut socket.readable);
            if let Some(number) = socket.through {
                self.tell(usize::from(number), &Frame::Resume(conn.name()));
            } else if readable {
                self.waking.push(conn);
            }
        }
    }

    /// Ends it at once; `closed` is not called. What was not flushed is not sent.
    pub fn close(&mut self, conn: ConnId) {
        if self.get(conn).is_none() {
            return;
        }
        let socket = self.table[conn.index()].socket.take();
        self.free.push(conn.index);
        let Some(mut socket) = socket else { return };
        self.open -= socket.counts;
        if let Some(stream) = &mut socket.stream {
            // Closing the descriptor takes it out of the wait as well.
            let _ = self.registry.deregister(stream);
        }
        if let Some(number) = socket.through {
            self.tell(usize::from(number), &Frame::Close(conn.name()));
        }
    }

    /// How many there are, those being made included.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// `recv` calls so far.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// `send` calls so far.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    fn get(&mut self, conn: ConnId) -> Option<&mut Socket> {
        socket_of(&mut self.table, conn)
    }

    fn mark(&mut self, conn: ConnId) {
        if let Some(socket) = self.get(conn)
            && !socket.marked
        {
            socket.marked = true;
            // A link leaves last, with what all others put into it.
            let last = socket.link.is_some();
            let at = if last { 0 } else { self.dirty.len() };
            self.dirty.insert(at, conn);
        }
    }

    fn write(&mut self, conn: ConnId) -> Result<(), Closed> {
        let mut writes = 0;
        let Some(socket) = socket_of(&mut self.table, conn) else { return Ok(()) };
        socket.marked = false;
        if socket.state == State::Connecting {
            return Ok(());
        }
        let Some(stream) = &mut socket.stream else {
            self.write_far(conn);
            return Ok(());
        };
        let outcome = loop {
            if socket.sent == socket.out.len() {
                socket.out.clear();
                socket.sent = 0;
                break Ok(());
            }
            writes += 1;
            let handing = if socket.stamps.wait() { clock::now() } else { Nanos(0) };
            match stream.write(&socket.out[socket.sent..]) {
                Ok(len) => {
                    socket.sent += len;
                    socket.stamps.took(len, handing, &mut self.handed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if socket.out.len() - socket.sent > socket.out_max {
                        break Err(Closed::Backlog);
                    }
                    socket.out.drain(..socket.sent);
                    socket.sent = 0;
                    break Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(Closed::Broken(error.kind())),
            }
        };
        self.writes += writes;
        outcome
    }
}

fn socket_of(table: &mut [Slot], conn: ConnId) -> Option<&mut Socket> {
    let slot = table.get_mut(conn.index())?;
    if slot.generation == conn.generation { slot.socket.as_mut() } else { None }
}

#[cfg(test)]
mod tests;
