//! `lab agent`: holds the sockets of a run from another machine, or another network. The books stay in
//! one place, so that a room may have members at all agents and every promise is checked as ever.
//!
//! Neighbours: `wire` is what is said between the lab and an agent, `skew` what time it is there; the
//! lab's side of a link is in `engine`. An agent looks into no bytes: it connects, writes, reads, and
//! says when by its own clock. It serves one run at a time, and only one that has its key.

pub mod skew;
pub mod wire;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::{self, Nanos};
use crate::engine::{Closed, ConnId, Engine, Handler, Next, Sockets};
use crate::monitor;
use wire::{Frame, Name, PROOF_LEN};

/// Sockets that an agent should be able to hold; fewer where the system allows fewer.
const SOCKETS: u64 = 30_000;
/// Between looks at whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between words of what it has worked.
const WORKED_EVERY: Duration = Duration::from_secs(1);
/// Who connects and does not say who it is has so long.
const GREETING_WITHIN: Duration = Duration::from_secs(5);
/// The shortest key that is taken: shorter ones can be guessed.
const KEY_LEN_MIN: usize = 16;
const KEY_LEN_MAX: u64 = 4_096;

/// What an agent is told.
#[derive(Clone, Debug)]
pub struct AgentArgs {
    /// Where the lab reaches it.
    pub listen: SocketAddr,
    /// Shared with the lab.
    pub key: Vec<u8>,
    /// How far its clock is ahead: for tests of the clock's story.
    pub ahead: Duration,
    /// Ends it, in order.
    pub stop: Arc<AtomicBool>,
}

/// An agent, as the lab finds it.
#[derive(Clone, Debug)]
pub struct AgentAt {
    /// Where it listens.
    pub address: SocketAddr,
    /// What both have.
    pub key: Vec<u8>,
}

/// Reads a key: the whole file, but for white space around it.
pub fn read_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = String::new();
    File::open(path)?.take(KEY_LEN_MAX).read_to_string(&mut key)?;
    let key = key.trim().as_bytes().to_vec();
    if key.len() < KEY_LEN_MIN {
        let text =
            format!("a key has {KEY_LEN_MIN} bytes at least: head -c 32 /dev/urandom | base64");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(key)
}

/// The key in a file; where there is none, one is made that only the file's owner can read. Whether it was.
pub fn read_or_make_key(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let made = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            for byte in nonce()? {
                write!(file, "{byte:02x}")?;
            }
            writeln!(file)?;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    Ok((read_key(path)?, made))
}

/// Bytes that nobody can know before.
pub(crate) fn nonce() -> io::Result<[u8; PROOF_LEN]> {
    let mut nonce = [0; PROOF_LEN];
    File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    Ok(nonce)
}

/// Serves one run after the other, until it is told to stop.
pub fn serve(args: &AgentArgs, say: &mut dyn Write) -> io::Result<()> {
    let listener = TcpListener::bind(args.listen)?;
    // As many as there may be; a run that needs more is told so by the first that is refused.
    let _ = monitor::allowed::sockets(SOCKETS);
    writeln!(say, "agent listens on {}", listener.local_addr()?)?;
    say.flush()?;
    while let Some(stream) = next(&listener, &args.stop)? {
        let peer = stream.peer_addr()?;
        match relay(stream, args) {
            Ok(held) => writeln!(say, "a run from {peer} is over; it had {held} connections")?,
            Err(error) => writeln!(say, "{peer}: {error}")?,
        }
        say.flush()?;
    }
    Ok(())
}

/// The next who connects; `None` when it is to stop.
fn next(listener: &TcpListener, stop: &AtomicBool) -> io::Result<Option<TcpStream>> {
    let wait = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.as_nanos() as i64 };
    while !stop.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return listener.accept().map(|(stream, _)| Some(stream)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// One run; how many connections it made.
fn relay(stream: TcpStream, args: &AgentArgs) -> io::Result<u64> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(GREETING_WITHIN))?;
    stream.set_write_timeout(Some(GREETING_WITHIN))?;
    wire::welcome(&stream, &args.key, nonce()?)?;
    let mut engine = Engine::new()?;
    let link = engine.sockets.adopt(stream)?;
    let mut relay = Relay {
        link,
        args,
        names: HashMap::new(),
        conns: Vec::new(),
        inbox: Vec::new(),
        worked: clock::now(),
        made: 0,
        ends: None,
    };
    engine.run(&mut relay)?;
    match relay.ends {
        Some(Err(error)) => Err(error),
        _ => Ok(relay.made),
    }
}

/// What passes between the link and the sockets.
#[derive(Debug)]
struct Relay<'a> {
    link: ConnId,
    args: &'a AgentArgs,
    names: HashMap<Name, ConnId>,
    /// By the connection's index.
    conns: Vec<Option<(ConnId, Name)>>,
    /// Of the link, what is not a whole frame yet.
    inbox: Vec<u8>,
    worked: Nanos,
    made: u64,
    /// Why it is over, once it is.
    ends: Option<io::Result<()>>,
}

