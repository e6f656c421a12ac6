//! The only reader of time in the server.
//!
//! Neighbours: everyone takes a `Clock` from `app.rs` or a `Moment` as an argument; the core gets
//! `Timestamp`s. It never waits: waiting belongs to the runtime and to the threads' condition
//! variables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use throng_core::Timestamp;

/// A monotonic moment: nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Time from `earlier` to here; zero when it is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `later` after this one.
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Whole milliseconds since the clock was made.
    pub fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// Tells the time; a test turns it by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: Instant },
    Manual { nanos: Arc<AtomicU64> },
}

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads time")]
    pub fn system() -> Self {
        Self(Source::System { origin: Instant::now() })
    }

    /// A clock that stands still until `advance`.
    pub fn manual() -> Self {
        Self(Source::Manual { nanos: Arc::new(AtomicU64::new(0)) })
    }

    /// The monotonic moment.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads time")]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System { origin } => {
                Moment(Instant::now().duration_since(*origin).as_nanos() as u64)
            }
            Source::Manual { nanos } => Moment(nanos.load(Ordering::Relaxed)),
        }
    }

    /// The wall clock. It may be set back by the operator: what must not go back takes care itself.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads time")]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(since.as_millis() as u64)
            }
            Source::Manual { nanos } => Timestamp(nanos.load(Ordering::Relaxed) / 1_000_000),
        }
    }

    /// Turns a manual clock forward. The machine's clock is not ours to turn.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { nanos } = &self.0 {
            nanos.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual();
        let before = clock.now();
        clock.advance(Duration::from_millis(5));
        assert_eq!(clock.now().since(before), Duration::from_millis(5));
        assert_eq!(clock.wall(), Timestamp(5));
    }

    #[test]
    fn a_moment_before_another_is_no_time_after_it() {
        assert_eq!(Moment(1).since(Moment(2)), Duration::ZERO);
    }
}
