//! A histogram of powers of two that costs two relaxed additions an observation, or one pass over
//! its buckets for a whole tick's observations.
//!
//! Neighbours: `metrics.rs` registers and renders it. The library's own takes a lock for every
//! observation, which 300,000 writes a second would pay for.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Buckets `1, 2, 4 … 2^24` of the unit, and one above: 1 µs to 16 s, or 1 to 16 million.
const BUCKETS: usize = 26;

/// Counts values by their power of two.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    /// What one unit is in the base unit of the metric: 1e-6 for microseconds told in seconds.
    scale: f64,
}

/// The same, of one thread, for a tick's observations before they are added.
#[derive(Debug, Default)]
pub struct Tally {
    buckets: [u32; BUCKETS],
    sum: u64,
}

/// The bucket whose bound is the first at or above the value.
pub(super) fn bucket(value: u64) -> usize {
    let above = u64::BITS - value.saturating_sub(1).leading_zeros();
    if value <= 1 { 0 } else { (above as usize).min(BUCKETS - 1) }
}

impl Histogram {
    /// An empty one; values are told as `value * scale`.
    pub fn new(scale: f64) -> Self {
        Self { scale, ..Self::default() }
    }

    /// One value.
    pub fn observe(&self, value: u64) {
        self.observe_many(value, 1);
    }

    /// The same value `times` over.
    pub fn observe_many(&self, value: u64, times: u64) {
        self.buckets[bucket(value)].fetch_add(times, Ordering::Relaxed);
        self.sum.fetch_add(value * times, Ordering::Relaxed);
    }

    /// Adds a tick's observations and empties them.
    pub fn add(&self, tally: &mut Tally) {
        if tally.sum == 0 && tally.buckets[0] == 0 {
            return;
        }
        for (shared, local) in self.buckets.iter().zip(&tally.buckets) {
            if *local > 0 {
                shared.fetch_add(u64::from(*local), Ordering::Relaxed);
            }
        }
        self.sum.fetch_add(tally.sum, Ordering::Relaxed);
        *tally = Tally::default();
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// The sum of the values, in units.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// Writes the text form under an encoder that has its name and labels.
    pub fn encode_into(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let mut rows = Vec::with_capacity(BUCKETS);
        let mut count = 0;
        for (i, shared) in self.buckets.iter().enumerate() {
            let n = shared.load(Ordering::Relaxed);
            count += n;
            let bound = if i + 1 == BUCKETS { f64::MAX } else { (1u64 << i) as f64 * self.scale };
            rows.push((bound, n));
        }
        let sum = self.sum.load(Ordering::Relaxed) as f64 * self.scale;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &rows, None)
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, encoder: MetricEncoder) -> fmt::Result {
        self.encode_into(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl Tally {
    /// One value.
    pub fn observe(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1), 0);
        assert_eq!(bucket(2), 1);
        assert_eq!(bucket(3), 2);
        assert_eq!(bucket(4), 2);
        assert_eq!(bucket(5), 3);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_tally_adds_up_to_the_same_as_single_observations() {
        let (one, many) = (Histogram::new(1.0), Histogram::new(1.0));
        let mut tally = Tally::default();
        for value in [0, 1, 7, 900, 1 << 30] {
            one.observe(value);
            tally.observe(value);
        }
        many.add(&mut tally);
        assert_eq!(one.count(), many.count());
        assert_eq!(one.sum(), many.sum());
        assert_eq!(tally.sum, 0);
    }
}
