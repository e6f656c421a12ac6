//! What time it is at an agent, by ours: the story of two clocks; and by how much its answers are late.
//!
//! Neighbours: `engine` asks each agent again and again and hands in what came of it. The one who asks
//! knows how long the answer was under way; the agent's time lies somewhere within. Of the answers
//! of the last seconds the quickest says it best, and half of its time is all that it can be wrong.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Nanos;

/// Answers that are looked at: some ten seconds of them.
const ANSWERS_MAX: usize = 500;

/// One answer.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// How long it was under way, there and back.
    under_way: u64,
    /// Their time less ours, nanoseconds.
    ahead: i128,
}

/// How an agent's clock stands to ours.
#[derive(Clone, Debug, Default)]
pub struct Skew {
    answers: VecDeque<Answer>,
    /// The quickest of them.
    best: Option<Answer>,
    /// Where the clock stood at first, for its drift.
    first: Option<i128>,
}

impl Skew {
    /// Asked at, answered with their time, answer read at. How much longer it was under way than the quickest: so long
    /// it waited, for the agent, for its machine, or on the way. By our clock alone.
    pub fn answered(&mut self, asked: Nanos, theirs: Nanos, now: Nanos) -> Duration {
        let under_way = now.0.saturating_sub(asked.0);
        let middle = asked.0 + under_way / 2;
        let answer = Answer { under_way, ahead: i128::from(theirs.0) - i128::from(middle) };
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
        self.best = self.answers.iter().copied().min_by_key(|it| it.under_way);
        Duration::from_nanos(under_way - self.best.map_or(under_way, |it| it.under_way))
    }

    /// From here on drift is counted.
    pub fn begin(&mut self) {
        self.first = self.best.map(|it| it.ahead);
    }

    /// Their time as ours.
    pub fn ours(&self, theirs: Nanos) -> Nanos {
        let ahead = self.best.map_or(0, |it| it.ahead);
        Nanos(u64::try_from(i128::from(theirs.0) - ahead).unwrap_or_default())
    }

    /// How far their clock is ahead of ours, milliseconds.
    pub fn ahead_ms(&self) -> f64 {
        self.best.map_or(0.0, |it| it.ahead as f64 / 1e6)
    }

    /// How far that has moved since the beginning, milliseconds.
    pub fn drift_ms(&self) -> f64 {
        self.best.zip(self.first).map_or(0.0, |(best, first)| (best.ahead - first) as f64 / 1e6)
    }

    /// All that it can be wrong.
    pub fn error(&self) -> Duration {
        Duration::from_nanos(self.best.map_or(0, |it| it.under_way / 2))
    }

    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        self.best.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_quickest_answer_says_what_time_it_is_there() {
        let mut skew = Skew::default();
        assert!(!skew.is_known());
        let base = 10_000 * MS;
        // Half a second ahead; the way back of the first is long.
        for (there, back) in [(MS, 9 * MS), (MS / 10, MS / 10), (5 * MS, MS)] {
            let asked = Nanos(base);
            let theirs = Nanos(base + there + 500 * MS);
            skew.answered(asked, theirs, Nanos(base + there + back));
        }
        assert!((skew.ahead_ms() - 500.0).abs() < 1e-9, "{}", skew.ahead_ms());
        assert_eq!(skew.error(), Duration::from_micros(100));
        assert_eq!(skew.ours(Nanos(base + 500 * MS)), Nanos(base));
    }

    #[test]
    fn what_an_answer_took_longer_than_the_quickest_it_waited_however_far_the_agent_is() {
        let mut skew = Skew::default();
        let way = 30 * MS;
        let mut waited = |asked: u64, more: u64| {
            let asked = Nanos(asked * MS);
            skew.answered(asked, asked, asked.plus(Duration::from_nanos(way + more * MS)))
        };
        assert_eq!(waited(0, 1), Duration::ZERO, "nothing is known yet");
        assert_eq!(waited(20, 0), Duration::ZERO);
        assert_eq!(waited(40, 0), Duration::ZERO);
        assert_eq!(waited(60, 600), Duration::from_millis(600));
        // Where the way itself has become longer, that is forgotten with the answers that were quicker.
        for at in 0..ANSWERS_MAX as u64 {
            waited(100 + 20 * at, 50);
        }
        assert_eq!(waited(20_000, 50), Duration::ZERO);
    }

    #[test]
    fn it_is_never_further_off_than_it_says() {
        for (there, back) in [(0, 4 * MS), (4 * MS, 0), (MS, 3 * MS)] {
            let mut skew = Skew::default();
            skew.answered(Nanos(MS), Nanos(MS + there), Nanos(MS + there + back));
            assert!(skew.ahead_ms().abs() <= skew.error().as_secs_f64() * 1e3 + 1e-9);
        }
    }

    #[test]
    fn an_answer_that_is_old_is_forgotten_and_drift_is_told() {
        let mut skew = Skew::default();
        skew.answered(Nanos(0), Nanos(0), Nanos(10));
        skew.begin();
        for at in 1..=ANSWERS_MAX as u64 {
            skew.answered(Nanos(at * MS), Nanos(at * MS + 2 * MS), Nanos(at * MS + 100));
        }
        assert!((skew.drift_ms() - 2.0).abs() < 0.001, "{}", skew.drift_ms());
    }
}