impl Relay<'_> {
    /// What our clock says that it is.
    fn stamp(&self, now: Nanos) -> Nanos {
        now.plus(self.args.ahead)
    }

    fn name_of(&self, conn: ConnId) -> Option<Name> {
        let (known, name) = self.conns.get(conn.index()).copied().flatten()?;
        (known == conn).then_some(name)
    }

    fn told(&mut self, frame: &Frame<'_>, sockets: &mut Sockets, now: Nanos) -> io::Result<()> {
        let conn = |name: &Name| self.names.get(name).copied();
        match frame {
            Frame::Open(name, to) => self.open(*name, to, sockets, now),
            Frame::Write(name, bytes) => {
                if let Some(conn) = conn(name) {
                    sockets.out(conn).extend_from_slice(bytes);
                }
            }
            Frame::Pause(name) => conn(name).into_iter().for_each(|conn| sockets.pause(conn)),
            Frame::Resume(name) => conn(name).into_iter().for_each(|conn| sockets.resume(conn)),
            Frame::Close(name) => {
                if let Some(conn) = self.names.remove(name) {
                    self.conns[conn.index()] = None;
                    sockets.close(conn);
                }
            }
            Frame::Ping(asked) => {
                Frame::Pong(*asked, self.stamp(now)).put(sockets.out(self.link));
            }
            Frame::Connected(..)
            | Frame::Data(..)
            | Frame::Closed(..)
            | Frame::Pong(..)
            | Frame::Worked(_) => {
                let text = "the lab said what only agents say";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(())
    }

    fn open(&mut self, name: Name, to: &str, sockets: &mut Sockets, now: Nanos) {
        let made = to.parse().map_err(io::Error::other).and_then(|to| sockets.connect(to));
        match made {
            Ok(conn) => {
                self.made += 1;
                self.names.insert(name, conn);
                if conn.index() >= self.conns.len() {
                    self.conns.resize(conn.index() + 1, None);
                }
                self.conns[conn.index()] = Some((conn, name));
            }
            Err(error) => {
                let why = Closed::Refused(error.kind()).code();
                Frame::Closed(name, self.stamp(now), why).put(sockets.out(self.link));
            }
        }
    }
}

impl Handler for Relay<'_> {
    fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, now: Nanos) {
        if let Some(name) = self.name_of(conn) {
            Frame::Connected(name, self.stamp(now)).put(sockets.out(self.link));
        }
    }

    fn received(&mut self, sockets: &mut Sockets, conn: ConnId, bytes: &mut [u8], now: Nanos) {
        if conn != self.link {
            if let Some(name) = self.name_of(conn) {
                Frame::Data(name, self.stamp(now), bytes).put(sockets.out(self.link));
            }
            return;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.extend_from_slice(bytes);
        let mut done = 0;
        let ended = loop {
            match wire::take(&mut inbox[done..]) {
                Ok(None) => break Ok(()),
                Ok(Some((frame, len))) => {
                    if let Err(error) = self.told(&frame, sockets, now) {
                        break Err(error);
                    }
                    done += len;
                }
                Err(error) => break Err(error),
            }
        };
        inbox.drain(..done);
        self.inbox = inbox;
        if ended.is_err() {
            self.ends = Some(ended);
        }
    }

    fn closed(&mut self, sockets: &mut Sockets, conn: ConnId, why: Closed, now: Nanos) {
        if conn == self.link {
            self.ends.get_or_insert(Ok(()));
        } else if let Some(name) = self.name_of(conn) {
            self.conns[conn.index()] = None;
            self.names.remove(&name);
            Frame::Closed(name, self.stamp(now), why.code()).put(sockets.out(self.link));
        }
    }

    fn due(&mut self, sockets: &mut Sockets, now: Nanos) -> Next {
        if self.ends.is_some() || self.args.stop.load(Ordering::Relaxed) {
            return Next::Stop;
        }
        if now.since(self.worked) >= WORKED_EVERY {
            self.worked = now;
            let cpu = u64::try_from(clock::thread_cpu().as_nanos()).unwrap_or(u64::MAX);
            let counts = [cpu, sockets.reads(), sockets.writes()];
            Frame::Worked(counts).put(sockets.out(self.link));
        }
        Next::At(now.plus(LOOK_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_one_that_is_too_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.key");
        assert_eq!(read_key(&file).unwrap_err().kind(), io::ErrorKind::NotFound);
        let (key, made) = read_or_make_key(&file).unwrap();
        assert!(made && key.len() == 2 * PROOF_LEN);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_make_key(&file).unwrap(), (key.clone(), false));
        assert_eq!(read_key(&file).unwrap(), key);
        std::fs::write(&file, "short").unwrap();
        assert_eq!(read_or_make_key(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
