//! The search index alone, without sockets: what it costs to fill, how far it is behind, how long a
//! search takes. Figures go to `docs/reference/performance.md`.
//!
//! ```text
//! cargo run --release -p xtask --features measure --example search -- FOLDER MESSAGES [SECONDS [PACE]]
//! ```
//!
//! A thousand rooms, a vocabulary in which a few words are in most messages and most are in few
//! (Zipf), every tenth message in signs without spaces; askers that belong to one room, to ten, to 64,
//! and to all. First the store is filled, then the index is made from it, or, with a pace, as it is in
//! a life: of so many thousand messages at a time. Then each sort of search is asked a hundred times;
//! then for so many seconds (5) 1,000 messages a second arrive while fold and indexer run, and every
//! tenth of a second one of them is looked for until it is found.
#![expect(clippy::print_stdout, reason = "a measurement speaks to the one who runs it")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod speech;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use speech::{Speech, VOCABULARY};
use throng_core::{
    Author, Body, Epoch, Event, EventKind, Kind, RoomId, RoomName, Seq, Timestamp, UserId, Username,
};
use throng_server::clock::Clock;
use throng_server::fold::{FOLD_EVENTS, Fold, Folder};
use throng_server::history::History;
use throng_server::log::{MemoryLog, TurnId};
use throng_server::search::{Index, Indexer, Indexing, Query, Scope, Search, Sought};
use throng_server::store::{RoomBatch, SqliteStore, Store, StoreOptions};
use throng_server::tail::Tail;

const ROOMS: u32 = 1_000;
const SEARCHES: usize = 100;
const TAIL_BYTES_MAX: usize = 256 * 1024 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match args[..] {
        [folder, messages] => measure(Path::new(folder), number(messages), 5, None),
        [folder, messages, seconds] => {
            measure(Path::new(folder), number(messages), number(seconds), None);
        }
        [folder, messages, seconds, pace] => {
            let pace = Some(number(pace));
            measure(Path::new(folder), number(messages), number(seconds), pace);
        }
        _ => println!("FOLDER MESSAGES [SECONDS [PACE]]"),
    }
}

impl Speech {
    /// Signs of a script without spaces, the first the most common.
    fn signs(&mut self, count: usize) -> String {
        let sign = |rank: usize| char::from_u32(0x4e00 + (rank % 3_000) as u32);
        (0..count).filter_map(|_| sign(self.rank())).collect()
    }

    fn text(&mut self) -> String {
        if self.chance.random_range(0..10) == 0 {
            let count = self.chance.random_range(5..=40);
            return self.signs(count);
        }
        let count = self.chance.random_range(3..=25);
        let words = (0..count).map(|_| Self::word(self.rank()));
        words.collect::<Vec<_>>().join(" ")
    }
}

fn author(number: u64) -> Author {
    let name = Username::parse(&format!("user{number}")).expect("a name");
    Author { id: UserId::new(number).expect("a number"), name }
}

fn room(number: u32) -> RoomId {
    RoomId::new(number).expect("a room")
}

fn next(room: RoomId, head: Seq, at: Timestamp, text: String) -> Arc<Event> {
    let seq = head.next();
    let kind = match seq.0 {
        1 => EventKind::Created {
            by: author(1),
            name: RoomName::parse(&format!("room {room}")).expect("a name"),
            kind: Kind::Public,
        },
        2 => EventKind::Joined { who: author(1) },
        n => EventKind::Posted {
            n: n - 2,
            author: author(1 + n % 50),
            origin_id: None,
            body: Body::parse(text).expect("a body"),
            extras: None,
        },
    };
    Arc::new(Event { room, seq, prev: head, pushed: true, at, kind })
}

