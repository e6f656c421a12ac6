//! The loop of a shard: drain what waits, fetch what it must know, decide, commit once, tell.
//!
//! Neighbours: connections and REST submit through a bounded queue; below are the log, the history,
//! the tail, the directory and the shard's fan-out. Each shard has a thread of its own, because the
//! commit blocks; `held.rs` wakes it when what waits in its rooms is due, `gather.rs` makes turns larger for
//! those who want it. It decides nothing itself (the shard does) and never tells before the commit.

mod gather;
mod held;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use throng_core::shard::{Facts, Now, Shard, Turn, Waited, Want};
use throng_core::{Event, EventKind, Limits, Rejection, Reply, Request, UserId};
use tokio::sync::mpsc;

use crate::clock::{Clock, Moment};
use crate::contacts::Contacts;
use crate::directory::{Directory, Held};
use crate::fanout::{Answered, Fanout, ReplyTo, Told};
use crate::faults::{Fault, planted};
use crate::history::History;
use crate::lifecycle::Fatal;
use crate::log::{Log, LogError};
use crate::operations::metrics::{Metrics, Stage};
use crate::operations::posts::{Path, TurnTimes};
use crate::operations::seldom::Seldom;
use crate::operations::traffic;
use crate::outbox::{Settles, Writer};
use crate::protocols::{Ack, Answer};
use crate::record;
use crate::store::{Store, StoreError};
use crate::tail::Tail;
pub use held::{Look, LookAt};

/// How long a turn waits for the fold to make room before its senders are refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// One request on its way to its room's order.
#[derive(Debug)]
pub struct Submission {
    /// Who asks what.
    pub request: Request,
    /// Who is answered.
    pub to: ReplyTo,
    /// What is kept for the asker until this is decided.
    pub held: Vec<Held>,
    /// When it was put into the queue.
    pub queued: Moment,
}

/// What a shard's queue carries.
#[derive(Debug)]
pub enum Item {
    /// Decide this.
    Submit(Submission),
    /// Say what waits, or who stands how, when what came before is decided.
    Look(Look),
    /// Decide what came before, then end.
    Stop,
}

/// Everything that one shard's loop needs.
#[derive(Debug)]
pub struct Sequencer {
    /// The state of its rooms.
    pub shard: Shard,
    /// The rooms around it.
    pub around: Around,
    /// Its fan-out.
    pub fanout: Arc<Fanout>,
    /// Commands decided in one turn.
    pub turn_max: usize,
    /// How long a turn that is not full waits for others.
    pub turn_wait: Duration,
    keepers: held::Keepers,
    scratch: Scratch,
    /// What is said of turns that were taken back, and of what cannot be read.
    reverted: Seldom,
    unread: Seldom,
}

/// The rooms around a sequencer.
#[derive(Clone, Debug)]
pub struct Around {
    /// Where a turn becomes durable.
    pub log: Arc<dyn Log>,
    /// Where events are read from.
    pub history: History,
    /// What was folded before, by `origin_id`.
    pub store: Arc<dyn Store>,
    /// Where durable events are until they are folded.
    pub tail: Arc<Tail>,
    /// Who belongs where.
    pub directory: Arc<Directory>,
    /// Who may write to whom.
    pub contacts: Arc<Contacts>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

/// What a turn came to: what happened, and what waits or does so no longer.
type Outcome = (Vec<Arc<Event>>, Vec<Waited>);

/// Buffers kept from turn to turn.
#[derive(Debug, Default)]
struct Scratch {
    requests: Vec<Request>,
    wants: Vec<Want>,
    facts: Facts,
    turn: Vec<u8>,
    /// When the turn passed its stages.
    times: TurnTimes,
}

impl Sequencer {
    /// A shard with its rooms restored.
    pub fn new(shard: Shard, around: Around, fanout: Arc<Fanout>, limits: &Limits) -> Self {
        let (keepers, scratch, reverted, unread) = Default::default();
        let turn_wait = Duration::from_millis(u64::from(limits.turn_wait_ms));
        let turn_max = limits.turn_max;
        Self { shard, around, fanout, turn_max, turn_wait, keepers, scratch, reverted, unread }
    }

