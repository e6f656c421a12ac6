//! The table of rights, asked of a whole server by every protocol: every operation by everyone, in
//! both kinds of room and under every setting that rights depend on. What the core's `permit` answers
//! is compared with `docs/reference/permissions.md` by the core's own tests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use throng_core::rights::{Operation, permit};
use throng_core::{Kind, Policy, Rejection, Role, Speak as Speaks, Standing, Visibility};
use throng_server::auth::Guests;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, post};
use super::guests::guest;
use super::moderation::{applied, moderate};

/// Who asks: a name for the reader, and where the asker stands. A guest is a visitor like others.
const PEOPLE: [(&str, u8); 13] = [
    ("owner", 4),
    ("moderator", 3),
    ("member", 2),
    ("visitor", 1),
    ("muted", 2 | 0x08),
    ("voiced-visitor", 1 | 0x10),
    ("voiced-member", 2 | 0x10),
    ("muted-moderator", 3 | 0x08),
    ("stranger", 0),
    ("banned", 0x20),
    ("invited", 0x40),
    ("guest", 1),
    ("guest-with-voice", 1 | 0x10),
];

fn standing(byte: u8) -> Standing {
    Standing::from_byte(byte).expect("one of the list")
}

/// An account with a connection of each form.
pub struct Person {
    pub name: &'static str,
    standing: Standing,
    pub user: u64,
    pub token: String,
    pub connections: Vec<Client>,
}

impl Person {
    pub fn new(server: &Server, name: &'static str, byte: u8) -> Self {
        let first = if name.starts_with("guest") {
            guest(server, Speak::Json, name)
        } else {
            server.join_in(Speak::Json, name)
        };
        let (user, token) = (first.user, first.token.clone());
        let mut connections = vec![first];
        for speak in [Speak::Protobuf, Speak::Raw] {
            let mut other = server.connect(speak);
            other.authenticate(&token);
            connections.push(other);
        }
        Self { name, standing: standing(byte), user, token, connections }
    }

    fn ask(&mut self, request: Request) -> Outcome {
        self.connections[0].ask(request)
    }
}

/// What came of it: a refusal's code, or 0.
fn code(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Rejected(rejected) => rejected.code,
        _ => 0,
    }
}

/// One request over HTTP, and the code of the refusal; its whole answer too, without what names no
/// room.
pub fn http(server: &Server, token: &str, method: &str, path: &str, body: &str) -> (u32, String) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let json = answer.split_once("\r\n\r\n").expect("a head ends").1;
    let json: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("{answer}"));
    let code = json["rejected"]["code"].as_u64().unwrap_or(0) as u32;
    let dated = |line: &&str| !line.to_lowercase().starts_with("date:");
    (code, answer.lines().filter(dated).collect::<Vec<_>>().join("\n"))
}

/// One request over HTTP, and the body of its answer.
pub fn http_body(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Value {
    let answer = http(server, token, method, path, body).1;
    let json = answer.split_once("\n\n").expect("a head ends").1;
    serde_json::from_str(json).unwrap_or_else(|_| panic!("{answer}"))
}

/// A connection to HTTP that is kept.
pub struct Http(TcpStream);

impl Http {
    pub fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.http).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// One request, and the status of its whole answer.
    pub fn ask(&mut self, token: &str, method: &str, path: &str, body: &str) -> u16 {
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        loop {
            let mut chunk = [0; 4_096];
            let len = self.0.read(&mut chunk).unwrap();
            assert!(len > 0, "the server closed: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&chunk[..len]);
            let text = std::str::from_utf8(&answer).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_lowercase();
            let (_, length) = head.split_once("content-length: ").expect("a body has a length");
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return head["http/1.1 ".len()..][..3].parse().unwrap();
            }
        }
    }
}

/// An operation as requests ask it: over a connection, and over REST if it is there. What it needs
/// to know of the room: a message of the asker's and one of another's (places 0 where the asker has
/// none), and somebody who is a member and one who is nobody.
pub struct Asked {
    pub operation: Operation,
    pub request: Request,
    pub rest: Option<Rest>,
}

