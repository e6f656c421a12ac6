//! How many commands are in the server's stages, by looks at moments of chance: what a scenario does each
//! second on the second would be found by every look on the second, or by none.
//!
//! Neighbours: `witness.rs` asks when, and asks the server.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Counters;

/// A look comes this long after a second's end at most, so that it is over before the next.
const REST_MAX_MS: u64 = 990;

/// What looks have found.
#[derive(Debug)]
pub struct Inside {
    chance: StdRng,
    /// That the server answered.
    pub looks: u32,
    found: BTreeMap<String, f64>,
}

impl Inside {
    /// Nothing yet.
    pub fn new(seed: u64) -> Self {
        Self { chance: StdRng::seed_from_u64(seed), looks: 0, found: BTreeMap::new() }
    }

    /// How long after this second's end the next look is: any time of the next second.
    pub fn rest(&mut self) -> Duration {
        Duration::from_micros(self.chance.random_range(0..REST_MAX_MS * 1_000))
    }

    /// One look; who does not answer was not looked at.
    pub fn look(&mut self, counters: &Counters, stages: &[String]) {
        if *counters == Counters::default() {
            return;
        }
        self.looks += 1;
        for stage in stages {
            let name = format!("stage_in_flight{{stage=\"{stage}\"}}");
            if let Some(commands) = counters.of(&name) {
                *self.found.entry(stage.clone()).or_default() += commands;
            }
        }
    }

    /// Commands in a stage, on average over all looks; `None` where they are not counted.
    pub fn mean(&self, stage: &str) -> Option<f64> {
        self.found.get(stage).map(|sum| sum / f64::from(self.looks.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stage that holds a command for a tenth of each second, always the same one, is found by a tenth of
    /// the looks, wherever in the second that is.
    #[test]
    fn what_happens_on_the_second_is_found_as_often_as_it_lasts() {
        for begins in [0, 300, 890] {
            let mut inside = Inside::new(begins);
            let stages = ["commit".to_owned()];
            for _ in 0..2_000 {
                let at = inside.rest().as_millis() as u64;
                let there = u8::from((begins..begins + 100).contains(&at));
                let text = format!("throng_stage_in_flight{{stage=\"commit\"}} {there}\n");
                inside.look(&Counters::of_text(&text), &stages);
            }
            let mean = inside.mean("commit").unwrap();
            assert!((0.07..0.13).contains(&mean), "{begins}: {mean}");
        }
    }

    #[test]
    fn who_does_not_answer_was_not_looked_at() {
        let mut inside = Inside::new(1);
        inside.look(&Counters::default(), &["commit".to_owned()]);
        assert_eq!((inside.looks, inside.mean("commit")), (0, None));
    }
}