fn measure(folder: &Path, messages: u64, seconds: u64, pace: Option<u64>) {
    std::fs::create_dir_all(folder).expect("the folder");
    let mut words = Speech::new();
    let clock = Clock::system();
    let store = SqliteStore::open(&folder.join("store.db"), &StoreOptions::default());
    let store = Arc::new(store.expect("the store"));
    let tail = Arc::new(Tail::new(TAIL_BYTES_MAX, FOLD_EVENTS));
    let history = History::new(Arc::clone(&tail), store.clone());
    let index = Arc::new(Index::open(Some(folder), Epoch(1)).expect("the index"));
    let indexer =
        Indexer::new(Arc::clone(&index), Arc::clone(&tail), history.clone(), clock.clone());
    let (mut took, mut spent) = (Duration::ZERO, 0.0);
    fill(&*store, &tail, (messages, pace), clock.wall(), &mut words, &mut || {
        let (began, before) = (Instant::now(), cpu());
        indexer.catch_up().expect("caught up");
        took += began.elapsed();
        spent += cpu() - before;
    });
    let status = indexer.status();
    let events = status.events.load(Ordering::Relaxed) as f64;
    println!(
        "taking in: {events} events, {:.0}/s; {:.0} a second of CPU, {:.1} µs each",
        events / took.as_secs_f64(),
        events / spent,
        spent / events * 1e6
    );
    let bytes = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    println!(
        "on disk: history {:.0} B a message, index {:.0}",
        bytes("store.db") as f64 / messages as f64,
        bytes("search.db") as f64 / messages as f64
    );
    let time_max = Duration::from_secs(5);
    let search = Search::new(index, history.clone(), Arc::clone(&status), clock.clone(), time_max);
    ask_all(&search, &history, messages / u64::from(ROOMS), &mut words);
    let log = Arc::new(MemoryLog::new(Epoch(1), TAIL_BYTES_MAX));
    let fold = Fold::start(
        Folder::new(Arc::clone(&tail), log, store),
        Box::new(|ended| panic!("the fold ended: {ended}")),
    );
    let fold = fold.expect("the fold's thread");
    let indexing = Indexing::start(Arc::new(indexer)).expect("the indexer's thread");
    trickle(&tail, &clock, seconds, &mut words, &search);
    drop(indexing);
    fold.finish().expect("folded");
}

/// Calls `look` when all is there, or, with a pace, each time that so many thousand are.
fn fill(
    store: &dyn Store,
    tail: &Tail,
    (messages, pace): (u64, Option<u64>),
    now: Timestamp,
    words: &mut Speech,
    look: &mut dyn FnMut(),
) {
    let each = messages / u64::from(ROOMS);
    let mut heads = vec![Seq::ZERO; ROOMS as usize + 1];
    while heads[1].0 < each {
        let part = (each - heads[1].0).min(pace.unwrap_or(64));
        for number in 1..=ROOMS {
            let head = &mut heads[number as usize];
            let events = (0..part).map(|_| {
                let at = Timestamp(now.0 - (each - head.0) * 1_000);
                let event = next(room(number), *head, at, words.text());
                *head = event.seq;
                event
            });
            let batch = RoomBatch { room: room(number), events: events.collect() };
            store.fold(&[batch]).expect("folded");
        }
        store.sync().expect("synced");
        if pace.is_some() || heads[1].0 == each {
            for number in 1..=ROOMS {
                tail.restore(room(number), heads[number as usize]);
            }
            look();
        }
    }
}

type Make = fn(&mut Speech, &History, u64) -> String;

const SORTS: [(&str, Make); 9] = [
    ("a common word", |words, _, _| Speech::word(words.chance.random_range(1..=10))),
    ("a word as spoken", |words, _, _| Speech::word(words.rank())),
    ("a rare word", |words, _, _| Speech::word(words.chance.random_range(20_000..VOCABULARY))),
    ("two words", |words, _, _| {
        format!("{} {}", Speech::word(words.rank()), Speech::word(words.rank()))
    }),
    ("a phrase that was said", said),
    ("a phrase by chance", |words, _, _| {
        format!("\"{} {}\"", Speech::word(words.rank()), Speech::word(words.rank()))
    }),
    ("a beginning of three", |words, _, _| beginning(words, 3)),
    ("a beginning of five", |words, _, _| beginning(words, 5)),
    ("one to four signs", |words, _, _| {
        let count = words.chance.random_range(1..=4);
        words.signs(count)
    }),
];

fn beginning(words: &mut Speech, chars: usize) -> String {
    let word = Speech::word(words.rank() + 400);
    format!("{}*", &word[..chars.min(word.len())])
}

/// Two words that stand beside each other in some message.
fn said(words: &mut Speech, history: &History, each: u64) -> String {
    loop {
        let room = room(words.chance.random_range(1..=ROOMS));
        let seq = Seq(words.chance.random_range(3..=each));
        let event = history.shown(room, seq).expect("the store").expect("an event");
        let EventKind::Posted { body, .. } = &event.kind else { continue };
        let parts: Vec<&str> = body.as_str().split(' ').collect();
        if parts.len() > 1 {
            let at = words.chance.random_range(0..parts.len() - 1);
            return format!("\"{} {}\"", parts[at], parts[at + 1]);
        }
    }
}

