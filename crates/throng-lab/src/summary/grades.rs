//! Which of a scenario's grades a run reached: so many sends a second, each to so many, acked within a time.
//!
//! Neighbours: `mod` hands in what the ledger counted. A run that says nothing has no grade; that is not
//! asked here.

use crate::scenario::Grade;

/// Poisson's chance may leave a rate a little below what was meant; and of those who are away for a moment,
/// fewer are told.
const REACHED: f64 = 0.98;

/// What a run did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    /// Acked.
    pub sends_per_second: f64,
    /// Of the durable ack.
    pub ack_p99_ms: f64,
    /// How many were to be told of each send, on average.
    pub fan_out: f64,
}

impl Reached {
    /// The grade of the highest rate.
    pub fn best_of(self, grades: &[Grade]) -> Option<&Grade> {
        let Self { sends_per_second, ack_p99_ms, fan_out } = self;
        let is = |it: &&Grade| {
            let many = sends_per_second >= it.sends_per_second * REACHED;
            many && fan_out >= it.fan_out * REACHED && ack_p99_ms <= it.ack_p99_ms
        };
        let reached = grades.iter().filter(is);
        reached.max_by(|a, b| a.sends_per_second.total_cmp(&b.sends_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_grade_is_of_its_rate_its_time_and_its_fan_out() {
        let grades = Scenario::load("new-year", &[]).unwrap().grades;
        let grade = |sends_per_second: f64, ack_p99_ms: f64, fan_out: f64| {
            let reached = Reached { sends_per_second, ack_p99_ms, fan_out };
            reached.best_of(&grades).map(|it| it.name.as_str())
        };
        for (sends, p99, fan_out, wanted) in [
            (985.0, 100.0, 10.0, Some("bronze")),
            (975.0, 10.0, 10.0, None),
            (1_000.0, 100.1, 10.0, None),
            (10_000.0, 19.0, 9.9, Some("gold")),
            (10_000.0, 21.0, 10.0, Some("silver")),
            (60_000.0, 9.0, 25.0, Some("platinum")),
            // Told to three, it is another load.
            (60_000.0, 1.0, 3.0, None),
        ] {
            assert_eq!(grade(sends, p99, fan_out), wanted, "{sends}/s, {p99} ms, to {fan_out}");
        }
    }
}
