//! Lengths of messages from a histogram of powers of two and their exact mean: the log-normal within
//! bounds that a scenario has.
//!
//! Neighbours: `record` counts, `plan` draws from what comes of it. The mean is kept exactly, because
//! bytes cost; the spread is the likeliest one.

use crate::plan::BODY_BYTES_MIN;
use crate::scenario::{BODY_BYTES_MAX, Bodies};

/// Spreads that are tried, in steps of a twentieth; a scenario takes no more.
const SIGMAS: u32 = 60;
const SIGMA_STEP: f64 = 0.05;
/// Halvings of the interval in which the median lies.
const HALVINGS: u32 = 60;
/// What never happens is not impossible: a share that keeps its logarithm finite.
const LEAST_SHARE: f64 = 1e-9;

/// What was counted.
#[derive(Clone, Debug)]
pub struct Lengths {
    /// A greatest length, and how many were as long or shorter and longer than the one before.
    pub counts: Vec<(f64, f64)>,
    /// Of all of them.
    pub mean: f64,
}

/// The likeliest log-normal with this mean.
pub fn fit(lengths: &Lengths) -> Bodies {
    let (least, most) = (f64::from(BODY_BYTES_MIN), f64::from(BODY_BYTES_MAX));
    let some = || (0..lengths.counts.len()).filter(|at| lengths.counts[*at].1 > 0.0);
    let (first, last) = (some().next().unwrap_or(0), some().next_back().unwrap_or(0));
    let below = if first == 0 { 0.0 } else { lengths.counts[first - 1].0 };
    let bound = lengths.counts.get(last).map_or(most, |it| it.0);
    let min = (below + 1.0).clamp(least, most);
    let max = bound.clamp(min, most);
    let mean = lengths.mean.clamp(min, max);
    let mut best = (f64::NEG_INFINITY, 0.0, mean.ln());
    for step in 0..=SIGMAS {
        let sigma = f64::from(step) * SIGMA_STEP;
        let mu = mu_of(mean, sigma, [min, max]);
        let likely = likelihood(&lengths.counts[..], first..=last, mu, sigma);
        if likely > best.0 {
            best = (likely, sigma, mu);
        }
    }
    let (_, sigma, mu) = best;
    Bodies {
        bytes_min: min as u32,
        bytes_median: mu.exp().clamp(min, max).round() as u32,
        bytes_max: max as u32,
        sigma: (sigma / SIGMA_STEP).round() * SIGMA_STEP,
    }
}

/// The location with which the mean of what is cut to the bounds is this.
fn mu_of(mean: f64, sigma: f64, bounds: [f64; 2]) -> f64 {
    let [mut low, mut high] = bounds.map(f64::ln);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if cut_mean(middle, sigma, bounds) < mean { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The mean of a log-normal cut to its bounds: what lies outside lies on them.
fn cut_mean(mu: f64, sigma: f64, [min, max]: [f64; 2]) -> f64 {
    if sigma == 0.0 {
        return mu.exp().clamp(min, max);
    }
    let [low, high] = [min, max].map(|bound| (bound.ln() - mu) / sigma);
    let within = (mu + sigma * sigma / 2.0).exp() * (below(high - sigma) - below(low - sigma));
    min * below(low) + within + max * (1.0 - below(high))
}

/// The logarithm of how likely these counts are.
fn likelihood(
    counts: &[(f64, f64)],
    some: std::ops::RangeInclusive<usize>,
    mu: f64,
    sigma: f64,
) -> f64 {
    let up_to = |bound: f64| {
        let apart = bound.max(0.5).ln() - mu;
        if sigma == 0.0 { f64::from(u8::from(apart >= 0.0)) } else { below(apart / sigma) }
    };
    let (first, last) = (*some.start(), *some.end());
    let mut sum = 0.0;
    let mut before = 0.0;
    for (at, (bound, count)) in counts.iter().enumerate().skip(first).take(last - first + 1) {
        let until = if at == last { 1.0 } else { up_to(bound + 0.5) };
        sum += count * (until - before).max(LEAST_SHARE).ln();
        before = until;
    }
    sum
}

/// The share of a normal distribution below, to seven digits (Abramowitz and Stegun, 26.2.17).
fn below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let terms = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let series = terms.iter().rev().fold(0.0, |sum, term| t * (term + sum));
    let density = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if x >= 0.0 { 1.0 - density * series } else { density * series }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use rand_distr::{Distribution as _, LogNormal};

    use super::*;

    /// So many lengths drawn as the plan draws them, counted as the server counts them.
    fn drawn(bodies: Bodies, count: u32) -> Lengths {
        let mut chance = StdRng::seed_from_u64(7);
        let (min, max) = (f64::from(bodies.bytes_min), f64::from(bodies.bytes_max));
        let law = LogNormal::new(f64::from(bodies.bytes_median).ln(), bodies.sigma).unwrap();
        let mut counts: Vec<(f64, f64)> = (0..25).map(|at| (f64::from(1 << at), 0.0)).collect();
        let mut sum = 0.0;
        for _ in 0..count {
            let length = law.sample(&mut chance).clamp(min, max).round();
            counts.iter_mut().find(|(bound, _)| length <= *bound).unwrap().1 += 1.0;
            sum += length;
        }
        Lengths { counts, mean: sum / f64::from(count) }
    }

    #[test]
    fn what_was_drawn_is_found_again_within_a_tenth() {
        for (bytes_median, sigma) in [(20, 0.5), (60, 1.0), (300, 0.3), (500, 1.5)] {
            let wanted = Bodies { bytes_min: 10, bytes_median, bytes_max: 8_000, sigma };
            let seen = drawn(wanted, 5_000);
            let found = fit(&seen);
            let ratio = f64::from(found.bytes_median) / f64::from(bytes_median);
            assert!((0.9..1.1).contains(&ratio), "{found:?} is not {wanted:?}");
            assert!((found.sigma - sigma).abs() <= 0.11, "{found:?} is not {wanted:?}");
            let again = drawn(found, 5_000);
            let means = again.mean / seen.mean;
            assert!((0.93..1.07).contains(&means), "{} for {}", again.mean, seen.mean);
        }
    }

    #[test]
    fn messages_that_are_all_alike_have_no_spread() {
        let bodies = Bodies { bytes_min: 64, bytes_median: 100, bytes_max: 128, sigma: 0.0 };
        let found = fit(&drawn(bodies, 100));
        assert_eq!((found.bytes_median, found.sigma.to_bits()), (100, 0.0_f64.to_bits()));
        assert_eq!((found.bytes_min, found.bytes_max), (65, 128));
    }

    #[test]
    fn what_is_shorter_or_longer_than_a_scenario_allows_is_brought_within() {
        let one = |bound: f64, mean: f64| fit(&Lengths { counts: vec![(bound, 3.0)], mean });
        assert_eq!(one(1.0, 1.0).bytes_median, BODY_BYTES_MIN);
        assert_eq!(one(1e6, 1e6).bytes_median, BODY_BYTES_MAX);
    }

    #[test]
    fn the_normal_distribution_has_its_known_shares() {
        for (x, share) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.959_964, 0.025), (6.0, 1.0)] {
            assert!((below(x) - share).abs() < 2e-7, "{x}: {}", below(x));
        }
    }
}
