//! How still the machine holds: what a program that only looks at the clock misses.
//!
//! Neighbours: `bench` probes before and after each run, as it does the disk. A hypervisor that takes
//! the cores away, or a kernel thread that does not let go, is no server's doing, and stands in every
//! server's p99: who reads one must know it.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::thread::CpuSet;

use crate::clock::now;

/// Looking at the clock takes less than this, unless somebody else has the core.
const GAP_NS: u64 = 100_000;

/// How late something would have begun that was due at any instant, if any core could be the one it
/// is due on.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stalls {
    /// Lateness that one instant in a hundred sees, milliseconds.
    pub p99_ms: f64,
    /// The longest time for which some core was away, milliseconds.
    pub longest_ms: f64,
    /// Share of the time in which some core was away.
    pub share: f64,
}

impl fmt::Display for Stalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p99_ms, longest_ms, share } = self;
        write!(f, "{:.1} % (p99 {p99_ms:.1}, longest {longest_ms:.1} ms)", share * 100.0)
    }
}

/// Looks at the clock on every core that is ours for as long as `time`; nothing else should run meanwhile.
pub fn probe_stalls(time: Duration) -> io::Result<Stalls> {
    let count = std::thread::available_parallelism()?.get();
    let ours = rustix::thread::sched_getaffinity(None)?;
    let cores = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core)).take(count);
    let begin = now().0;
    let end = begin + time.as_nanos() as u64;
    let gaps = std::thread::scope(|scope| -> io::Result<Vec<(u64, u64)>> {
        let watchers: Vec<_> = cores.map(|core| scope.spawn(move || watch(core, end))).collect();
        let mut all = Vec::new();
        for watcher in watchers {
            all.extend(watcher.join().map_err(|_| io::Error::other("a watcher panicked"))??);
        }
        Ok(all)
    })?;
    Ok(summary(gaps, time.as_nanos() as u64))
}

/// Times on one core at which the clock had jumped, from and to.
fn watch(core: usize, end: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut own = CpuSet::new();
    own.set(core);
    rustix::thread::sched_setaffinity(None, &own)?;
    let mut gaps = Vec::new();
    let mut last = now().0;
    while last < end {
        let next = now().0;
        if next - last > GAP_NS {
            gaps.push((last, next.min(end)));
        }
        last = next;
    }
    Ok(gaps)
}

/// Merges what overlaps, and asks each instant how long it is to the end of the gap it lies in.
fn summary(mut gaps: Vec<(u64, u64)>, time_ns: u64) -> Stalls {
    gaps.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in gaps {
        match merged.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => merged.push((from, to)),
        }
    }
    let mut lengths: Vec<u64> = merged.iter().map(|(from, to)| to - from).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let away: u64 = lengths.iter().sum();
    Stalls {
        p99_ms: late(&lengths, time_ns / 100) as f64 / 1e6,
        longest_ms: lengths.first().copied().unwrap_or_default() as f64 / 1e6,
        share: away as f64 / time_ns.max(1) as f64,
    }
}

/// The lateness which exactly `budget` nanoseconds' worth of instants exceed. An instant in a gap of
/// length g is late by anything up to g, evenly; so the instants later than x are the sum of g − x
/// over the gaps longer than x.
fn late(longest_first: &[u64], budget: u64) -> u64 {
    let mut sum = 0;
    for (i, gap) in longest_first.iter().enumerate() {
        sum += gap;
        let count = i as u64 + 1;
        let next = longest_first.get(i + 1).copied().unwrap_or(0);
        if sum.saturating_sub(count * next) >= budget {
            return sum.saturating_sub(budget) / count;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_machine_that_holds_still_makes_nothing_late() {
        assert_eq!(summary(Vec::new(), 1000 * MS), Stalls::default());
    }

    #[test]
    fn one_gap_makes_the_instants_in_it_late_by_what_is_left_of_it() {
        // 30 of 1,000 ms: a hundredth of the instants are the first 10 ms of it, 20 ms late or more.
        let stalls = summary(vec![(100 * MS, 130 * MS)], 1000 * MS);
        assert!((stalls.p99_ms - 20.0).abs() < 1e-6, "{stalls:?}");
        assert!((stalls.longest_ms - 30.0).abs() < 1e-6 && (stalls.share - 0.03).abs() < 1e-9);
        // 8 of 1,000 ms are less than a hundredth.
        assert!(summary(vec![(0, 8 * MS)], 1000 * MS).p99_ms < 1e-6);
    }

    #[test]
    fn gaps_of_two_cores_at_one_time_are_one_gap() {
        let both = summary(vec![(0, 20 * MS), (10 * MS, 30 * MS), (10 * MS, 12 * MS)], 1000 * MS);
        assert_eq!(both, summary(vec![(0, 30 * MS)], 1000 * MS));
    }

    #[test]
    fn many_gaps_add_up() {
        // Ten gaps of 4 ms in a second: instants later than x ms are 10 × (4 − x) of 1,000.
        let gaps = (0..10).map(|i| (i * 100 * MS, i * 100 * MS + 4 * MS)).collect();
        assert!((summary(gaps, 1000 * MS).p99_ms - 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_watched_machine_has_been_somewhere_between_still_and_gone() {
        let stalls = probe_stalls(Duration::from_millis(5)).unwrap();
        assert!((0.0..=1.0).contains(&stalls.share), "{stalls:?}");
        assert!(stalls.p99_ms <= stalls.longest_ms, "{stalls:?}");
    }
}
