//! What a server is held to: `p90=200ms,p95=500ms,p99=1000ms`.
//!
//! Neighbours: the command line writes it, `search` asks whether a step kept it.

use std::fmt;

/// Percentiles that may be named, in their order.
const NAMES: [&str; 5] = ["p50", "p90", "p95", "p99", "p999"];

/// Upper bounds of percentiles, milliseconds; one at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo([Option<f64>; 5]);

/// Measured percentiles in the order p50, p90, p95, p99, p99.9, milliseconds.
pub type Measured = [f64; 5];

impl Slo {
    /// From text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut bounds = [None; 5];
        for part in text.split(',') {
            let (name, bound) =
                part.trim().split_once('=').ok_or_else(|| format!("`{part}` is not pNN=TIME"))?;
            let at = NAMES.iter().position(|it| *it == name);
            let at = at.ok_or_else(|| format!("`{name}` is none of {}", NAMES.join(", ")))?;
            bounds[at] = Some(milliseconds(bound)?);
        }
        let given: Vec<f64> = bounds.iter().flatten().copied().collect();
        if given.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err("a higher percentile cannot have a lower bound".to_owned());
        }
        Ok(Self(bounds))
    }

    /// The first bound that is broken, in words.
    pub fn broken(&self, measured: &Measured) -> Option<String> {
        let mut all = self.0.iter().zip(measured).zip(NAMES);
        all.find_map(|((bound, is), name)| {
            let bound = (*bound)?;
            (*is > bound).then(|| format!("{name} was {is:.1} ms, above {bound}"))
        })
    }

    /// The percentile that is furthest beyond its bound, or nearest to it where none is: its name, what was
    /// measured of it, its bound.
    pub fn nearest(&self, measured: &Measured) -> (&'static str, f64, f64) {
        let all = (0..NAMES.len()).filter_map(|at| Some((NAMES[at], measured[at], self.0[at]?)));
        let nearest = all.max_by(|a, b| (a.1 / a.2).total_cmp(&(b.1 / b.2)));
        nearest.expect("`parse` leaves one at least")
    }

    /// The highest percentile that is bound, what was measured of it, and its bound.
    pub fn highest(&self, measured: &Measured) -> (&'static str, f64, f64) {
        let all = (0..NAMES.len()).rev();
        let bound = all.filter_map(|at| Some((NAMES[at], measured[at], self.0[at]?)));
        bound.take(1).next().expect("`parse` leaves one at least")
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = self.0.iter().zip(NAMES);
        let bounds = bounds.filter_map(|(bound, name)| Some(format!("{name}={}ms", (*bound)?)));
        to.write_str(&bounds.collect::<Vec<_>>().join(","))
    }
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let bad = || format!("`{text}` is not a time such as 200ms or 1.5s");
    let (number, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1.0),
        (None, Some(number)) => (number, 1_000.0),
        _ => return Err(bad()),
    };
    let value: f64 = number.parse().map_err(|_| bad())?;
    if value > 0.0 && value.is_finite() { Ok(value * factor) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_bounds_are_read_and_the_first_broken_one_is_named() {
        let slo = Slo::parse("p90=200ms, p95=500ms,p99=1s").unwrap();
        assert_eq!(slo.to_string(), "p90=200ms,p95=500ms,p99=1000ms");
        assert_eq!(slo.broken(&[900.0, 200.0, 500.0, 1_000.0, 9_000.0]), None);
        let why = slo.broken(&[1.0, 150.0, 501.0, 2_000.0, 9_000.0]).unwrap();
        assert_eq!(why, "p95 was 501.0 ms, above 500");
        let (name, is, bound) = slo.highest(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(name == "p99" && is < 4.1 && bound > 999.0);
        assert_eq!(slo.nearest(&[1.0, 150.0, 501.0, 2_000.0, 9_000.0]).0, "p99");
        assert_eq!(slo.nearest(&[1.0, 150.0, 5.0, 20.0, 9_000.0]).0, "p90");
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for (text, why) in [
            ("", "not pNN=TIME"),
            ("p98=1s", "none of p50"),
            ("p99=fast", "200ms or 1.5s"),
            ("p99=-1ms", "200ms or 1.5s"),
            ("p50=1s,p99=10ms", "lower bound"),
        ] {
            let error = Slo::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
