//! How far one has read, told to one's own other devices and to nobody else; and what is unread.

use throng_core::limits::MENTIONS_COUNTED_MAX;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, Act, Level, ReadTo, UnreadRoom};

use super::Server;
use super::client::{Came, Client, Speak, refused};
use super::moderation::{applied, moderate};
use super::rights::http_body;

fn read(client: &mut Client, room: u32, seq: u64) -> Outcome {
    client.ask(Request::Read(v1::Read { room, seq }))
}

fn unread(client: &mut Client) -> Vec<UnreadRoom> {
    match client.ask(Request::Unread(v1::Unread::default())) {
        Outcome::Unread(unread) => unread.rooms,
        other => panic!("{other:?}"),
    }
}

/// Unread posts and mentions of the only room.
fn counts(client: &mut Client) -> (u64, u32) {
    let rooms = unread(client);
    assert_eq!(rooms.len(), 1);
    (rooms[0].unread, rooms[0].mentions)
}

fn mention(room: u32, whom: u64) -> Request {
    let body = "look".to_owned();
    Request::Post(v1::Post { room, body, mentioned: vec![whom], ..v1::Post::default() })
}

fn mentioned(client: &mut Client, room: u32, whom: u64) -> u64 {
    match client.ask(mention(room, whom)) {
        Outcome::Posted(posted) => posted.seq,
        other => panic!("{other:?}"),
    }
}

/// A second device, which hears no room.
fn device(server: &Server, speak: Speak, of: &Client) -> Client {
    let mut device = server.connect(speak);
    device.authenticate(&of.token);
    device
}

#[test]
fn a_marker_moves_forward_only_and_ones_other_devices_are_told() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    ben.join(room);
    let mut phone = device(&server, Speak::Raw, &ben);
    let seqs = [1, 2, 3].map(|i| ada.post(room, &format!("{i}")).seq);
    assert!(matches!(read(&mut ben, room, seqs[1]), Outcome::Done(_)));
    for seq in [seqs[0], seqs[1]] {
        assert!(matches!(read(&mut ben, room, seq), Outcome::Done(_)), "and changes nothing");
    }
    assert!(matches!(read(&mut phone, room, seqs[2]), Outcome::Done(_)));
    let told = ReadTo { room, seq: seqs[1], n: 2 };
    assert_eq!(phone.read_to, [told], "of the move alone, before its own answer");
    assert_eq!(counts(&mut phone), (0, 0));
    loop {
        match ben.next() {
            Came::Frame(Frame::Read(it)) => {
                assert_eq!(it, ReadTo { room, seq: seqs[2], n: 3 });
                break;
            }
            Came::Frame(Frame::Event(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(ada.read_to.is_empty(), "it is nobody else's business");
    for (seq, refusal) in [(0, 215), (2, 215), (seqs[2] + 1, 215)] {
        assert_eq!(refused(&read(&mut ben, room, seq)), refusal, "{seq} is no message");
    }
    let mut eve = server.join_in(Speak::Raw, "eve");
    assert_eq!(refused(&read(&mut eve, room, seqs[0])), 206);
}

#[test]
fn what_is_unread_counts_from_the_joining_until_something_is_read() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    for i in 0..3 {
        ada.post(room, &format!("before {i}"));
    }
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    ben.join(room);
    assert_eq!(counts(&mut ben), (0, 0));
    let first = mentioned(&mut ada, room, ben.user);
    let second = mentioned(&mut ada, room, ben.user);
    ada.post(room, "for all");
    assert_eq!(counts(&mut ben), (3, 2));
    assert_eq!(counts(&mut ada), (6, 0));
    read(&mut ben, room, first);
    assert_eq!(counts(&mut ben), (2, 1));
    applied(ada.ask(Request::Delete(v1::Delete { room, seq: second })));
    assert_eq!(counts(&mut ben), (2, 0), "a mention that is gone is none");
    let level = Level::Mentions as i32;
    let set = Request::SetLevel(v1::SetLevel { room, level });
    assert!(matches!(ben.ask(set), Outcome::Done(_)));
    let mut phone = device(&server, Speak::Json, &ben);
    let told = &unread(&mut phone)[0];
    assert_eq!((told.seq, told.n, told.level), (first, 4, level));
    let mut eve = server.join_in(Speak::Raw, "eve");
    let set = Request::SetLevel(v1::SetLevel { room, level });
    assert_eq!(refused(&eve.ask(set)), 206);
    assert!(unread(&mut eve).is_empty());
}

#[test]
fn mentions_by_one_all_of_whose_messages_are_taken_away_count_no_more() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    let mut eve = server.join_in(Speak::Raw, "eve");
    ben.join(room);
    eve.join(room);
    mentioned(&mut ada, room, ben.user);
    mentioned(&mut eve, room, ben.user);
    mentioned(&mut eve, room, ben.user);
    let counted = |server: &Server, ben: &mut Client| {
        let told = http_body(server, &ben.token, "GET", "/unread", "");
        assert_eq!(told["rooms"][0]["mentions"].as_u64().unwrap_or(0), u64::from(counts(ben).1));
        counts(ben)
    };
    assert_eq!(counted(&server, &mut ben), (3, 3));
    applied(ada.ask(moderate(room, Act::DeleteAll, eve.user)));
    assert_eq!(counted(&server, &mut ben), (3, 1), "what ada said stands");
    mentioned(&mut eve, room, ben.user);
    assert_eq!(counted(&server, &mut ben), (4, 2), "what is said later counts");
}

#[test]
fn mentions_are_counted_up_to_a_thousand() {
    let server = Server::with(|settings| {
        settings.limits.sends_burst = 1_000_000;
        settings.limits.sends_per_second = 1_000_000;
    });
    let mut ada = server.join_in(Speak::Raw, "ada");
    let room = ada.create("tea");
    let mut ben = server.join_in(Speak::Raw, "ben");
    ben.join(room);
    let mut say = |count: u32| {
        let last = ada.send_all((0..count).map(|_| mention(room, ben.user)));
        (last + 1 - count..=last).for_each(|id| _ = ada.answer(id));
        counts(&mut ben).1
    };
    let most = MENTIONS_COUNTED_MAX as u32;
    assert_eq!([say(most / 2), say(most / 2 - 1), say(1), say(1)], [500, 999, most, most]);
}