    /// Starts its thread. A panic in it, or a log that cannot be trusted any more, is given to
    /// `fatal`, which ends the process: a shard that stopped half-way has no order to go on with.
    pub fn start(
        mut self,
        number: usize,
        mut queue: mpsc::Receiver<Item>,
        fatal: Fatal,
    ) -> std::io::Result<JoinHandle<()>> {
        let name = format!("shard-{number}");
        std::thread::Builder::new().name(name).spawn(move || {
            match catch_unwind(AssertUnwindSafe(|| self.run(&mut queue))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => fatal.sync_failed(&error),
                Err(_) => fatal.bug("a shard's thread panicked"),
            }
        })
    }

    fn run(&mut self, queue: &mut mpsc::Receiver<Item>) -> Result<(), LogError> {
        let mut items = Vec::with_capacity(self.turn_max);
        let mut batch = Vec::with_capacity(self.turn_max);
        let mut looks = Vec::new();
        let mut warming = true;
        loop {
            let due = self.shard.next_due();
            if warming && queue.is_empty() && due.is_none() {
                warming = self.warm();
                continue;
            }
            let taken = match due {
                None => Some(queue.blocking_recv_many(&mut items, self.turn_max)),
                Some(due) => self.receive_until(due, queue, &mut items),
            };
            if taken == Some(0) {
                return Ok(());
            }
            if !self.turn_wait.is_zero() && taken.is_some() {
                let clock = &self.around.clock;
                let until = clock.now().plus(self.turn_wait);
                gather::gather(queue, &mut items, self.turn_max, until, clock);
            }
            for item in items.drain(..) {
                match item {
                    Item::Submit(submission) => batch.push(submission),
                    Item::Look(look) => looks.push(look),
                    Item::Stop => queue.close(),
                }
            }
            self.step(&mut batch)?;
            looks.drain(..).for_each(|look| self.show(look));
        }
    }

    /// One turn: decides, commits and tells what is due and a batch, and leaves it empty. `Err` is a log
    /// that must not be written any more (I10).
    pub fn step(&mut self, batch: &mut Vec<Submission>) -> Result<(), LogError> {
        self.scratch.requests.clear();
        let mut answers = Vec::new();
        if self.shard.next_due().is_some() {
            self.release(batch.len(), &mut answers);
        }
        if batch.is_empty() && answers.is_empty() {
            return Ok(());
        }
        let begun = self.around.clock.now();
        self.scratch.times = TurnTimes { begun, decided: begun, committed: begun };
        let metrics = Arc::clone(&self.around.metrics);
        answers.reserve(batch.len());
        metrics.stages.leave(Stage::Queue, batch.len() as u64);
        let mut held = Vec::new();
        for mut submission in batch.drain(..) {
            metrics.stages.observe(Stage::Queue, begun.since(submission.queued));
            submission.to.passed(Stage::Queue, begun);
            let room = submission.request.command.room();
            let outcome = Err(Rejection::Unavailable);
            answers.push(Answered { to: submission.to, room, outcome });
            held.extend(submission.held);
            self.scratch.requests.push(submission.request);
        }
        metrics.turn_size.observe(answers.len() as u64);
        let commands = answers.len() as u64;
        metrics.stages.enter(Stage::Decide, commands);
        let (events, waited) = if self.around.tail.wait_for_room(PATIENCE) {
            self.turn(begun, &mut answers)?
        } else {
            tracing::error!("the fold is far behind, a turn is refused");
            metrics.stages.leave(Stage::Decide, commands);
            Outcome::default()
        };
        let waited = self.news(waited, &events);
        // What came of it is in the directory: what was not made is free again before anybody is told.
        drop(held);
        let times = TurnTimes { committed: self.around.clock.now(), ..self.scratch.times };
        metrics.stages.enter(Stage::Fanout, commands);
        self.fanout.tell(Told { answers, events, waited, times });
        Ok(())
    }

