//! Messages of files that have no text: on every protocol they are said, changed and found for what they
//! are, and nobody takes one for a message that was deleted, before a restart or after it.

use std::io::{Cursor, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use throng_server::clock::Clock;
use throng_server::config::{Fate, Settings};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, refused};
use super::export::export;
use super::forms::written;
use super::moderation::{applied, moderate};
use super::rights::{http, http_body};

const MALFORMED: u32 = 100;
const EMPTY_BODY: u32 = 105;
const NOT_MEMBER: u32 = 206;
const FORBIDDEN: u32 = 210;
const NO_SUCH_MESSAGE: u32 = 215;
const NO_SUCH_FILE: u32 = 240;

/// A server on this folder: in memory there are no files.
fn server_on(folder: &Path, clock: &Clock, change: impl FnOnce(&mut Settings)) -> Server {
    Server::at(clock.clone(), |settings| {
        settings.memory = false;
        folder.clone_into(&mut settings.data);
        settings.limits.disk_free_min = 0;
        settings.limits.sends_burst = 10_000;
        settings.limits.requests_burst = 1_000_000;
        settings.limits.export_every_ms = 0;
        settings.limits.ping_interval_ms = 600_000;
        settings.limits.ping_timeout_ms = 600_000;
        change(settings);
    })
}

