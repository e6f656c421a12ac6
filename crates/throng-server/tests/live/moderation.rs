//! Edits, deletions and moderation, from one socket to the others; and what the removed still get:
//! nothing.

use std::collections::BTreeSet;

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Came, Client, Speak, body, post, refused};

pub fn moderate(room: u32, act: Act, user: u64) -> Request {
    let act = act as i32;
    Request::Moderate(v1::Moderate { room, act, user, ..v1::Moderate::default() })
}

pub fn applied(outcome: Outcome) -> v1::Applied {
    match outcome {
        Outcome::Applied(applied) => applied,
        other => panic!("{other:?} is not applied"),
    }
}

fn history(room: u32) -> Request {
    Request::History(v1::History { room, ..v1::History::default() })
}

fn page(client: &mut Client, room: u32) -> Vec<v1::Event> {
    match client.ask(history(room)) {
        Outcome::Page(page) => page.events,
        other => panic!("{other:?} is no page"),
    }
}

/// A room of four: one who moderates, and one person on a connection of each form.
fn room_of_four(server: &Server) -> (Client, Vec<Client>, u32) {
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut first = server.join_in(Speak::Json, "guest");
    first.join(room);
    let mut guests = vec![first];
    for speak in [Speak::Protobuf, Speak::Raw] {
        let mut guest = server.connect(speak);
        guest.authenticate(&guests[0].token);
        guest.user = guests[0].user;
        assert!(matches!(guest.subscribe(room, None), Outcome::Subscribed(_)));
        guests.push(guest);
    }
    (host, guests, room)
}

#[test]
fn who_is_kicked_hears_so_on_every_connection_and_then_nothing_and_may_ask_nothing() {
    let server = Server::start();
    let (mut host, mut guests, room) = room_of_four(&server);
    host.post(room, "before");
    let user = guests[0].user;
    let seq = applied(host.ask(moderate(room, Act::Kick, user))).seq;
    let after = host.post(room, "secret");
    assert_eq!(after.seq, seq + 1);
    for guest in &mut guests {
        let from = v1::Position { epoch: guest.epoch, seq: seq - 1 };
        let resume = v1::Subscribe { room, from: Some(from) };
        for asked in [history(room), Request::Subscribe(resume), post(room, "let me in")] {
            assert_eq!(refused(&guest.ask(asked)), 206);
        }
        assert_eq!(guest.left, [v1::Left { room, seq, act: Act::Kick as i32 }]);
        let heard: Vec<_> = guest.events.iter().map(body).filter(|it| !it.is_empty()).collect();
        assert_eq!(heard, ["before"]);
    }
    assert!(!guests[0].join(room).already, "the room is open");
}

