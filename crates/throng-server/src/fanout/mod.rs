//! Tells what was committed to those who listen: one queue for told turns, subscriptions and
//! departures, so that "history up to N, live from N+1" has no race.
//!
//! Neighbours: the sequencer tells, connections attach and go; `deliver.rs` is what is told,
//! `rendering.rs` its bytes, `pace.rs` how long to gather. When the fan-out is idle and the turn is
//! small, the sequencer's own thread runs it and no other is woken. When it falls behind, the
//! sequencer waits. It never drops anything that was told.

mod deliver;
mod pace;
mod presence;
mod rendering;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use throng_core::shard::Waited;
use throng_core::{Event, Rejection, Reply, RoomId, Seq, Timestamp, UserId};
use tokio::sync::oneshot;

use crate::clock::{Clock, Moment};
use crate::lifecycle::Fatal;
use crate::operations::metrics::Stage;
use crate::operations::posts::{Arrival, TurnTimes};
use crate::operations::trace::Trace;
use crate::outbox::{ConnectionId, Outbox};
use crate::protocols::Ack;
pub use deliver::{Around, Deliver};
pub use pace::{Offered, Pace};

/// Told turns that may wait; then the sequencer waits. Each is bounded by `turn_max`.
const TOLD_MAX: usize = 32;

/// Orders that may wait before one that need not be carried out is left out: who types says so again,
/// and the next sweep tells what this one would have.
const ORDERS_MAX: usize = 4_096;

/// One committed turn: what came of its requests, and what happened, in one order.
#[derive(Debug)]
pub struct Told {
    /// The answers.
    pub answers: Vec<Answered>,
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// What waits from now on, or waits no longer.
    pub waited: Vec<HeldNews>,
    /// When it passed its stages.
    pub times: TurnTimes,
}

/// What waits in a room from now on, or waits no longer.
#[derive(Debug)]
pub struct HeldNews {
    /// What.
    pub waited: Waited,
    /// Those who keep order there, and perhaps some who did.
    pub keepers: Arc<[UserId]>,
}

/// What came of one request.
#[derive(Debug)]
pub struct Answered {
    /// Who is told.
    pub to: ReplyTo,
    /// Of which room.
    pub room: RoomId,
    /// What.
    pub outcome: Result<Reply, Rejection>,
}

/// Who waits for an answer.
#[derive(Debug)]
pub enum ReplyTo {
    /// A connection; its request has this number and asked for this ack.
    Connection {
        /// Which.
        outbox: Arc<Outbox>,
        /// The request.
        re: u32,
        /// What was asked for, and has been reached by now.
        ack: Ack,
        /// Where its time goes, if the answer is to say it.
        trace: Option<Box<Trace>>,
        /// When it came.
        arrival: Arrival,
    },
    /// A caller inside the server (REST).
    Caller {
        /// It.
        done: oneshot::Sender<Decided>,
        /// Where its time goes, if it wants to know.
        trace: Option<Box<Trace>>,
    },
    /// Was answered before.
    Nobody,
}

/// What came of a request, and where its time went until it was known.
pub type Decided = (Result<Reply, Rejection>, Option<Box<Trace>>);

impl ReplyTo {
    /// This stage is over for the request.
    pub fn passed(&mut self, stage: Stage, now: Moment) {
        if let Self::Connection { trace: Some(trace), .. }
        | Self::Caller { trace: Some(trace), .. } = self
        {
            trace.passed(stage, now);
        }
    }

    /// The connection that waits, if it is one.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Connection { outbox, .. } => Some(outbox.id),
            Self::Caller { .. } | Self::Nobody => None,
        }
    }
}

/// Wants to hear a room on a connection.
#[derive(Debug)]
pub struct Attach {
    /// Which room.
    pub room: RoomId,
    /// The account; whether it belongs is asked again here.
    pub user: UserId,
    /// The connection.
    pub outbox: Arc<Outbox>,
    /// What it has been given up to; `None` to begin with what comes next.
    pub from: Option<Seq>,
    /// Events that it may be given.
    pub limit: usize,
    /// What happened in the room before this time is kept no longer.
    pub since: Timestamp,
    /// The request, answered with `subscribed`.
    pub re: u32,
    /// What came of it.
    pub done: oneshot::Sender<Attached>,
}

