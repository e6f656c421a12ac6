//! A connection's bounded queue out, and the writing half of its socket.
//!
//! Neighbours: the fan-out and the connection's own task put frames in; whoever finds nothing
//! waiting writes to the socket itself, what the socket refuses waits until the task finds it
//! writable. It never renders, never blocks, and never drops a frame inside a live connection:
//! when it is full the connection ends with `Disconnect::Slow` and the client resumes.

mod hint;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use throng_core::session::Refusals;
use throng_core::{Disconnect, Limits, Rejection};
use tokio::net::TcpStream;

use crate::clock::Moment;
use crate::faults::{Fault, planted};
use crate::protocols::Form;
pub use writer::Writer;

/// Chunks above this are written from where they lie, below it they are gathered into one buffer:
/// copying a few small frames is cheaper than a vector of them.
const GATHER_LEN_MAX: usize = 16 * 1024;
/// Places that an empty queue keeps; most connections are idle, and there are many.
const KEPT_MAX: usize = 4;
/// Pieces of one vectored write.
const PIECES_MAX: usize = 32;

/// Names a connection for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One connection as the rest of the server sees it.
pub struct Outbox {
    /// Which connection.
    pub id: ConnectionId,
    /// The account that it speaks for; 0 for nobody yet.
    user: AtomicU64,
    /// What it is rendered in.
    pub form: Form,
    stream: TcpStream,
    frames_max: u32,
    bytes_max: u32,
    /// Milliseconds at which the connection's task wants to be woken; `u64::MAX` for never.
    deadline: AtomicU64,
    listens: AtomicBool,
    refusals: Refusals,
    refusals_max: u32,
    state: Mutex<State>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({})", self.id.0)
    }
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "five facts that do not depend on each other")]
struct State {
    waiting: VecDeque<Chunk>,
    /// Events waiting, in frames and bytes: what the limits bound.
    live_frames: u32,
    live_bytes: u32,
    /// Answers waiting, in bytes: bounded by the task, which serves nobody who does not read.
    answer_bytes: u32,
    /// Commands of this connection whose answer is still to come.
    in_flight: u32,
    /// Bytes of the first chunk have left already, so that it must not be dropped.
    begun: bool,
    /// The task knows that the socket refused some.
    blocked: bool,
    /// The answer to a log-out, said when the session has ended and before the farewell.
    last_word: Option<Box<[u8]>>,
    /// The task waits until nothing is in flight.
    wants_idle: bool,
    /// The task serves nobody until nothing waits.
    wants_room: bool,
    /// Something was staged in this tick of a fan-out and will be flushed by it.
    staged: bool,
    /// Acks of posts that were staged; whoever writes next hands them on.
    acks: u32,
    phase: Phase,
    signals: Signals,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The farewell is the last chunk; nothing more is taken.
    Ending(Disconnect),
    /// The socket is of no more use.
    Gone,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    frames: u32,
    live: bool,
}

/// What an answer settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settles {
    /// No command in flight.
    Nothing,
    /// One.
    Command,
    /// One that is a post, whose ack this is.
    Post,
}

/// What the connection's task is told by others: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(u8);

impl Signals {
    /// Bytes wait that the socket refused.
    pub const BLOCKED: Self = Self(1);
    /// The farewell was put in by another than the task, or the socket is of no more use.
    pub const ENDING: Self = Self(2);
    /// The deadline has passed.
    pub const DEADLINE: Self = Self(4);
    /// The server is stopping: read no more.
    pub const DRAIN: Self = Self(8);
    /// No command is in flight any more.
    pub const IDLE: Self = Self(16);
    /// Nothing waits to be written any more.
    pub const ROOM: Self = Self(32);

    /// Whether this one is among them.
    pub fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    fn add(&mut self, one: Self) {
        self.0 |= one.0;
    }

    fn any(self) -> bool {
        self.0 != 0
    }
}

