//! The rows: how each limit is met, and what it is answered with on each side.

use serde_json::{Value, json};
use throng_core::limits as constants;
use throng_server::auth::Guests;
use throng_server::config::Settings;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};
use throng_wire::ws;

use std::io::Write as _;
use std::time::Duration;

use super::super::client::{Speak, post, refused};
use super::super::moderation::moderate;
use super::{ALL, Asker, REST, Row, SOCKETS, Way, making};

pub const TAKEN: usize = 0;
const PASSWORD: &str = "correct horse";

pub const fn row(
    limit: &'static str,
    at: usize,
    ask: fn(&mut Asker, usize) -> usize,
    expected: [usize; 3],
) -> Row {
    Row { limit, at, set: None, ask, expected, ways: ALL, because: "" }
}

/// With a limit that is set to `at`.
const fn set(row: Row, set: fn(&mut Settings)) -> Row {
    Row { set: Some(set), ..row }
}

/// By these ways only.
const fn only(row: Row, ways: &'static [Way], because: &'static str) -> Row {
    Row { ways, because, ..row }
}

const FRAMES: &str = "REST has bodies in place of frames: `BODY_BYTES_MAX` below";
const NOBODY: &str =
    "who is nobody on a socket may only become somebody, which has throttles of its own";
const PINGS: &str = "bare TCP and REST have no pings but requests";
const WEBSOCKETS: &[Way] = &[Way::Socket(Speak::Json), Way::Socket(Speak::Protobuf)];
const CONNECTION: &str = "of a connection, and REST keeps none";

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("USERNAME_LEN_MIN", constants::USERNAME_LEN_MIN, username, [102, TAKEN, TAKEN]),
    row("USERNAME_LEN_MAX", constants::USERNAME_LEN_MAX, username, [TAKEN, TAKEN, 102]),
    row("PASSWORD_LEN_MIN", constants::PASSWORD_LEN_MIN, password, [103, TAKEN, TAKEN]),
    row("PASSWORD_LEN_MAX", constants::PASSWORD_LEN_MAX, password, [TAKEN, TAKEN, 103]),
    row("ROOM_NAME_CHARS_MAX", constants::ROOM_NAME_CHARS_MAX, room_name, [TAKEN, TAKEN, 104]),
    row("BODY_LEN_MAX", constants::BODY_LEN_MAX, body, [TAKEN, TAKEN, 106]),
    row("MENTIONS_MAX", constants::MENTIONS_MAX, mentions, [TAKEN, TAKEN, 108]),
    row("REACTION_LEN_MAX", constants::REACTION_LEN_MAX, reaction, [TAKEN, TAKEN, 120]),
    row("REACTIONS_MAX", constants::REACTIONS_MAX, reactions, [TAKEN, TAKEN, 208]),
    row("PINS_MAX", constants::PINS_MAX, pins, [TAKEN, TAKEN, 208]),
    // Of files that are none: one of them is found out first, too many of them before that.
    row("ATTACHMENTS_MAX", constants::ATTACHMENTS_MAX, attachments, [240, 240, 108]),
    row("TOPIC_LEN_MAX", constants::TOPIC_LEN_MAX, topic, [TAKEN, TAKEN, 109]),
    row("FILTER_WORDS_MAX", constants::FILTER_WORDS_MAX, words, [TAKEN, TAKEN, 150]),
    row("FILTER_WORD_LEN_MAX", constants::FILTER_WORD_LEN_MAX, word, [TAKEN, TAKEN, 150]),
    row("SLOW_SECONDS_MAX", constants::SLOW_SECONDS_MAX as usize, slow, [TAKEN, TAKEN, 108]),
    row("DELAY_SECONDS_MAX", constants::DELAY_SECONDS_MAX as usize, delay, [TAKEN, TAKEN, 108]),
    row("HELD_OF_SENDER_MAX", constants::HELD_OF_SENDER_MAX, held, [TAKEN, TAKEN, 208]),
    row("KEEP_SECONDS_MIN", constants::KEEP_SECONDS_MIN as usize, keep, [108, TAKEN, TAKEN]),
    row("KEEP_SECONDS_MAX", constants::KEEP_SECONDS_MAX as usize, keep, [TAKEN, TAKEN, 108]),
    row("ORIGIN_ID_LEN_MAX", constants::ORIGIN_ID_LEN_MAX, origin_id, [TAKEN, TAKEN, 107]),
    row("PAGE_EVENTS_MAX", constants::PAGE_EVENTS_MAX, page, [99, 100, 100]),
    row("ROOM_LIST_MAX", constants::ROOM_LIST_MAX, rooms, [99, 100, 100]),
    row("INVITATION_USES_MAX", constants::INVITATION_USES_MAX as usize, uses, [TAKEN, TAKEN, 108]),
    row("INVITATION_HOURS_MAX", constants::INVITATION_HOURS_MAX as usize, hours, [TAKEN, TAKEN, 108]),
    row("SEARCH_LEN_MAX", constants::SEARCH_LEN_MAX, query_len, [TAKEN, TAKEN, 146]),
    row("SEARCH_WORDS_MAX", constants::SEARCH_WORDS_MAX, query_words, [TAKEN, TAKEN, 146]),
    row("SEARCH_PREFIX_CHARS_MIN", constants::SEARCH_PREFIX_CHARS_MIN, prefix, [146, TAKEN, TAKEN]),
    row("SEARCH_HITS_MAX", constants::SEARCH_HITS_MAX, hits, [49, 50, 50]),
    row("SEARCH_RANKED_MAX", constants::SEARCH_RANKED_MAX, skip, [TAKEN, TAKEN, 108]),
    only(row("frame_len_max_anonymous", 4_096, frame_of_nobody, [202, 202, 1009]), SOCKETS, FRAMES),
    only(set(row("frame_len_max", 16_384, frame, [209, 209, 1009]), |it| it.limits.frame_len_max = 16_384), SOCKETS, FRAMES),
    only(row("BODY_BYTES_MAX", constants::BODY_BYTES_MAX, rest_body, [104, 104, 106]), REST, "frames have limits of their own, above"),
    // Milliseconds until the next of ten a second.
    set(row("sends_per_second", 100, send_again, [300, TAKEN, TAKEN]), |it| it.limits.sends_burst = 1),
    set(row("sends_burst", 3, sends, [TAKEN, TAKEN, 300]), |it| it.limits.sends_burst = 3),
    only(set(row("requests_per_second", 20, ask_again, [300, TAKEN, TAKEN]), |it| it.limits.requests_burst = 1), SOCKETS, CONNECTION),
    only(set(row("requests_burst", 3, requests, [TAKEN, TAKEN, 300]), |it| it.limits.requests_burst = 3), SOCKETS, CONNECTION),
    // Milliseconds until the next of twenty a second. They are refused either way, as nobody's.
    only(set(row("requests_per_second_anonymous", 50, strange_again, [300, 202, 202]), |it| it.limits.requests_burst_anonymous = 1), REST, NOBODY),
    only(set(row("requests_burst_anonymous", 3, strangers, [202, 202, 300]), |it| it.limits.requests_burst_anonymous = 3), REST, NOBODY),
    only(set(row("connections_per_user", 3, connections, [TAKEN, TAKEN, 4403]), |it| it.limits.connections_per_user = 3), SOCKETS, CONNECTION),
    set(row("users_max", 3, users, [TAKEN, TAKEN, 208]), |it| it.limits.users_max = 3),
    set(row("sessions_per_user_max", 3, sessions, [TAKEN, TAKEN, 202]), |it| it.limits.sessions_per_user_max = 3),
    only(set(row("resume_events_max", 3, resume, [TAKEN, TAKEN, 207]), |it| it.limits.resume_events_max = 3), SOCKETS, CONNECTION),
    set(row("rooms_max", 3, more_rooms, [TAKEN, TAKEN, 208]), |it| it.limits.rooms_max = 3),
    set(row("rooms_per_user_max", 3, more_rooms, [TAKEN, TAKEN, 208]), |it| it.limits.rooms_per_user_max = 3),
    // Milliseconds until the next of one a second.
    set(row("rooms_made_per_hour", 1_000, making::again, [300, TAKEN, TAKEN]), |it| (it.limits.rooms_made_burst, it.limits.rooms_made_per_hour) = (1, 3_600)),
    set(row("rooms_made_burst", 3, making::many, [TAKEN, TAKEN, 300]), |it| it.limits.rooms_made_burst = 3),
    set(row("members_max", 3, members, [TAKEN, TAKEN, 208]), |it| it.limits.members_max = 3),
    set(row("marked_max", 3, bans, [TAKEN, TAKEN, 208]), |it| it.limits.marked_max = 3),
    set(row("logins_per_minute_account", 3, logins, [201, 201, 300]), |it| it.limits.logins_per_minute_account = 3),
    // The asker has signed up.
    set(row("logins_per_minute_address", 3, logins_of_others, [201, 201, 300]), |it| it.limits.logins_per_minute_address = 4),
    set(row("guests_max", 3, guests, [TAKEN, TAKEN, 208]), |it| (it.guests, it.limits.guests_max) = (Guests::On, 3)),
    set(row("guests_per_minute_address", 3, guests, [TAKEN, TAKEN, 300]), |it| (it.guests, it.limits.guests_per_minute_address) = (Guests::On, 3)),
    only(set(row("refusals_max", 3, refusals, [205, 4402, 4402]), |it| (it.limits.refusals_max, it.limits.away_ms) = (3, 0)), SOCKETS, CONNECTION),
    // Each ping of one who is nobody yet is a refusal, of which nothing is said.
    only(set(row("refusals_max, by pings", 3, pings_of_nobody, [TAKEN, 4402, 4402]), |it| (it.limits.refusals_max, it.limits.away_ms) = (3, 0)), WEBSOCKETS, PINGS),
];