/// Method, path and body.
pub type Rest = (&'static str, String, String);

fn asked(operation: Operation, room: u32, own: u64, other: u64, target: u64) -> Option<Asked> {
    use Operation as O;
    let act = |act: Act| {
        let body = format!(r#"{{"act":"{}","user":{target}}}"#, name(act));
        let rest = ("POST", format!("/rooms/{room}/moderation"), body);
        (moderate(room, act, target), Some(rest))
    };
    let message = |seq| format!("/rooms/{room}/messages/{seq}");
    let edit = |seq| {
        let body = "edited".to_owned();
        let rest = ("PATCH", message(seq), r#"{"body":"edited"}"#.to_owned());
        (Request::Edit(v1::Edit { room, seq, body }), Some(rest))
    };
    let delete = |seq| {
        (Request::Delete(v1::Delete { room, seq }), Some(("DELETE", message(seq), String::new())))
    };
    let at = |path: &str| format!("/rooms/{room}{path}");
    let (request, rest) = match operation {
        // Of the list, which is for all; what would end the asker's standing; and what is asked below.
        O::See | O::Leave | O::SetAccess => return None,
        O::Join => (Request::Join(v1::Join { room }), Some(("POST", at("/join"), String::new()))),
        O::Subscribe => (Request::Subscribe(v1::Subscribe { room, from: None }), None),
        O::History => (
            Request::History(v1::History { room, ..v1::History::default() }),
            Some(("GET", at("/messages"), String::new())),
        ),
        O::Post => {
            (post(room, "hi"), Some(("POST", at("/messages"), r#"{"body":"hi"}"#.to_owned())))
        }
        O::Search => {
            let query = "hi".to_owned();
            let asked = v1::Search { query, room, ..v1::Search::default() };
            let rest = ("GET", format!("/search?query=hi&room={room}"), String::new());
            (Request::Search(asked), Some(rest))
        }
        O::EditOwn => edit(own),
        O::EditOther => edit(other),
        O::DeleteOwn => delete(own),
        O::DeleteOther => delete(other),
        O::Typing | O::Members => of_people(operation, room),
        O::MakeLink | O::Links | O::EndLink => of_links(operation, room),
        O::React | O::Unreact | O::Pin | O::Unpin => answered(operation, room, other),
        O::Kick => act(Act::Kick),
        O::Ban => act(Act::Ban),
        O::Unban => act(Act::Unban),
        O::Mute => act(Act::Mute),
        O::Unmute => act(Act::Unmute),
        O::Voice => act(Act::Voice),
        O::Unvoice => act(Act::Unvoice),
        O::Invite => act(Act::Invite),
        O::DeleteAll => act(Act::DeleteAll),
        O::Held | O::PassHeld => super::held::of_what_waits(operation, room),
        O::Standings => super::standings::of_standings(room),
        O::Words | O::Report | O::Reports | O::Settle | O::Audit => {
            overseen(operation, room, other)
        }
        O::SetRole => {
            let (act, role) = (Act::SetRole as i32, v1::Role::Visitor as i32);
            let body = format!(r#"{{"act":"set_role","user":{target},"role":"visitor"}}"#);
            let asked = v1::Moderate { room, act, user: target, role, ..v1::Moderate::default() };
            (Request::Moderate(asked), Some(("POST", at("/moderation"), body)))
        }
        O::SetConduct => {
            let topic = Some("tea".to_owned());
            let set = v1::SetRoom { room, topic, ..v1::SetRoom::default() };
            (Request::SetRoom(set), Some(("PATCH", at(""), r#"{"topic":"tea"}"#.to_owned())))
        }
    };
    Some(Asked { operation, request, rest })
}

/// No picture for the room: conduct too, by a request of its own.
fn pictured(room: u32) -> Asked {
    let request = Request::SetRoomAvatar(v1::SetRoomAvatar { room, file: String::new() });
    let rest = Some(("PUT", format!("/rooms/{room}/avatar"), r#"{"file":""}"#.to_owned()));
    Asked { operation: Operation::SetConduct, request, rest }
}

/// Links into the room; the one that is ended is none.
fn of_links(operation: Operation, room: u32) -> (Request, Option<Rest>) {
    let path = format!("/rooms/{room}/links");
    match operation {
        Operation::MakeLink => {
            let asked = v1::MakeRoomLink { room, ..v1::MakeRoomLink::default() };
            (Request::MakeRoomLink(asked), Some(("POST", path, "{}".to_owned())))
        }
        Operation::Links => {
            (Request::ListRoomLinks(v1::ListRoomLinks { room }), Some(("GET", path, String::new())))
        }
        _ => {
            let asked = v1::EndRoomLink { room, link: 1 << 40 };
            let path = format!("{path}/1099511627776");
            (Request::EndRoomLink(asked), Some(("DELETE", path, String::new())))
        }
    }
}

/// Who is there, and that one types.
fn of_people(operation: Operation, room: u32) -> (Request, Option<Rest>) {
    if operation == Operation::Typing {
        let rest = ("POST", format!("/rooms/{room}/typing"), String::new());
        return (Request::Typing(v1::Typing { room }), Some(rest));
    }
    let asked = v1::Members { room, ..v1::Members::default() };
    (Request::Members(asked), Some(("GET", format!("/rooms/{room}/members"), String::new())))
}

/// What those who keep order look at, and how they hear of it.
fn overseen(operation: Operation, room: u32, other: u64) -> (Request, Option<Rest>) {
    use Operation as O;
    let at = |path: &str| format!("/rooms/{room}{path}");
    match operation {
        O::Words => {
            let rest = ("GET", at("/words"), String::new());
            (Request::ListWords(v1::ListWords { room }), Some(rest))
        }
        O::Report => {
            let reason = "rude".to_owned();
            let rest =
                ("POST", at(&format!("/messages/{other}/report")), r#"{"reason":"rude"}"#.into());
            (Request::Report(v1::Report { room, seq: other, reason }), Some(rest))
        }
        O::Reports => {
            let asked = v1::ListReports { room, ..v1::ListReports::default() };
            (Request::ListReports(asked), Some(("GET", at("/reports"), String::new())))
        }
        O::Settle => {
            // One that there is not.
            let asked = v1::SettleReport { room, report: 1 << 40, ..v1::SettleReport::default() };
            let path = at("/reports/1099511627776/settlement");
            (Request::SettleReport(asked), Some(("POST", path, r#"{"upheld":false}"#.to_owned())))
        }
        O::Audit => {
            let asked = v1::ListAudit { room, ..v1::ListAudit::default() };
            (Request::ListAudit(asked), Some(("GET", at("/audit"), String::new())))
        }
        other => unreachable!("{other:?} is asked elsewhere"),
    }
}

/// What is put on a message beside its text.
fn answered(operation: Operation, room: u32, seq: u64) -> (Request, Option<Rest>) {
    match operation {
        Operation::React => {
            let reaction = "+1".to_owned();
            let rest = ("PUT", format!("/rooms/{room}/messages/{seq}/reactions/+1"), String::new());
            (Request::React(v1::React { room, seq, reaction }), Some(rest))
        }
        Operation::Unreact => {
            let reaction = "+1".to_owned();
            let rest =
                ("DELETE", format!("/rooms/{room}/messages/{seq}/reactions/+1"), String::new());
            (Request::Unreact(v1::Unreact { room, seq, reaction }), Some(rest))
        }
        Operation::Pin => {
            let rest = ("PUT", format!("/rooms/{room}/pins/{seq}"), String::new());
            (Request::Pin(v1::Pin { room, seq }), Some(rest))
        }
        Operation::Unpin => {
            let rest = ("DELETE", format!("/rooms/{room}/pins/{seq}"), String::new());
            (Request::Unpin(v1::Unpin { room, seq }), Some(rest))
        }
        other => panic!("{other:?} is put on no message"),
    }
}

fn name(act: Act) -> String {
    act.as_str_name().trim_start_matches("ACT_").to_lowercase()
}

/// A room with everybody in it as the list says.
struct Scene<'a> {
    server: &'a Server,
    people: &'a mut Vec<Person>,
    policy: Policy,
    room: u32,
    /// An account that belongs to no room here, so that no act on it changes anything.
    nobody: u64,
    cells: usize,
}

impl Scene<'_> {
    fn set(&mut self, what: v1::SetRoom) {
        applied(self.people[0].ask(Request::SetRoom(v1::SetRoom { room: self.room, ..what })));
    }

    /// Everybody joins, says something, and comes to stand where it belongs.
    fn settle(&mut self) -> Vec<u64> {
        let room = self.room;
        let mut own = vec![0; self.people.len()];
        for (i, own) in own.iter_mut().enumerate() {
            let (standing, user) = (self.people[i].standing, self.people[i].user);
            let Some(role) = standing.role() else { continue };
            if i > 0 {
                self.people[0].ask(moderate(room, Act::Invite, user));
                self.people[i].connections[0].join(room);
            }
            *own = self.people[i].connections[0].post(room, "mine").seq;
            if role != Role::Member && role != Role::Owner {
                let (act, role) = (Act::SetRole as i32, role as i32);
                let asked = v1::Moderate { room, act, user, role, ..v1::Moderate::default() };
                applied(self.people[0].ask(Request::Moderate(asked)));
            }
        }
        for i in 0..self.people.len() {
            let (standing, user) = (self.people[i].standing, self.people[i].user);
            let marks = [
                (Standing::MUTED, Act::Mute),
                (Standing::VOICED, Act::Voice),
                (Standing::BANNED, Act::Ban),
                (Standing::INVITED, Act::Invite),
            ];
            for (_, act) in marks.into_iter().filter(|(mark, _)| standing.has(*mark)) {
                if act != Act::Invite || self.policy.kind == Kind::Private {
                    applied(self.people[0].ask(moderate(room, act, user)));
                }
            }
        }
        own
    }

    /// Every operation by everybody, by every protocol.
    fn ask_all(&mut self, own: &[u64]) {
        // One that all who belong may see, also those who see from their joining on.
        let owners = self.people[0].connections[0].post(self.room, "for all").seq;
        for i in 0..self.people.len() {
            let who = self.people[i].standing;
            for operation in Operation::ALL {
                // To join would change where the asker stands.
                let joins = *operation == Operation::Join && who.role().is_none();
                let mut expected = permit(*operation, who, self.policy);
                if *operation == Operation::EditOther {
                    // Whose message it is comes after whether the asker may speak at all.
                    expected = permit(Operation::EditOwn, who, self.policy).and(expected);
                }
                if joins && expected.is_ok() {
                    continue;
                }
                let other = if i == 0 { own[1] } else { owners };
                let asked = asked(*operation, self.room, own[i], other, self.nobody);
                let Some(asked) = asked else { continue };
                self.ask(i, &asked, expected);
                if *operation == Operation::SetConduct {
                    self.ask(i, &pictured(self.room), expected);
                }
            }
        }
    }

    fn ask(&mut self, i: usize, asked: &Asked, expected: Result<(), Rejection>) {
        let person = &mut self.people[i];
        let mut answers = Vec::new();
        for connection in &mut person.connections {
            answers.push(code(&connection.ask(asked.request.clone())));
        }
        if let Some((method, path, body)) = &asked.rest {
            answers.push(http(self.server, &person.token, method, path, body).0);
        }
        for answer in answers {
            self.cells += 1;
            let told = format!(
                "{} asks to {:?} in {:?}: {answer}, not {expected:?}",
                person.name, asked.operation, self.policy
            );
            if let Err(rejection) = expected {
                assert_eq!(answer, u32::from(rejection.code()), "{told}");
                continue;
            }
            // What is permitted may fail by what it is about: a message that is gone or of one
            // above, a target that is nobody here.
            let about = match asked.operation {
                Operation::EditOwn
                | Operation::DeleteOwn
                | Operation::React
                | Operation::Unreact
                | Operation::Pin
                | Operation::Report => [0, 215],
                Operation::DeleteOther => [0, 210],
                Operation::Settle => [251, 251],
                Operation::PassHeld => [215, 215],
                // Each makes one.
                Operation::MakeLink => [0, 208],
                // It withdraws an invitation that somebody has just made.
                Operation::Kick => [0, 214],
                Operation::Mute | Operation::Voice | Operation::Unvoice | Operation::SetRole => {
                    [214, 214]
                }
                _ => [0, 0],
            };
            assert!(about.contains(&answer), "{told}");
        }
    }
}

pub fn server() -> Server {
    Server::with(|settings| {
        settings.guests = Guests::On;
        settings.limits.sends_burst = 1_000_000;
        settings.limits.sends_per_second = 1_000_000;
        settings.limits.requests_burst = 1_000_000;
        (settings.limits.refusals_max, settings.limits.refusals_burst) = (1_000_000, 1_000_000);
        // Our clients answer no pings.
        settings.limits.ping_interval_ms = 600_000;
    })
}

#[test]
fn every_protocol_answers_every_operation_of_everybody_as_the_table_says() {
    let server = server();
    let mut people: Vec<_> =
        PEOPLE.iter().map(|(name, byte)| Person::new(&server, name, *byte)).collect();
    let nobody = server.join_in(Speak::Raw, "nobody").user;
    let mut cells = 0;
    for kind in [Kind::Public, Kind::Private] {
        let number = i32::from(kind == Kind::Private);
        let make =
            v1::CreateRoom { name: format!("room {number}"), kind: number, ..Default::default() };
        let Outcome::Joined(v1::Joined { room, .. }) = people[0].ask(Request::CreateRoom(make))
        else {
            panic!("no room")
        };
        let policy = Policy { kind, ..Policy::default() };
        let people = &mut people;
        let mut scene = Scene { server: &server, people, policy, room, nobody, cells };
        let own = scene.settle();
        for (speak, history, set) in [
            (Speaks::Everyone, Visibility::Members, (1, 1)),
            (Speaks::Members, Visibility::All, (2, 3)),
            (Speaks::Voiced, Visibility::Joining, (3, 2)),
        ] {
            let (set_speak, set_history) = set;
            scene.set(v1::SetRoom {
                speak: set_speak,
                history: set_history,
                ..v1::SetRoom::default()
            });
            scene.policy = Policy { speak, history, ..scene.policy };
            for i in 1..scene.people.len() {
                let who = scene.people[i].standing;
                let body = format!(
                    r#"{{"history":"{}"}}"#,
                    ["", "members", "joining", "all"][set_history as usize]
                );
                let request = v1::SetRoom { room, history: set_history, ..v1::SetRoom::default() };
                let asked = Asked {
                    operation: Operation::SetAccess,
                    request: Request::SetRoom(request),
                    rest: Some(("PATCH", format!("/rooms/{room}"), body)),
                };
                let expected = permit(Operation::SetAccess, who, scene.policy);
                scene.ask(i, &asked, expected);
            }
            scene.ask_all(&own);
        }
        cells = scene.cells;
    }
    println!("{cells} cells were asked");
    assert!(cells > 3_500, "{cells}");
}

#[test]
fn the_two_of_a_direct_room_and_one_who_is_not_are_answered_as_the_table_says() {
    let server = server();
    let mut people = vec![
        Person::new(&server, "ada", 4),
        Person::new(&server, "ben", 2),
        Person::new(&server, "eve", 0),
    ];
    let nobody = server.join_in(Speak::Raw, "nobody").user;
    let with = v1::OpenDirect { user: people[1].user, name: String::new() };
    let Outcome::Joined(v1::Joined { room, .. }) = people[0].ask(Request::OpenDirect(with)) else {
        panic!("no room")
    };
    // One of each, and one more that nobody takes away.
    let own = [0, 1].map(|i| people[i].connections[0].post(room, "mine").seq);
    let others = [1, 0].map(|i: usize| people[i].connections[0].post(room, "for all").seq);
    let policy = Policy { kind: Kind::Direct, ..Policy::default() };
    let people = &mut people;
    let mut scene = Scene { server: &server, people, policy, room, nobody, cells: 0 };
    for i in 0..3 {
        let (own, other) = if i < 2 { (own[i], others[i]) } else { (own[0], own[1]) };
        for operation in Operation::ALL {
            let mut expected = permit(*operation, scene.people[i].standing, policy);
            if *operation == Operation::EditOther {
                expected =
                    permit(Operation::EditOwn, scene.people[i].standing, policy).and(expected);
            }
            if let Some(asked) = asked(*operation, room, own, other, nobody) {
                scene.ask(i, &asked, expected);
            }
        }
    }
    assert!(scene.cells > 200, "{}", scene.cells);
}

/// Everything that one may say about a room, to which there is an answer.
pub fn about(room: u32, user: u64) -> Vec<Asked> {
    let all = Operation::ALL.iter();
    let mut all: Vec<_> = all.filter_map(|it| asked(*it, room, 3, 4, user)).collect();
    all.push(pictured(room));
    all.push(Asked {
        operation: Operation::Leave,
        request: Request::Leave(v1::Leave { room }),
        rest: Some(("POST", format!("/rooms/{room}/leave"), String::new())),
    });
    // One for which it is looked up whether it was said before.
    let (body, origin_id) = ("hi".to_owned(), "again".to_owned());
    let said = r#"{"body":"hi","origin_id":"again"}"#.to_owned();
    all.push(Asked {
        operation: Operation::Post,
        request: Request::Post(v1::Post { room, body, origin_id, ..v1::Post::default() }),
        rest: Some(("POST", format!("/rooms/{room}/messages"), said)),
    });
    all
}

#[test]
fn a_room_that_one_may_not_see_and_one_that_is_not_there_look_the_same_by_every_way_of_asking() {
    let server = server();
    let mut host = server.join_in(Speak::Json, "host");
    let (name, kind) = ("den".to_owned(), v1::RoomKind::Private as i32);
    let make = Request::CreateRoom(v1::CreateRoom { name, kind, ..Default::default() });
    let Outcome::Joined(v1::Joined { room: hidden, .. }) = host.ask(make) else { panic!() };
    host.post(hidden, "secret");
    let mut stranger = Person::new(&server, "stranger", 0);
    let mut banned = Person::new(&server, "banned", 0x20);
    applied(host.ask(moderate(hidden, Act::Ban, banned.user)));
    // As many digits, and the shard of the other.
    let absent = hidden + 2;
    for asker in [&mut stranger, &mut banned] {
        for (there, nowhere) in about(hidden, host.user).into_iter().zip(about(absent, host.user)) {
            for connection in &mut asker.connections {
                let answers =
                    [there.request.clone(), nowhere.request.clone()].map(|it| connection.ask(it));
                assert_eq!(answers[0], answers[1], "{:?}", there.operation);
                assert_eq!(code(&answers[0]), 205, "{:?}", there.operation);
            }
            let (Some(there), Some(nowhere)) = (there.rest, nowhere.rest) else { continue };
            let ask = |(method, path, body): (&str, String, String)| {
                http(&server, &asker.token, method, &path, &body).1
            };
            assert_eq!(ask(there.clone()), ask(nowhere), "{there:?}");
        }
    }
}