/// What came of an `Attach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// It hears the room, and was answered.
    Done,
    /// Memory does not reach back to where it has got to: read more first.
    Behind,
    /// It may not.
    Refused(Rejection),
}

/// What a fan-out is asked.
#[derive(Debug)]
pub enum Order {
    /// Tell this.
    Told(Told),
    /// Let it listen.
    Attach(Attach),
    /// Let it listen to this room no more; answered with `done`.
    Detach {
        /// Which room.
        room: RoomId,
        /// The connection.
        outbox: Arc<Outbox>,
        /// The request.
        re: u32,
    },
    /// A connection is gone.
    Gone(ConnectionId),
    /// An account types.
    Types {
        /// In which room.
        room: RoomId,
        /// Who.
        user: UserId,
        /// When.
        at: Moment,
    },
    /// Which of these accounts hear the room.
    Here {
        /// Which room.
        room: RoomId,
        /// These.
        users: Vec<UserId>,
        /// In their order.
        done: oneshot::Sender<Vec<bool>>,
    },
    /// The two of a direct room are parted by a block, or no longer.
    Parted(RoomId),
    /// Tell what has changed in who is where.
    Sweep(Moment),
}

/// The fan-out of one shard.
#[derive(Debug)]
pub struct Fanout {
    deliver: Mutex<Deliver>,
    queue: Queue,
    clock: Clock,
}

impl Fanout {
    /// A fan-out whose thread is not started yet.
    pub fn new(deliver: Deliver, clock: Clock) -> Self {
        Self { deliver: Mutex::new(deliver), queue: Queue::default(), clock }
    }

    /// Starts its thread, which ends after `stop` when all that was told is written.
    pub fn start(self: &Arc<Self>, shard: usize, fatal: Fatal) -> std::io::Result<JoinHandle<()>> {
        let fanout = Arc::clone(self);
        std::thread::Builder::new().name(format!("fanout-{shard}")).spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| fanout.run())).is_err() {
                fatal.bug("a fan-out's thread panicked");
            }
        })
    }

    /// Tells a turn; from the sequencer's thread, which waits when too much waits already.
    pub fn tell(&self, told: Told) {
        if let Some(told) = self.tell_in_line(told) {
            self.queue.push_told(told);
        }
    }

    /// Runs the fan-out here and now if nothing is before this turn and it is quickly done.
    fn tell_in_line(&self, told: Told) -> Option<Told> {
        let mut deliver = match self.deliver.try_lock() {
            Ok(deliver) => deliver,
            Err(TryLockError::WouldBlock) => return Some(told),
            Err(TryLockError::Poisoned(_)) => broken(),
        };
        let quick = self.queue.is_empty()
            && !deliver.is_spreading()
            && deliver.until_flush(self.clock.now()).is_zero()
            && deliver.is_small(&told.events);
        if !quick {
            return Some(told);
        }
        deliver.take(Order::Told(told));
        deliver.flush(|| self.clock.now());
        if deliver.is_spreading() {
            // A join of this very turn made the room a large one.
            drop(deliver);
            self.queue.kick();
        }
        None
    }

    /// Asks for something that is not a turn; from anywhere. Each connection has at most one such
    /// request under way, and what nobody waits for is left out when too much waits, so that they are
    /// bounded.
    pub fn ask(&self, order: Order) {
        if let Order::Detach { outbox, .. } = &order {
            // In flight until it is answered: its connection asks for no other before that.
            outbox.sent_off();
        }
        self.queue.push(order);
    }

    /// Ends the thread when all is written.
    pub fn stop(&self) {
        let mut waiting = self.queue.lock();
        waiting.stopping = true;
        self.queue.work.notify_one();
    }

    fn run(&self) {
        loop {
            let Step::Wait(gathering) = self.step() else { continue };
            if !self.queue.wait(gathering) && gathering.is_none() {
                return;
            }
        }
    }

    /// Takes what waits, writes what is due, and one slice of what is large.
    fn step(&self) -> Step {
        let mut deliver = self.deliver.lock().unwrap_or_else(|_| broken());
        while deliver.has_place()
            && let Some(order) = self.queue.pop()
        {
            deliver.take(order);
        }
        let now = self.clock.now();
        let due = deliver.due(now);
        if due.is_some_and(|wait| wait.is_zero()) || !deliver.has_place() {
            deliver.flush(|| self.clock.now());
        }
        if deliver.is_spreading() {
            deliver.spread(|| self.clock.now());
            return Step::Again;
        }
        match deliver.due(self.clock.now()) {
            Some(Duration::ZERO) => Step::Again,
            gathering => Step::Wait(gathering),
        }
    }
}

