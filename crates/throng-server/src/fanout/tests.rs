//! The queue and the steps of a fan-out, one interleaving at a time: no thread of its own runs, so
//! that each test says who comes before whom.

mod answered;
mod here;
mod traced;
mod unread;

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

use throng_core::session::Identity;
use throng_core::{Epoch, EventKind, Limits, SessionId};
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::{native::protobuf, raw};

use super::deliver::LARGE;
use super::*;
use crate::contacts::Contacts;
use crate::directory::Directory;
use crate::operations::metrics::Metrics;
use crate::personal::Personal;
use crate::protocols::Form;
use crate::samples::{author, event, history, post, room};
use crate::sessions::Sessions;
use crate::tail::Tail;

const SOON: Duration = Duration::ZERO;
const NEVER: Duration = Duration::from_hours(1);

fn nothing() -> Told {
    let (answers, events, waited) = (Vec::new(), Vec::new(), Vec::new());
    Told { answers, events, waited, times: TurnTimes::default() }
}

fn told(events: Vec<Arc<Event>>) -> Told {
    Told { events, ..nothing() }
}

/// A request of this connection.
fn asked_by(outbox: &Arc<Outbox>, re: u32) -> ReplyTo {
    let (outbox, ack, trace) = (Arc::clone(outbox), Ack::Durable, None);
    ReplyTo::Connection { outbox, re, ack, trace, arrival: Arrival::default() }
}

fn gone() -> Order {
    Order::Gone(ConnectionId(u64::MAX))
}

/// Returns once the other thread sleeps in `wait` and no timer will wake it.
fn until_idle(queue: &Queue) {
    while !queue.lock().idle {
        std::thread::yield_now();
    }
}

fn stop(queue: &Queue) {
    queue.lock().stopping = true;
    queue.work.notify_one();
}

// ---- the queue --------------------------------------------------------------------------------

#[test]
fn what_nobody_waits_for_is_left_out_when_so_much_waits_and_nothing_else_is() {
    let queue = Queue::default();
    let len = |queue: &Queue| queue.lock().orders.len();
    let types = || Order::Types { room: room(1), user: author(1).id, at: Moment::default() };
    for _ in 1..ORDERS_MAX {
        queue.push(gone());
    }
    queue.push(types());
    assert_eq!(len(&queue), ORDERS_MAX, "the last for which there is place");
    queue.push(types());
    queue.push(Order::Sweep(Moment::default()));
    assert_eq!(len(&queue), ORDERS_MAX);
    queue.push(gone());
    assert_eq!(len(&queue), ORDERS_MAX + 1, "a connection that is gone must be known to be");
    queue.pop();
    queue.pop();
    queue.push(Order::Sweep(Moment::default()));
    assert_eq!(len(&queue), ORDERS_MAX);
}

#[test]
fn an_idle_thread_is_woken_by_an_order_a_turn_a_kick_and_a_stop() {
    type Wake = fn(&Queue);
    let wakes: [(Wake, bool); 4] = [
        (|queue| queue.push(gone()), true),
        (|queue| queue.push_told(nothing()), true),
        (Queue::kick, true),
        (stop, false),
    ];
    for (wake, goes_on) in wakes {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| queue.wait(None));
            until_idle(&queue);
            wake(&queue);
            assert_eq!(thread.join().unwrap(), goes_on);
        });
        assert!(!queue.lock().idle || !goes_on, "who is awake is not woken again");
    }
}

#[test]
fn a_kick_before_the_thread_sleeps_is_not_lost_and_counts_once() {
    let queue = Queue::default();
    queue.kick();
    queue.kick();
    assert!(queue.wait(None));
    assert!(!queue.lock().kicked);
    stop(&queue);
    assert!(!queue.wait(None), "it would sleep now, and is told to stop instead");
}

#[test]
fn a_stop_lets_what_waits_be_done_first() {
    let queue = Queue::default();
    queue.push_told(nothing());
    queue.push(gone());
    stop(&queue);
    for _ in 0..2 {
        assert!(queue.wait(None));
        assert!(queue.pop().is_some());
    }
    assert!(!queue.wait(None));
}

#[test]
fn a_gathering_thread_goes_on_by_itself_and_at_half_a_queue_at_once() {
    let queue = Queue::default();
    assert!(queue.wait(Some(SOON)), "its time is over");
    assert!(!queue.lock().idle, "a timer wakes it: nobody needs to");
    for _ in 0..TOLD_MAX / 2 - 1 {
        queue.push_told(nothing());
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| queue.wait(Some(NEVER)));
        // Whether it sleeps by now or not, half a queue makes it go on.
        queue.push_told(nothing());
        assert!(thread.join().unwrap());
    });
    assert!(queue.wait(Some(NEVER)), "and it does not sleep while half a queue waits");
}

