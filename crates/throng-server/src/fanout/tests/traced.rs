//! Answers that say where their message's time went: when they leave, and in which order.

use throng_wire::native::v1::{Trace as Told_, reply::Outcome};

use super::*;

/// A traced post of this connection, decided at once, in a turn that was committed `ago`.
fn posted(world: &World, outbox: &Arc<Outbox>, re: u32, seq: u64, ago: Duration) -> Told {
    let now = world.clock.now();
    let committed = Moment(now.0 - ago.as_nanos() as u64);
    let mut trace = Box::<Trace>::default();
    trace.begin(committed);
    outbox.sent_off();
    let mut to = asked_by(outbox, re);
    let ReplyTo::Connection { trace: own, .. } = &mut to else { unreachable!() };
    *own = Some(trace);
    let outcome = Ok(Reply::Posted { seq: Seq(seq), n: seq, at: Timestamp(0), repeat: false });
    let answers = vec![Answered { to, room: room(1), outcome }];
    let times = TurnTimes { committed, ..TurnTimes::default() };
    Told { answers, events: vec![post(room(1), seq)], times, ..nothing() }
}

fn trace_of(frame: Frame, asked: u32) -> Told_ {
    match frame {
        Frame::Reply(reply) if reply.re == asked => match reply.outcome {
            Some(Outcome::Posted(posted)) => posted.trace.expect("it was asked for"),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// One member who hears the room, on a server so loud that turns are gathered.
fn loud() -> (World, Arc<Outbox>, Ear) {
    let mut world = World::new();
    world.make_room(1, 2);
    let (mut outboxes, mut ear) = world.outboxes(1);
    let outbox = outboxes.pop().unwrap();
    world.attach(1, &outbox);
    ear.expect(&[(0, 1)]);
    world.clock.advance(Duration::from_secs(1));
    Pace::new(world.fanout.deliver.lock().unwrap().offered()).offer(1_000_000);
    world.fanout.tell(told(vec![post(room(1), 3)]));
    ear.expect(&[(1, 3)]);
    (world, outbox, ear)
}

#[test]
fn gathering_is_a_part_of_the_fan_out_and_the_ack_comes_before_its_event() {
    let (world, outbox, mut ear) = loud();
    world.fanout.tell(posted(&world, &outbox, 7, 4, Duration::from_micros(50)));
    let Step::Wait(Some(rest)) = world.fanout.step() else { panic!("nothing to gather for") };
    assert!(ear.is_silent() && !rest.is_zero());
    world.clock.advance(rest);
    world.settle();
    let trace = trace_of(ear.frame(), 7);
    assert_eq!(u128::from(trace.fanout), rest.as_micros() + 50);
    assert_eq!(trace.commit, 0, "it was stamped at the commit");
    ear.expect(&[(1, 4)]);
    assert!(outbox.idle_or_tell(), "it is answered");
}

#[test]
fn what_else_is_told_the_same_connection_comes_after_it() {
    let (world, outbox, mut ear) = loud();
    world.fanout.tell(posted(&world, &outbox, 7, 4, Duration::ZERO));
    let (detached, re) = (Arc::clone(&outbox), 8);
    world.fanout.ask(Order::Detach { room: room(1), outbox: detached, re });
    world.clock.advance(Duration::from_millis(2));
    world.settle();
    assert_eq!(trace_of(ear.frame(), 7).fanout, 2_000);
    ear.expect(&[(0, 8)]);
}

#[test]
fn whoever_traces_everything_is_answered_everything_in_order() {
    let (world, outbox, mut ear) = loud();
    let mut turn = nothing();
    for at in 0..40 {
        let one = posted(&world, &outbox, 100 + at, 4 + u64::from(at), Duration::ZERO);
        turn.answers.extend(one.answers);
        turn.events.extend(one.events);
    }
    world.fanout.tell(turn);
    world.clock.advance(Duration::from_millis(2));
    world.settle();
    for at in 0..40 {
        trace_of(ear.frame(), 100 + at);
    }
    for seq in 4..44 {
        ear.expect(&[(1, seq)]);
    }
}

#[test]
fn a_turn_that_nobody_is_told_of_is_over_when_it_was_looked_at() {
    let world = World::new();
    let stages = &world.around.metrics.stages;
    world.clock.advance(Duration::from_secs(1));
    let committed = world.clock.now();
    let times = TurnTimes { committed, ..TurnTimes::default() };
    let turn = Told { events: vec![post(room(1), 3)], times, ..nothing() };
    let answers = vec![Answered {
        to: ReplyTo::Nobody,
        room: room(1),
        outcome: Ok(Reply::Left { seq: Seq(9) }),
    }];
    stages.enter(Stage::Fanout, 1);
    // Something is before it: the thread takes it.
    world.fanout.ask(gone());
    world.fanout.tell(Told { answers, ..turn });
    assert_eq!(stages.inside(Stage::Fanout), 1);
    world.clock.advance(Duration::from_micros(30));
    world.settle();
    assert_eq!(stages.inside(Stage::Fanout), 0);
    assert_eq!(world.around.metrics.fanout_waited_micros.get(), 30);
}
