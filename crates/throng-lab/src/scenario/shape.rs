//! Phases by name, and how the load runs through them: constant, ramp, steps, spike.
//!
//! Neighbours: a [`Scenario`](super::Scenario) lists phases; `plan` asks its [`Profile`] when so
//! much load will have been offered. Nothing here draws by chance: that is the room's `arrivals`.

use serde::{Deserialize, Serialize};

/// A stretch of the load that has a name in samples and charts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What it is called.
    pub name: String,
    /// How long it lasts.
    pub seconds: f64,
    /// How much of the rooms' `sends_per_second` is said in it.
    #[serde(default, skip_serializing_if = "Shape::is_full")]
    pub load: Shape,
    /// Share of the users that lose their connection in the moment it begins, and come back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reconnect: f64,
    /// Share of the users that read nothing while it lasts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stall: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

/// A share of the full load, over the time of one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The same all the time.
    Constant(f64),
    /// Rises or falls evenly.
    Ramp(Ramp),
    /// One after the other, all equally long.
    Steps(Vec<f64>),
    /// A burst in the middle of something calmer.
    Spike(Spike),
}

/// Rises or falls evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// In the beginning.
    pub from: f64,
    /// At the end.
    pub to: f64,
}

/// A burst.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spike {
    /// Before and after it.
    pub base: f64,
    /// In it.
    pub peak: f64,
    /// When it begins, from the phase's beginning.
    pub at: f64,
    /// How long it lasts.
    pub seconds: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self::Constant(1.0)
    }
}

impl Shape {
    fn is_full(&self) -> bool {
        *self == Self::Constant(1.0)
    }

    /// All shares it names, for the check of their bounds.
    pub fn shares(&self) -> Vec<f64> {
        match self {
            Self::Constant(share) => vec![*share],
            Self::Ramp(Ramp { from, to }) => vec![*from, *to],
            Self::Steps(steps) => steps.clone(),
            Self::Spike(Spike { base, peak, .. }) => vec![*base, *peak],
        }
    }

    fn pieces(&self, seconds: f64) -> Vec<(f64, f64, f64)> {
        match self {
            Self::Constant(share) => vec![(seconds, *share, *share)],
            Self::Ramp(Ramp { from, to }) => vec![(seconds, *from, *to)],
            Self::Steps(steps) => {
                let each = seconds / steps.len().max(1) as f64;
                steps.iter().map(|share| (each, *share, *share)).collect()
            }
            Self::Spike(Spike { base, peak, at, seconds: lasts }) => {
                let at = at.min(seconds);
                let lasts = lasts.min(seconds - at);
                let after = seconds - at - lasts;
                vec![(at, *base, *base), (lasts, *peak, *peak), (after, *base, *base)]
            }
        }
    }
}

/// The load of all phases over time, as straight pieces.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    begins: f64,
    ends: f64,
    from: f64,
    to: f64,
}

impl Profile {
    /// Of phases that follow each other; `None` for none, which is the full load all the time.
    pub fn of(phases: &[Phase]) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut begins = 0.0;
        for phase in phases {
            for (seconds, from, to) in phase.load.pieces(phase.seconds) {
                pieces.push(Piece { begins, ends: begins + seconds, from, to });
                begins += seconds;
            }
        }
        (!phases.is_empty()).then_some(Self { pieces })
    }

    /// When, counted from `now`, as much load will have been offered as the full load is in `full`
    /// seconds; infinite when the phases end before.
    pub fn after(&self, now: f64, full: f64) -> f64 {
        let mut left = full;
        for piece in &self.pieces {
            if piece.ends <= now {
                continue;
            }
            let from = now.max(piece.begins);
            let slope = (piece.to - piece.from) / (piece.ends - piece.begins);
            let share = piece.from + slope * (from - piece.begins);
            let offered = f64::midpoint(share, piece.to) * (piece.ends - from);
            if offered >= left {
                let root = (share * share + 2.0 * slope * left).max(0.0).sqrt();
                return from + 2.0 * left / (share + root);
            }
            left -= offered;
        }
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(shapes: &[(f64, Shape)]) -> Profile {
        let phase = |(seconds, load): &(f64, Shape)| Phase {
            name: "p".into(),
            seconds: *seconds,
            load: load.clone(),
            reconnect: 0.0,
            stall: 0.0,
        };
        Profile::of(&shapes.iter().map(phase).collect::<Vec<_>>()).unwrap()
    }

    /// Moments at which a source that would send ten a second at full load sends.
    fn sends(profile: &Profile) -> Vec<f64> {
        let next = |at: &f64| Some(profile.after(*at, 0.1)).filter(|at| at.is_finite());
        std::iter::successors(Some(profile.after(0.0, 0.1)), next).collect()
    }

    fn within(sends: &[f64], from: f64, to: f64) -> usize {
        sends.iter().filter(|at| (from..to).contains(*at)).count()
    }

    #[test]
    fn a_ramp_offers_half_of_the_full_load_and_three_quarters_of_that_late() {
        let sends = sends(&profile(&[(10.0, Shape::Ramp(Ramp { from: 0.0, to: 1.0 }))]));
        assert!((49..=50).contains(&sends.len()), "{}", sends.len());
        assert!((36..=38).contains(&within(&sends, 5.0, 10.0)));
        let falling = profile(&[(10.0, Shape::Ramp(Ramp { from: 1.0, to: 0.0 }))]);
        let sends = self::sends(&falling);
        assert!((36..=38).contains(&within(&sends, 0.0, 5.0)));
    }

    #[test]
    fn steps_and_spikes_hold_their_share_where_they_stand() {
        let sends = sends(&profile(&[
            (10.0, Shape::Steps(vec![0.2, 1.0])),
            (10.0, Shape::Spike(Spike { base: 0.1, peak: 2.0, at: 4.0, seconds: 1.0 })),
        ]));
        for (from, to, wanted) in
            [(0.0, 5.0, 10), (5.0, 10.0, 50), (10.0, 14.0, 4), (14.0, 15.0, 20), (15.0, 20.0, 5)]
        {
            let count = within(&sends, from, to);
            assert!(count.abs_diff(wanted) <= 1, "from {from} to {to}: {count}");
        }
    }

    #[test]
    fn nothing_is_offered_while_the_share_is_zero() {
        let profile = profile(&[(5.0, Shape::Constant(0.0)), (5.0, Shape::Constant(1.0))]);
        assert!((profile.after(0.0, 0.1) - 5.1).abs() < 1e-9);
        assert!(profile.after(9.95, 0.1).is_infinite());
    }
}
