//! What the lab and an agent say to each other: frames with a length, in either direction, over one
//! connection.
//!
//! Neighbours: `engine` speaks it for the lab, `agents` for the agent. All numbers are little-endian.

use std::io::{self, Read, Write};

use crate::clock::Nanos;

/// What both say first, with the number of this grammar.
pub const HELLO: &[u8; 16] = b"throng-agent  1\n";
/// Bytes of a key's proof, and of what is to be proved.
pub const PROOF_LEN: usize = 32;
/// The longest frame: what one read returns, and its head.
pub const FRAME_LEN_MAX: usize = 512 * 1024;
/// Length, kind, connection.
const HEAD: usize = 4 + 1 + 8;

/// A connection, as the lab names it.
pub type Name = u64;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    // ---- from the lab -----------------------------------------------------------------------
    /// Connect to this address.
    Open(Name, &'a str),
    /// Send this.
    Write(Name, &'a [u8]),
    /// Read no more.
    Pause(Name),
    /// Read again.
    Resume(Name),
    /// End it.
    Close(Name),
    /// What time is it? With our own time, to be given back.
    Ping(Nanos),
    // ---- from the agent, with its time ------------------------------------------------------
    /// The connection stands.
    Connected(Name, Nanos),
    /// One read returned this.
    Data(Name, Nanos, &'a mut [u8]),
    /// It is gone, and why.
    Closed(Name, Nanos, u8),
    /// The ping's time, and ours.
    Pong(Nanos, Nanos),
    /// CPU so far, reads, writes.
    Worked([u64; 3]),
}

fn begin(out: &mut Vec<u8>, len: usize, kind: u8, name: u64) {
    let len = u32::try_from(len + HEAD - 4).expect("a frame is far shorter");
    out.extend_from_slice(&len.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&name.to_le_bytes());
}

impl Frame<'_> {
    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        let number = |it: u64| it.to_le_bytes();
        match self {
            Self::Open(name, to) => {
                begin(out, to.len(), 1, *name);
                out.extend_from_slice(to.as_bytes());
            }
            Self::Write(name, bytes) => {
                begin(out, bytes.len(), 2, *name);
                out.extend_from_slice(bytes);
            }
            Self::Pause(name) => begin(out, 0, 3, *name),
            Self::Resume(name) => begin(out, 0, 4, *name),
            Self::Close(name) => begin(out, 0, 5, *name),
            Self::Ping(at) => begin(out, 0, 6, at.0),
            Self::Connected(name, at) => {
                begin(out, 8, 7, *name);
                out.extend_from_slice(&number(at.0));
            }
            Self::Data(name, at, bytes) => {
                begin(out, 8 + bytes.len(), 8, *name);
                out.extend_from_slice(&number(at.0));
                out.extend_from_slice(bytes);
            }
            Self::Closed(name, at, why) => {
                begin(out, 9, 9, *name);
                out.extend_from_slice(&number(at.0));
                out.push(*why);
            }
            Self::Pong(asked, at) => {
                begin(out, 8, 10, asked.0);
                out.extend_from_slice(&number(at.0));
            }
            Self::Worked(counts) => {
                begin(out, 16, 11, counts[0]);
                counts[1..].iter().for_each(|it| out.extend_from_slice(&number(*it)));
            }
        }
    }
}

/// The first frame of these bytes, and how many it took; `None` while it is not whole.
pub fn take(bytes: &mut [u8]) -> io::Result<Option<(Frame<'_>, usize)>> {
    let Some((len, _)) = bytes.split_first_chunk() else { return Ok(None) };
    let len = u32::from_le_bytes(*len) as usize;
    if !(HEAD - 4..=FRAME_LEN_MAX).contains(&len) {
        return Err(bad());
    }
    let Some(frame) = bytes.get_mut(4..4 + len) else { return Ok(None) };
    parse(frame).map(|frame| Some((frame, 4 + len)))
}

fn parse(frame: &mut [u8]) -> io::Result<Frame<'_>> {
    let (kind, rest) = frame.split_first_mut().ok_or_else(bad)?;
    let (name, rest) = rest.split_first_chunk_mut().ok_or_else(bad)?;
    let name = u64::from_le_bytes(*name);
    if let 1..=6 = *kind {
        return Ok(match (*kind, rest) {
            (1, to) => Frame::Open(name, std::str::from_utf8(to).map_err(|_| bad())?),
            (2, bytes) => Frame::Write(name, bytes),
            (3, []) => Frame::Pause(name),
            (4, []) => Frame::Resume(name),
            (5, []) => Frame::Close(name),
            (6, []) => Frame::Ping(Nanos(name)),
            _ => return Err(bad()),
        });
    }
    let (second, rest) = rest.split_first_chunk_mut().ok_or_else(bad)?;
    let second = u64::from_le_bytes(*second);
    Ok(match (*kind, rest) {
        (7, []) => Frame::Connected(name, Nanos(second)),
        (8, bytes) => Frame::Data(name, Nanos(second), bytes),
        (9, [why]) => Frame::Closed(name, Nanos(second), *why),
        (10, []) => Frame::Pong(Nanos(name), Nanos(second)),
        (11, last) => {
            let last: [u8; 8] = (&*last).try_into().map_err(|_| bad())?;
            Frame::Worked([name, second, u64::from_le_bytes(last)])
        }
        _ => return Err(bad()),
    })
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other end of an agent's link is no such thing")
}

