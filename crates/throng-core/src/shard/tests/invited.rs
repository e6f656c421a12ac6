//! Invitations: declined, withdrawn, not wanted; and who stands how in a room.

use super::*;

fn den() -> Kept {
    let mut kept = Kept::new(&Limits::default());
    let name = RoomName::parse("den").unwrap();
    let make = Command::Create { room: room(1), name, kind: Kind::Private, settings: None };
    let made = kept.turn(&[Request { from: user(1), command: make }]);
    assert_eq!(made, [Ok(Reply::Created { seq: Seq(2) })]);
    kept
}

fn invite(who: u64) -> Request {
    moderate(1, 1, Act::Invite, who)
}

fn stands(kept: &Kept, who: u64) -> Standing {
    kept.shard.rooms[0].standing(user(who).id)
}

#[test]
fn who_is_invited_declines_and_knows_of_the_room_no_more() {
    let mut kept = den();
    assert_eq!(kept.turn(&[leave(2, 1)]), [Err(Rejection::NoSuchRoom)]);
    let batch = [invite(2), leave(2, 1), leave(2, 1), join(2, 1)];
    let facts = kept.facts(&batch, NOW);
    let turn = kept.shard.apply(&batch, &facts, NOW);
    let unseen = Err(Rejection::NoSuchRoom);
    assert_eq!(turn.outcomes, [applied(3, false), left(4), unseen, unseen]);
    assert!(stands(&kept, 2).is_nothing());
    kept.shard.revert(turn);
    assert_eq!(kept.turn(&[invite(2), leave(2, 1)]), [applied(3, false), left(4)]);
    let mut again = Kept::new(&Limits::default());
    for event in &kept.events {
        again.shard.replay(event).unwrap();
    }
    assert!(stands(&again, 2).is_nothing(), "replayed as it was decided");
    assert_eq!(kept.turn(&[invite(2), join(2, 1)]), [applied(5, false), joined(6, false)]);
}

#[test]
fn to_decline_lifts_no_mute() {
    let mut kept = den();
    kept.turn(&[invite(2), join(2, 1), moderate(1, 1, Act::Mute, 2), leave(2, 1), invite(2)]);
    assert!(kept.turn(&[leave(2, 1)])[0].is_ok());
    assert_eq!(stands(&kept, 2), Standing::MUTED);
}

#[test]
fn an_invitation_is_withdrawn_by_a_kick_and_by_who_keeps_order_only() {
    let mut kept = den();
    kept.turn(&[invite(2), join(2, 1), invite(3)]);
    assert_eq!(kept.turn(&[moderate(2, 1, Act::Kick, 3)]), [Err(Rejection::Forbidden)]);
    let kick = moderate(1, 1, Act::Kick, 3);
    assert_eq!(kept.turn(&[kick.clone(), kick]), [applied(6, false), Err(Rejection::NoSuchUser)]);
    assert_eq!(kept.turn(&[join(3, 1)]), [Err(Rejection::NoSuchRoom)]);
    let outside = moderate(1, 1, Act::Mute, 3);
    assert_eq!(kept.turn(&[invite(3), outside])[1], Err(Rejection::NoSuchUser));
}

#[test]
fn who_takes_nothing_from_one_is_not_invited_by_it_and_comes_in_by_its_link() {
    let mut kept = den();
    let (host, two) = (user(1).id, user(2).id);
    kept.unwanted.push((two, host));
    let outcomes = kept.turn(&[invite(3), invite(2), invite(4)]);
    let unwanted = Err(Rejection::NotAccepted);
    assert_eq!(outcomes, [applied(3, false), unwanted, applied(4, false)], "the others may be");
    let mut wants = Vec::new();
    kept.shard.wants(&[moderate(3, 1, Act::Invite, 2)], NOW, &mut wants);
    assert_eq!(wants, [], "nothing is looked up for one who may not");
    let admit = Command::Admit { room: room(1), who: user(2) };
    let by_link = [Request { from: user(1), command: admit }, join(2, 1)];
    assert_eq!(kept.turn(&by_link), [applied(5, false), joined(6, false)]);
    assert_eq!(kept.turn(&[invite(2)]), [applied(6, true)], "it is there");
}

#[test]
fn a_guest_that_was_muted_and_invited_is_forgotten_whole() {
    let mut kept = den();
    let guest = crate::id::GUESTS_FROM + 7;
    let forget = |who| Request { from: user(who), command: Command::Forget { room: room(1) } };
    kept.turn(&[invite(guest), join(guest, 1), moderate(1, 1, Act::Mute, guest), leave(guest, 1)]);
    kept.turn(&[invite(guest)]);
    assert!(stands(&kept, guest).has(Standing::MUTED) && stands(&kept, guest).declines());
    assert!(kept.turn(&[forget(guest)])[0].is_ok());
    assert!(stands(&kept, guest).is_nothing());
}

#[test]
fn those_who_keep_order_are_told_who_stands_how_in_pages() {
    let mut kept = den();
    for who in 2..=6 {
        kept.turn(&[invite(who), join(who, 1)]);
    }
    for (act, who) in [(Act::Ban, 5), (Act::Mute, 4), (Act::Mute, 2), (Act::Mute, 3)] {
        kept.turn(&[moderate(1, 1, act, who)]);
    }
    kept.turn(&[moderate(1, 1, Act::Voice, 6), leave(3, 1), invite(7)]);
    let told = |asker: u64, mark, after, limit| {
        let told = kept.shard.standings(room(1), user(asker).id, mark, (after, limit));
        told.map(|(users, more)| (users.iter().map(|user| user.get()).collect::<Vec<_>>(), more))
    };
    assert_eq!(told(1, Standing::MUTED, 0, 2), Ok((vec![2, 3], true)), "also who has left");
    assert_eq!(told(1, Standing::MUTED, 3, 2), Ok((vec![4], false)));
    assert_eq!(told(1, Standing::BANNED, 0, 9), Ok((vec![5], false)));
    assert_eq!(told(1, Standing::VOICED, 0, 9), Ok((vec![6], false)));
    assert_eq!(told(1, Standing::INVITED, 0, 9), Ok((vec![7], false)));
    assert_eq!(told(2, Standing::BANNED, 0, 9), Err(Rejection::Forbidden));
    assert_eq!(told(7, Standing::BANNED, 0, 9), Err(Rejection::NotMember));
    assert_eq!(told(8, Standing::BANNED, 0, 9), Err(Rejection::NoSuchRoom));
}
