//! Guests over every protocol: what they may not do, whom a ban of one is for, and how they go.

use std::time::Duration;

use throng_server::auth::Guests;
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, post, refused};
use super::moderation::{applied, moderate};
use super::rights::http;

const DOCUMENT: &str = include_str!("../../../../docs/reference/permissions.md");

const BAD_TOKEN: u32 = 202;
const TAKEN: u32 = 203;
const NO_SUCH_ROOM: u32 = 205;
const FORBIDDEN: u32 = 210;
const NO_VOICE: u32 = 212;
const BANNED: u32 = 213;
const NOT_MEMBER: u32 = 206;
const NOT_ACCEPTED: u32 = 252;
const BAD_LINK: u32 = 261;
const NO_GUESTS: u32 = 263;

fn taking_guests(settings: &mut Settings) {
    settings.guests = Guests::On;
    settings.limits.guests_per_minute_address = 1_000;
    settings.limits.requests_burst = 1_000_000;
}

fn server() -> Server {
    Server::with(taking_guests)
}

/// A connection of a new guest.
pub fn guest(server: &Server, speak: Speak, name: &str) -> Client {
    let mut client = server.connect(speak);
    let asked = v1::EnterAsGuest { name: name.to_owned() };
    match client.ask(Request::EnterAsGuest(asked)) {
        Outcome::Session(session) => {
            client.user = session.user.unwrap().id;
            client.token = session.token;
        }
        other => panic!("{other:?} is no session"),
    }
    client
}

fn set(room: u32, speak: v1::Speak) -> Request {
    Request::SetRoom(v1::SetRoom { room, speak: speak as i32, ..v1::SetRoom::default() })
}

