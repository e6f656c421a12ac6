//! How long a room keeps what was said: at its time a message is gone from every way of asking, and
//! then from the disk.

use std::time::Duration;

use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, body, post, refused};
use super::moderation::{applied, moderate};

/// Nothing is asked of the time but how long ago something was said.
fn patient(settings: &mut Settings) {
    settings.limits.ping_interval_ms = 600_000;
    settings.limits.ping_timeout_ms = 600_000;
    settings.limits.sends_burst = 10_000;
}

fn keep(room: u32, seconds: u32) -> Request {
    let keep_seconds = Some(seconds);
    Request::SetRoom(v1::SetRoom { room, keep_seconds, ..v1::SetRoom::default() })
}

fn page(client: &mut Client, room: u32, before: Option<u64>, after: Option<u64>) -> Vec<v1::Event> {
    match client.ask(Request::History(v1::History { room, before, after, ..Default::default() })) {
        Outcome::Page(page) => page.events,
        other => panic!("{other:?} is no page"),
    }
}

fn found(client: &mut Client, query: &str) -> (usize, u32) {
    let query = query.to_owned();
    match client.ask(Request::Search(v1::Search { query, ..v1::Search::default() })) {
        Outcome::Found(found) => (found.hits.len(), found.total),
        other => panic!("{other:?} is not what was found"),
    }
}

fn unread(client: &mut Client) -> (u64, u32) {
    match client.ask(Request::Unread(v1::Unread::default())) {
        Outcome::Unread(unread) => (unread.rooms[0].unread, unread.rooms[0].mentions),
        other => panic!("{other:?}"),
    }
}

