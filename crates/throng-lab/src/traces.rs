//! Messages whose acks say where their time went in the server: which sends ask, and what is kept of them.
//!
//! Neighbours: the crowd asks, a driver reads the answer, the recorder holds this, the summary writes it.
//! Two clocks are never compared: the server tells how long each stage took, the client how long all of it
//! did, from the intended time, and how long it was the generator's before the kernel was handed it; what is between
//! is the kernel's and the client's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use serde::Serialize;

use crate::clock::Nanos;

/// Stages of a trace, in the order in which a message passes them.
pub const STAGES: [&str; 6] = ["decode", "authorize", "queue", "decide", "commit", "fanout"];
/// One send in so many asks.
const EVERY: u64 = 1_000;
/// And one in so many of the first, so that a short run has some too.
const EVERY_AT_FIRST: u64 = 100;
/// How many those are.
const FIRST: u64 = 2_000;
/// So many of the slowest are kept: no more than these are shown.
pub const SLOWEST_MAX: usize = 40;

/// What the server said of one message: microseconds of each of [`STAGES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trace(pub [u32; STAGES.len()]);

impl Trace {
    /// All of its stages.
    pub fn sum_us(&self) -> u64 {
        self.0.iter().copied().map(u64::from).sum()
    }
}

/// Whether a send asks: the first one, then one somewhere in each block, by the plan's seed alone.
pub fn asks(seed: u64, send: u32) -> bool {
    let send = u64::from(send);
    let size = if send < FIRST { EVERY_AT_FIRST } else { EVERY };
    send == 0 || send % size == mixed(seed ^ (send / size) << 32 ^ size) % size
}

/// A number whose bits have all to do with all of its.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Traced {
    /// From its intended time to its ack, microseconds.
    client_us: u64,
    /// Of it, until the kernel was handed its first byte.
    generator_us: u64,
    intended: Nanos,
    trace: Trace,
}

/// All of them: sums over all, and the slowest.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// Sends that asked.
    pub asked: u64,
    began: Nanos,
    count: u64,
    client_us: u64,
    generator_us: u64,
    stages_us: [u64; STAGES.len()],
    slowest: BinaryHeap<Reverse<Traced>>,
}

impl Traces {
    /// None yet; the load begins now.
    pub fn begun(now: Nanos) -> Self {
        Self { began: now, ..Self::default() }
    }

    /// A send was acked that had waited so long in the generator, and its ack said where its time went.
    pub fn told(&mut self, intended: Nanos, waited: Duration, now: Nanos, trace: Trace) {
        let us = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let (client_us, generator_us) = (us(now.since(intended)), us(waited));
        self.count += 1;
        self.client_us += client_us;
        self.generator_us += generator_us;
        for (sum, us) in self.stages_us.iter_mut().zip(trace.0) {
            *sum += u64::from(us);
        }
        self.slowest.push(Reverse(Traced { client_us, generator_us, intended, trace }));
        if self.slowest.len() > SLOWEST_MAX {
            self.slowest.pop();
        }
    }

    /// What is said of them.
    pub fn summary(&self) -> TraceSummary {
        let mean = |sum: u64| sum as f64 / self.count.max(1) as f64;
        let names = STAGES.map(str::to_owned).into_iter();
        let stages: u64 = self.stages_us.iter().sum();
        let mut slowest: Vec<Traced> = self.slowest.iter().map(|it| it.0).collect();
        slowest.sort_unstable_by_key(|it| Reverse(*it));
        slowest.truncate((self.count as usize).div_ceil(100).min(SLOWEST_MAX));
        let slow = |it: &Traced| SlowTrace {
            at: it.intended.since(self.began).as_secs_f64(),
            client_us: it.client_us,
            generator_us: it.generator_us,
            stages_us: STAGES.map(str::to_owned).into_iter().zip(it.trace.0).collect(),
            kernel_and_client_us: it.client_us as i64
                - it.generator_us as i64
                - it.trace.sum_us() as i64,
        };
        TraceSummary {
            asked: self.asked,
            told: self.count,
            client_us: mean(self.client_us),
            generator_us: mean(self.generator_us),
            stages_us: names.zip(self.stages_us.map(mean)).collect(),
            kernel_and_client_us: mean(self.client_us) - mean(self.generator_us) - mean(stages),
            slowest: slowest.iter().map(slow).collect(),
        }
    }
}

