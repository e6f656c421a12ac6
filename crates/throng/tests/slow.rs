//! A reader that stalls in a busy room: it is cut off when its outbox is full, never left on with
//! something missing, and finds everything when it comes back.

use std::io;

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{Event, Join, Ping, Position, Reply, Subscribe};

use crate::raw_client::{Client, post};
use crate::raw_server::{Server, tokens};

const SETTINGS: [&str; 5] = [
    "limits.sends_per_second=1000000",
    "limits.sends_burst=1000000",
    "limits.outbox_bytes_max=65536",
    "limits.send_buffer_bytes=4096",
    "limits.resume_events_max=100000",
];
/// Far more than outbox and both sockets' buffers hold.
const POSTS: usize = 200;
const BODY_LEN: usize = 2_000;
/// What comes back of so many fits into the poster's own outbox.
const AT_ONCE: usize = 20;

#[test]
fn a_stalled_reader_is_cut_off_and_finds_everything_when_it_returns() {
    let was_cut_off = stall(None).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(was_cut_off, "it held more than its outbox may hold");
}

/// Returns whether the reader was cut off; an error if anything was kept from it in silence.
pub fn stall(fault: Option<&'static str>) -> Result<bool, String> {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let data = folder.path().join("data");
    let tokens = tokens(&data, 2);
    let server = Server::start(&data, &SETTINGS, fault);
    let healthy = "the server is healthy";
    let mut poster = Client::open(server.raw, &tokens[0]).expect(healthy);
    let room = poster.create_room("busy");
    let mut reader = Client::open(server.raw, &tokens[1]).expect(healthy);
    reader.read_slowly();
    let (joined, _) = reader.ask(Request::Join(Join { room })).expect(healthy);
    let Outcome::Joined(joined) = joined else { panic!("{joined:?}") };
    let mut seen = Seen { last: joined.position.expect("it is always told").seq, events: 0 };
    let first = seen.last + 1;

    say_much(&mut poster, room);
    let history = poster.history(room, 0).expect(healthy);
    let head = history.last().expect("it has posts").seq;

    let was_cut_off = seen.read_until_pong(&mut reader)?;
    if was_cut_off {
        let mut reader = Client::open(server.raw, &tokens[1]).expect(healthy);
        let from = Some(Position { epoch: reader.epoch, seq: seen.last });
        let (outcome, missed) =
            reader.ask(Request::Subscribe(Subscribe { room, from })).expect(healthy);
        assert!(matches!(outcome, Outcome::Subscribed(_)), "{outcome:?}");
        missed.iter().try_for_each(|event| seen.see(event))?;
    }
    if seen.last != head || seen.events != head - first + 1 {
        return Err(format!("{} events up to {}, history ends at {head}", seen.events, seen.last));
    }
    Ok(was_cut_off)
}

/// A few at a time: a commit that takes its time is not waited for by each.
fn say_much(poster: &mut Client, room: u32) {
    let healthy = "the server is healthy";
    let body = "x".repeat(BODY_LEN);
    for begin in (0..POSTS).step_by(AT_ONCE) {
        for number in begin..begin + AT_ONCE {
            poster.send(post(room, &number.to_string(), &body)).expect(healthy);
        }
        let mut acked = 0;
        while acked < AT_ONCE {
            match poster.read().expect(healthy) {
                Frame::Reply(Reply { outcome: Some(Outcome::Posted(_)), .. }) => acked += 1,
                Frame::Event(_) | Frame::Here(_) => {}
                other => panic!("{other:?} is no ack"),
            }
        }
    }
}

struct Seen {
    last: u64,
    events: u64,
}

impl Seen {
    fn see(&mut self, event: &Event) -> Result<(), String> {
        if event.seq <= self.last || event.prev > self.last {
            return Err(format!(
                "after {} comes {} with prev {}",
                self.last, event.seq, event.prev
            ));
        }
        self.last = event.seq;
        self.events += 1;
        Ok(())
    }

    /// Reads all that comes; whether the connection was ended before it could answer.
    fn read_until_pong(&mut self, reader: &mut Client) -> Result<bool, String> {
        let _ = reader.send(Request::Ping(Ping {}));
        loop {
            match reader.read() {
                Ok(Frame::Event(event)) => self.see(&event)?,
                // Who is here is told by the clock.
                Ok(Frame::Here(_)) => {}
                Ok(Frame::Reply(Reply { outcome: Some(Outcome::Pong(_)), .. })) => {
                    return Ok(false);
                }
                Ok(Frame::Goodbye(goodbye)) if goodbye.reason == "slow" && goodbye.reconnect => {
                    return Ok(true);
                }
                Ok(other) => return Err(format!("{other:?} is no answer")),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(error.to_string());
                }
                Err(_) => return Ok(true),
            }
        }
    }
}