impl Outbox {
    /// For a socket that was just accepted.
    pub fn new(id: ConnectionId, form: Form, stream: TcpStream, limits: &Limits) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            live_frames: 0,
            live_bytes: 0,
            answer_bytes: 0,
            in_flight: 0,
            begun: false,
            blocked: false,
            last_word: None,
            wants_idle: false,
            wants_room: false,
            staged: false,
            acks: 0,
            phase: Phase::Open,
            signals: Signals::default(),
            waker: None,
        };
        Self {
            id,
            form,
            stream,
            frames_max: u32::try_from(limits.outbox_frames_max).unwrap_or(u32::MAX),
            bytes_max: u32::try_from(limits.outbox_bytes_max).unwrap_or(u32::MAX),
            user: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
            listens: AtomicBool::new(false),
            refusals: Refusals::default(),
            refusals_max: limits.refusals_max,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held can only have come from an assertion about this connection
        // alone; its state is bounded numbers and is safe to close.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reading half, for the connection's task.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Events for this connection: written now if nothing waits, else queued and written with what
    /// waits. `frames` is how many frames the chunk holds.
    pub fn deliver(&self, chunk: &Bytes, frames: u32, writer: &mut Writer) {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return;
        }
        if state.waiting.is_empty() {
            match self.stream.try_write(chunk) {
                Ok(len) if len == chunk.len() => return writer.wrote(frames, len),
                Ok(len) => {
                    // Counted as frames when the rest has left.
                    writer.wrote(0, len);
                    state.push(chunk.slice(len..), frames, true);
                    state.begun = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.push(chunk.clone(), frames, true);
                }
                Err(_) => return state.gone(),
            }
            state.signal_blocked();
        } else {
            state.push(chunk.clone(), frames, true);
            self.write_waiting(&mut state, writer);
        }
        self.end_if_full(&mut state);
    }

    /// Events for this connection, to be written by a `flush` that follows. True if it is the first
    /// of this tick, so that the caller remembers to flush.
    pub fn stage(&self, chunk: &Bytes, frames: u32) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return false;
        }
        state.push(chunk.clone(), frames, true);
        !std::mem::replace(&mut state.staged, true)
    }

    /// An answer, to be written by a `flush` that follows. True as above.
    pub fn stage_answer(&self, bytes: Vec<u8>, settles: Settles) -> bool {
        let mut state = self.lock();
        if settles != Settles::Nothing {
            state.settle();
        }
        if state.phase != Phase::Open {
            return false;
        }
        state.acks += u32::from(settles == Settles::Post);
        state.push(bytes.into(), 1, false);
        !std::mem::replace(&mut state.staged, true)
    }

    /// Writes what was staged, in one write if the socket takes it.
    pub fn flush(&self, writer: &mut Writer) {
        let mut state = self.lock();
        state.staged = false;
        self.write_waiting(&mut state, writer);
        self.end_if_full(&mut state);
    }

    /// Answers and whole frames from the connection's own task, written at once if nothing waits.
    pub fn answer(&self, bytes: Vec<u8>, frames: u32, writer: &mut Writer) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.push(bytes.into(), frames, false);
            self.write_waiting(&mut state, writer);
        }
    }

    /// Counts what came of a request, before it is answered: refused too often in a row, the
    /// connection ends. By whoever answers.
    pub fn judge(&self, refusal: Option<Rejection>) {
        let Some(rejection) = refusal else { return self.refusals.answered() };
        if let Some(why) = self.refusals.refused(rejection, self.refusals_max) {
            self.end(why, 0);
        }
    }

    /// Says farewell: what waits already is still written, then the farewell, and nothing after it.
    /// May be called by anyone; the first reason stays.
    pub fn end(&self, why: Disconnect, retry_after_ms: u32) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            self.begin_end(&mut state, why, retry_after_ms);
        }
    }

    /// The last bytes, when the peer said goodbye first and the grammar owes it an echo.
    pub fn end_with(&self, bytes: Vec<u8>) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            if !bytes.is_empty() {
                state.push(bytes.into(), 1, false);
            }
            state.phase = Phase::Ending(Disconnect::Normal);
            self.write_waiting(&mut state, &mut Writer::default());
        }
    }

    fn begin_end(&self, state: &mut State, why: Disconnect, retry_after_ms: u32) {
        let last_word = state.last_word.take().filter(|_| why == Disconnect::SessionEnded);
        let mut bytes = last_word.map_or(Vec::new(), Vec::from);
        self.form.goodbye(why, retry_after_ms, &mut bytes);
        state.push(bytes.into(), 1, false);
        state.phase = Phase::Ending(why);
        self.write_waiting(state, &mut Writer::default());
        state.signals.add(Signals::ENDING);
        state.wake();
    }

    /// Ends the connection if more waits than it may.
    fn end_if_full(&self, state: &mut State) {
        let full = state.live_frames > self.frames_max || state.live_bytes > self.bytes_max;
        if full && state.phase == Phase::Open {
            // What has not begun to leave is dropped: the client resumes from what it has seen.
            state.waiting.truncate(usize::from(state.begun));
            state.recount();
            if planted(Fault::DropWhenFull) {
                return;
            }
            self.begin_end(state, Disconnect::Slow, 0);
        }
    }

    /// Writes as much as the socket takes; the task is woken to wait for the rest.
    fn write_waiting(&self, state: &mut State, writer: &mut Writer) {
        writer.acks += std::mem::take(&mut state.acks);
        while !state.waiting.is_empty() {
            match self.write_once(state, writer) {
                Ok(len) => {
                    let frames = state.took(len);
                    writer.wrote(frames, len);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.signal_blocked();
                    return;
                }
                Err(_) => return state.gone(),
            }
        }
        if state.waiting.capacity() > KEPT_MAX {
            state.waiting = VecDeque::new();
        }
        if std::mem::take(&mut state.wants_room) {
            state.signals.add(Signals::ROOM);
            state.wake();
        }
    }

    fn write_once(&self, state: &State, writer: &mut Writer) -> io::Result<usize> {
        let first = &state.waiting[0].bytes;
        if state.waiting.len() == 1 {
            return self.stream.try_write(first);
        }
        let fits = |chunk: &&Chunk| chunk.bytes.len() <= GATHER_LEN_MAX / 4;
        if state.waiting.iter().take(4).all(|chunk| fits(&chunk)) {
            writer.gathered.clear();
            for chunk in state.waiting.iter().take_while(fits) {
                if writer.gathered.len() + chunk.bytes.len() > GATHER_LEN_MAX {
                    break;
                }
                writer.gathered.extend_from_slice(&chunk.bytes);
            }
            return self.stream.try_write(&writer.gathered);
        }
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (piece, chunk) in pieces.iter_mut().zip(&state.waiting) {
            *piece = IoSlice::new(&chunk.bytes);
            count += 1;
        }
        self.stream.try_write_vectored(&pieces[..count])
    }

    // ---- the connection's own task ----------------------------------------------------------

    /// Waits until others have something to tell the task.
    pub fn poll_signals(&self, cx: &mut Context<'_>) -> Poll<Signals> {
        let mut state = self.lock();
        if state.phase == Phase::Gone {
            // Whoever found it so may have found no waker: the task is told when it asks.
            state.signals.add(Signals::ENDING);
        }
        if state.signals.any() {
            return Poll::Ready(std::mem::take(&mut state.signals));
        }
        match &state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => state.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Writes what waits, now that the socket takes it. True when nothing waits any more.
    pub fn write_more(&self, writer: &mut Writer) -> bool {
        let mut state = self.lock();
        self.write_waiting(&mut state, writer);
        let all = state.waiting.is_empty();
        state.blocked = !all;
        all
    }

    /// Bytes that wait; the task reads nothing from a peer that does not read them.
    pub fn unread(&self) -> usize {
        self.lock().unread()
    }

    /// Whether fewer bytes than `max` wait; if not, the task is told when none do. It need not be the
    /// socket that holds them up: a fan-out may be about to write what it staged, and then nobody
    /// else would tell.
    pub fn room_or_tell(&self, max: usize) -> bool {
        let mut state = self.lock();
        state.wants_room = state.unread() >= max;
        !state.wants_room
    }

    /// What is said if the session ends now, before the farewell; `None` to take it back.
    pub fn set_last_word(&self, bytes: Option<Vec<u8>>) {
        self.lock().last_word = bytes.map(Vec::into_boxed_slice);
    }

    /// Some fan-out has it among its listeners; it must be told when the connection is gone.
    pub fn listens(&self) -> bool {
        self.listens.load(Ordering::Acquire)
    }

    /// From now on it is among the listeners of some fan-out.
    pub fn set_listens(&self) {
        self.listens.store(true, Ordering::Release);
    }

    /// One more command is in flight.
    pub fn sent_off(&self) {
        self.lock().in_flight += 1;
    }

    /// A command was not sent off after all.
    pub fn take_back(&self) {
        self.lock().settle();
    }

    /// Whether nothing is in flight; if something is, the task is told when it no longer is.
    pub fn idle_or_tell(&self) -> bool {
        let mut state = self.lock();
        state.wants_idle = state.in_flight > 0;
        !state.wants_idle
    }

    /// Why it ends, once it does.
    pub fn ending(&self) -> Option<Disconnect> {
        match self.lock().phase {
            Phase::Ending(why) => Some(why),
            Phase::Open | Phase::Gone => None,
        }
    }

    /// Whether the socket is of no more use.
    pub fn is_gone(&self) -> bool {
        self.lock().phase == Phase::Gone
    }

    /// The socket is of no more use; nothing is taken or kept from here on.
    pub fn close(&self) {
        let mut state = self.lock();
        state.gone();
        state.waker = None;
    }

    /// Tells the task that the server is stopping.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.signals.add(Signals::DRAIN);
        state.wake();
    }

    /// Sets when the task wants to be woken, or `None` for never.
    pub fn set_deadline(&self, at: Option<Moment>) {
        self.deadline.store(at.map_or(u64::MAX, Moment::millis), Ordering::Relaxed);
    }

    /// Wakes the task if its deadline has passed.
    pub fn expire(&self, now: Moment) {
        if self.deadline.load(Ordering::Relaxed) <= now.millis() {
            self.deadline.store(u64::MAX, Ordering::Relaxed);
            let mut state = self.lock();
            state.signals.add(Signals::DEADLINE);
            state.wake();
        }
    }
}

