//! How rooms begin: as the request says, else as their owner has said of all its rooms, else as the
//! server does; settled when they are made, and for ever theirs.

use serde_json::{Value, json};
use throng_core::{Speak as MaySpeak, UserId};
use throng_server::config::Settings;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, CreateRoom, HistoryFor, SetRoomDefaults};

use super::Server;
use super::client::{Client, Speak, refused};
use super::moderation::applied;
use super::rights::http_body;

const NOTHING: SetRoomDefaults = SetRoomDefaults {
    speak: 0,
    history: 0,
    slow_seconds: None,
    delay_seconds: None,
    keep_seconds: None,
};

/// A server that has something to say of how rooms begin.
fn strict(settings: &mut Settings) {
    settings.rooms.speak = Some(MaySpeak::Members);
    settings.rooms.slow_seconds = Some(60);
    settings.limits.keep_seconds = 3_600;
}

fn begin_so(client: &mut Client, defaults: SetRoomDefaults) {
    assert!(matches!(client.ask(Request::SetRoomDefaults(defaults)), Outcome::Done(_)));
    let SetRoomDefaults { speak, history, slow_seconds, delay_seconds, keep_seconds } = defaults;
    let are = v1::RoomDefaultsAre { speak, history, slow_seconds, delay_seconds, keep_seconds };
    match client.ask(Request::RoomDefaults(v1::RoomDefaults {})) {
        Outcome::RoomDefaults(told) => assert_eq!(told, are),
        other => panic!("{other:?}"),
    }
}

fn make(client: &mut Client, make: CreateRoom) -> v1::Joined {
    match client.ask(Request::CreateRoom(make)) {
        Outcome::Joined(joined) => joined,
        other => panic!("{other:?} is no new room"),
    }
}

fn named(name: &str) -> CreateRoom {
    CreateRoom { name: name.into(), ..CreateRoom::default() }
}

fn listed(client: &mut Client, id: u32) -> v1::Room {
    let asked = v1::ListRooms { after: id - 1, limit: 1, mine: true, ..Default::default() };
    match client.ask(Request::ListRooms(asked)) {
        Outcome::Rooms(rooms) => rooms.rooms.into_iter().find(|room| room.id == id).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What a room is: who speaks, whose the history is, slow mode, delay, and how long it keeps.
fn is(client: &mut Client, id: u32) -> (i32, i32, u32, u32, Option<u32>) {
    let room = listed(client, id);
    let delay = room.delay_seconds.unwrap_or_default();
    (room.speak, room.history, room.slow_seconds, delay, room.keep_seconds)
}

const MEMBERS: i32 = HistoryFor::Members as i32;
const JOINING: i32 = HistoryFor::Joining as i32;

#[test]
fn the_request_goes_before_the_owner_and_the_owner_before_the_server_each_setting_by_itself() {
    for speak in Speak::ALL {
        let server = Server::with(strict);
        let mut ada = server.join_in(speak, "ada");
        let mut ben = server.join_in(Speak::Json, "ben");
        let (everyone, voiced) = (v1::Speak::Everyone as i32, v1::Speak::Voiced as i32);
        let by_server = make(&mut ada, named("as the server says")).room;
        let members = v1::Speak::Members as i32;
        assert_eq!(is(&mut ada, by_server), (members, MEMBERS, 60, 0, Some(3_600)));
        let mine = SetRoomDefaults {
            speak: voiced,
            history: JOINING,
            slow_seconds: Some(30),
            delay_seconds: None,
            keep_seconds: Some(86_400),
        };
        begin_so(&mut ada, mine);
        let by_owner = make(&mut ada, named("as ada says")).room;
        assert_eq!(is(&mut ada, by_owner), (voiced, JOINING, 30, 0, Some(86_400)));
        let asked = CreateRoom {
            speak: everyone,
            slow_seconds: Some(0),
            delay_seconds: Some(5),
            keep_seconds: Some(0),
            ..named("as the request says")
        };
        let by_request = make(&mut ada, asked).room;
        assert_eq!(is(&mut ada, by_request), (everyone, JOINING, 0, 5, None));
        let of_ben = make(&mut ben, named("of ben")).room;
        assert_eq!(is(&mut ben, of_ben), (members, MEMBERS, 60, 0, Some(3_600)));
        // No room that is there is touched by it, and what is left out is the server's again.
        begin_so(&mut ada, SetRoomDefaults { slow_seconds: Some(7), ..NOTHING });
        assert_eq!(is(&mut ada, by_owner), (voiced, JOINING, 30, 0, Some(86_400)));
        let later = make(&mut ada, named("later")).room;
        assert_eq!(is(&mut ada, later), (members, MEMBERS, 7, 0, Some(3_600)));
        begin_so(&mut ada, NOTHING);
        let last = make(&mut ada, named("last")).room;
        assert_eq!(is(&mut ada, last), (members, MEMBERS, 60, 0, Some(3_600)));
        let wrong = SetRoomDefaults { delay_seconds: Some(301), ..NOTHING };
        assert_eq!(refused(&ada.ask(Request::SetRoomDefaults(wrong))), 108);
        let wrong = CreateRoom { keep_seconds: Some(59), ..named("short") };
        assert_eq!(refused(&ada.ask(Request::CreateRoom(wrong))), 108);
        make(&mut ada, named("short"));
    }
}

#[test]
fn what_a_room_begins_with_is_said_in_its_order_and_holds_for_the_first_who_comes() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Protobuf, "ada");
    let bare = make(&mut ada, named("bare")).room;
    assert_eq!(listed(&mut ada, bare).head, 2, "nothing is said where there is nothing to say");
    let plain = SetRoomDefaults { slow_seconds: Some(0), history: MEMBERS, ..NOTHING };
    begin_so(&mut ada, plain);
    let bare = make(&mut ada, named("still bare")).room;
    assert_eq!(listed(&mut ada, bare).head, 2);
    begin_so(&mut ada, SetRoomDefaults { slow_seconds: Some(30), ..NOTHING });
    let made = make(&mut ada, named("slow"));
    assert_eq!((made.seq, made.position.unwrap().seq), (2, 2));
    let event = ada.event();
    let What::Set(set) = event.what.clone().unwrap() else { panic!("{event:?}") };
    assert_eq!((event.room, event.seq, event.prev), (made.room, 3, 2));
    assert_eq!((set.by.unwrap().id, set.slow_seconds, set.speak), (ada.user, Some(30), 0));
    let mut ben = server.join_in(Speak::Raw, "ben");
    assert_eq!(ben.join(made.room).seq, 4);
    ben.post(made.room, "first");
    assert_eq!(refused(&ben.ask(super::client::post(made.room, "second"))), 303);
}

