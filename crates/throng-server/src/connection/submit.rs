//! Puts what a connection asks of a room's order into the queue of the room's shard.
//!
//! Neighbours: `serve.rs` has asked whether it may be asked, `lookup.rs` has found what it names; the
//! sequencer takes it out. A message that carries a clock of its own is stamped here; for the others none
//! is read.

use std::collections::VecDeque;
use std::sync::Arc;

use throng_core::{Author, Rejection};
use tokio::sync::mpsc::error::TrySendError;

use super::Connection;
use super::serve::{Served, Slow};
use crate::app::{App, Prepared};
use crate::clock::Moment;
use crate::fanout::ReplyTo;
use crate::operations::metrics::Stage;
use crate::operations::posts::Arrival;
use crate::operations::trace::Trace;
use crate::outbox::Outbox;
use crate::protocols::{Ack, Answer, Ask, Protocol};
use crate::sequencer::Item;

/// When a command is answered, and where its time goes, if the answer is to say that.
pub(super) type Wish = (Ack, Option<Box<Trace>>);

/// A request by its number, and when it was read and decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub re: u32,
    pub read: Moment,
    pub decoded: Moment,
}

impl Asked {
    fn queued(self, queued: Moment) -> Arrival {
        let Self { read, decoded, .. } = self;
        Arrival { read, decoded, queued }
    }
}

/// Those among the asks of one read that carry a clock begin it here, or lose it where none is `wanted`.
pub(super) fn begin_traces(
    asks: &mut VecDeque<Ask>,
    wanted: bool,
    (read, decoded): (Moment, Moment),
) {
    for ask in asks {
        if !wanted {
            ask.what.forget_trace();
        } else if let Some(trace) = ask.what.trace() {
            trace.begin(read);
            trace.passed(Stage::Decode, decoded);
        }
    }
}

/// It may be asked, and waits for its shard from now on.
fn authorized(trace: &mut Option<Box<Trace>>, app: &App) {
    if let Some(trace) = trace {
        trace.passed(Stage::Authorize, app.clock.now());
    }
}

impl<P: Protocol + Unpin> Connection<P> {
    /// A request of the newest read: there is no other one while some of it are not served.
    pub(super) fn asked(&self, re: u32) -> Asked {
        Asked { re, read: self.heard, decoded: self.decoded }
    }

    /// Puts a command into its shard's queue; when that is full, waits, and so does everything that
    /// this connection asks after it. It might be asked from `now` on.
    pub(super) fn command(
        &mut self,
        re: u32,
        prepared: impl Into<Prepared>,
        (ack, mut trace): Wish,
        now: Moment,
    ) -> Served {
        authorized(&mut trace, &self.app);
        let (outbox, arrival) = (Arc::clone(&self.outbox), self.asked(re).queued(now));
        let to = ReplyTo::Connection { outbox, re, ack, trace, arrival };
        let user = match self.user() {
            Ok(user) => user.clone(),
            Err(rejection) => return Served::Answer(Answer::Rejected(rejection)),
        };
        let submission = match self.app.submission(user, prepared, to, now) {
            Ok(submission) => submission,
            Err(rejection) => return Served::Answer(Answer::Rejected(rejection)),
        };
        self.outbox.sent_off();
        let room = submission.request.command.room();
        let waits = self.app.metrics.stages.wait();
        match self.app.queue_of(room).try_send(Item::Submit(submission)) {
            Ok(()) => {
                waits.keep();
                Served::Later
            }
            Err(TrySendError::Full(item)) => {
                drop(waits);
                let app = Arc::clone(&self.app);
                self.slow = Some(Box::pin(async move {
                    // A closed queue is a server that ends; the connection hears of that by itself.
                    _ = app.put(room, item).await;
                    Slow::Done
                }));
                Served::Later
            }
            Err(TrySendError::Closed(_)) => {
                self.outbox.take_back();
                Served::Answer(Answer::Rejected(Rejection::Unavailable))
            }
        }
    }
}

/// Puts a command that had to wait into its shard's queue.
pub(super) async fn submit(
    app: &App,
    outbox: Arc<Outbox>,
    asked: Asked,
    from: Author,
    (prepared, (ack, mut trace)): (impl Into<Prepared>, Wish),
) -> Slow {
    authorized(&mut trace, app);
    let (re, now) = (asked.re, app.clock.now());
    let (to, arrival) = (Arc::clone(&outbox), asked.queued(now));
    let to = ReplyTo::Connection { outbox: to, re, ack, trace, arrival };
    match app.submission(from, prepared, to, now) {
        Ok(submission) => {
            let room = submission.request.command.room();
            outbox.sent_off();
            // A closed queue is a server that ends; the connection hears of that by itself.
            _ = app.put(room, Item::Submit(submission)).await;
            Slow::Done
        }
        Err(rejection) => Slow::Answer(re, Answer::Rejected(rejection)),
    }
}
