//! What one has here, taken along: all of its own and nothing of others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::Speak;
use super::moderation::{applied, moderate};

/// Status, head and body of an export.
pub fn export(server: &Server, token: &str) -> (u16, String, String) {
    asked(server, "GET", token)
}

fn asked(server: &Server, method: &str, token: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let request = format!(
        "{method} /api/v1/export HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let head = head.to_lowercase();
    let whole = if head.contains("chunked") { unchunked(body) } else { body.to_owned() };
    (status, head, whole)
}

/// A body as it was before it was cut into chunks.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((len, rest)) = body.split_once("\r\n") {
        let len = usize::from_str_radix(len, 16).unwrap();
        if len == 0 {
            break;
        }
        whole.push_str(&rest[..len]);
        body = &rest[len + 2..];
    }
    whole
}

fn lines(body: &str) -> Vec<Value> {
    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_export_has_what_the_account_said_and_keeps_and_nothing_of_others() {
    let server = Server::with(|settings| {
        settings.limits.export_every_ms = 0;
        settings.limits.sends_burst = 10_000;
    });
    let mut ada = server.join_in(Speak::Json, "ada");
    let (tea, left) = (ada.create("tea"), ada.create("left"));
    let mut ben = server.join_in(Speak::Raw, "ben");
    ben.join(tea);
    let rude = ben.post(tea, "secret of ben").seq;
    for number in 0..700 {
        ada.post(tea, &format!("number {number}"));
    }
    ada.post(left, "said where I was");
    let first = ada.post(tea, "first").seq;
    let edit = v1::Edit { room: tea, seq: first, body: "second".into() };
    applied(ada.ask(Request::Edit(edit)));
    let gone = ada.post(tea, "taken back").seq;
    applied(ada.ask(Request::Delete(v1::Delete { room: tea, seq: gone })));
    let report = v1::Report { room: tea, seq: rude, reason: "rude".into() };
    assert!(matches!(ada.ask(Request::Report(report)), Outcome::Reported(_)));
    let block = v1::Block { user: ben.user, ..v1::Block::default() };
    assert!(matches!(ada.ask(Request::Block(block)), Outcome::Done(_)));
    assert!(matches!(ada.ask(Request::Leave(v1::Leave { room: left })), Outcome::Left(_)));
    let begin = v1::SetRoomDefaults { slow_seconds: Some(30), ..v1::SetRoomDefaults::default() };
    assert!(matches!(ada.ask(Request::SetRoomDefaults(begin)), Outcome::Done(_)));
    let writers = v1::SetContacts { writers: v1::Writers::Shared as i32 };
    assert!(matches!(ada.ask(Request::SetContacts(writers)), Outcome::Done(_)));
    assert!(matches!(ada.ask(Request::Read(v1::Read { room: tea, seq: rude })), Outcome::Done(_)));
    let level = v1::SetLevel { room: tea, level: v1::Level::Mentions as i32 };
    assert!(matches!(ada.ask(Request::SetLevel(level)), Outcome::Done(_)));
    let (status, head, body) = export(&server, &ada.token);
    assert_eq!(status, 200);
    assert!(head.contains("attachment") && head.contains("nosniff"), "{head}");
    let lines = lines(&body);
    let of =
        |kind: &str| -> Vec<&Value> { lines.iter().filter_map(|line| line.get(kind)).collect() };
    assert_eq!(of("account")[0]["name"], "ada");
    assert_eq!(of("room_defaults"), [&serde_json::json!({"slow_seconds": 30})]);
    let rooms: Vec<&Value> = of("room").iter().map(|room| &room["name"]).collect();
    assert_eq!(rooms, ["tea"]);
    let bodies: Vec<&str> =
        of("message").iter().map(|event| event["message"]["body"].as_str().unwrap()).collect();
    let expected = (0..700).map(|number| format!("number {number}")).chain(["second".into()]);
    assert!(bodies.iter().copied().eq(expected.collect::<Vec<_>>().iter().map(String::as_str)));
    assert_eq!(of("contacts"), [&serde_json::json!({"writers": "shared"})]);
    assert_eq!((of("session").len(), &of("session")[0]["current"]), (1, &Value::from(true)));
    let marks = serde_json::json!({"room": tea, "seq": rude, "n": 1, "level": "mentions"});
    assert_eq!(of("marks"), [&marks]);
    assert_eq!(of("report").len(), 1);
    assert_eq!((of("blocked").len(), &of("blocked")[0]["name"]), (1, &Value::from("ben")));
    assert_eq!(lines.last().unwrap()["end"]["lines"], lines.len() - 1);
    for foreign in ["taken back", "said where I was"] {
        assert!(!body.contains(foreign), "{foreign}");
    }
    let (_, _, bens) = export(&server, &ben.token);
    assert!(bens.contains("secret of ben") && !bens.contains("number 1"));
    assert!(!bens.contains("room_defaults"), "he has said nothing of it");
    // One who is put out has nothing of that room any more.
    applied(ada.ask(moderate(tea, Act::Kick, ben.user)));
    let (_, _, bens) = export(&server, &ben.token);
    assert!(!bens.contains("secret of ben"));
}

#[test]
fn an_export_is_refused_to_strangers_and_to_one_who_had_one_just_now() {
    let server = Server::start();
    let ada = server.join_in(Speak::Json, "ada");
    assert_eq!(export(&server, "nobody").0, 401);
    let (status, head, body) = asked(&server, "HEAD", &ada.token);
    assert!(status == 200 && head.contains("jsonl") && body.is_empty(), "{head} {body}");
    assert_eq!(export(&server, &ada.token).0, 200, "it has cost nothing");
    let (status, head, body) = export(&server, &ada.token);
    assert_eq!(status, 429);
    assert_eq!(asked(&server, "HEAD", &ada.token).0, 200, "it begins nothing");
    assert!(head.contains("retry-after") && body.contains("rate_limited"), "{head} {body}");
}
