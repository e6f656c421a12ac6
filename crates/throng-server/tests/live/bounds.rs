//! Every limit one below, at and one above it, by every way of asking. The rows are in `bounds/rows.rs` and
//! `bounds/kept.rs`, what no asking meets in `bounds/inside.rs`: a limit of `limits.rs` that is in neither, or that is
//! not met by some way and does not say why, fails.

mod inside;
mod kept;
mod making;
mod rows;

use serde_json::{Value, json};
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Reply};

use super::Server;
use super::client::{Came, Client, Speak};
use super::rights::http_body;
use inside::INSIDE;
use kept::KEPT;
use rows::ROWS;

/// By which way something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Socket(Speak),
    Rest,
}

const SOCKETS: &[Way] =
    &[Way::Socket(Speak::Json), Way::Socket(Speak::Protobuf), Way::Socket(Speak::Raw)];
const ALL: &[Way] =
    &[Way::Socket(Speak::Json), Way::Socket(Speak::Protobuf), Way::Socket(Speak::Raw), Way::Rest];
const REST: &[Way] = &[Way::Rest];

/// A limit that can be met by asking.
#[derive(Clone, Copy)]
struct Row {
    limit: &'static str,
    at: usize,
    /// Makes it so, where it is settable: on a server of its own.
    set: Option<fn(&mut Settings)>,
    /// Asks for so much: what came of it, a refusal's or a farewell's code, or what was counted.
    ask: fn(&mut Asker, usize) -> usize,
    /// One below, at and one above.
    expected: [usize; 3],
    ways: &'static [Way],
    /// Why not by the others.
    because: &'static str,
}

