//! A latency of one phase over that of another: by the median second, and by all that was measured together.
//!
//! Neighbours: `thresholds` asks where a threshold has `against`. Both are held against the bound, for each misses
//! what the other sees. A quarter of the seconds may be slow, and the median second is as it was; those who waited in
//! them know better, and so does the percentile of all together. That one is moved by a single stall of the host,
//! which is nobody's doing. So *met* needs both; what is beyond the bound by all together is *missed* only where it
//! would be whichever seconds chance had dealt out, and else *unsure*.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::thresholds::{Came, digits};
use crate::recorder::Percentiles;
use crate::scenario::Threshold;
use crate::stats::{median, quantile};

/// Drawings for an interval.
const DRAWINGS: usize = 1_000;
/// An interval that leaves out one in twenty.
const TAIL: f64 = 0.025;
/// Fewer seconds of a phase than this give no interval.
const SECONDS_MIN: usize = 4;
/// Points that stand for what lies between two percentiles of a second.
const STRETCHES: f64 = 4.0;

/// A percentile: its share, and where it stands.
pub type Which = (f64, fn(&Percentiles) -> f64);

/// A phase, or the whole load.
#[derive(Debug)]
pub struct Part {
    /// Its seconds in which something was measured.
    pub seconds: Vec<Percentiles>,
    /// All of it from one histogram, where that was kept.
    pub all: Option<Percentiles>,
}

/// The one over the other, milliseconds; first the phase, then what it is held against.
#[derive(Clone, Debug)]
pub struct Ratio {
    medians: [f64; 2],
    interval: [f64; 2],
    pooled: [f64; 2],
    /// What all together would have been, had chance dealt out the seconds otherwise.
    pooled_drawn: Vec<[f64; 2]>,
    /// The percentile of each second.
    seconds: [Vec<f64>; 2],
}

impl Ratio {
    /// None where one of them measured nothing; or why its seconds tell nothing.
    pub fn of(parts: &[Part; 2], which: Which) -> Result<Option<Self>, String> {
        let each = |part: &Part| part.seconds.iter().map(which.1).collect::<Vec<f64>>();
        let seconds = [each(&parts[0]), each(&parts[1])];
        let [Some(of), Some(over)] = [median(&seconds[0]), median(&seconds[1])] else {
            return Ok(None);
        };
        if over <= 0.0 {
            return Ok(None);
        }
        let pools = [Pool::of(&parts[0].seconds), Pool::of(&parts[1].seconds)];
        let pooled = [0, 1].map(|at| {
            let whole = parts[at].all.filter(|it| it.count > 0).map(|it| which.1(&it));
            whole.unwrap_or_else(|| pools[at].quantile(&vec![1; seconds[at].len()], which.0))
        });
        let [few, others] = [seconds[0].len(), seconds[1].len()];
        if few.min(others) < SECONDS_MIN {
            return Err(format!(
                "its phases have {few} and {others} seconds with something to measure, and a ratio needs \
                 {SECONDS_MIN} of each; it was {} × by all together",
                digits(times(pooled))
            ));
        }
        let mut chance = StdRng::seed_from_u64(few as u64);
        let (mut medians_drawn, mut pooled_drawn) = (Vec::new(), Vec::new());
        for _ in 0..DRAWINGS {
            let drawn = [0, 1].map(|at| draw(&mut chance, &seconds[at], &pools[at], which.0));
            medians_drawn.push(times(drawn.map(|it| it[0])));
            pooled_drawn.push(drawn.map(|it| it[1]));
        }
        let interval = between(&medians_drawn);
        Ok(Some(Self { medians: [of, over], interval, pooled, pooled_drawn, seconds }))
    }

    /// Of the median second, and what chance makes of it.
    pub fn by_median(&self) -> (f64, [f64; 2]) {
        (times(self.medians), self.interval)
    }

    /// Of all together, and what chance makes of it.
    pub fn by_all(&self) -> (f64, [f64; 2]) {
        let drawn: Vec<f64> = self.pooled_drawn.iter().map(|it| times(*it)).collect();
        (times(self.pooled), between(&drawn))
    }

