//! What posts alone took in the stages before their ack: of each post that was answered, all of its way, so
//! that the stages together are the time from reading it to handing on its ack.
//!
//! Neighbours: the connection notes when a request came, the sequencer when its turn passed, the fan-out adds
//! both up as it answers; a post over REST carries a clock of its own ([`Trace`]) and is added by who asked.
//! `metrics.rs` registers and renders it. A post costs a few additions in its fan-out's own [`Path`], and one
//! look at the clock as its ack is written.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::metrics::{Count, Stage};
use super::trace::{BEFORE_ACK, Trace};
use crate::clock::Moment;

/// The stages before an ack, in their order.
const STAGES: [&str; BEFORE_ACK] = ["decode", "authorize", "queue", "decide", "commit", "fanout"];

/// When a request came to its shard's queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// Its bytes were read.
    pub read: Moment,
    /// It was a request.
    pub decoded: Moment,
    /// It may be asked, and waits for its shard.
    pub queued: Moment,
}

/// When a turn passed its stages.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnTimes {
    /// It was taken out of the queue.
    pub begun: Moment,
    /// All of it was decided.
    pub decided: Moment,
    /// All of it was committed.
    pub committed: Moment,
}

/// Posts that were answered, of the whole server, and what they took.
#[derive(Debug, Default)]
pub struct Posts {
    /// How many.
    pub answered: Count,
    nanos: [AtomicU64; BEFORE_ACK],
}

impl Posts {
    /// What a stage took of all of them together, nanoseconds.
    #[cfg(test)]
    pub fn nanos(&self, stage: Stage) -> u64 {
        self.nanos[stage as usize].load(Ordering::Relaxed)
    }

    /// One more, by its own clock.
    pub fn add_one(&self, trace: &Trace) {
        self.add(1, trace.nanos());
    }

    fn add(&self, posts: u64, nanos: [u64; BEFORE_ACK]) {
        for (shared, local) in self.nanos.iter().zip(nanos) {
            shared.fetch_add(local, Ordering::Relaxed);
        }
        self.answered.inc_by(posts);
    }
}

impl EncodeMetric for Posts {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (stage, nanos) in STAGES.into_iter().zip(&self.nanos) {
            let labels = [("stage", stage)];
            let seconds = nanos.load(Ordering::Relaxed) as f64 * 1e-9;
            let mut encoder = encoder.encode_family(&labels)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// The way of the posts that one thread answers, until all of their acks are handed on.
#[derive(Debug, Default)]
pub struct Path {
    posts: u64,
    /// Of them, those whose ack is not handed on yet.
    unwritten: u64,
    /// The last of them is moments of handing on less moments of commits: single terms wrap, their sum is a
    /// time.
    nanos: [u64; BEFORE_ACK],
}

impl Path {
    /// A post is to be answered, and its ack handed on by this thread.
    pub fn told(&mut self, arrival: Arrival, turn: TurnTimes) {
        self.decided(arrival, turn);
        self.unwritten += 1;
        self.nanos[Stage::Commit as usize] += nanos(turn.decided, turn.committed);
        let fanout = &mut self.nanos[Stage::Fanout as usize];
        *fanout = fanout.wrapping_sub(turn.committed.0);
    }

    /// A post was answered when it was decided, as it had asked.
    pub fn decided(&mut self, arrival: Arrival, turn: TurnTimes) {
        let Arrival { read, decoded, queued } = arrival;
        self.posts += 1;
        for (stage, from, to) in [
            (Stage::Decode, read, decoded),
            (Stage::Authorize, decoded, queued),
            (Stage::Queue, queued, turn.begun),
            (Stage::Decide, turn.begun, turn.decided),
        ] {
            self.nanos[stage as usize] += nanos(from, to);
        }
    }

    /// Whether acks are still to be handed on.
    pub fn waits(&self) -> bool {
        self.unwritten > 0
    }

    /// So many acks were handed on at this moment. Another thread may have staged some of them: no more are
    /// taken than wait here.
    pub fn written(&mut self, acks: u32, now: Moment) {
        let acks = u64::from(acks).min(self.unwritten);
        self.unwritten -= acks;
        let fanout = &mut self.nanos[Stage::Fanout as usize];
        *fanout = fanout.wrapping_add(now.0.wrapping_mul(acks));
    }