/// Status and body of an answer.
fn ask_http(server: &Server, token: &str, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let head = format!(
        "{head}\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
    (status, answer.split_off(end + 4))
}

/// Sends a picture as a file, and gives its id.
fn send_file(server: &Server, token: &str) -> String {
    let mut picture = Cursor::new(Vec::new());
    image::RgbImage::new(8, 8).write_to(&mut picture, image::ImageFormat::Png).unwrap();
    let picture = picture.into_inner();
    let head = format!(
        "POST /api/v1/files HTTP/1.1\r\ntus-resumable: 1.0.0\r\nupload-length: {}\r\n\
         upload-metadata: filename Y2F0LnBuZw==\r\ncontent-type: application/offset+octet-stream",
        picture.len()
    );
    let (status, body) = ask_http(server, token, &head, &picture);
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    let told: Value = serde_json::from_slice(&body).unwrap();
    told["file"]["id"].as_str().unwrap().to_owned()
}

/// The status of a file of a message, or of the small picture of it.
fn fetch(server: &Server, token: &str, (room, seq): (u32, u64), file: &str) -> u16 {
    let path = format!("/api/v1/rooms/{room}/messages/{seq}/files/{file}");
    ask_http(server, token, &format!("GET {path} HTTP/1.1"), b"").0
}

fn carrying(room: u32, body: &str, file: &str) -> v1::Post {
    let attachments = vec![file.to_owned()];
    v1::Post { room, body: body.to_owned(), attachments, ..v1::Post::default() }
}

fn said(client: &mut Client, post: v1::Post) -> u64 {
    match client.ask(Request::Post(post)) {
        Outcome::Posted(posted) => posted.seq,
        other => panic!("{other:?} is no post"),
    }
}

fn edit(room: u32, seq: u64, body: &str) -> Request {
    Request::Edit(v1::Edit { room, seq, body: body.to_owned() })
}

fn page(client: &mut Client, room: u32) -> Vec<v1::Event> {
    match client.ask(Request::History(v1::History { room, ..v1::History::default() })) {
        Outcome::Page(page) => page.events,
        other => panic!("{other:?} is no page"),
    }
}

/// Place, text, whether it was deleted, whether it was edited, and how many files it carries.
type Shown = (u64, String, bool, bool, usize);

fn shown(events: &[v1::Event]) -> Vec<Shown> {
    let message = |event: &v1::Event| match &event.what {
        Some(What::Message(it)) => {
            let (deleted, edited) = (it.deleted, it.edited != 0);
            Some((event.seq, it.body.clone(), deleted, edited, it.attachments.len()))
        }
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

/// Of the edits: of which message, and whether it was deleted since.
fn edits(events: &[v1::Event]) -> Vec<(u64, String, bool)> {
    let edit = |event: &v1::Event| match &event.what {
        Some(What::Edited(it)) => Some((it.of, it.body.clone(), it.deleted)),
        _ => None,
    };
    events.iter().filter_map(edit).collect()
}

#[test]
fn a_message_needs_a_text_or_a_file_on_every_protocol_and_over_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_on(folder.path(), &Clock::manual(), |_| {});
    let mut owner = server.join_in(Speak::Json, "owner");
    let room = owner.create("tea");
    let path = format!("/rooms/{room}/messages");
    for speak in Speak::ALL {
        let mut ada = server.join_in(speak, &format!("ada{speak:?}"));
        let file = send_file(&server, &ada.token);
        let blank = || Request::Post(carrying(room, "", &file));
        assert_eq!(refused(&ada.ask(blank())), NOT_MEMBER);
        ada.join(room);
        let nothing = v1::Post { room, ..v1::Post::default() };
        assert_eq!(refused(&ada.ask(Request::Post(nothing))), EMPTY_BODY, "neither");
        let of_another = Request::Post(carrying(room, "", &file));
        assert_eq!(refused(&owner.ask(of_another)), NO_SUCH_FILE);
        let seq = said(&mut ada, carrying(room, "", &file));
        let event = ada.event();
        assert_eq!(shown(&[event]), [(seq, String::new(), false, false, 1)]);
        let words = ada.post(room, "only words").seq;
        assert_eq!(refused(&ada.ask(edit(room, words, ""))), EMPTY_BODY);
        applied(ada.ask(edit(room, seq, "a cat")));
        applied(ada.ask(edit(room, seq, "")));
        for text in ["", "not mine"] {
            assert_eq!(refused(&owner.ask(edit(room, seq, text))), FORBIDDEN, "{text:?}");
        }
        let rest = |method: &str, path: &str, body: String| {
            http(&server, &ada.token, method, path, &body).0
        };
        assert_eq!(rest("POST", &path, r#"{"body":""}"#.into()), EMPTY_BODY);
        assert_eq!(rest("POST", &path, "{}".into()), EMPTY_BODY);
        assert_eq!(rest("POST", &path, format!(r#"{{"body":"","attachments":["{file}"]}}"#)), 0);
        assert_eq!(rest("POST", &path, format!(r#"{{"attachments":["{file}"]}}"#)), 0);
        let (own, text) = (format!("{path}/{seq}"), format!("{path}/{words}"));
        assert_eq!(rest("PATCH", &own, r#"{"body":"again a cat"}"#.into()), 0);
        assert_eq!(rest("PATCH", &own, r#"{"body":""}"#.into()), 0);
        assert_eq!(rest("PATCH", &text, r#"{"body":""}"#.into()), EMPTY_BODY);
        // Who misspells the field does not empty the message.
        assert_eq!(rest("PATCH", &own, r#"{"bodi":"a"}"#.into()), MALFORMED);
        applied(ada.ask(Request::Delete(v1::Delete { room, seq })));
        assert_eq!(refused(&ada.ask(edit(room, seq, ""))), NO_SUCH_MESSAGE);
    }
    let outcome = written(&mut owner, 9_000, &format!(r#""edit":{{"room":{room},"seq":3}}"#));
    assert_eq!(refused(&outcome), MALFORMED, "{outcome:?}");
}

/// A room in which ben has said things with files and without texts, and ada keeps order.
struct Scene {
    room: u32,
    ada: String,
    ben: String,
    /// Ben's number.
    user: u64,
    file: String,
    /// Blank; made blank; given a text; blank and deleted; words alone.
    places: [u64; 5],
}

fn scene(server: &Server) -> Scene {
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    ben.join(room);
    let file = send_file(server, &ben.token);
    let post = |body: &str| carrying(room, body, &file);
    let first = said(&mut ben, v1::Post { mentioned: vec![ada.user], ..post("") });
    let second = said(&mut ben, post("teapot"));
    let (third, fourth) = (said(&mut ben, post("")), said(&mut ben, post("")));
    let fifth = ben.post(room, "words").seq;
    applied(ben.ask(edit(room, second, "")));
    applied(ben.ask(edit(room, third, "a cat")));
    applied(ben.ask(Request::Delete(v1::Delete { room, seq: fourth })));
    let (body, in_reply_to) = ("pretty".to_owned(), first);
    said(&mut ada, v1::Post { room, body, in_reply_to, ..v1::Post::default() });
    let reaction = "\u{1f44d}".to_owned();
    applied(ada.ask(Request::React(v1::React { room, seq: first, reaction })));
    applied(ada.ask(Request::Pin(v1::Pin { room, seq: first })));
    let report = v1::Report { room, seq: first, reason: "not a cat".into() };
    assert!(matches!(ada.ask(Request::Report(report)), Outcome::Reported(_)));
    let places = [first, second, third, fourth, fifth];
    let user = ben.user;
    Scene { room, ada: ada.token.clone(), ben: ben.token.clone(), user, file, places }
}

/// All that is to be seen of the scene is as it should be.
fn check(server: &Server, scene: &Scene) {
    let Scene { room, file, places: [first, second, third, fourth, fifth], .. } = scene;
    let room = *room;
    let mut ada = server.connect(Speak::Raw);
    ada.authenticate(&scene.ada);
    let events = page(&mut ada, room);
    let expected = [
        (*first, "", false, false, 1),
        (*second, "", false, true, 1),
        (*third, "a cat", false, true, 1),
        (*fourth, "", true, false, 0),
        (*fifth, "words", false, false, 0),
        (fifth + 4, "pretty", false, false, 0),
    ];
    let expected = expected.map(|it| (it.0, it.1.to_owned(), it.2, it.3, it.4));
    assert_eq!(shown(&events), expected);
    let (blank, cat) = ((*second, String::new(), false), (*third, "a cat".to_owned(), false));
    assert_eq!(edits(&events), [blank, cat]);
    let reactions = |event: &v1::Event| match &event.what {
        Some(What::Message(it)) => it.reactions.len(),
        _ => 0,
    };
    assert_eq!(events.iter().map(reactions).sum::<usize>(), 1);
    let pins = Request::Pins(v1::Pins { room, ..v1::Pins::default() });
    let Outcome::Page(pins) = ada.ask(pins) else { panic!("no pins") };
    assert_eq!(shown(&pins.events), expected[..1]);
    let reports = Request::ListReports(v1::ListReports { room, ..v1::ListReports::default() });
    let Outcome::Reports(reports) = ada.ask(reports) else { panic!("no reports") };
    assert_eq!((reports.reports[0].seq, &*reports.reports[0].body), (*first, ""));
    let carried: Vec<_> = reports.reports[0].attachments.iter().map(|it| &it.id).collect();
    assert_eq!(carried, [file], "what was reported is files");
    let Outcome::Unread(unread) = ada.ask(Request::Unread(v1::Unread::default())) else { panic!() };
    assert_eq!(unread.rooms[0].mentions, 1);
    server.app().index_now();
    let mut find = |query: &str| {
        let asked = v1::Search { query: query.to_owned(), ..v1::Search::default() };
        let Outcome::Found(found) = ada.ask(Request::Search(asked)) else { panic!("not searched") };
        let seq = |hit: &v1::Hit| hit.event.as_ref().unwrap().seq;
        found.hits.iter().map(seq).collect::<Vec<_>>()
    };
    assert_eq!((find("cat"), find("teapot")), (vec![*third], vec![]));
    for (seq, status) in [(*first, 200), (*second, 200), (*third, 200), (*fourth, 404)] {
        assert_eq!(fetch(server, &scene.ada, (room, seq), file), status, "{seq}");
        assert_eq!(fetch(server, &scene.ada, (room, seq), &format!("{file}/small")), status);
    }
    let mut again = server.connect(Speak::Json);
    again.authenticate(&scene.ada);
    assert!(matches!(again.subscribe(room, Some(3)), Outcome::Subscribed(_)));
    let gap: Vec<_> = again.events.iter().cloned().collect();
    assert_eq!(shown(&gap), expected, "a resume tells the same");
    let of_ben: Vec<String> = export(server, &scene.ben).2.lines().map(str::to_owned).collect();
    let messages = of_ben.iter().filter(|line| line.starts_with(r#"{"message":"#));
    assert_eq!(messages.count(), 4, "all that stand, blank or not: {of_ben:?}");
}

#[test]
fn a_blank_message_is_told_from_a_deleted_one_everywhere_and_after_a_restart() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual());
    let mut server = server_on(folder.path(), &clock, |_| {});
    let scene = scene(&server);
    check(&server, &scene);
    // All is folded as it stops.
    server.stop();
    let server = server_on(folder.path(), &clock, |_| {});
    check(&server, &scene);
    let Scene { room, file, places: [first, second, ..], .. } = &scene;
    let mut ben = server.connect(Speak::Raw);
    ben.authenticate(&scene.ben);
    applied(ben.ask(edit(*room, *first, "at last")));
    applied(ben.ask(edit(*room, *first, "")));
    applied(ben.ask(Request::Delete(v1::Delete { room: *room, seq: *second })));
    let events = page(&mut ben, *room);
    let told = edits(&events);
    assert!(told.contains(&(*second, String::new(), true)), "deleted since: {told:?}");
    assert!(told.contains(&(*first, String::new(), false)), "left blank: {told:?}");
    assert_eq!(fetch(&server, &scene.ada, (*room, *second), file), 404);
    assert_eq!(fetch(&server, &scene.ada, (*room, *first), file), 200);
    // All that he has said.
    let mut ada = server.connect(Speak::Json);
    ada.authenticate(&scene.ada);
    applied(ada.ask(moderate(*room, Act::DeleteAll, scene.user)));
    let of_ben = |events: &[v1::Event]| shown(events)[..5].to_vec();
    let all_gone = |shown: &[Shown]| shown.iter().all(|it| it.2 && it.1.is_empty() && it.4 == 0);
    assert!(all_gone(&of_ben(&page(&mut ada, *room))));
    assert!(edits(&page(&mut ada, *room)).iter().all(|it| it.2 && it.1.is_empty()));
    assert_eq!(fetch(&server, &scene.ada, (*room, *first), file), 404);
    let late = said(&mut ben, carrying(*room, "", file));
    assert_eq!(
        shown(&page(&mut ada, *room)).last().unwrap(),
        &(late, String::new(), false, false, 1)
    );
}

#[test]
fn a_blank_message_that_waits_is_shown_to_those_who_keep_order_and_said_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_on(folder.path(), &Clock::manual(), |_| {});
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    let set = v1::SetRoom { room, delay_seconds: Some(60), ..v1::SetRoom::default() };
    applied(ada.ask(Request::SetRoom(set)));
    let mut ben = server.join_in(Speak::Raw, "ben");
    ben.join(room);
    let file = send_file(&server, &ben.token);
    assert!(matches!(ben.ask(Request::Post(carrying(room, "", &file))), Outcome::Held(_)));
    let waiting = ada.next_held();
    let message = waiting.message.unwrap();
    assert_eq!((&*message.body, message.deleted, message.attachments.len()), ("", false, 1));
    let pass = v1::SettleHeld { room, held: waiting.held, pass: true };
    assert!(matches!(ada.ask(Request::SettleHeld(pass)), Outcome::Unheld(_)));
    let told = shown(&page(&mut ada, room));
    assert_eq!((told.len(), told[0].2, told[0].4), (1, false, 1));
}

#[test]
fn a_blank_message_goes_with_its_time_and_becomes_what_others_become_when_its_account_ends() {
    for fate in [Fate::Kept, Fate::Anonymous, Fate::Erased] {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual());
        clock.advance(Duration::from_hours(1));
        let server = server_on(folder.path(), &clock, |it| it.deleted_messages = fate);
        let mut ada = server.join_in(Speak::Json, "ada");
        let room = ada.create("tea");
        let mut ben = server.join_in(Speak::Protobuf, "ben");
        ben.join(room);
        let file = send_file(&server, &ben.token);
        let seq = said(&mut ben, carrying(room, "", &file));
        let password = "correct horse".to_owned();
        let asked = ben.send(Request::DeleteAccount(v1::DeleteAccount { password }));
        assert!(matches!(ben.answer(asked), Outcome::Done(_)));
        let events = page(&mut ada, room);
        let gone = fate == Fate::Erased;
        let files = usize::from(!gone);
        assert_eq!(shown(&events), [(seq, String::new(), gone, false, files)], "{fate:?}");
        let from = |event: &v1::Event| match &event.what {
            Some(What::Message(it)) => it.from.as_ref().map(|user| user.name.clone()),
            _ => None,
        };
        let named = events.iter().find_map(from).unwrap();
        assert_eq!(named == ".gone", fate == Fate::Anonymous, "{named}");
        let status = fetch(&server, &ada.token, (room, seq), &file);
        assert_eq!(status, if gone { 404 } else { 200 }, "{fate:?}");
        let keep = v1::SetRoom { room, keep_seconds: Some(60), ..v1::SetRoom::default() };
        applied(ada.ask(Request::SetRoom(keep)));
        clock.advance(Duration::from_millis(60_001));
        assert!(page(&mut ada, room).is_empty());
        assert_eq!(fetch(&server, &ada.token, (room, seq), &file), 404);
        let told = http_body(&server, &ada.token, "GET", &format!("/rooms/{room}/messages"), "");
        assert_eq!(told["events"], serde_json::json!([]));
    }
}
