//! The same post again, when something has changed since the first.

use super::*;

#[test]
fn who_may_not_speak_any_more_is_told_of_what_it_has_said() {
    for silence in [
        moderate(1, 1, Act::Mute, 2),
        set(1, 1, Settings { speak: Some(Speak::Voiced), ..Settings::default() }),
    ] {
        let refused = if matches!(silence.command, Command::Set { .. }) {
            Rejection::NoVoice
        } else {
            Rejection::Muted
        };
        let mut kept = Kept::new(&Limits::default());
        kept.turn(&[create(1, 1), join(2, 1), post(2, 1, "a")]);
        assert!(kept.turn(&[silence])[0].is_ok());
        let outcomes = kept.turn(&[post(2, 1, "a"), post(2, 1, "b"), post(2, 1, "")]);
        assert_eq!(outcomes, [posted(4, 1, true), Err(refused), Err(refused)]);
    }
}

#[test]
fn one_who_was_put_out_is_told_nothing() {
    for (act, refused) in [(Act::Kick, Rejection::NotMember), (Act::Ban, Rejection::NotMember)] {
        let mut kept = Kept::new(&Limits::default());
        kept.turn(&[create(1, 1), join(2, 1), post(2, 1, "a"), moderate(1, 1, act, 2)]);
        assert_eq!(kept.turn(&[post(2, 1, "a")]), [Err(refused)]);
    }
}

#[test]
fn one_whom_the_other_of_two_has_blocked_is_told_of_what_it_has_said() {
    let mut kept = Kept::new(&Limits::default());
    let open = Command::Direct { room: room(1), with: user(2) };
    kept.turn(&[Request { from: user(1), command: open }, post(1, 1, "a")]);
    kept.unwanted.push((user(2).id, user(1).id));
    let outcomes = kept.turn(&[post(1, 1, "a"), post(1, 1, "b")]);
    assert_eq!(outcomes, [posted(4, 1, true), Err(Rejection::NotAccepted)]);
}
