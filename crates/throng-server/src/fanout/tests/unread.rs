//! What is told to one connection that has not asked for it, and does not read: so much waits and no more.
//! The runtime is never asked whether its socket is writable, so that all of it waits.

use throng_core::{Act, Disconnect, Kind};

use super::*;
use crate::samples::name;

/// As few frames as may be set.
const FRAMES_MAX: usize = 16;

/// A connection of the account that takes nothing, and the far end of its socket.
fn stalled(world: &World, user: u64) -> (Arc<Outbox>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let _inside = world.runtime.enter();
    let stream = tokio::net::TcpStream::from_std(ours).unwrap();
    let limits = Limits { outbox_frames_max: FRAMES_MAX, ..Limits::default() };
    let id = ConnectionId(1_000 + user);
    let outbox = Arc::new(Outbox::new(id, Form::RawProtobuf, stream, &limits));
    let identity = Identity { user: author(user), session: SessionId(user) };
    world.around.sessions.bind(&outbox, &identity).unwrap();
    (outbox, peer)
}

/// Committed already, as far as the directory goes.
fn tell(world: &World, event: &Event) {
    world.fanout.tell(told(vec![Arc::new(Event { pushed: false, ..event.clone() })]));
    world.settle();
}

/// Tells something again and again; account 2 is too slow for it when one more than may wait does.
fn is_bounded(world: &World, outbox: &Outbox, mut again: impl FnMut(u64)) {
    for count in 1..=FRAMES_MAX as u64 + 1 {
        assert_eq!(outbox.ending(), None, "{count} may wait");
        assert!(!outbox.is_gone());
        again(count);
        assert!(outbox.unread() > 0 && world.waiting() == 0);
    }
    assert_eq!(outbox.ending(), Some(Disconnect::Slow));
    let waits = outbox.unread();
    again(FRAMES_MAX as u64 + 2);
    assert_eq!(outbox.unread(), waits, "nothing more is kept for it");
}

#[test]
fn invitations_wait_up_to_the_limit_of_frames_and_one_more_is_too_slow() {
    let world = World::new();
    world.make_room(1, 2);
    let (outbox, _peer) = stalled(&world, 2);
    is_bounded(&world, &outbox, |count| {
        let (by, who) = (author(1), author(2));
        tell(
            &world,
            &event(room(1), 2 + count, EventKind::Moderated { by, who, act: Act::Invite }),
        );
    });
}

#[test]
fn direct_rooms_that_others_open_wait_up_to_the_limit_of_frames_and_one_more_is_too_slow() {
    let world = World::new();
    let (number, _held) = world.around.directory.open(author(1).id, author(2).id).unwrap();
    let made = EventKind::Created { by: author(1), name: name(number), kind: Kind::Direct };
    let joined = |seq, user| event(number, seq, EventKind::Joined { who: author(user) });
    let events = [event(number, 1, made), joined(2, 1), joined(3, 2)];
    world.around.directory.update(&events);
    let (outbox, _peer) = stalled(&world, 2);
    is_bounded(&world, &outbox, |_| tell(&world, &events[2]));
}

#[test]
fn tellings_of_rooms_that_one_has_left_wait_up_to_the_limit_of_frames_and_one_more_is_too_slow() {
    let world = World::new();
    world.make_room(1, 2);
    let (outbox, _peer) = stalled(&world, 2);
    is_bounded(&world, &outbox, |count| {
        let joined = event(room(1), 1 + 2 * count, EventKind::Joined { who: author(2) });
        world.around.directory.update(std::slice::from_ref(&joined));
        world.attach_as(2, 1, &outbox);
        let left = event(room(1), 2 + 2 * count, EventKind::Left { who: author(2) });
        world.around.directory.update(std::slice::from_ref(&left));
        tell(&world, &left);
    });
}

#[test]
fn memberships_wait_up_to_the_limit_of_frames_and_one_more_is_too_slow() {
    let world = World::new();
    world.make_room(1, 2);
    let (outbox, _peer) = stalled(&world, 2);
    is_bounded(&world, &outbox, |count| {
        tell(&world, &event(room(1), 2 + count, EventKind::Joined { who: author(2) }));
    });
}

/// Two unsubscriptions of one connection never wait in the fan-out: the second is asked for when the first
/// is answered.
#[test]
fn an_unsubscription_is_in_flight_until_it_is_answered_and_once() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (outboxes, mut ear) = world.outboxes(1);
    let outbox = &outboxes[0];
    for re in 2..4 {
        assert!(outbox.idle_or_tell());
        let detach = Order::Detach { room: room(1), outbox: Arc::clone(outbox), re };
        world.fanout.ask(detach);
        assert!(!outbox.idle_or_tell(), "it waits in the fan-out");
        world.settle();
        assert!(outbox.idle_or_tell());
        assert_eq!(ear.next(), (0, u64::from(re)));
    }
}
