//! What a message takes on disk and in memory, by part, with plain and with packed blocks; what packing costs
//! the fold, and what it costs to read. Figures go to `docs/reference/performance.md`.
//!
//! ```text
//! cargo run --release -p xtask --features measure --example bytes -- FOLDER MESSAGES
//! ```
//!
//! Two hundred rooms, words by Zipf, a random `origin_id` on every post; texts of some 40, 200 and 1,000
//! bytes. CPU is that of the one thread, so that neighbours lengthen it little.
#![expect(clippy::print_stdout, reason = "a measurement speaks to the one who runs it")]

mod speech;

use std::path::Path;
use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use speech::Speech;
use throng_core::shard::{Restored, Shard};
use throng_core::{
    Author, Body, Epoch, Event, EventKind, Kind, Limits, OriginId, Policy, RoomId, RoomName, Seq,
    Timestamp, UserId, Username, Words,
};
use throng_server::clock::Clock;
use throng_server::history::History;
use throng_server::pages::Span;
use throng_server::record;
use throng_server::search::{Index, Indexer};
use throng_server::store::{PACKED_LEN_MIN, RoomBatch, SqliteStore, Store, StoreOptions};
use throng_server::tail::Tail;

const ROOMS: u32 = 200;
/// Of one fold of one room.
const FOLDED: u64 = 100;
const PAGES_READ: u64 = 2_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [folder, messages] => {
            let messages = messages.parse().expect("a number");
            println!("| text | store | fold | page of 100 | log | index | ids |");
            for len in [40, 200, 1_000] {
                for compress in [false, true] {
                    measure(
                        &Path::new(folder).join(format!("{len}-{compress}")),
                        messages,
                        len,
                        compress,
                    );
                }
            }
        }
        _ => println!("FOLDER MESSAGES"),
    }
}

impl Speech {
    /// From a third of this length to five thirds of it.
    fn text(&mut self, len: usize) -> Body {
        let len = self.chance.random_range(len / 3..=len * 5 / 3);
        let mut text = String::new();
        while text.len() < len {
            text.push_str(&Self::word(self.rank()));
            text.push(' ');
        }
        Body::parse(text.trim_end().to_owned()).expect("a body")
    }
}

fn author(number: u64) -> Author {
    let name = Username::parse(&format!("user{number}")).expect("a name");
    Author { id: UserId::new(number).expect("a number"), name }
}

fn room(number: u32) -> RoomId {
    RoomId::new(number).expect("a room")
}

fn name(room: RoomId) -> RoomName {
    RoomName::parse(&format!("room {room}")).expect("a name")
}

fn next(room: RoomId, head: Seq, speech: &mut Speech, len: usize) -> Arc<Event> {
    let seq = head.next();
    let kind = match seq.0 {
        1 => EventKind::Created { by: author(1), name: name(room), kind: Kind::Public },
        2 => EventKind::Joined { who: author(1) },
        n => EventKind::Posted {
            n: n - 2,
            author: author(1 + speech.chance.random_range(0..20)),
            origin_id: OriginId::parse(format!("{:032x}", speech.chance.random::<u128>())).ok(),
            body: speech.text(len),
            extras: None,
        },
    };
    let at = Timestamp(1_760_000_000_000 + seq.0 * 7_000);
    Arc::new(Event { room, seq, prev: head, pushed: true, at, kind })
}

fn measure(folder: &Path, messages: u64, len: usize, compress: bool) {
    std::fs::create_dir_all(folder).expect("the folder");
    let mut speech = Speech::new();
    let pack_from = compress.then_some(PACKED_LEN_MIN);
    let options = StoreOptions { pack_from, ..StoreOptions::default() };
    let path = folder.join("store.db");
    let store = Arc::new(SqliteStore::open(&path, &options).expect("the store"));
    let each = messages / u64::from(ROOMS);
    let (mut log_bytes, mut fold) = (0, 0.0);
    for from in (0..each).step_by(FOLDED as usize) {
        for number in 1..=ROOMS {
            let mut head = Seq(from);
            let event = |_| {
                let event = next(room(number), head, &mut speech, len);
                head = event.seq;
                event
            };
            let events: Vec<_> = (from..(from + FOLDED).min(each)).map(event).collect();
            let mut turn = Vec::new();
            record::encode_turn(&events, &mut turn);
            log_bytes += turn.len();
            let before = cpu();
            store.fold(&[RoomBatch { room: room(number), events }]).expect("folded");
            fold += cpu() - before;
        }
        let before = cpu();
        store.sync().expect("synced");
        fold += cpu() - before;
    }
    let tail = Arc::new(Tail::new(1 << 28, 100_000));
    (1..=ROOMS).for_each(|number| tail.restore(room(number), Seq(each)));
    let history = History::new(Arc::clone(&tail), Arc::clone(&store) as Arc<dyn Store>);
    let page = read(&history, each, &mut speech.chance);
    let index = if compress { 0.0 } else { index(folder, &tail, &history, messages) };
    let ids = fingerprints(&*store, each);
    let file = std::fs::metadata(&path).expect("the file").len() as f64 / messages as f64;
    println!(
        "| {len} B, {} | {file:.0} B | {:.2} µs | {page:.0} µs | {:.0} B | {index:.0} B | {ids:.1} B |",
        if compress { "packed" } else { "plain" },
        fold * 1e6 / messages as f64,
        log_bytes as f64 / messages as f64,
    );
}

/// µs of CPU for a page of 100 events somewhere.
fn read(history: &History, each: u64, chance: &mut SmallRng) -> f64 {
    let before = cpu();
    for _ in 0..PAGES_READ {
        let room = room(chance.random_range(1..=ROOMS));
        let before = Span::Before(Seq(chance.random_range(100..=each)));
        let page = history.page(room, before, 100).expect("read");
        assert!(page.len() >= 99, "a whole page");
    }
    (cpu() - before) * 1e6 / PAGES_READ as f64
}

/// Bytes of the search index a message.
fn index(folder: &Path, tail: &Arc<Tail>, history: &History, messages: u64) -> f64 {
    let index = Arc::new(Index::open(Some(folder), Epoch(1)).expect("the index"));
    let indexer = Indexer::new(index, Arc::clone(tail), history.clone(), Clock::system());
    indexer.catch_up().expect("caught up");
    let file = std::fs::metadata(folder.join("search.db")).expect("the file");
    file.len() as f64 / messages as f64
}

/// Bytes of memory for a message's `origin_id`.
fn fingerprints(store: &dyn Store, each: u64) -> f64 {
    let mut shard = Shard::new(1, &Limits::default());
    for number in 1..=ROOMS {
        let room = room(number);
        shard.restore(Restored {
            room,
            name: name(room),
            at: Timestamp(1_760_000_000_000),
            head: Seq(each),
            pushed: Seq(each),
            posts: each,
            policy: Policy::default(),
            words: Words::default(),
            people: Vec::new(),
            pins: Vec::new(),
        });
        let load = &mut |user, id: &str, seq, at| shard.load_origin(room, user, id, seq, at);
        store.origins(room, Seq(each), Timestamp(0), load).expect("read");
        shard.origins_loaded(room);
    }
    shard.origins_bytes() as f64 / shard.origins_len() as f64
}

/// Seconds of CPU that this thread has had: what is left of a figure when others use the box too.
fn cpu() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}
