//! What a message costs the search index at a pace: a look a second, so many messages each, without
//! the waiting between. Small batches are what costs: catching up is `search`'s figure. Figures go to
//! `docs/reference/performance.md`.
//!
//! ```text
//! cargo run --release -p xtask --features measure --example indexing -- FOLDER ROOMS MESSAGES_A_LOOK LOOKS
//! ```
//!
//! Words by Zipf, texts of some 200 bytes, one room after the other. CPU is that of the one thread, so
//! that neighbours lengthen it little; `valgrind --tool=callgrind --toggle-collect='*Indexer::catch_up*'`
//! counts instructions, which they do not move at all.
#![expect(clippy::print_stdout, reason = "a measurement speaks to the one who runs it")]

mod speech;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt as _;
use speech::Speech;
use throng_core::{
    Author, Body, Epoch, Event, EventKind, Kind, RoomId, RoomName, Seq, Timestamp, UserId, Username,
};
use throng_server::clock::Clock;
use throng_server::fold::FOLD_EVENTS;
use throng_server::history::History;
use throng_server::log::TurnId;
use throng_server::search::{Index, Indexer};
use throng_server::store::{SqliteStore, StoreOptions};
use throng_server::tail::Tail;

const TEXT_LEN: usize = 200;
const TAIL_BYTES_MAX: usize = 1 << 30;
/// When the first is said: a day of 2025.
const BEGIN: Duration = Duration::from_secs(1_760_000_000);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse::<u32>().expect("a number");
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [folder, rooms, each, looks] => {
            measure(Path::new(folder), number(rooms), number(each), number(looks));
        }
        _ => println!("FOLDER ROOMS MESSAGES_A_LOOK LOOKS"),
    }
}

impl Speech {
    /// From a third of the length to five thirds of it.
    fn text(&mut self) -> Body {
        let len = self.chance.random_range(TEXT_LEN / 3..=TEXT_LEN * 5 / 3);
        let mut text = String::new();
        while text.len() < len {
            text.push_str(&Self::word(self.rank()));
            text.push(' ');
        }
        Body::parse(text.trim_end()).expect("a body")
    }
}

fn author(number: u64) -> Author {
    let name = Username::parse(&format!("user{number}")).expect("a name");
    Author { id: UserId::new(number).expect("a number"), name }
}

fn next(room: RoomId, head: Seq, at: Timestamp, speech: &mut Speech) -> Arc<Event> {
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
            body: speech.text(),
            extras: None,
        },
    };
    Arc::new(Event { room, seq, prev: head, pushed: true, at, kind })
}

fn measure(folder: &Path, rooms: u32, each: u32, looks: u32) {
    std::fs::create_dir_all(folder).expect("the folder");
    let mut speech = Speech::new();
    let clock = Clock::manual();
    clock.advance(BEGIN);
    let store = SqliteStore::open(&folder.join("store.db"), &StoreOptions::default());
    let tail = Arc::new(Tail::new(TAIL_BYTES_MAX, FOLD_EVENTS));
    let history = History::new(Arc::clone(&tail), Arc::new(store.expect("the store")));
    let index = Arc::new(Index::open(Some(folder), Epoch(1)).expect("the index"));
    let indexer = Indexer::new(index, Arc::clone(&tail), history, clock.clone());
    let (mut turn, mut said, mut spent) = (0, 0, 0.0);
    let mut heads = vec![Seq::ZERO; rooms as usize];
    for _ in 0..looks {
        let mut events = Vec::new();
        for _ in 0..each {
            let number = said % rooms;
            let head = &mut heads[number as usize];
            let room = RoomId::new(number + 1).expect("a room");
            events.push(next(room, *head, clock.wall(), &mut speech));
            *head = head.next();
            said += 1;
        }
        turn += 1;
        tail.insert(TurnId(turn), &events);
        clock.advance(Duration::from_secs(1));
        let before = cpu();
        indexer.catch_up().expect("taken in");
        spent += cpu() - before;
    }
    let transactions = indexer.status().batches.load(Ordering::Relaxed);
    let bytes = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    println!(
        "{rooms} rooms, {each} messages a look, {looks} looks: {:.1} µs of CPU a message, {:.1} \
         transactions a look, {} B a message on disk",
        spent * 1e6 / f64::from(said),
        transactions as f64 / f64::from(looks),
        bytes("search.db") / u64::from(said)
    );
}

/// Seconds of CPU that this thread has had.
fn cpu() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}
