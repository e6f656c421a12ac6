//! Who is here, told sweep by sweep in virtual time: how often, to whom, and what it costs those who
//! do not read.

use std::sync::atomic::{AtomicBool, Ordering};

use throng_core::{Act, Kind};
use throng_wire::native::v1;

use super::*;
use crate::operations::descriptors;
use crate::outbox::Writer;
use crate::samples::name;

/// What one second's sweep leads to, once all of it is written.
fn sweep(world: &World) {
    world.clock.advance(Duration::from_secs(1));
    world.fanout.ask(Order::Sweep(world.clock.now()));
    world.settle();
}

/// The tellings that have come by now, of each ear; other frames are passed over.
fn heard(ear: &mut Ear) -> Vec<v1::Here> {
    let mut heard = Vec::new();
    while !ear.is_silent() {
        if let Frame::Here(here) = ear.frame() {
            heard.push(here);
        }
    }
    heard
}

/// The room gets one more member, whose joining is its next event.
fn joins(world: &World, number: u32, user: u64) {
    let seq = world.around.directory.head_of(room(number)).0 + 1;
    let joined = event(room(number), seq, EventKind::Joined { who: author(user) });
    happens(world, &joined);
}

/// It was committed, and is told.
fn happens(world: &World, event: &Arc<Event>) {
    world.around.directory.update(std::slice::from_ref(event));
    world.fanout.tell(told(vec![Arc::new(Event { pushed: false, ..Event::clone(event) })]));
    world.settle();
}

/// The account hears the room by a connection of its own socket.
fn comes(world: &mut World, number: u32, user: u64) -> (Arc<Outbox>, Ear) {
    let (outboxes, ear) = world.outboxes(1);
    let identity = Identity { user: author(user), session: SessionId(user) };
    world.around.sessions.bind(&outboxes[0], &identity).unwrap();
    world.attach_as(user, number, &outboxes[0]);
    (Arc::clone(&outboxes[0]), ear)
}

fn types(world: &World, user: u64) {
    let at = world.clock.now();
    world.fanout.ask(Order::Types { room: room(1), user: author(user).id, at });
    world.settle();
}

const CROWD: u64 = 10_000;
const CHANGES: u64 = 1_000;

#[test]
fn ten_thousand_members_and_a_thousand_changes_a_second_are_one_frame_a_member_and_second() {
    // Each has a descriptor; where there are fewer, so are they.
    let may = descriptors::raise().unwrap().map_or(CROWD, |open| open.saturating_sub(CHANGES));
    let crowd_len = CROWD.min(may);
    assert!(crowd_len >= 2 * CHANGES, "{crowd_len} are no crowd: raise `ulimit -Hn`");
    let mut world = World::new();
    world.make_room(1, 2);
    for user in 2..=crowd_len + CHANGES / 2 {
        joins(&world, 1, user);
    }
    let (crowd, mut ear) = world.outboxes(crowd_len as usize);
    let (comers, mut others) = world.outboxes(CHANGES as usize / 2);
    let all: Vec<_> = (1..).zip(crowd.iter().chain(&comers)).collect();
    for (user, outbox) in &all {
        outbox.speaks_for(author(*user).id);
    }
    for (user, outbox) in &all[..crowd_len as usize] {
        world.attach_as(*user, 1, outbox);
        assert_eq!(ear.next(), (0, 1));
    }
    for second in 0..4 {
        for (user, outbox) in &all[crowd_len as usize..] {
            world.clock.advance(Duration::from_millis(2));
            match second % 2 {
                0 => {
                    world.attach_as(*user, 1, outbox);
                    assert_eq!(others.next(), (0, 1));
                }
                _ => world.fanout.ask(Order::Gone(outbox.id)),
            }
            types(&world, *user - crowd_len);
        }
        assert!(ear.is_silent(), "nothing is told between two sweeps");
        world.fanout.ask(Order::Sweep(world.clock.now()));
        let (mut told, mut steps) = (Vec::new(), 0);
        while world.fanout.step() == Step::Again {
            told.extend(heard(&mut ear));
            steps += 1;
        }
        let comers = heard(&mut others).len() as u64;
        let here = crowd_len + if second % 2 == 0 { CHANGES / 2 } else { 0 };
        assert_eq!((told.len() as u64, comers), (crowd_len, here - crowd_len), "second {second}");
        let says = |it: &v1::Here| (u64::from(it.members), u64::from(it.here), it.typing);
        assert!(told.iter().all(|it| says(it) == (crowd_len + CHANGES / 2, here, 100)));
        assert!(told[0].users.is_empty() && told[0].typists.is_empty());
        assert!(steps > crowd_len as usize / 100, "in slices, between which others are written to");
    }
}

