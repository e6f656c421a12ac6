//! Connections whose sockets an agent holds: for the handler they are like all others, and what comes
//! of them has the moment at which it came there, told in our time.
//!
//! Neighbours: `mod` has the table and the loop, `agents` the other end. A link is one socket among
//! others; frames for it are gathered like any bytes and leave in one write.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mio::Interest;

use super::{Closed, ConnId, Engine, Handler, Next, Slot, Socket, Sockets, State, socket_of};
use crate::agents::skew::Skew;
use crate::agents::wire::{self, Frame};
use crate::agents::{AgentAt, nonce};
use crate::clock::{self, Nanos};
use crate::monitor::others;
use crate::recorder::Latency;

/// A link that is asked for and answered by nobody.
const LINK_WITHIN: Duration = Duration::from_secs(5);
/// Times that an agent is asked for its time before a run.
const ASKED_BEFORE: usize = 30;
/// And while it lasts, as often as this.
const ASKED_EVERY: Duration = Duration::from_millis(20);
/// Bytes of one write that go in one frame.
const PART: usize = 256 * 1024;
/// What may wait for an agent that reads too slowly, before it is given up.
pub const LINK_OUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A link to an agent.
#[derive(Debug)]
pub struct Link {
    /// Where it listens.
    pub address: SocketAddr,
    /// On this machine.
    pub here: bool,
    /// What time it is there.
    pub skew: Skew,
    /// Its CPU so far in nanoseconds, its reads, its writes.
    pub worked: [u64; 3],
    /// Its CPU since its first word of that.
    pub cpu: Duration,
    /// Of one core, between its last two words of that.
    pub cpu_share: f64,
    /// The most that this has been.
    pub cpu_share_max: f64,
    /// How much longer than the quickest its answers were under way, of what it was asked while load was offered.
    pub lag: Latency,
    /// When it was first and last asked while load was offered.
    under_load: Option<[Nanos; 2]>,
    heard: Nanos,
    conn: ConnId,
    inbox: Vec<u8>,
    asked: Nanos,
}

impl Link {
    /// It is asked for its time.
    fn is_asked(&mut self, now: Nanos, under_load: bool) {
        if under_load {
            self.under_load.get_or_insert([now; 2])[1] = now;
        }
    }

    /// It has said its time. What it was asked under load counts, however late the answer comes.
    fn answered(&mut self, asked: Nanos, theirs: Nanos, now: Nanos) {
        let waited = self.skew.answered(asked, theirs, now);
        if self.under_load.is_some_and(|[first, last]| (first..=last).contains(&asked)) {
            self.lag.record(waited);
        }
    }

    fn worked(&mut self, counts: [u64; 3], now: Nanos) {
        let cpu = counts[0].saturating_sub(self.worked[0]) as f64 / 1e9;
        self.cpu_share = cpu / now.since(self.heard).as_secs_f64().max(1e-3);
        // The first word has no other before it.
        if self.worked[0] > 0 {
            self.cpu_share_max = self.cpu_share_max.max(self.cpu_share);
            self.cpu += Duration::from_secs_f64(cpu);
        }
        (self.worked, self.heard) = (counts, now);
    }
}

impl Closed {
    /// On a link.
    pub fn code(self) -> u8 {
        match self {
            Self::Ended => 0,
            Self::Backlog => 1,
            Self::Refused(io::ErrorKind::ConnectionRefused) => 2,
            Self::Refused(_) => 3,
            Self::Broken(io::ErrorKind::ConnectionReset) => 4,
            Self::Broken(_) => 5,
        }
    }

    /// From a link.
    pub fn of_code(code: u8) -> Self {
        match code {
            0 => Self::Ended,
            1 => Self::Backlog,
            2 => Self::Refused(io::ErrorKind::ConnectionRefused),
            3 => Self::Refused(io::ErrorKind::Other),
            4 => Self::Broken(io::ErrorKind::ConnectionReset),
            _ => Self::Broken(io::ErrorKind::Other),
        }
    }
}

