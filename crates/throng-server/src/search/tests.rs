//! The search as a whole, over a tail and a store in memory: what is found, by whom, and what is not
//! any more.

use std::collections::BTreeSet;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use throng_core::{Body, Epoch, Seq};

use super::*;
use crate::fold::Folder;
use crate::log::{MemoryLog, TurnId};
use crate::pages::Span;
use crate::samples;
use crate::store::MemoryStore;
use crate::tail::Tail;

struct Bench {
    tail: Arc<Tail>,
    folder: Folder,
    history: History,
    clock: Clock,
    turns: u64,
}

impl Bench {
    fn new() -> Self {
        let tail = Arc::new(Tail::new(1 << 24, 100_000));
        let store = Arc::new(MemoryStore::new(1 << 24));
        let log = Arc::new(MemoryLog::new(Epoch(1), 1 << 24));
        let folder = Folder::new(Arc::clone(&tail), log, store.clone());
        let history = History::new(Arc::clone(&tail), store);
        Self { tail, folder, history, clock: Clock::manual(), turns: 0 }
    }

    fn say(&mut self, room: u32, kinds: Vec<EventKind>) {
        let room = samples::room(room);
        let head = self.tail.head(room).0;
        let events: Vec<_> =
            (head + 1..).zip(kinds).map(|(seq, kind)| samples::event(room, seq, kind)).collect();
        self.turns += 1;
        self.tail.insert(TurnId(self.turns), &events);
    }

    fn posts(&mut self, room: u32, texts: &[&str]) {
        let kinds = texts.iter().map(|text| post(1, text)).collect();
        self.say(room, kinds);
    }

    /// The room's first two events, which are no posts.
    fn make(&mut self, room: u32) {
        self.turns += 1;
        self.tail.insert(TurnId(self.turns), &samples::history(samples::room(room), 1, 2));
    }

    fn open(&self, folder: Option<&Path>, time_max: Duration) -> (Arc<Indexer>, Search) {
        let index = Arc::new(Index::open(folder, Epoch(1)).unwrap());
        let (tail, history) = (Arc::clone(&self.tail), self.history.clone());
        let indexer = Indexer::new(Arc::clone(&index), tail, history, self.clock.clone());
        let status = indexer.status();
        let (history, clock) = (self.history.clone(), self.clock.clone());
        (Arc::new(indexer), Search::new(index, history, status, clock, time_max))
    }

    fn indexed(&self) -> Search {
        let (indexer, search) = self.open(None, Duration::from_secs(1));
        indexer.catch_up().unwrap();
        search
    }
}

fn post(author: u64, text: &str) -> EventKind {
    let (author, body) = (samples::author(author), Body::parse(text).unwrap());
    EventKind::Posted { n: 1, author, origin_id: None, body, extras: None }
}

fn edit(of: u64, text: &str) -> EventKind {
    let body = Body::beside_files(text).unwrap();
    EventKind::Edited { by: samples::author(1), of: Seq(of), body }
}

fn delete(of: u64) -> EventKind {
    EventKind::Deleted { by: samples::author(1), of: Seq(of), whose: None }
}

fn sought(query: &str) -> Sought {
    Sought {
        query: Query::parse(query).unwrap(),
        sender: None,
        since: None,
        until: None,
        newest: false,
        skip: 0,
        limit: 50,
    }
}

fn scopes(rooms: &[u32]) -> Vec<Scope> {
    rooms
        .iter()
        .map(|room| Scope { room: samples::room(*room), from: Seq(1), since: Timestamp(0) })
        .collect()
}

fn places(found: &Found) -> Vec<(u32, u64)> {
    let mut places: Vec<_> =
        found.hits.iter().map(|hit| (hit.event.room.get(), hit.event.seq.0)).collect();
    places.sort_unstable();
    places
}

fn find(search: &Search, rooms: &[u32], query: &str) -> Vec<(u32, u64)> {
    let all = Sought { limit: 1_000, ..sought(query) };
    let found = search.find(&scopes(rooms), &all).unwrap();
    let counted: u32 = found.counts.iter().map(|(_, count)| count).sum();
    assert_eq!(counted as usize, found.hits.len(), "{query}");
    assert!(found.counts.iter().all(|(room, _)| rooms.contains(&room.get())), "{query}");
    places(&found)
}

