//! A mean that forgets by time, not by count: seconds without a value do not stretch its memory.
//!
//! Neighbours: `report` smooths volume by it.

/// The mean so far.
#[derive(Clone, Copy, Debug)]
pub struct Ema {
    half_life: f64,
    /// Mean and when it was last moved.
    at: Option<(f64, f64)>,
}

impl Ema {
    /// After `half_life` without news, a value weighs half.
    pub fn new(half_life: f64) -> Self {
        Self { half_life: half_life.max(f64::MIN_POSITIVE), at: None }
    }

    /// A value that held from the last moment to this one; the mean now. The first is the mean.
    pub fn add(&mut self, time: f64, value: f64) -> f64 {
        let mean = self.at.map_or(value, |(mean, before)| {
            let kept = 0.5_f64.powf((time - before).max(0.0) / self.half_life);
            mean * kept + value * (1.0 - kept)
        });
        self.at = Some((mean, time));
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_half_life_half_is_forgotten() {
        let mut ema = Ema::new(10.0);
        assert!((ema.add(0.0, 100.0) - 100.0).abs() < 1e-9);
        assert!((ema.add(10.0, 0.0) - 50.0).abs() < 1e-9);
        assert!((ema.add(30.0, 0.0) - 12.5).abs() < 1e-9);
    }

    #[test]
    fn what_is_remembered_depends_on_time_and_not_on_how_often_one_looks() {
        let (mut often, mut once) = (Ema::new(5.0), Ema::new(5.0));
        often.add(0.0, 8.0);
        once.add(0.0, 8.0);
        let steps = (1..=100).map(|at| often.add(f64::from(at) * 0.1, 2.0));
        let last = steps.last().unwrap();
        assert!((last - once.add(10.0, 2.0)).abs() < 1e-9);
    }
}
