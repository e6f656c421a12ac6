//! What every store must do when it is told to erase.

use throng_core::{Act, Body, Event, EventKind, Kind, Reaction, RoomId, RoomName, Seq, Timestamp};

use super::{Store, fold};
use crate::leavers::Names;
use crate::pages::Span;
use crate::samples;
use crate::store::{Erased, Erasing};

/// When the samples say that an event was decided.
fn at(seq: u64) -> Timestamp {
    Timestamp(1_760_000_000_000 + seq * 7)
}

fn erase(store: &dyn Store, what: Erasing) {
    while store.erase(what).unwrap().more {}
    store.sync().unwrap();
    assert_eq!(store.erase(what).unwrap(), Erased::default(), "there is nothing left to do");
}

fn old(room: RoomId, texts: Timestamp) -> Erasing {
    Erasing::Old { room, texts, places: Timestamp(0) }
}

/// Which places of a room have a text.
fn texts(store: &dyn Store, room: RoomId) -> Vec<u64> {
    let page = store.page(room, Span::After(Seq(0)), 9_999).unwrap();
    page.iter().filter(|event| event.stands()).map(|event| event.seq.0).collect()
}

pub(super) fn what_is_old_loses_its_text_and_what_was_said_of_it_and_nothing_else_does(
    store: &dyn Store,
) {
    let (room, other) = (samples::room(3), samples::room(4));
    fold(store, samples::history(room, 1, 300));
    fold(store, samples::history(other, 1, 300));
    let by = || samples::author(1);
    let edit = |seq, of| {
        let body = Body::parse("edited").unwrap();
        samples::event(room, seq, EventKind::Edited { by: by(), of: Seq(of), body })
    };
    let react = |seq, of| {
        let reaction = Reaction::parse("+1").unwrap();
        let kind = EventKind::Reacted { by: by(), of: Seq(of), reaction, on: true, count: 1 };
        samples::event(room, seq, kind)
    };
    fold(store, vec![edit(301, 10), edit(302, 290), react(303, 10), react(304, 290)]);
    let pinned = EventKind::Pinned { by: by(), of: Seq(10), on: true };
    fold(store, vec![samples::event(room, 305, pinned)]);
    erase(store, old(room, at(200)));
    let kept: Vec<u64> = (200..=300).chain([302]).collect();
    assert_eq!(texts(store, room), kept);
    assert_eq!(texts(store, other), (3..=300).collect::<Vec<u64>>());
    let event = store.event(room, Seq(50)).unwrap().unwrap();
    assert_eq!(*event, samples::post(room, 50).erased(), "its place and its id stay");
    let notes = store.notes(room, Seq(1), Seq(400)).unwrap();
    assert_eq!(notes.iter().map(|note| note.of.0).collect::<Vec<_>>(), [290]);
    let tallies = store.reactions(room, Seq(1), Seq(400), by().id).unwrap();
    assert_eq!(tallies.iter().map(|(of, _)| of.0).collect::<Vec<_>>(), [290]);
    assert!(store.pins(room).unwrap().is_empty());
    // Decided just before, and folded after.
    fold(store, vec![edit(306, 199), react(307, 199), edit(308, 200), react(309, 200)]);
    let has_text = |seq| store.event(room, Seq(seq)).unwrap().unwrap().stands();
    assert_eq!([has_text(306), has_text(308)], [false, true]);
    let notes = store.notes(room, Seq(199), Seq(200)).unwrap();
    assert_eq!(notes.iter().map(|note| note.of.0).collect::<Vec<_>>(), [200]);
    let tallies = store.reactions(room, Seq(199), Seq(200), by().id).unwrap();
    assert_eq!(tallies.iter().map(|(of, _)| of.0).collect::<Vec<_>>(), [200]);
    let snapshot = super::rooms(store).remove(0);
    assert_eq!((snapshot.head, snapshot.posts), (Seq(309), 298));
}

pub(super) fn the_first_place_since_a_time_is_found(store: &dyn Store) {
    let room = samples::room(3);
    fold(store, samples::history(room, 1, 300));
    let since = |at| store.first_since(room, at).unwrap().map(|seq| seq.0);
    for seq in [1, 2, 63, 64, 65, 66, 128, 129, 299, 300] {
        assert_eq!(since(at(seq)), Some(seq), "{seq}");
        assert_eq!(since(Timestamp(at(seq).0 - 1)), Some(seq), "before {seq}");
    }
    assert_eq!((since(Timestamp(0)), since(at(301))), (Some(1), None));
    assert_eq!(store.first_since(samples::room(9), at(1)).unwrap(), None);
}