impl Engine {
    /// From now on this agent holds its share of the sockets: a user always has the same.
    pub fn link(&mut self, agent: &AgentAt) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&agent.address, LINK_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LINK_WITHIN))?;
        stream.set_write_timeout(Some(LINK_WITHIN))?;
        wire::greet(&stream, &agent.key, nonce()?)?;
        let mut skew = Skew::default();
        let mut inbox = Vec::new();
        for _ in 0..ASKED_BEFORE {
            ask(&mut stream, &mut inbox, &mut skew)?;
        }
        skew.begin();
        let conn = self.sockets.adopt(stream)?;
        let number = self.sockets.links.len();
        let socket = self.sockets.get(conn).expect("it was adopted just now");
        socket.link = Some(number as u16);
        let now = clock::now();
        self.sockets.links.push(Link {
            address: agent.address,
            here: others::is_here(agent.address.ip()),
            skew,
            worked: [0; 3],
            cpu: Duration::ZERO,
            cpu_share: 0.0,
            cpu_share_max: 0.0,
            lag: Latency::new(),
            under_load: None,
            heard: now,
            conn,
            inbox,
            asked: now,
        });
        Ok(())
    }

    /// Bytes of a link: each whole frame is what came of one connection.
    pub(super) fn told(&mut self, number: u16, len: usize, now: Nanos, handler: &mut impl Handler) {
        let link = &mut self.sockets.links[usize::from(number)];
        let mut inbox = std::mem::take(&mut link.inbox);
        inbox.extend_from_slice(&self.buffer[..len]);
        let mut done = 0;
        while self.next != Next::Stop {
            let (frame, len) = match wire::take(&mut inbox[done..]) {
                Ok(Some(taken)) => taken,
                Ok(None) => break,
                Err(error) => {
                    self.sockets.link_lost(number, &error.to_string());
                    break;
                }
            };
            done += len;
            self.happened(number, frame, now, handler);
            self.ask_if_due(handler);
        }
        inbox.drain(..done);
        self.sockets.links[usize::from(number)].inbox = inbox;
    }

    fn happened(&mut self, number: u16, frame: Frame<'_>, now: Nanos, handler: &mut impl Handler) {
        let sockets = &mut self.sockets;
        let link = &mut sockets.links[usize::from(number)];
        let of = |name: u64| ConnId::of(mio::Token(name as usize));
        match frame {
            Frame::Pong(asked, theirs) => link.answered(asked, theirs, now),
            Frame::Worked(counts) => link.worked(counts, now),
            Frame::Connected(name, at) => {
                let (conn, at) = (of(name), link.skew.ours(at));
                if let Some(socket) = sockets.get(conn) {
                    socket.state = State::Open;
                    handler.connected(sockets, conn, at);
                    sockets.mark(conn);
                }
            }
            Frame::Data(name, at, bytes) => {
                let (conn, at) = (of(name), link.skew.ours(at));
                if sockets.is_open(conn) {
                    handler.received(sockets, conn, bytes, at);
                }
            }
            Frame::Closed(name, at, why) => {
                let (conn, at) = (of(name), link.skew.ours(at));
                if sockets.is_open(conn) {
                    sockets.forget(conn);
                    handler.closed(sockets, conn, Closed::of_code(why), at);
                }
            }
            _ => sockets.link_lost(number, "it said what only the lab says"),
        }
    }
}

/// Asks once for the time, and waits for the answer.
fn ask(stream: &mut TcpStream, inbox: &mut Vec<u8>, skew: &mut Skew) -> io::Result<()> {
    use std::io::{Read as _, Write as _};
    let mut ping = Vec::new();
    Frame::Ping(clock::now()).put(&mut ping);
    stream.write_all(&ping)?;
    let mut answered = false;
    while !answered {
        let mut bytes = [0; 1_024];
        let len = stream.read(&mut bytes)?;
        let now = clock::now();
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inbox.extend_from_slice(&bytes[..len]);
        while let Some((frame, len)) = wire::take(inbox)? {
            if let Frame::Pong(asked, theirs) = frame {
                skew.answered(asked, theirs, now);
                answered = true;
            }
            inbox.drain(..len);
        }
    }
    Ok(())
}

impl Sockets {
    /// Begins a connection for a user, by the agent that is its, if there are any.
    pub fn connect_for(&mut self, user: u32, to: SocketAddr) -> io::Result<ConnId> {
        if self.links.is_empty() {
            return self.connect(to);
        }
        let number = user as usize % self.links.len();
        let conn = self.take_slot();
        self.put(conn, Socket::new(None, Some(number as u16)));
        self.tell(number, &Frame::Open(conn.name(), &to.to_string()));
        Ok(conn)
    }