#[test]
fn told_turns_wait_at_their_bound_and_nothing_else_does() {
    let queue = Queue::default();
    for _ in 0..TOLD_MAX {
        queue.push_told(nothing());
    }
    queue.push(gone());
    assert_eq!(queue.lock().orders.len(), TOLD_MAX + 1, "other orders are not held up");
    std::thread::scope(|scope| {
        let sequencer = scope.spawn(|| {
            for _ in 0..TOLD_MAX {
                queue.push_told(nothing());
                assert!(queue.lock().told <= TOLD_MAX);
            }
        });
        // Each turn that is taken lets exactly one in; the order among all is kept.
        let mut taken = 0;
        while taken < 2 * TOLD_MAX {
            match queue.pop() {
                Some(Order::Told(_)) => taken += 1,
                Some(_) => assert_eq!(taken, TOLD_MAX),
                None => std::thread::yield_now(),
            }
        }
        sequencer.join().unwrap();
    });
    assert_eq!(queue.lock().told, 0);
    assert!(queue.is_empty());
}

// ---- steps ------------------------------------------------------------------------------------

/// A fan-out without a thread, over real sockets.
struct World {
    fanout: Fanout,
    around: Around,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
    made: u64,
}

/// What one socket brings; several outboxes may write to it.
struct Ear(TcpStream);

impl World {
    fn new() -> Self {
        Self::with(Metrics::new())
    }

    fn with(metrics: Arc<Metrics>) -> Self {
        let limits = Limits::default();
        let directory = Arc::new(Directory::new(&limits));
        let personal = Personal::open(None).unwrap();
        let clock = Clock::manual();
        let around = Around {
            clock: clock.clone(),
            contacts: Arc::new(Contacts::new(personal, Arc::clone(&directory))),
            directory,
            sessions: Arc::new(Sessions::new(&limits)),
            tail: Arc::new(Tail::new(1 << 20, 1_000)),
            metrics,
            epoch: Epoch(1),
        };
        let deliver = Deliver::new(around.clone(), Offered::default(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let fanout = Fanout::new(deliver, clock.clone());
        Self { fanout, around, clock, runtime, made: 0 }
    }

    /// The room exists up to `head`, and account 1 belongs to it.
    fn make_room(&self, number: u32, head: u64) {
        let room = room(number);
        self.around.directory.update(&history(room, 1, head));
        self.around.tail.restore(room, Seq(head));
    }

    /// So many connections that share a socket.
    fn outboxes(&mut self, count: usize) -> (Vec<Arc<Outbox>>, Ear) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let outboxes = (0..count).map(|_| {
            self.made += 1;
            let stream = theirs.try_clone().unwrap();
            let stream = self.runtime.block_on(async {
                let stream = tokio::net::TcpStream::from_std(stream).unwrap();
                stream.writable().await.unwrap();
                stream
            });
            let id = ConnectionId(self.made);
            Arc::new(Outbox::new(id, Form::RawProtobuf, stream, &Limits::default()))
        });
        (outboxes.collect(), Ear(ours))
    }

    /// It hears the room from its head on, as account 1.
    fn attach(&self, number: u32, outbox: &Arc<Outbox>) {
        self.attach_as(1, number, outbox);
    }

    fn attach_as(&self, user: u64, number: u32, outbox: &Arc<Outbox>) {
        let (done, attached) = oneshot::channel();
        let (room, outbox) = (room(number), Arc::clone(outbox));
        let user = author(user).id;
        self.fanout.ask(Order::Attach(Attach {
            room,
            user,
            outbox,
            from: None,
            limit: 10,
            since: Timestamp(0),
            re: 1,
            done,
        }));
        self.settle();
        assert_eq!(attached.blocking_recv(), Ok(Attached::Done));
    }

    /// What the thread would do until it would sleep.
    fn settle(&self) -> usize {
        let mut steps = 1;
        while self.fanout.step() != Step::Wait(None) {
            steps += 1;
        }
        steps
    }

    fn is_spreading(&self) -> bool {
        self.fanout.deliver.lock().unwrap().is_spreading()
    }

    fn waiting(&self) -> usize {
        self.fanout.queue.lock().orders.len()
    }
}

impl Ear {
    /// The next frame, whatever it is.
    fn frame(&mut self) -> Frame {
        let mut head = [0; raw::HEADER_LEN];
        self.0.read_exact(&mut head).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(head) as usize];
        self.0.read_exact(&mut frame).unwrap();
        protobuf::decode_server(&frame).unwrap().frame.unwrap()
    }