pub(super) fn all_of_a_sender_who_was_taken_away_loses_its_text_up_to_that_place(
    store: &dyn Store,
) {
    let room = samples::room(3);
    // The samples' posts are of user 1, 2 and 3 in turn: 3, 6, 9… of user 1.
    fold(store, samples::history(room, 1, 300));
    let all = EventKind::Moderated {
        by: samples::author(1),
        who: samples::author(2),
        act: Act::DeleteAll,
    };
    let theirs = |seq: u64| seq % 3 == 1;
    let (by, body) = (samples::author(2), Body::parse("edited").unwrap());
    let edited = EventKind::Edited { by, of: Seq(7), body };
    fold(store, vec![samples::event(room, 301, edited), samples::event(room, 302, all.clone())]);
    fold(store, vec![samples::post(room, 303), samples::post(room, 304)]);
    erase(store, Erasing::Swept);
    let left = |through: u64| {
        let kept = |seq: &u64| !matches!(seq, 301 | 302) && (!theirs(*seq) || *seq > through);
        (3..=304).filter(kept).collect::<Vec<u64>>()
    };
    assert_eq!(texts(store, room), left(302));
    let notes = store.notes(room, Seq(1), Seq(400)).unwrap();
    assert!(notes.iter().all(|note| note.body.is_none()), "{notes:?}");
    // Again: what came since goes too.
    fold(store, vec![samples::event(room, 305, all)]);
    erase(store, Erasing::Swept);
    assert_eq!(texts(store, room), left(305));
}

pub(super) fn what_a_sender_who_was_taken_away_mentioned_counts_no_more_up_to_that_place(
    store: &dyn Store,
) {
    let (room, elsewhere) = (samples::room(3), samples::room(4));
    // Each is of user 1 and mentions user 3.
    let look = |room, seq| samples::carrying(room, seq, &[]);
    let swept = |seq, user| {
        let (by, who) = (samples::author(9), samples::author(user));
        samples::event(room, seq, EventKind::Moderated { by, who, act: Act::DeleteAll })
    };
    let mentioned = |room| {
        let found = store.mentions(room, samples::author(3).id, Seq(0), 9).unwrap();
        found.into_iter().map(|(seq, sender)| (seq.0, sender)).collect::<Vec<_>>()
    };
    for room in [room, elsewhere] {
        fold(store, samples::history(room, 1, 2));
        fold(store, vec![look(room, 3), look(room, 4)]);
    }
    fold(store, vec![swept(5, 2)]);
    assert_eq!(mentioned(room), [(4, 1), (3, 1)], "all of another");
    fold(store, vec![look(room, 6), swept(7, 1), look(room, 8)]);
    assert_eq!(mentioned(room), [(8, 1)]);
    assert_eq!(mentioned(elsewhere), [(4, 1), (3, 1)]);
    erase(store, Erasing::Swept);
    assert_eq!(mentioned(room), [(8, 1)]);
}

pub(super) fn a_file_of_an_old_message_is_carried_no_longer(store: &dyn Store) {
    let room = samples::room(3);
    fold(store, samples::history(room, 1, 2));
    fold(store, vec![samples::carrying(room, 3, &[samples::file(1), samples::file(2)])]);
    fold(store, vec![samples::carrying(room, 4, &[samples::file(2)])]);
    let carried = || [1, 2].map(|number| store.carries(samples::file(number).id).unwrap());
    erase(store, old(room, at(3)));
    assert_eq!(carried(), [true, true]);
    erase(store, old(room, at(4)));
    assert_eq!(carried(), [false, true], "one of them by a newer message still");
    let mentioned = store.mentions(room, samples::author(3).id, Seq(0), 9).unwrap();
    assert_eq!(mentioned.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [Seq(4)]);
}

pub(super) fn names_are_taken_out_of_every_room_and_all_else_stays(store: &dyn Store) {
    let rooms: Vec<RoomId> = (3..9).map(samples::room).collect();
    // More blocks than one slice looks at.
    for room in &rooms {
        fold(store, samples::history(*room, 1, 900));
    }
    let (direct, gone) = (samples::room(9), samples::author(2));
    let name = RoomName::of_two(&samples::author(1).name, &gone.name);
    let made = EventKind::Created { by: samples::author(1), name, kind: Kind::Direct };
    let joined =
        |seq, user| samples::event(direct, seq, EventKind::Joined { who: samples::author(user) });
    fold(store, vec![samples::event(direct, 1, made), joined(2, 1), joined(3, 2)]);
    let names = Names::new([(gone.clone(), Timestamp(1))]);
    let read = |room| store.page(room, Span::After(Seq(0)), 9_999).unwrap();
    let expected = |room| -> Vec<Event> {
        let taken = |event: &Event| names.taken_from(event).unwrap_or_else(|| event.clone());
        read(room).iter().map(|event| taken(event)).collect()
    };
    let expected: Vec<Vec<Event>> =
        rooms.iter().chain([&direct]).map(|room| expected(*room)).collect();
    let (mut after, mut changed) = (None, false);
    loop {
        let unnamed = store.unname(&names, after).unwrap();
        changed |= unnamed.changed;
        after = unnamed.next;
        if after.is_none() {
            break;
        }
    }
    store.sync().unwrap();
    assert!(changed);
    for (room, expected) in rooms.iter().chain([&direct]).zip(expected) {
        let found: Vec<Event> = read(*room).iter().map(|event| Event::clone(event)).collect();
        assert_eq!(found, expected, "{room}");
    }
    let left = format!("{:?}", read(samples::room(3)));
    assert!(!left.contains("\"user2\"") && left.contains("\"user3\""));
    let snapshot = super::rooms(store).pop().unwrap();
    assert_eq!(snapshot.name.as_str(), "user1 .gone");
    // The newest block goes on, and what comes now is as it comes.
    fold(store, vec![samples::post(rooms[0], 901)]);
    assert_eq!(read(rooms[0]).len(), 901);
}
