//! Two things measured in turn, A B A B: by how much they differ, how sure that is, and whether it is
//! more than the same thing differs from itself.
//!
//! Neighbours: `compare` runs the pairs and asks here. All is done on logarithms, so that half and
//! double are equally far; the interval is from ranks, so that one run beside a compiler cannot widen
//! or move it much, and it is exact for as few pairs as there are.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

use super::order::{Spread, median, quantile, spread};

/// Pairs below which no interval of 95 % exists: with five, chance alone puts all on one side once
/// in sixteen times.
pub const PAIRS_MIN: usize = 6;
/// Pairs that one comparison can hold.
pub const PAIRS_MAX: usize = 100;
/// Outside of both ends together.
const OUTSIDE: f64 = 0.05;
/// Draws of a bootstrap.
const DRAWS: usize = 1_000;

/// What came of it, where less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B took less.
    Faster,
    /// B took more.
    Slower,
    /// Neither the interval nor the noise allows to tell them apart.
    NoDifference,
    /// There are too few pairs to say anything.
    TooFew,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::NoDifference => "no difference found",
            Self::TooFew => "too few pairs for a verdict",
        }
    }
}

/// Pairs, compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// How many pairs.
    pub pairs: usize,
    /// How A's lie.
    pub a: Spread,
    /// How B's lie.
    pub b: Spread,
    /// B over A: the middle of all means of two pairs' ratios (Hodges and Lehmann).
    pub ratio: f64,
    /// The ratio is within these, 19 times in 20 at least; none for too few pairs.
    pub interval: Option<[f64; 2]>,
    /// B's median over A's, and its interval by a bootstrap over pairs.
    pub medians: [f64; 3],
    /// By how much, as a share, two equal things would seem to differ, 19 times in 20.
    pub noise_floor: Option<f64>,
    /// What to make of it.
    pub verdict: Verdict,
}

/// Compares pairs (A, B) in the order in which they were measured; none without any usable pair.
pub fn paired(pairs: &[(f64, f64)], seed: u64) -> Option<Paired> {
    let usable = |it: &&(f64, f64)| it.0 > 0.0 && it.1 > 0.0 && (it.0 + it.1).is_finite();
    let pairs: Vec<(f64, f64)> = pairs.iter().filter(usable).take(PAIRS_MAX).copied().collect();
    let a: Vec<f64> = pairs.iter().map(|it| it.0).collect();
    let b: Vec<f64> = pairs.iter().map(|it| it.1).collect();
    let logs: Vec<f64> = pairs.iter().map(|it| (it.1 / it.0).ln()).collect();
    let mut means = means_of_two(&logs);
    means.sort_by(f64::total_cmp);
    let ratio = median(&means)?.exp();
    let interval = rank_interval(&means, pairs.len()).map(|it| it.map(f64::exp));
    let mut chance = StdRng::seed_from_u64(seed);
    let noise_floor = noise_floor(&a, &b, &mut chance);
    let verdict = match (interval, noise_floor) {
        (Some([low, high]), Some(floor)) => {
            let beyond = (ratio.ln().abs().exp() - 1.0) > floor;
            match (low > 1.0 && beyond, high < 1.0 && beyond) {
                (true, _) => Verdict::Slower,
                (_, true) => Verdict::Faster,
                _ => Verdict::NoDifference,
            }
        }
        _ => Verdict::TooFew,
    };
    let medians = bootstrap(&pairs, &mut chance)?;
    Some(Paired {
        pairs: pairs.len(),
        a: spread(&a)?,
        b: spread(&b)?,
        ratio,
        interval,
        medians,
        noise_floor,
        verdict,
    })
}

/// The means of every two values, each with itself too (Walsh).
fn means_of_two(values: &[f64]) -> Vec<f64> {
    let mut means = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (at, one) in values.iter().enumerate() {
        means.extend(values[at..].iter().map(|other| f64::midpoint(*one, *other)));
    }
    means
}

/// The upper one of the middle; without sorting, since this is asked a thousand times.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    let at = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(at, f64::total_cmp).1)
}

/// The ends of the signed-rank test's 95 %, exactly.
fn rank_interval(means: &[f64], count: usize) -> Option<[f64; 2]> {
    let cut = rank_cut(count)?;
    Some([means[cut], means[means.len() - 1 - cut]])
}

/// The largest sum of signed ranks that chance stays at or below less often than 1 in 40.
fn rank_cut(count: usize) -> Option<usize> {
    let sums = count * (count + 1) / 2 + 1;
    // How likely each sum of a random subset of the ranks is.
    let mut likely = vec![0.0; sums];
    likely[0] = 1.0;
    for rank in 1..=count {
        for sum in (0..sums).rev() {
            let with = if sum >= rank { likely[sum - rank] } else { 0.0 };
            likely[sum] = f64::midpoint(likely[sum], with);
        }
    }
    let mut below = 0.0;
    let fits = |it: &&f64| {
        below += **it;
        below <= OUTSIDE / 2.0
    };
    likely.iter().take_while(fits).count().checked_sub(1)
}

/// What equal things would show: neighbours on the same side differ as much as the two of a pair
/// would if nothing had changed. A steady drift moves every pair by half of what it moves
/// neighbours: that is added.
fn noise_floor(a: &[f64], b: &[f64], chance: &mut StdRng) -> Option<f64> {
    if a.len() < PAIRS_MIN {
        return None;
    }
    let steps = |side: &[f64]| -> Vec<f64> {
        side.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect()
    };
    let steps: Vec<f64> = steps(a).into_iter().chain(steps(b)).collect();
    let mut seen: Vec<f64> = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let draw = |_| {
            let step: f64 = steps[chance.random_range(0..steps.len())];
            if chance.random::<bool>() { step } else { -step }
        };
        let drawn: Vec<f64> = (0..a.len()).map(draw).collect();
        seen.push(middle(means_of_two(&drawn))?.abs());
    }
    let drift = steps.iter().sum::<f64>() / steps.len() as f64 / 2.0;
    Some((quantile(&seen, 1.0 - OUTSIDE)? + drift.abs()).exp() - 1.0)
}