    /// All that was staged is handed on: what nobody has seen leave, another has written, or its connection is
    /// gone.
    pub fn over(&mut self, now: Moment, into: &Posts) {
        if self.posts == 0 {
            return;
        }
        let rest = u32::try_from(self.unwritten).unwrap_or(u32::MAX);
        self.written(rest, now);
        let Self { posts, mut nanos, .. } = std::mem::take(self);
        // Clocks of two threads may differ by less than a stage takes.
        let fanout = &mut nanos[Stage::Fanout as usize];
        *fanout = u64::try_from(fanout.cast_signed()).unwrap_or_default();
        into.add(posts, nanos);
    }
}

fn nanos(from: Moment, to: Moment) -> u64 {
    to.0.saturating_sub(from.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Moment {
        Moment(micros * 1_000)
    }

    fn micros(posts: &Posts) -> [u64; BEFORE_ACK] {
        let stages = [
            Stage::Decode,
            Stage::Authorize,
            Stage::Queue,
            Stage::Decide,
            Stage::Commit,
            Stage::Fanout,
        ];
        stages.map(|stage| posts.nanos(stage) / 1_000)
    }

    #[test]
    fn the_stages_of_all_posts_are_all_of_their_time() {
        let (posts, mut path) = (Posts::default(), Path::default());
        let turn = TurnTimes { begun: at(100), decided: at(140), committed: at(900) };
        path.told(Arrival { read: at(10), decoded: at(13), queued: at(20) }, turn);
        path.told(Arrival { read: at(50), decoded: at(51), queued: at(53) }, turn);
        assert!(path.waits());
        path.written(1, at(910));
        // More than wait here: another's.
        path.written(7, at(1_000));
        assert!(!path.waits());
        path.over(at(5_000), &posts);
        assert_eq!(posts.answered.get(), 2);
        assert_eq!(micros(&posts), [4, 9, 127, 80, 1_520, 110]);
        assert_eq!(micros(&posts).iter().sum::<u64>(), (910 - 10) + (1_000 - 50));
    }

    #[test]
    fn an_ack_that_nobody_saw_leave_is_over_when_all_is() {
        let (posts, mut path) = (Posts::default(), Path::default());
        let turn = TurnTimes { begun: at(1), decided: at(2), committed: at(3) };
        path.told(Arrival::default(), turn);
        path.over(at(10), &posts);
        path.over(at(20), &posts);
        assert_eq!((posts.answered.get(), micros(&posts)), (1, [0, 0, 1, 1, 1, 7]));
    }

    #[test]
    fn one_that_is_answered_before_the_commit_waits_for_none() {
        let (posts, mut path) = (Posts::default(), Path::default());
        let turn = TurnTimes { begun: at(1), decided: at(2), ..TurnTimes::default() };
        path.decided(Arrival::default(), turn);
        assert!(!path.waits());
        path.over(at(10), &posts);
        assert_eq!((posts.answered.get(), micros(&posts)), (1, [0, 0, 1, 1, 0, 0]));
    }

    #[test]
    fn a_clock_that_is_behind_takes_nothing_away() {
        let (posts, mut path) = (Posts::default(), Path::default());
        let turn = TurnTimes { begun: at(100), decided: at(99), committed: at(300) };
        path.told(Arrival { read: at(50), decoded: at(40), queued: at(120) }, turn);
        path.over(at(290), &posts);
        assert_eq!(micros(&posts), [0, 80, 0, 0, 201, 0]);
    }

    #[test]
    fn one_with_a_clock_of_its_own_is_added_as_it_is() {
        let posts = Posts::default();
        let mut trace = Trace::default();
        trace.begin(at(10));
        for (stage, to) in [
            (Stage::Authorize, 12),
            (Stage::Decode, 20),
            (Stage::Authorize, 21),
            (Stage::Queue, 30),
        ] {
            trace.passed(stage, at(to));
        }
        posts.add_one(&trace);
        assert_eq!((posts.answered.get(), micros(&posts)), (1, [8, 3, 9, 0, 0, 0]));
    }
}
