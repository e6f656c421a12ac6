//! Requests that do not say what they must, as a client meets them: what they leave out or misspell is
//! never taken for its default where that does something.

use std::io::Write as _;

use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, client_frame::Request};
use throng_wire::ws;

use super::Server;
use super::client::{Came, Client, Frame, Speak, post, refused};
use super::rights::http_body;

/// A request as somebody wrote it by hand, with this id.
pub fn written(client: &mut Client, id: u32, request: &str) -> Outcome {
    let text = format!(r#"{{"id":{id},{request}}}"#);
    let mut bytes = Vec::new();
    ws::encode_frame(ws::Opcode::Text, text.as_bytes(), Some([1, 2, 3, 4]), &mut bytes);
    client.stream.write_all(&bytes).unwrap();
    client.answer(id)
}

#[test]
fn a_field_that_decides_must_be_there_where_the_form_can_tell() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    assert!(matches!(
        written(&mut ada, 1_000, r#""set_contacts":{"writers":"nobody"}"#),
        Outcome::Done(_)
    ));
    for (number, (request, field)) in [
        (r#""set_contacts":{"writer":"everyone"}"#.to_owned(), "writers"),
        (format!(r#""set_level":{{"room":{room}}}"#), "level"),
        (format!(r#""settle_held":{{"room":{room},"held":1,"passs":true}}"#), "pass"),
        (format!(r#""settle_report":{{"room":{room},"report":1}}"#), "upheld"),
        (r#""set_avatar":{}"#.to_owned(), "file"),
        (format!(r#""set_room":{{"room":{room},"words":{{}}}}"#), "list"),
        (format!(r#""edit":{{"room":{room},"seq":3,"bodi":"a"}}"#), "body"),
    ]
    .into_iter()
    .enumerate()
    {
        match written(&mut ada, 2_000 + number as u32, &request) {
            Outcome::Rejected(rejected) => {
                assert_eq!(rejected.name, "malformed", "{request}");
                assert!(rejected.text.contains(&format!("`{field}`")), "{}", rejected.text);
            }
            other => panic!("{request} was taken: {other:?}"),
        }
    }
    let told = ada.ask(Request::Contacts(v1::Contacts {}));
    let nobody = v1::ContactsAre { writers: v1::Writers::Nobody as i32 };
    assert_eq!(told, Outcome::Contacts(nobody));
    // Protobuf leaves out what stands at its default, and cannot tell it from nothing.
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    let all = v1::SetContacts { writers: v1::Writers::Everyone as i32 };
    assert_eq!(ben.ask(Request::SetContacts(all)), Outcome::Done(v1::Done {}));
}

#[test]
fn one_who_is_nobody_hears_that_first_whatever_is_wrong_with_what_it_asks() {
    let server = Server::start();
    let mut nobody = server.connect(Speak::Json);
    for (number, request) in [
        r#""create_room":{}"#,
        r#""post":{"room":1}"#,
        r#""join":{"room":0}"#,
        r#""react":{"room":1,"seq":1,"reaction":" "}"#,
        r#""moderate":{"room":1,"act":"none"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let outcome = written(&mut nobody, 10 + number as u32, request);
        assert_eq!(refused(&outcome), 200, "{request}: {outcome:?}");
    }
    // What cannot be read, or asks nothing known, is no request.
    assert_eq!(refused(&written(&mut nobody, 20, r#""dance":{}"#)), 101);
    assert_eq!(refused(&written(&mut nobody, 21, r#""login":{"name":1}"#)), 100);
}

#[test]
fn who_brings_its_token_with_the_upgrade_is_told_who_it_is() {
    let server = Server::start();
    let ada = server.join_in(Speak::Json, "ada");
    for speak in [Speak::Json, Speak::Protobuf] {
        let head = format!("Authorization: Bearer {}\r\n", ada.token);
        let mut again = Client::connect_as(server.http, speak, &head);
        let Came::Frame(Frame::Reply(reply)) = again.next() else { panic!("no session came") };
        let Some(Outcome::Session(session)) = reply.outcome else { panic!("{reply:?}") };
        let user = v1::User { id: ada.user, name: "ada".into() };
        assert_eq!((reply.re, session.user), (0, Some(user)));
        assert!(session.token.is_empty());
        assert!(again.create(&format!("room of {speak:?}")) > 0);
    }
    let who = http_body(&server, &ada.token, "GET", "/account", "");
    let user = serde_json::json!({"id": ada.user, "name": "ada"});
    let told =
        serde_json::json!({"user": user, "administrator": false, "guest": false, "avatar": ""});
    assert_eq!(who, told);
}

#[test]
fn a_mention_of_a_number_that_is_nobodys_is_refused_and_of_one_that_was_somebodys_is_not() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut ada = server.join_in(speak, &format!("ada{speak:?}"));
        let ben = server.join_in(speak, &format!("ben{speak:?}"));
        let room = ada.create(&format!("tea {speak:?}"));
        let mut mention = |users: &[u64]| {
            let Request::Post(asked) = post(room, "hello") else { unreachable!() };
            ada.ask(Request::Post(v1::Post { mentioned: users.to_vec(), ..asked }))
        };
        for nobody in [ben.user + 1, 4_242_424, (1 << 40) - 1, 1 << 40, (1 << 40) + 7] {
            assert_eq!(refused(&mention(&[1, nobody])), 108, "{nobody}");
        }
        assert!(matches!(mention(&[ben.user]), Outcome::Posted(_)));
        assert!(matches!(mention(&[1, ben.user]), Outcome::Posted(_)));
        let path = format!("/rooms/{room}/messages");
        let said = |mentioned: u64| {
            let body = format!(r#"{{"body":"hi","mentioned":[{mentioned}]}}"#);
            http_body(&server, &ben.token, "POST", &path, &body)
        };
        http_body(&server, &ben.token, "POST", &format!("/rooms/{room}/join"), "");
        assert_eq!(said(4_242_424)["rejected"]["name"], "bad_argument");
        assert_eq!(said(1)["rejected"], serde_json::Value::Null);
    }
}

#[test]
fn what_does_not_show_is_no_name_and_no_reaction_and_one_reaction_has_one_spelling() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut ada = server.join_in(speak, &format!("ada{speak:?}"));
        let room = ada.create(&format!("tea {speak:?}"));
        let seq = ada.post(room, "hello").seq;
        for name in ["\u{2800}", "Mall\u{2800}", "Mall\u{1d159}", "\u{378}", "\u{fffc}"] {
            let asked = v1::CreateRoom { name: name.into(), ..v1::CreateRoom::default() };
            assert_eq!(refused(&ada.ask(Request::CreateRoom(asked))), 104, "{name:?}");
        }
        let mut react = |text: &str| {
            let reaction = text.to_owned();
            ada.ask(Request::React(v1::React { room, seq, reaction }))
        };
        for text in ["\u{3164}", "\u{ad}", "\u{61c}", "\u{34f}", "\u{fe0f}", "\u{2800}"] {
            assert_eq!(refused(&react(text)), 120, "{text:?}");
        }
        let told = |outcome| match outcome {
            Outcome::Applied(applied) => applied.already,
            other => panic!("{other:?}"),
        };
        assert!(!told(react("\u{e9}")));
        assert!(told(react("e\u{301}")), "it is the same one");
        let topic = |topic: &str| {
            let topic = Some(topic.to_owned());
            Request::SetRoom(v1::SetRoom { room, topic, ..v1::SetRoom::default() })
        };
        assert!(!told(ada.ask(topic("👨\u{200d}👩\u{200d}👧 می\u{200c}خواهم"))));
        assert_eq!(refused(&ada.ask(topic("a\u{200d}b"))), 109);
    }
}