impl State {
    fn unread(&self) -> usize {
        (self.answer_bytes + self.live_bytes) as usize
    }

    fn push(&mut self, bytes: Bytes, frames: u32, live: bool) {
        let len = bytes.len() as u32;
        if live {
            self.live_frames += frames;
            self.live_bytes += len;
        } else {
            self.answer_bytes += len;
        }
        self.waiting.push_back(Chunk { bytes, frames, live });
    }

    /// Takes what was written off the front; returns the frames of the chunks that left as a whole.
    fn took(&mut self, mut len: usize) -> u32 {
        let mut frames = 0;
        while len > 0 {
            let first = self.waiting.front_mut().expect("no more is written than waits");
            let step = len.min(first.bytes.len());
            len -= step;
            let count = if first.live { &mut self.live_bytes } else { &mut self.answer_bytes };
            *count -= step as u32;
            if step < first.bytes.len() {
                first.bytes.advance(step);
                self.begun = true;
                break;
            }
            frames += first.frames;
            if first.live {
                self.live_frames -= first.frames;
            }
            self.waiting.pop_front();
            self.begun = false;
        }
        frames
    }

    fn recount(&mut self) {
        let chunks = || self.waiting.iter();
        let bytes = |live: bool| -> usize {
            chunks().filter(|c| c.live == live).map(|c| c.bytes.len()).sum()
        };
        let (live_bytes, answer_bytes) = (bytes(true) as u32, bytes(false) as u32);
        self.live_frames = chunks().filter(|c| c.live).map(|c| c.frames).sum();
        (self.live_bytes, self.answer_bytes) = (live_bytes, answer_bytes);
    }

    fn settle(&mut self) {
        self.in_flight -= 1;
        if self.in_flight == 0 && std::mem::take(&mut self.wants_idle) {
            self.signals.add(Signals::IDLE);
            self.wake();
        }
    }

    fn signal_blocked(&mut self) {
        if !std::mem::replace(&mut self.blocked, true) {
            self.signals.add(Signals::BLOCKED);
            self.wake();
        }
    }

    fn gone(&mut self) {
        self.phase = Phase::Gone;
        self.waiting = VecDeque::new();
        (self.live_frames, self.live_bytes, self.answer_bytes) = (0, 0, 0);
        self.begun = false;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