    /// Decides and commits; the events, and what waits or does so no longer, are what is to be told.
    fn turn(&mut self, begun: Moment, answers: &mut [Answered]) -> Result<Outcome, LogError> {
        let clock = self.around.clock.clone();
        let now = self.now();
        self.fetch(now);
        let mut turn = self.shard.apply(&self.scratch.requests, &self.scratch.facts, now);
        let decided = clock.now();
        self.scratch.times.decided = decided;
        let waiting = answers.len() as u64;
        let metrics = Arc::clone(&self.around.metrics);
        metrics.stages.leave(Stage::Decide, waiting);
        if !turn.events.is_empty() {
            metrics.stages.enter(Stage::Commit, waiting);
        }
        metrics.stages.observe(Stage::Decide, decided.since(begun));
        metrics.decide_waited_micros.inc_by(decided.since(begun).as_micros() as u64 * waiting);
        for (answered, outcome) in answers.iter_mut().zip(&turn.outcomes) {
            answered.outcome = *outcome;
            answered.to.passed(Stage::Decide, decided);
        }
        answer_accepted(answers, self.scratch.times, &self.around.metrics);
        if planted(Fault::TellBeforeCommit) {
            let events = turn.events.clone();
            let (answers, waited) = (Vec::new(), Vec::new());
            let times = TurnTimes { committed: decided, ..self.scratch.times };
            self.fanout.tell(Told { answers, events, waited, times });
        }
        if turn.events.is_empty() {
            return Ok((turn.events, turn.waited));
        }
        let committed = self.commit(&turn);
        metrics.stages.leave(Stage::Commit, waiting);
        match committed {
            Ok(()) => {
                let took = clock.now().since(decided);
                metrics.stages.observe(Stage::Commit, took);
                metrics.commit_waited_micros.inc_by(took.as_micros() as u64 * waiting);
                let told = planted(Fault::TellBeforeCommit);
                let waited = std::mem::take(&mut turn.waited);
                Ok((if told { Vec::new() } else { turn.events }, waited))
            }
            Err(error @ LogError::SyncFailed(_)) => Err(error),
            Err(error) => {
                if let Some(others) = self.reverted.may(clock.now()) {
                    let requests = answers.len();
                    tracing::error!(%error, requests, others, "a turn was taken back");
                }
                self.around.metrics.turns_reverted.inc();
                self.shard.revert(turn);
                for answered in answers.iter_mut().filter(|answered| answered.outcome.is_ok()) {
                    answered.outcome = Err(Rejection::Unavailable);
                }
                Ok(Outcome::default())
            }
        }
    }

    fn now(&self) -> Now {
        let posts_total = self.around.directory.posts_total();
        Now { at: self.around.clock.wall(), posts_total }
    }

    /// Reads what the batch must know. What cannot be read is missing among the facts, and refused.
    fn fetch(&mut self, now: Now) {
        self.scratch.facts.clear();
        loop {
            let mut wants = std::mem::take(&mut self.scratch.wants);
            wants.clear();
            self.shard.wants(&self.scratch.requests, now, &mut wants);
            let mut loaded = false;
            for want in &wants {
                match want {
                    Want::Origins { .. } => loaded |= self.load_origins(*want),
                    Want::Message { room, seq } => match self.around.history.shown(*room, *seq) {
                        Ok(Some(event)) => self.scratch.facts.add_message(event),
                        Ok(None) => self.scratch.facts.add_gone(*room, *seq),
                        Err(error) => self.cannot_look_up("a message", &error),
                    },
                    Want::Consent { room, from, to } => {
                        if !self.around.contacts.may_write(*from, *to) {
                            self.scratch.facts.refuse(*room, *from, *to);
                        }
                    }
                    Want::Tallies { room, seq, user } => {
                        match self.around.history.tallies(*room, *seq, *user) {
                            Ok(tallies) => {
                                self.scratch.facts.add_tallies(*room, *seq, *user, tallies);
                            }
                            Err(error) => self.cannot_look_up("reactions", &error),
                        }
                    }
                    Want::Event { room, seq } => match self.around.history.event(*room, *seq) {
                        Ok(Some(event)) => self.scratch.facts.add(recalled(event)),
                        Ok(None) => {}
                        Err(error) => self.cannot_look_up("a repeat", &error),
                    },
                }
            }
            self.scratch.wants = wants;
            if !loaded {
                return;
            }
        }
    }