fn register(name: String, password: String) -> (Request, super::Rest) {
    let body = json!({"name": name, "password": password});
    let asked = v1::Register { name, password, ..v1::Register::default() };
    (Request::Register(asked), ("POST", "/accounts".into(), body))
}

fn username(asker: &mut Asker, len: usize) -> usize {
    let (request, rest) = register(asker.name(len), PASSWORD.into());
    asker.code_of_nobody(request, rest)
}

fn password(asker: &mut Asker, len: usize) -> usize {
    let (request, rest) = register(asker.name(12), "p".repeat(len));
    asker.code_of_nobody(request, rest)
}

pub fn create(asker: &mut Asker, name: String) -> usize {
    let body = json!({"name": name});
    let request = Request::CreateRoom(v1::CreateRoom { name, ..Default::default() });
    asker.code(request, ("POST", "/rooms".into(), body))
}

fn room_name(asker: &mut Asker, len: usize) -> usize {
    let name = asker.name(len);
    create(asker, name)
}

fn say(asker: &mut Asker, post: v1::Post) -> usize {
    let room = asker.room();
    let mut body = json!({"body": post.body, "origin_id": post.origin_id});
    if !post.mentioned.is_empty() {
        body["mentioned"] = json!(post.mentioned);
    }
    if !post.attachments.is_empty() {
        body["attachments"] = json!(post.attachments);
    }
    let rest = ("POST", format!("/rooms/{room}/messages"), body);
    asker.code(Request::Post(v1::Post { room, ..post }), rest)
}

