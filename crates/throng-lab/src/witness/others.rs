//! What other programs took, second by second, and which they were.
//!
//! Neighbours: the runner says what neither the server nor the lab took of the cores, in each sample; of that
//! what `--monitor` names is taken off here. `monitor::programs` is looked at while others take more than a
//! little, and else now and then: a look goes through all processes of the machine.

use std::time::Duration;

use crate::monitor::programs::{Program, Programs};
use crate::monitor::trees::Tree;
use crate::recorder::Sample;

/// In a second in which others took more than this of a core, they are looked at by their names.
const MUCH_CORES: f64 = 0.1;
/// And else as seldom as this, seconds.
const LOOK_SECONDS: f64 = 10.0;

/// One second, or a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OthersSecond {
    /// How long it was.
    pub seconds: f64,
    /// CPU seconds that others took, a little below nothing where they took none.
    pub cpu: f64,
    /// CPU seconds of what `--monitor` names.
    pub monitored: f64,
}

/// What was seen of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OthersSeen {
    /// In their order; empty where they cannot be told from the run's own.
    pub seconds: Vec<OthersSecond>,
    /// Those that took most.
    pub programs: Vec<Program>,
}

/// What is kept of them while it goes on.
#[derive(Debug)]
pub(super) struct Others {
    seen: Vec<OthersSecond>,
    programs: Programs,
    /// Seconds since their names were looked at.
    since: f64,
}

impl Others {
    /// Beside the server, where it is ours to see, and those.
    pub fn beside(server: Option<u32>, trees: &[Tree]) -> Self {
        let not = server.into_iter().chain(trees.iter().map(Tree::pid)).collect();
        Self { seen: Vec::new(), programs: Programs::beside(not), since: 0.0 }
    }

    /// Load is offered from now on.
    pub fn begin(&mut self) {
        self.programs.begin();
    }

    /// CPU seconds of others in this second; none where nobody can tell.
    pub fn second(&mut self, sample: &Sample, monitored: Duration) -> Option<f64> {
        let monitored = monitored.as_secs_f64();
        let cpu = sample.beside_cpu? - monitored;
        let second = OthersSecond { seconds: sample.seconds, cpu, monitored };
        // As many as a run has seconds: a week's at most.
        self.seen.push(second);
        self.since += second.seconds;
        if second.cpu > MUCH_CORES * second.seconds || self.since >= LOOK_SECONDS {
            self.programs.look();
            self.since = 0.0;
        }
        Some(second.cpu.max(0.0))
    }

    /// All of it.
    pub fn seen(self) -> OthersSeen {
        let seconds: f64 = self.seen.iter().map(|it| it.seconds).sum();
        OthersSeen { programs: self.programs.most(seconds), seconds: self.seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(beside_cpu: Option<f64>) -> Sample {
        Sample { seconds: 1.0, beside_cpu, ..Sample::default() }
    }

    #[test]
    fn what_is_monitored_is_no_other_and_nothing_is_not_less_than_nothing() {
        let mut others = Others::beside(None, &[]);
        let told = [(Some(1.75), 1_250), (Some(0.5), 625), (None, 1)];
        let told = told.map(|(cpu, ms)| others.second(&sample(cpu), Duration::from_millis(ms)));
        assert_eq!(told, [Some(0.5), Some(0.0), None]);
        let seen = others.seen().seconds;
        let second = |cpu, monitored| OthersSecond { seconds: 1.0, cpu, monitored };
        assert_eq!(seen, [second(0.5, 1.25), second(-0.125, 0.625)]);
    }

    #[test]
    fn names_are_looked_at_while_others_take_much_and_now_and_then() {
        let mut others = Others::beside(None, &[]);
        let mut rests = |cpu: f64| {
            others.second(&sample(Some(cpu)), Duration::ZERO);
            others.since
        };
        let whole = |seconds: f64| seconds.round() as u64;
        assert_eq!([0.05, 0.1, 0.11, 0.0].map(|cpu| whole(rests(cpu))), [1, 2, 0, 1]);
        let quiet: Vec<u64> = (0..9).map(|_| whole(rests(0.0))).collect();
        assert_eq!(quiet[7..], [9, 0]);
    }
}