/// The lab's side of the beginning: proves that it has the key, and that the other has it.
pub fn greet(mut stream: impl Read + Write, key: &[u8], nonce: [u8; PROOF_LEN]) -> io::Result<()> {
    stream.write_all(&[&HELLO[..], &nonce].concat())?;
    let mut theirs = [0; HELLO.len() + 2 * PROOF_LEN];
    stream.read_exact(&mut theirs).map_err(|error| refused(&error))?;
    let (hello, rest) = theirs.split_at(HELLO.len());
    let (asked, proof) = rest.split_at(PROOF_LEN);
    if hello != HELLO || proof != prove(key, b"agent", &nonce) {
        return Err(refused(&bad()));
    }
    stream.write_all(&prove(key, b"lab", asked))
}

/// The agent's.
pub fn welcome(
    mut stream: impl Read + Write,
    key: &[u8],
    nonce: [u8; PROOF_LEN],
) -> io::Result<()> {
    let mut theirs = [0; HELLO.len() + PROOF_LEN];
    stream.read_exact(&mut theirs)?;
    let (hello, asked) = theirs.split_at(HELLO.len());
    if hello != HELLO {
        return Err(bad());
    }
    stream.write_all(&[&HELLO[..], &nonce, &prove(key, b"agent", asked)].concat())?;
    let mut proof = [0; PROOF_LEN];
    stream.read_exact(&mut proof)?;
    // Both are of one length and made anew for each link: how long comparing takes tells nothing.
    if proof == prove(key, b"lab", &nonce) { Ok(()) } else { Err(refused(&bad())) }
}

fn refused(error: &io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "nothing was answered in time: it may be at the service of another run, which it ends first, or be no \
             `lab agent`"
        }
        _ => {
            "it and the lab do not have the same --key, are of other versions, or it is no `lab agent`"
        }
    };
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

fn prove(key: &[u8], who: &[u8], nonce: &[u8]) -> [u8; PROOF_LEN] {
    let key = *blake3::hash(key).as_bytes();
    *blake3::keyed_hash(&key, &[who, nonce].concat()).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn every_frame_is_read_as_it_was_put_and_not_before_it_is_whole() {
        let mut data = *b"bytes";
        let frames = [
            Frame::Open(7, "127.0.0.1:80"),
            Frame::Write(7, b"hello"),
            Frame::Write(8, b""),
            Frame::Pause(1),
            Frame::Resume(2),
            Frame::Close(u64::MAX),
            Frame::Ping(Nanos(5)),
            Frame::Connected(3, Nanos(4)),
            Frame::Data(3, Nanos(9), &mut data),
            Frame::Closed(3, Nanos(10), 2),
            Frame::Pong(Nanos(5), Nanos(6)),
            Frame::Worked([1, 2, 3]),
        ];
        for frame in frames {
            let mut bytes = Vec::new();
            frame.put(&mut bytes);
            let len = bytes.len();
            assert!(take(&mut bytes[..len - 1]).unwrap().is_none(), "{frame:?}");
            assert_eq!(take(&mut bytes).unwrap(), Some((frame, len)));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [
            &b"\xff\xff\xff\xff"[..],
            b"\x08\0\0\0",
            b"\x09\0\0\0\x63\0\0\0\0\0\0\0\0",
            b"\x0a\0\0\0\x03\0\0\0\0\0\0\0\0\0",
            b"\x0a\0\0\0\x01\0\0\0\0\0\0\0\0\xff",
            b"\x09\0\0\0\x07\0\0\0\0\0\0\0\0",
        ] {
            assert!(take(&mut bytes.to_vec()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn only_two_with_the_same_key_greet_each_other() {
        let meet = |ours: &'static [u8], theirs: &'static [u8]| {
            let (a, b) = UnixStream::pair().unwrap();
            let agent = std::thread::spawn(move || welcome(&b, theirs, [1; PROOF_LEN]).is_ok());
            let lab = greet(&a, ours, [2; PROOF_LEN]).is_ok();
            drop(a);
            (lab, agent.join().unwrap())
        };
        assert_eq!(meet(b"one", b"one"), (true, true));
        assert_eq!(meet(b"one", b"two"), (false, false));
    }
}