fn body(asker: &mut Asker, len: usize) -> usize {
    say(asker, v1::Post { body: "x".repeat(len), ..v1::Post::default() })
}

fn mentions(asker: &mut Asker, count: usize) -> usize {
    // One that is somebody's, so often.
    let mentioned = vec![1; count];
    say(asker, v1::Post { body: "x".into(), mentioned, ..v1::Post::default() })
}

fn attachments(asker: &mut Asker, count: usize) -> usize {
    let attachments = (0..count).map(|i| format!("{i:032x}")).collect();
    say(asker, v1::Post { body: "x".into(), attachments, ..v1::Post::default() })
}

fn origin_id(asker: &mut Asker, len: usize) -> usize {
    say(asker, v1::Post { body: "x".into(), origin_id: "o".repeat(len), ..v1::Post::default() })
}

fn react(asker: &mut Asker, seq: u64, reaction: String) -> usize {
    let room = asker.room();
    let rest = ("PUT", format!("/rooms/{room}/messages/{seq}/reactions/{reaction}"), Value::Null);
    asker.code(Request::React(v1::React { room, seq, reaction }), rest)
}

fn reaction(asker: &mut Asker, len: usize) -> usize {
    let room = asker.room();
    let seq = asker.post(room, "react to this");
    react(asker, seq, "r".repeat(len))
}

