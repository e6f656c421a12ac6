//! Where one message's time went, for a client that asked: the clock of the stages, for this one alone.
//!
//! Neighbours: the connection begins it, and it goes through sequencer and fan-out with its message;
//! `mapping` writes it into the ack. Each stage is from where the one before it ended, so that together they
//! are all of the time from reading the message to rendering its ack. A message without it costs nothing.

use super::metrics::Stage;
use crate::clock::Moment;

/// Stages that are over when an ack is rendered; writing is not.
pub(super) const BEFORE_ACK: usize = Stage::Fanout as usize + 1;

/// One message's own clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Where the last stage ended.
    at: Moment,
    nanos: [u64; BEFORE_ACK],
}

impl Trace {
    /// The message's bytes were read at this moment.
    pub fn begin(&mut self, at: Moment) {
        *self = Self { at, ..Self::default() };
    }

    /// This stage is over: it took all the time since the one before it.
    pub fn passed(&mut self, stage: Stage, now: Moment) {
        let took = now.since(self.at).as_nanos();
        if let Some(nanos) = self.nanos.get_mut(stage as usize) {
            *nanos += u64::try_from(took).unwrap_or(u64::MAX);
        }
        self.at = self.at.max(now);
    }

    /// What each stage took, nanoseconds; 0 where it is not over.
    pub(super) fn nanos(&self) -> [u64; BEFORE_ACK] {
        self.nanos
    }

    /// What a stage took, microseconds; 0 where it is not over.
    pub fn micros(&self, stage: Stage) -> u32 {
        let nanos = self.nanos.get(stage as usize).copied().unwrap_or_default();
        u32::try_from(nanos / 1_000).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_together_are_all_of_the_time() {
        let mut trace = Trace::default();
        trace.begin(Moment(1_000_000));
        for (stage, at) in [
            (Stage::Decode, 1_005_000),
            (Stage::Authorize, 1_007_000),
            (Stage::Queue, 1_907_000),
            // A clock of another thread that is behind takes nothing away.
            (Stage::Decide, 1_906_000),
            (Stage::Commit, 3_907_000),
            (Stage::Fanout, 4_000_000),
            (Stage::Write, 9_000_000),
        ] {
            trace.passed(stage, Moment(at));
        }
        let stages = [
            Stage::Decode,
            Stage::Authorize,
            Stage::Queue,
            Stage::Decide,
            Stage::Commit,
            Stage::Fanout,
            Stage::Write,
        ];
        assert_eq!(stages.map(|stage| trace.micros(stage)), [5, 2, 900, 0, 2_000, 93, 0]);
    }
}