    /// The next frame, as room and place of an event, or 0 and the request that is answered.
    fn next(&mut self) -> (u32, u64) {
        match self.frame() {
            Frame::Event(event) => (event.room, event.seq),
            Frame::Reply(reply) => (0, u64::from(reply.re)),
            Frame::Left(left) => (u32::MAX, left.seq),
            other => panic!("{other:?}"),
        }
    }

    fn expect(&mut self, frames: &[(u32, u64)]) {
        for frame in frames {
            assert_eq!(self.next(), *frame);
        }
    }

    /// Nothing was written beside what was read: all writes are done when a step returns.
    fn is_silent(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        peeked.is_err()
    }
}

#[test]
fn a_small_turn_is_told_in_line_when_nothing_is_before_it() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (outboxes, mut ear) = world.outboxes(1);
    world.attach(1, &outboxes[0]);
    world.fanout.tell(told(vec![post(room(1), 3)]));
    assert_eq!(world.waiting(), 0);
    ear.expect(&[(0, 1), (1, 3)]);
    assert!(!world.fanout.queue.lock().kicked, "no thread is woken for it");
}

#[test]
fn a_turn_waits_behind_the_thread_at_work_and_behind_what_waits_already() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (outboxes, mut ear) = world.outboxes(1);
    world.attach(1, &outboxes[0]);
    ear.expect(&[(0, 1)]);
    let at_work = world.fanout.deliver.lock().unwrap();
    world.fanout.tell(told(vec![post(room(1), 3)]));
    drop(at_work);
    assert_eq!(world.waiting(), 1);
    // The thread has not looked yet, but it is not passed by.
    world.fanout.tell(told(vec![post(room(1), 4)]));
    let outbox = Arc::clone(&outboxes[0]);
    world.fanout.ask(Order::Detach { room: room(1), outbox, re: 2 });
    world.fanout.tell(told(vec![post(room(1), 5)]));
    assert_eq!(world.waiting(), 4);
    assert!(ear.is_silent());
    world.settle();
    ear.expect(&[(0, 2)]);
    assert!(ear.is_silent(), "who detached before anything was written hears nothing of it");
}

#[test]
fn a_large_room_is_told_in_slices_once_each_and_small_rooms_go_between() {
    let mut world = World::new();
    world.make_room(1, 2);
    world.make_room(2, 2);
    let (crowd, mut ear) = world.outboxes(LARGE + 1);
    let (few, mut quick) = world.outboxes(1);
    for outbox in &crowd {
        world.attach(1, outbox);
    }
    world.attach(2, &few[0]);
    for _ in &crowd {
        ear.expect(&[(0, 1)]);
    }
    quick.expect(&[(0, 1)]);
    world.fanout.tell(told(vec![post(room(1), 3)]));
    assert_eq!(world.waiting(), 1, "too much to be done in the sequencer's thread");
    assert_eq!(world.fanout.step(), Step::Again);
    assert!(world.is_spreading());
    // Told while the spread goes on: not in line, or it would come before what waits.
    world.fanout.tell(told(vec![post(room(2), 3)]));
    world.fanout.tell(told(vec![post(room(1), 4)]));
    assert_eq!(world.waiting(), 2);
    assert_eq!(world.fanout.step(), Step::Again);
    assert!(world.is_spreading(), "the large room is not done");
    quick.expect(&[(2, 3)]);
    world.settle();
    assert!(!world.is_spreading());
    let mut heard = [0; 2];
    for _ in 0..2 * crowd.len() {
        let (number, seq) = ear.next();
        assert_eq!(number, 1);
        heard[seq as usize - 3] += 1;
        assert!(heard[1] == 0 || heard[0] == crowd.len(), "the second spread follows the first");
    }
    assert_eq!(heard, [LARGE + 1; 2]);
    assert!(ear.is_silent() && quick.is_silent());
}

