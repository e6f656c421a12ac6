//! A socket that speaks HTTP, whose peer must take something of what waits for it in time: one that
//! asks and never reads is cut, and holds its place no longer.
//!
//! Neighbours: `http.rs` gives it to the HTTP library, and takes the socket back out of it for an
//! upgrade: a connection of our own keeps the same limit by itself. It buffers nothing, and has no
//! timer while the socket takes what it is given.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::clock::{Clock, Moment};
use crate::operations::metrics::Metrics;

/// The clock is looked at this often at least, as it is for all other deadlines.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The socket. A write that it refuses for too long is an error, of kind `TimedOut`.
#[derive(Debug)]
pub struct WriteDeadline<S> {
    socket: S,
    takes_within: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    refused: Option<Refused>,
}

/// A write was refused, and none was taken since.
#[derive(Debug)]
struct Refused {
    since: Moment,
    /// Until the clock is looked at again.
    look: Pin<Box<Sleep>>,
}

impl<S> WriteDeadline<S> {
    /// Of what is written something must be taken within this time, by this clock.
    pub fn new(socket: S, takes_within: Duration, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { socket, takes_within, clock, metrics, refused: None }
    }

    /// The socket, with no deadline any more.
    pub fn into_inner(self) -> S {
        self.socket
    }

    /// What came of a write, or that its time is over.
    fn in_time(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.refused = None;
            return written;
        }
        let now = self.clock.now();
        let takes_within = self.takes_within;
        let look = || Box::pin(tokio::time::sleep(takes_within.min(LOOK_MAX)));
        let refused = self.refused.get_or_insert_with(|| Refused { since: now, look: look() });
        loop {
            let left = takes_within.saturating_sub(self.clock.now().since(refused.since));
            if left.is_zero() {
                self.refused = None;
                self.metrics.slow_disconnects.inc();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            ready!(refused.look.as_mut().poll(cx));
            refused.look.set(tokio::time::sleep(left.min(LOOK_MAX)));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.in_time(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.in_time(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// A socket holds nothing back: what it has taken is the kernel's to send.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    const TIME: Duration = Duration::from_millis(100);
    const NANO: Duration = Duration::from_nanos(1);
    /// Less by a moment.
    const ALMOST: Duration = Duration::from_nanos(99_999_999);

    /// A socket that takes eight bytes and has taken them, and what it is judged by.
    struct Full {
        ours: WriteDeadline<DuplexStream>,
        theirs: DuplexStream,
        clock: Clock,
        runtime: Runtime,
    }

    impl Full {
        fn new() -> Self {
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            let (ours, theirs) = duplex(8);
            let clock = Clock::manual();
            let ours = WriteDeadline::new(ours, TIME, clock.clone(), Metrics::new());
            let mut full = Self { ours, theirs, clock, runtime };
            assert_eq!(full.write(), Poll::Ready(Ok(8)));
            full
        }

        /// Writes once more.
        fn write(&mut self) -> Poll<Result<usize, io::ErrorKind>> {
            let _inside = self.runtime.enter();
            let mut cx = Context::from_waker(Waker::noop());
            let ours = Pin::new(&mut self.ours);
            ours.poll_write(&mut cx, &[7; 9]).map_err(|error| error.kind())
        }

        fn cut(&self) -> u64 {
            self.ours.metrics.slow_disconnects.get()
        }
    }

    #[test]
    fn one_that_takes_nothing_is_cut_at_its_time_and_not_a_moment_before() {
        let mut full = Full::new();
        full.clock.advance(TIME);
        assert_eq!(full.write(), Poll::Pending, "nothing waited until now");
        full.clock.advance(ALMOST);
        assert_eq!(full.write(), Poll::Pending);
        assert_eq!(full.cut(), 0);
        full.clock.advance(NANO);
        assert_eq!(full.write(), Poll::Ready(Err(io::ErrorKind::TimedOut)));
        assert_eq!(full.cut(), 1);
    }

    #[test]
    fn one_that_takes_a_byte_now_and_then_goes_on() {
        let mut full = Full::new();
        for _ in 0..10 {
            assert_eq!(full.write(), Poll::Pending);
            full.clock.advance(ALMOST);
            assert_eq!(full.write(), Poll::Pending);
            full.runtime.block_on(full.theirs.read_u8()).unwrap();
            assert_eq!(full.write(), Poll::Ready(Ok(1)));
        }
        assert_eq!(full.cut(), 0);
    }

    /// The peer does nothing, and so no socket wakes it.
    #[test]
    fn one_that_waits_is_woken_when_its_time_is_over() {
        let Full { mut ours, theirs: _stays, clock, runtime } = Full::new();
        let pieces = [IoSlice::new(&[7; 4]), IoSlice::new(&[7; 5])];
        let mut polled = 0;
        let written = runtime.block_on(std::future::poll_fn(|cx| {
            let written = Pin::new(&mut ours).poll_write_vectored(cx, &pieces);
            polled += 1;
            clock.advance(TIME);
            written
        }));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!((polled, ours.metrics.slow_disconnects.get()), (2, 1));
    }
}
