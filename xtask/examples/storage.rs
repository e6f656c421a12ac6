//! The storage rooms under load, without sockets or shards: commit and fold at an offered rate, and
//! the time to the first append after a start. Figures go to `docs/reference/performance.md`.
//!
//! ```text
//! cargo run --release -p xtask --features measure --example storage -- make FOLDER MESSAGES
//! cargo run --release -p xtask --features measure --example storage -- load FOLDER RATE SECONDS
//! cargo run --release -p xtask --features measure --example storage -- start FOLDER
//! cargo run --release -p xtask --features measure --example storage -- micro
//! ```
//!
//! A thousand rooms, bodies of 200 bytes, a random `origin_id` on every post; two appending threads
//! that take what is due and wait for nothing, as two shards would.
#![expect(clippy::print_stdout, reason = "a measurement speaks to the one who runs it")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use throng_core::{
    Author, Body, Event, EventKind, OriginId, RoomId, RoomName, Seq, Timestamp, UserId, Username,
};
use throng_server::clock::Clock;
use throng_server::fold::{FOLD_EVENTS, Fold, Folder};
use throng_server::log::{Log, LogOptions, SqliteLog, SyncObserver};
use throng_server::record;
use throng_server::recovery::recover;
use throng_server::store::{RoomBatch, SqliteStore, Store, StoreOptions};
use throng_server::tail::Tail;

const ROOMS: u32 = 1_000;
const SHARDS: u32 = 2;
const TURN_MAX: usize = 1_024;
const TAIL_BYTES_MAX: usize = 256 * 1024 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["make", folder, messages] => make(Path::new(folder), messages.parse().expect("a number")),
        ["load", folder, rate, seconds] => load(
            Path::new(folder),
            rate.parse().expect("a rate"),
            Duration::from_secs(seconds.parse().expect("seconds")),
        ),
        ["start", folder] => start(Path::new(folder)),
        ["micro"] => micro(),
        _ => println!("make FOLDER MESSAGES | load FOLDER RATE SECONDS | start FOLDER | micro"),
    }
}

struct Opened {
    log: Arc<SqliteLog>,
    store: Arc<SqliteStore>,
    tail: Arc<Tail>,
}

fn open(folder: &Path) -> Opened {
    std::fs::create_dir_all(folder).expect("the folder");
    let options = LogOptions::new(Clock::system());
    let log = Arc::new(SqliteLog::open(&folder.join("log.db"), &options).expect("the log"));
    let store = SqliteStore::open(&folder.join("store.db"), &StoreOptions::default());
    let store = Arc::new(store.expect("the store"));
    let tail = recover(&*log, &*store, TAIL_BYTES_MAX, FOLD_EVENTS, &mut |_| (), &mut |_| Ok(()));
    Opened { log, store, tail: Arc::new(tail.expect("a recovered tail")) }
}

fn author(number: u64) -> Author {
    let name = Username::parse(&format!("user{number}")).expect("a name");
    Author { id: UserId::new(number).expect("a number"), name }
}

/// The next event of a room: made, joined, then posts.
fn next(room: RoomId, head: Seq, chance: &mut SmallRng, text: &str) -> Arc<Event> {
    let seq = head.next();
    let kind = match seq.0 {
        1 => EventKind::Created {
            by: author(1),
            name: RoomName::parse(&format!("room {room}")).expect("a name"),
            kind: throng_core::Kind::Public,
        },
        2 => EventKind::Joined { who: author(1) },
        n => EventKind::Posted {
            n: n - 2,
            author: author(1 + n % 2),
            origin_id: Some(
                OriginId::parse(format!("{:032x}", chance.random::<u128>())).expect("an id"),
            ),
            body: Body::parse(text).expect("a body"),
            extras: None,
        },
    };
    let at = Timestamp(1_700_000_000_000 + seq.0);
    Arc::new(Event { room, seq, prev: head, pushed: true, at, kind })
}

fn text(chance: &mut SmallRng) -> String {
    (0..200).map(|_| char::from(chance.random_range(b' '..=b'~'))).collect()
}