#[test]
fn a_join_that_makes_a_room_large_in_its_own_turn_wakes_the_thread() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (mut crowd, mut ear) = world.outboxes(LARGE + 1);
    let last = crowd.pop().unwrap();
    for outbox in &crowd {
        world.attach(1, outbox);
    }
    for _ in &crowd {
        ear.expect(&[(0, 1)]);
    }
    last.sent_off();
    let to = asked_by(&last, 9);
    let outcome = Ok(Reply::Joined { seq: Seq(3), already: false });
    let answers = vec![Answered { to, room: room(1), outcome }];
    let joined = event(room(1), 3, EventKind::Joined { who: author(2) });
    let unheard = Arc::new(Event { pushed: false, ..Event::clone(&joined) });
    let events = vec![unheard, post(room(1), 4)];
    world.fanout.tell(Told { answers, events, ..nothing() });
    assert_eq!(world.waiting(), 0, "it looked small, and was told in line");
    assert!(world.is_spreading() && world.fanout.queue.lock().kicked);
    assert!(world.fanout.queue.wait(None), "the thread does not sleep");
    world.settle();
    ear.expect(&[(0, 9)]);
    for _ in 0..=LARGE {
        ear.expect(&[(1, 4)]);
    }
    assert!(ear.is_silent());
}

#[test]
fn what_is_gathered_is_written_when_its_time_has_come_and_not_before() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (outboxes, mut ear) = world.outboxes(1);
    world.attach(1, &outboxes[0]);
    ear.expect(&[(0, 1)]);
    // A loud server: a second of a million frames, told elsewhere.
    world.clock.advance(Duration::from_secs(1));
    Pace::new(world.fanout.deliver.lock().unwrap().offered()).offer(1_000_000);
    world.fanout.tell(told(vec![post(room(1), 3)]));
    ear.expect(&[(1, 3)]);
    world.fanout.tell(told(vec![post(room(1), 4)]));
    assert_eq!(world.waiting(), 1, "written a moment ago: the thread gathers");
    let Step::Wait(Some(rest)) = world.fanout.step() else { panic!("nothing to gather for") };
    assert!(!rest.is_zero() && rest <= Duration::from_millis(2));
    assert!(ear.is_silent());
    world.clock.advance(rest.saturating_sub(Duration::from_nanos(1)));
    world.fanout.tell(told(vec![post(room(1), 5)]));
    assert!(matches!(world.fanout.step(), Step::Wait(Some(_))));
    assert!(ear.is_silent());
    world.clock.advance(Duration::from_nanos(1));
    assert_eq!(world.settle(), 1);
    ear.expect(&[(1, 4), (1, 5)]);
    assert_eq!(world.around.metrics.frames_per_write.sum(), 1 + 1 + 2, "two in one write");
}

#[test]
fn a_thread_that_is_stopped_has_written_all_that_was_told_and_ends() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (outboxes, mut ear) = world.outboxes(1);
    world.attach(1, &outboxes[0]);
    let at_work = world.fanout.deliver.lock().unwrap();
    for seq in 3..3 + TOLD_MAX as u64 {
        world.fanout.tell(told(vec![post(room(1), seq)]));
    }
    drop(at_work);
    world.fanout.stop();
    world.fanout.run();
    ear.expect(&[(0, 1)]);
    for seq in 3..3 + TOLD_MAX as u64 {
        ear.expect(&[(1, seq)]);
    }
}

/// One connection of account 1 that hears room 1, whose order has got to 4.
fn one_listener() -> (World, Ear) {
    let mut world = World::new();
    world.make_room(1, 4);
    let (outboxes, mut ear) = world.outboxes(1);
    let identity = Identity { user: author(1), session: SessionId(1) };
    world.around.sessions.bind(&outboxes[0], &identity).unwrap();
    world.attach(1, &outboxes[0]);
    ear.expect(&[(0, 1)]);
    (world, ear)
}

#[test]
fn who_left_by_another_connection_is_told_so_and_hears_nothing_after_it() {
    let (world, mut ear) = one_listener();
    let left = event(room(1), 5, EventKind::Left { who: author(1) });
    world.around.directory.update(std::slice::from_ref(&left));
    world.fanout.tell(told(vec![left, post(room(1), 6)]));
    ear.expect(&[(u32::MAX, 5)]);
    assert!(ear.is_silent());
}

/// A leave and the join after it were committed in one turn, and the connection came to listen
/// between the commit and the telling: at a place that has both.
#[test]
fn who_came_to_listen_after_the_account_joined_again_is_not_told_of_the_leave_before() {
    let (world, mut ear) = one_listener();
    let left = event(room(1), 3, EventKind::Left { who: author(1) });
    let joined = event(room(1), 4, EventKind::Joined { who: author(1) });
    world.fanout.tell(told(vec![left, joined, post(room(1), 5)]));
    ear.expect(&[(1, 5)]);
    assert!(ear.is_silent());
}
