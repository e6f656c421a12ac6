//! The tail by itself, without a log.

use super::*;
use crate::samples;

fn seqs(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

#[test]
fn it_answers_for_what_it_holds_and_says_where_that_begins() {
    let tail = Tail::new(1 << 20, 1000);
    let room = samples::room(17);
    tail.restore(room, Seq(10));
    tail.insert(TurnId(1), &samples::history(room, 11, 20));
    let look = |span, limit| {
        let look = tail.look(room, span, limit);
        assert_eq!((look.first, look.head), (Seq(11), Seq(20)));
        seqs(&look.events)
    };
    assert_eq!(look(Span::After(Seq(18)), 9), [19, 20]);
    assert_eq!(look(Span::After(Seq(3)), 2), [11, 12]);
    assert_eq!(look(Span::After(Seq(20)), 2), Vec::<u64>::new());
    assert_eq!(look(Span::Before(Seq(14)), 2), [12, 13]);
    assert_eq!(look(Span::Before(Seq(u64::MAX)), 2), [19, 20]);
    assert_eq!(look(Span::Before(Seq(11)), 2), Vec::<u64>::new());
    assert_eq!(tail.after(room, Seq(10), 10).map(|e| e.len()), Some(10));
    assert_eq!(tail.after(room, Seq(10), 9), None, "more than asked for");
    assert_eq!(tail.after(room, Seq(9), 99), None, "does not reach back so far");
    assert_eq!(tail.after(samples::room(99), Seq(0), 9), Some(Vec::new()));
}

#[test]
fn the_log_may_be_trimmed_only_to_where_every_turn_is_here() {
    let tail = Tail::new(1 << 20, 1000);
    tail.replay(TurnId(4), &[]).unwrap();
    tail.insert(TurnId(7), &[]);
    assert_eq!(tail.unfolded().through, TurnId(4));
    tail.insert(TurnId(5), &samples::history(samples::room(1), 1, 3));
    assert_eq!(tail.unfolded().through, TurnId(5));
    tail.insert(TurnId(6), &samples::history(samples::room(2), 1, 3));
    let unfolded = tail.unfolded();
    assert_eq!(unfolded.through, TurnId(7));
    assert_eq!(unfolded.rooms.len(), 2);
}

#[test]
fn what_is_folded_leaves_and_what_came_meanwhile_stays() {
    let tail = Tail::new(1 << 20, 1000);
    let room = samples::room(1);
    tail.insert(TurnId(1), &samples::history(room, 1, 5));
    assert!(tail.since().is_some());
    let unfolded = tail.unfolded();
    tail.insert(TurnId(2), &samples::history(room, 6, 7));
    tail.folded(&unfolded.rooms);
    tail.folded(&unfolded.rooms);
    tail.fold_finished();
    assert_eq!(seqs(&tail.look(room, Span::After(Seq(0)), 99).events), [6, 7]);
    assert_eq!(tail.len(), 2);
    tail.folded(&tail.unfolded().rooms);
    tail.fold_finished();
    assert!(tail.is_empty());
    assert_eq!((tail.bytes(), tail.since()), (0, None));
    assert_eq!(tail.head(room), Seq(7));
    tail.insert(TurnId(3), &samples::history(room, 8, 8));
    assert_eq!(tail.unfolded().rooms.len(), 1, "a room that was emptied is listed again");
}

#[test]
fn edits_and_deletions_are_found_until_they_are_folded_and_the_newest_comes_last() {
    let tail = Tail::new(1 << 20, 1000);
    let room = samples::room(17);
    tail.restore(room, Seq(10));
    let by = || samples::author(1);
    let edit = |seq, of, text: &str| {
        let body = throng_core::Body::parse(text).unwrap();
        samples::event(room, seq, EventKind::Edited { by: by(), of: Seq(of), body })
    };
    let deleted =
        samples::event(room, 13, EventKind::Deleted { by: by(), of: Seq(7), whose: None });
    tail.insert(TurnId(1), &[edit(11, 5, "a"), edit(12, 5, "b"), deleted]);
    let notes = |from, to| -> Vec<(u64, u64)> {
        let notes = tail.notes(room, Seq(from), Seq(to));
        notes.iter().map(|note| (note.of.0, note.seq.0)).collect()
    };
    assert_eq!(notes(1, 10), [(5, 11), (5, 12), (7, 13)]);
    assert_eq!(notes(6, 7), [(7, 13)]);
    tail.folded(&[RoomBatch { room, events: vec![edit(11, 5, "a"), edit(12, 5, "b")] }]);
    assert_eq!(notes(1, 10), [(7, 13)]);
    tail.folded(&tail.unfolded().rooms);
    assert_eq!(notes(1, 10), []);
    assert!(tail.lane(room).changes.is_empty());
}

#[test]
fn a_full_tail_makes_its_sequencers_wait_until_the_fold_has_made_room() {
    let tail = Tail::new(1_000, 1000);
    let room = samples::room(1);
    assert!(tail.wait_for_room(Duration::ZERO));
    tail.insert(TurnId(1), &samples::history(room, 1, 9));
    assert!(!tail.wait_for_room(Duration::ZERO));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tail.wait_for_room(Duration::from_mins(1)));
        tail.folded(&tail.unfolded().rooms);
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn a_fold_takes_off_no_more_than_was_counted_however_far_an_insert_has_come() {
    let tail = Tail::new(1_000, 1000);
    let room = samples::room(1);
    let events = samples::history(room, 1, 9);
    std::thread::scope(|scope| {
        let turns = tail.turns();
        let inserting = scope.spawn(|| tail.insert(TurnId(1), &events));
        while tail.head(room) < Seq(9) {
            std::thread::yield_now();
        }
        // All is pushed, and its turn is not whole yet; a fold has found it.
        tail.folded(&[RoomBatch { room, events: events.clone() }]);
        assert_eq!((tail.len(), tail.bytes()), (0, 0));
        assert!(tail.wait_for_room(Duration::ZERO), "nobody waits for what is not there");
        drop(turns);
        inserting.join().unwrap();
    });
    assert_eq!((tail.len(), tail.bytes()), (0, 0));
}

#[test]
#[should_panic(expected = "densely")]
fn a_gap_is_a_bug_and_is_not_taken() {
    let tail = Tail::new(1_000, 1000);
    tail.insert(TurnId(1), &samples::history(samples::room(1), 2, 3));
}