/// Where the time of single messages went, microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct TraceSummary {
    /// Sends that asked to know.
    pub asked: u64,
    /// Those whose ack said it; all means here are over them.
    pub told: u64,
    /// From the intended time to the ack, on average.
    pub client_us: f64,
    /// Of it, in the generator, until the kernel was handed the first byte, on average.
    pub generator_us: f64,
    /// Each stage of the server, on average.
    pub stages_us: BTreeMap<String, f64>,
    /// What is in neither, on average.
    pub kernel_and_client_us: f64,
    /// The slowest 1 % of them, at least one and [`SLOWEST_MAX`] at most, the slowest first.
    pub slowest: Vec<SlowTrace>,
}

/// One of the slowest.
#[derive(Clone, Debug, Serialize)]
pub struct SlowTrace {
    /// When it was intended, in seconds of the load.
    pub at: f64,
    /// From then to its ack.
    pub client_us: u64,
    /// Of it, in the generator.
    pub generator_us: u64,
    /// Each stage of the server.
    pub stages_us: BTreeMap<String, u32>,
    /// What is in none of them; below 0 if the server says more than there was.
    pub kernel_and_client_us: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_send_in_a_thousand_asks_and_in_a_short_run_more() {
        for seed in 0..20 {
            let asking: Vec<u32> = (0..102_000).filter(|send| asks(seed, *send)).collect();
            assert!(asks(seed, 0));
            let first = asking.iter().filter(|send| **send < 2_000).count();
            assert!(first == 20 || first == 21, "{first}");
            assert_eq!(asking.len() - first, 100);
            let places = asking.iter().skip(first).map(|send| send % 1_000);
            let places: std::collections::BTreeSet<u32> = places.collect();
            assert!(places.len() > 50, "not in step with anything that repeats: {places:?}");
        }
        let of = |seed| (0..20_000).filter(|send| asks(seed, *send)).collect::<Vec<u32>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn the_slowest_are_kept_and_the_means_are_of_all() {
        let mut traces = Traces::begun(Nanos(1_000_000_000));
        // 1 to 1,000 ms, in an order that is neither; half of it in the commit.
        for at in 0..1_000_u64 {
            let ms = at * 7 % 1_000 + 1;
            let intended = Nanos(1_000_000_000 + at * 1_000_000);
            let now = Nanos(intended.0 + ms * 1_000_000);
            // A tenth of it here.
            let waited = Duration::from_micros(ms * 100);
            traces.told(intended, waited, now, Trace([0, 0, 0, 0, ms as u32 * 500, 0]));
        }
        let summary = traces.summary();
        assert_eq!(summary.told, 1_000);
        assert!((summary.client_us - 500_500.0).abs() < 1e-6);
        assert!((summary.stages_us["commit"] - 250_250.0).abs() < 1e-6);
        assert!((summary.generator_us - 50_050.0).abs() < 1e-6);
        assert!((summary.kernel_and_client_us - 200_200.0).abs() < 1e-6);
        let slowest: Vec<u64> = summary.slowest.iter().map(|it| it.client_us / 1_000).collect();
        assert_eq!(slowest, (991..=1_000).rev().collect::<Vec<u64>>());
        let first = &summary.slowest[0];
        assert_eq!(first.stages_us["commit"], 500_000);
        assert_eq!((first.generator_us, first.kernel_and_client_us), (100_000, 400_000));
        // 7 × 857 is 999 more than whole thousands.
        assert!((first.at - 0.857).abs() < 1e-9, "{}", first.at);
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut traces = Traces::default();
        assert!(traces.summary().slowest.is_empty());
        let at_once = Duration::ZERO;
        traces.told(Nanos(0), at_once, Nanos(5_000), Trace([9, 0, 0, 0, 0, 0]));
        let one = traces.summary();
        assert_eq!(one.slowest.len(), 1);
        assert_eq!(one.slowest[0].kernel_and_client_us, -4, "a server that says too much is seen");
        for at in 0..10_000 {
            traces.told(Nanos(0), at_once, Nanos(at * 1_000), Trace::default());
        }
        assert_eq!(traces.slowest.len(), SLOWEST_MAX);
        let summary = traces.summary();
        assert_eq!(summary.slowest.len(), SLOWEST_MAX);
        assert_eq!(summary.slowest.last().unwrap().client_us, 9_960);
    }
}
