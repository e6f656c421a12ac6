//! One connection: the loop that drives any protocol over any socket.
//!
//! Neighbours: a listener hands over a socket with its protocol; the protocol turns bytes into asks,
//! `serve.rs` carries them out, answers and events leave through the outbox. It reads only while it
//! can serve (`intake.rs`): when a shard's queue is full, or the peer does not read its answers, it stops reading
//! and goes on writing. That is the back-pressure; who is refused too often meets it too (`abuse.rs`).

mod abuse;
mod intake;
mod lookup;
mod personal;
mod serve;
mod submit;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use throng_core::Disconnect;
use throng_core::session::{Gcra, Identity, Session};
use tokio::net::TcpStream;

use crate::address::AddressKey;
use crate::app::App;
use crate::clock::Moment;
use crate::listeners::Pass;
use crate::outbox::{Outbox, Signals, Writer};
use crate::protocols::{Intake, Protocol};
use intake::{Behind, read_once};
use serve::Slow;

/// One read. Frames of many requests come out of it at once; larger frames take several.
const READ_LEN: usize = 32 * 1024;
/// Bytes waiting for the peer above which nobody serves it further requests.
const UNREAD_MAX: usize = 64 * 1024;
/// How long a connection that said farewell waits for the peer to read it and close.
const LINGER: Duration = Duration::from_secs(5);
/// What a peer that was told farewell may still send: what was on its way, and no flood.
const LAST_READ_MAX: usize = 1024 * 1024;
/// How long a draining connection waits for its last answers.
pub const DRAIN: Duration = Duration::from_secs(5);
/// Clients come back spread over this long after a restart.
const RETRY_SPREAD_MS: u64 = 5_000;

/// A connection as its listener hands it over.
#[derive(Debug)]
pub struct Opened<P> {
    /// Its writing half.
    pub outbox: Arc<Outbox>,
    /// What it speaks.
    pub protocol: P,
    /// Whose it is, for limits by address.
    pub address: AddressKey,
    /// What came with the request's head.
    pub head: Vec<u8>,
    /// The token of its `Authorization`, if it had one.
    pub bearer: Option<String>,
    /// Its right to be inside.
    pub pass: Pass,
}

/// One connection: a future that ends with it.
pub struct Connection<P> {
    app: Arc<App>,
    outbox: Arc<Outbox>,
    protocol: P,
    session: Session,
    address: AddressKey,
    /// Only while something holds the line.
    behind: Option<Box<Behind>>,
    slow: Option<Pin<Box<dyn Future<Output = Slow> + Send>>>,
    /// When the peer was last heard, and what it said was decoded.
    heard: Moment,
    decoded: Moment,
    /// Whether it was probed since.
    probed: bool,
    /// Whether the peer is listened to, and since when: before that its silence says nothing.
    listening: bool,
    listens_since: Moment,
    blocked: Option<Moment>,
    /// What it was refused lately.
    refusals: Gcra,
    /// Nothing is read or served until then; the clock's beginning for no such time.
    deaf_until: Moment,
    /// No more is read; it ends when what is under way is answered.
    stopping: Option<Box<Stopping>>,
    stage: Stage,
    _pass: Pass,
}

impl<P> std::fmt::Debug for Connection<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.outbox.id.0)
    }
}

/// Why no more is read, and since when.
#[derive(Debug)]
struct Stopping {
    since: Moment,
    cause: Cause,
}

#[derive(Debug, PartialEq, Eq)]
enum Cause {
    /// The server drains.
    Drain,
    /// The peer asks no more, and may still listen: it closed its half, or said goodbye in its grammar,
    /// which then owes it these last bytes.
    Done(Vec<u8>),
}

/// Buffers that a thread lends to the connection it runs, so that an idle one holds none.
struct Desk {
    read: Box<[u8]>,
    intake: Intake,
    answers: Vec<u8>,
    writer: Writer,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::new(Desk {
        read: vec![0; READ_LEN].into_boxed_slice(),
        intake: Intake::default(),
        answers: Vec::new(),
        writer: Writer::default(),
    });
}

