//! Reactions and pins.

use super::*;
use crate::limits::{PINS_MAX, REACTIONS_MAX};
use crate::text::Reaction;

fn react(who: u64, of: u64, text: &str, on: bool) -> Request {
    let (of, reaction) = (Seq(of), Reaction::parse(text).unwrap());
    Request { from: user(who), command: Command::React { room: room(1), of, reaction, on } }
}

fn pin(who: u64, of: u64, on: bool) -> Request {
    Request { from: user(who), command: Command::Pin { room: room(1), of: Seq(of), on } }
}

/// Three members; the first one owns, and its message stands at place 5.
fn three() -> Kept {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), join(2, 1), join(3, 1), post(1, 1, "")]);
    kept
}

fn counts(kept: &Kept) -> Vec<u32> {
    let count = |event: &Arc<Event>| match event.kind {
        EventKind::Reacted { count, .. } => Some(count),
        _ => None,
    };
    kept.events.iter().filter_map(count).collect()
}

#[test]
fn a_reaction_counts_once_for_each_who_gave_it_in_one_turn_and_over_many() {
    let mut kept = three();
    let outcomes = kept.turn(&[
        react(1, 5, "+1", true),
        react(2, 5, "+1", true),
        react(2, 5, "+1", true),
        react(2, 5, "tea", true),
        react(3, 5, "+1", false),
    ]);
    let expected = [
        applied(6, false),
        applied(7, false),
        applied(7, true),
        applied(8, false),
        applied(8, true),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(kept.turn(&[react(1, 5, "+1", true)]), [applied(8, true)]);
    assert_eq!(kept.turn(&[react(1, 5, "+1", false)]), [applied(9, false)]);
    assert_eq!(kept.turn(&[react(2, 5, "+1", false), react(3, 5, "+1", true)]).len(), 2);
    assert_eq!(counts(&kept), [1, 2, 1, 1, 0, 1]);
}

#[test]
fn a_message_takes_so_many_different_reactions_and_any_number_of_each() {
    let mut kept = three();
    let other = |i: usize| react(2, 5, &format!("r{i}"), true);
    for i in 0..REACTIONS_MAX - 1 {
        assert_eq!(kept.turn(&[other(i)]), [applied(6 + i as u64, false)]);
    }
    let head = 5 + REACTIONS_MAX as u64;
    // The last one that is taken and the first that is not, in one turn and later.
    let limit = Err(Rejection::LimitReached);
    let outcomes = kept.turn(&[other(REACTIONS_MAX - 1), other(REACTIONS_MAX)]);
    assert_eq!(outcomes, [applied(head, false), limit]);
    assert_eq!(kept.turn(&[other(REACTIONS_MAX)]), [limit]);
    assert_eq!(kept.turn(&[react(3, 5, "r0", true)]), [applied(head + 1, false)], "one of them");
    kept.turn(&[react(2, 5, "r1", false)]);
    assert_eq!(kept.turn(&[other(REACTIONS_MAX)]), [applied(head + 3, false)], "one made place");
}

#[test]
fn only_what_stands_is_reacted_to_or_pinned() {
    let mut kept = three();
    let nothing = [Err(Rejection::NoSuchMessage)];
    for of in [0, 1, 4, 6] {
        assert_eq!(kept.turn(&[react(2, of, "+1", true)]), nothing, "{of}");
        assert_eq!(kept.turn(&[pin(1, of, true)]), nothing, "{of}");
    }
    // Of this very turn, and gone again in it.
    let outcomes = kept.turn(&[
        post(2, 1, ""),
        react(3, 6, "+1", true),
        pin(1, 6, true),
        delete(2, 1, 6),
        react(1, 6, "+1", true),
        react(3, 6, "+1", false),
        pin(1, 6, true),
    ]);
    assert_eq!(outcomes[1..4], [applied(7, false), applied(8, false), applied(9, false)]);
    assert_eq!(outcomes[4..], [nothing[0], nothing[0], nothing[0]]);
    assert_eq!(kept.shard.room(room(1)).unwrap().pins(), []);
    let without = kept.shard.apply(&[react(2, 5, "+1", true)], &Facts::default(), NOW);
    assert_eq!(without.outcomes, [Err(Rejection::Unavailable)], "what cannot be known");
}

#[test]
fn so_many_messages_are_pinned_and_one_that_is_deleted_makes_place() {
    let mut kept = three();
    let posts: Vec<_> = (0..=PINS_MAX).map(|_| post(2, 1, "")).collect();
    kept.turn(&posts);
    let (first, last) = (6, 6 + PINS_MAX as u64);
    for of in first..last - 1 {
        assert!(kept.turn(&[pin(1, of, true)])[0].is_ok());
    }
    let full = kept.turn(&[pin(1, last - 1, true), pin(1, last, true), pin(1, first, true)]);
    let head = kept.events.len() as u64;
    assert_eq!(full, [applied(head, false), Err(Rejection::LimitReached), applied(head, true)]);
    assert_eq!(kept.turn(&[pin(2, first, false)]), [Err(Rejection::Forbidden)]);
    assert_eq!(kept.turn(&[pin(1, last, false)]), [applied(head, true)], "it is not");
    kept.turn(&[delete(2, 1, first)]);
    assert!(kept.turn(&[pin(1, last, true)])[0].is_ok());
    let expected: Vec<_> = (first + 1..=last).map(Seq).collect();
    assert_eq!(kept.shard.room(room(1)).unwrap().pins(), expected);
}

#[test]
fn what_is_kept_no_longer_is_no_message_and_makes_place_among_the_pins() {
    let mut kept = three();
    let posts: Vec<_> = (0..=PINS_MAX).map(|_| post(2, 1, "")).collect();
    kept.turn(&posts);
    let (first, last) = (6, 6 + PINS_MAX as u64);
    for of in first..last {
        assert!(kept.turn(&[pin(1, of, true)])[0].is_ok());
    }
    let batch = [pin(1, last, true), pin(1, first, true), react(3, first, "+1", true)];
    let mut facts = kept.facts(&batch, NOW);
    facts.add_gone(room(1), Seq(first));
    let turn = kept.shard.apply(&batch, &facts, NOW);
    let gone = Err(Rejection::NoSuchMessage);
    assert!(turn.outcomes[0].is_ok());
    assert_eq!(turn.outcomes[1..], [gone, gone]);
    let pinned = |event: &Event| match event.kind {
        EventKind::Pinned { of, on, .. } => Some((of.0, on)),
        _ => None,
    };
    let pinned: Vec<_> = turn.events.iter().filter_map(|event| pinned(event)).collect();
    assert_eq!(pinned, [(first, false), (last, true)], "told to all, in the order");
    let expected: Vec<_> = (first + 1..=last).map(Seq).collect();
    assert_eq!(kept.shard.room(room(1)).unwrap().pins(), expected);
    kept.shard.revert(turn);
    assert_eq!(kept.shard.room(room(1)).unwrap().pins().first(), Some(&Seq(first)));
}

#[test]
fn a_turn_of_pins_that_is_not_committed_leaves_them_as_they_were() {
    let mut kept = three();
    kept.turn(&[post(2, 1, ""), pin(1, 6, true)]);
    let batch = [pin(1, 5, true), pin(1, 6, false), delete(1, 1, 5), react(1, 6, "+1", true)];
    let facts = kept.facts(&batch, NOW);
    let turn = kept.shard.apply(&batch, &facts, NOW);
    assert!(turn.outcomes.iter().all(Result::is_ok), "{:?}", turn.outcomes);
    assert_eq!(kept.shard.room(room(1)).unwrap().pins(), []);
    kept.shard.revert(turn);
    assert_eq!(kept.shard.room(room(1)).unwrap().pins(), [Seq(6)]);
    assert_eq!(kept.turn(&[react(1, 6, "+1", true)]), [applied(8, false)]);
}

#[test]
fn nothing_is_looked_up_for_one_who_may_not_know_of_the_room() {
    let mut kept = Kept::new(&Limits::default());
    let name = RoomName::parse("den").unwrap();
    let make = Command::Create { room: room(1), name, kind: Kind::Private, settings: None };
    kept.turn(&[Request { from: user(1), command: make }, post(1, 1, "first")]);
    let (of, body) = (Seq(3), Body::parse("hi").unwrap());
    let reaction = Reaction::parse("+1").unwrap();
    let about = |who| {
        [
            Command::Edit { room: room(1), of, body: body.clone() },
            Command::Delete { room: room(1), of },
            Command::React { room: room(1), of, reaction: reaction.clone(), on: true },
            Command::Pin { room: room(1), of, on: true },
        ]
        .into_iter()
        .map(|command| Request { from: user(who), command })
        .chain([post(who, 1, "first")])
        .collect::<Vec<_>>()
    };
    let wanted = |kept: &Kept, who| {
        let mut wants = Vec::new();
        kept.shard.wants(&about(who), NOW, &mut wants);
        wants
    };
    assert!(wanted(&kept, 1).len() >= 3, "{:?}", wanted(&kept, 1));
    assert_eq!(wanted(&kept, 2), []);
    // Who is invited knows that it is there, and may join in the same batch.
    let invite = Command::Moderate { room: room(1), act: Act::Invite, who: user(2) };
    kept.turn(&[Request { from: user(1), command: invite }]);
    assert_ne!(wanted(&kept, 2), []);
    let join_and_react = [join(2, 1), about(2).swap_remove(2)];
    let outcomes = kept.turn(&join_and_react);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    // Of a room that has banned one nothing is to be known either.
    let ban = Command::Moderate { room: room(1), act: Act::Ban, who: user(2) };
    kept.turn(&[Request { from: user(1), command: ban }]);
    assert_eq!(wanted(&kept, 2), []);
    assert!(kept.turn(&about(2)).iter().all(|it| *it == Err(Rejection::NoSuchRoom)));
}

#[test]
fn all_of_one_sender_takes_its_pins_with_it_and_leaves_those_of_others() {
    let mut kept = three();
    kept.turn(&[post(2, 1, ""), post(3, 1, ""), post(2, 1, ""), pin(1, 6, true), pin(1, 7, true)]);
    // One is pinned in the very turn in which all goes, and one wants to be after it.
    let all = moderate(1, 1, Act::DeleteAll, 2);
    let batch = [pin(1, 8, true), all.clone(), pin(1, 6, true)];
    let facts = kept.facts(&batch, NOW);
    let turn = kept.shard.apply(&batch, &facts, NOW);
    let gone = Err(Rejection::NoSuchMessage);
    assert_eq!(turn.outcomes, [applied(11, false), applied(14, false), gone]);
    let pinned = |event: &Event| match event.kind {
        EventKind::Pinned { of, on, .. } => Some((of.0, on)),
        _ => None,
    };
    let pinned: Vec<_> = turn.events.iter().filter_map(|event| pinned(event)).collect();
    assert_eq!(pinned, [(8, true), (6, false), (8, false)], "told to all, in the order");
    assert_eq!(kept.shard.room(room(1)).unwrap().pins(), [Seq(7)]);
    kept.shard.revert(turn);
    assert_eq!(kept.shard.room(room(1)).unwrap().pins(), [Seq(6), Seq(7)]);
    // Whose is whose cannot be known: nothing is done.
    let turn = kept.shard.apply(core::slice::from_ref(&all), &Facts::default(), NOW);
    assert_eq!(
        (turn.outcomes.as_slice(), turn.events.len()),
        (&[Err(Rejection::Unavailable)][..], 0)
    );
    let mut wants = Vec::new();
    kept.shard.wants(&[moderate(3, 1, Act::DeleteAll, 2)], NOW, &mut wants);
    assert_eq!(wants, [], "nothing is looked up for one who may not");
}

#[test]
fn a_reaction_says_no_filtered_word_but_of_those_who_keep_order() {
    let mut kept = three();
    let words = Words::parse(vec!["*spam*".into()]).unwrap();
    let filter = Settings { words: Some(words), ..Settings::default() };
    kept.turn(&[set(1, 1, filter), react(2, 5, "tea", true)]);
    let refused = Err(Rejection::WordRefused);
    for text in ["spam", "buy-\u{ff33}pam"] {
        assert_eq!(kept.turn(&[react(2, 5, text, true)]), [refused], "{text}");
    }
    assert_eq!(kept.turn(&[react(2, 5, "+1", true), react(1, 5, "spam", true)]).len(), 2);
    // Also where it was given: it is said again.
    assert_eq!(kept.turn(&[react(2, 5, "spam", true)]), [refused]);
    assert_eq!(kept.turn(&[react(2, 5, "spam", false)]), [applied(9, true)], "it takes none back");
}

#[test]
fn where_what_is_said_is_delayed_a_reaction_says_nothing_that_was_not_there() {
    let mut kept = three();
    kept.turn(&[react(2, 5, "tea", true)]);
    let delay = Settings { delay_seconds: Some(10), ..Settings::default() };
    kept.turn(&[set(1, 1, delay)]);
    let refused = Err(Rejection::Forbidden);
    for text in ["no", "+1", "\u{8336}"] {
        assert_eq!(kept.turn(&[react(2, 5, text, true)]), [refused], "{text}");
    }
    let outcomes = kept.turn(&[
        react(2, 5, "\u{1f44d}", true),
        react(3, 5, "tea", true),
        react(1, 5, "+1", true),
        react(2, 5, "+1", true),
        react(2, 5, "tea", false),
    ]);
    assert_eq!(outcomes, [8, 9, 10, 11, 12].map(|seq| applied(seq, false)));
}
