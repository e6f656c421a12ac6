//! Start-up: what the store has of every room, then the log's turns that it has not.
//!
//! Neighbours: `app` gives it the log and the store and hands what it finds to the shards and the
//! directory; the tail it returns is filled. It trusts only what is on disk.

use std::sync::Arc;

use throng_core::Event;

use crate::log::{Log, LogError, TurnId};
use crate::record;
use crate::store::{RoomSnapshot, Store, StoreError};
use crate::tail::Tail;

/// What kept the server from starting.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Calls `restore` with every room of the store and then `replay` with every event of the log that
/// the store does not have, in order; returns the tail that holds those events. An event that
/// `replay` refuses is one that does not follow: log and store are not of one piece.
pub fn recover(
    log: &dyn Log,
    store: &dyn Store,
    bytes_max: usize,
    fold_events: usize,
    restore: &mut dyn FnMut(RoomSnapshot),
    replay: &mut dyn FnMut(&Arc<Event>) -> Result<(), String>,
) -> Result<Tail, RecoveryError> {
    let tail = Tail::new(bytes_max, fold_events);
    store.rooms(&mut |room| {
        tail.restore(room.room, room.head);
        restore(room);
    })?;
    log.replay(TurnId(0), &mut |turn, bytes| {
        let mut events = Vec::new();
        let decoded = record::decode_turn(bytes, |event| events.push(Arc::new(event)));
        decoded.map_err(|error| error.to_string())?;
        events.retain(|event| event.seq > tail.head(event.room));
        tail.replay(turn, &events)?;
        events.iter().try_for_each(&mut *replay)
    })?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use throng_core::{Epoch, Seq};

    use super::*;
    use crate::fold::Folder;
    use crate::log::MemoryLog;
    use crate::pages::Span;
    use crate::samples;
    use crate::store::MemoryStore;

    fn append(log: &MemoryLog, events: &[Arc<Event>]) -> TurnId {
        let mut turn = Vec::new();
        record::encode_turn(events, &mut turn);
        log.append(&turn).unwrap()
    }

    #[test]
    fn a_start_finds_the_rooms_and_only_the_events_that_were_not_folded() {
        let log = Arc::new(MemoryLog::new(Epoch(1), 1 << 20));
        let store = Arc::new(MemoryStore::new(1 << 20));
        let (one, two) = (samples::room(1), samples::room(2));
        let first = Arc::new(Tail::new(1 << 20, 1000));
        let mut events = samples::history(one, 1, 6);
        first.insert(append(&log, &events), &events);
        Folder::new(first, Arc::new(MemoryLog::new(Epoch(1), 9)), store.clone())
            .fold_now()
            .unwrap();
        // The log was not trimmed: the next turn and the folded one are both in it.
        events = samples::history(one, 7, 8);
        events.extend(samples::history(two, 1, 3));
        append(&log, &events);

        let (mut rooms, mut replayed) = (Vec::new(), Vec::new());
        let tail = recover(
            &*log,
            &*store,
            1 << 20,
            1000,
            &mut |room| rooms.push((room.room, room.head)),
            &mut |event| {
                replayed.push(event.clone());
                Ok(())
            },
        );
        let tail = Arc::new(tail.unwrap());
        assert_eq!(rooms, [(one, Seq(6))]);
        assert_eq!(replayed, events);
        assert_eq!((tail.head(one), tail.head(two), tail.len()), (Seq(8), Seq(3), 5));

        let folder = Folder::new(tail.clone(), log.clone(), store.clone());
        folder.fold_now().unwrap();
        assert!(crate::log::suite::turns(&*log, TurnId(0)).is_empty(), "trimmed behind the fold");
        let page = store.page(one, Span::After(Seq(0)), 99).unwrap();
        assert_eq!(page, samples::history(one, 1, 8));
        let more = samples::history(two, 4, 4);
        tail.insert(append(&log, &more), &more);
        assert_eq!(tail.head(two), Seq(4), "and goes on");
    }

    #[test]
    fn a_log_that_does_not_go_on_where_the_store_ends_is_refused() {
        let log = MemoryLog::new(Epoch(1), 1 << 20);
        let store = MemoryStore::new(1 << 20);
        append(&log, &samples::history(samples::room(1), 5, 6));
        let refused =
            recover(&log, &store, 1 << 20, 1000, &mut |_| (), &mut |_| Ok(())).unwrap_err();
        assert!(refused.to_string().contains("room 1 goes on at 5"), "{refused}");
    }

    #[test]
    fn bytes_that_are_no_turn_are_refused() {
        let log = MemoryLog::new(Epoch(1), 1 << 20);
        let store = MemoryStore::new(1 << 20);
        log.append(b"not a turn").unwrap();
        assert!(matches!(
            recover(&log, &store, 1 << 20, 1000, &mut |_| (), &mut |_| Ok(())),
            Err(RecoveryError::Log(LogError::Corrupt { at: TurnId(1), .. }))
        ));
    }
}