fn make(folder: &Path, messages: u64) {
    let Opened { store, tail, .. } = open(folder);
    let mut chance = SmallRng::seed_from_u64(1);
    let began = Instant::now();
    let each = messages / u64::from(ROOMS);
    let mut done = 0;
    while done < each {
        let part = (each - done).min(100);
        let rooms: Vec<u32> = (1..=ROOMS).collect();
        for rooms in rooms.chunks(50) {
            let batches = rooms.iter().map(|number| {
                let room = RoomId::new(*number).expect("a room");
                let text = text(&mut chance);
                let mut head = Seq(tail.head(room).0 + done);
                let events = (0..part).map(|_| {
                    let event = next(room, head, &mut chance, &text);
                    head = event.seq;
                    event
                });
                RoomBatch { room, events: events.collect() }
            });
            let batches: Vec<_> = batches.collect();
            store.fold(&batches).expect("a fold");
            store.sync().expect("a sync");
        }
        done += part;
    }
    println!("{} messages in {:.1?}", each * u64::from(ROOMS), began.elapsed());
}

#[derive(Debug, Default)]
struct Syncs(Mutex<Vec<(usize, Duration)>>);

impl SyncObserver for Syncs {
    fn begins(&self) {}

    fn ends(&self) {}

    fn synced(&self, turns: usize, _bytes: usize, took: Duration) {
        self.0.lock().expect("the list").push((turns, took));
    }

    fn checkpointed(&self, _took: Duration) {}
}

