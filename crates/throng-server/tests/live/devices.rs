//! What one's other devices are told when one makes, joins or leaves a room on one of them or over REST.

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak};
use super::moderation::{applied, moderate};
use super::rights::http;

/// Two further connections of an account, in the other forms.
fn others(server: &Server, of: &Client) -> [Client; 2] {
    [Speak::Protobuf, Speak::Raw].map(|speak| {
        let mut client = server.connect(speak);
        client.authenticate(&of.token);
        client
    })
}

fn told(room: u32, seq: u64, ended: bool) -> v1::Membership {
    v1::Membership { room, seq, ended }
}

#[test]
fn a_room_that_is_made_joined_or_left_is_told_to_ones_other_devices_that_do_not_hear_it() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let mut ben = server.join_in(Speak::Json, "ben");
    let [mut phone, mut tablet] = others(&server, &ada);
    let tea = ada.create("tea");
    for device in [&mut phone, &mut tablet] {
        assert_eq!(device.next_membership(), told(tea, 2, false));
        // It may be heard from then on.
        assert!(matches!(device.subscribe(tea, None), Outcome::Subscribed(_)));
    }
    let theirs = ben.create("theirs");
    ada.join(theirs);
    assert_eq!(phone.next_membership(), told(theirs, 3, false));
    assert_eq!(tablet.next_membership(), told(theirs, 3, false));
    assert!(matches!(phone.subscribe(theirs, None), Outcome::Subscribed(_)));
    assert!(matches!(ada.ask(Request::Leave(v1::Leave { room: theirs })), Outcome::Left(_)));
    assert_eq!(tablet.next_membership(), told(theirs, 4, true));
    phone.post(tea, "hi");
    assert_eq!(phone.left.pop_front().map(|left| left.seq), Some(4), "it heard the room");
    // Over REST all of them are told.
    let (join, leave) = (format!("/rooms/{theirs}/join"), format!("/rooms/{theirs}/leave"));
    assert_eq!(http(&server, &ada.token, "POST", &join, "").0, 0);
    assert_eq!(http(&server, &ada.token, "POST", &leave, "").0, 0);
    for device in [&mut ada, &mut phone, &mut tablet] {
        assert_eq!(device.next_membership(), told(theirs, 5, false));
        assert_eq!(device.next_membership(), told(theirs, 6, true));
        assert!(device.memberships.is_empty(), "whoever asked was told by its answer alone");
    }
    assert!(ben.memberships.is_empty(), "it is nobody else's business");
}

#[test]
fn a_direct_room_is_told_once_to_the_other_devices_of_each_of_the_two() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let ben = server.join_in(Speak::Json, "ben");
    let [mut phone, _tablet] = others(&server, &ada);
    let [mut bens, _] = others(&server, &ben);
    let open = v1::OpenDirect { user: ben.user, name: String::new() };
    let Outcome::Joined(joined) = ada.ask(Request::OpenDirect(open)) else { panic!("not opened") };
    assert_eq!(phone.next_membership(), told(joined.room, 2, false));
    // Ben's were told that it was opened, and of the next thing by that.
    let mine = bens.create("mine");
    let next = ada.create("next");
    assert_eq!(phone.next_membership(), told(next, 2, false));
    assert!(bens.memberships.is_empty() && mine > 0);
    assert!(ada.memberships.is_empty(), "the one that asked was told by its answer");
}

#[test]
fn who_is_put_out_of_a_room_that_it_was_never_in_is_told_nothing_of_it() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let kind = v1::RoomKind::Private as i32;
    let den = v1::CreateRoom { name: "den".into(), kind, ..v1::CreateRoom::default() };
    let Outcome::Joined(den) = host.ask(Request::CreateRoom(den)) else { panic!("not made") };
    let mut ada = server.join_in(Speak::Json, "ada");
    let [mut phone, mut tablet] = others(&server, &ada);
    applied(host.ask(moderate(den.room, Act::Ban, ada.user)));
    let tea = ada.create("tea");
    for device in [&mut phone, &mut tablet] {
        assert_eq!(device.next_membership().room, tea, "and nothing before that");
    }
}
