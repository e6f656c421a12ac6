//! One socket of the floor: what it still has to read, what it still has to write.
//!
//! Neighbours: `server` owns them all. A member is told frames; it writes them when the plan's
//! frames per write say so.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

/// Held bytes beyond which a member that does not read is given up.
const BACKLOG_LEN_MAX: usize = 8 * 1024 * 1024;
/// Acks and events that one write may hold.
const ACKS_MAX: usize = 4_096;
const EVENTS_MAX: usize = 4_096;

/// The bytes of every write: acks, then events, so that any "so many acks, then so many events" is
/// one slice and nothing is copied.
#[derive(Debug)]
pub struct Ink {
    bytes: Vec<u8>,
    ack: usize,
    event: usize,
}

impl Ink {
    /// Frames of these sizes on the wire, header included.
    pub fn new(ack_bytes: usize, event_bytes: usize) -> Self {
        let ack = text_frame(b'a', ack_bytes);
        let event = text_frame(b'e', event_bytes);
        let bytes = [ack.repeat(ACKS_MAX), event.repeat(EVENTS_MAX)].concat();
        Self { bytes, ack: ack.len(), event: event.len() }
    }

    fn slice(&self, acks: usize, events: usize) -> &[u8] {
        let middle = self.ack * ACKS_MAX;
        &self.bytes[middle - acks * self.ack..middle + events * self.event]
    }
}

/// A text frame of `letter`s that is `len` bytes long, or the nearest length there is.
fn text_frame(letter: u8, len: usize) -> Vec<u8> {
    let payload = if len <= 127 { len.saturating_sub(2) } else { (len - 4).max(126) };
    let mut frame = vec![0x81];
    if payload < 126 {
        frame.push(payload as u8);
    } else {
        frame.push(126);
        frame.extend((payload.min(65_535) as u16).to_be_bytes());
    }
    frame.resize(frame.len() + payload.min(65_535), letter);
    frame
}

/// What a sum of shares is off by at most.
const ROUNDING: f64 = 1e-6;

/// Enough was told, or read, for one more of what is held back.
pub fn is_due(due: f64) -> bool {
    due >= -ROUNDING
}

/// One connected socket.
#[derive(Debug)]
pub struct Member {
    pub stream: TcpStream,
    /// Bytes of a request or frame that has not wholly arrived.
    pub rest: Vec<u8>,
    pub upgraded: bool,
    acks: usize,
    events: usize,
    /// Writes that the frames told so far are worth, less those made.
    due: f64,
    /// What the socket refused, and how much of it has left since.
    backlog: Vec<u8>,
    left: usize,
}

impl Member {
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            upgraded: false,
            acks: 0,
            events: 0,
            due: 0.0,
            backlog: Vec::new(),
            left: 0,
        }
    }

    /// Takes frames for this member; true when it is time to write by `frames_per_write`, which may be
    /// another from frame to frame: what was written too early or too late is made up for.
    pub fn told(&mut self, acks: usize, events: usize, frames_per_write: f64) -> bool {
        self.acks += acks;
        self.events += events;
        self.due += (acks + events) as f64 / frames_per_write;
        let full = self.acks == ACKS_MAX || self.events == EVENTS_MAX;
        full || is_due(self.due)
    }

    /// Writes what was told; the number of frames in the write.
    pub fn write(&mut self, ink: &Ink) -> io::Result<usize> {
        let frames = self.acks + self.events;
        if frames == 0 {
            return Ok(0);
        }
        let bytes = ink.slice(self.acks, self.events);
        self.acks = 0;
        self.events = 0;
        self.due -= 1.0;
        if !self.backlog.is_empty() {
            self.backlog.extend_from_slice(bytes);
            return self.bounded(frames);
        }
        let written = match self.stream.write(bytes) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.backlog.extend_from_slice(&bytes[written..]);
        self.bounded(frames)
    }

    fn bounded(&self, frames: usize) -> io::Result<usize> {
        if self.backlog.len() > BACKLOG_LEN_MAX {
            return Err(io::Error::other("reads too slowly"));
        }
        Ok(frames)
    }

    /// The socket takes bytes again.
    pub fn writable(&mut self) -> io::Result<()> {
        while self.left < self.backlog.len() {
            match self.stream.write(&self.backlog[self.left..]) {
                Ok(n) => self.left += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.backlog.clear();
        self.left = 0;
        Ok(())
    }

    /// Answers outside the measured work: upgrade, joins.
    pub fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.backlog.extend_from_slice(bytes);
        self.writable()
    }

    /// One read; the bytes, and whether the socket may hold more.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        match self.stream.read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => Ok((n, n == buffer.len())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((0, false)),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_length_asked_for() {
        for len in [2, 60, 127, 130, 300, 1_000] {
            assert_eq!(text_frame(b'e', len).len(), len);
        }
        assert_eq!(text_frame(b'e', 128).len(), 130, "no text frame is 128 bytes long");
    }

    #[test]
    fn acks_and_events_lie_side_by_side() {
        let ink = Ink::new(60, 300);
        let bytes = ink.slice(2, 3);
        assert_eq!(bytes.len(), 2 * 60 + 3 * 300);
        assert_eq!((bytes[2], bytes[60 + 2], bytes[120 + 4]), (b'a', b'a', b'e'));
    }
}
