//! What every store must know of what became of messages: edits, deletions, and texts left blank.

use throng_core::{Act, Body, EventKind, Seq};

use super::{Store, fold};
use crate::pages::{Note, Span};
use crate::samples;
use crate::store::Erasing;

pub(super) fn what_became_of_messages_is_kept_beside_them(store: &dyn Store) {
    let room = samples::room(3);
    fold(store, samples::history(room, 1, 100));
    let by = || samples::author(1);
    let edit = |seq, of, text: &str| {
        let body = Body::parse(text).unwrap();
        samples::event(room, seq, EventKind::Edited { by: by(), of: Seq(of), body })
    };
    let delete = |seq, of| {
        samples::event(room, seq, EventKind::Deleted { by: by(), of: Seq(of), whose: None })
    };
    fold(store, vec![edit(101, 7, "a"), edit(102, 70, "b"), edit(103, 7, "c")]);
    fold(store, vec![delete(104, 70), edit(105, 9, "d")]);
    fold(store, vec![edit(105, 9, "d")]);
    let note = |of, seq, text: &str| Note {
        of: Seq(of),
        seq: Seq(seq),
        body: (!text.is_empty()).then(|| Body::parse(text).unwrap()),
    };
    let all = [note(7, 103, "c"), note(9, 105, "d"), note(70, 104, "")];
    let notes = |from, to| store.notes(room, Seq(from), Seq(to)).unwrap();
    assert_eq!(notes(1, 100), all);
    assert_eq!(notes(8, 9), all[1..2]);
    assert_eq!(notes(9, 70), all[1..]);
    assert!(
        notes(10, 69).is_empty()
            && store.notes(samples::room(4), Seq(0), Seq(99)).unwrap().is_empty()
    );
    let has_text = |seq| store.event(room, Seq(seq)).unwrap().unwrap().stands();
    let of = |places: &[u64]| places.iter().map(|seq| has_text(*seq)).collect::<Vec<_>>();
    assert_eq!(of(&[69, 70, 71, 102]), [true, false, true, false], "the deleted one and its edit");
    assert_eq!(of(&[7, 101, 103]), [true, false, true], "an edit that another has replaced");
    fold(store, vec![delete(106, 9), delete(107, 7)]);
    assert_eq!(of(&[7, 8, 9, 10, 101, 103, 105]), [false, true, false, true, false, false, false]);
    let places: Vec<u64> = store
        .page(room, Span::After(Seq(0)), 200)
        .unwrap()
        .iter()
        .map(|event| event.seq.0)
        .collect();
    assert_eq!(places, (1..=107).collect::<Vec<_>>(), "each keeps its place");
}

pub(super) fn a_text_that_was_left_blank_is_kept_as_one_and_goes_as_one(store: &dyn Store) {
    let room = samples::room(3);
    fold(store, samples::history(room, 1, 2));
    let edit = |seq, of, text: &str| {
        let (by, body) = (samples::author(1), Body::beside_files(text).unwrap());
        samples::event(room, seq, EventKind::Edited { by, of: Seq(of), body })
    };
    let blank = |seq| samples::blank(room, seq);
    let look = samples::carrying(room, 4, &[samples::file(1)]);
    fold(store, vec![blank(3), look, blank(5), blank(6)]);
    fold(store, vec![edit(7, 4, ""), edit(8, 5, "a"), edit(9, 5, ""), edit(10, 6, "b")]);
    let note = |of, seq, text: Option<&str>| {
        let body = text.map(|text| Body::beside_files(text).unwrap());
        Note { of: Seq(of), seq: Seq(seq), body }
    };
    let notes = || store.notes(room, Seq(1), Seq(99)).unwrap();
    assert_eq!(notes(), [note(4, 7, Some("")), note(5, 9, Some("")), note(6, 10, Some("b"))]);
    let event = |seq| store.event(room, Seq(seq)).unwrap().unwrap();
    assert_eq!(event(3), blank(3));
    assert_eq!(event(7), edit(7, 4, ""));
    let stands = || (3..=10).map(|seq| event(seq).stands()).collect::<Vec<_>>();
    assert_eq!(stands(), [true, true, true, true, true, false, true, true], "8 was replaced");
    let delete = |seq, of| {
        let (by, of) = (samples::author(1), Seq(of));
        samples::event(room, seq, EventKind::Deleted { by, of, whose: None })
    };
    fold(store, vec![delete(11, 3), delete(12, 5)]);
    assert_eq!(stands(), [false, true, false, true, true, false, false, true]);
    assert_eq!(*event(3), blank(3).erased());
    let gone = [note(3, 11, None), note(4, 7, Some("")), note(5, 12, None), note(6, 10, Some("b"))];
    assert_eq!(notes(), gone);
    let (by, who) = (samples::author(2), samples::author(1));
    let all = EventKind::Moderated { by, who, act: Act::DeleteAll };
    fold(store, vec![samples::event(room, 13, all), blank(14)]);
    while store.erase(Erasing::Swept).unwrap().more {}
    assert_eq!(stands(), [false; 8]);
    assert!(notes().iter().all(|note| note.body.is_none()), "{:?}", notes());
    assert_eq!(event(14), blank(14), "what is said after it stays");
}
