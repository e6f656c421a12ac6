//! Acts, roles and settings: the wire's enums and the domain's, each in one exhaustive `match`.
//!
//! Neighbours: `mapping.rs`, and REST, which asks with the same messages. A number that no enum has
//! is refused; none is taken for another.

use throng_core::{
    Act, Command, Kind, Rejection, Role, RoomId, RoomName, Settings, Speak, Topic, Visibility,
    Words,
};
use throng_wire::native::v1;

use super::{durable, room_id};
use crate::protocols::{Target, What};

/// An act on somebody.
pub fn moderate(asked: v1::Moderate) -> Result<What, Rejection> {
    let room = room_id(asked.room)?;
    let (act, target) = act(asked)?;
    Ok(What::Moderate { room, act, target })
}

/// Other settings of a room.
pub fn set_room(asked: v1::SetRoom) -> Result<What, Rejection> {
    let room = room_id(asked.room)?;
    Ok(durable(Command::Set { room, settings: Box::new(settings(asked)?) }))
}

/// What is asked of whom.
pub fn act(asked: v1::Moderate) -> Result<(Act, Target), Rejection> {
    let v1::Moderate { room: _, act, user, name, role } = asked;
    let act = match v1::Act::try_from(act).map_err(|_| Rejection::BadArgument)? {
        v1::Act::None => return Err(Rejection::BadArgument),
        v1::Act::Kick => Act::Kick,
        v1::Act::Ban => Act::Ban,
        v1::Act::Unban => Act::Unban,
        v1::Act::Mute => Act::Mute,
        v1::Act::Unmute => Act::Unmute,
        v1::Act::Voice => Act::Voice,
        v1::Act::Unvoice => Act::Unvoice,
        v1::Act::Invite => Act::Invite,
        v1::Act::SetRole => Act::SetRole(role_of(role)?),
        v1::Act::DeleteAll => Act::DeleteAll,
    };
    Ok((act, target(user, name)?))
}

/// Somebody, named by number or by name and not by both.
pub fn target(user: u64, name: String) -> Result<Target, Rejection> {
    match (user, name.as_str()) {
        (0, "") => Err(Rejection::BadArgument),
        (0, _) => Ok(Target::Name(name)),
        (number, "") => Ok(Target::Number(number)),
        _ => Err(Rejection::BadArgument),
    }
}

fn role_of(role: i32) -> Result<Role, Rejection> {
    match v1::Role::try_from(role).map_err(|_| Rejection::BadArgument)? {
        v1::Role::None => Err(Rejection::BadArgument),
        v1::Role::Visitor => Ok(Role::Visitor),
        v1::Role::Member => Ok(Role::Member),
        v1::Role::Moderator => Ok(Role::Moderator),
        v1::Role::Owner => Ok(Role::Owner),
    }
}

/// What is to be changed.
pub fn settings(asked: v1::SetRoom) -> Result<Settings, Rejection> {
    let v1::SetRoom {
        room: _,
        name,
        topic,
        speak,
        slow_seconds,
        history,
        words,
        keep_seconds,
        delay_seconds,
    } = asked;
    let settings = Settings {
        name: name.as_deref().map(RoomName::parse).transpose()?,
        topic: topic.as_deref().map(Topic::parse).transpose()?,
        speak: speak_of(speak)?,
        history: history_of(history)?,
        slow_seconds,
        words: words.map(|words| Words::parse(words.list)).transpose()?,
        keep_seconds,
        // A picture must be made first: it has a request of its own.
        avatar: None,
        delay_seconds,
    };
    settings.check()?;
    Ok(settings)
}

/// Who is to speak, if that is said.
pub fn speak_of(speak: i32) -> Result<Option<Speak>, Rejection> {
    Ok(match v1::Speak::try_from(speak).map_err(|_| Rejection::BadArgument)? {
        v1::Speak::None => None,
        v1::Speak::Everyone => Some(Speak::Everyone),
        v1::Speak::Members => Some(Speak::Members),
        v1::Speak::Voiced => Some(Speak::Voiced),
    })
}

/// Which history is to be for whom, if that is said.
pub fn history_of(history: i32) -> Result<Option<Visibility>, Rejection> {
    Ok(match v1::HistoryFor::try_from(history).map_err(|_| Rejection::BadArgument)? {
        v1::HistoryFor::None => None,
        v1::HistoryFor::Members => Some(Visibility::Members),
        v1::HistoryFor::Joining => Some(Visibility::Joining),
        v1::HistoryFor::All => Some(Visibility::All),
    })
}

/// A room's word filter.
pub fn words(room: RoomId, words: &Words) -> v1::RoomWords {
    v1::RoomWords { room: room.get(), list: words.list().map(str::to_owned).collect() }
}

/// For whom a room is.
pub fn kind(kind: Kind) -> v1::RoomKind {
    match kind {
        Kind::Public => v1::RoomKind::Public,
        Kind::Private => v1::RoomKind::Private,
        Kind::Direct => v1::RoomKind::Direct,
    }
}

/// Who may speak.
pub fn speak(speak: Speak) -> v1::Speak {
    match speak {
        Speak::Everyone => v1::Speak::Everyone,
        Speak::Members => v1::Speak::Members,
        Speak::Voiced => v1::Speak::Voiced,
    }
}

