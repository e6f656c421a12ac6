//! The curve through a search's steps: what grows how with the size.
//!
//! Neighbours: `stats::fit` has the arithmetic. In a room of n people what is said is told n times, so
//! deliveries grow with the square of the users: a law of throughput for a constant load per user would bend
//! the wrong way there. So the power of the size is fitted; Gunther's law stands beside it only where the
//! sizes that held delivered as many for each, and where it bends at all.

use serde_json::{Value, json};

use super::{Step, Tried};
use crate::report::words::number;
use crate::stats::{Power, Scaling, power, scaling};

/// Sizes that differ, below which nothing is drawn through them.
const SIZES_MIN: usize = 3;
/// Deliveries that grow with a power of the size nearer to 1 than this are as many for each.
const STRAIGHT: f64 = 0.05;

/// Deliveries a second over size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// `factor · n^exponent`.
    pub power: Power,
    /// Gunther's law, where the load of each is the same whatever the size, and it bends.
    pub law: Option<Scaling>,
}

/// Through the steps that say something of the server; none through fewer than three sizes. What a run delivered
/// that broke off, or broke a promise, is not what its size delivers.
pub fn of(tried: &[Tried]) -> Option<Curve> {
    let points = |wanted: fn(Step) -> bool| -> Vec<(f64, f64)> {
        let steps = tried.iter().filter(|it| it.whole && wanted(it.came));
        steps.map(|it| (it.size, it.deliveries)).collect()
    };
    let all = points(|came| came != Step::GeneratorBound);
    let power = fitted(&all)?;
    // Of a size that gave way it is not known what it would have delivered.
    let offered = fitted(&points(|came| came == Step::Held));
    let straight = offered.is_some_and(|it| (it.exponent - 1.0).abs() <= STRAIGHT);
    let law = scaling(&all).filter(|it| straight && (it.contention > 0.0 || it.coherence > 0.0));
    Some(Curve { power, law })
}

fn fitted(points: &[(f64, f64)]) -> Option<Power> {
    let mut sizes: Vec<f64> = points.iter().map(|it| it.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    power(points).filter(|_| sizes.len() >= SIZES_MIN)
}

impl Curve {
    /// For a person, where there is none: why.
    pub fn none(tried: &[Tried]) -> String {
        let fits = tried.iter().filter(|it| it.whole && it.came != Step::GeneratorBound);
        let mut sizes: Vec<f64> = fits.map(|it| it.size).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        format!(
            "curve  none: {} of the sizes tried say what they deliver, and it takes {SIZES_MIN}",
            sizes.len()
        )
    }

    /// For a person: the form, and how much it tells.
    pub fn words(&self) -> Vec<String> {
        let Power { factor, exponent, exponent_between: [low, high], told } = self.power;
        let mut lines = vec![format!(
            "curve  deliveries/s = {factor:.4} · n^{exponent:.2} (exponent {low:.2} to {high:.2}), {:.1} % of the \
             variance of the logarithms told",
            told * 100.0
        )];
        if let Some(law) = &self.law {
            let peak = law.peak();
            let peak =
                peak.map_or("no peak".to_owned(), |it| format!("peak at {}", number(it.round())));
            lines.push(format!(
                "curve  {:.4} · n / (1 + {:.3e} · (n − 1) + {:.3e} · n · (n − 1)) deliveries/s, {peak}, {:.1} % of \
                 the variance told",
                law.rate,
                law.contention,
                law.coherence,
                law.told * 100.0
            ));
        }
        lines
    }

    /// `fit` of `capacity.json`.
    pub fn json(&self) -> Value {
        let Power { factor, exponent, exponent_between, told } = self.power;
        let law = self.law.map(|it| {
            json!({ "rate": it.rate, "contention": it.contention, "coherence": it.coherence,
                    "told": it.told, "peak": it.peak() })
        });
        json!({ "factor": factor, "exponent": exponent, "exponent_between": exponent_between,
                "told": told, "law": law })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::limit::Limit;

    fn steps(points: &[(f64, f64, Step)]) -> Vec<Tried> {
        let step = |(size, deliveries, came): &(f64, f64, Step)| Tried {
            size: *size,
            says: String::new(),
            came: *came,
            why: None,
            measured: [1.0; 5],
            deliveries: *deliveries,
            limit: (Limit::Other, String::new()),
            others: None,
            whole: true,
            run: "x".into(),
        };
        points.iter().map(step).collect()
    }

    /// The ramp's own figures: each says as much, and is heard by more the more there are.
    #[test]
    fn a_ramp_whose_deliveries_grow_with_the_square_bends_upward() {
        let ramp = [(1_500.0, 104e3, Step::Held), (2_121.0, 193e3, Step::Held)];
        let third = (3_000.0, 370e3, Step::Broke);
        let it = of(&steps(&[ramp[0], ramp[1], ramp[1], third])).unwrap();
        assert!((1.75..1.9).contains(&it.power.exponent), "{it:?}");
        assert!(it.power.told > 0.99 && it.law.is_none(), "{it:?}");
        let words = it.words().join("\n");
        assert!(words.contains("n^1.8") && words.contains("% of the variance"), "{words}");
        assert_eq!(it.json()["law"], Value::Null);
        // Two sizes, however often; and a generator that was the bottleneck says nothing.
        assert_eq!(of(&steps(&[ramp[0], ramp[1], ramp[1], ramp[1]])), None);
        assert_eq!(of(&steps(&[ramp[0], ramp[1], (3_000.0, 9.0, Step::GeneratorBound)])), None);
    }

    /// It broke off after a tenth of its time: it delivered next to nothing, and that is nobody's curve.
    #[test]
    fn a_run_that_broke_off_or_broke_a_promise_is_no_point_of_the_curve() {
        let sizes = [1_000.0, 1_500.0, 2_000.0, 3_000.0];
        let mut tried = steps(&sizes.map(|n| (n, n * n / 20.0, Step::Held)));
        (tried[3].came, tried[3].deliveries, tried[3].whole) = (Step::Broke, 300.0, false);
        let it = of(&tried).unwrap();
        assert!((it.power.exponent - 2.0).abs() < 1e-9, "{it:?}");
        tried[2].whole = false;
        assert_eq!(of(&tried), None, "two are left");
        let words = Curve::none(&tried);
        assert_eq!(
            words,
            "curve  none: 2 of the sizes tried say what they deliver, and it takes 3"
        );
    }

    #[test]
    fn a_load_that_is_the_same_for_each_has_its_law_only_where_it_bends() {
        let law = Scaling { rate: 10.0, contention: 0.0, coherence: 1e-6, told: 1.0 };
        let held = [100.0, 150.0, 200.0].map(|n| (n, 10.0 * n, Step::Held));
        let straight = of(&steps(&held)).unwrap();
        assert!((straight.power.exponent - 1.0).abs() < 1e-9 && straight.law.is_none());
        let broke = [900.0, 1_500.0].map(|n| (n, law.at(n), Step::Broke));
        let bent = of(&steps(&[held.as_slice(), &broke].concat())).unwrap();
        let found = bent.law.unwrap();
        assert!((found.peak().unwrap() / 1_000.0 - 1.0).abs() < 0.1, "{found:?}");
        assert_eq!(bent.words().len(), 2);
    }
}
