//! The store in a file.

use super::*;
use crate::samples;
use crate::store::suite;

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("store.db"), &StoreOptions::default()).unwrap()
}

#[test]
fn it_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let mut folders = samples::folders(folder.path());
    suite::run(&mut || Arc::new(open(&folders())));
}

#[test]
fn packed_blocks_pass_the_suite_and_are_read_whatever_the_setting_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut folders = samples::folders(folder.path());
    let open_as = |folder: &Path, packs: bool| {
        let pack_from = packs.then_some(256);
        let options = StoreOptions { pack_from, ..StoreOptions::default() };
        SqliteStore::open(&folder.join("store.db"), &options).unwrap()
    };
    suite::run(&mut || Arc::new(open_as(&folders(), true)));
    let (folder, room) = (folders(), samples::room(3));
    let history = samples::history(room, 1, 1_000);
    for (i, events) in history.chunks(150).enumerate() {
        suite::fold(&open_as(&folder, i % 2 == 0), events.to_vec());
    }
    let store = open_as(&folder, false);
    assert_eq!(store.page(room, Span::After(Seq(0)), 9_999).unwrap(), history);
    let select = "SELECT substr(bytes, 1, 1) FROM blocks";
    let writer = store.writer();
    let mut select = writer.connection.prepare(select).unwrap();
    let kinds = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let kinds: std::collections::BTreeSet<_> = kinds.map(Result::unwrap).collect();
    assert_eq!(kinds.len(), 2, "some of either kind");
}

#[test]
fn a_reopened_store_goes_on_in_the_middle_of_a_block() {
    let folder = tempfile::tempdir().unwrap();
    let room = samples::room(3);
    let history = samples::history(room, 1, 200);
    for (from, to) in [(0, 10), (10, 70), (70, 71), (71, 200)] {
        let store = open(folder.path());
        let events = history[from..to].to_vec();
        store.fold(&[RoomBatch { room, events }]).unwrap();
        store.sync().unwrap();
    }
    let store = open(folder.path());
    assert_eq!(store.page(room, Span::After(Seq(0)), 1000).unwrap(), history);
    let blocks: i64 = store
        .writer()
        .connection
        .query_row("SELECT count(*) FROM blocks", [], |row| row.get(0))
        .unwrap();
    assert_eq!(blocks, 200_i64.div_euclid(64) + 1, "and filled the blocks it found");
}

#[test]
fn a_block_that_was_damaged_is_named_and_other_rooms_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    suite::fold(&store, samples::history(samples::room(1), 1, 5));
    suite::fold(&store, samples::history(samples::room(2), 1, 5));
    let damage = "UPDATE blocks SET bytes = zeroblob(length(bytes)) WHERE id >> 40 = 1";
    store.writer().connection.execute(damage, []).unwrap();
    let refused = store.page(samples::room(1), Span::After(Seq(0)), 10).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    assert!(refused.to_string().contains("room 1"), "{refused}");
    assert_eq!(store.page(samples::room(2), Span::After(Seq(0)), 10).unwrap().len(), 5);
}

#[test]
fn a_deleted_text_is_not_in_the_file_any_more_and_its_id_still_is() {
    let folder = tempfile::tempdir().unwrap();
    let room = samples::room(3);
    let store = open(folder.path());
    let mut history = samples::history(room, 1, 200);
    let said = |seq: u64, text: &str, history: &mut Vec<Arc<Event>>| {
        let mut event = Event::clone(&history[seq as usize - 1]);
        let EventKind::Posted { body, origin_id, .. } = &mut event.kind else { panic!("a post") };
        *body = throng_core::Body::parse(text).unwrap();
        *origin_id = Some(throng_core::OriginId::parse(format!("id-of-{seq}")).unwrap());
        history[seq as usize - 1] = Arc::new(event);
    };
    said(20, "regretted-long-ago", &mut history);
    said(199, "regretted-at-once", &mut history);
    let delete = |seq, of| {
        let by = samples::author(1);
        samples::event(room, seq, EventKind::Deleted { by, of: Seq(of), whose: None })
    };
    suite::fold(&store, history);
    suite::fold(&store, vec![delete(201, 20), delete(202, 199)]);
    store.sync().unwrap();
    let file = std::fs::read(folder.path().join("store.db")).unwrap();
    let has = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(!has("regretted"), "neither in a block nor in the free part of a page");
    assert!(has("id-of-20") && has("id-of-199"));
    drop(store);
    let page = open(folder.path()).page(room, Span::After(Seq(0)), 999).unwrap();
    assert_eq!(page.len(), 202);
    let bare = page.iter().filter(|event| !event.stands()).count();
    assert_eq!(bare, 6, "made, joined, twice deleted, and what was deleted");
}