#[test]
fn the_hundredth_is_named_the_hundred_and_first_makes_numbers_of_them_and_going_names_again() {
    let mut world = World::new();
    world.make_room(1, 2);
    for user in 2..=99 {
        joins(&world, 1, user);
    }
    let (_one, mut ear) = comes(&mut world, 1, 1);
    let (_two, mut other) = comes(&mut world, 1, 2);
    let mut told = || {
        sweep(&world);
        let (one, two) = (heard(&mut ear), heard(&mut other));
        assert_eq!(one, two, "what is told depends on the room alone");
        one.into_iter().map(|it| (it.members, it.here, it.users, it.typists)).collect::<Vec<_>>()
    };
    assert_eq!(told(), [(99, 2, vec![1, 2], vec![])]);
    joins(&world, 1, 100);
    types(&world, 2);
    assert_eq!(told(), [(100, 2, vec![1, 2], vec![2])]);
    for _ in 0..2 {
        joins(&world, 1, 101);
        assert_eq!(told(), [(101, 2, vec![], vec![])]);
        assert_eq!(told(), []);
        let seq = world.around.directory.head_of(room(1)).0 + 1;
        happens(&world, &event(room(1), seq, EventKind::Left { who: author(101) }));
        types(&world, 2);
        assert_eq!(told(), [(100, 2, vec![1, 2], vec![2])]);
    }
    let seq = world.around.directory.head_of(room(1)).0 + 1;
    happens(&world, &event(room(1), seq, EventKind::Left { who: author(100) }));
    assert_eq!(told(), [(99, 2, vec![1, 2], vec![2])]);
}

#[test]
fn typing_is_told_once_ends_after_six_seconds_or_with_the_message_and_not_by_saying_it_again() {
    let mut world = World::new();
    world.make_room(1, 3);
    let (_outbox, mut ear) = comes(&mut world, 1, 1);
    sweep(&world);
    heard(&mut ear);
    let mut typing = |seconds| {
        let mut told = Vec::new();
        for second in 1..=seconds {
            sweep(&world);
            told.extend(heard(&mut ear).iter().map(|it| (second, it.typing)));
        }
        told
    };
    types(&world, 1);
    assert_eq!(typing(10), [(1, 1), (6, 0)]);
    types(&world, 1);
    assert_eq!(typing(4), [(1, 1)]);
    (0..1_000).for_each(|_| types(&world, 1));
    assert_eq!(typing(10), [(6, 0)]);
    types(&world, 1);
    assert_eq!(typing(1), [(1, 1)]);
    happens(&world, &event(room(1), 4, post_of(1)));
    assert_eq!(typing(9), [(1, 0)]);
    types(&world, 9);
    assert_eq!(typing(9), [], "who does not belong is not told of");
}