fn reactions(asker: &mut Asker, count: usize) -> usize {
    let room = asker.room();
    let seq = asker.post(room, "react to this");
    (0..count).map(|i| react(asker, seq, format!("r{i}"))).last().unwrap()
}

fn pins(asker: &mut Asker, count: usize) -> usize {
    let room = asker.new_room(v1::RoomKind::Public);
    let pin = |_| {
        let seq = asker.post(room, "pin this");
        let rest = ("PUT", format!("/rooms/{room}/pins/{seq}"), Value::Null);
        asker.code(Request::Pin(v1::Pin { room, seq }), rest)
    };
    (0..count).map(pin).last().unwrap()
}

fn settle(asker: &mut Asker, set: v1::SetRoom, body: Value) -> usize {
    let room = asker.room();
    let rest = ("PATCH", format!("/rooms/{room}"), body);
    asker.code(Request::SetRoom(v1::SetRoom { room, ..set }), rest)
}

fn topic(asker: &mut Asker, len: usize) -> usize {
    let topic = "t".repeat(len);
    let body = json!({"topic": topic});
    settle(asker, v1::SetRoom { topic: Some(topic), ..v1::SetRoom::default() }, body)
}

fn filter(asker: &mut Asker, list: Vec<String>) -> usize {
    let body = json!({"words": {"list": list}});
    let words = Some(v1::Words { list });
    settle(asker, v1::SetRoom { words, ..v1::SetRoom::default() }, body)
}

fn words(asker: &mut Asker, count: usize) -> usize {
    filter(asker, (0..count).map(|i| format!("word{i}")).collect())
}

fn word(asker: &mut Asker, len: usize) -> usize {
    filter(asker, vec!["w".repeat(len)])
}

/// The same of a room that is there, of one that is made, and of all that are to be made.
fn settle_and_begin(asker: &mut Asker, set: v1::SetRoom, body: &Value) -> usize {
    let v1::SetRoom { slow_seconds, delay_seconds, keep_seconds, .. } = set;
    let settled = settle(asker, set, body.clone());
    let name = asker.name(12);
    let mut made = body.clone();
    made["name"] = json!(name);
    let make = v1::CreateRoom {
        name,
        slow_seconds,
        delay_seconds,
        keep_seconds,
        ..v1::CreateRoom::default()
    };
    let made = asker.code(Request::CreateRoom(make), ("POST", "/rooms".into(), made));
    let rest = |body: Value| ("PUT", "/room-defaults".to_owned(), body);
    let all = v1::SetRoomDefaults {
        slow_seconds,
        delay_seconds,
        keep_seconds,
        ..v1::SetRoomDefaults::default()
    };
    let by_default = asker.code(Request::SetRoomDefaults(all), rest(body.clone()));
    let none = Request::SetRoomDefaults(v1::SetRoomDefaults::default());
    assert_eq!(asker.code(none, rest(json!({}))), TAKEN);
    assert_eq!((made, by_default), (settled, settled), "{body}");
    settled
}

fn slow(asker: &mut Asker, seconds: usize) -> usize {
    let slow_seconds = Some(seconds as u32);
    let body = json!({"slow_seconds": seconds});
    settle_and_begin(asker, v1::SetRoom { slow_seconds, ..v1::SetRoom::default() }, &body)
}

fn delay(asker: &mut Asker, seconds: usize) -> usize {
    let delay_seconds = Some(seconds as u32);
    let body = json!({"delay_seconds": seconds});
    settle_and_begin(asker, v1::SetRoom { delay_seconds, ..v1::SetRoom::default() }, &body)
}

