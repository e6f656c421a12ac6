//! Curves by least squares: a line with the interval of its slope, a power, and the Universal Scalability Law
//! with its knee.
//!
//! Neighbours: `capacity` fits what it measured.

/// `y = at_zero + slope · x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// For each step across.
    pub slope: f64,
    /// Where it meets the upright axis.
    pub at_zero: f64,
    /// The slope is within these, 19 times in 20, if the noise is independent from point to point.
    pub slope_between: [f64; 2],
    /// How many points there were.
    pub count: usize,
}

/// The line through points; three at least, not all at one place.
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let count = points.len();
    if count < 3 {
        return None;
    }
    let n = count as f64;
    let mean_x = points.iter().map(|it| it.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|it| it.1).sum::<f64>() / n;
    let square: f64 = points.iter().map(|it| (it.0 - mean_x).powi(2)).sum();
    let product: f64 = points.iter().map(|it| (it.0 - mean_x) * (it.1 - mean_y)).sum();
    if square <= 0.0 {
        return None;
    }
    let slope = product / square;
    let at_zero = mean_y - slope * mean_x;
    let left: f64 = points.iter().map(|it| (it.1 - at_zero - slope * it.0).powi(2)).sum();
    let error = (left / (n - 2.0) / square).sqrt() * student(count - 2);
    Some(Line { slope, at_zero, slope_between: [slope - error, slope + error], count })
}

/// Student's t for 95 % between both ends, by degrees of freedom.
pub fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    match freedom {
        0 => f64::INFINITY,
        1..=30 => TABLE[freedom - 1],
        // Cornish and Fisher's first term: too little by 0.15 % at 31, by less than 0.1 % from 38 on.
        _ => 1.959_964 + 2.372_3 / freedom as f64,
    }
}

/// `y = factor · x^exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    /// Of one.
    pub factor: f64,
    /// 1 is a straight line, 2 the square.
    pub exponent: f64,
    /// The exponent is within these, 19 times in 20, if the noise is independent from point to point.
    pub exponent_between: [f64; 2],
    /// How much of the variance of the logarithms is told by it, 1 at best.
    pub told: f64,
}

/// The line through the logarithms: least squares of the relative error. Points that are not above zero have
/// none and are left out; three others at least, not all at one place.
pub fn power(points: &[(f64, f64)]) -> Option<Power> {
    let above = points.iter().filter(|it| it.0 > 0.0 && it.1 > 0.0);
    let logs: Vec<(f64, f64)> = above.map(|it| (it.0.ln(), it.1.ln())).collect();
    let line = line(&logs)?;
    let mean = logs.iter().map(|it| it.1).sum::<f64>() / logs.len() as f64;
    let left: f64 = logs.iter().map(|it| (it.1 - line.at_zero - line.slope * it.0).powi(2)).sum();
    let all: f64 = logs.iter().map(|it| (it.1 - mean).powi(2)).sum();
    Some(Power {
        factor: line.at_zero.exp(),
        exponent: line.slope,
        exponent_between: line.slope_between,
        told: if all > 0.0 { 1.0 - left / all } else { 1.0 },
    })
}

/// Gunther's law: `X(n) = rate · n / (1 + contention · (n − 1) + coherence · n · (n − 1))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// What one adds when it is alone.
    pub rate: f64,
    /// The share that waits for its turn.
    pub contention: f64,
    /// What each costs each other.
    pub coherence: f64,
    /// How much of the variance is told by it, 1 at best.
    pub told: f64,
}

impl Scaling {
    /// Throughput at this load.
    pub fn at(&self, n: f64) -> f64 {
        self.rate * n / (1.0 + self.contention * (n - 1.0) + self.coherence * n * (n - 1.0))
    }

    /// The load at which throughput is highest; none when it only rises.
    pub fn peak(&self) -> Option<f64> {
        let over = (1.0 - self.contention).max(0.0) / self.coherence;
        (self.coherence > 0.0).then(|| over.sqrt().max(1.0))
    }
}