fn load(folder: &Path, rate: u64, seconds: Duration) {
    let Opened { log, store, tail } = open(folder);
    let syncs = Arc::new(Syncs::default());
    log.observe(syncs.clone());
    let folder = Folder::new(tail.clone(), log.clone(), store);
    let fold = Fold::start(folder, Box::new(|error| panic!("{error}"))).expect("a thread");
    let began = Instant::now();
    let cpu = cpu_time();
    let late = Mutex::new(Vec::new());
    let most = Mutex::new(0);
    let mut behind = 0;
    std::thread::scope(|scope| {
        for shard in 0..SHARDS {
            let (log, tail, late, most) = (&*log, &*tail, &late, &most);
            scope.spawn(move || {
                let (mine, turns) =
                    append(log, tail, shard, rate / u64::from(SHARDS), began, seconds);
                late.lock().expect("the list").extend(mine);
                *most.lock().expect("the count") += turns;
            });
        }
        while began.elapsed() < seconds {
            behind = behind.max(tail.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let took = began.elapsed();
    let used = cpu_time().checked_sub(cpu).expect("time goes on");
    let status = fold.status();
    let lag = tail.len();
    let folds = status.folds.load(Ordering::Relaxed);
    let finishing = Instant::now();
    fold.finish().expect("the rest is folded");
    let mut late = late.into_inner().expect("the list");
    late.sort_unstable();
    let count = late.len();
    println!(
        "{count} appended in {took:.2?} = {:.0}/s, {:.1} a turn; CPU {:.2} µs each (making them, \
         appending and folding)",
        count as f64 / took.as_secs_f64(),
        count as f64 / *most.lock().expect("the count") as f64,
        used.as_secs_f64() * 1e6 / count as f64
    );
    println!("ms from the intended time: {}", quantiles(&late));
    let mut syncs: Vec<u32> =
        syncs.0.lock().expect("the list").iter().map(|(_, took)| took.as_micros() as u32).collect();
    syncs.sort_unstable();
    println!("ms of {} commits: {}", syncs.len(), quantiles(&syncs));
    println!(
        "{folds} folds, {behind} unfolded at most, {lag} at the end, folded in {:.2?}",
        finishing.elapsed()
    );
}

fn append(
    log: &SqliteLog,
    tail: &Tail,
    shard: u32,
    rate: u64,
    began: Instant,
    seconds: Duration,
) -> (Vec<u32>, usize) {
    let mut chance = SmallRng::seed_from_u64(u64::from(shard));
    let text = text(&mut chance);
    let mut late = Vec::new();
    let mut turns = 0;
    let (mut events, mut turn) = (Vec::new(), Vec::new());
    while began.elapsed() < seconds {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as usize;
        if due <= late.len() {
            std::thread::sleep(Duration::from_micros(50));
            continue;
        }
        assert!(tail.wait_for_room(Duration::from_mins(1)), "the fold is stuck");
        events.clear();
        turn.clear();
        let mut heads = std::collections::HashMap::new();
        for _ in 0..(due - late.len()).min(TURN_MAX) {
            let number = chance.random_range(0..ROOMS / SHARDS) * SHARDS + shard + 1;
            let room = RoomId::new(number).expect("a room");
            let head = heads.entry(room).or_insert_with(|| tail.head(room));
            events.push(next(room, *head, &mut chance, &text));
            *head = head.next();
        }
        record::encode_turn(&events, &mut turn);
        let id = log.append(&turn).expect("an append");
        tail.insert(id, &events);
        turns += 1;
        let now = began.elapsed();
        for _ in 0..events.len() {
            let intended = Duration::from_secs_f64(late.len() as f64 / rate as f64);
            late.push(now.saturating_sub(intended).as_micros() as u32);
        }
    }
    (late, turns)
}

fn start(folder: &Path) {
    let began = Instant::now();
    let Opened { log, store, tail } = open(folder);
    let opened = began.elapsed();
    let room = RoomId::new(1).expect("a room");
    let mut chance = SmallRng::seed_from_u64(9);
    let text = text(&mut chance);
    let (head, mut ids) = (tail.head(room), 0);
    store.origins(room, head, Timestamp(0), &mut |_, _, _, _| ids += 1).expect("the ids of a room");
    let event = next(room, head, &mut chance, &text);
    let mut turn = Vec::new();
    record::encode_turn(std::slice::from_ref(&event), &mut turn);
    let id = log.append(&turn).expect("an append");
    tail.insert(id, &[event]);
    println!(
        "opened in {opened:.1?} with {} unfolded events; first append, with the {ids} ids of its \
         room, after {:.1?}",
        tail.len() - 1,
        began.elapsed()
    );
    let began = Instant::now();
    let mut ids = 0_u64;
    for number in 1..=ROOMS {
        let room = RoomId::new(number).expect("a room");
        store
            .origins(room, tail.head(room), Timestamp(0), &mut |_, _, _, _| ids += 1)
            .expect("the ids of a room");
    }
    println!("all {ids} ids in {:.1?}", began.elapsed());
}

/// What the pieces cost a message.
fn micro() {
    const COUNT: usize = 200_000;
    let mut chance = SmallRng::seed_from_u64(3);
    let text = text(&mut chance);
    let mut heads = vec![Seq(0); ROOMS as usize];
    let events: Vec<_> = (0..COUNT)
        .map(|_| {
            let number = chance.random_range(0..ROOMS);
            let head = &mut heads[number as usize];
            let event = next(RoomId::new(number + 1).expect("a room"), *head, &mut chance, &text);
            *head = event.seq;
            event
        })
        .collect();
    let each = |what: &str, began: Instant| {
        println!("{what}: {:.0} ns", began.elapsed().as_secs_f64() * 1e9 / COUNT as f64);
    };
    let mut turns = Vec::new();
    let mut took = Duration::ZERO;
    for part in events.chunks(100) {
        let mut turn = Vec::with_capacity(40_000);
        record::encode_turn(part, &mut turn);
        turn.clear();
        // Again, now that the events are in the cache, as they are when a shard has just made them.
        let began = Instant::now();
        record::encode_turn(part, &mut turn);
        took += began.elapsed();
        turns.push(turn);
    }
    println!("encode in turns of 100: {:.0} ns", took.as_secs_f64() * 1e9 / COUNT as f64);
    let began = Instant::now();
    let mut count = 0;
    for turn in &turns {
        record::decode_turn(turn, |_| count += 1).expect("a turn");
    }
    assert_eq!(count, COUNT);
    each("decode", began);
    let tail = Tail::new(usize::MAX, usize::MAX);
    let began = Instant::now();
    for (id, part) in (1..).zip(events.chunks(100)) {
        tail.insert(throng_server::log::TurnId(id), part);
    }
    each("insert into the tail", began);
    let began = Instant::now();
    let unfolded = tail.unfolded();
    each("take from the tail", began);
    let began = Instant::now();
    tail.folded(&unfolded.rooms);
    each("leave the tail", began);
}

fn quantiles(sorted: &[u32]) -> String {
    let at = |share: f64| {
        let index = ((sorted.len() as f64 * share) as usize).min(sorted.len() - 1);
        f64::from(sorted[index]) / 1000.0
    };
    format!("p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}", at(0.5), at(0.99), at(0.999), at(1.0))
}

fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}