/// So many of one who keeps no order, in a room of its own each time.
fn held(asker: &mut Asker, count: usize) -> usize {
    let room = asker.new_room(v1::RoomKind::Public);
    let (delay_seconds, body) = (Some(1), json!({"delay_seconds": 1}));
    let set = v1::SetRoom { room, delay_seconds, ..v1::SetRoom::default() };
    asker.code(Request::SetRoom(set), ("PATCH", format!("/rooms/{room}"), body));
    asker.anew();
    asker.client.join(room);
    let say = |_| {
        let rest = ("POST", format!("/rooms/{room}/messages"), json!({"body": "wait"}));
        asker.code(post(room, "wait"), rest)
    };
    (0..count).map(say).last().unwrap()
}

fn keep(asker: &mut Asker, seconds: usize) -> usize {
    let keep_seconds = Some(seconds as u32);
    let body = json!({"keep_seconds": seconds});
    settle_and_begin(asker, v1::SetRoom { keep_seconds, ..v1::SetRoom::default() }, &body)
}

pub fn count(told: Result<Value, usize>, of: &str) -> usize {
    told.unwrap()[of].as_array().unwrap().len()
}

fn page(asker: &mut Asker, limit: usize) -> usize {
    let room = asker.room();
    while asker.done <= constants::PAGE_EVENTS_MAX {
        asker.post(room, "one of many");
        asker.done += 1;
    }
    let asked = v1::History { room, limit: limit as u32, ..v1::History::default() };
    let rest = ("GET", format!("/rooms/{room}/messages?limit={limit}"), Value::Null);
    count(asker.ask(Request::History(asked), rest), "events")
}

fn rooms(asker: &mut Asker, limit: usize) -> usize {
    while asker.done <= constants::ROOM_LIST_MAX {
        asker.new_room(v1::RoomKind::Public);
        asker.done += 1;
    }
    let asked = v1::ListRooms { limit: limit as u32, ..v1::ListRooms::default() };
    let rest = ("GET", format!("/rooms?limit={limit}"), Value::Null);
    count(asker.ask(Request::ListRooms(asked), rest), "rooms")
}

fn link(asker: &mut Asker, uses: usize, hours: usize) -> usize {
    let room = asker.new_room(v1::RoomKind::Private);
    let asked = v1::MakeRoomLink { room, uses: uses as u32, hours: hours as u32 };
    let body = json!({"uses": uses, "hours": hours});
    asker.code(Request::MakeRoomLink(asked), ("POST", format!("/rooms/{room}/links"), body))
}

fn uses(asker: &mut Asker, uses: usize) -> usize {
    link(asker, uses, 1)
}

fn hours(asker: &mut Asker, hours: usize) -> usize {
    link(asker, 1, hours)
}

fn search(asker: &mut Asker, search: v1::Search) -> Result<Value, usize> {
    let v1::Search { query, skip, limit, .. } = &search;
    let words = query.replace(' ', "+");
    let path = format!("/search?query={words}&skip={skip}&limit={limit}");
    asker.ask(Request::Search(search), ("GET", path, Value::Null))
}

fn query(asker: &mut Asker, query: String) -> usize {
    search(asker, v1::Search { query, ..v1::Search::default() }).err().unwrap_or(TAKEN)
}

fn query_len(asker: &mut Asker, len: usize) -> usize {
    query(asker, "q".repeat(len))
}

fn query_words(asker: &mut Asker, count: usize) -> usize {
    query(asker, vec!["word"; count].join(" "))
}

fn prefix(asker: &mut Asker, chars: usize) -> usize {
    query(asker, "q".repeat(chars) + "*")
}

fn skip(asker: &mut Asker, skip: usize) -> usize {
    let asked = v1::Search { query: "q".into(), skip: skip as u32, ..v1::Search::default() };
    search(asker, asked).err().unwrap_or(TAKEN)
}

fn hits(asker: &mut Asker, limit: usize) -> usize {
    let room = asker.room();
    while asker.done <= constants::SEARCH_HITS_MAX {
        asker.post(room, "tea");
        asker.done += 1;
    }
    let asked = v1::Search { query: "tea".into(), limit: limit as u32, ..v1::Search::default() };
    asker.server.app().index_now();
    count(search(asker, asked), "hits")
}