    /// A connection that stands already.
    pub fn adopt(&mut self, stream: TcpStream) -> io::Result<ConnId> {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let conn = self.take_slot();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut stream, conn.token(), interest)?;
        let mut socket = Socket::new(Some(stream), None);
        (socket.state, socket.out_max, socket.counts) = (State::Open, LINK_OUT_BYTES_MAX, 0);
        self.put(conn, socket);
        Ok(conn)
    }

    /// The agents, in the order in which they were linked.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Asks the agents for their time, where that is due; how late they answer what they are asked under load is
    /// kept.
    pub fn keep_time(&mut self, now: Nanos, under_load: bool) {
        for number in 0..self.links.len() {
            if now.since(self.links[number].asked) >= ASKED_EVERY {
                self.links[number].asked = now;
                let asked = clock::now();
                self.links[number].is_asked(asked, under_load);
                self.tell(number, &Frame::Ping(asked));
            }
        }
    }

    /// Why an agent is lost, if one is.
    pub fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    pub(super) fn link_lost(&mut self, number: u16, why: &str) {
        let address = self.links[usize::from(number)].address;
        self.trouble.get_or_insert(format!("the agent at {address} is lost: {why}"));
    }

    pub(super) fn tell(&mut self, number: usize, frame: &Frame<'_>) {
        let conn = self.links[number].conn;
        frame.put(self.out(conn));
    }

    /// What a connection of an agent is to say goes with the agent's link.
    pub(super) fn write_far(&mut self, conn: ConnId) {
        let Some(socket) = socket_of(&mut self.table, conn) else { return };
        let Some(number) = socket.through else { return };
        let out = std::mem::take(&mut socket.out);
        socket.stamps.took(out.len(), clock::now(), &mut self.handed);
        for part in out.chunks(PART) {
            self.tell(usize::from(number), &Frame::Write(conn.name(), part));
        }
        if let Some(socket) = self.get(conn) {
            // The room it had is kept.
            socket.out = out;
            socket.out.clear();
        }
    }

    pub(super) fn take_slot(&mut self) -> ConnId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.table.push(Slot { generation: 0, socket: None });
            (self.table.len() - 1) as u32
        });
        let slot = &mut self.table[index as usize];
        slot.generation = (slot.generation + 1) & (u32::MAX >> 1);
        ConnId { index, generation: slot.generation }
    }

    pub(super) fn put(&mut self, conn: ConnId, socket: Socket) {
        self.open += socket.counts;
        self.table[conn.index()].socket = Some(socket);
    }

    /// It is gone at the agent's end: nothing is to be told.
    fn forget(&mut self, conn: ConnId) {
        self.table[conn.index()].socket = None;
        self.free.push(conn.index);
        self.open -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            address: ([127, 0, 0, 1], 9_100).into(),
            here: true,
            skew: Skew::default(),
            worked: [0; 3],
            cpu: Duration::ZERO,
            cpu_share: 0.0,
            cpu_share_max: 0.0,
            lag: Latency::new(),
            under_load: None,
            heard: Nanos(0),
            conn: ConnId::of(mio::Token(0)),
            inbox: Vec::new(),
            asked: Nanos(0),
        }
    }

    /// Asked every 20 ms; its answers are read 1 ms after that, or when it runs again.
    #[test]
    fn an_agent_that_stands_still_under_load_is_late_and_what_was_asked_before_and_after_does_not_count()
     {
        const MS: u64 = 1_000_000;
        let lag = |stands_still: std::ops::Range<u64>| {
            let mut link = link();
            for at in (0..3_000).step_by(20) {
                link.is_asked(Nanos(at * MS), (1_000..2_000).contains(&at));
                let read = if stands_still.contains(&at) { stands_still.end } else { at };
                let (asked, read) = (Nanos(at * MS), Nanos((read + 1) * MS));
                link.answered(asked, asked, read);
            }
            link.lag.percentiles()
        };
        let calm = lag(0..0);
        assert_eq!((calm.count, calm.p99_ms < 0.01), (50, true), "{calm:?}");
        assert_eq!((lag(300..900).p99_ms, lag(2_000..2_600).p99_ms), (calm.p99_ms, calm.p99_ms));
        for still in [1_200..1_800, 1_500..2_500] {
            let late = lag(still);
            assert!(late.count == 50 && late.p99_ms > 500.0, "{late:?}");
        }
    }
}
