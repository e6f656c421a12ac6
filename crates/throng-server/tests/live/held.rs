//! Rooms with a delay, from one socket to the others: what waits is seen by those who keep order, and by
//! nobody else in any way.

use std::time::Duration;

use serde_json::Value;
use throng_core::rights::Operation;
use throng_server::clock::Clock;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, body, post, refused};
use super::export::export;
use super::moderation::{applied, moderate};
use super::rights::{Rest, http_body};

const DELAY: Duration = Duration::from_secs(10);

/// A room with a delay: its owner, and others who hear it.
struct Scene {
    owner: Client,
    ben: Client,
    cleo: Client,
    room: u32,
    clock: Clock,
    /// Dropped last.
    server: Server,
}

impl Scene {
    fn new(speak: Speak) -> Self {
        let clock = Clock::manual();
        let server = Server::at(clock.clone(), |settings| {
            settings.limits.sends_burst = 1_000;
            // A list is asked for again and again until it has come along; the clock stands.
            settings.limits.requests_burst = 1_000_000;
        });
        let mut owner = server.join_in(speak, "owner");
        let room = owner.create("tea");
        let hears = |name| {
            let mut client = server.join_in(speak, name);
            client.join(room);
            client
        };
        let (ben, cleo) = (hears("ben"), hears("cleo"));
        let delay_seconds = Some(DELAY.as_secs() as u32);
        let set = v1::SetRoom { room, delay_seconds, ..v1::SetRoom::default() };
        applied(owner.ask(Request::SetRoom(set)));
        let mut scene = Self { owner, ben, cleo, room, clock, server };
        for client in [&mut scene.owner, &mut scene.ben, &mut scene.cleo] {
            while !matches!(client.event().what, Some(v1::event::What::Set(_))) {}
            client.events.clear();
        }
        scene
    }