fn frame_of_nobody(asker: &mut Asker, len: usize) -> usize {
    let token = |token| Request::Authenticate(v1::Authenticate { token });
    Asker::frame(asker.connect(), len, token)
}

fn frame(asker: &mut Asker, len: usize) -> usize {
    let mut somebody = asker.connect();
    somebody.authenticate(&asker.client.token);
    Asker::frame(somebody, len, |token| Request::Authenticate(v1::Authenticate { token }))
}

fn rest_body(asker: &mut Asker, len: usize) -> usize {
    // A name that is none, and as much of nothing behind it.
    let body = json!({"name": ""}).to_string();
    let body = format!("{body}{}", " ".repeat(len - body.len()));
    let token = &asker.client.token;
    let told = super::http_body(&asker.server, token, "POST", "/rooms", &body);
    told["rejected"]["code"].as_u64().unwrap_or(0) as usize
}

/// The second of two, so many milliseconds after the first.
fn send_again(asker: &mut Asker, ms: usize) -> usize {
    asker.anew();
    assert_eq!(say_in_no_room(asker), TAKEN);
    asker.clock.advance(Duration::from_millis(ms as u64));
    say_in_no_room(asker)
}

fn sends(asker: &mut Asker, count: usize) -> usize {
    asker.anew();
    (0..count).map(|_| say_in_no_room(asker)).last().unwrap()
}

/// A message that is counted, and refused for where it is said.
fn say_in_no_room(asker: &mut Asker) -> usize {
    let rest = ("POST", "/rooms/4000/messages".to_owned(), json!({"body": "x"}));
    match asker.code(post(4_000, "x"), rest) {
        205 => TAKEN,
        other => other,
    }
}

fn ping(asker: &mut Asker) -> usize {
    match asker.client.ask(Request::Ping(v1::Ping {})) {
        Outcome::Pong(_) => TAKEN,
        other => refused(&other) as usize,
    }
}

fn ask_again(asker: &mut Asker, ms: usize) -> usize {
    asker.anew();
    assert_eq!(ping(asker), TAKEN);
    asker.clock.advance(Duration::from_millis(ms as u64));
    ping(asker)
}

fn requests(asker: &mut Asker, count: usize) -> usize {
    asker.anew();
    (0..count).map(|_| ping(asker)).last().unwrap()
}

/// Asks as one whose token is good for nothing.
fn strange(asker: &mut Asker) -> usize {
    let token = std::mem::replace(&mut asker.client.token, "nonsense".into());
    let code = asker.ask(Request::Ping(v1::Ping {}), ("GET", "/rooms".into(), Value::Null));
    asker.client.token = token;
    code.err().unwrap_or(TAKEN)
}

/// A minute later than the last one.
fn strangers(asker: &mut Asker, count: usize) -> usize {
    asker.clock.advance(Duration::from_mins(1));
    (0..count).map(|_| strange(asker)).last().unwrap()
}

fn strange_again(asker: &mut Asker, ms: usize) -> usize {
    asker.clock.advance(Duration::from_mins(1));
    strange(asker);
    asker.clock.advance(Duration::from_millis(ms as u64));
    strange(asker)
}

fn connections(asker: &mut Asker, count: usize) -> usize {
    asker.anew();
    let mut held = Vec::new();
    for n in 2..=count {
        let mut other = asker.connect();
        let token = asker.client.token.clone();
        if n <= asker.server.app().limits.connections_per_user as usize {
            assert!(matches!(other.authenticate(&token), Outcome::Session(_)));
            held.push(other);
        } else {
            other.send(Request::Authenticate(v1::Authenticate { token }));
            return other.farewell().code as usize;
        }
    }
    TAKEN
}

fn users(asker: &mut Asker, count: usize) -> usize {
    // The asker is one.
    asker.done = asker.done.max(1);
    asker.until(count, |asker| {
        let (request, rest) = register(asker.name(12), PASSWORD.into());
        asker.code_of_nobody(request, rest)
    })
}

