//! Links into private rooms: who comes in by one, how often, and what they say of a room to others.

use std::time::Duration;

use throng_server::clock::Clock;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act, RoomKind};

use super::Server;
use super::client::{Client, Speak, refused};
use super::moderation::{applied, moderate};
use super::rights::http;

const BAD_LINK: u32 = 261;

fn make(client: &mut Client, room: u32, uses: u32, hours: u32) -> v1::RoomLink {
    match client.ask(Request::MakeRoomLink(v1::MakeRoomLink { room, uses, hours })) {
        Outcome::RoomLink(made) => made,
        other => panic!("{other:?} is no link"),
    }
}

fn by(link: &str) -> Request {
    Request::JoinByLink(v1::JoinByLink { link: link.to_owned() })
}

fn den(client: &mut Client) -> u32 {
    let kind = RoomKind::Private as i32;
    match client.ask(Request::CreateRoom(v1::CreateRoom {
        name: "den".to_owned(),
        kind,
        ..Default::default()
    })) {
        Outcome::Joined(joined) => joined.room,
        other => panic!("{other:?}"),
    }
}

fn left_of(client: &mut Client, room: u32) -> Vec<u32> {
    match client.ask(Request::ListRoomLinks(v1::ListRoomLinks { room })) {
        Outcome::RoomLinks(told) => told.links.iter().map(|link| link.uses).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn so_many_come_in_by_a_link_in_every_form_and_over_rest_and_hear_the_room() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let room = den(&mut host);
    let link = make(&mut host, room, 4, 0).link;
    for (speak, name) in Speak::ALL.into_iter().zip(["ada", "ben", "cy"]) {
        let mut guest = server.join_in(speak, name);
        let Outcome::Joined(joined) = guest.ask(by(&link)) else { panic!("kept out") };
        assert_eq!((joined.room, joined.already), (room, false));
        assert!(matches!(guest.ask(by(&link)), Outcome::Joined(v1::Joined { already: true, .. })));
        host.post(room, "welcome");
        assert_eq!(super::client::body(&guest.event()), "welcome");
    }
    assert_eq!(left_of(&mut host, room), [1], "to come again costs nothing");
    let by_rest = server.join_in(Speak::Json, "di");
    let body = format!(r#"{{"link":"{link}"}}"#);
    assert_eq!(http(&server, &by_rest.token, "POST", "/joins", &body).0, 0);
    let mut late = server.join_in(Speak::Raw, "late");
    assert_eq!(refused(&late.ask(by(&link))), BAD_LINK);
    assert_eq!(http(&server, &late.token, "POST", "/joins", &body).0, BAD_LINK);
    assert_eq!(left_of(&mut host, room), [] as [u32; 0]);
}

#[test]
fn a_link_that_lets_nobody_in_says_nothing_of_why() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |_| {});
    let mut host = server.join_in(Speak::Json, "host");
    let mut helper = server.join_in(Speak::Protobuf, "helper");
    let mut guest = server.join_in(Speak::Raw, "guest");
    let room = den(&mut host);
    applied(host.ask(moderate(room, Act::Invite, helper.user)));
    helper.join(room);
    let role = v1::Role::Moderator as i32;
    let (act, user) = (Act::SetRole as i32, helper.user);
    let raised = v1::Moderate { room, act, user, role, ..v1::Moderate::default() };
    applied(host.ask(Request::Moderate(raised)));
    let of_helper = make(&mut helper, room, 9, 0).link;
    let ended = make(&mut host, room, 9, 0);
    let short = make(&mut host, room, 9, 1).link;
    let good = make(&mut host, room, 9, 0).link;
    let end = v1::EndRoomLink { room, link: ended.number };
    assert!(matches!(helper.ask(Request::EndRoomLink(end)), Outcome::Done(_)));
    clock.advance(Duration::from_hours(1));
    applied(host.ask(moderate(room, Act::Kick, helper.user)));
    applied(host.ask(moderate(room, Act::Ban, guest.user)));
    let unknown = "A".repeat(43);
    let mut answers = Vec::new();
    for link in ["", "short", &unknown, &ended.link, &short, &of_helper, &good] {
        answers.push(guest.ask(by(link)));
    }
    assert_eq!(refused(&answers[0]), BAD_LINK);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let mut other = server.join_in(Speak::Json, "other");
    assert_eq!(refused(&other.ask(by(&of_helper))), BAD_LINK, "its maker is nobody here");
    assert!(matches!(other.ask(by(&good)), Outcome::Joined(_)));
}

#[test]
fn a_link_is_for_so_many_and_so_long_at_most() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let room = den(&mut host);
    for (uses, hours, taken) in
        [(1_000, 720, true), (1_001, 1, false), (1, 721, false), (0, 0, true)]
    {
        let asked = v1::MakeRoomLink { room, uses, hours };
        let answer = host.ask(Request::MakeRoomLink(asked));
        assert_eq!(matches!(answer, Outcome::RoomLink(_)), taken, "{uses} {hours}: {answer:?}");
    }
    assert_eq!(left_of(&mut host, room), [1_000, 1]);
}

#[test]
fn a_link_that_could_let_nobody_in_is_not_used_up_by_it() {
    // A room that may keep one mark: who is banned has it, so that nobody can be invited.
    let server = Server::with(|settings| settings.limits.marked_max = 1);
    let mut host = server.join_in(Speak::Json, "host");
    let mut guest = server.join_in(Speak::Raw, "guest");
    let banned = server.join_in(Speak::Json, "banned").user;
    let room = den(&mut host);
    let link = make(&mut host, room, 1, 0).link;
    applied(host.ask(moderate(room, Act::Ban, banned)));
    assert_eq!(refused(&guest.ask(by(&link))), BAD_LINK);
    assert_eq!(left_of(&mut host, room), [1]);
    applied(host.ask(moderate(room, Act::Unban, banned)));
    assert!(matches!(guest.ask(by(&link)), Outcome::Joined(_)));
    assert_eq!(left_of(&mut host, room), [] as [u32; 0]);
}
