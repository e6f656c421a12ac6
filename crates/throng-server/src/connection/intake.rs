//! What a peer says: read, decoded and served in its order, no further than it can be served now.
//!
//! Neighbours: `mod` asks whether to read; `serve` carries one request out. Behind a request that is slow
//! wait those decoded with it, at most `ASKS_MAX`, and behind them bytes of the one read they came in;
//! whatever else the peer says stays in its socket.

use std::collections::VecDeque;
use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{Cause, Connection, DESK, READ_LEN, UNREAD_MAX, serve, submit};
use crate::clock::Moment;
use crate::operations::metrics;
use crate::protocols::{Ask, End, Protocol};

/// What waits behind something that holds the line.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Decoded with it, at most `ASKS_MAX`.
    asks: VecDeque<Ask>,
    /// Read behind that: less than one read.
    bytes: Box<[u8]>,
}

impl<P: Protocol + Unpin> Connection<P> {
    /// Whether what is read now could be served now.
    pub(super) fn may_read(&self) -> bool {
        self.slow.is_none()
            && self.behind.is_none()
            && !self.is_deaf()
            && self.stopping.is_none()
            && (self.blocked.is_none() || self.outbox.unread() < UNREAD_MAX)
    }

    pub(super) fn read_socket(&mut self) {
        let mut buffer = DESK.with_borrow_mut(|desk| std::mem::take(&mut desk.read));
        match read_once(self.outbox.stream(), &mut buffer) {
            Ok(0) => self.stop(Cause::Done(Vec::new())),
            Ok(len) => self.read(&mut buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.outbox.close(),
        }
        DESK.with_borrow_mut(|desk| desk.read = buffer);
    }

    /// Bytes of the peer.
    pub(super) fn read(&mut self, bytes: &mut [u8]) {
        (self.heard, self.probed) = (self.app.clock.now(), false);
        self.app.metrics.reads.inc();
        self.decode(bytes, self.heard);
    }

    /// Decodes and serves as long as what is asked can be served; the rest waits as it came.
    fn decode(&mut self, bytes: &mut [u8], begun: Moment) {
        let mut at = 0;
        while at < bytes.len() && self.goes_on(at > 0) {
            let begun = if at == 0 { begun } else { self.app.clock.now() };
            at += self.take_in(&mut bytes[at..], begun);
        }
        if self.outbox.ending().is_none() && at < bytes.len() {
            self.behind.get_or_insert_default().bytes = bytes[at..].into();
        }
    }

    /// Whether nothing holds the line. Whether there is room for more answers is asked where it may be wanting.
    fn goes_on(&self, answered: bool) -> bool {
        let roomy = !answered && self.blocked.is_none();
        self.slow.is_none()
            && self.behind.is_none()
            && !self.is_deaf()
            && self.outbox.ending().is_none()
            && (roomy || self.outbox.room_or_tell(UNREAD_MAX))
    }

    /// As much as may be asked at a time; how many bytes that were.
    fn take_in(&mut self, bytes: &mut [u8], begun: Moment) -> usize {
        let mut intake = DESK.with_borrow_mut(|desk| std::mem::take(&mut desk.intake));
        let mut used = self.protocol.read(bytes, &mut intake);
        let decoded = self.app.clock.now();
        self.decoded = decoded;
        let metrics = &self.app.metrics;
        metrics.stages.observe(metrics::Stage::Decode, decoded.since(begun));
        metrics.requests.inc_by(intake.asks.len() as u64);
        if std::mem::take(&mut intake.traced) {
            let wanted = metrics.stages.are_counted();
            submit::begin_traces(&mut intake.asks, wanted, (begun, decoded));
        }
        self.charge(std::mem::take(&mut intake.scraps), decoded);
        if !intake.writes.is_empty() && intake.end.is_none() {
            self.say(std::mem::take(&mut intake.writes), 1);
        }
        self.serve_all(&mut intake.asks, decoded);
        if !intake.asks.is_empty() {
            self.behind.get_or_insert_default().asks.extend(intake.asks.drain(..));
        }
        match intake.end.take() {
            None => {}
            Some(End::Said) => {
                self.stop(Cause::Done(std::mem::take(&mut intake.writes)));
                // Nothing is said after a goodbye.
                used = bytes.len();
            }
            Some(End::Broken(why)) => self.outbox.end(why, 0),
        }
        intake.writes.clear();
        DESK.with_borrow_mut(|desk| desk.intake = intake);
        used
    }

    /// Serves in order until something slow holds the line. Fast answers leave in one write.
    fn serve_all(&mut self, asks: &mut VecDeque<Ask>, now: Moment) {
        let mut answers = DESK.with_borrow_mut(|desk| std::mem::take(&mut desk.answers));
        let mut frames = 0;
        while self.slow.is_none()
            && !self.is_deaf()
            && let Some(ask) = asks.pop_front()
        {
            let id = ask.id;
            match self.serve(ask, now) {
                serve::Served::Answer(answer) => {
                    self.judge(&answer);
                    self.outbox.form.answer(id, &answer, &mut answers);
                    frames += 1;
                }
                serve::Served::Later => {}
                serve::Served::Wait(ask) => {
                    asks.push_front(ask);
                    break;
                }
            }
            if answers.len() >= READ_LEN {
                self.say(answers.clone(), std::mem::take(&mut frames));
                answers.clear();
                if !self.outbox.room_or_tell(UNREAD_MAX) {
                    break;
                }
            }
            if self.outbox.ending().is_some() {
                asks.clear();
            }
        }
        if frames > 0 {
            self.say(answers.clone(), frames);
        }
        answers.clear();
        DESK.with_borrow_mut(|desk| desk.answers = answers);
    }

    /// What held the line may be over.
    pub(super) fn serve_backlog(&mut self) {
        if self.slow.is_some() || self.behind.is_none() || !self.outbox.room_or_tell(UNREAD_MAX) {
            return;
        }
        let Some(mut behind) = self.behind.take() else { return };
        self.listen();
        self.serve_all(&mut behind.asks, self.app.clock.now());
        if behind.asks.is_empty() && self.goes_on(true) {
            self.decode(&mut behind.bytes, self.app.clock.now());
        } else if !behind.asks.is_empty() || !behind.bytes.is_empty() {
            self.behind = Some(behind);
        }
    }
}

/// Reads what is there. A read that does not fill the buffer has emptied the socket, and saying so
/// spares the next wake a call that would only find nothing.
pub(super) fn read_once(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut taken = 0;
    let read = stream.try_io(Interest::READABLE, || {
        let len = rustix::io::read(stream, &mut *buffer)?;
        if 0 < len && len < buffer.len() {
            taken = len;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(len)
    });
    if taken > 0 { Ok(taken) } else { read }
}
