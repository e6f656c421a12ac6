//! Accounts that are deleted where their messages stay and say no more whose they were: at once by every
//! way of asking, and then in no file.

use std::time::Duration;

use throng_server::clock::Clock;
use throng_server::config::{Fate, Settings};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::accounts::{login, register};
use super::client::{Client, Speak, body, refused};
use super::export::export;
use super::moderation::{applied, moderate};
use super::rights::http;

/// What stands in the place of a name.
const GONE: &str = ".gone";

fn anonymous(settings: &mut Settings) {
    settings.deleted_messages = Fate::Anonymous;
    settings.limits.export_every_ms = 0;
    settings.limits.ping_interval_ms = 600_000;
    settings.limits.ping_timeout_ms = 600_000;
    settings.limits.sends_burst = 10_000;
}

fn said(client: &mut Client, room: u32, body: &str, origin_id: &str) -> u64 {
    let (body, origin_id) = (body.to_owned(), origin_id.to_owned());
    match client.ask(Request::Post(v1::Post { room, body, origin_id, ..v1::Post::default() })) {
        Outcome::Posted(posted) => posted.seq,
        other => panic!("{other:?} is no post"),
    }
}

fn direct(client: &mut Client, with: u64) -> u32 {
    match client.ask(Request::OpenDirect(v1::OpenDirect { user: with, name: String::new() })) {
        Outcome::Joined(joined) => joined.room,
        other => panic!("{other:?} is no direct room"),
    }
}

fn delete(client: &mut Client) {
    let password = "correct horse".to_owned();
    let asked = client.send(Request::DeleteAccount(v1::DeleteAccount { password }));
    assert!(matches!(client.answer(asked), Outcome::Done(_)));
    assert_eq!(client.farewell().code, 4401);
}

/// A room and a room of two in which one has left its name wherever a name can be.
struct Scene {
    anna: Client,
    bert: Client,
    carl: Client,
    tea: u32,
    two: u32,
    first: u64,
}

impl Scene {
    fn new(server: &Server, speak: Speak, name: &str) -> Self {
        let mut anna = server.join_in(speak, name);
        let mut bert = server.join_in(Speak::Json, "bert");
        let mut carl = server.join_in(Speak::Raw, "carl");
        let tea = anna.create("tea");
        bert.join(tea);
        carl.join(tea);
        let first = said(&mut anna, tea, "green tea", &format!("{name}-laptop-1"));
        applied(anna.ask(Request::Edit(v1::Edit {
            room: tea,
            seq: first,
            body: "black tea".into(),
        })));
        let berts = bert.post(tea, "milk").seq;
        let reaction = "+1".to_owned();
        applied(anna.ask(Request::React(v1::React { room: tea, seq: berts, reaction })));
        applied(anna.ask(Request::Pin(v1::Pin { room: tea, seq: first })));
        let topic = Some("tea".to_owned());
        applied(anna.ask(Request::SetRoom(v1::SetRoom { room: tea, topic, ..Default::default() })));
        applied(anna.ask(moderate(tea, Act::Mute, carl.user)));
        applied(anna.ask(moderate(tea, Act::Unmute, carl.user)));
        let (act, role) = (Act::SetRole as i32, v1::Role::Owner as i32);
        let owner = v1::Moderate { room: tea, act, user: bert.user, role, ..Default::default() };
        applied(anna.ask(Request::Moderate(owner)));
        let rude = carl.post(tea, "rude").seq;
        applied(anna.ask(Request::Delete(v1::Delete { room: tea, seq: rude })));
        let report = |seq| Request::Report(v1::Report { room: tea, seq, reason: "cold".into() });
        assert!(matches!(carl.ask(report(first)), Outcome::Reported(_)));
        assert!(matches!(anna.ask(report(berts)), Outcome::Reported(_)));
        let mention = v1::Post {
            room: tea,
            body: "you".into(),
            mentioned: vec![anna.user],
            ..v1::Post::default()
        };
        assert!(matches!(bert.ask(Request::Post(mention)), Outcome::Posted(_)));
        let block = Request::Block(v1::Block { user: anna.user, name: String::new() });
        assert!(matches!(carl.ask(block), Outcome::Done(_)));
        let two = direct(&mut anna, bert.user);
        said(&mut anna, two, "only you", &format!("{name}-laptop-2"));
        assert!(matches!(bert.subscribe(two, None), Outcome::Subscribed(_)));
        Self { anna, bert, carl, tea, two, first }
    }