enum Woken {
    Signals(Signals),
    Slow(Slow),
    Readable,
    Writable,
}

/// How far a connection has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Asks are read and served.
    Working,
    /// The farewell is said; `shut` once all is written and our half is closed.
    /// So many bytes of the peer's are still read and thrown away.
    Parting { shut: bool, left: usize },
    /// The socket is of no more use.
    Over,
}

impl<P: Protocol + Unpin> Connection<P> {
    /// A connection that runs when it is spawned, to its end.
    ///
    /// It is a future by hand and not an `async fn`, because there is one for every idle client:
    /// compiled from `async`, it would hold its arguments twice and every state beside the others.
    pub fn new(app: &Arc<App>, opened: Opened<P>) -> Self {
        let Opened { outbox, protocol, address, mut head, bearer, pass } = opened;
        let now = app.clock.now();
        app.sessions.enter(&outbox);
        app.metrics.connections.inc();
        app.metrics.connections_opened.inc();
        let mut connection = Self {
            session: Session::new(now.millis(), &app.limits),
            app: Arc::clone(app),
            outbox,
            protocol,
            address,
            behind: None,
            slow: None,
            heard: now,
            decoded: now,
            probed: false,
            listening: true,
            listens_since: now,
            blocked: None,
            refusals: Gcra::default(),
            deaf_until: Moment::default(),
            stopping: None,
            stage: Stage::Working,
            _pass: pass,
        };
        connection.greet(bearer);
        if !head.is_empty() {
            connection.read(&mut head);
        }
        connection
    }
}