#[test]
fn blocks_that_are_old_enough_go_and_the_disk_has_their_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let room = samples::room(3);
    let store = open(folder.path());
    let long = |seq: u64| {
        let mut event = Event::clone(&samples::post(room, seq));
        let EventKind::Posted { body, .. } = &mut event.kind else { panic!("a post") };
        *body = throng_core::Body::parse(format!("long-ago-{seq} {}", "x".repeat(3_000))).unwrap();
        Arc::new(event)
    };
    suite::fold(&store, samples::history(room, 1, 2));
    for from in (3..2_003).step_by(100) {
        suite::fold(&store, (from..from + 100).map(long).collect());
    }
    store.sync().unwrap();
    let len = || std::fs::metadata(folder.path().join("store.db")).unwrap().len();
    let before = len();
    assert!(before > 6_000_000, "{before}");
    let at = |seq: u64| Timestamp(1_760_000_000_000 + seq * 7);
    let drain = |what| {
        while store.erase(what).unwrap().more {
            store.sync().unwrap();
        }
        store.sync().unwrap();
    };
    drain(Erasing::Old { room, texts: at(1_900), places: at(1_000) });
    drain(Erasing::Remains);
    let page = store.page(room, Span::After(Seq(0)), 9_999).unwrap();
    let first = page[0].seq.0;
    assert!((900..=1_000).contains(&first), "whole blocks, and none that is needed: {first}");
    assert!(page.iter().map(|event| event.seq.0).eq(first..=2_002));
    assert!(page.iter().all(|event| event.stands() == (event.seq.0 >= 1_900)));
    assert!(len() < before / 3, "{} of {before}", len());
    for name in ["store.db", "store.db-wal"] {
        let file = std::fs::read(folder.path().join(name)).unwrap();
        let has = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(!(3..1_900).step_by(37).any(|seq| has(&format!("long-ago-{seq} "))), "{name}");
        assert!(name != "store.db" || has("long-ago-1900 "));
    }
    drain(Erasing::Old { room, texts: at(9_999), places: at(9_999) });
    drop(store);
    let store = open(folder.path());
    suite::fold(&store, vec![long(2_003)]);
    let page = store.page(room, Span::Before(Seq(9_999)), 9_999).unwrap();
    assert!(page.len() <= 64, "the newest block stays, so that the fold goes on: {}", page.len());
    assert_eq!(page.last().unwrap().seq, Seq(2_003));
}

#[test]
fn the_file_of_an_older_build_does_not_become_smaller_and_erasing_ends_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let old = Connection::open(&path).unwrap();
    let made = format!(
        "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; BEGIN; {};
         PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        KIND.schema, KIND.application_id, KIND.version
    );
    old.execute_batch(&made).unwrap();
    drop(old);
    let store = open(folder.path());
    let room = samples::room(1);
    let long = "x".repeat(8_000);
    let post = |seq| {
        let mut event = Event::clone(&samples::post(room, seq));
        let EventKind::Posted { body, .. } = &mut event.kind else { panic!("a post") };
        *body = throng_core::Body::parse(long.clone()).unwrap();
        Arc::new(event)
    };
    suite::fold(&store, samples::history(room, 1, 2));
    suite::fold(&store, (3..600).map(post).collect());
    store.sync().unwrap();
    let before = std::fs::metadata(&path).unwrap().len();
    let later = Timestamp(u64::MAX >> 1);
    while store.erase(Erasing::Old { room, texts: later, places: later }).unwrap().more {}
    assert_eq!(store.erase(Erasing::Remains).unwrap(), Erased::default());
    suite::fold(&store, (600..900).map(post).collect());
    store.sync().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before, "what is free is used again");
}

#[test]
fn mentions_of_an_older_build_go_when_the_texts_of_their_sender_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let room = samples::room(3);
    suite::fold(&store, samples::history(room, 1, 2));
    suite::fold(&store, vec![samples::carrying(room, 3, &[])]);
    // It did not say who sent them.
    store.writer().connection.execute("UPDATE mentions SET sender = 0", []).unwrap();
    let (by, who) = (samples::author(9), samples::author(1));
    let swept = EventKind::Moderated { by, who, act: Act::DeleteAll };
    suite::fold(&store, vec![samples::event(room, 4, swept)]);
    let mentioned = || store.mentions(room, samples::author(3).id, Seq(0), 9).unwrap();
    assert_eq!(mentioned(), [(Seq(3), 0)]);
    while store.erase(Erasing::Swept).unwrap().more {}
    assert_eq!(mentioned(), []);
}