/// A request as REST has it: method, path and body.
type Rest = (&'static str, String, Value);

/// Somebody who asks by one way.
struct Asker {
    /// Dropped first: a server waits for those it says goodbye to.
    client: Client,
    server: Server,
    clock: Clock,
    way: Way,
    /// A room of its own.
    room: u32,
    /// Names that were made up.
    names: usize,
    /// How much was asked for so far, where that adds up.
    done: usize,
}

impl Asker {
    fn new(way: Way, set: impl FnOnce(&mut Settings)) -> Self {
        let clock = Clock::manual();
        let server = Server::at(clock.clone(), |settings| {
            settings.limits.sends_burst = 1_000_000;
            settings.limits.requests_burst = 1_000_000;
            settings.limits.refusals_max = 1_000_000;
            settings.limits.refusals_burst = 1_000_000;
            settings.limits.logins_per_minute_account = 1_000_000;
            set(settings);
        });
        let client = server.join_in(Self::speak(way), "asker");
        Self { client, server, clock, way, room: 0, names: 0, done: 0 }
    }

    /// What a way's sockets speak. REST has none; what it needs beside is asked by one of JSON.
    fn speak(way: Way) -> Speak {
        match way {
            Way::Socket(speak) => speak,
            Way::Rest => Speak::Json,
        }
    }

    /// Another row of the same server: a room of its own, and nothing asked so far.
    fn begin(&mut self) {
        (self.room, self.done) = (0, 0);
    }

    /// Another connection, that is nobody yet.
    fn connect(&self) -> Client {
        self.server.connect(Self::speak(self.way))
    }

    /// Another account, which asks from now on.
    fn anew(&mut self) {
        let name = self.name(12);
        let mut client = self.connect();
        client.register(&name);
        self.client = client;
    }

    /// Other accounts; their numbers.
    fn others(&mut self, count: usize) -> Vec<Client> {
        let names: Vec<String> = (0..count).map(|_| self.name(12)).collect();
        names.iter().map(|name| self.server.join_in(Speak::Json, name)).collect()
    }

    /// A name of so many characters that was not there before.
    fn name(&mut self, len: usize) -> String {
        self.names += 1;
        let number = self.names.to_string();
        let from = number.len().saturating_sub(len);
        format!("{:x>len$}", &number[from..])
    }

    /// A room of its own, made once.
    fn room(&mut self) -> u32 {
        if self.room == 0 {
            self.room = self.new_room(v1::RoomKind::Public);
        }
        self.room
    }

    fn new_room(&mut self, kind: v1::RoomKind) -> u32 {
        let name = self.name(12);
        match self.client.ask(Request::CreateRoom(v1::CreateRoom {
            name,
            kind: kind as i32,
            ..Default::default()
        })) {
            Outcome::Joined(joined) => joined.room,
            other => panic!("{other:?}"),
        }
    }

    fn post(&mut self, room: u32, body: &str) -> u64 {
        let posted = self.client.post(room, body).seq;
        self.client.events.clear();
        posted
    }

    /// What came of a request, as JSON has it, or the code of its refusal.
    fn ask(&mut self, request: Request, rest: Rest) -> Result<Value, usize> {
        let told = if self.way == Way::Rest {
            let (method, path, body) = rest;
            let body = if body.is_null() { String::new() } else { body.to_string() };
            http_body(&self.server, &self.client.token, method, &path, &body)
        } else {
            let outcome = self.client.ask(request);
            self.client.events.clear();
            told(outcome)
        };
        match told["rejected"]["code"].as_u64() {
            Some(code) => Err(code as usize),
            None => Ok(told),
        }
    }

    /// Only the code; 0 for what was taken.
    fn code(&mut self, request: Request, rest: Rest) -> usize {
        self.ask(request, rest).err().unwrap_or(0)
    }

    /// The same, of one who is nobody.
    fn code_of_nobody(&mut self, request: Request, rest: Rest) -> usize {
        let nobody = self.connect();
        let somebody = std::mem::replace(&mut self.client, nobody);
        let code = self.code(request, rest);
        self.client = somebody;
        code
    }

    /// Asks again and again until it has been asked so often; the last code.
    fn until(&mut self, count: usize, mut ask: impl FnMut(&mut Self) -> usize) -> usize {
        let mut code = usize::MAX;
        while self.done < count {
            self.done += 1;
            code = ask(self);
        }
        code
    }

    /// What a connection is told of a frame that is so long: the code of the refusal, or of the
    /// farewell.
    fn frame(mut client: Client, len: usize, request: impl Fn(String) -> Request) -> usize {
        let mut text = len;
        let bytes = loop {
            let frame = v1::ClientFrame { id: 9, request: Some(request("x".repeat(text))) };
            let payload = client.payload(&frame);
            if payload == len {
                let mut bytes = Vec::new();
                client.encode(&frame, &mut bytes);
                break bytes;
            }
            text = text + len - payload;
        };
        std::io::Write::write_all(&mut client.stream, &bytes).unwrap();
        loop {
            match client.next() {
                Came::Frame(super::client::Frame::Reply(Reply { outcome, .. })) => {
                    return outcome.map_or(0, |it| super::client::refused(&it)) as usize;
                }
                Came::Frame(super::client::Frame::Goodbye(told)) => return told.code as usize,
                Came::Frame(_) => {}
                Came::End => panic!("the end without a word"),
            }
        }
    }
}

/// An answer as JSON has it.
fn told(outcome: Outcome) -> Value {
    let reply = serde_json::to_value(Reply { re: 0, outcome: Some(outcome) }).unwrap();
    let Value::Object(reply) = reply else { panic!("{reply}") };
    let (name, value) = reply.into_iter().find(|(key, _)| key != "re").unwrap();
    if name == "rejected" { json!({"rejected": value}) } else { value }
}

fn meet_all(way: Way) {
    let mut broken = Vec::new();
    let mut shared = Asker::new(way, |_| {});
    let mut met = 0;
    for row in ROWS.iter().chain(KEPT).filter(|row| row.ways.contains(&way)) {
        let mut own = row.set.map(|set| Asker::new(way, set));
        let asker = own.as_mut().unwrap_or(&mut shared);
        asker.begin();
        let asked = [row.at - 1, row.at, row.at + 1].map(|n| (row.ask)(asker, n));
        if asked != row.expected {
            broken.push(format!("{}: {asked:?}, not {:?}", row.limit, row.expected));
        }
        met += 1;
    }
    assert!(broken.is_empty(), "{way:?}\n{}", broken.join("\n"));
    assert!(met > 30, "{way:?}: {met} limits were met");
}

#[test]
fn every_limit_holds_one_below_at_and_one_above_over_json() {
    meet_all(Way::Socket(Speak::Json));
}

#[test]
fn every_limit_holds_one_below_at_and_one_above_over_protobuf() {
    meet_all(Way::Socket(Speak::Protobuf));
}

#[test]
fn every_limit_holds_one_below_at_and_one_above_over_bare_tcp() {
    meet_all(Way::Socket(Speak::Raw));
}

#[test]
fn every_limit_holds_one_below_at_and_one_above_over_rest() {
    meet_all(Way::Rest);
}

/// The names of all limits, as they are written.
fn limits() -> Vec<&'static str> {
    let text = include_str!("../../../throng-core/src/limits.rs");
    let constant = |line: &'static str| Some(line.strip_prefix("pub const ")?.split_once(':')?.0);
    let constants = text.lines().filter_map(constant).filter(|name| *name != "SETTABLE");
    constants.chain(throng_core::limits::SETTABLE.iter().map(|limit| limit.name)).collect()
}

#[test]
fn every_limit_is_met_by_every_way_of_asking_or_says_why_it_cannot_be() {
    let mut broken = Vec::new();
    for limit in limits() {
        let met = ROWS.iter().chain(KEPT).filter(|row| row.limit == limit).count();
        let inside = INSIDE.iter().filter(|(name, _)| *name == limit).count();
        if met + inside != 1 {
            broken.push(format!("{limit}: {met} rows and {inside} reasons"));
        }
    }
    for row in ROWS.iter().chain(KEPT) {
        if (row.ways != ALL) != (row.because.len() > 20) {
            broken.push(format!("{}: why not by the others? {:?}", row.limit, row.because));
        }
    }
    for (name, because) in INSIDE {
        let named = limits().contains(name);
        if !named || because.len() < 10 {
            broken.push(format!("{name}: {because:?}"));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}
