//! A timerfd in the same wait as the sockets. `epoll_wait` itself counts in milliseconds; this
//! wakes within some ten microseconds of the moment asked for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::clock::Nanos;

/// The one timer of an engine.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
    set_to: Option<Nanos>,
}

impl Timer {
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { fd, set_to: None })
    }

    /// Rings at `at`, and no more at what was set before.
    pub fn set(&mut self, at: Nanos) -> io::Result<()> {
        if self.set_to == Some(at) {
            return Ok(());
        }
        let value = Timespec {
            tv_sec: (at.0 / 1_000_000_000) as i64,
            // Zero as a whole would disarm it; no moment asked for is the machine's first.
            tv_nsec: (at.0 % 1_000_000_000).max(1) as _,
        };
        let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: interval, it_value: value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.set_to = Some(at);
        Ok(())
    }

    /// Takes the ring, so that the next one is an edge again.
    pub fn rang(&mut self) -> io::Result<()> {
        self.set_to = None;
        match rustix::io::read(&self.fd, &mut [0_u8; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
