//! Every request of the schema that names a room, asked of a private room by those who may not see it, and of a
//! number that no room has: the two look the same. What is no operation of its own (`read`, `set_level`,
//! `pins`, a file) is asked by everybody, too, and answered as the operation that the table names for it.
//!
//! Neighbours: `rights.rs` asks each operation once; here are the requests, and the forms of them, that it
//! leaves out. Which there are is read from the schema, so that one that is added must be asked.

use std::collections::BTreeSet;

use throng_core::rights::{Operation, permit};
use throng_core::{Kind, Policy, Rejection, Role, Standing};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::client::{Client, Speak};
use super::fields::schema;
use super::moderation::{applied, moderate};
use super::rights::{Person, Rest, about, http, server};

/// A request, by a socket and by REST where it is there, and what the table says it asks for.
struct Ask {
    what: &'static str,
    operation: Operation,
    request: Option<Request>,
    rest: Option<Rest>,
}

const NO_REQUEST: Option<Request> = None;
const NO_REST: Option<Rest> = None;

fn ask(
    what: &'static str,
    operation: Operation,
    request: impl Into<Option<Request>>,
    rest: impl Into<Option<Rest>>,
) -> Ask {
    Ask { what, operation, request: request.into(), rest: rest.into() }
}

/// What is asked of messages and of one's own place in a room, beside the operations.
fn beside(room: u32, seq: u64) -> Vec<Ask> {
    use Operation as O;
    let at = |path: &str| format!("/rooms/{room}{path}");
    let none = String::new;
    let file = "0".repeat(32);
    let path = at(&format!("/messages/{seq}/files/{file}"));
    let level = v1::Level::Mentions as i32;
    vec![
        ask(
            "read",
            O::Subscribe,
            Request::Read(v1::Read { room, seq }),
            ("PUT", at(&format!("/read/{seq}")), none()),
        ),
        ask(
            "set_level",
            O::Subscribe,
            Request::SetLevel(v1::SetLevel { room, level }),
            ("PUT", at("/level"), r#"{"level":"mentions"}"#.to_owned()),
        ),
        ask(
            "pins",
            O::History,
            Request::Pins(v1::Pins { room, ..v1::Pins::default() }),
            ("GET", at("/pins"), none()),
        ),
        ask("a file", O::History, NO_REQUEST, ("GET", path.clone(), none())),
        ask("a small picture", O::History, NO_REQUEST, ("GET", path + "/small", none())),
    ]
}

/// Requests that have an operation, in other forms than `about` asks them.
fn forms(room: u32, epoch: u32, host: u64) -> Vec<Ask> {
    use Operation as O;
    let at = |path: &str| format!("/rooms/{room}{path}");
    let from = Some(v1::Position { epoch, seq: 1 });
    let history = v1::History { room, before: Some(3), ..v1::History::default() };
    let set = v1::SetRoom { room, ..v1::SetRoom::default() };
    let access = v1::SetRoom { history: v1::HistoryFor::All as i32, ..set.clone() };
    let name = v1::SetRoom { name: Some("den".to_owned()), ..set };
    let drop = v1::SettleHeld { room, held: 1 << 40, pass: false };
    let by_name = v1::Moderate {
        room,
        act: Act::Kick as i32,
        name: "host".to_owned(),
        ..v1::Moderate::default()
    };
    let answer = v1::Post {
        room,
        body: "hi".to_owned(),
        in_reply_to: 2,
        mentioned: vec![host],
        ..v1::Post::default()
    };
    let body = format!(r#"{{"body":"hi","in_reply_to":2,"mentioned":[{host}]}}"#);
    vec![
        ask(
            "subscribe from",
            O::Subscribe,
            Request::Subscribe(v1::Subscribe { room, from }),
            NO_REST,
        ),
        ask(
            "history before",
            O::History,
            Request::History(history),
            ("GET", at("/messages?before=3"), String::new()),
        ),
        ask(
            "set_room access",
            O::SetAccess,
            Request::SetRoom(access),
            ("PATCH", at(""), r#"{"history":"all"}"#.to_owned()),
        ),
        ask(
            "set_room name",
            O::SetConduct,
            Request::SetRoom(name),
            ("PATCH", at(""), r#"{"name":"den"}"#.to_owned()),
        ),
        ask(
            "settle_held drop",
            O::DeleteOwn,
            Request::SettleHeld(drop),
            ("POST", at("/held/1099511627776/settlement"), r#"{"pass":false}"#.to_owned()),
        ),
        ask(
            "moderate by name",
            O::Kick,
            Request::Moderate(by_name),
            ("POST", at("/moderation"), r#"{"act":"kick","name":"host"}"#.to_owned()),
        ),
        ask("post to somebody", O::Post, Request::Post(answer), ("POST", at("/messages"), body)),
    ]
}

/// All of it.
fn all(room: u32, epoch: u32, host: u64) -> Vec<Ask> {
    let asked = about(room, host).into_iter();
    let known = asked.map(|it| ask("an operation", it.operation, it.request, it.rest));
    known.chain(beside(room, 3)).chain(forms(room, epoch, host)).collect()
}

/// A refusal's code, or 0.
fn code(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Rejected(rejected) => rejected.code,
        _ => 0,
    }
}

/// As the schema calls it.
fn name(request: &Request) -> String {
    let mut bytes = Vec::new();
    let frame = v1::ClientFrame { id: 1, request: Some(request.clone()) };
    throng_wire::native::json::encode(&frame, &mut bytes);
    let frame: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let keys = frame.as_object().unwrap().keys();
    keys.map(String::as_str).find(|key| *key != "id").unwrap().to_owned()
}

/// A private room of somebody's with a message in it, and the life of the server's data.
fn den(host: &mut Client) -> (u32, u32) {
    let (name, kind) = ("den".to_owned(), v1::RoomKind::Private as i32);
    let make = Request::CreateRoom(v1::CreateRoom { name, kind, ..Default::default() });
    let Outcome::Joined(made) = host.ask(make) else { panic!("no room") };
    host.post(made.room, "secret");
    (made.room, made.position.unwrap().epoch)
}

#[test]
fn every_request_that_names_a_room_says_nothing_of_one_that_may_not_be_seen() {
    let server = server();
    let mut host = server.join_in(Speak::Json, "host");
    let (hidden, epoch) = den(&mut host);
    let mut stranger = Person::new(&server, "stranger", 0);
    let mut banned = Person::new(&server, "banned", 0x20);
    applied(host.ask(moderate(hidden, Act::Ban, banned.user)));
    // As many digits, and the shard of the other.
    let absent = hidden + 2;
    let mut asked = BTreeSet::new();
    for asker in [&mut stranger, &mut banned] {
        let both = all(hidden, epoch, host.user).into_iter().zip(all(absent, epoch, host.user));
        for (there, nowhere) in both {
            let told = format!("{} {:?}", there.what, there.operation);
            if let (Some(there), Some(nowhere)) = (there.request, nowhere.request) {
                asked.insert(name(&there));
                for connection in &mut asker.connections {
                    let answers = [&there, &nowhere].map(|request| connection.ask(request.clone()));
                    assert_eq!(answers[0], answers[1], "{told}");
                    assert_eq!(code(&answers[0]), 205, "{told}");
                }
            }
            if let (Some(there), Some(nowhere)) = (there.rest, nowhere.rest) {
                let ask = |(method, path, body): (&str, String, String)| {
                    http(&server, &asker.token, method, &path, &body)
                };
                let (code, answer) = ask(there);
                assert_eq!((code, answer), ask(nowhere), "{told}");
                assert_eq!(code, 205, "{told}");
            }
        }
    }
    // What one hears no more is answered as done, whatever there is.
    for room in [hidden, absent] {
        for connection in &mut stranger.connections {
            let done = connection.ask(Request::Unsubscribe(v1::Unsubscribe { room }));
            assert!(matches!(done, Outcome::Done(_)), "{done:?}");
        }
    }
    asked.insert("unsubscribe".to_owned());
    let schema = schema();
    let names_a_room = |of_type| schema[of_type].iter().any(|field| field.name == "room");
    let requests = schema["ClientFrame"].iter().filter(|it| schema.contains_key(it.of_type));
    let named: BTreeSet<String> = requests
        .filter(|request| names_a_room(request.of_type))
        .map(|request| request.name.to_owned())
        .collect();
    assert!(named.len() > 25, "{named:?}");
    assert_eq!(asked, named);
}

/// Who asks, and where it stands.
const PEOPLE: [(&str, u8); 6] = [
    ("owner", 4),
    ("member", 2),
    ("visitor", 1),
    ("stranger", 0),
    ("banned", 0x20),
    ("invited", 0x40),
];

#[test]
fn what_is_no_operation_of_its_own_is_answered_as_the_one_that_the_table_names() {
    let server = server();
    let mut people: Vec<_> =
        PEOPLE.iter().map(|(name, byte)| Person::new(&server, name, *byte)).collect();
    let mut cells = 0;
    for kind in [Kind::Public, Kind::Private] {
        let number = i32::from(kind == Kind::Private);
        let make =
            v1::CreateRoom { name: format!("r{number}"), kind: number, ..Default::default() };
        let (owner, others) = people.split_first_mut().unwrap();
        let owner = &mut owner.connections[0];
        let Outcome::Joined(v1::Joined { room, .. }) = owner.ask(Request::CreateRoom(make)) else {
            panic!("no room")
        };
        let seq = owner.post(room, "for all").seq;
        for (person, (_, byte)) in others.iter_mut().zip(&PEOPLE[1..]) {
            let (standing, user) = (Standing::from_byte(*byte).unwrap(), person.user);
            if standing.has(Standing::BANNED) {
                applied(owner.ask(moderate(room, Act::Ban, user)));
            } else if kind == Kind::Private && standing != Standing::default() {
                applied(owner.ask(moderate(room, Act::Invite, user)));
            }
            let Some(role) = standing.role() else { continue };
            person.connections[0].join(room);
            if role != Role::Member {
                let (act, role) = (Act::SetRole as i32, role as i32);
                let asked = v1::Moderate { room, act, user, role, ..v1::Moderate::default() };
                applied(owner.ask(Request::Moderate(asked)));
            }
        }
        let policy = Policy { kind, ..Policy::default() };
        for (person, (who, byte)) in people.iter_mut().zip(PEOPLE) {
            let standing = Standing::from_byte(byte).unwrap();
            for Ask { what, operation, request, rest } in beside(room, seq) {
                let expected = permit(operation, standing, policy).map_err(Rejection::code);
                let mut answers = Vec::new();
                for connection in person.connections.iter_mut().filter(|_| request.is_some()) {
                    answers.push(code(&connection.ask(request.clone().unwrap())));
                }
                if let Some((method, path, body)) = rest {
                    answers.push(http(&server, &person.token, method, &path, &body).0);
                }
                for answer in answers {
                    // There is no such file.
                    let about = if what.starts_with('a') { 240 } else { 0 };
                    let expected = expected.map_or_else(u32::from, |()| about);
                    assert_eq!(answer, expected, "{who} asks for {what} in {policy:?}");
                    cells += 1;
                }
            }
        }
    }
    println!("{cells} cells were asked");
    assert!(cells > 150, "{cells}");
}