/// What a guest may not ask, as requests and over REST, by the name of the request.
fn denied(name: &str) -> (Option<Request>, String) {
    let password = || "correct horse".to_owned();
    let (request, body) = match name {
        "create_room" => {
            let make = v1::CreateRoom { name: "tea".into(), ..Default::default() };
            (Request::CreateRoom(make), r#"{"name":"tea"}"#)
        }
        "open_direct" => {
            let with = v1::OpenDirect { user: 0, name: "host".into() };
            (Request::OpenDirect(with), r#"{"name":"host"}"#)
        }
        "set_contacts" => {
            let writers = v1::Writers::Nobody as i32;
            let asked = v1::SetContacts { writers };
            (Request::SetContacts(asked), r#"{"writers":"nobody"}"#)
        }
        "set_room_defaults" => {
            let asked = v1::SetRoomDefaults { slow_seconds: Some(5), ..Default::default() };
            (Request::SetRoomDefaults(asked), r#"{"slow_seconds":5}"#)
        }
        "block" => {
            let whom = v1::Block { user: 0, name: "host".into() };
            (Request::Block(whom), r#"{"name":"host"}"#)
        }
        "change_password" => {
            let asked =
                v1::ChangePassword { password: password(), new_password: "staple horse".into() };
            let body = r#"{"password":"correct horse","new_password":"staple horse"}"#;
            (Request::ChangePassword(asked), body)
        }
        "delete_account" => {
            let asked = v1::DeleteAccount { password: password() };
            (Request::DeleteAccount(asked), r#"{"password":"correct horse"}"#)
        }
        "set_avatar" => (Request::SetAvatar(v1::SetAvatar::default()), r#"{"file":""}"#),
        // Files go over HTTP only.
        "" => return (None, String::new()),
        other => panic!("the table names {other}, and nothing here asks it"),
    };
    (Some(request), body.to_owned())
}

#[test]
fn what_the_table_denies_to_a_guest_is_refused_by_every_protocol_and_not_to_an_account() {
    let server = server();
    server.join_in(Speak::Json, "host");
    let (_, section) = DOCUMENT.split_once("\n## Guests\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.contains("| `forbidden` |"));
    let rows: Vec<Vec<&str>> = rows
        .map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert_eq!(rows.len(), 9, "{rows:?}");
    let mut member = server.join_in(Speak::Json, "member");
    for row in &rows {
        let (request, body) = denied(row[1]);
        let (method, path) = row[2].split_once(' ').unwrap();
        for speak in Speak::ALL {
            let mut guest = guest(&server, speak, "");
            if let Some(request) = &request {
                assert_eq!(refused(&guest.ask(request.clone())), FORBIDDEN, "{row:?}");
            }
            let answer = http(&server, &guest.token, method, path, &body).0;
            assert_eq!(answer, FORBIDDEN, "{row:?}");
        }
        if row[1] != "delete_account" {
            let answer = http(&server, &member.token, method, path, &body).0;
            assert_ne!(answer, FORBIDDEN, "{row:?} is asked by an account");
        }
    }
    // Nor has anybody a room of two with one.
    guest(&server, Speak::Raw, "gus");
    let with = v1::OpenDirect { user: 0, name: "gus".into() };
    assert_eq!(refused(&member.ask(Request::OpenDirect(with))), NOT_ACCEPTED);
}

#[test]
fn a_server_that_takes_no_guests_says_so_and_one_that_does_says_for_how_long() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut client = server.connect(speak);
        assert_eq!(client.limits.guest_ms, 0);
        let asked = Request::EnterAsGuest(v1::EnterAsGuest::default());
        assert_eq!(refused(&client.ask(asked)), NO_GUESTS);
    }
    assert_eq!(http(&server, "", "POST", "/guests", "{}").0, NO_GUESTS);
    let server = self::server();
    let mut client = server.connect(Speak::Json);
    assert_eq!(client.limits.guest_ms, 3_600_000);
    assert_eq!(http(&server, "", "POST", "/guests", r#"{"name":"gus"}"#).0, 0);
    let asked = v1::EnterAsGuest { name: "GUS".into() };
    assert_eq!(refused(&client.ask(Request::EnterAsGuest(asked))), TAKEN);
}

#[test]
fn a_guest_is_a_visitor_everywhere_and_speaks_where_all_may_or_by_voice() {
    let server = server();
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut gus = guest(&server, Speak::Protobuf, "gus");
    gus.join(room);
    gus.post(room, "hello");
    applied(host.ask(set(room, v1::Speak::Members)));
    assert_eq!(refused(&gus.ask(post(room, "I am not registered"))), NO_VOICE);
    for role in [v1::Role::Member, v1::Role::Moderator, v1::Role::Owner] {
        let (act, role) = (Act::SetRole as i32, role as i32);
        let asked = v1::Moderate { room, act, user: gus.user, role, ..v1::Moderate::default() };
        assert_eq!(refused(&host.ask(Request::Moderate(asked))), FORBIDDEN);
    }
    applied(host.ask(moderate(room, Act::Voice, gus.user)));
    let heard = gus.post(room, "heard");
    let list = loop {
        // The list is behind the room by what is not folded yet, and says where it stands.
        match host.ask(Request::Members(v1::Members { room, ..v1::Members::default() })) {
            Outcome::Members(list) if list.seq >= heard.seq => break list,
            Outcome::Members(_) => {}
            other => panic!("{other:?} is no list"),
        }
    };
    let shown = |it: &v1::Member| {
        let user = it.user.as_ref().unwrap();
        (user.name.clone(), user.id >= 1 << 40, it.role)
    };
    let shown: Vec<_> = list.members.iter().map(shown).collect();
    let (owner, visitor) = (v1::Role::Owner as i32, v1::Role::Visitor as i32);
    assert_eq!(shown, [("host".into(), false, owner), ("gus".into(), true, visitor)]);
}

#[test]
fn a_ban_of_a_guest_keeps_its_address_out_and_nobody_with_an_account() {
    let server = server();
    let mut host = server.join_in(Speak::Json, "host");
    let (room, other_room) = (host.create("tea"), host.create("coffee"));
    let mut gus = guest(&server, Speak::Json, "gus");
    gus.join(room);
    applied(host.ask(moderate(room, Act::Ban, gus.user)));
    for speak in Speak::ALL {
        let mut next = guest(&server, speak, "");
        assert_eq!(refused(&next.ask(Request::Join(v1::Join { room }))), BANNED);
        assert_eq!(
            http(&server, &next.token, "POST", &format!("/rooms/{room}/join"), "").0,
            BANNED
        );
        next.join(other_room);
    }
    server.join_in(Speak::Raw, "member").join(room);
    applied(host.ask(moderate(room, Act::Unban, gus.user)));
    guest(&server, Speak::Raw, "").join(room);
}

#[test]
fn a_ban_of_a_guest_removes_those_of_its_address_who_are_there_before_it_is_acked() {
    for (speak, over_rest) in [(Speak::Json, false), (Speak::Raw, true), (Speak::Protobuf, false)] {
        let server = server();
        let mut host = server.join_in(speak, "host");
        let room = host.create("tea");
        let mut member = server.join_in(Speak::Json, "member");
        member.join(room);
        let [mut gus, mut eve] = ["gus", "eve"].map(|name| guest(&server, speak, name));
        gus.join(room);
        eve.join(room);
        if over_rest {
            let asked = format!(r#"{{"act":"ban","user":{}}}"#, gus.user);
            let path = format!("/rooms/{room}/moderation");
            assert_eq!(http(&server, &host.token, "POST", &path, &asked).0, 0);
        } else {
            applied(host.ask(moderate(room, Act::Ban, gus.user)));
        }
        let after = member.post(room, "they are gone").seq;
        for (guest, act) in [(&mut gus, Act::Ban), (&mut eve, Act::Kick)] {
            assert_eq!(refused(&guest.ask(post(room, "am I here?"))), NOT_MEMBER);
            let left = guest.left.pop_front().expect("it is told");
            assert_eq!((left.room, left.act), (room, act as i32));
            assert!(guest.events.iter().all(|event| event.seq < after));
            assert_eq!(refused(&guest.ask(Request::Join(v1::Join { room }))), BANNED);
        }
        member.post(room, "I stay");
    }
}

#[test]
fn a_guest_that_has_gone_is_banned_all_the_same_while_it_is_remembered() {
    let server = server();
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut gus = guest(&server, Speak::Json, "gus");
    gus.join(room);
    gus.post(room, "and off");
    assert!(matches!(gus.ask(Request::Logout(v1::Logout {})), Outcome::Done(_)));
    loop {
        // It leaves by itself: what the server does, nobody asked for.
        if matches!(host.event().what, Some(What::Left(_))) {
            break;
        }
    }
    applied(host.ask(moderate(room, Act::Ban, gus.user)));
    let mut next = guest(&server, Speak::Raw, "");
    assert_eq!(refused(&next.ask(Request::Join(v1::Join { room }))), BANNED);
}

#[test]
fn a_private_room_is_not_there_for_a_guest_of_an_address_that_was_banned_from_it() {
    let server = server();
    let mut host = server.join_in(Speak::Json, "host");
    let kind = v1::RoomKind::Private as i32;
    let make =
        Request::CreateRoom(v1::CreateRoom { name: "den".into(), kind, ..Default::default() });
    let Outcome::Joined(v1::Joined { room, .. }) = host.ask(make) else { panic!() };
    let gus = guest(&server, Speak::Json, "gus");
    applied(host.ask(moderate(room, Act::Ban, gus.user)));
    let mut next = guest(&server, Speak::Raw, "");
    assert_eq!(refused(&next.ask(Request::Join(v1::Join { room }))), NO_SUCH_ROOM);
    // Nor does a link open it, and the one who was kept out does not use the link up.
    let make = Request::MakeRoomLink(v1::MakeRoomLink { room, uses: 1, hours: 0 });
    let Outcome::RoomLink(v1::RoomLink { link, .. }) = host.ask(make) else { panic!() };
    let by_link = Request::JoinByLink(v1::JoinByLink { link });
    assert_eq!(refused(&next.ask(by_link.clone())), BAD_LINK);
    let mut member = server.join_in(Speak::Protobuf, "member");
    assert!(matches!(member.ask(by_link), Outcome::Joined(_)));
}

#[test]
fn when_its_time_is_over_a_guests_connections_are_closed_and_it_leaves_its_rooms() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| {
        taking_guests(settings);
        settings.limits.guest_lifetime_ms = 10_000;
    });
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut first = guest(&server, Speak::Json, "gus");
    first.join(room);
    let mut second = server.connect(Speak::Raw);
    second.authenticate(&first.token);
    clock.advance(Duration::from_secs(10));
    for mut connection in [first, second] {
        assert_eq!(connection.farewell().code, 4401);
        let mut again = server.connect(Speak::Protobuf);
        assert_eq!(refused(&again.authenticate(&connection.token)), BAD_TOKEN);
    }
    let gone = loop {
        if let Some(What::Left(left)) = host.event().what {
            break left.user.unwrap().name;
        }
    };
    assert_eq!(gone, "gus");
}