#[test]
fn only_the_rooms_asked_for_are_found_and_counted_and_only_from_the_place_given() {
    let mut bench = Bench::new();
    for room in 1..=3 {
        bench.posts(room, &["tea first", "cake", "tea again"]);
    }
    let search = bench.indexed();
    assert_eq!(find(&search, &[1, 3], "tea"), [(1, 1), (1, 3), (3, 1), (3, 3)]);
    assert_eq!(find(&search, &[], "tea"), []);
    let from = [Scope { room: samples::room(2), from: Seq(2), since: Timestamp(0) }];
    let found = search.find(&from, &sought("tea")).unwrap();
    assert_eq!((places(&found), found.counts), (vec![(2, 3)], vec![(samples::room(2), 1)]));
}

#[test]
fn a_sender_and_times_narrow_what_is_found() {
    let mut bench = Bench::new();
    bench.say(1, vec![post(1, "tea"), post(2, "tea"), post(12, "tea"), post(1, "tea")]);
    let search = bench.indexed();
    let ask = |change: &dyn Fn(&mut Sought)| {
        let mut sought = sought("tea");
        change(&mut sought);
        let found = search.find(&scopes(&[1]), &sought).unwrap();
        places(&found).into_iter().map(|(_, seq)| seq).collect::<Vec<_>>()
    };
    assert_eq!(ask(&|it| it.sender = UserId::new(1)), [1, 4]);
    assert_eq!(ask(&|it| it.sender = UserId::new(2)), [2]);
    let at = |seq: u64| samples::event(samples::room(1), seq, delete(1)).at;
    assert_eq!(ask(&|it| it.since = Some(at(2))), [2, 3, 4]);
    assert_eq!(ask(&|it| it.until = Some(at(2))), [1]);
    let both = |it: &mut Sought| (it.since, it.until) = (Some(at(2)), Some(at(4)));
    assert_eq!(ask(&both), [2, 3]);
    assert_eq!(ask(&|it| (it.since, it.until) = (Some(at(3)), Some(at(3)))), [0; 0]);
    assert_eq!(ask(&|it| it.since = Some(Timestamp(u64::MAX))), [0; 0]);
}