    /// All that the two who stay can be told, by every way of asking.
    fn told(&mut self, server: &Server) -> String {
        let Self { bert, carl, tea, two, anna, first } = self;
        let mut told = Vec::new();
        let history = |room, before| v1::History { room, before, ..v1::History::default() };
        for room in [*tea, *two] {
            for asked in [
                Request::History(history(room, None)),
                Request::History(history(room, Some(u64::from(u32::MAX)))),
                Request::Pins(v1::Pins { room, ..v1::Pins::default() }),
                Request::Members(v1::Members { room, ..v1::Members::default() }),
            ] {
                told.push(format!("{:?}", bert.ask(asked)));
            }
            let mut late = server.connect(Speak::Protobuf);
            late.authenticate(&bert.token);
            assert!(matches!(late.subscribe(room, Some(1)), Outcome::Subscribed(_)));
            assert!(late.events.len() > 1);
            told.push(format!("{:?}", late.events));
            told.push(http(server, &bert.token, "GET", &format!("/rooms/{room}/messages"), "").1);
        }
        server.app().index_now();
        for (query, sender) in [("black", 0), ("black", anna.user), ("only", anna.user)] {
            let asked = v1::Search { query: query.into(), sender, ..v1::Search::default() };
            let found = bert.ask(Request::Search(asked));
            assert!(matches!(&found, Outcome::Found(found) if found.hits.len() == 1), "{found:?}");
            told.push(format!("{found:?}"));
        }
        let room = *tea;
        for asked in [
            Request::ListRooms(v1::ListRooms::default()),
            Request::Unread(v1::Unread::default()),
            Request::ListReports(v1::ListReports { room, ..v1::ListReports::default() }),
            Request::ListAudit(v1::ListAudit { room, ..v1::ListAudit::default() }),
            Request::ListRoomLinks(v1::ListRoomLinks { room }),
        ] {
            told.push(format!("{:?}", bert.ask(asked)));
        }
        told.push(format!("{:?}", carl.ask(Request::ListBlocked(v1::ListBlocked::default()))));
        told.push(http(server, &bert.token, "GET", &format!("/rooms/{room}/audit"), "").1);
        told.push(export(server, &bert.token).2);
        let mine =
            v1::History { room, after: Some(*first - 1), limit: 1, ..v1::History::default() };
        match bert.ask(Request::History(mine)) {
            Outcome::Page(page) => assert_eq!(body(&page.events[0]), "black tea", "it stays"),
            other => panic!("{other:?}"),
        }
        told.join("\n")
    }
}

#[test]
fn messages_of_one_that_is_named_no_more_stay_and_nobody_is_told_whose_they_were() {
    for (speak, name) in Speak::ALL.into_iter().zip(["zebedee", "Zebedee.2", "zebedee-3"]) {
        let clock = Clock::manual();
        clock.advance(Duration::from_hours(24));
        let server = Server::at(clock.clone(), anonymous);
        let mut scene = Scene::new(&server, speak, name);
        let named = |told: &str| told.to_lowercase().contains("zebedee");
        assert!(named(&scene.told(&server)), "the check finds what is there");
        scene.bert.events.clear();
        delete(&mut scene.anna);
        let left = scene.bert.event();
        match left.what {
            Some(What::Left(v1::MemberLeft { user: Some(user) })) => {
                assert_eq!((user.id, user.name.as_str()), (scene.anna.user, GONE));
            }
            other => panic!("{other:?} is no leaving"),
        }
        // At once, and again when it has been taken out of what is kept.
        for _ in 0..2 {
            let told = scene.told(&server);
            assert!(!named(&told), "{told}");
            assert!(told.contains(GONE));
            clock.advance(Duration::from_secs(61));
        }
        assert_eq!(refused(&login(&server, speak, name, "correct horse").1), 201);
        let again = register(&server, speak, &name.to_uppercase(), "").1;
        assert_eq!(refused(&again), 203, "it is given to nobody");
        assert_eq!(refused(&register(&server, speak, GONE, "").1), 102);
        for user in [
            v1::OpenDirect { user: 0, name: name.into() },
            v1::OpenDirect { user: scene.anna.user, name: String::new() },
        ] {
            assert_eq!(refused(&scene.bert.ask(Request::OpenDirect(user))), 214);
        }
    }
}

#[test]
fn an_account_with_a_direct_room_can_be_deleted_whatever_becomes_of_its_messages() {
    for fate in [Fate::Kept, Fate::Anonymous, Fate::Erased] {
        let server = Server::with(|settings| settings.deleted_messages = fate);
        let mut anna = server.join_in(Speak::Json, "anna");
        let mut bert = server.join_in(Speak::Raw, "bert");
        let two = direct(&mut anna, bert.user);
        anna.post(two, "only you");
        delete(&mut anna);
        let history = Request::History(v1::History { room: two, ..v1::History::default() });
        let Outcome::Page(page) = bert.ask(history) else { panic!("no page") };
        let text = page.events.iter().any(|event| body(event) == "only you");
        let name = format!("{page:?}").contains("anna");
        assert_eq!((text, name), (fate != Fate::Erased, fate != Fate::Anonymous), "{fate:?}");
    }
}

#[test]
fn the_name_of_one_that_is_named_no_more_is_in_no_file_after_a_while_and_shown_by_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual();
    clock.advance(Duration::from_hours(24));
    let start = || {
        let data = folder.path().to_owned();
        Server::at(clock.clone(), move |settings| {
            anonymous(settings);
            (settings.memory, settings.data) = (false, data);
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
    let mut scene = Scene::new(&server, Speak::Json, "zebedee");
    delete(&mut scene.anna);
    let ids = (scene.tea, scene.two, scene.first);
    let [anna, bert, carl] = [scene.anna, scene.bert, scene.carl].map(|one| (one.user, one.token));
    server.stop();
    assert!(holds("zebedee"), "the check finds what is there");
    // Not taken out yet, and shown by no start.
    let mut server = start();
    let [anna, bert, carl] = [anna, bert, carl].map(|(user, token)| {
        let mut client = server.connect(Speak::Raw);
        client.authenticate(&token);
        (client.user, client.token) = (user, token);
        client
    });
    let mut scene = Scene { anna, bert, carl, tea: ids.0, two: ids.1, first: ids.2 };
    let told = scene.told(&server);
    assert!(!told.contains("zebedee"), "{told}");
    drop(scene);
    clock.advance(Duration::from_secs(61));
    server.stop();
    assert!(!holds("zebedee"));
    assert!(holds("black tea") && holds("only you"), "what was said stays");
    let mut server = start();
    assert_eq!(refused(&register(&server, Speak::Json, "Zebedee", "").1), 203);
    server.stop();
}
