//! A server's HTTP side, as far as pictures go: it takes one from each, and gives each that is asked for, but
//! for the one that it is told to change. What is in a room is the double's to say.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use throng_lab::runner::{self, Account, Door, Outcome};
use throng_lab::scenario::Scenario;
use throng_lab::summary::{Ending, Summary};

use crate::double::{Double, Nothing, Sin, picture, picture_name};

/// Five come to where one is, one after the other, and look at each other.
const LOOKING: &str = r#"
name = "looking"
says = "five who look at each other"
seconds = 2.5
seed = 3
[users]
count = 6
dresses = ["raw"]
[[rooms]]
name = "hall"
count = 1
members = 1
sends_per_second = 0.0
arrivals = "constant"
[[lives]]
name = "guests"
first = 1
count = 5
rooms = "hall"
arrive_every_seconds = 0.02
avatars = true
actions = 1
every_seconds = 1.0
[bodies]
bytes_min = 20
bytes_median = 60
bytes_max = 2000
sigma = 1.0
"#;

/// The first account; the others follow.
const FIRST: u64 = 100;

#[derive(Default)]
struct Seen {
    /// What was sent, by whose token.
    sent: BTreeMap<String, Vec<u8>>,
    /// Who has set one.
    set: Vec<String>,
    fetched: u64,
}

#[derive(Clone)]
struct Pictures {
    seen: Arc<Mutex<Seen>>,
    /// The account whose picture is another than its name says.
    wrong: Option<u64>,
}

impl Pictures {
    fn start(wrong: Option<u64>) -> (SocketAddr, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let it = Self { seen: Arc::default(), wrong };
        let serving = it.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(&stream.unwrap()));
            }
        });
        (address, it)
    }

    fn serve(&self, stream: &TcpStream) {
        let (mut from, mut to) = (BufReader::new(stream), stream);
        loop {
            let (mut line, mut token, mut len) = (String::new(), String::new(), 0);
            if from.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            loop {
                let mut head = String::new();
                from.read_line(&mut head).unwrap();
                let Some((name, value)) = head.trim().split_once(": ") else { break };
                match name {
                    "Content-Length" => len = value.parse().unwrap(),
                    "Authorization" => token = value.trim_start_matches("Bearer ").into(),
                    _ => {}
                }
            }
            let mut body = vec![0; len];
            from.read_exact(&mut body).unwrap();
            let (status, answer) = self.answer(&line, token, body);
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
            // The peer may be gone already.
            let _ = to.write_all(&[head.as_bytes(), &answer].concat());
        }
    }

    fn answer(&self, line: &str, token: String, body: Vec<u8>) -> (u16, Vec<u8>) {
        let mut seen = self.seen.lock().unwrap();
        let path = line.split(' ').nth(1).unwrap();
        match path.trim_start_matches("/api/v1") {
            "/rooms?limit=1" => (200, br#"{"rooms":[],"more":false}"#.to_vec()),
            "/files" => {
                seen.sent.insert(token, body);
                (201, br#"{"here":1,"whole":true,"file":{"id":"f00d"}}"#.to_vec())
            }
            "/avatar" => {
                assert_eq!(body, br#"{"file":"f00d"}"#);
                seen.set.push(token);
                (200, b"{}".to_vec())
            }
            path => {
                let name = path.strip_prefix("/avatars/").unwrap();
                let user = (FIRST..FIRST + 6).find(|user| picture_name(*user) == name).unwrap();
                seen.fetched += 1;
                let shown = if self.wrong == Some(user) { user + 1 } else { user };
                (200, picture(shown))
            }
        }
    }
}

fn run(wrong: Option<u64>) -> (Scenario, Outcome, Pictures) {
    let scenario = Scenario::parse("looking", LOOKING, &[]).unwrap();
    let account =
        |id: u64| Account { id, name: format!("u{id}"), token: id.to_string(), password: None };
    let double = Double::start(Sin::None);
    let (address, pictures) = Pictures::start(wrong);
    let door = Door { address, raw: Some(double.address), agents: Vec::new() };
    let accounts = (FIRST..FIRST + 6).map(account).collect();
    let outcome = runner::run(&scenario, accounts, door, 7, &mut Nothing, &mut |_| {}).unwrap();
    (scenario, outcome, pictures)
}

#[test]
fn everybody_sets_a_picture_and_who_looks_has_that_of_everybody_once_whenever_he_came() {
    let (scenario, outcome, pictures) = run(None);
    {
        let seen = pictures.seen.lock().unwrap();
        assert!(seen.sent.values().all(|it| it.starts_with(b"\x89PNG")));
        let different: std::collections::BTreeSet<&Vec<u8>> = seen.sent.values().collect();
        assert_eq!((different.len(), seen.set.len(), seen.fetched), (6, 6, 5 * 6));
    }
    let verdict = &outcome.verdict;
    assert!(verdict.is_clean() && verdict.doubted == 0, "looking changes no book: {verdict:#?}");
    let counted = outcome.pictures.unwrap();
    assert_eq!((counted.set, counted.fetched, counted.not_as_named), (6, 30, 0));
    assert_eq!((counted.bytes, counted.unanswered), (30 * picture(FIRST).len() as u64, 0));
    assert_eq!(outcome.recorder.faces.count(), 5, "each has had all that were there");
    assert_eq!(outcome.recorder.picture.count(), 30);
    assert_eq!(outcome.samples.iter().map(|it| it.pictures).sum::<u64>(), 30);
    let summary = Summary::new(&scenario, outcome, None);
    assert!(matches!(summary.ending, Ending::Pass | Ending::Invalid), "{:?}", summary.reasons);
    assert!(summary.words().contains("6 set; 30 fetched"), "{}", summary.words());
}

#[test]
fn a_picture_that_is_not_what_its_name_says_is_a_broken_promise() {
    let (scenario, outcome, _) = run(Some(FIRST + 3));
    assert_eq!(outcome.pictures.unwrap().not_as_named, 5);
    let summary = Summary::new(&scenario, outcome, None);
    assert_eq!(summary.ending, Ending::Faults);
    assert_eq!(summary.reasons, ["5 pictures are not what their names say"]);
}
