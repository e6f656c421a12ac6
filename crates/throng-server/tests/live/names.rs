//! What rooms are called: renamed by those who may, told in their order, unique where they are public, and found by a
//! part of it by those who are shown them.

use serde_json::json;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, refused};
use super::moderation::{applied, moderate};
use super::rights::{http, http_body};

fn rename(room: u32, name: &str) -> Request {
    Request::SetRoom(v1::SetRoom { room, name: Some(name.into()), ..v1::SetRoom::default() })
}

/// The names of the rooms that are found by this, and whether there is more.
fn found(client: &mut Client, named: &str) -> (Vec<String>, bool) {
    let named = named.to_owned();
    match client.ask(Request::ListRooms(v1::ListRooms { named, ..v1::ListRooms::default() })) {
        Outcome::Rooms(v1::Rooms { rooms, more, next }) => {
            assert_eq!(more, next.is_some());
            (rooms.into_iter().map(|room| room.name).collect(), more)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_room_is_renamed_in_its_order_and_found_by_its_new_name_alone() {
    for speak in Speak::ALL {
        let server = Server::start();
        let mut ada = server.join_in(speak, "ada");
        let mut ben = server.join_in(Speak::Json, "ben");
        let room = ada.create("Tea");
        ben.join(room);
        assert_eq!(refused(&ben.ask(rename(room, "Coffee"))), 210);
        let seq = applied(ada.ask(rename(room, "  Green   house "))).seq;
        let event = ben.event();
        let What::Set(set) = event.what.clone().unwrap() else { panic!("{event:?}") };
        assert_eq!((event.seq, set.by.unwrap().id), (seq, ada.user));
        assert_eq!((set.name.as_deref(), set.topic), (Some("Green house"), None));
        let house = (vec!["Green house".to_owned()], false);
        assert_eq!((found(&mut ben, "EEN H"), found(&mut ben, "tea")), (house, (vec![], false)));
        // The old name is free, the new one is not, whatever its letters.
        let other = ben.create("tea");
        assert_eq!(refused(&ben.ask(rename(other, "GREEN HOUSE"))), 204);
        assert_eq!(refused(&ben.ask(rename(other, "x\u{200b}y"))), 104);
        assert_eq!(refused(&ada.ask(rename(room, "TEA"))), 204);
        applied(ada.ask(rename(room, "green HOUSE")));
    }
}

#[test]
fn what_is_private_is_renamed_to_what_it_likes_and_says_nothing_to_others() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    let hall = ada.create("hall");
    let kind = v1::RoomKind::Private as i32;
    let den = v1::CreateRoom { name: "den".into(), kind, ..v1::CreateRoom::default() };
    let Outcome::Joined(den) = ada.ask(Request::CreateRoom(den)) else { panic!("no room") };
    applied(ada.ask(rename(den.room, "HALL")));
    assert_eq!(found(&mut ada, "hall").0, ["hall", "HALL"]);
    assert_eq!(found(&mut ben, "hall").0, ["hall"]);
    assert_eq!(refused(&ben.ask(rename(den.room, "hall"))), 205);
    assert_eq!(refused(&ben.ask(rename(9_999, "hall"))), 205);
    // Nor is one who may not rename a room told which names are taken.
    assert_eq!(refused(&ben.ask(rename(hall, "hall"))), 206);
    applied(ada.ask(moderate(den.room, Act::Invite, ben.user)));
    assert_eq!(found(&mut ben, "all").0, ["hall", "HALL"]);
    let direct = v1::OpenDirect { name: "ben".into(), ..v1::OpenDirect::default() };
    let Outcome::Joined(direct) = ada.ask(Request::OpenDirect(direct)) else { panic!("no room") };
    assert_eq!(refused(&ada.ask(rename(direct.room, "us two"))), 210);
    assert_eq!((found(&mut ada, "BEN").0, found(&mut ada, "ada").0), (vec!["ben".into()], vec![]));
    assert_eq!(found(&mut ben, "ada").0, ["ada"]);
}

#[test]
fn names_are_given_and_looked_for_over_rest_too() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("Caf\u{e9}");
    ada.create("other");
    let path = format!("/rooms/{room}");
    let name = |name: &str| json!({ "name": name }).to_string();
    assert_eq!(http(&server, &ada.token, "PATCH", &path, &name("Caf\u{e9} Noir")).0, 0);
    assert_eq!(http(&server, &ada.token, "PATCH", &path, &name("OTHER")).0, 204);
    assert_eq!(http(&server, &ada.token, "PATCH", &path, &name(&"x".repeat(65))).0, 104);
    assert_eq!(http(&server, &ada.token, "PATCH", &path, &name("")).0, 104);
    let list = http_body(&server, &ada.token, "GET", "/rooms?named=CAFE&limit=1", "");
    assert_eq!(list["rooms"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(
        (&list["rooms"][0]["name"], &list["more"]),
        (&json!("Caf\u{e9} Noir"), &json!(false))
    );
    assert_eq!(list.get("next"), None);
    let all = http_body(&server, &ada.token, "GET", "/rooms?named=&limit=1", "");
    assert_eq!((&all["more"], &all["next"]), (&json!(true), &json!(room)));
    assert_eq!(http(&server, &ada.token, "GET", "/rooms?named=%E2%80%8B", "").0, 108);
    let long = format!("/rooms?named={}", "x".repeat(65));
    assert_eq!(http(&server, &ada.token, "GET", &long, "").0, 108);
}

#[test]
fn a_restart_knows_rooms_by_their_newest_names() {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = |settings: &mut throng_server::config::Settings| {
        (settings.memory, settings.data) = (false, folder.path().into());
    };
    let mut server = Server::with(on_disk);
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("first");
    applied(ada.ask(rename(room, "second")));
    let token = ada.token.clone();
    drop(ada);
    server.stop();
    // What the log has, and what the tables have.
    for (before, after) in [("second", "third"), ("third", "fourth")] {
        let mut server = Server::with(on_disk);
        let mut ada = server.connect(Speak::Json);
        assert!(matches!(ada.authenticate(&token), Outcome::Session(_)));
        assert_eq!(found(&mut ada, "").0, [before]);
        let name = before.to_uppercase();
        let other = v1::CreateRoom { name, ..v1::CreateRoom::default() };
        assert_eq!(refused(&ada.ask(Request::CreateRoom(other))), 204);
        applied(ada.ask(rename(room, after)));
        drop(ada);
        server.stop();
    }
}