/// Fits the law to (load, throughput): least squares of the *relative* error, so that small loads
/// weigh as much as large ones. `n / X = a + b · n + c · n²` is linear in its coefficients; those
/// that come out below zero stand for nothing a server does, are set to zero and the others fitted
/// again.
pub fn scaling(points: &[(f64, f64)]) -> Option<Scaling> {
    let points: Vec<(f64, f64)> =
        points.iter().copied().filter(|it| it.0 > 0.0 && it.1 > 0.0).collect();
    let mut kinds: Vec<f64> = points.iter().map(|it| it.0).collect();
    kinds.sort_by(f64::total_cmp);
    kinds.dedup();
    // n / X = (1 − contention) / rate + (contention − coherence) / rate · n + coherence / rate · n²
    let terms: [fn(f64) -> f64; 3] = [|_| 1.0, |n| (n - 1.0).max(0.0), |n| n * (n - 1.0).max(0.0)];
    // In these terms: 1 / rate, contention / rate, coherence / rate.
    let mut used = vec![0, 1, 2];
    used.truncate(kinds.len());
    let found = loop {
        let found = least_squares(&points, &used, terms)?;
        match used.iter().zip(&found).filter(|(term, _)| **term > 0).find(|(_, it)| **it < 0.0) {
            Some((term, _)) => {
                let term = *term;
                used.retain(|it| *it != term);
            }
            None => break found,
        }
    };
    let mut all = [0.0; 3];
    used.iter().zip(found).for_each(|(term, it)| all[*term] = it);
    let [alone, contention, coherence] = all;
    if alone <= 0.0 {
        return None;
    }
    let rate = 1.0 / alone;
    let mut scaling =
        Scaling { rate, contention: contention * rate, coherence: coherence * rate, told: 0.0 };
    let mean = points.iter().map(|it| it.1).sum::<f64>() / points.len() as f64;
    let left: f64 = points.iter().map(|it| (it.1 - scaling.at(it.0)).powi(2)).sum();
    let all: f64 = points.iter().map(|it| (it.1 - mean).powi(2)).sum();
    scaling.told = if all > 0.0 { 1.0 - left / all } else { 1.0 };
    Some(scaling)
}

/// Solves the normal equations for these terms; each row is weighed by X / n, so that its error is
/// relative.
fn least_squares(
    points: &[(f64, f64)],
    used: &[usize],
    terms: [fn(f64) -> f64; 3],
) -> Option<Vec<f64>> {
    let size = used.len();
    if size == 0 {
        return None;
    }
    // Loads of thousands squared beside ones would leave few digits: each column has its own unit.
    let largest = points.iter().map(|it| it.0).fold(1.0, f64::max);
    let units: Vec<f64> = used.iter().map(|term| terms[*term](largest).max(1.0)).collect();
    let mut rows = vec![vec![0.0; size + 1]; size];
    for (n, x) in points {
        let weight = x / n;
        let row: Vec<f64> =
            used.iter().zip(&units).map(|(term, unit)| terms[*term](*n) / unit * weight).collect();
        for (at, one) in row.iter().enumerate() {
            for (other, two) in row.iter().enumerate() {
                rows[at][other] += one * two;
            }
            rows[at][size] += one;
        }
    }
    let solved = solve(rows)?;
    Some(solved.iter().zip(units).map(|(it, unit)| it / unit).collect())
}

