//! Posts as they are answered: the fan-out of each is over when its ack leaves, and nothing else is counted
//! among them.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A post of this connection, committed just now.
fn posted(world: &World, outbox: &Arc<Outbox>, seq: u64) -> Told {
    outbox.sent_off();
    let outcome = Ok(Reply::Posted { seq: Seq(seq), n: seq, at: Timestamp(0), repeat: false });
    let to = asked_by(outbox, 9);
    let answers = vec![Answered { to, room: room(1), outcome }];
    let now = world.clock.now();
    let times = TurnTimes { begun: now, decided: now, committed: now };
    Told { answers, events: vec![post(room(1), seq)], times, ..nothing() }
}

/// How many posts were answered, and milliseconds that they were in the fan-out.
fn answered(world: &World) -> (u64, u64) {
    let posts = &world.around.metrics.posts;
    (posts.answered.get(), posts.nanos(Stage::Fanout) / 1_000_000)
}

#[test]
fn a_post_is_answered_when_its_ack_leaves_and_not_when_the_last_of_a_large_room_is_told() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (crowd, _ear) = world.outboxes(LARGE + 1);
    for outbox in &crowd {
        world.attach(1, outbox);
    }
    world.clock.advance(Duration::from_secs(1));
    world.fanout.tell(posted(&world, &crowd[LARGE], 3));
    assert_eq!(answered(&world), (0, 0), "a large room is for the thread");
    world.clock.advance(2 * MS);
    world.fanout.step();
    assert!(world.is_spreading());
    assert_eq!(answered(&world), (1, 2));
    world.clock.advance(40 * MS);
    world.settle();
    assert_eq!(answered(&world), (1, 2));
    assert!(world.around.metrics.fanout_waited_micros.get() >= 42_000, "the turn is told to all");
}

#[test]
fn a_join_in_the_same_turn_is_not_among_the_posts() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (outboxes, mut ear) = world.outboxes(2);
    world.attach(1, &outboxes[0]);
    ear.expect(&[(0, 1)]);
    let mut turn = posted(&world, &outboxes[0], 4);
    outboxes[1].sent_off();
    let outcome = Ok(Reply::Joined { seq: Seq(3), already: false });
    turn.answers.insert(0, Answered { to: asked_by(&outboxes[1], 8), room: room(1), outcome });
    turn.events.insert(0, event(room(1), 3, EventKind::Joined { who: author(2) }));
    world.fanout.tell(turn);
    world.settle();
    assert_eq!(answered(&world).0, 1);
}

#[test]
fn a_post_whose_connection_is_gone_is_over_all_the_same() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (outboxes, _ear) = world.outboxes(1);
    let turn = posted(&world, &outboxes[0], 3);
    outboxes[0].close();
    // Something is before it: the thread takes it.
    world.fanout.ask(gone());
    world.fanout.tell(turn);
    world.clock.advance(3 * MS);
    world.settle();
    assert_eq!(answered(&world), (1, 3));
}

#[test]
fn nothing_is_counted_where_stages_are_not_timed() {
    let mut world = World::with(Metrics::counting(false));
    world.make_room(1, 2);
    let (outboxes, mut ear) = world.outboxes(1);
    world.attach(1, &outboxes[0]);
    ear.expect(&[(0, 1)]);
    world.fanout.tell(posted(&world, &outboxes[0], 3));
    world.settle();
    ear.expect(&[(0, 9), (1, 3)]);
    assert_eq!(answered(&world), (0, 0));
    assert!(!world.around.metrics.render().contains("throng_post"));
}