#[test]
fn over_rest_they_are_settled_read_and_gone_before_in_the_same_way() {
    let server = Server::with(strict);
    let mut ada = server.join_in(Speak::Json, "ada");
    let token = ada.token.clone();
    let ask = |method: &str, path: &str, body: &Value| {
        http_body(&server, &token, method, path, &body.to_string())
    };
    assert_eq!(ask("GET", "/room-defaults", &json!({})), json!({}));
    let all = json!({"speak": "voiced", "history": "joining", "slow_seconds": 5,
                     "delay_seconds": 6, "keep_seconds": 60});
    assert_eq!(ask("PUT", "/room-defaults", &all), json!({}));
    assert_eq!(ask("GET", "/room-defaults", &json!({})), all);
    let made = ask("POST", "/rooms", &json!({"name": "tea", "delay_seconds": 0}));
    let room = made["room"].as_u64().unwrap() as u32;
    let voiced = v1::Speak::Voiced as i32;
    assert_eq!(is(&mut ada, room), (voiced, JOINING, 5, 0, Some(60)));
    let refused = ask("PUT", "/room-defaults", &json!({"slow_seconds": 21_601}));
    assert_eq!(refused["rejected"]["name"], "bad_argument");
    let refused = ask("POST", "/rooms", &json!({"name": "milk", "speak": "nobody"}));
    assert!(refused["rejected"].is_object(), "{refused}");
    assert_eq!(ask("GET", "/room-defaults", &json!({})), all, "as it was");
}

#[test]
fn a_direct_room_is_of_two_and_takes_no_defaults_of_either() {
    let server = Server::with(strict);
    let mut ada = server.join_in(Speak::Json, "ada");
    let ben = server.join_in(Speak::Raw, "ben");
    begin_so(&mut ada, SetRoomDefaults { slow_seconds: Some(30), history: JOINING, ..NOTHING });
    let open = v1::OpenDirect { user: ben.user, name: String::new() };
    let Outcome::Joined(made) = ada.ask(Request::OpenDirect(open)) else { panic!("not opened") };
    let (everyone, head) = (v1::Speak::Everyone as i32, listed(&mut ada, made.room).head);
    assert_eq!((is(&mut ada, made.room), head), ((everyone, MEMBERS, 0, 0, Some(3_600)), 3));
}

#[test]
fn a_start_gives_each_room_as_it_was_made_whatever_is_said_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let start = |slow: u32| {
        let data = folder.path().to_owned();
        Server::with(move |settings| {
            strict(settings);
            settings.rooms.slow_seconds = Some(slow);
            (settings.memory, settings.data) = (false, data);
        })
    };
    let mut server = start(60);
    let mut ada = server.join_in(Speak::Json, "ada");
    let by_server = make(&mut ada, named("as the server says")).room;
    begin_so(&mut ada, SetRoomDefaults { slow_seconds: Some(30), ..NOTHING });
    let by_owner = make(&mut ada, named("as ada says")).room;
    begin_so(&mut ada, SetRoomDefaults { slow_seconds: Some(9), history: JOINING, ..NOTHING });
    let (user, token) = (ada.user, ada.token.clone());
    drop(ada);
    server.stop();
    let mut server = start(120);
    let mut ada = server.connect(Speak::Raw);
    ada.authenticate(&token);
    let slow = |ada: &mut Client, room| (is(ada, room).2, is(ada, room).1);
    assert_eq!(slow(&mut ada, by_server), (60, MEMBERS));
    assert_eq!(slow(&mut ada, by_owner), (30, MEMBERS));
    let last = make(&mut ada, named("after the start")).room;
    assert_eq!(slow(&mut ada, last), (9, JOINING), "what was said is there too");
    // With its account goes what it said of rooms, and its rooms stay as they are.
    let id = UserId::new(user).unwrap();
    assert!(!server.app().personal.room_defaults(id).is_empty());
    drop(ada);
    let password = json!({"password": "correct horse"}).to_string();
    assert_eq!(http_body(&server, &token, "DELETE", "/account", &password), json!({}));
    assert!(server.app().personal.room_defaults(id).is_empty());
    server.stop();
    let mut server = start(120);
    assert!(server.app().personal.room_defaults(id).is_empty(), "on disk too");
    server.stop();
}

#[test]
fn an_owner_changes_the_one_room_as_before() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    begin_so(&mut ada, SetRoomDefaults { slow_seconds: Some(30), ..NOTHING });
    let room = make(&mut ada, named("tea")).room;
    let slow_seconds = Some(0);
    let set = v1::SetRoom { room, slow_seconds, ..v1::SetRoom::default() };
    applied(ada.ask(Request::SetRoom(set)));
    assert_eq!(is(&mut ada, room).2, 0);
}