    /// Held against the bound both ways; the worse of the two.
    pub fn came(&self, threshold: &Threshold) -> Came {
        let kept = |pair: &[f64; 2]| keeps(threshold, *pair);
        let [low, high] = self.interval.map(|it| threshold.is_beyond(it));
        let by_median = match (low, high) {
            _ if is_forgiven(threshold, self.medians) => Came::Met,
            (true, true) => Came::Missed,
            (false, false) => Came::Met,
            _ => Came::Unsure,
        };
        let often_kept = self.pooled_drawn.iter().filter(|it| kept(it)).count() as f64;
        let by_all = if kept(&self.pooled) {
            Came::Met
        } else if often_kept < TAIL * DRAWINGS as f64 {
            Came::Missed
        } else {
            Came::Unsure
        };
        match (by_median, by_all) {
            (Came::Missed, _) | (_, Came::Missed) => Came::Missed,
            (Came::Met, Came::Met) => Came::Met,
            _ => Came::Unsure,
        }
    }

    /// What was seen.
    pub fn words(&self, threshold: &Threshold) -> String {
        let (median, [low, high]) = self.by_median();
        let (all, [all_low, all_high]) = self.by_all();
        let [of, over] = self.pooled.map(digits);
        let beyond = |at: usize| {
            let all = &self.seconds[at];
            let beyond = all.iter().filter(|it| !keeps(threshold, [**it, self.medians[1]])).count();
            format!("{beyond} of {}", all.len())
        };
        let name = |phase: &Option<String>| phase.clone().unwrap_or_else(|| "the load".to_owned());
        let (phase, against) = (name(&threshold.phase), name(&threshold.against));
        format!(
            "{} × ({} to {}) by the median second, {} × ({} to {}) by all together ({of} over {over} ms); beside \
             the median second of {against}, {} seconds of {phase} and {} of {against} were beyond it",
            digits(median),
            digits(low),
            digits(high),
            digits(all),
            digits(all_low),
            digits(all_high),
            beyond(0),
            beyond(1),
        )
    }
}

fn times([of, over]: [f64; 2]) -> f64 {
    of / over.max(f64::MIN_POSITIVE)
}

fn between(drawn: &[f64]) -> [f64; 2] {
    [TAIL, 1.0 - TAIL].map(|share| quantile(drawn, share).unwrap_or_default())
}

fn is_forgiven(threshold: &Threshold, [of, over]: [f64; 2]) -> bool {
    threshold.unless_within_ms.is_some_and(|within| of - over <= within)
}

fn keeps(threshold: &Threshold, pair: [f64; 2]) -> bool {
    is_forgiven(threshold, pair) || !threshold.is_beyond(times(pair))
}

/// As many seconds as there are, drawn from them: the median of their percentiles, and that of all together.
fn draw(chance: &mut StdRng, seconds: &[f64], pool: &Pool, share: f64) -> [f64; 2] {
    let mut often = vec![0; seconds.len()];
    let drawn = (0..seconds.len()).map(|_| {
        let at = chance.random_range(0..seconds.len());
        often[at] += 1;
        seconds[at]
    });
    let middle = median(&drawn.collect::<Vec<f64>>()).unwrap_or_default();
    [middle, pool.quantile(&often, share)]
}

/// Latencies of several seconds together, as far as each second's percentiles tell: straight lines between them. It
/// says what other seconds would have made of the whole; what the whole was is in its own histogram.
#[derive(Debug)]
struct Pool {
    /// The slowest first: milliseconds, of which second, how many.
    points: Vec<(f64, usize, f64)>,
    counts: Vec<f64>,
}