/// What the thread does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is more to do.
    Again,
    /// Nothing, until there is work or for as long as gathering lasts.
    Wait(Option<Duration>),
}

/// A fan-out that panicked has told some and not others: nothing after it can be right.
fn broken() -> ! {
    panic!("the fan-out panicked before; see above")
}

/// Orders waiting for the fan-out's thread.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// There is something to do.
    work: Condvar,
    /// There is place for a told turn.
    place: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: VecDeque<Order>,
    told: usize,
    /// The thread sleeps and no timer will wake it.
    idle: bool,
    /// There is something to do that is not among the orders.
    kicked: bool,
    stopping: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.lock().orders.is_empty()
    }

    fn push_told(&self, told: Told) {
        let full = |waiting: &mut Waiting| waiting.told >= TOLD_MAX;
        let waiting = self.place.wait_while(self.lock(), full);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.told += 1;
        waiting.orders.push_back(Order::Told(told));
        // A thread that gathers wakes by itself; half a queue is worth waking it earlier.
        if waiting.idle || waiting.told * 2 >= TOLD_MAX {
            waiting.idle = false;
            drop(waiting);
            self.work.notify_one();
        }
    }

    fn push(&self, order: Order) {
        let mut waiting = self.lock();
        let hint = matches!(order, Order::Types { .. } | Order::Sweep(_));
        if hint && waiting.orders.len() >= ORDERS_MAX {
            return;
        }
        waiting.orders.push_back(order);
        if std::mem::take(&mut waiting.idle) {
            drop(waiting);
            self.work.notify_one();
        }
    }

    /// Wakes the thread for what it finds when it looks.
    fn kick(&self) {
        let mut waiting = self.lock();
        waiting.kicked = true;
        waiting.idle = false;
        drop(waiting);
        self.work.notify_one();
    }

    fn pop(&self) -> Option<Order> {
        let mut waiting = self.lock();
        let order = waiting.orders.pop_front()?;
        if let Order::Told(_) = order {
            let was_full = waiting.told >= TOLD_MAX;
            waiting.told -= 1;
            if was_full {
                drop(waiting);
                self.place.notify_one();
            }
        } else if waiting.orders.is_empty() && waiting.orders.capacity() > 1_024 {
            waiting.orders = VecDeque::new();
        }
        Some(order)
    }

    /// Waits until there is something to do, or for as long as gathering lasts. False when it is to
    /// stop and nothing waits.
    fn wait(&self, gathering: Option<Duration>) -> bool {
        let mut waiting = self.lock();
        if let Some(rest) = gathering {
            let early = |waiting: &mut Waiting| waiting.told * 2 < TOLD_MAX;
            let waited = self.work.wait_timeout_while(waiting, rest, early);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            return true;
        }
        while waiting.orders.is_empty() && !std::mem::take(&mut waiting.kicked) {
            if waiting.stopping {
                return false;
            }
            waiting.idle = true;
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.idle = false;
        true
    }
}

#[cfg(test)]
mod tests;
