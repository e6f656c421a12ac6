//! How entering goes on while many come: whether the time that they take grows with their number, or faster.
//!
//! Neighbours: the recorder keeps when each should have come and when it had read its history; `thresholds` holds
//! the halves against their bound. A server that asks the same of itself for each who enters needs as long for the
//! second half of a crowd as for the first; one that tells each of all who are there already needs three times
//! as long (n² less n²/4 over n²/4). Where it keeps up, both halves last as long as people take to come. What
//! cannot be seen so: a server that lets nobody in before it lets all in; that is what the slowest entry tells.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::scenario::Scenario;
use crate::stats::{line, median};

/// Of fewer the halves say nothing.
const ENTRIES_MIN: usize = 20;

/// A crowd that came, joined and read its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entries {
    /// How many.
    pub count: u64,
    /// From when the first should have come until half of them had entered.
    pub first_half_seconds: f64,
    /// From then until all had.
    pub second_half_seconds: f64,
    /// The second half's time for one over the first half's: 1 where the whole grows with their number, 3 where it
    /// grows with its square.
    pub halves: f64,
    /// From when one should have come to its having entered: the median of the first half to come, and of the second.
    pub entry_p50_ms: [f64; 2],
    /// What one who comes later waits longer, for each who came before: least squares.
    pub us_per_arrival: f64,
}

impl Entries {
    /// Of the moments in which each should have come and had entered. None where several crowds came, which have halves
    /// of their own, or too few.
    pub fn of(scenario: &Scenario, entries: &[[Nanos; 2]]) -> Option<Self> {
        let crowds = scenario.lives.iter().filter(|life| life.history > 0).count();
        if crowds == 1 { Self::of_crowd(entries) } else { None }
    }

    fn of_crowd(entries: &[[Nanos; 2]]) -> Option<Self> {
        let count = entries.len();
        let first = entries.iter().map(|[intended, _]| *intended).min()?;
        if count < ENTRIES_MIN {
            return None;
        }
        let mut entered: Vec<f64> =
            entries.iter().map(|[_, entered]| entered.since(first).as_secs_f64()).collect();
        entered.sort_by(f64::total_cmp);
        let half = count / 2;
        let first_half_seconds = entered[half - 1];
        let second_half_seconds = entered[count - 1] - first_half_seconds;
        let each = [first_half_seconds / half as f64, second_half_seconds / (count - half) as f64];
        let mut came = entries.to_vec();
        came.sort_by_key(|[intended, _]| *intended);
        let took = |[intended, entered]: &[Nanos; 2]| entered.since(*intended).as_secs_f64() * 1e3;
        let took: Vec<f64> = came.iter().map(took).collect();
        let by_number: Vec<(f64, f64)> =
            took.iter().enumerate().map(|(before, ms)| (before as f64, ms * 1e3)).collect();
        Some(Self {
            count: count as u64,
            first_half_seconds,
            second_half_seconds,
            halves: each[1] / each[0].max(f64::MIN_POSITIVE),
            entry_p50_ms: [median(&took[..half])?, median(&took[half..])?],
            us_per_arrival: line(&by_number)?.slope,
        })
    }

    /// For a person.
    pub fn words(&self) -> String {
        let Self { count, first_half_seconds: first, second_half_seconds: second, .. } = self;
        let [early, late] = self.entry_p50_ms;
        format!(
            "{count} came in: the first half in {first:.3} s, the second in {second:.3} s, {:.2} \u{d7} for each (1 \
             where the time grows with their number, 3 with its square); median entry {early:.2} ms of the first half \
             to come, {late:.2} ms of the second, {:+.1} \u{b5}s for each who came before",
            self.halves, self.us_per_arrival
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand who come a millisecond apart; the n-th has entered so many microseconds after the first came.
    fn crowd(entered_us: impl Fn(f64) -> f64) -> Entries {
        let one = |number: u64| {
            let came = Nanos(5_000_000_000 + number * 1_000_000);
            let entered = entered_us(number as f64 + 1.0);
            [came, Nanos(5_000_000_000 + (entered * 1e3) as u64)]
        };
        let entries: Vec<[Nanos; 2]> = (0..1_000).rev().map(one).collect();
        Entries::of_crowd(&entries).unwrap()
    }

    fn near(is: f64, wanted: f64) {
        assert!((is / wanted - 1.0).abs() < 0.01, "{is} is not {wanted}");
    }

    #[test]
    fn who_needs_the_same_for_each_has_halves_that_last_as_long() {
        // Three milliseconds each, so that all wait for those before.
        let it = crowd(|n| 3_000.0 * n);
        assert_eq!(it.count, 1_000);
        near(it.first_half_seconds, 1.5);
        near(it.second_half_seconds, 1.5);
        near(it.halves, 1.0);
        near(it.us_per_arrival, 2_000.0);
        near(it.entry_p50_ms[0], 3.0 + 2.0 * 249.5);
        near(it.entry_p50_ms[1], 3.0 + 2.0 * 749.5);
    }

    #[test]
    fn who_keeps_up_has_halves_as_long_as_people_take_to_come() {
        let it = crowd(|n| (n - 1.0) * 1_000.0 + 400.0);
        near(it.halves, 1.0);
        near(it.entry_p50_ms[0], 0.4);
        near(it.entry_p50_ms[1], 0.4);
        assert!(it.us_per_arrival.abs() < 1e-3, "{it:?}");
    }

    #[test]
    fn who_tells_each_of_all_who_are_there_needs_three_times_as_long_for_the_second_half() {
        near(crowd(|n| 5.0 * n * n).halves, 3.0);
        // With n it is 1, with n² it is 3: between them by how much of the whole is of the square.
        near(crowd(|n| 3_000.0 * n + 2.0 * n * n).halves, (1.5 + 1.5) / (1.5 + 0.5));
    }

    #[test]
    fn of_a_few_or_of_several_crowds_nothing_is_said() {
        let few = [[Nanos(0), Nanos(1)]; ENTRIES_MIN - 1];
        assert_eq!(Entries::of_crowd(&few), None);
        assert_eq!(Entries::of_crowd(&[]), None);
        let many = [[Nanos(0), Nanos(1_000)]; ENTRIES_MIN];
        let crowd = Scenario::load("crowd", &[]).unwrap();
        assert_eq!(Entries::of(&crowd, &many), None, "they come three times");
        let one = Scenario::load("join-hot-room", &[]).unwrap();
        // Let in all at one moment: the halves are no halves of anything.
        let it = Entries::of(&one, &many).map(|it| (it.count, it.halves));
        assert_eq!(it, Some((20, 0.0)));
    }
}