fn post_of(user: u64) -> EventKind {
    match &post(room(1), 4).kind {
        EventKind::Posted { n, body, .. } => EventKind::Posted {
            n: *n,
            author: author(user),
            origin_id: None,
            body: body.clone(),
            extras: None,
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_who_is_removed_while_a_telling_is_on_its_way_is_told_nothing_more() {
    let mut world = World::new();
    world.make_room(1, 2);
    let (crowd, mut ear) = world.outboxes(LARGE);
    for outbox in &crowd {
        world.attach(1, outbox);
    }
    joins(&world, 1, 2);
    let (_last, mut removed) = comes(&mut world, 1, 2);
    assert_eq!(removed.next(), (0, 1));
    world.fanout.ask(Order::Sweep(world.clock.now()));
    // Counted, and the first slice is written.
    (0..2).for_each(|_| assert_eq!(world.fanout.step(), Step::Again));
    assert!(!heard(&mut ear).is_empty());
    let (by, who) = (author(1), author(2));
    happens(&world, &event(room(1), 4, EventKind::Moderated { by, who, act: Act::Kick }));
    (0..3).for_each(|_| sweep(&world));
    assert_eq!(removed.next(), (u32::MAX, 4));
    assert!(removed.is_silent());
    assert!(heard(&mut ear).iter().any(|it| it.members == 1 && it.users == [1] || it.here == 0));
}

#[test]
fn who_does_not_read_loses_nothing_but_tellings_and_hears_the_newest_when_it_reads_again() {
    let mut world = World::new();
    world.make_room(1, 2);
    joins(&world, 1, 2);
    let (slow, mut ear) = comes(&mut world, 1, 1);
    let (_quick, mut quick) = comes(&mut world, 1, 2);
    let filler = bytes::Bytes::from(vec![0; 64 * 1024]);
    let mut filled = 0;
    while !slow.is_blocked() {
        slow.deliver(&filler, 1, &mut Writer::default());
        filled += filler.len();
    }
    let waits = slow.unread();
    for second in 0..100 {
        types(&world, 2);
        sweep(&world);
        happens(&world, &event(room(1), 4 + second, post_of(2)));
    }
    assert_eq!((slow.unread(), slow.ending()), (waits, None), "tellings take no place");
    assert!(heard(&mut quick).len() >= 100, "and hold up nobody else");
    assert_eq!(ear.next(), (0, 1));
    let reads = std::thread::spawn(move || {
        ear.0.read_exact(&mut vec![0; filled]).unwrap();
        ear
    });
    while !slow.write_more(&mut Writer::default()) {
        world.runtime.block_on(slow.stream().writable()).unwrap();
    }
    let mut ear = reads.join().unwrap();
    types(&world, 2);
    sweep(&world);
    assert_eq!(heard(&mut ear).len(), 1);
    assert_eq!(heard(&mut quick).len(), 1);
    sweep(&world);
    assert!(ear.is_silent() && quick.is_silent());
}

#[test]
fn the_two_of_a_direct_room_are_not_told_of_each_other_while_one_has_blocked_the_other() {
    let mut world = World::new();
    let blocked = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&blocked);
    let blocks = move |who, _| says.load(Ordering::Relaxed) && who == author(2).id;
    world.around.contacts.ask_blocks(Box::new(blocks));
    let (number, _held) = world.around.directory.open(author(1).id, author(2).id).unwrap();
    let made = EventKind::Created { by: author(1), name: name(number), kind: Kind::Direct };
    happens(&world, &event(number, 1, made));
    joins(&world, number.get(), 1);
    joins(&world, number.get(), 2);
    let (_one, mut ear) = comes(&mut world, number.get(), 1);
    let (two, mut other) = comes(&mut world, number.get(), 2);
    let mut told = |world: &World| {
        sweep(world);
        heard(&mut other);
        heard(&mut ear).into_iter().map(|it| (it.here, it.users)).collect::<Vec<_>>()
    };
    assert_eq!(told(&world), [(2, vec![1, 2])]);
    blocked.store(true, Ordering::Relaxed);
    world.fanout.ask(Order::Parted(number));
    assert_eq!(told(&world), [(0, vec![])]);
    world.fanout.ask(Order::Gone(two.id));
    assert_eq!(told(&world), [], "it comes and goes unseen");
    blocked.store(false, Ordering::Relaxed);
    world.fanout.ask(Order::Parted(number));
    assert_eq!(told(&world), [(1, vec![1])]);
}
