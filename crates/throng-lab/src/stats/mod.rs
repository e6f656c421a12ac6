//! Statistics for few and noisy numbers: exact where it can be, seeded where chance is needed.
//!
//! Neighbours: `compare`, `capacity` and `report` ask; nothing here knows what a number stands for,
//! reads a clock or rolls dice it was not handed. Each is tested on data whose answer is known.

pub mod compare;
pub mod ema;
pub mod fit;
pub mod order;

pub use compare::{Paired, Verdict, paired};
pub use ema::Ema;
pub use fit::{Line, Scaling, line, scaling};
pub use order::{Bin, Spread, bins, median, quantile, spread};

/// Little's law: what is in flight is what arrives times how long it stays. The ratio of the measured
/// to the computed; 1 when the law holds, which it must wherever nothing is created or lost between
/// the two places of measurement.
pub fn little(in_flight: f64, arrivals_per_second: f64, seconds_each: f64) -> Option<f64> {
    let computed = arrivals_per_second * seconds_each;
    (computed > 0.0 && in_flight.is_finite()).then(|| in_flight / computed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A single server with a queue, simulated: what is in flight is counted at every moment.
    #[test]
    fn littles_law_holds_in_a_queue() {
        let (mut free_at, mut stayed, mut area) = (0.0_f64, 0.0, 0.0);
        let arrivals = 1_000;
        for at in 0..arrivals {
            let arrived = f64::from(at) * 0.1;
            let work = if at % 3 == 0 { 0.2 } else { 0.03 };
            free_at = free_at.max(arrived) + work;
            stayed += free_at - arrived;
            area += free_at - arrived;
        }
        let in_flight = area / free_at;
        let each = stayed / f64::from(arrivals);
        let ratio = little(in_flight, f64::from(arrivals) / free_at, each).unwrap();
        assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
        // Half of what is in flight was not counted.
        let ratio = little(in_flight / 2.0, f64::from(arrivals) / free_at, each).unwrap();
        assert!((ratio - 0.5).abs() < 1e-9, "{ratio}");
        assert_eq!(little(1.0, 0.0, 1.0), None);
    }
}
