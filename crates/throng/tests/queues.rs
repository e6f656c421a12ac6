//! Where things wait, from both sides of the bound: a shard's queue, a turn, the kernel's buffer of
//! one connection. The server is in this process, on a log that holds a turn as long as it is told.

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{Join, Ping, Reply};

use crate::commits::gate::Server;
use crate::raw_client::{Client, post};

const THERE: &str = "the server is there";
/// More than the buffers of both sockets and of the connection hold.
const FLOOD_BYTES: usize = 64 * 1024 * 1024;

#[test]
fn what_waits_is_decided_in_turns_of_at_most_so_many_commands() {
    const TURN_MAX: usize = 4;
    let server = Server::with(|settings| settings.limits.turn_max = TURN_MAX);
    let mut ann = server.register("ann");
    let room = ann.create_room("room");
    for (waiting, turns) in [(TURN_MAX, 1), (TURN_MAX + 1, 2), (2 * TURN_MAX, 2)] {
        hold_a_turn(&server, &mut ann, room);
        let before = server.turns();
        put_in_the_queue(&mut ann, room, waiting);
        server.gate.release(&[]);
        assert_eq!(posted(&mut ann, 1 + waiting), 1 + waiting);
        // The one that was held is committed too.
        assert_eq!(server.turns() - before, 1 + turns, "{waiting} waited");
    }
}

#[test]
fn a_full_shard_makes_its_connections_read_no_more_and_not_one_command_sooner() {
    const QUEUE_MAX: usize = 4;
    let server = Server::with(|settings| {
        settings.limits.shard_queue_max = QUEUE_MAX;
        settings.limits.requests_burst = 1_000_000;
        settings.limits.requests_per_second = 1_000_000;
    });
    let [mut ann, mut bob] = ["ann", "bob"].map(|name| server.register(name));
    let room = ann.create_room("room");
    hold_a_turn(&server, &mut ann, room);
    put_in_the_queue(&mut ann, room, QUEUE_MAX - 1);
    assert_eq!(server.places(room), 1);
    put_in_the_queue(&mut ann, room, 1);
    assert_eq!(server.places(room), 0, "the last place is taken, and it was read on after it");
    ann.send(post(room, "", "one too many")).expect(THERE);
    assert!(ann.floods(&Request::Ping(Ping {}), FLOOD_BYTES).expect(THERE), "it reads on");
    // Who asks nothing of that shard is not held up.
    assert!(matches!(bob.ask(Request::Ping(Ping {})), Ok((Outcome::Pong(_), _))));
    server.gate.release(&[]);
    assert_eq!(posted(&mut ann, QUEUE_MAX + 2), QUEUE_MAX + 2);
}

#[test]
fn a_reader_that_stalls_has_so_much_of_the_kernel_and_no_more() {
    // The outbox takes a third of it; the rest is for the kernel, or too much.
    const POSTS: usize = 24;
    const BODY_LEN: usize = 8_000;
    for (send_buffer_bytes, holds) in [(4_096, false), (1 << 20, true)] {
        let server = Server::with(|settings| {
            settings.limits.outbox_bytes_max = 65_536;
            settings.limits.send_buffer_bytes = send_buffer_bytes;
        });
        let [mut poster, mut reader] = ["ann", "bob"].map(|name| server.register(name));
        let room = poster.create_room("room");
        reader.read_slowly();
        reader.ask(Request::Join(Join { room })).expect(THERE);
        for number in 0..POSTS {
            let post = post(room, &number.to_string(), &"x".repeat(BODY_LEN));
            let (posted, _) = poster.ask(post).expect(THERE);
            assert!(matches!(posted, Outcome::Posted(_)), "{posted:?}");
        }
        assert_eq!(hears(&mut reader, POSTS), holds, "{send_buffer_bytes}");
    }
}

/// A turn of one post is under way, and stays so.
fn hold_a_turn(server: &Server, client: &mut Client, room: u32) {
    server.gate.hold();
    client.send(post(room, "", "held")).expect(THERE);
    server.gate.wait_until_held();
}

/// Posts that wait for the turn: when the pong is back, they are in the queue.
fn put_in_the_queue(client: &mut Client, room: u32, count: usize) {
    for _ in 0..count {
        client.send(post(room, "", "waits")).expect(THERE);
    }
    client.send(Request::Ping(Ping {})).expect(THERE);
    loop {
        match client.read().expect(THERE) {
            // Of turns before; who is here is told by the clock.
            Frame::Event(_) | Frame::Here(_) => {}
            Frame::Reply(Reply { outcome: Some(Outcome::Pong(_)), .. }) => return,
            other => panic!("{other:?} came before the turn was let go"),
        }
    }
}

/// Of so many answers that are no pongs, how many are acks.
fn posted(client: &mut Client, answers: usize) -> usize {
    let mut outcomes = Vec::new();
    while outcomes.len() < answers {
        match client.read().expect(THERE) {
            Frame::Reply(Reply { outcome: Some(Outcome::Pong(_)), .. })
            | Frame::Event(_)
            | Frame::Here(_) => {}
            Frame::Reply(Reply { outcome: Some(outcome), .. }) => outcomes.push(outcome),
            other => panic!("{other:?}"),
        }
    }
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Posted(_))).count()
}

/// Reads on: whether all events come, or the connection was ended before.
fn hears(reader: &mut Client, events: usize) -> bool {
    let mut heard = 0;
    while heard < events {
        match reader.read() {
            Ok(Frame::Event(_)) => heard += 1,
            Ok(Frame::Here(_)) => {}
            Ok(Frame::Goodbye(goodbye)) if goodbye.reason == "slow" => return false,
            Ok(other) => panic!("{other:?}"),
            // The goodbye is lost when the kernel has no place for it either.
            Err(_) => return false,
        }
    }
    true
}
