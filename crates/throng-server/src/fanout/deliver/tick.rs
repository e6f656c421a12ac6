//! The turns that were told and are not handed to the outboxes yet: how long their commands are in the
//! fan-out.
//!
//! Neighbours: `deliver.rs` adds each turn and says when all is handed on.

use crate::clock::Moment;
use crate::operations::metrics::{Metrics, Stage};

/// From the first turn that was told to when nothing of it waits any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    /// When the first of the turns was committed.
    since: Moment,
    turns: u64,
    commands: u64,
    /// How much later than the first the others were, times their commands, nanoseconds.
    later: u64,
}

impl Tick {
    /// Its first turn was committed at this moment.
    pub(super) fn begun(since: Moment) -> Self {
        Self { since, turns: 0, commands: 0, later: 0 }
    }

    /// One more turn of so many commands.
    pub(super) fn add(&mut self, committed: Moment, commands: usize) {
        let commands = commands as u64;
        self.turns += 1;
        self.commands += commands;
        self.later += committed.since(self.since).as_nanos() as u64 * commands;
    }

    /// All is handed on.
    pub(super) fn is_over(self, ended: Moment, metrics: &Metrics) {
        let took = ended.since(self.since);
        metrics.stages.observe_many(Stage::Fanout, took, self.turns);
        metrics.fanout_waited_micros.inc_by(self.waited_nanos(ended) / 1_000);
        metrics.stages.leave(Stage::Fanout, self.commands);
    }

    /// How long each of its commands was in it, all together.
    fn waited_nanos(&self, ended: Moment) -> u64 {
        let all = ended.since(self.since).as_nanos() as u64 * self.commands;
        all.saturating_sub(self.later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_waits_from_its_own_turn_on() {
        let metrics = Metrics::new();
        let mut tick = Tick::begun(Moment(1_000_000));
        tick.add(Moment(1_000_000), 2);
        tick.add(Moment(1_600_000), 30);
        metrics.stages.enter(Stage::Fanout, 33);
        tick.is_over(Moment(2_000_000), &metrics);
        // Two of 1,000 µs, thirty of 400.
        assert_eq!(metrics.fanout_waited_micros.get(), 14_000);
        assert_eq!(metrics.stages.of(Stage::Fanout).count(), 2, "turns, by the histogram");
        assert_eq!(metrics.stages.inside(Stage::Fanout), 1, "one is told after this tick");
    }
}