#[test]
fn a_kick_at_full_send_rate_is_followed_by_no_delivery() {
    const ROUNDS: usize = 20;
    let server = Server::with(|settings| {
        settings.limits.sends_burst = 1_000_000;
        settings.limits.sends_per_second = 1_000_000;
    });
    let (mut host, mut guests, room) = room_of_four(&server);
    let mut talker = server.join_in(Speak::Raw, "talker");
    talker.join(room);
    let user = guests[0].user;
    for round in 0..ROUNDS {
        let burst =
            |from: usize| (0..40).map(move |i| post(room, &format!("{round}.{}", from + i)));
        talker.send_all(burst(0));
        let kick = host.send(moderate(room, Act::Kick, user));
        let last = talker.send_all(burst(40));
        let seq = applied(host.answer(kick)).seq;
        (last - 79..=last).for_each(|id| _ = talker.answer(id));
        let mut heard = BTreeSet::new();
        for (i, guest) in guests.iter_mut().enumerate() {
            // Whatever was on its way is before the answer to a later request.
            assert!(matches!(guest.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
            let places: Vec<u64> = guest.events.drain(..).map(|event| event.seq).collect();
            assert!(
                places.iter().all(|at| *at < seq),
                "round {round}: told of {places:?} >= {seq}"
            );
            assert_eq!(guest.left.pop_back(), Some(v1::Left { room, seq, act: Act::Kick as i32 }));
            if i > 0 {
                heard.insert(places.len());
            }
        }
        assert_eq!(heard.len(), 1, "both heard all that came before: {heard:?}");
        guests[0].join(room);
        for guest in &mut guests[1..] {
            assert!(matches!(guest.subscribe(room, None), Outcome::Subscribed(_)));
            guest.events.clear();
        }
    }
}

#[test]
fn a_ban_outlasts_the_connection_and_is_lifted_by_name() {
    let server = Server::start();
    let (mut host, mut guests, room) = room_of_four(&server);
    let user = guests[0].user;
    applied(host.ask(moderate(room, Act::Ban, user)));
    assert!(applied(host.ask(moderate(room, Act::Ban, user))).already);
    assert_eq!(refused(&guests[0].ask(Request::Join(v1::Join { room }))), 213);
    let (act, name) = (Act::Unban as i32, "GUEST".to_owned());
    let unban = v1::Moderate { room, act, name, ..v1::Moderate::default() };
    assert!(!applied(host.ask(Request::Moderate(unban))).already);
    assert!(!guests[0].join(room).already);
    for user in [0, user + 1_000, u64::MAX] {
        let name = if user == 0 { "nobody".to_owned() } else { String::new() };
        let act = Act::Kick as i32;
        let asked = v1::Moderate { room, act, user, name, role: 0 };
        assert_eq!(refused(&host.ask(Request::Moderate(asked))), 214);
    }
}

#[test]
fn a_private_room_is_for_those_who_were_invited() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let mut guest = server.join_in(Speak::Protobuf, "guest");
    let kind = v1::RoomKind::Private as i32;
    let made = host.ask(Request::CreateRoom(v1::CreateRoom {
        name: "den".into(),
        kind,
        ..Default::default()
    }));
    let Outcome::Joined(v1::Joined { room, .. }) = made else { panic!("{made:?}") };
    let list = |client: &mut Client| match client.ask(Request::ListRooms(v1::ListRooms::default()))
    {
        Outcome::Rooms(rooms) => rooms.rooms,
        other => panic!("{other:?}"),
    };
    assert_eq!(list(&mut guest), []);
    assert_eq!(refused(&guest.ask(Request::Join(v1::Join { room }))), 205);
    assert_eq!(guest.create("den"), room + 1, "its name is not taken");
    applied(host.ask(moderate(room, Act::Invite, guest.user)));
    let told = &list(&mut guest)[0];
    assert!(told.id == room && told.invited && !told.member && told.kind == kind, "{told:?}");
    assert_eq!(refused(&guest.ask(history(room))), 206, "not before it has joined");
    assert!(!guest.join(room).already);
    assert_eq!(page(&mut guest, room).len(), 4);
    applied(host.ask(moderate(room, Act::Kick, guest.user)));
    assert_eq!(refused(&guest.ask(Request::Join(v1::Join { room }))), 205, "it is closed again");
}

#[test]
fn an_edit_and_a_deletion_reach_all_and_history_tells_of_what_is_left() {
    let server = Server::start();
    let (mut host, mut guests, room) = room_of_four(&server);
    let first = guests[0].post(room, "one").seq;
    let second = guests[0].post(room, "two").seq;
    let edit = |seq, text: &str| Request::Edit(v1::Edit { room, seq, body: text.into() });
    assert_eq!(refused(&host.ask(edit(first, "not mine"))), 210);
    let edited = applied(guests[1].ask(edit(first, "uno"))).seq;
    applied(guests[2].ask(edit(second, "dos")));
    let deleted = applied(host.ask(Request::Delete(v1::Delete { room, seq: second }))).seq;
    assert_eq!(refused(&guests[0].ask(edit(second, "tres"))), 215);
    for guest in &mut guests {
        let mut kinds = Vec::new();
        while kinds.last() != Some(&"deleted") {
            kinds.push(match guest.event().what {
                Some(What::Message(_)) => "message",
                Some(What::Edited(_)) => "edited",
                Some(What::Deleted(_)) => "deleted",
                _ => continue,
            });
        }
        assert_eq!(kinds, ["message", "message", "edited", "edited", "deleted"]);
    }
    let shown = |events: &[v1::Event]| -> Vec<(u64, String, u64, bool)> {
        let messages = events.iter().filter_map(|event| match &event.what {
            Some(What::Message(it)) => Some((event.seq, it.body.clone(), it.edited, it.deleted)),
            Some(What::Edited(it)) => Some((event.seq, it.body.clone(), it.of, false)),
            _ => None,
        });
        messages.collect()
    };
    let expected = vec![
        (first, "uno".to_owned(), edited, false),
        (second, String::new(), 0, true),
        (edited, "uno".to_owned(), first, false),
        (edited + 1, String::new(), second, false),
    ];
    for guest in &mut guests {
        assert_eq!(shown(&page(guest, room)), expected);
    }
    // A page that ends before the edit knows of it; a resume over both does too.
    let before = v1::History { room, before: Some(second), ..v1::History::default() };
    let Outcome::Page(early) = host.ask(Request::History(before)) else { panic!("no page") };
    assert_eq!(shown(&early.events), expected[..1]);
    guests[1].ask(Request::Unsubscribe(v1::Unsubscribe { room }));
    guests[1].events.clear();
    assert!(matches!(guests[1].subscribe(room, Some(first - 1)), Outcome::Subscribed(_)));
    let resumed: Vec<_> = guests[1].events.drain(..).collect();
    assert_eq!(shown(&resumed), expected);
    assert_eq!(resumed.last().map(|event| event.seq), Some(deleted));
}

#[test]
fn history_from_joining_on_is_not_a_place_earlier_by_any_way_of_asking() {
    let server = Server::start();
    let (mut host, mut guests, room) = room_of_four(&server);
    host.post(room, "before");
    let history = v1::HistoryFor::Joining as i32;
    let set = v1::SetRoom { room, history, ..v1::SetRoom::default() };
    applied(host.ask(Request::SetRoom(set)));
    applied(host.ask(moderate(room, Act::Kick, guests[0].user)));
    host.post(room, "meanwhile");
    let joined = guests[0].join(room).seq;
    host.post(room, "after");
    let ask = |before, after| v1::History { room, before, after, limit: 0 };
    for asked in [ask(None, None), ask(None, Some(1)), ask(Some(u64::MAX), None)] {
        let Outcome::Page(page) = guests[0].ask(Request::History(asked)) else { panic!("no page") };
        let places: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
        assert_eq!(places, [joined, joined + 1], "{asked:?}");
        assert!(!page.more);
    }
    for (from, outcome) in [(joined - 2, 207), (joined - 1, 0), (joined, 0)] {
        match guests[1].subscribe(room, Some(from)) {
            Outcome::Subscribed(_) => assert_eq!(outcome, 0, "from {from}"),
            other => assert_eq!(refused(&other), outcome, "from {from}"),
        }
    }
    let old = v1::Edit { room, seq: 4, body: "x".into() };
    assert_eq!(refused(&guests[0].ask(Request::Edit(old))), 215);
}

#[test]
fn slow_mode_says_how_long_to_wait_and_settings_are_told_to_all() {
    let server = Server::start();
    let (mut host, mut guests, room) = room_of_four(&server);
    let topic = Some("tea & biscuits".to_owned());
    let slow_seconds = Some(600);
    let set = v1::SetRoom { room, topic, slow_seconds, ..v1::SetRoom::default() };
    assert_eq!(refused(&guests[0].ask(Request::SetRoom(set.clone()))), 210);
    applied(host.ask(Request::SetRoom(set.clone())));
    guests[0].post(room, "first");
    match guests[1].ask(post(room, "second")) {
        Outcome::Rejected(rejected) => {
            assert_eq!(rejected.code, 303);
            let wait = rejected.retry_after_ms.expect("it is known");
            assert!((590_000..=600_000).contains(&wait), "{wait}");
        }
        other => panic!("{other:?}"),
    }
    host.post(room, "moderators");
    host.post(room, "are exempt");
    let told = guests[2].event();
    match told.what {
        Some(What::Set(told)) => {
            assert_eq!((told.topic, told.slow_seconds), (set.topic, set.slow_seconds));
        }
        other => panic!("{other:?}"),
    }
    let list = v1::ListRooms { mine: true, ..v1::ListRooms::default() };
    match guests[0].ask(Request::ListRooms(list)) {
        Outcome::Rooms(rooms) => {
            assert_eq!(rooms.rooms[0].topic, "tea & biscuits");
            assert_eq!(rooms.rooms[0].slow_seconds, 600);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_resume_that_is_under_way_ends_when_its_reader_is_removed() {
    const POSTS: usize = 1_000;
    let server = Server::with(|settings| {
        settings.limits.sends_burst = 1_000_000;
        settings.limits.sends_per_second = 1_000_000;
        settings.limits.resume_events_max = 100_000;
        settings.limits.send_buffer_bytes = 4_096;
    });
    let (mut host, guests, room) = room_of_four(&server);
    let long = "x".repeat(4_000);
    for _ in 0..POSTS / 50 {
        let last = host.send_all((0..50).map(|_| post(room, &long)));
        (last - 49..=last).for_each(|id| _ = host.answer(id));
    }
    let mut late = server.connect(Speak::Raw);
    late.authenticate(&guests[0].token);
    let from = Some(v1::Position { epoch: late.epoch, seq: 3 });
    let resume = late.send(Request::Subscribe(v1::Subscribe { room, from }));
    // It has begun, and waits for its reader.
    assert!(matches!(late.next(), Came::Frame(Frame::Event(_))));
    applied(host.ask(moderate(room, Act::Kick, guests[0].user)));
    assert_eq!(refused(&late.answer(resume)), 206);
    let given = late.events.len();
    assert!(given < POSTS / 2, "{given} events of {POSTS} after the removal");
}