/// Which history is for whom.
pub fn history(history: Visibility) -> v1::HistoryFor {
    match history {
        Visibility::Members => v1::HistoryFor::Members,
        Visibility::Joining => v1::HistoryFor::Joining,
        Visibility::All => v1::HistoryFor::All,
    }
}

/// What was done to whom.
pub fn moderated(by: v1::User, user: v1::User, act: Act) -> v1::Moderated {
    let role = match act {
        Act::SetRole(role) => self::role(role),
        _ => v1::Role::None,
    };
    let act = act_name(act);
    v1::Moderated { by: Some(by), user: Some(user), act: act as i32, role: role as i32 }
}

/// What was done.
pub fn act_name(act: Act) -> v1::Act {
    match act {
        Act::Kick => v1::Act::Kick,
        Act::Ban => v1::Act::Ban,
        Act::Unban => v1::Act::Unban,
        Act::Mute => v1::Act::Mute,
        Act::Unmute => v1::Act::Unmute,
        Act::Voice => v1::Act::Voice,
        Act::Unvoice => v1::Act::Unvoice,
        Act::Invite => v1::Act::Invite,
        Act::SetRole(_) => v1::Act::SetRole,
        Act::DeleteAll => v1::Act::DeleteAll,
    }
}

/// What somebody is.
pub fn role(role: Role) -> v1::Role {
    match role {
        Role::Visitor => v1::Role::Visitor,
        Role::Member => v1::Role::Member,
        Role::Moderator => v1::Role::Moderator,
        Role::Owner => v1::Role::Owner,
    }
}

/// What was changed.
pub fn set(by: v1::User, settings: &Settings) -> v1::RoomSet {
    v1::RoomSet {
        by: Some(by),
        name: settings.name.as_ref().map(|name| name.as_str().to_owned()),
        topic: settings.topic.as_ref().map(|topic| topic.as_str().to_owned()),
        speak: settings.speak.map_or(v1::Speak::None, speak) as i32,
        slow_seconds: settings.slow_seconds,
        history: settings.history.map_or(v1::HistoryFor::None, history) as i32,
        words: settings.words.as_ref().map(|words| words.list().len() as u32),
        keep_seconds: settings.keep_seconds,
        avatar: settings.avatar.map(super::avatar),
        delay_seconds: settings.delay_seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_named_by_number_or_by_name_and_not_by_both_or_neither() {
        let kick = |user, name: &str| {
            let act = v1::Act::Kick as i32;
            self::act(v1::Moderate { act, user, name: name.into(), ..v1::Moderate::default() })
        };
        assert_eq!(kick(7, ""), Ok((Act::Kick, Target::Number(7))));
        assert_eq!(kick(0, "ben"), Ok((Act::Kick, Target::Name("ben".into()))));
        assert_eq!(kick(0, ""), Err(Rejection::BadArgument));
        assert_eq!(kick(7, "ben"), Err(Rejection::BadArgument));
    }

    #[test]
    fn an_act_a_role_or_a_setting_that_is_not_known_is_refused() {
        let asked = v1::Moderate { user: 7, ..v1::Moderate::default() };
        for (act, role) in [(0, 0), (10, 0), (51, 0), (-1, 0), (9, 0), (9, 5), (9, -1)] {
            let asked = v1::Moderate { act, role, ..asked.clone() };
            assert_eq!(self::act(asked), Err(Rejection::BadArgument), "{act} {role}");
        }
        for (speak, history) in [(0, 0), (4, 0), (0, 4), (-1, 0), (0, -1)] {
            let asked = v1::SetRoom { speak, history, ..v1::SetRoom::default() };
            assert_eq!(settings(asked), Err(Rejection::BadArgument), "{speak} {history}");
        }
    }

    #[test]
    fn a_room_keeps_what_was_said_from_a_minute_to_ten_years_or_for_ever() {
        let keep = |keep_seconds| {
            let keep_seconds = Some(keep_seconds);
            settings(v1::SetRoom { keep_seconds, ..v1::SetRoom::default() }).map(|_| ())
        };
        for allowed in [0, 60, 61, 315_359_999, 315_360_000] {
            assert_eq!(keep(allowed), Ok(()), "{allowed}");
        }
        for refused in [1, 59, 315_360_001, u32::MAX] {
            assert_eq!(keep(refused), Err(Rejection::BadArgument), "{refused}");
        }
    }

    #[test]
    fn slow_mode_is_six_hours_at_most_and_a_topic_512_bytes() {
        let slow = |slow_seconds| {
            let slow_seconds = Some(slow_seconds);
            settings(v1::SetRoom { slow_seconds, ..v1::SetRoom::default() }).map(|_| ())
        };
        assert_eq!((slow(21_599), slow(21_600)), (Ok(()), Ok(())));
        assert_eq!(slow(21_601), Err(Rejection::BadArgument));
        let topic = |len| {
            let topic = Some("x".repeat(len));
            settings(v1::SetRoom { topic, ..v1::SetRoom::default() }).map(|_| ())
        };
        assert_eq!((topic(0), topic(511), topic(512)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(topic(513), Err(Rejection::BadTopic));
        let words = |count: usize, len: usize| {
            let words = Some(v1::Words { list: vec!["x".repeat(len); count] });
            settings(v1::SetRoom { words, ..v1::SetRoom::default() }).map(|_| ())
        };
        assert_eq!((words(0, 1), words(199, 63), words(200, 64)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(words(201, 64), Err(Rejection::BadWords));
        assert_eq!(words(200, 65), Err(Rejection::BadWords));
    }
}
