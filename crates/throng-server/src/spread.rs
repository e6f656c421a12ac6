//! When those come back who are told *busy* at one moment: each at a time of its own, or they would be one
//! crowd again.
//!
//! Neighbours: whatever has a queue that may be full. It knows neither time nor chance: each answer lies
//! between the ones before it.

use std::sync::atomic::{AtomicU32, Ordering};

use throng_core::Rejection;

/// 2³² by the golden ratio: steps of this length around a circle, however many there were, leave no gap that
/// is more than three times another.
const STEP: u32 = 0x9E37_79B9;

/// Waits that are told one after the other.
#[derive(Debug, Default)]
pub struct Spread(AtomicU32);

impl Spread {
    /// *Busy*: come back after this many milliseconds at least, and before twice as many.
    pub fn busy(&self, least_ms: u32) -> Rejection {
        let turn = self.0.fetch_add(STEP, Ordering::Relaxed);
        let more = (u64::from(least_ms) * u64::from(turn)) >> u32::BITS;
        // Below `least_ms`, which fits.
        let retry_after_ms = least_ms.saturating_add(more as u32);
        Rejection::Busy { retry_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(spread: &Spread, least_ms: u32, count: usize) -> Vec<u32> {
        (0..count).map(|_| spread.busy(least_ms).retry_after_ms().unwrap()).collect()
    }

    #[test]
    fn those_who_are_told_at_one_moment_come_back_evenly_between_a_time_and_twice_that() {
        for count in [2, 10, 64, 1_000] {
            let mut waits = waits(&Spread::default(), 10_000, count);
            assert_eq!(waits[0], 10_000, "nobody else was told yet");
            waits.sort_unstable();
            waits.push(20_000);
            let gaps: Vec<u32> = waits.windows(2).map(|two| two[1] - two[0]).collect();
            let even = 10_000 / count as u32;
            let largest = *gaps.iter().max().unwrap();
            assert!(largest <= even * 2, "{count} come back up to {largest} ms apart, not {even}");
            let at_once = gaps.iter().filter(|gap| **gap < even / 4).count();
            assert_eq!(at_once, 0, "of {count}");
        }
    }

    #[test]
    fn nobody_is_told_less_than_the_least_and_the_longest_wait_fits() {
        let spread = Spread::default();
        assert_eq!(waits(&spread, 0, 3), [0; 3]);
        for least in [1, 250, u32::MAX] {
            let told = waits(&spread, least, 100);
            let most = least.saturating_mul(2);
            assert!(told.iter().all(|wait| (least..=most).contains(wait)), "{least}: {told:?}");
        }
    }
}
