//! What is answered to those who asked: of a turn's requests, each in its order.
//!
//! Neighbours: `deliver.rs` tells what happened before an answer first, and writes what is staged here.

use std::sync::Arc;

use throng_core::{Came, Position, Rejection, Reply, RoomId, Seq};

use super::Deliver;
use crate::clock::Moment;
use crate::fanout::{Answered, ReplyTo};
use crate::operations::metrics::Stage;
use crate::operations::posts::TurnTimes;
use crate::operations::trace::Trace;
use crate::outbox::{Outbox, Settles};
use crate::protocols::{Ack, Answer, HeldBack, moderation};

/// Answers kept back at a time; one more, and those before it leave, saying less of their fan-out.
const TRACED_MAX: usize = 16;

/// An answer that is to say where its message's time went.
#[derive(Debug)]
pub(super) struct Traced {
    outbox: Arc<Outbox>,
    re: u32,
    answer: Answer,
    trace: Box<Trace>,
}

impl Deliver {
    /// `times` are those of its turn.
    pub(super) fn answer(&mut self, answered: Answered, times: TurnTimes) {
        let Answered { to, room, outcome } = answered;
        match to {
            ReplyTo::Nobody => {}
            ReplyTo::Caller { done, mut trace } => {
                if let Some(trace) = &mut trace {
                    trace.passed(Stage::Commit, times.committed);
                }
                // Who asked is gone: nobody is left to be told.
                _ = done.send((outcome, trace));
            }
            ReplyTo::Connection { outbox, re, ack, trace, arrival } => {
                let mut settles = Settles::Command;
                if let Ok(Reply::Posted { .. }) = outcome
                    && self.around.metrics.stages.are_counted()
                {
                    self.path.told(arrival, times);
                    settles = Settles::Post;
                }
                let answer = self.answer_of(room, outcome, ack, &outbox);
                if outcome.is_err() {
                    self.around.metrics.rejections.inc();
                }
                outbox.judge(outcome.err());
                if let (Some(mut trace), Answer::Posted { .. }) = (trace, &answer) {
                    trace.passed(Stage::Commit, times.committed);
                    return self.hold(Traced { outbox, re, answer, trace });
                }
                self.stage_answer(&outbox, re, &answer, settles);
            }
        }
    }

    fn answer_of(
        &mut self,
        room: RoomId,
        outcome: Result<Reply, Rejection>,
        ack: Ack,
        outbox: &Arc<Outbox>,
    ) -> Answer {
        match outcome {
            Err(rejection) => Answer::Rejected(rejection),
            Ok(Reply::Posted { seq, n, at, repeat }) => {
                Answer::Posted { room, seq, n, at, repeat, ack, trace: None }
            }
            Ok(Reply::Left { seq }) => Answer::Left { room, seq },
            Ok(Reply::Held { number, until, repeat }) => {
                Answer::Held { room, held: HeldBack { number, until, repeat } }
            }
            Ok(Reply::Unheld { number, came, .. }) => {
                Answer::Moderation(moderation::Told::Unheld(room, number, came))
            }
            Ok(Reply::Applied { seq, at, already }) => Answer::Applied { room, seq, at, already },
            Ok(Reply::Created { seq } | Reply::Joined { seq, already: false }) => {
                let from = self.listen(room, outbox, seq);
                Answer::Joined { room, seq, position: self.position(from), already: false }
            }
            Ok(Reply::Joined { seq, already: true }) => {
                let key = self.keys.get(&outbox.id).copied();
                let from = match key.and_then(|key| self.hub.after(room, key)) {
                    Some(after) => after,
                    // Everything up to the head is history for it, also what is on its way to others.
                    None => self.listen(room, outbox, self.around.directory.head_of(room)),
                };
                Answer::Joined { room, seq, position: self.position(from), already: true }
            }
        }
    }

    pub(super) fn position(&self, seq: Seq) -> Position {
        Position { epoch: self.around.epoch, seq }
    }

    pub(super) fn stage_answer(
        &mut self,
        outbox: &Arc<Outbox>,
        re: u32,
        answer: &Answer,
        settles: Settles,
    ) {
        let mut bytes = Vec::with_capacity(128);
        outbox.form.answer(re, answer, &mut bytes);
        self.stage(outbox, bytes, settles);
    }

    pub(super) fn stage(&mut self, outbox: &Arc<Outbox>, bytes: Vec<u8>, settles: Settles) {
        self.send_traced_to(outbox);
        if outbox.stage_answer(bytes, settles) {
            self.touched.push(Arc::clone(outbox));
        }
    }

    // ---- answers that say where their time went -----------------------------------------------

    /// Keeps one back until what was told with it is written, as its message waits for that too.
    fn hold(&mut self, traced: Traced) {
        if self.traced.len() >= TRACED_MAX {
            let now = self.around.clock.now();
            self.send_traced(now);
        }
        self.traced.push(traced);
    }

    /// What is told from here on is written: those that were kept back go before it.
    pub(super) fn send_traced(&mut self, now: Moment) {
        for traced in std::mem::take(&mut self.traced) {
            self.send_one(traced, now);
        }
    }

    /// Something else is for this connection: what it was to be told before goes before it.
    pub(super) fn send_traced_to(&mut self, outbox: &Outbox) {
        while let Some(at) = self.traced.iter().position(|it| it.outbox.id == outbox.id) {
            let first = self.traced.remove(at);
            let now = self.around.clock.now();
            self.send_one(first, now);
        }
    }

    fn send_one(&mut self, traced: Traced, now: Moment) {
        let Traced { outbox, re, mut answer, trace: mut own } = traced;
        own.passed(Stage::Fanout, now);
        if let Answer::Posted { trace, .. } = &mut answer {
            *trace = Some(own);
        }
        let mut bytes = Vec::with_capacity(160);
        outbox.form.answer(re, &answer, &mut bytes);
        // It is kept back only where stages are timed.
        if outbox.stage_answer(bytes, Settles::Post) {
            self.touched.push(outbox);
        }
    }
}

/// The place that a request took in its room's order, if it took one.
pub(super) fn place_of(outcome: Result<Reply, Rejection>) -> Option<Seq> {
    match outcome {
        Ok(
            Reply::Created { seq }
            | Reply::Left { seq }
            | Reply::Joined { seq, already: false }
            | Reply::Posted { seq, repeat: false, .. }
            | Reply::Applied { seq, already: false, .. }
            | Reply::Unheld { came: Came::Posted { seq, repeat: false }, .. },
        ) => Some(seq),
        Ok(
            Reply::Joined { already: true, .. }
            | Reply::Posted { repeat: true, .. }
            | Reply::Applied { already: true, .. }
            | Reply::Held { .. }
            | Reply::Unheld { .. },
        )
        | Err(_) => None,
    }
}
