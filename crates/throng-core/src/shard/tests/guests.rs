//! Guests in a room's order.

use super::*;
use crate::id::GUESTS_FROM;

const GUS: u64 = GUESTS_FROM + 1;

fn forget(who: u64) -> Request {
    Request { from: user(who), command: Command::Forget { room: room(1) } }
}

fn stands(kept: &Kept, who: u64) -> Standing {
    kept.shard.room(room(1)).unwrap().0.standing(user(who).id)
}

fn applied(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Ok(Reply::Applied { already: false, .. })))
}

#[test]
fn an_account_joins_as_a_member_and_a_guest_as_a_visitor_from_its_first_number_on() {
    let mut kept = Kept::new(&Limits::default());
    let outcomes = kept.turn(&[create(1, 1), join(GUESTS_FROM - 1, 1), join(GUESTS_FROM, 1)]);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(stands(&kept, GUESTS_FROM - 1), Standing::of(Role::Member));
    assert_eq!(stands(&kept, GUESTS_FROM), Standing::of(Role::Visitor));
}

#[test]
fn a_guest_is_given_voice_and_no_role_above_a_visitors() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), join(GUS, 1)]);
    for role in [Role::Member, Role::Moderator, Role::Owner] {
        let refused = kept.turn(&[moderate(1, 1, Act::SetRole(role), GUS)]);
        assert_eq!(refused, [Err(Rejection::Forbidden)]);
    }
    let speak = Some(Speak::Members);
    kept.turn(&[set(1, 1, Settings { speak, ..Settings::default() })]);
    assert_eq!(kept.turn(&[post(GUS, 1, "")]), [Err(Rejection::NoVoice)]);
    assert!(applied(&kept.turn(&[moderate(1, 1, Act::Voice, GUS)])));
    assert!(kept.turn(&[post(GUS, 1, "")])[0].is_ok());
}

#[test]
fn a_ban_of_a_guest_takes_those_of_its_address_along_and_lets_none_of_them_in_again() {
    let mut kept = Kept::new(&Limits::default());
    let [eve, kim, zoe] = [GUS + 1, GUS + 2, GUS + 3];
    let ban = |by: u64| Request {
        from: user(by),
        command: Command::BanGuest {
            room: room(1),
            who: user(GUS),
            beside: [eve, kim, 3].map(user).into(),
        },
    };
    let enter = |who: u64, beside: &[u64]| Request {
        from: user(who),
        command: Command::Enter {
            room: room(1),
            beside: beside.iter().map(|one| user(*one).id).collect(),
        },
    };
    let all = [eve, kim];
    kept.turn(&[create(1, 1), join(3, 1), enter(GUS, &all), enter(eve, &[GUS]), enter(zoe, &[])]);
    assert_eq!(kept.turn(&[ban(3)]), [Err(Rejection::Forbidden)]);
    assert!(stands(&kept, eve).role().is_some(), "what is refused has changed nothing");
    let turn = kept.shard.apply(&[ban(1)], &Facts::default(), NOW);
    assert_eq!(turn.events.len(), 2, "of those who are here");
    kept.shard.revert(turn);
    assert!(stands(&kept, eve).role().is_some() && stands(&kept, GUS).role().is_some());
    assert!(applied(&kept.turn(&[ban(1)])));
    let roles = [GUS, eve, zoe, 3].map(|one| stands(&kept, one).role().is_some());
    assert_eq!(roles, [false, false, true, true], "an account and another address stay");
    assert!(!stands(&kept, eve).has(Standing::BANNED), "one ban, and one to lift");
    let refused = kept.turn(&[enter(eve, &[GUS, kim]), enter(kim, &[GUS, eve])]);
    assert_eq!(refused, [Err(Rejection::Banned), Err(Rejection::Banned)]);
    assert!(kept.turn(&[enter(zoe, &[])])[0].is_ok());
    // Again: one who came in meanwhile goes.
    kept.turn(&[enter(kim, &[])]);
    assert!(kept.turn(&[ban(1)])[0].is_ok());
    assert!(stands(&kept, kim).role().is_none());
    kept.turn(&[moderate(1, 1, Act::Unban, GUS)]);
    assert!(kept.turn(&[enter(eve, &[GUS, kim])])[0].is_ok());
}

#[test]
fn what_a_room_keeps_of_a_guest_outlasts_its_going_until_it_is_forgotten() {
    let mut kept = Kept::new(&Limits { marked_max: 1, ..Limits::default() });
    kept.turn(&[create(1, 1), join(GUS, 1)]);
    assert!(applied(&kept.turn(&[moderate(1, 1, Act::Mute, GUS)])));
    assert_eq!(kept.turn(&[forget(GUS)]), [Err(Rejection::NoSuchUser)], "it is there");
    assert!(kept.turn(&[leave(GUS, 1)])[0].is_ok());
    assert!(stands(&kept, GUS).has(Standing::MUTED));
    let full = kept.turn(&[moderate(1, 1, Act::Ban, 7)]);
    assert_eq!(full, [Err(Rejection::LimitReached)]);
    assert!(kept.turn(&[forget(GUS)])[0].is_ok());
    assert!(stands(&kept, GUS).is_nothing());
    let forgotten = kept.events.last().unwrap();
    assert!(matches!(forgotten.kind, EventKind::Left { .. }));
    assert!(!forgotten.pushed, "to the others it left long ago");
    assert_eq!(kept.turn(&[forget(GUS)]), [Err(Rejection::NoSuchUser)], "once");
    assert!(applied(&kept.turn(&[moderate(1, 1, Act::Ban, 7)])), "its place is free");
}

#[test]
fn forgetting_is_taken_back_with_its_turn_and_replayed_as_it_was_decided() {
    let limits = Limits::default();
    let mut kept = Kept::new(&limits);
    kept.turn(&[create(1, 1), moderate(1, 1, Act::Ban, GUS)]);
    let turn = kept.shard.apply(&[forget(GUS)], &Facts::default(), NOW);
    kept.shard.revert(turn);
    assert!(stands(&kept, GUS).has(Standing::BANNED));
    assert!(kept.turn(&[forget(GUS), post(1, 1, "")]).iter().all(Result::is_ok));
    let mut again = Kept::new(&limits);
    for event in &kept.events {
        again.shard.replay(event).unwrap();
    }
    assert!(stands(&again, GUS).is_nothing());
}