/// Each sort of search, in one room, in ten, in as many as are named to the index, and in all.
fn ask_all(search: &Search, history: &History, each: u64, words: &mut Speech) {
    println!(
        "{:36} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "search, ms", "p50", "p95", "CPU p50", "p95", "hits"
    );
    for count in [1, 10, 64, ROOMS] {
        let mut all = Vec::new();
        for (name, make) in SORTS {
            let (mut took, mut hits) = (Vec::new(), 0);
            for _ in 0..SEARCHES {
                let scopes = scopes(count, words);
                let sought = sought(&make(words, history, each));
                let (began, before) = (Instant::now(), cpu());
                let found = search.find(&scopes, &sought).expect("an answer");
                took.push((began.elapsed().as_secs_f64() * 1e3, (cpu() - before) * 1e3));
                hits += found.counts.iter().map(|(_, count)| *count as usize).sum::<usize>();
            }
            all.extend_from_slice(&took);
            print(&format!("{name}, {count} rooms"), &mut took, hits / SEARCHES);
        }
        print(&format!("all, {count} rooms"), &mut all, 0);
    }
}

fn scopes(count: u32, words: &mut Speech) -> Vec<Scope> {
    let mut mine: Vec<u32> = (1..=ROOMS).collect();
    while mine.len() > count as usize {
        mine.swap_remove(words.chance.random_range(0..mine.len()));
    }
    mine.sort_unstable();
    mine.into_iter()
        .map(|number| Scope { room: room(number), from: Seq(1), since: Timestamp(0) })
        .collect()
}

fn sought(query: &str) -> Sought {
    Sought {
        query: Query::parse(query).expect("a query"),
        sender: None,
        since: None,
        until: None,
        newest: false,
        skip: 0,
        limit: 20,
    }
}

/// Seconds of CPU that this thread has had: what is left of a figure when others use the box too.
fn cpu() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

fn print(name: &str, took: &mut [(f64, f64)], hits: usize) {
    let at = |times: &mut Vec<f64>, part: f64| {
        times.sort_by(f64::total_cmp);
        times[((times.len() - 1) as f64 * part) as usize]
    };
    let mut wall: Vec<f64> = took.iter().map(|(wall, _)| *wall).collect();
    let mut cpu: Vec<f64> = took.iter().map(|(_, cpu)| *cpu).collect();
    let (p50, p95) = (at(&mut wall, 0.5), at(&mut wall, 0.95));
    let (half, most) = (at(&mut cpu, 0.5), at(&mut cpu, 0.95));
    println!("{name:36} {p50:8.2} {p95:8.2} {half:8.2} {most:8.2} {hits:8}");
}

/// A thousand messages a second, and how long after it was said each tenth of a second's first one
/// was found.
fn trickle(tail: &Tail, clock: &Clock, seconds: u64, words: &mut Speech, search: &Search) {
    let (mut sought_for, mut took) = (VecDeque::new(), Vec::new());
    let began = Instant::now();
    let mut turn = 0;
    while turn < seconds * 100 || (!sought_for.is_empty() && turn < seconds * 200) {
        turn += 1;
        let mut events: Vec<Arc<Event>> = Vec::new();
        let mut heads = HashMap::new();
        for at in 0..10 {
            let room = room(words.chance.random_range(1..=ROOMS));
            let head = heads.entry(room).or_insert_with(|| tail.head(room));
            let probe = at == 0 && turn % 10 == 0 && turn <= seconds * 100;
            let text = if probe { format!("soughtfor{turn}") } else { words.text() };
            if probe {
                sought_for.push_back((text.clone(), room, Instant::now()));
            }
            let event = next(room, *head, clock.wall(), text);
            *head = event.seq;
            events.push(event);
        }
        tail.insert(TurnId(turn), &events);
        while let Some((text, room, since)) = sought_for.front() {
            let scope = Scope { room: *room, from: Seq(1), since: Timestamp(0) };
            let found = search.find(&[scope], &sought(text)).expect("an answer");
            if found.hits.is_empty() {
                break;
            }
            took.push(since.elapsed().as_millis());
            sought_for.pop_front();
        }
        let due = Duration::from_millis(turn * 10);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    took.sort_unstable();
    let at = |part: usize| took.get((took.len().max(1) - 1) * part / 100).copied();
    println!(
        "1,000/s, from said to found: p50 {:?} ms, p95 {:?}, max {:?}; never: {}; {:.0} s for {turn} turns",
        at(50),
        at(95),
        at(100),
        sought_for.len(),
        began.elapsed().as_secs_f64()
    );
}
