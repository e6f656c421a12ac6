//! Whether something climbs: the slope of a long series of points, with its interval.
//!
//! Neighbours: a soak asks it of memory, descriptors, files and latency. What is measured each second is not
//! independent from one second to the next, and has outliers: so the points are put into blocks, each
//! block is its median, and the slope is the median of the slopes between every two blocks (Theil and
//! Sen). The interval is Sen's, from Kendall's ranks: it supposes no shape of the noise, only that the
//! blocks are independent of each other.

use super::order::{median, quantile};

/// Blocks that a series is cut into.
pub const BLOCKS: usize = 24;
/// Of the normal distribution: an interval that leaves out one in twenty.
const Z: f64 = 1.959_964;

/// How fast something climbs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// For each step across.
    pub slope: f64,
    /// The slope is within these, 19 times in 20.
    pub between: [f64; 2],
    /// How many blocks had a point.
    pub blocks: usize,
}

/// Of points (across, value), sorted by across. None where fewer than six blocks have a point: then the
/// interval would be all that was seen.
pub fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let blocks = blocks(points);
    if blocks.len() < 6 {
        return None;
    }
    let mut slopes = Vec::with_capacity(BLOCKS * BLOCKS / 2);
    for (at, (x, y)) in blocks.iter().enumerate() {
        slopes.extend(blocks[at + 1..].iter().map(|later| (later.1 - y) / (later.0 - x)));
    }
    let n = blocks.len() as f64;
    // Kendall's: how far the count of rising pairs strays by chance.
    let strays = Z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let share = strays / 2.0 / (slopes.len() as f64 - 1.0).max(1.0);
    let end = |share: f64| quantile(&slopes, share);
    let between = [end(0.5 - share)?, end(0.5 + share)?];
    Some(Trend { slope: median(&slopes)?, between, blocks: blocks.len() })
}

/// The median of each stretch of equal length across, at the median of its places; stretches without a point
/// are left out.
fn blocks(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let width = (last.0 - first.0) / BLOCKS as f64;
    if width <= 0.0 {
        return Vec::new();
    }
    let mut blocks = vec![(Vec::new(), Vec::new()); BLOCKS];
    for (x, y) in points.iter().filter(|it| it.0.is_finite() && it.1.is_finite()) {
        let block = &mut blocks[(((x - first.0) / width) as usize).min(BLOCKS - 1)];
        block.0.push(*x);
        block.1.push(*y);
    }
    blocks.iter().filter_map(|(x, y)| Some((median(x)?, median(y)?))).collect()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// A point a second.
    fn series(seconds: u32, mut value: impl FnMut(f64) -> f64) -> Vec<(f64, f64)> {
        (0..seconds).map(|x| (f64::from(x), value(f64::from(x)))).collect()
    }

    #[test]
    fn a_slope_without_noise_is_found_exactly() {
        let it = trend(&series(2_400, |x| 7.0 - 0.25 * x)).unwrap();
        assert!((it.slope + 0.25).abs() < 1e-12, "{it:?}");
        assert!(it.between.iter().all(|end| (end + 0.25).abs() < 1e-12), "{it:?}");
        assert_eq!(it.blocks, BLOCKS);
    }

    #[test]
    fn what_stands_still_has_no_slope_and_no_interval() {
        let it = trend(&series(600, |_| 42.0)).unwrap();
        assert_eq!((it.slope, it.between), (0.0, [0.0, 0.0]));
    }

    #[test]
    fn outliers_in_a_third_of_the_seconds_do_not_move_it() {
        let it = trend(&series(2_400, |x| if x % 3.0 == 0.0 { 1e6 } else { 2.0 * x })).unwrap();
        assert!((it.slope - 2.0).abs() < 0.01, "{it:?}");
    }

    #[test]
    fn too_few_or_all_at_one_place_have_none() {
        assert_eq!(trend(&[]), None);
        assert_eq!(trend(&series(5, |x| x)), None);
        assert_eq!(trend(&[(1.0, 2.0); 50]), None);
    }

    /// Noise that remembers some ten seconds, as memory and latency do; the known slope is in the
    /// interval about as often as is said.
    #[test]
    fn the_interval_holds_the_known_slope_nineteen_times_in_twenty() {
        let (seed, runs, known) = (3, 400, 0.01);
        let mut chance = StdRng::seed_from_u64(seed);
        let held = (0..runs).filter(|_| {
            let mut noise = 0.0;
            let points = series(4_800, |x| {
                noise = 0.9 * noise + (0..6).map(|_| chance.random::<f64>() - 0.5).sum::<f64>();
                known * x + noise
            });
            let [low, high] = trend(&points).unwrap().between;
            low <= known && known <= high
        });
        let held = held.count();
        assert!(held >= runs * 91 / 100, "{held} of {runs}, seed {seed}");
    }
}