/// Gauss, with the largest pivot first.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = rows.len();
    for at in 0..size {
        let pivot = (at..size).max_by(|a, b| rows[*a][at].abs().total_cmp(&rows[*b][at].abs()))?;
        rows.swap(at, pivot);
        if rows[at][at].abs() < 1e-12 {
            return None;
        }
        let (above, below) = rows.split_at_mut(at + 1);
        let pivot = &above[at];
        for row in below {
            let factor = row[at] / pivot[at];
            row.iter_mut().zip(pivot).for_each(|(value, of)| *value -= factor * of);
        }
    }
    let mut solved = vec![0.0; size];
    for at in (0..size).rev() {
        let known: f64 = (at + 1..size).map(|it| rows[at][it] * solved[it]).sum();
        solved[at] = (rows[at][size] - known) / rows[at][at];
    }
    Some(solved)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[test]
    fn a_line_without_noise_is_found_exactly() {
        let points: Vec<(f64, f64)> =
            (0..10).map(|x| (f64::from(x), 3.0 - 0.5 * f64::from(x))).collect();
        let it = line(&points).unwrap();
        assert!((it.slope + 0.5).abs() < 1e-12 && (it.at_zero - 3.0).abs() < 1e-12);
        assert!(it.slope_between[1] - it.slope_between[0] < 1e-9);
        assert_eq!(line(&points[..2]), None);
        assert_eq!(line(&[(1.0, 2.0); 5]), None);
    }

    /// Known from a textbook: five points, slope 0.6, standard error 0.2828.
    #[test]
    fn the_interval_of_a_slope_is_the_textbooks() {
        let it = line(&[(1.0, 2.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.0), (5.0, 5.0)]).unwrap();
        assert!((it.slope - 0.6).abs() < 1e-12);
        let error = 0.8_f64.sqrt() / 10.0_f64.sqrt();
        assert!((it.slope_between[1] - 0.6 - 3.182 * error).abs() < 1e-9);
    }

    #[test]
    fn a_slope_of_noise_holds_zero_in_its_interval_nineteen_times_in_twenty() {
        let seed = 11;
        let mut chance = StdRng::seed_from_u64(seed);
        let runs = 1_000;
        let held = (0..runs).filter(|_| {
            let points: Vec<(f64, f64)> = (0..12)
                .map(|x| (f64::from(x), (0..12).map(|_| chance.random::<f64>()).sum::<f64>()))
                .collect();
            let [low, high] = line(&points).unwrap().slope_between;
            low <= 0.0 && 0.0 <= high
        });
        let held = held.count();
        assert!((920..=980).contains(&held), "{held} of {runs}, seed {seed}");
    }

    #[test]
    fn students_t_goes_on_without_a_step_where_the_table_ends() {
        assert!(student(30) > student(31) && student(30) - student(31) < 0.01);
    }

    /// By tables of seven digits. The worst is where the series begins.
    #[test]
    fn students_t_beyond_the_table_is_off_by_no_more_than_it_says() {
        let off = |freedom: usize, is: f64| student(freedom) / is - 1.0;
        let worst = off(31, 2.039_513_4);
        assert!((-0.001_5..-0.001_4).contains(&worst), "{worst}");
        for (freedom, is) in
            [(38, 2.024_394_2), (40, 2.021_075_4), (60, 2.000_297_8), (120, 1.979_930_4)]
        {
            assert!((-0.001..0.0).contains(&off(freedom, is)), "{freedom}: {}", off(freedom, is));
        }
        assert!(off(1_000, 1.962_339_1).abs() < 1e-5);
    }

    #[test]
    fn a_power_is_found_with_its_exponent_and_how_much_it_tells() {
        let exact: Vec<(f64, f64)> =
            [10.0_f64, 40.0, 90.0, 300.0].map(|n| (n, 0.05 * n.powf(1.9))).to_vec();
        let it = power(&exact).unwrap();
        assert!((it.exponent - 1.9).abs() < 1e-9 && (it.factor / 0.05 - 1.0).abs() < 1e-9);
        assert!(it.told > 0.999_999);
        let seed = 4;
        let mut chance = StdRng::seed_from_u64(seed);
        let noisy: Vec<(f64, f64)> = (1..=40)
            .map(|n| (f64::from(n), f64::from(n * n) * (0.8 + 0.4 * chance.random::<f64>())))
            .collect();
        let it = power(&noisy).unwrap();
        let [low, high] = it.exponent_between;
        assert!(low < 2.0 && 2.0 < high && high - low < 0.3, "{it:?}, seed {seed}");
        assert!(it.told > 0.95 && it.told < 1.0, "{it:?}, seed {seed}");
        assert_eq!(power(&exact[..2]), None);
        assert_eq!(power(&[(1.0, 2.0), (2.0, 0.0), (0.0, 3.0), (3.0, 4.0)]), None);
    }

    #[test]
    fn the_law_is_found_with_its_peak() {
        let law = Scaling { rate: 50.0, contention: 0.02, coherence: 1e-6, told: 1.0 };
        let points: Vec<(f64, f64)> =
            [10.0, 50.0, 100.0, 400.0, 900.0, 1_500.0].map(|n| (n, law.at(n))).to_vec();
        let it = scaling(&points).unwrap();
        assert!((it.rate / law.rate - 1.0).abs() < 1e-6, "{it:?}");
        assert!((it.contention / law.contention - 1.0).abs() < 1e-6, "{it:?}");
        assert!((it.coherence / law.coherence - 1.0).abs() < 1e-6, "{it:?}");
        assert!(it.told > 0.999_999);
        let peak = it.peak().unwrap();
        assert!((peak - (0.98_f64 / 1e-6).sqrt()).abs() < 1.0, "{peak}");
    }

    #[test]
    fn a_server_that_only_rises_has_no_peak_and_no_negative_costs() {
        let seed = 5;
        let mut chance = StdRng::seed_from_u64(seed);
        let points: Vec<(f64, f64)> = (1..=20)
            .map(|n| {
                let n = f64::from(n) * 50.0;
                (n, 30.0 * n * (1.0 + 0.02 * (chance.random::<f64>() - 0.5)))
            })
            .collect();
        let it = scaling(&points).unwrap();
        assert!(it.contention >= 0.0 && it.coherence >= 0.0, "{it:?}, seed {seed}");
        assert!((it.at(500.0) / 15_000.0 - 1.0).abs() < 0.02, "{it:?}, seed {seed}");
        assert!(it.peak().is_none_or(|peak| peak > 1_000.0), "{it:?}, seed {seed}");
    }

    #[test]
    fn with_noise_of_five_percent_the_peak_is_found_within_a_fifth() {
        let law = Scaling { rate: 10.0, contention: 0.001, coherence: 4e-6, told: 1.0 };
        let wanted = law.peak().unwrap();
        for seed in 0..50 {
            let mut chance = StdRng::seed_from_u64(seed);
            let points: Vec<(f64, f64)> = (1..=12)
                .map(|n| {
                    let n = f64::from(n) * 80.0;
                    (n, law.at(n) * (1.0 + 0.1 * (chance.random::<f64>() - 0.5)))
                })
                .collect();
            let peak = scaling(&points).unwrap().peak().unwrap();
            assert!((peak / wanted - 1.0).abs() < 0.2, "{peak} for {wanted}, seed {seed}");
        }
    }

    #[test]
    fn too_few_points_give_what_they_can() {
        assert_eq!(scaling(&[]), None);
        let one = scaling(&[(10.0, 50.0), (10.0, 50.0)]).unwrap();
        assert!((one.at(10.0) - 50.0).abs() < 1e-9 && one.peak().is_none());
    }
}