#[test]
fn pages_follow_each_other_by_what_the_last_one_says() {
    let mut bench = Bench::new();
    let texts: Vec<String> = (1..=7).map(|n| format!("tea {n}")).collect();
    bench.posts(1, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let search = bench.indexed();
    let (mut seen, mut skip) = (Vec::new(), 0);
    loop {
        let asked = Sought { newest: true, skip, limit: 3, ..sought("tea") };
        let found = search.find(&scopes(&[1]), &asked).unwrap();
        seen.extend(found.hits.iter().map(|hit| hit.event.seq.0));
        skip = found.next;
        if skip == 0 {
            break;
        }
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn an_edited_text_is_found_by_its_newest_words_and_a_deleted_one_by_none() {
    let mut bench = Bench::new();
    bench.posts(1, &["secret one", "secret two", "secret three"]);
    let (indexer, search) = bench.open(None, Duration::from_secs(1));
    indexer.catch_up().unwrap();
    bench.say(1, vec![edit(1, "plain words"), delete(2)]);
    // Not indexed yet: what is deleted is not shown all the same.
    let found = search.find(&scopes(&[1]), &sought("secret")).unwrap();
    assert_eq!(places(&found), [(1, 3)]);
    indexer.catch_up().unwrap();
    assert_eq!(find(&search, &[1], "secret"), [(1, 3)]);
    assert_eq!(find(&search, &[1], "plain"), [(1, 1)]);
    bench.say(1, vec![edit(1, "other words")]);
    indexer.catch_up().unwrap();
    assert_eq!(find(&search, &[1], "plain"), []);
    assert_eq!(find(&search, &[1], "other"), [(1, 1)]);
}

#[test]
fn when_all_of_one_sender_is_taken_away_no_word_of_it_is_found_but_what_came_later() {
    let mut bench = Bench::new();
    bench.say(1, vec![post(1, "tea"), post(2, "tea"), post(12, "tea")]);
    let act = throng_core::Act::DeleteAll;
    let (by, who) = (samples::author(1), samples::author(2));
    bench.say(1, vec![EventKind::Moderated { by, who, act }, post(2, "tea")]);
    assert_eq!(find(&bench.indexed(), &[1], "tea"), [(1, 1), (1, 3), (1, 5)]);
}

/// Whether any file of the folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        file.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn a_deleted_text_leaves_the_file_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new();
    let (indexer, search) = bench.open(Some(folder.path()), Duration::from_secs(1));
    let texts: Vec<String> = (0..500).map(|n| format!("filler{n} quokkaword{n} wombat")).collect();
    bench.posts(1, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    indexer.catch_up().unwrap();
    assert!(holds(folder.path(), b"quokkaword250"));
    bench.say(1, vec![delete(251), edit(252, "harmless")]);
    indexer.catch_up().unwrap();
    for gone in [&b"quokkaword250"[..], b"quokkaword251", b"filler250"] {
        assert!(!holds(folder.path(), gone), "{}", String::from_utf8_lossy(gone));
    }
    assert!(holds(folder.path(), b"quokkaword252"), "the others stay");
    assert_eq!(find(&search, &[1], "quokkaword252").len(), 1);
}

#[test]
fn a_text_that_is_left_blank_is_found_no_more_and_leaves_the_file_and_one_given_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new();
    let (indexer, search) = bench.open(Some(folder.path()), Duration::from_secs(1));
    let mut kind = samples::blank(samples::room(1), 2).kind.clone();
    if let EventKind::Posted { n, .. } = &mut kind {
        *n = 1;
    }
    bench.say(1, vec![post(1, "quokkaword"), kind]);
    indexer.catch_up().unwrap();
    assert_eq!(find(&search, &[1], "quokkaword"), [(1, 1)]);
    bench.say(1, vec![edit(1, ""), edit(2, "wombatword")]);
    let found = search.find(&scopes(&[1]), &sought("quokkaword")).unwrap();
    assert!(found.hits.is_empty(), "not even before it is taken in");
    indexer.catch_up().unwrap();
    assert_eq!(find(&search, &[1], "wombatword"), [(1, 2)]);
    assert!(!holds(folder.path(), b"quokkaword"));
}

#[test]
fn an_index_of_an_earlier_build_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new();
    bench.posts(1, &["η οδός"]);
    drop(Index::open(Some(folder.path()), Epoch(1)).unwrap());
    let old = rusqlite::Connection::open(folder.path().join("search.db")).unwrap();
    // It had all of the room, and knew that word by another spelling.
    old.execute_batch("INSERT INTO progress VALUES (1, 1); PRAGMA user_version = 2").unwrap();
    drop(old);
    let (indexer, search) = bench.open(Some(folder.path()), Duration::from_secs(1));
    indexer.catch_up().unwrap();
    assert_eq!(find(&search, &[1], "ΟΔΟΣ"), [(1, 1)]);
    assert_eq!(find(&search, &[1], "οδός"), [(1, 1)]);
}

#[test]
fn the_wal_is_carried_into_the_file_now_and_then_not_after_each_batch() {
    let (mut bench, folder) = (Bench::new(), tempfile::tempdir().unwrap());
    let (indexer, _search) = bench.open(Some(folder.path()), Duration::from_secs(1));
    let len = |name: &str| folder.path().join(name).metadata().unwrap().len();
    let begun = len("search.db");
    bench.posts(1, &["tea"]);
    indexer.catch_up().unwrap();
    assert_eq!(len("search.db"), begun, "a batch of one waits for more");
    for _ in 0..400 {
        bench.posts(1, &["tea and cake ".repeat(300).as_str()]);
        indexer.catch_up().unwrap();
    }
    let (file, wal) = (len("search.db"), len("search.db-wal"));
    assert!(file > 1_000_000 && wal < 2 * file, "1.5 MB of text: a file of {file}, a WAL of {wal}");
    assert!(wal < 8 << 20, "a WAL of {wal}");
}

#[test]
fn a_room_that_speaks_alone_has_a_whole_transaction_and_many_share_one() {
    use std::sync::atomic::Ordering::Relaxed;
    for (rooms, each, batches) in [(1, 2_048, 1), (1, 2_049, 2), (2, 1_024, 1), (2, 1_025, 2)] {
        let mut bench = Bench::new();
        for room in 1..=rooms {
            bench.posts(room, &vec!["tea"; each]);
        }
        let (indexer, _search) = bench.open(None, Duration::from_secs(1));
        indexer.catch_up().unwrap();
        let status = indexer.status();
        assert_eq!(status.events.load(Relaxed), u64::from(rooms) * each as u64);
        assert_eq!(status.batches.load(Relaxed), batches, "{rooms} rooms of {each}");
    }
}

#[test]
fn however_often_little_is_said_a_question_looks_through_few_segments() {
    let mut bench = Bench::new();
    let (indexer, search) = bench.open(None, Duration::from_secs(1));
    let segments = || {
        let count = "SELECT count(DISTINCT id >> 37) FROM messages_data WHERE id > 10";
        let index = indexer.index_for_test().readers.lease();
        index.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    let mut most = 0;
    for _ in 0..300 {
        bench.posts(1, &["tea"]);
        indexer.catch_up().unwrap();
        most = most.max(segments());
    }
    assert!((2..=80).contains(&most), "{most}: some are left for later, and not all");
    assert_eq!(find(&search, &[1], "tea").len(), 300);
}

#[test]
fn messages_whose_keys_are_alike_stand_beside_each_other() {
    let mut bench = Bench::new();
    let rooms = [3, 3 + (1 << 17), 3 + (2 << 17)];
    for room in rooms {
        bench.posts(room, &["tea"]);
    }
    let (indexer, search) = bench.open(None, Duration::from_secs(1));
    indexer.catch_up().unwrap();
    assert_eq!(find(&search, &rooms, "tea"), rooms.map(|room| (room, 1)));
    bench.say(rooms[0], vec![delete(1)]);
    indexer.catch_up().unwrap();
    bench.say(rooms[1], vec![edit(1, "milk")]);
    bench.say(rooms[2], vec![edit(1, "tea and milk")]);
    indexer.catch_up().unwrap();
    assert_eq!(find(&search, &rooms, "tea"), [(rooms[2], 1)]);
    assert_eq!(find(&search, &rooms, "milk"), [(rooms[1], 1), (rooms[2], 1)]);
}

#[test]
fn an_index_that_is_lost_damaged_or_of_another_life_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::new();
    bench.make(1);
    bench.posts(1, &["tea"]);
    bench.folder.fold_now().unwrap();
    let open = |bench: &Bench| bench.open(Some(folder.path()), Duration::from_secs(1));
    let index_all = |bench: &Bench| {
        // A start begins with every room.
        bench.tail.restore(samples::room(1), bench.tail.head(samples::room(1)));
        let (indexer, search) = open(bench);
        indexer.catch_up().unwrap();
        let events = indexer.status().events.load(std::sync::atomic::Ordering::Relaxed);
        (find(&search, &[1], "tea").len(), events)
    };
    let file = folder.path().join("search.db");
    assert_eq!(index_all(&bench), (1, 3));
    assert_eq!(index_all(&bench), (1, 0), "it goes on where it was");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(index_all(&bench), (1, 3), "lost");
    std::fs::write(&file, vec![7; 8192]).unwrap();
    assert_eq!(index_all(&bench), (1, 3), "damaged");
    open(&bench).0.index_for_test().give_up();
    assert_eq!(index_all(&bench), (1, 3), "given up");
    drop(Index::open(Some(folder.path()), Epoch(2)).unwrap());
    assert_eq!(index_all(&bench), (1, 3), "of another life");
    // The folder was put back to a day when less had been said.
    bench.posts(1, &["more tea"]);
    assert_eq!(index_all(&bench), (2, 1));
    let mut earlier = Bench::new();
    earlier.make(1);
    earlier.posts(1, &["tea"]);
    assert_eq!(index_all(&earlier), (1, 3));
}

#[test]
fn a_search_whose_time_is_up_tells_what_it_has() {
    let mut bench = Bench::new();
    let texts = vec!["tea"; 1_000];
    bench.posts(1, &texts);
    bench.posts(2, &texts);
    for (time, whole) in [(Duration::from_secs(1), true), (Duration::ZERO, false)] {
        let (indexer, search) = bench.open(None, time);
        bench.tail.restore(samples::room(1), Seq(1_000));
        bench.tail.restore(samples::room(2), Seq(1_000));
        indexer.catch_up().unwrap();
        let found = search.find(&scopes(&[1, 2]), &sought("tea")).unwrap();
        assert!(found.more);
        let counted: u32 = found.counts.iter().map(|(_, count)| count).sum();
        assert_eq!(counted == 1_000, whole, "{counted}");
    }
}

const WORDS: [&str; 12] = [
    "tea",
    "teapot",
    "teapots",
    "green",
    "Grün",
    "milk",
    "e-mail",
    "東京",
    "東京タワー",
    "猫",
    "ねこ",
    "mat",
];

#[test]
fn what_is_found_is_what_a_walk_through_the_history_would_find() {
    let one = std::env::var("THRONG_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in one.map_or(1..=12, |seed| seed..=seed) {
        compare_with_a_walk(seed);
    }
}

fn words(chance: &mut SmallRng) -> String {
    let count = chance.random_range(1..=5);
    let words = (0..count).map(|_| WORDS[chance.random_range(0..WORDS.len())]);
    words.collect::<Vec<_>>().join(" ")
}

fn compare_with_a_walk(seed: u64) {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut bench = Bench::new();
    let (indexer, search) = bench.open(None, Duration::from_mins(1));
    (1..=8).for_each(|room| bench.make(room));
    for _ in 0..120 {
        let room = chance.random_range(1..=8);
        let head = bench.tail.head(samples::room(room)).0;
        let of = chance.random_range(1..=head.max(1));
        let kind = match chance.random_range(0..10) {
            0 if head > 0 => delete(of),
            1 if head > 0 && chance.random_bool(0.3) => edit(of, ""),
            1 if head > 0 => edit(of, &words(&mut chance)),
            _ => post(1, &words(&mut chance)),
        };
        let lawful = kind.changes().is_none_or(|of| {
            let shown = bench.history.shown(samples::room(room), of).unwrap();
            shown.is_some_and(
                |it| matches!(&it.kind, EventKind::Posted { body, .. } if !body.is_erased()),
            )
        });
        if lawful {
            bench.say(room, vec![kind]);
        }
        if chance.random_bool(0.1) {
            bench.folder.fold_now().unwrap();
        }
        if chance.random_bool(0.1) {
            indexer.catch_up().unwrap();
        }
    }
    indexer.catch_up().unwrap();
    let queries = [
        "tea",
        "te*",
        "teap*",
        "teapot*",
        "\"green tea\"",
        "\"green te\"*",
        "grun",
        "mail",
        "東京",
        "東京タ",
        "東京タワー",
        "京",
        "猫",
        "tea -milk",
        "-te* milk",
        "\"東京 tea\"",
        "ねこ mat",
    ];
    for query in queries {
        for rooms in [&[1, 2, 3, 4, 5, 6, 7, 8][..], &[2, 5], &[1, 3, 4, 6, 7, 8]] {
            let parsed = Query::parse(query).unwrap();
            let mut expected = BTreeSet::new();
            for room in rooms {
                let room = samples::room(*room);
                let mut events = bench.history.page(room, Span::After(Seq(0)), 1_000).unwrap();
                bench.history.show(room, &mut events).unwrap();
                let hits = events.into_iter().filter_map(|event| hit(&parsed, event));
                expected.extend(hits.map(|hit| (hit.event.room.get(), hit.event.seq.0)));
            }
            let found: BTreeSet<_> = find(&search, rooms, query).into_iter().collect();
            assert_eq!(found, expected, "{query} in {rooms:?}, THRONG_SEED={seed}");
        }
    }
}
