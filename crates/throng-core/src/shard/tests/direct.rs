//! Direct rooms.

use super::*;
use crate::text::Reaction;

fn direct(who: u64, with: u64) -> Request {
    Request { from: user(who), command: Command::Direct { room: room(1), with: user(with) } }
}

fn made() -> Kept {
    let mut kept = Kept::new(&Limits::default());
    assert_eq!(kept.turn(&[direct(1, 2)]), [Ok(Reply::Created { seq: Seq(3) })]);
    kept
}

#[test]
fn two_who_open_it_at_the_same_time_make_one_room_and_both_belong() {
    let mut kept = Kept::new(&Limits::default());
    let outcomes = kept.turn(&[direct(2, 1), direct(1, 2), direct(2, 1)]);
    assert_eq!(outcomes, [Ok(Reply::Created { seq: Seq(3) }), joined(3, true), joined(2, true)]);
    assert_eq!(kept.turn(&[direct(1, 2)]), [joined(3, true)]);
    assert_eq!(
        kept.turn(&[post(1, 1, ""), post(2, 1, "")]),
        [posted(4, 1, false), posted(5, 2, false)]
    );
    let EventKind::Created { name, kind, .. } = &kept.events[0].kind else { panic!() };
    assert_eq!((name.as_str(), *kind), ("u2 u1", Kind::Direct));
    let people = kept.shard.room(room(1)).unwrap().members();
    assert_eq!(people.count(), 2);
}

#[test]
fn nobody_else_is_there_and_neither_is_above_the_other_or_goes() {
    let mut kept = made();
    kept.turn(&[post(2, 1, "")]);
    let forbidden = Err(Rejection::Forbidden);
    let speak = Some(Speak::Voiced);
    for who in [1, 2] {
        let outcomes = kept.turn(&[
            leave(who, 1),
            moderate(who, 1, Act::Invite, 3),
            moderate(who, 1, Act::Kick, 3 - who),
            set(who, 1, Settings { speak, ..Settings::default() }),
        ]);
        assert_eq!(outcomes, [forbidden; 4]);
    }
    assert_eq!(kept.turn(&[delete(1, 1, 4)]), [forbidden], "not even who made it");
    let outcomes = kept.turn(&[join(3, 1), post(3, 1, ""), direct(3, 1)]);
    assert_eq!(outcomes, [Err(Rejection::NoSuchRoom); 3]);
}

#[test]
fn what_the_other_does_not_want_is_not_said_and_what_was_said_can_be_taken_back() {
    let mut kept = made();
    kept.turn(&[post(1, 1, ""), post(2, 1, "")]);
    let (one, two) = (UserId::new(1).unwrap(), UserId::new(2).unwrap());
    kept.unwanted.push((two, one));
    let reaction = Reaction::parse("+1").unwrap();
    let react = |who, on| Request {
        from: user(who),
        command: Command::React { room: room(1), of: Seq(5), reaction: reaction.clone(), on },
    };
    let unwanted = [Err(Rejection::NotAccepted); 3];
    assert_eq!(kept.turn(&[post(1, 1, ""), edit(1, 1, 4, "x"), react(1, true)]), unwanted);
    let said = kept.turn(&[post(2, 1, ""), react(2, true), react(1, false), delete(1, 1, 4)]);
    assert!(said.iter().all(Result::is_ok), "{said:?}");
    kept.unwanted.clear();
    assert!(kept.turn(&[post(1, 1, "")])[0].is_ok());
}

#[test]
fn one_that_was_not_committed_was_never_there() {
    let mut kept = Kept::new(&Limits::default());
    let turn = kept.shard.apply(&[direct(1, 2), post(2, 1, "")], &Facts::default(), NOW);
    assert_eq!(turn.events.len(), 4);
    kept.shard.revert(turn);
    assert!(kept.shard.room(room(1)).is_none());
    assert_eq!(kept.turn(&[direct(2, 1)]), [Ok(Reply::Created { seq: Seq(3) })]);
}
