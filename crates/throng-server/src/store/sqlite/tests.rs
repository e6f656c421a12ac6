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