impl<P: Protocol + Unpin> Future for Connection<P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.get_mut();
        loop {
            let polled = match connection.stage {
                Stage::Working => connection.poll_work(cx),
                Stage::Parting { shut, left } => connection.poll_parting(cx, shut, left),
                Stage::Over => return Poll::Ready(()),
            };
            if polled.is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<P> Drop for Connection<P> {
    /// Also when the runtime ends in the middle: nobody is left believing in this connection.
    fn drop(&mut self) {
        self.outbox.close();
        let identity: Option<&Identity> = self.session.identity();
        self.app.sessions.leave(self.outbox.id, identity, self.app.clock.now());
        if self.outbox.listens() {
            self.app.connection_gone(self.outbox.id);
        }
        self.app.metrics.connections.dec();
    }
}

impl<P: Protocol + Unpin> Connection<P> {
    fn greet(&mut self, bearer: Option<String>) {
        let mut welcome = Vec::new();
        self.outbox.form.welcome(self.app.epoch, &self.app.limits, &mut welcome);
        self.say(welcome, 1);
        if let Some(token) = bearer {
            self.slow = Some(serve::authenticate_silently(&self.app, token));
        }
        if !self.app.lifecycle.is_serving() {
            self.outbox.drain();
        }
    }

    /// One round of asking and answering; ready when there may be another.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.end_if_stopped();
        if self.outbox.ending().is_some() || self.outbox.is_gone() {
            self.begin_parting();
            return Poll::Ready(());
        }
        self.arm();
        match ready!(self.poll_woken(cx)) {
            Woken::Signals(signals) => self.signalled(signals),
            Woken::Slow(done) => {
                self.slow = None;
                self.listen();
                self.finish(done);
                self.serve_backlog();
            }
            Woken::Readable => self.read_socket(),
            Woken::Writable => {
                self.write_more();
                self.serve_backlog();
            }
        }
        Poll::Ready(())
    }

    fn poll_woken(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        if let Poll::Ready(signals) = self.outbox.poll_signals(cx) {
            return Poll::Ready(Woken::Signals(signals));
        }
        if let Some(slow) = &mut self.slow
            && let Poll::Ready(done) = slow.as_mut().poll(cx)
        {
            return Poll::Ready(Woken::Slow(done));
        }
        if self.blocked.is_some() && self.outbox.stream().poll_write_ready(cx).is_ready() {
            return Poll::Ready(Woken::Writable);
        }
        if self.may_read() && self.outbox.stream().poll_read_ready(cx).is_ready() {
            return Poll::Ready(Woken::Readable);
        }
        Poll::Pending
    }

    fn say(&mut self, bytes: Vec<u8>, frames: u32) {
        DESK.with_borrow_mut(|desk| {
            self.outbox.answer(bytes, frames, &mut desk.writer);
            desk.writer.count_into(&self.app.metrics);
        });
    }

    fn write_more(&mut self) {
        let all = DESK.with_borrow_mut(|desk| {
            let all = self.outbox.write_more(&mut desk.writer);
            desk.writer.count_into(&self.app.metrics);
            all
        });
        self.blocked = if all { None } else { Some(self.app.clock.now()) };
    }

    // ---- signals and deadlines ----------------------------------------------------------------

    fn signalled(&mut self, signals: Signals) {
        let now = self.app.clock.now();
        if signals.has(Signals::BLOCKED) {
            self.blocked.get_or_insert(now);
        }
        if signals.has(Signals::IDLE) || signals.has(Signals::ROOM) {
            self.serve_backlog();
        }
        if signals.has(Signals::DRAIN) {
            self.stop(Cause::Drain);
        }
        if signals.has(Signals::DEADLINE) {
            self.expired(now);
        }
    }

    fn stop(&mut self, cause: Cause) {
        let since = self.app.clock.now();
        self.stopping.get_or_insert_with(|| Box::new(Stopping { since, cause }));
    }

    /// One that stops ends when all that it asked is answered, or after a while.
    fn end_if_stopped(&mut self) {
        let Some(stopping) = &self.stopping else { return };
        let unserved = self.slow.is_some() || self.behind.is_some();
        // Who may not be served for a while is not waited for.
        let holds = unserved && !(stopping.cause == Cause::Drain && self.is_deaf());
        let late = self.app.clock.now().since(stopping.since) >= DRAIN;
        if late || (!holds && self.outbox.idle_or_tell()) {
            match &stopping.cause {
                Cause::Drain => self.outbox.end(Disconnect::Shutdown, self.retry_after()),
                Cause::Done(owed) => self.outbox.end_with(owed.clone()),
            }
        }
    }

    /// Spread by the connection's own number: no two clients of a burst get the same.
    fn retry_after(&self) -> u32 {
        500 + (self.outbox.id.0.wrapping_mul(0x9e37_79b9) % RETRY_SPREAD_MS) as u32
    }

    /// Sets when to be woken if nothing happens.
    fn arm(&mut self) {
        self.mind_silence();
        let ms = Duration::from_millis;
        let limits = &self.app.limits;
        let patience = if self.probed { limits.ping_timeout_ms } else { 0 };
        let silent = self.silent_since().plus(ms(limits.ping_interval_ms + patience));
        let overdue = self.session.deadline_ms();
        let at = [
            self.listening.then_some(silent),
            overdue.map(|deadline| Moment(deadline.saturating_mul(1_000_000))),
            self.is_deaf().then_some(self.deaf_until),
            self.blocked.map(|since| since.plus(ms(limits.write_timeout_ms))),
            self.stopping.as_ref().map(|stopping| stopping.since.plus(DRAIN)),
        ];
        self.outbox.set_deadline(at.into_iter().flatten().min());
    }

    /// Who is not listened to is not silent: what it says lies in the socket, its pongs too. One that is dead
    /// takes nothing of what is written to it, or is found when it is listened to again.
    fn mind_silence(&mut self) {
        let listens = self.may_read();
        if listens && !self.listening {
            self.listen();
        }
        self.listening = listens;
    }

    /// Its silence begins anew: before it is answered, for who has an answer knows that it was heard.
    fn listen(&mut self) {
        (self.listening, self.listens_since, self.probed) = (true, self.app.clock.now(), false);
    }

    fn silent_since(&self) -> Moment {
        self.heard.max(self.listens_since)
    }

    fn expired(&mut self, now: Moment) {
        if let Some(why) = self.session.overdue(now.millis()) {
            return self.outbox.end(why, 0);
        }
        self.listen_again(now);
        let limits = &self.app.limits;
        let takes_within = Duration::from_millis(limits.write_timeout_ms);
        if self.blocked.is_some_and(|since| now.since(since) >= takes_within) {
            self.app.metrics.slow_disconnects.inc();
            return self.outbox.close();
        }
        if !self.listening {
            return;
        }
        let silence = now.since(self.silent_since());
        let interval = Duration::from_millis(limits.ping_interval_ms);
        if silence >= interval + Duration::from_millis(limits.ping_timeout_ms) && self.probed {
            return self.outbox.end(Disconnect::PingTimeout, 0);
        }
        if silence >= interval && !self.probed {
            let mut probe = Vec::new();
            self.protocol.probe(&mut probe);
            if probe.is_empty() {
                // A grammar without a probe leaves this to the transport's keep-alives.
                self.listens_since = now;
            } else {
                self.probed = true;
                self.say(probe, 1);
            }
        }
    }

    // ---- the end ------------------------------------------------------------------------------

    fn begin_parting(&mut self) {
        self.slow = None;
        self.behind = None;
        self.remember_end();
        self.stage = Stage::Parting { shut: false, left: LAST_READ_MAX };
        self.outbox.set_deadline(Some(self.app.clock.now().plus(LINGER)));
        if self.outbox.ending() == Some(Disconnect::Slow) {
            self.app.metrics.slow_disconnects.inc();
        }
    }

    /// Writes what is owed, the farewell last, and lets the peer read it before the socket goes: a
    /// socket closed with unread bytes would take them back.
    fn poll_parting(&mut self, cx: &mut Context<'_>, shut: bool, left: usize) -> Poll<()> {
        if self.outbox.is_gone() {
            self.stage = Stage::Over;
            return Poll::Ready(());
        }
        if !shut && self.outbox.unread() == 0 {
            let closed = shut_down(self.outbox.stream());
            self.stage = closed.map_or(Stage::Over, |()| Stage::Parting { shut: true, left });
            return Poll::Ready(());
        }
        match ready!(self.poll_last(cx, !shut)) {
            Woken::Signals(signals) if signals.has(Signals::DEADLINE) => self.stage = Stage::Over,
            Woken::Signals(_) | Woken::Slow(_) => {}
            Woken::Writable => self.write_more(),
            Woken::Readable => match self.discard() {
                Ok(len) if 0 < len && len <= left => {
                    self.stage = Stage::Parting { shut, left: left - len };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => self.stage = Stage::Over,
            },
        }
        Poll::Ready(())
    }

    fn poll_last(&mut self, cx: &mut Context<'_>, writing: bool) -> Poll<Woken> {
        if let Poll::Ready(signals) = self.outbox.poll_signals(cx) {
            return Poll::Ready(Woken::Signals(signals));
        }
        let stream = self.outbox.stream();
        if writing && stream.poll_write_ready(cx).is_ready() {
            return Poll::Ready(Woken::Writable);
        }
        if stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(Woken::Readable);
        }
        Poll::Pending
    }

    fn discard(&self) -> io::Result<usize> {
        DESK.with_borrow_mut(|desk| read_once(self.outbox.stream(), &mut desk.read))
    }
}

fn shut_down(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).shutdown(Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::native::Native;
    use crate::protocols::{ASKS_MAX, Ask};

    #[test]
    fn an_idle_connection_is_small() {
        let (future, outbox) = (size_of::<Connection<Native>>(), size_of::<Outbox>());
        assert!(future + outbox <= 576, "{future} bytes of future, {outbox} of outbox");
    }

    /// What one may hold that asks for something slow and goes on asking: a read, and what came of its beginning.
    #[test]
    fn what_waits_behind_something_slow_is_small() {
        assert!(size_of::<Ask>() * ASKS_MAX <= 48 << 10, "{}", size_of::<Ask>());
    }
}
