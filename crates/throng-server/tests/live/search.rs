//! Search over every protocol: what each finds, and what it is not told of.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, body, refused};
use super::moderation::{applied, moderate};

fn search(query: &str) -> v1::Search {
    v1::Search { query: query.to_owned(), ..v1::Search::default() }
}

fn found(outcome: Outcome) -> v1::Found {
    match outcome {
        Outcome::Found(found) => found,
        other => panic!("{other:?} is not what was found"),
    }
}

/// Room and place of the hits, sorted, and the total.
fn find(client: &mut Client, asked: v1::Search) -> (Vec<(u32, u64)>, u32) {
    let found = found(client.ask(Request::Search(asked)));
    let event = |hit: &v1::Hit| hit.event.as_ref().map(|event| (event.room, event.seq)).unwrap();
    let mut places: Vec<_> = found.hits.iter().map(event).collect();
    places.sort_unstable();
    (places, found.total)
}

fn rest(server: &Server, token: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let head = format!(
        "GET /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn every_protocol_finds_the_same_with_a_snippet() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    let posted = ada.post(room, "Green tea, and biscuits!");
    ada.post(room, "no such thing");
    server.app().index_now();
    let mut answers = vec![found(ada.ask(Request::Search(search("\"green tea\" bisc*"))))];
    for speak in [Speak::Protobuf, Speak::Raw] {
        let mut other = server.connect(speak);
        other.authenticate(&ada.token);
        answers.push(found(other.ask(Request::Search(search("\"green tea\" bisc*")))));
    }
    let [hit] = &answers[0].hits[..] else { panic!("{answers:?}") };
    let event = hit.event.as_ref().unwrap();
    assert_eq!((event.seq, body(event)), (posted.seq, "Green tea, and biscuits!"));
    let marked: Vec<_> = hit.pieces.iter().map(|it| (it.text.as_str(), it.matched)).collect();
    let expected = [("Green tea", true), (", and ", false), ("biscuits", true), ("!", false)];
    assert_eq!(marked, expected);
    assert!(!answers[0].behind && !answers[0].more && answers[0].total == 1);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let told = rest(&server, &ada.token, "/search?query=%22green%20tea%22+bisc*&limit=7");
    assert_eq!(told["hits"][0]["event"]["seq"], posted.seq);
    assert_eq!(told["hits"][0]["pieces"][2]["matched"], true);
    let told = rest(&server, &ada.token, "/search?query=%22open");
    assert_eq!(told["rejected"]["name"], "bad_query");
}

#[test]
fn only_the_rooms_of_the_asker_are_found_and_counted_and_from_joining_on_where_that_is_the_rule() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let (open, joining, other) = (ada.create("open"), ada.create("joining"), ada.create("other"));
    let history = v1::HistoryFor::Joining as i32;
    let set = v1::SetRoom { room: joining, history, ..v1::SetRoom::default() };
    applied(ada.ask(Request::SetRoom(set)));
    let mut first = Vec::new();
    for room in [open, joining, other] {
        first.push((room, ada.post(room, "tea at four").seq));
    }
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    ben.join(open);
    ben.join(joining);
    let later = (joining, ada.post(joining, "tea at five").seq);
    server.app().index_now();
    assert_eq!(find(&mut ben, search("tea")), (vec![first[0], later], 2));
    assert_eq!(find(&mut ada, search("tea")).1, 4);
    let in_room = |room| v1::Search { room, ..search("tea") };
    assert_eq!(find(&mut ben, in_room(joining)), (vec![later], 1));
    assert_eq!(refused(&ben.ask(Request::Search(in_room(other)))), 206);
    assert_eq!(refused(&ben.ask(Request::Search(in_room(4_000)))), 205);
    let by_ada = v1::Search { sender: ada.user, ..search("tea") };
    assert_eq!(find(&mut ben, by_ada).1, 2);
    let by_ben = v1::Search { sender: ben.user, ..search("tea") };
    assert_eq!(find(&mut ben, by_ben), (vec![], 0));
    applied(ada.ask(moderate(open, Act::Kick, ben.user)));
    assert_eq!(find(&mut ben, search("tea")), (vec![later], 1));
    assert_eq!(refused(&ben.ask(Request::Search(in_room(open)))), 206);
}

#[test]
fn what_was_said_in_a_direct_room_is_found_by_the_two_and_by_nobody_else() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    let mut eve = server.join_in(Speak::Raw, "eve");
    let asked = v1::OpenDirect { name: "ben".to_owned(), ..v1::OpenDirect::default() };
    let Outcome::Joined(joined) = ada.ask(Request::OpenDirect(asked)) else { panic!("not opened") };
    let room = joined.room;
    let seq = ada.post(room, "tea for two").seq;
    server.app().index_now();
    for client in [&mut ada, &mut ben] {
        assert_eq!(find(client, search("tea")), (vec![(room, seq)], 1));
        assert_eq!(find(client, v1::Search { room, ..search("tea") }).1, 1);
    }
    assert_eq!(find(&mut eve, search("tea")), (vec![], 0));
    let inside = refused(&eve.ask(Request::Search(v1::Search { room, ..search("tea") })));
    let nowhere = refused(&eve.ask(Request::Search(v1::Search { room: 4_000, ..search("tea") })));
    assert_eq!((inside, nowhere), (205, 205), "forbidden looks as absent");
}

#[test]
fn a_room_whose_history_all_may_read_is_searched_by_its_members_only() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let room = ada.create("tea");
    let history = v1::HistoryFor::All as i32;
    applied(ada.ask(Request::SetRoom(v1::SetRoom { room, history, ..v1::SetRoom::default() })));
    let seq = ada.post(room, "tea at four").seq;
    server.app().index_now();
    let mut ben = server.join_in(Speak::Json, "ben");
    assert_eq!(find(&mut ben, search("tea")), (vec![], 0));
    ben.join(room);
    assert_eq!(find(&mut ben, search("tea")), (vec![(room, seq)], 1));
}

#[test]
fn a_deleted_message_is_not_found_from_its_ack_on() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Raw, "ada");
    let room = ada.create("tea");
    let seq = ada.post(room, "a secret").seq;
    let kept = ada.post(room, "another secret").seq;
    server.app().index_now();
    applied(ada.ask(Request::Delete(v1::Delete { room, seq })));
    assert_eq!(find(&mut ada, search("secret")).0, [(room, kept)]);
    server.app().index_now();
    assert_eq!(find(&mut ada, search("secret")), (vec![(room, kept)], 1));
    let body = "in the open".to_owned();
    applied(ada.ask(Request::Edit(v1::Edit { room, seq: kept, body })));
    server.app().index_now();
    assert_eq!(find(&mut ada, search("secret")), (vec![], 0));
    assert_eq!(find(&mut ada, search("open")), (vec![(room, kept)], 1));
}

#[test]
fn what_is_no_query_is_refused_and_a_server_may_keep_no_index() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    for (query, code) in [("", 145), ("-tea", 145), ("\"tea", 146), ("t*", 146)] {
        assert_eq!(refused(&ada.ask(Request::Search(search(query)))), code, "{query}");
    }
    let skip = v1::Search { skip: 1_001, ..search("tea") };
    assert_eq!(refused(&ada.ask(Request::Search(skip))), 108);
    let off = Server::with(|settings| settings.search = false);
    let mut ada = off.join_in(Speak::Json, "ada");
    assert_eq!(refused(&ada.ask(Request::Search(search("tea")))), 245);
}