    /// Its events of messages, once all that was told before has come.
    fn heard(client: &mut Client) -> Vec<String> {
        assert!(matches!(client.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
        client.events.drain(..).map(|event| body(&event).to_owned()).collect()
    }

    fn list(&self, client: &mut Client) -> Vec<u64> {
        let asked = v1::ListHeld { room: self.room, ..v1::ListHeld::default() };
        match client.ask(Request::ListHeld(asked)) {
            Outcome::HeldPosts(page) => page.posts.iter().map(|post| post.held).collect(),
            other => panic!("{other:?} is no page of what waits"),
        }
    }
}

fn held(outcome: Outcome) -> v1::Held {
    match outcome {
        Outcome::Held(held) => held,
        other => panic!("{other:?} does not wait"),
    }
}

fn unheld(outcome: Outcome) -> v1::Unheld {
    match outcome {
        Outcome::Unheld(unheld) => unheld,
        other => panic!("{other:?} is not settled"),
    }
}

fn named(room: u32, body: &str, origin_id: &str) -> Request {
    let Request::Post(asked) = post(room, body) else { unreachable!() };
    Request::Post(v1::Post { origin_id: origin_id.to_owned(), ..asked })
}

fn settle(room: u32, held: u64, pass: bool) -> Request {
    Request::SettleHeld(v1::SettleHeld { room, held, pass })
}

/// What waits for the room's delay; the one that is let pass is none.
pub fn of_what_waits(operation: Operation, room: u32) -> (Request, Option<Rest>) {
    let path = format!("/rooms/{room}/held");
    if operation == Operation::Held {
        let asked = v1::ListHeld { room, ..v1::ListHeld::default() };
        return (Request::ListHeld(asked), Some(("GET", path, String::new())));
    }
    let asked = v1::SettleHeld { room, held: 1, pass: true };
    let rest = ("POST", format!("{path}/1/settlement"), r#"{"pass":true}"#.to_owned());
    (Request::SettleHeld(asked), Some(rest))
}

#[test]
fn what_is_said_is_shown_to_those_who_keep_order_and_to_the_others_when_its_delay_is_over() {
    for speak in Speak::ALL {
        let mut scene = Scene::new(speak);
        let room = scene.room;
        let now = scene.clock.wall().0;
        let told = held(scene.ben.ask(named(room, "hello", "b1")));
        assert_eq!((told.room, told.until, told.repeat), (room, now + 10_000, false));
        let again = held(scene.ben.ask(named(room, "hello", "b1")));
        assert_eq!((again.held, again.repeat), (told.held, true));
        let shown = scene.owner.next_held();
        assert_eq!((shown.held, shown.at, shown.until), (told.held, now, told.until));
        let message = shown.message.unwrap();
        assert_eq!((message.n, &*message.body, &*message.origin_id), (0, "hello", "b1"));
        assert_eq!(message.from.unwrap().name, "ben");
        assert!(
            Scene::heard(&mut scene.cleo).is_empty() && Scene::heard(&mut scene.ben).is_empty()
        );
        scene.clock.advance(DELAY);
        let event = scene.cleo.event();
        assert_eq!((body(&event), event.at), ("hello", told.until));
        for client in [&mut scene.owner, &mut scene.ben] {
            let over = client.next_unheld();
            assert_eq!((over.held, over.seq, over.refused), (told.held, event.seq, None));
            assert_eq!(client.event().seq, event.seq);
        }
        let Outcome::Posted(posted) = scene.ben.ask(named(room, "hello", "b1")) else { panic!() };
        assert_eq!((posted.seq, posted.repeat), (event.seq, true));
        assert!(scene.cleo.held.is_empty() && scene.cleo.unheld.is_empty());
    }
}

#[test]
fn what_waits_is_listed_let_pass_and_taken_away_by_those_who_may_and_the_audit_log_says_by_whom() {
    for speak in Speak::ALL {
        let mut scene = Scene::new(speak);
        let room = scene.room;
        let [first, second, third] =
            ["one", "two", "three"].map(|text| held(scene.ben.ask(post(room, text))).held);
        let (mut owner, mut ben, mut cleo) = (scene.owner, scene.ben, scene.cleo);
        scene = Scene {
            owner: scene.server.connect(speak),
            ben: scene.server.connect(speak),
            cleo: scene.server.connect(speak),
            ..scene
        };
        assert_eq!(scene.list(&mut owner), [first, second, third]);
        assert_eq!(scene.list(&mut ben), [first, second, third]);
        assert!(scene.list(&mut cleo).is_empty());
        assert_eq!(refused(&cleo.ask(settle(room, first, true))), 210);
        assert_eq!(
            refused(&cleo.ask(settle(room, first, false))),
            refused(&cleo.ask(settle(room, 7, false)))
        );
        let passed = unheld(owner.ask(settle(room, first, true)));
        let event = cleo.event();
        assert_eq!((body(&event), passed.seq), ("one", event.seq));
        let taken = unheld(owner.ask(settle(room, second, false)));
        assert_eq!((taken.held, taken.seq, &taken.refused), (second, 0, &None));
        assert_eq!([ben.next_unheld(), ben.next_unheld()], [passed, taken]);
        assert_eq!(unheld(ben.ask(settle(room, third, false))).held, third);
        assert_eq!(refused(&owner.ask(settle(room, third, true))), 215);
        let Outcome::Audit(audit) =
            owner.ask(Request::ListAudit(v1::ListAudit { room, ..v1::ListAudit::default() }))
        else {
            panic!()
        };
        let lines =
            audit.entries.iter().map(|it| (&*it.what, it.about.clone().unwrap_or_default().name));
        let of_held = lines.filter(|(what, _)| what.ends_with("_held"));
        assert_eq!(
            of_held.collect::<Vec<_>>(),
            [("drop_held", "ben".to_owned()), ("pass_held", "ben".to_owned())]
        );
        scene.clock.advance(DELAY);
        assert!(Scene::heard(&mut cleo).is_empty(), "nothing waits any more");
    }
}

#[test]
fn over_rest_a_message_that_waits_is_accepted_listed_and_settled() {
    let mut scene = Scene::new(Speak::Json);
    let (room, ben, owner) = (scene.room, scene.ben.token.clone(), scene.owner.token.clone());
    let ask = |token: &str, method: &str, path: &str, body: &str| {
        http_body(&scene.server, token, method, &format!("/rooms/{room}{path}"), body)
    };
    let said = |text: &str| ask(&ben, "POST", "/messages", &format!(r#"{{"body":"{text}"}}"#));
    let (first, second) = (said("one"), said("two"));
    assert_eq!(first["until"], scene.clock.wall().0 + 10_000);
    let number = |held: &Value| held["held"].as_u64().unwrap();
    let list = ask(&owner, "GET", "/held?limit=1", "");
    assert_eq!((number(&list["posts"][0]), &list["more"]), (number(&first), &Value::Bool(true)));
    let list = ask(&owner, "GET", &format!("/held?after={}", number(&first)), "");
    assert_eq!(list["posts"][0]["message"]["body"], "two");
    let settle = |held: &Value, pass: bool| {
        let path = format!("/held/{}/settlement", number(held));
        ask(&owner, "POST", &path, &format!(r#"{{"pass":{pass}}}"#))
    };
    assert_eq!(settle(&second, true)["seq"], scene.cleo.event().seq);
    assert_eq!(settle(&first, false)["seq"], 0);
    assert_eq!(settle(&first, false)["rejected"]["name"], "no_such_message");
}

#[test]
fn one_who_keeps_order_no_longer_or_belongs_no_longer_is_told_nothing_of_what_waits() {
    let mut scene = Scene::new(Speak::Json);
    let (room, cleo) = (scene.room, scene.cleo.user);
    let role = |role| {
        let (act, role) = (Act::SetRole as i32, role as i32);
        Request::Moderate(v1::Moderate { room, act, user: cleo, role, ..v1::Moderate::default() })
    };
    applied(scene.owner.ask(role(v1::Role::Moderator)));
    let first = held(scene.ben.ask(post(room, "one"))).held;
    assert_eq!(scene.cleo.next_held().held, first);
    applied(scene.owner.ask(role(v1::Role::Member)));
    let second = held(scene.ben.ask(post(room, "two"))).held;
    applied(scene.owner.ask(moderate(room, Act::Kick, scene.ben.user)));
    assert_eq!([scene.owner.next_held().held, scene.owner.next_held().held], [first, second]);
    let over = [scene.owner.next_unheld(), scene.owner.next_unheld()];
    assert!(over.iter().all(|it| it.seq == 0 && it.refused.is_none()), "{over:?}");
    for client in [&mut scene.ben, &mut scene.cleo] {
        assert!(matches!(client.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
        assert!(client.held.is_empty() && client.unheld.is_empty());
    }
}

#[test]
fn what_was_refused_when_its_delay_was_over_is_told_to_its_sender_with_the_reason() {
    let mut scene = Scene::new(Speak::Protobuf);
    let room = scene.room;
    let told = held(scene.ben.ask(post(room, "one"))).held;
    applied(scene.owner.ask(moderate(room, Act::Mute, scene.ben.user)));
    scene.clock.advance(DELAY);
    for client in [&mut scene.ben, &mut scene.owner] {
        let over = client.next_unheld();
        assert_eq!(
            (over.held, over.seq, over.refused.unwrap().name),
            (told, 0, "muted".to_owned())
        );
    }
}

/// Has all that is durable in the list of members, which is behind it by what is not folded, and in the
/// search index: what is behind would be told of two rooms at two stages.
fn settle_lists(server: &Server, member: &mut Client, room: u32) {
    let page = v1::History { room, ..v1::History::default() };
    let newest = match member.ask(Request::History(page)) {
        Outcome::Page(page) => page.events.last().expect("a room begins with an event").seq,
        other => panic!("{other:?} is no page"),
    };
    loop {
        match member.ask(Request::Members(v1::Members { room, ..v1::Members::default() })) {
            Outcome::Members(list) if list.seq >= newest => break,
            Outcome::Members(_) => {}
            other => panic!("{other:?} is no list"),
        }
    }
    server.app().index_now();
}

/// What one who belongs to a room and keeps no order there is told by every door that there is.
fn every_door(server: &Server, member: &mut Client, room: u32, other: u64) -> Vec<String> {
    let resume = v1::Position { epoch: member.epoch, seq: 2 };
    let asked = [
        Request::History(v1::History { room, ..v1::History::default() }),
        Request::History(v1::History { room, before: Some(1 << 39), ..v1::History::default() }),
        Request::Pins(v1::Pins { room, ..v1::Pins::default() }),
        Request::Unread(v1::Unread::default()),
        Request::ListRooms(v1::ListRooms::default()),
        Request::Members(v1::Members { room, ..v1::Members::default() }),
        Request::ListHeld(v1::ListHeld { room, ..v1::ListHeld::default() }),
        Request::ListReports(v1::ListReports { room, ..v1::ListReports::default() }),
        Request::ListAudit(v1::ListAudit { room, ..v1::ListAudit::default() }),
        Request::Search(v1::Search { query: "secret".into(), ..v1::Search::default() }),
        Request::Search(v1::Search {
            query: "secret".into(),
            room,
            sender: other,
            ..v1::Search::default()
        }),
        Request::Subscribe(v1::Subscribe { room, from: Some(resume) }),
        Request::Report(v1::Report { room, seq: 7, reason: "rude".into() }),
        Request::React(v1::React { room, seq: 7, reaction: "+1".into() }),
        Request::Read(v1::Read { room, seq: 7 }),
        settle(room, 1, false),
    ];
    settle_lists(server, member, room);
    let mut told = vec![export(server, &member.token).2];
    for path in [
        "/unread",
        "/rooms",
        "/search?query=secret",
        "/rooms/1/messages",
        "/rooms/1/held",
        "/rooms/1/members",
        "/rooms/1/messages/7/files/00000000000000000000000000000000",
    ] {
        told.push(super::rights::http(server, &member.token, "GET", path, "").1);
    }
    told.extend(asked.into_iter().map(|it| format!("{:?}", member.ask(it))));
    told.extend(member.events.drain(..).map(|event| format!("{event:?}")));
    told.extend(member.left.drain(..).map(|left| format!("{left:?}")));
    told.push(format!("{:?} {:?}", member.held, member.unheld));
    let epoch = format!("epoch: {}", member.epoch);
    told.into_iter().map(|text| text.replace(&epoch, "epoch: ?")).collect()
}

#[test]
fn a_room_in_which_all_is_taken_away_in_time_is_to_a_member_as_one_in_which_nothing_was_said() {
    for speak in Speak::ALL {
        let heard = [true, false].map(|talks| {
            // A server waits for those it says goodbye to: it goes last.
            let Scene { server, clock, room, mut owner, mut ben, mut cleo } = Scene::new(speak);
            assert_eq!(room, 1);
            if talks {
                let texts = ["secret one", "secret two", "secret three"];
                let said = texts.map(|text| held(ben.ask(post(room, text))).held);
                clock.advance(DELAY / 2);
                for held in said {
                    unheld(owner.ask(settle(room, held, false)));
                }
            } else {
                clock.advance(DELAY / 2);
            }
            clock.advance(DELAY * 2);
            // All that was due by now would have been said before this.
            let last = owner.post(room, "last").seq;
            while cleo.event().seq != last {}
            every_door(&server, &mut cleo, room, ben.user)
        });
        assert_eq!(heard[0], heard[1]);
        assert!(heard[0].len() > 24 && heard[0].iter().any(|told| told.contains("last")));
    }
}