    fn cannot_look_up(&mut self, what: &str, error: &StoreError) {
        if let Some(others) = self.unread.may(self.around.clock.now()) {
            tracing::error!(%error, what, others, "cannot look up what a command asks for");
        }
    }

    fn load_origins(&mut self, want: Want) -> bool {
        let Want::Origins { room, through, since } = want else { return false };
        let shard = &mut self.shard;
        let read = self.around.store.origins(room, through, since, &mut |user, id, seq, at| {
            shard.load_origin(room, user, id, seq, at);
        });
        match &read {
            Ok(()) => self.shard.origins_loaded(room),
            Err(error) => self.cannot_look_up("the origin ids of a room", error),
        }
        read.is_ok()
    }

    /// Loads the `origin_id`s of one more room while nothing waits. False when all are loaded.
    fn warm(&mut self) -> bool {
        let now = Now { at: self.around.clock.wall(), posts_total: 0 };
        match self.shard.wants_warming(now) {
            Some(want) => self.load_origins(want),
            None => false,
        }
    }

    fn commit(&mut self, turn: &Turn) -> Result<(), LogError> {
        let bytes = &mut self.scratch.turn;
        bytes.clear();
        record::encode_turn(&turn.events, bytes);
        let id = self.around.log.append(bytes)?;
        // What is durable is first where it can be read, then told of, and only then acknowledged.
        self.around.tail.insert(id, &turn.events);
        self.around.directory.update(&turn.events);
        traffic::committed(&self.around.metrics, &turn.events);
        self.around.metrics.turns.inc();
        Ok(())
    }
}

/// What is known of a post that may be repeated. The planted fault recalls another sender.
fn recalled(event: Arc<Event>) -> Arc<Event> {
    if !planted(Fault::ForgetOrigins) {
        return event;
    }
    let mut other = Event::clone(&event);
    if let EventKind::Posted { author, .. } = &mut other.kind {
        author.id = UserId::new(author.id.get() + 1).unwrap_or(author.id);
    }
    Arc::new(other)
}

/// Those who asked only for *accepted* are answered before the commit, for that is what it means.
fn answer_accepted(answers: &mut [Answered], times: TurnTimes, metrics: &Metrics) {
    let mut writer = Writer::default();
    let mut path = Path::default();
    for answered in answers {
        let ReplyTo::Connection { outbox, re, ack, trace, arrival } = &mut answered.to else {
            continue;
        };
        if *ack != Ack::Accepted && !planted(Fault::AckBeforeCommit) {
            continue;
        }
        let answer = match answered.outcome {
            Ok(Reply::Posted { seq, n, at, repeat }) => {
                if metrics.stages.are_counted() {
                    path.decided(*arrival, times);
                }
                let (room, ack, trace) = (answered.room, *ack, trace.take());
                Answer::Posted { room, seq, n, at, repeat, ack, trace }
            }
            Ok(_) => continue,
            Err(rejection) => {
                metrics.rejections.inc();
                Answer::Rejected(rejection)
            }
        };
        outbox.judge(answered.outcome.err());
        let mut bytes = Vec::new();
        outbox.form.answer(*re, &answer, &mut bytes);
        outbox.stage_answer(bytes, Settles::Command);
        outbox.flush(&mut writer);
        answered.to = ReplyTo::Nobody;
    }
    path.over(times.decided, &metrics.posts);
}
