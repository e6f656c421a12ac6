//! Says so when the disk keeps messages waiting: a sync of the log that takes longer than a second,
//! while it lasts and when it is over.
//!
//! Neighbours: the log tells when it begins and ends to write (`SyncObserver`), the sweep looks now
//! and then, `/readyz` and `/healthz` ask. It never decides what becomes of a message.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::metrics::Metrics;
use crate::clock::{Clock, Moment};
use crate::log::SyncObserver;

/// Longer than this is said: a person who sent a message has begun to wonder.
pub const SLOW: Duration = Duration::from_secs(1);
/// Slow ones within this time of the last line are counted and told with the next.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// Watches the log's writes.
#[derive(Debug)]
pub struct Syncs {
    clock: Clock,
    metrics: Arc<Metrics>,
    /// When the one under way began, nanoseconds and one; 0 for none.
    since: AtomicU64,
    /// What the checkpoint in it took, microseconds; 0 while there was none.
    checkpoint: AtomicU64,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    at: Option<Moment>,
    /// Slow ones since then.
    unsaid: u64,
    /// The one under way was told of, so that its end is too.
    under_way: bool,
}

impl Syncs {
    /// Nothing is written yet.
    pub fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            clock,
            metrics,
            since: AtomicU64::new(0),
            checkpoint: AtomicU64::new(0),
            said: Mutex::default(),
        }
    }

    /// How long the log has been writing by now, if that is slow.
    pub fn slow_now(&self) -> Option<Duration> {
        self.under_way().filter(|took| *took >= SLOW)
    }

    /// Now and then: says so of one that lasts.
    pub fn look(&self) {
        let took = self.under_way().unwrap_or_default();
        self.metrics.fsync_under_way_millis.set(took.as_millis() as i64);
        if took < SLOW {
            return;
        }
        let mut said = self.lock();
        if !said.under_way && said.may(self.clock.now()) {
            said.under_way = true;
            let so_far_ms = took.as_millis() as u64;
            tracing::warn!(
                so_far_ms,
                "the disk keeps the log waiting, and with it every message that is sent; run \
                 `throng doctor` on its folder, and see what else writes to that disk"
            );
        }
    }

    fn under_way(&self) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.clock.now().since(Moment(since)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        // Two numbers and a flag, whole at every point.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    /// Whether another line may be said now.
    fn may(&mut self, now: Moment) -> bool {
        let may = self.at.is_none_or(|at| now.since(at) >= SAID_AGAIN);
        if may {
            self.at = Some(now);
        }
        may
    }
}

impl SyncObserver for Syncs {
    fn begins(&self) {
        self.checkpoint.store(0, Ordering::Relaxed);
        self.since.store(self.clock.now().0 + 1, Ordering::Relaxed);
    }

    fn ends(&self) {
        let took = self.under_way().unwrap_or_default();
        self.since.store(0, Ordering::Relaxed);
        if took < SLOW {
            return;
        }
        self.metrics.slow_syncs.inc();
        let mut said = self.lock();
        let announced = std::mem::take(&mut said.under_way);
        if !announced && !said.may(self.clock.now()) {
            said.unsaid += 1;
            return;
        }
        let others = std::mem::take(&mut said.unsaid);
        let took_ms = took.as_millis() as u64;
        let checkpoint_ms = self.checkpoint.load(Ordering::Relaxed) / 1_000;
        tracing::warn!(
            took_ms,
            checkpoint_ms,
            others,
            "a write of the log took longer than a second, and every message waited for it; run \
             `throng doctor` on its folder, and see what else writes to that disk"
        );
    }

    fn synced(&self, turns: usize, bytes: usize, took: Duration) {
        self.metrics.synced(turns, bytes, took);
    }

    fn checkpointed(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        self.metrics.checkpoint.observe(micros);
        self.checkpoint.store(micros, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// What was logged, by lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(during: impl FnOnce(&Clock, &Syncs)) -> (Vec<String>, Arc<Metrics>) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let (clock, metrics) = (Clock::manual(), Metrics::new());
        let syncs = Syncs::new(clock.clone(), Arc::clone(&metrics));
        tracing::subscriber::with_default(subscriber, || during(&clock, &syncs));
        let bytes = std::mem::take(&mut *lines.0.lock().unwrap());
        (String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect(), metrics)
    }

    fn sync(clock: &Clock, syncs: &Syncs, takes: Duration) {
        syncs.begins();
        clock.advance(takes);
        syncs.ends();
    }

    #[test]
    fn a_sync_below_a_second_is_nobodys_business_and_one_of_a_second_is_said() {
        let (lines, metrics) = logged(|clock, syncs| {
            sync(clock, syncs, SLOW.saturating_sub(Duration::from_nanos(1)));
            assert_eq!(syncs.slow_now(), None);
            sync(clock, syncs, SLOW);
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("WARN") && lines[0].contains("took_ms=1000"), "{lines:?}");
        assert!(lines[0].contains("`throng doctor`"), "{lines:?}");
        assert_eq!(metrics.slow_syncs.get(), 1);
    }

    #[test]
    fn how_much_of_a_slow_write_was_its_checkpoint_is_said_and_of_no_other() {
        let (lines, metrics) = logged(|clock, syncs| {
            for checkpoint in [1_250, 0] {
                syncs.begins();
                clock.advance(Duration::from_millis(checkpoint));
                if checkpoint > 0 {
                    syncs.checkpointed(Duration::from_millis(checkpoint));
                }
                clock.advance(SAID_AGAIN);
                syncs.ends();
            }
        });
        let told = ["took_ms=11250 checkpoint_ms=1250", "took_ms=10000 checkpoint_ms=0"];
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().zip(told).all(|(line, told)| line.contains(told)), "{lines:?}");
        assert_eq!(metrics.checkpoint.count(), 1);
    }

    #[test]
    fn one_that_lasts_is_said_while_it_lasts_and_when_it_is_over() {
        let (lines, metrics) = logged(|clock, syncs| {
            syncs.begins();
            for _ in 0..16 {
                clock.advance(Duration::from_secs(1));
                syncs.look();
            }
            assert_eq!(syncs.slow_now(), Some(Duration::from_secs(16)));
            assert_eq!(syncs.metrics.fsync_under_way_millis.get(), 16_000);
            syncs.ends();
            assert_eq!(syncs.slow_now(), None);
            syncs.look();
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("so_far_ms=1000"), "{lines:?}");
        assert!(lines[1].contains("took_ms=16000"), "{lines:?}");
        assert_eq!(metrics.fsync_under_way_millis.get(), 0);
    }

    #[test]
    fn a_slow_disk_does_not_fill_the_log_and_what_was_not_said_is_counted() {
        let (lines, metrics) = logged(|clock, syncs| {
            for _ in 0..11 {
                sync(clock, syncs, SLOW);
            }
        });
        // At 1 s, and again 10 s later with the nine between.
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("others=9"), "{lines:?}");
        assert_eq!(metrics.slow_syncs.get(), 11);
    }
}
