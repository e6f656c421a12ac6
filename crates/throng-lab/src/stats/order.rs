//! Order statistics: medians, quantiles, spreads, boxes.
//!
//! Neighbours: the other rooms of `stats`. Values that are not numbers are left out.

/// Sorted, without what is not a number.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|it| it.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value below which a share of them lies, linear between neighbours.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    of_sorted(&sorted(values), share)
}

fn of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// The one in the middle, or the mean of the two.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// How values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// A quarter is below.
    pub lower: f64,
    /// Half is below.
    pub median: f64,
    /// Three quarters are below.
    pub upper: f64,
    /// The largest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// Of a sample: divided by one less than there are. Zero for one.
    pub deviation: f64,
}

/// How these lie; none when there are none.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let sorted = sorted(values);
    let count = sorted.len();
    let mean = sorted.iter().sum::<f64>() / count.max(1) as f64;
    let squares: f64 = sorted.iter().map(|it| (it - mean).powi(2)).sum();
    Some(Spread {
        count,
        min: *sorted.first()?,
        lower: of_sorted(&sorted, 0.25)?,
        median: of_sorted(&sorted, 0.5)?,
        upper: of_sorted(&sorted, 0.75)?,
        max: *sorted.last()?,
        mean,
        deviation: (squares / (count.max(2) - 1) as f64).sqrt(),
    })
}

/// Values of one stretch of something else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Where it begins; part of it.
    pub from: f64,
    /// Where it ends; part of it in the last bin only.
    pub to: f64,
    /// How the values lie.
    pub spread: Spread,
}

/// Cuts points (across, value) into this many bins of equal width from the smallest across to the
/// largest; bins without a point are left out.
pub fn bins(points: &[(f64, f64)], count: usize) -> Vec<Bin> {
    let across: Vec<f64> = points.iter().map(|it| it.0).collect();
    let Some(whole) = spread(&across) else { return Vec::new() };
    let count = count.max(1);
    // Where all are at one place, that place is the one bin.
    let width = if whole.max > whole.min { (whole.max - whole.min) / count as f64 } else { 1.0 };
    let mut values = vec![Vec::new(); count];
    for (across, value) in points.iter().filter(|it| it.0.is_finite()) {
        let at = ((across - whole.min) / width) as usize;
        values[at.min(count - 1)].push(*value);
    }
    let bin = |(at, values): (usize, &Vec<f64>)| {
        let from = whole.min + at as f64 * width;
        Some(Bin { from, to: from + width, spread: spread(values)? })
    };
    values.iter().enumerate().filter_map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(is: f64, wanted: f64) {
        assert!((is - wanted).abs() < 1e-9, "{is} is not {wanted}");
    }

    #[test]
    fn medians_and_quartiles_of_known_sets_are_known() {
        near(median(&[3.0, 1.0, 2.0]).unwrap(), 2.0);
        near(median(&[4.0, 1.0, 2.0, 3.0]).unwrap(), 2.5);
        near(quantile(&[0.0, 10.0], 0.9).unwrap(), 9.0);
        assert_eq!(median(&[]), None);
        near(median(&[f64::NAN, 7.0]).unwrap(), 7.0);
        let it = spread(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        near(it.mean, 5.0);
        near(it.deviation, (32.0_f64 / 7.0).sqrt());
        near(it.min, 2.0);
        near(it.lower, 4.0);
        near(it.upper, 5.5);
        near(it.max, 9.0);
        near(spread(&[3.0]).unwrap().deviation, 0.0);
    }

    #[test]
    fn bins_hold_every_point_once_and_the_largest_in_the_last() {
        let points: Vec<(f64, f64)> = (0..=100).map(|at| (f64::from(at), f64::from(at))).collect();
        let bins = bins(&points, 4);
        assert_eq!(bins.iter().map(|it| it.spread.count).collect::<Vec<_>>(), [25, 25, 25, 26]);
        near(bins[0].spread.median, 12.0);
        near(bins[3].to, 100.0);
        near(bins[3].spread.max, 100.0);
    }

    #[test]
    fn an_empty_bin_is_left_out_and_one_place_is_one_bin() {
        let apart = bins(&[(0.0, 1.0), (10.0, 2.0)], 5);
        assert_eq!(apart.len(), 2);
        let one = bins(&[(3.0, 1.0), (3.0, 2.0)], 5);
        assert_eq!((one.len(), one[0].spread.count), (1, 2));
        assert!(bins(&[], 5).is_empty());
    }
}