/// Whether the first session is still good beside so many in all.
fn sessions(asker: &mut Asker, count: usize) -> usize {
    asker.anew();
    let name = format!("{:x>12}", asker.names);
    for _ in 1..count {
        let body = json!({"name": name, "password": PASSWORD});
        let login = v1::Login { name: name.clone(), password: PASSWORD.into() };
        let code = asker.code_of_nobody(Request::Login(login), ("POST", "/sessions".into(), body));
        assert_eq!(code, TAKEN);
    }
    let token = asker.client.token.clone();
    match asker.connect().authenticate(&token) {
        Outcome::Session(_) => TAKEN,
        other => refused(&other) as usize,
    }
}

fn resume(asker: &mut Asker, count: usize) -> usize {
    let room = asker.room();
    let from = asker.post(room, "seen");
    (0..count).for_each(|_| _ = asker.post(room, "not seen"));
    let mut back = asker.connect();
    back.authenticate(&asker.client.token);
    match back.subscribe(room, Some(from)) {
        Outcome::Subscribed(_) => TAKEN,
        other => refused(&other) as usize,
    }
}

fn more_rooms(asker: &mut Asker, count: usize) -> usize {
    asker.until(count, |asker| room_name(asker, 12))
}

fn members(asker: &mut Asker, count: usize) -> usize {
    let room = asker.room();
    asker.done = asker.done.max(1);
    asker.until(count, |asker| {
        let mut other = asker.connect();
        other.register(&asker.name(12));
        let maker = std::mem::replace(&mut asker.client, other);
        let rest = ("POST", format!("/rooms/{room}/join"), Value::Null);
        let code = asker.code(Request::Join(v1::Join { room }), rest);
        asker.client = maker;
        code
    })
}

fn bans(asker: &mut Asker, count: usize) -> usize {
    let room = asker.room();
    asker.until(count, |asker| {
        let user = asker.others(1)[0].user;
        let body = json!({"act": "ban", "user": user});
        let rest = ("POST", format!("/rooms/{room}/moderation"), body);
        asker.code(moderate(room, Act::Ban, user), rest)
    })
}

fn login(asker: &mut Asker, name: String) -> usize {
    let body = json!({"name": name, "password": "wrong horse"});
    let asked = v1::Login { name, password: "wrong horse".into() };
    asker.code_of_nobody(Request::Login(asked), ("POST", "/sessions".into(), body))
}

fn logins(asker: &mut Asker, count: usize) -> usize {
    asker.until(count, |asker| login(asker, "asker".into()))
}

fn logins_of_others(asker: &mut Asker, count: usize) -> usize {
    asker.until(count, |asker| {
        let name = asker.name(12);
        login(asker, name)
    })
}

fn guests(asker: &mut Asker, count: usize) -> usize {
    asker.until(count, |asker| {
        let asked = Request::EnterAsGuest(v1::EnterAsGuest::default());
        asker.code_of_nobody(asked, ("POST", "/guests".into(), json!({})))
    })
}

/// The last of so many refusals in a row: its code, or the farewell's.
fn refusals(asker: &mut Asker, count: usize) -> usize {
    let mut client = asker.connect();
    client.authenticate(&asker.client.token);
    let page = Request::History(v1::History { room: 4_000, ..v1::History::default() });
    let most = asker.server.app().limits.refusals_max as usize;
    for n in 1..=count {
        if n == most {
            client.send(page);
            return client.farewell().code as usize;
        }
        assert_eq!(refused(&client.ask(page.clone())), 205);
    }
    205
}

/// So many pings of one who is nobody, and then it wants to be somebody: the code of the farewell, if there is
/// one.
fn pings_of_nobody(asker: &mut Asker, count: usize) -> usize {
    let mut client = asker.connect();
    let mut pings = Vec::new();
    for _ in 0..count {
        ws::encode_frame(ws::Opcode::Ping, b"", Some([7; 4]), &mut pings);
    }
    client.stream.write_all(&pings).unwrap();
    if count >= asker.server.app().limits.refusals_max as usize {
        return client.farewell().code as usize;
    }
    match client.authenticate(&asker.client.token) {
        Outcome::Session(_) => TAKEN,
        other => refused(&other) as usize,
    }
}