/// Ratio of the medians, and what 95 % of as many pairs drawn again give.
fn bootstrap(pairs: &[(f64, f64)], chance: &mut StdRng) -> Option<[f64; 3]> {
    let ratio = |pairs: &[(f64, f64)]| -> Option<f64> {
        let a: Vec<f64> = pairs.iter().map(|it| it.0).collect();
        let b: Vec<f64> = pairs.iter().map(|it| it.1).collect();
        Some(median(&b)? / median(&a)?)
    };
    let mut seen = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let drawn: Vec<(f64, f64)> =
            (0..pairs.len()).map(|_| pairs[chance.random_range(0..pairs.len())]).collect();
        seen.push(ratio(&drawn)?);
    }
    let (low, high) = (OUTSIDE / 2.0, 1.0 - OUTSIDE / 2.0);
    Some([ratio(pairs)?, quantile(&seen, low)?, quantile(&seen, high)?])
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution as _, Normal};

    use super::*;

    /// Measurements in turn: independent noise, now and then an outlier, and a drift from run to
    /// run.
    fn measure(count: usize, change: f64, noise: f64, drift: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut chance = StdRng::seed_from_u64(seed);
        let normal = Normal::new(0.0, noise).unwrap();
        let mut at = 0.0;
        let mut one = |factor: f64| {
            at += drift;
            let outlier = if chance.random::<f64>() < 0.03 { 0.3 } else { 0.0 };
            8.0 * factor * (normal.sample(&mut chance) + outlier + at).exp()
        };
        (0..count).map(|_| (one(1.0), one(change))).collect()
    }

    fn verdict(pairs: &[(f64, f64)]) -> Verdict {
        paired(pairs, 1).unwrap().verdict
    }

    #[test]
    fn the_cuts_are_those_of_the_printed_tables() {
        // Wilcoxon, two-sided 5 %: 6 → 0, 8 → 3, 10 → 8, 20 → 52, 25 → 89.
        for (count, cut) in [(6, 0), (8, 3), (10, 8), (20, 52), (25, 89)] {
            assert_eq!(rank_cut(count), Some(cut), "{count}");
        }
        assert_eq!((rank_cut(5), rank_cut(0)), (None, None));
    }

    #[test]
    fn ten_percent_more_is_found() {
        for (change, wanted) in [(1.1, Verdict::Slower), (1.0 / 1.1, Verdict::Faster)] {
            let found = (0..200)
                .filter(|seed| verdict(&measure(12, change, 0.025, 0.0, *seed)) == wanted)
                .count();
            assert!(found >= 180, "{found} of 200 {wanted:?}");
        }
    }

    #[test]
    fn a_thing_compared_with_itself_gives_a_verdict_at_most_once_in_twenty() {
        for (pairs, noise, drift) in
            [(6, 0.02, 0.0), (10, 0.05, 0.0), (20, 0.1, 0.0), (10, 0.02, 0.003), (10, 0.005, 0.01)]
        {
            let wrong = (0..300)
                .filter(|seed| {
                    let pairs = measure(pairs, 1.0, noise, drift, *seed);
                    verdict(&pairs) != Verdict::NoDifference
                })
                .count();
            assert!(wrong <= 15, "{wrong} of 300 with {pairs} pairs, {noise}, {drift}");
        }
    }

    #[test]
    fn the_interval_holds_the_truth_nineteen_times_in_twenty() {
        let runs = 500;
        let held = (0..runs).filter(|seed| {
            let it = paired(&measure(9, 1.2, 0.05, 0.0, *seed), 1).unwrap();
            let [low, high] = it.interval.unwrap();
            low <= 1.2 && 1.2 <= high
        });
        let held = held.count();
        assert!(held >= 470, "{held} of {runs}");
    }

    #[test]
    fn five_pairs_say_nothing_and_six_may() {
        let pairs = measure(6, 3.0, 0.01, 0.0, 4);
        assert_eq!(verdict(&pairs[..5]), Verdict::TooFew);
        assert_eq!(verdict(&pairs), Verdict::Slower);
        assert_eq!(paired(&[], 1), None);
        assert_eq!(paired(&[(0.0, 1.0), (1.0, f64::NAN)], 1), None);
    }

    #[test]
    fn without_noise_the_ratio_is_exact_and_the_same_seed_gives_the_same() {
        let pairs = [(10.0, 12.0); 8];
        let it = paired(&pairs, 3).unwrap();
        assert!((it.ratio - 1.2).abs() < 1e-12);
        assert!(it.interval.unwrap().iter().all(|end| (end - 1.2).abs() < 1e-12));
        assert!(it.medians.iter().all(|end| (end - 1.2).abs() < 1e-12));
        assert!(it.noise_floor.unwrap().abs() < 1e-12);
        let noisy = measure(9, 1.0, 0.1, 0.0, 5);
        assert_eq!(paired(&noisy, 7), paired(&noisy, 7));
    }

    #[test]
    fn one_run_beside_a_compiler_does_not_hide_a_change() {
        let mut pairs = measure(12, 1.1, 0.01, 0.0, 8);
        pairs[3].0 *= 1.5;
        assert_eq!(verdict(&pairs), Verdict::Slower);
    }
}