impl Pool {
    fn of(seconds: &[Percentiles]) -> Self {
        let mut points = Vec::new();
        for (at, it) in seconds.iter().enumerate() {
            let count = it.count as f64;
            points.push((it.p50_ms, at, 0.5 * count));
            let knots = [
                (it.p50_ms, 0.5),
                (it.p90_ms, 0.9),
                (it.p95_ms, 0.95),
                (it.p99_ms, 0.99),
                (it.p999_ms, 0.999),
                (it.max_ms, 1.0),
            ];
            for pair in knots.windows(2) {
                let ((low, from), (high, to)) = (pair[0], pair[1]);
                let weight = (to - from) * count / STRETCHES;
                // A percentile that is not there is not below the one before it.
                let rises = (high - low).max(0.0) / STRETCHES;
                let some = (1..=STRETCHES as u32).map(|it| low + rises * f64::from(it));
                points.extend(some.map(|ms| (ms, at, weight)));
            }
        }
        points.sort_by(|a, b| b.0.total_cmp(&a.0));
        Self { points, counts: seconds.iter().map(|it| it.count as f64).collect() }
    }

    /// The percentile of so many of each.
    fn quantile(&self, often: &[u32], share: f64) -> f64 {
        let all: f64 = self.counts.iter().zip(often).map(|(count, n)| count * f64::from(*n)).sum();
        // Rounding must not make the slowest hundredth a little more than one.
        let slower = all * (1.0 - share) * (1.0 + 1e-9);
        let mut above = 0.0;
        for (ms, at, weight) in &self.points {
            above += weight * f64::from(often[*at]);
            if above > slower {
                return *ms;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Figure;

    const P99: Which = (0.99, |it| it.p99_ms);

    fn threshold(within: Option<f64>) -> Threshold {
        Threshold {
            name: "others-unmoved".into(),
            figure: Figure::DeliveryP99Ms,
            rooms: None,
            phase: Some("storm".into()),
            against: Some("calm".into()),
            at_most: Some(1.1),
            at_least: None,
            unless_within_ms: within,
        }
    }

    /// A second whose slowest hundredth took so long; half of the rest a quarter of it.
    fn second(p99_ms: f64) -> Percentiles {
        let at = |share: f64| share * p99_ms;
        Percentiles {
            count: 500,
            p50_ms: at(0.25),
            p90_ms: at(0.6),
            p95_ms: at(0.8),
            p99_ms,
            p999_ms: at(1.02),
            max_ms: at(1.05),
            mean_ms: at(0.3),
        }
    }

    fn part(p99: &[f64]) -> Part {
        Part { seconds: p99.iter().map(|it| second(*it)).collect(), all: None }
    }

    /// Seconds of 3.9 to 4.1 ms, so many of them slow.
    fn with_slow(seconds: usize, slow: usize, ms: f64) -> Part {
        let quiet = [4.0, 3.9, 4.1, 4.0, 3.95, 4.05];
        let all: Vec<f64> =
            (0..seconds).map(|at| if at < slow { ms } else { quiet[at % 6] }).collect();
        part(&all)
    }

    fn came(storm: Part, calm: Part) -> (Came, String) {
        let it = Ratio::of(&[storm, calm], P99).unwrap().unwrap();
        (it.came(&threshold(None)), it.words(&threshold(None)))
    }

    /// The median second is as it was, and one in four of those who waited took a second.
    #[test]
    fn a_quarter_of_the_seconds_that_are_slow_is_missed_though_the_median_second_is_unmoved() {
        let (it, was) = came(with_slow(20, 5, 1_000.0), with_slow(15, 0, 0.0));
        assert_eq!(it, Came::Missed, "{was}");
        assert!(was.starts_with("1 × (") || was.starts_with("1.0"), "{was}");
        // The slowest hundredth of all is the slowest four of a hundred in those seconds.
        assert!(was.contains("by all together (850 over 4"), "{was}");
        let seconds = "5 of 20 seconds of storm and 0 of 15 of calm were beyond it";
        assert!(was.ends_with(seconds), "{was}");
        for slow in 4..=20 {
            let (it, was) = came(with_slow(20, slow, 1_000.0), with_slow(15, 0, 0.0));
            assert_eq!(it, Came::Missed, "{slow}: {was}");
        }
    }

    /// One second of twenty may be the host's doing: it is no pass, and no verdict on the server.
    #[test]
    fn a_single_stall_while_it_storms_is_neither_met_nor_missed_and_is_told() {
        for slow in 1..=2 {
            let (it, was) = came(with_slow(20, slow, 1_000.0), with_slow(15, 0, 0.0));
            assert_eq!(it, Came::Unsure, "{was}");
            assert!(was.contains(&format!("{slow} of 20 seconds of storm")), "{was}");
        }
    }

    #[test]
    fn a_single_stall_of_the_calm_hides_no_storm_and_makes_none() {
        let (it, was) = came(with_slow(20, 0, 0.0), with_slow(15, 1, 1_000.0));
        assert_eq!(it, Came::Met, "{was}");
        assert!(was.contains("0 of 20 seconds of storm and 1 of 15 of calm"), "{was}");
        // All of the storm is half as slow again, and calm's one stall is slower than that.
        let (it, was) = came(part(&[6.0; 20]), with_slow(15, 1, 1_000.0));
        assert_eq!(it, Came::Missed, "{was}");
        // Stalls in both, as on a host that takes cores away: a storm is not seen, and not excluded.
        let (it, was) = came(with_slow(20, 5, 1_000.0), with_slow(15, 2, 1_000.0));
        assert_ne!(it, Came::Missed, "{was}");
    }

    #[test]
    fn seconds_that_are_as_they_were_are_met_both_ways() {
        let (it, was) = came(with_slow(20, 0, 0.0), with_slow(15, 0, 0.0));
        assert_eq!(it, Came::Met, "{was}");
        assert!(was.contains("0 of 20 seconds of storm and 0 of 15 of calm"), "{was}");
    }

    /// What one histogram says of the whole goes over what is put together of seconds.
    #[test]
    fn the_whole_is_by_its_own_histogram_where_it_has_one() {
        let whole = |p99_ms: f64| Some(second(p99_ms));
        let storm = Part { all: whole(4.6), ..with_slow(20, 0, 0.0) };
        let calm = Part { all: whole(4.0), ..with_slow(15, 0, 0.0) };
        let it = Ratio::of(&[storm, calm], P99).unwrap().unwrap();
        assert!((it.by_all().0 - 1.15).abs() < 1e-9);
        assert_eq!(it.came(&threshold(None)), Came::Unsure, "{}", it.words(&threshold(None)));
        assert_eq!(it.came(&threshold(Some(1.0))), Came::Met, "0.6 ms are within one");
    }

    #[test]
    fn too_few_seconds_tell_nothing_and_none_at_all_are_none() {
        let why = Ratio::of(&[part(&[9.0; 3]), part(&[4.0; 7])], P99).unwrap_err();
        assert!(
            why.contains("3 and 7 seconds") && why.ends_with("2.25 × by all together"),
            "{why}"
        );
        assert!(Ratio::of(&[part(&[]), part(&[4.0; 7])], P99).unwrap().is_none());
    }

    #[test]
    fn what_seconds_say_together_is_what_their_percentiles_say() {
        let pool = Pool::of(&[second(4.0), second(4.0), second(1_000.0)]);
        let near = |often: &[u32], share: f64, ms: f64| {
            let is = pool.quantile(often, share);
            assert!((is / ms - 1.0).abs() < 0.01, "{is} is not {ms}");
        };
        near(&[1, 1, 0], 0.99, 4.0);
        near(&[3, 0, 0], 0.9, 2.4);
        near(&[0, 0, 2], 0.95, 800.0);
        // A third is slow: its slowest 3 % are the whole's slowest hundredth.
        let mixed = pool.quantile(&[1, 1, 1], 0.99);
        assert!((800.0..=1_000.0).contains(&mixed), "{mixed}");
        let middle = pool.quantile(&[1, 1, 1], 0.5);
        assert!((1.7..=2.4).contains(&middle), "{middle}");
    }
}
