//! Direct rooms, from one socket to the other, in every form.

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, RoomKind, Writers};

use super::Server;
use super::client::{Came, Client, Speak, body, post, refused};

fn open(with: &Client) -> Request {
    Request::OpenDirect(v1::OpenDirect { user: with.user, name: String::new() })
}

fn opened(outcome: Outcome) -> v1::Joined {
    match outcome {
        Outcome::Joined(joined) => joined,
        other => panic!("{other:?} is no direct room"),
    }
}

fn listed(client: &mut Client) -> Vec<v1::Room> {
    match client.ask(Request::ListRooms(v1::ListRooms::default())) {
        Outcome::Rooms(rooms) => rooms.rooms,
        other => panic!("{other:?}"),
    }
}

fn settle(client: &mut Client, writers: Writers) {
    let asked = Request::SetContacts(v1::SetContacts { writers: writers as i32 });
    assert!(matches!(client.ask(asked), Outcome::Done(_)));
    match client.ask(Request::Contacts(v1::Contacts {})) {
        Outcome::Contacts(told) => assert_eq!(told.writers, writers as i32),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_find_the_same_room_and_the_other_is_told_and_a_third_sees_nothing_of_it() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    let mut eve = server.join_in(Speak::Raw, "eve");
    let made = opened(ada.ask(open(&ben)));
    assert!(!made.already);
    match ben.next() {
        Came::Frame(Frame::Opened(told)) => {
            assert_eq!((told.room, told.with.unwrap().name), (made.room, "ada".to_owned()));
        }
        other => panic!("{other:?}"),
    }
    let name = "ADA".to_owned();
    let found = opened(ben.ask(Request::OpenDirect(v1::OpenDirect { user: 0, name })));
    assert!(found.already && found.room == made.room);
    ada.post(made.room, "hello, ben");
    assert_eq!(body(&ben.event()), "hello, ben");
    for (client, other) in [(&mut ada, "ben"), (&mut ben, "ada")] {
        let room = &listed(client)[0];
        let with = room.with.clone().expect("the other one");
        assert_eq!((&*room.name, &*with.name, room.members), (other, other, 2));
        assert_eq!((room.id, room.kind), (made.room, RoomKind::Direct as i32));
    }
    assert_eq!(listed(&mut eve), []);
    for asked in [
        Request::Join(v1::Join { room: made.room }),
        Request::History(v1::History { room: made.room, ..v1::History::default() }),
        post(made.room, "me too"),
    ] {
        assert_eq!(refused(&eve.ask(asked)), 205);
    }
    assert_eq!(refused(&ada.ask(Request::Leave(v1::Leave { room: made.room }))), 210);
    let kind = RoomKind::Direct as i32;
    let make =
        Request::CreateRoom(v1::CreateRoom { name: "mine".into(), kind, ..Default::default() });
    assert_eq!(refused(&ada.ask(make)), 108, "it is opened, with somebody");
    let myself = Request::OpenDirect(v1::OpenDirect { user: ada.user, name: String::new() });
    assert_eq!(refused(&ada.ask(myself)), 108);
}

#[test]
fn who_may_write_is_settled_by_the_one_who_is_written_to() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let mut ben = server.join_in(Speak::Raw, "ben");
    settle(&mut ben, Writers::Nobody);
    assert_eq!(refused(&ada.ask(open(&ben))), 252);
    settle(&mut ben, Writers::Shared);
    assert_eq!(refused(&ada.ask(open(&ben))), 252);
    let tea = ada.create("tea");
    ben.join(tea);
    let room = opened(ada.ask(open(&ben))).room;
    assert!(matches!(ben.subscribe(room, None), Outcome::Subscribed(_)));
    ada.post(room, "may I?");
    ben.ask(Request::Leave(v1::Leave { room: tea }));
    assert_eq!(refused(&ada.ask(post(room, "still?"))), 252, "a room of two is not one they share");
    ben.post(room, "I may");
    settle(&mut ben, Writers::Everyone);
    ada.post(room, "again");
}

#[test]
fn an_account_has_so_many_direct_rooms_beside_its_others() {
    let server = Server::with(|settings| settings.limits.rooms_per_user_max = 2);
    let mut ada = server.join_in(Speak::Json, "ada");
    let mut others: Vec<_> =
        (0..4).map(|i| server.join_in(Speak::Raw, &format!("user{i}"))).collect();
    let first = opened(ada.ask(open(&others[0]))).room;
    opened(others[1].ask(open(&ada)));
    assert_eq!(refused(&ada.ask(open(&others[2]))), 208);
    assert_eq!(refused(&others[3].ask(open(&ada))), 208);
    assert!(opened(ada.ask(open(&others[0]))).already, "one that is there is found");
    let kept = ada.create("one");
    ada.create("two");
    let three = Request::CreateRoom(v1::CreateRoom { name: "three".into(), ..Default::default() });
    assert_eq!(refused(&ada.ask(three)), 208);
    assert!(kept > first);
}