fn kept(client: &mut Client) -> Option<u32> {
    match client.ask(Request::ListRooms(v1::ListRooms::default())) {
        Outcome::Rooms(rooms) => rooms.rooms[0].keep_seconds,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_older_than_its_room_keeps_it_is_gone_to_the_millisecond_by_every_way_of_asking() {
    for speak in Speak::ALL {
        let clock = Clock::manual();
        clock.advance(Duration::from_hours(24));
        let server = Server::at(clock.clone(), patient);
        let mut host = server.join_in(speak, "host");
        let room = host.create("tea");
        let mut guest = server.join_in(Speak::Json, "guest");
        guest.join(room);
        applied(host.ask(keep(room, 60)));
        let mentioned = vec![guest.user];
        let text = "ancient tea".to_owned();
        let asked = v1::Post { room, body: text, mentioned, ..v1::Post::default() };
        let Outcome::Posted(old) = host.ask(Request::Post(asked)) else { panic!("not posted") };
        applied(host.ask(Request::Pin(v1::Pin { room, seq: old.seq })));
        clock.advance(Duration::from_secs(30));
        let edit =
            |text: &str| Request::Edit(v1::Edit { room, seq: old.seq, body: text.to_owned() });
        let edited = applied(host.ask(edit("old tea"))).seq;
        let new = host.post(room, "new tea").seq;
        clock.advance(Duration::from_secs(30));
        server.app().index_now();
        let react = Request::React(v1::React { room, seq: old.seq, reaction: "+1".into() });
        applied(host.ask(react.clone()));
        assert_eq!(body(&page(&mut guest, room, None, Some(old.seq - 1))[0]), "old tea");
        assert_eq!((found(&mut guest, "tea"), unread(&mut guest)), ((2, 2), (2, 1)));
        clock.advance(Duration::from_millis(1));
        for (before, after) in [(None, None), (None, Some(0)), (Some(new + 1), None)] {
            let events = page(&mut guest, room, before, after);
            assert!(events.iter().all(|event| event.seq > old.seq), "{before:?} {after:?}");
            assert!(events.iter().any(|event| body(event) == "new tea"), "{before:?} {after:?}");
            let edit = events.iter().find(|event| event.seq == edited).unwrap();
            assert!(!format!("{edit:?}").contains("old tea"), "{edit:?}");
        }
        assert_eq!((found(&mut guest, "tea"), unread(&mut guest)), ((1, 1), (1, 0)));
        let report = Request::Report(v1::Report { room, seq: old.seq, reason: "late".into() });
        for gone in [edit("again"), react, report] {
            assert_eq!(refused(&host.ask(gone.clone())), 215, "{gone:?}");
        }
        assert_eq!(refused(&host.ask(Request::Pin(v1::Pin { room, seq: 1 }))), 215);
        let Outcome::Page(pins) = host.ask(Request::Pins(v1::Pins { room, ..Default::default() }))
        else {
            panic!("no pins")
        };
        assert!(pins.events.is_empty());
        let mut late = server.connect(speak);
        late.authenticate(&guest.token);
        assert_eq!(refused(&late.subscribe(room, Some(old.seq - 1))), 207, "too old");
        assert!(matches!(late.subscribe(room, Some(new - 1)), Outcome::Subscribed(_)));
        // A message that is kept again is not there again once it has left.
        applied(host.ask(keep(room, 0)));
        assert_eq!(kept(&mut host), None);
    }
}

#[test]
fn only_owners_say_how_long_and_the_server_has_the_last_word() {
    let server = Server::with(|settings| {
        settings.limits.keep_seconds = 3_600;
        settings.limits.keep_seconds_max = 7_200;
    });
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut guest = server.join_in(Speak::Protobuf, "guest");
    guest.join(room);
    assert_eq!(kept(&mut host), Some(3_600), "the server's");
    assert_eq!(refused(&guest.ask(keep(room, 60))), 210);
    let role = Act::SetRole as i32;
    let moderator = v1::Role::Moderator as i32;
    let promote =
        v1::Moderate { room, act: role, user: guest.user, role: moderator, ..Default::default() };
    applied(host.ask(Request::Moderate(promote)));
    assert_eq!(refused(&guest.ask(keep(room, 60))), 210);
    assert_eq!(refused(&host.ask(keep(room, 59))), 108);
    for (asked, told) in [(60, 60), (7_200, 7_200), (7_201, 7_200), (0, 7_200)] {
        applied(host.ask(keep(room, asked)));
        assert_eq!(kept(&mut host), Some(told), "{asked}");
    }
    applied(host.ask(moderate(room, Act::Kick, guest.user)));
}

#[test]
fn a_restart_keeps_what_was_settled_and_no_file_has_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual();
    clock.advance(Duration::from_hours(24));
    let data = folder.path().to_owned();
    let start = || {
        let data = data.clone();
        Server::at(clock.clone(), move |settings| {
            patient(settings);
            settings.memory = false;
            settings.data = data;
        })
    };
    let holds = |text: &str| {
        std::fs::read_dir(folder.path()).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            let file = if path.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
            file.windows(text.len()).any(|bytes| bytes == text.as_bytes())
        })
    };
    let mut server = start();
    let mut host = server.join_in(Speak::Raw, "host");
    let room = host.create("tea");
    applied(host.ask(keep(room, 3_600)));
    // In one breath: each by itself would wait for a sync of its own.
    let last = host.send_all((0..200).map(|number| post(room, &format!("quokka{number}"))));
    for id in last - 199..=last {
        assert!(matches!(host.answer(id), Outcome::Posted(_)));
    }
    server.app().index_now();
    let token = host.token.clone();
    drop(host);
    server.stop();
    assert!(holds("quokka199"), "the check finds what is there");
    clock.advance(Duration::from_secs(3_601));
    let mut server = start();
    let mut host = server.connect(Speak::Json);
    host.authenticate(&token);
    assert_eq!(kept(&mut host), Some(3_600));
    assert!(page(&mut host, room, None, None).is_empty());
    server.app().index_now();
    assert!(matches!(host.ask(post(room, "wombat")), Outcome::Posted(_)));
    drop(host);
    server.stop();
    for text in ["quokka0", "quokka199", "quokka"] {
        assert!(!holds(text), "{text}");
    }
    assert!(holds("wombat"));
}
