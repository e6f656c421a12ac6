//! How rooms begin: what the request that makes one settles about it, and what an account has said of
//! all that it makes.
//!
//! Neighbours: `mapping.rs`, and REST, which asks with the same messages. What no room may settle is
//! refused here.

use throng_core::{Rejection, RoomDefaults, RoomName};
use throng_wire::native::v1;

use super::{kind_of, moderation};
use crate::protocols::What;

/// A new room.
pub fn create_room(asked: &v1::CreateRoom) -> Result<What, Rejection> {
    let (name, kind) = (RoomName::parse(&asked.name)?, kind_of(asked.kind)?);
    Ok(What::CreateRoom { name, kind, settled: settled(asked)? })
}

/// What a new room is to begin with, whatever the defaults are.
pub fn settled(asked: &v1::CreateRoom) -> Result<RoomDefaults, Rejection> {
    said(&v1::SetRoomDefaults {
        speak: asked.speak,
        history: asked.history,
        slow_seconds: asked.slow_seconds,
        delay_seconds: asked.delay_seconds,
        keep_seconds: asked.keep_seconds,
    })
}

/// How the rooms of an account are to begin.
pub fn said(asked: &v1::SetRoomDefaults) -> Result<RoomDefaults, Rejection> {
    let said = RoomDefaults {
        speak: moderation::speak_of(asked.speak)?,
        history: moderation::history_of(asked.history)?,
        slow_seconds: asked.slow_seconds,
        delay_seconds: asked.delay_seconds,
        keep_seconds: asked.keep_seconds,
    };
    said.check()?;
    Ok(said)
}

/// How they begin.
pub fn are(said: RoomDefaults) -> v1::RoomDefaultsAre {
    v1::RoomDefaultsAre {
        speak: said.speak.map_or(v1::Speak::None, moderation::speak) as i32,
        history: said.history.map_or(v1::HistoryFor::None, moderation::history) as i32,
        slow_seconds: said.slow_seconds,
        delay_seconds: said.delay_seconds,
        keep_seconds: said.keep_seconds,
    }
}

#[cfg(test)]
mod tests {
    use throng_core::{Speak, Visibility};

    use super::*;

    #[test]
    fn what_is_left_out_is_said_by_nobody_and_what_is_not_known_is_refused() {
        assert_eq!(said(&v1::SetRoomDefaults::default()), Ok(RoomDefaults::default()));
        for (speak, history) in [(4, 0), (0, 4), (-1, 0), (0, -1)] {
            let asked = v1::SetRoomDefaults { speak, history, ..Default::default() };
            assert_eq!(said(&asked), Err(Rejection::BadArgument), "{speak} {history}");
            let name = "tea".to_owned();
            let asked = v1::CreateRoom { name, speak, history, ..Default::default() };
            assert_eq!(settled(&asked), Err(Rejection::BadArgument), "{speak} {history}");
        }
    }

    #[test]
    fn what_was_said_is_told_again() {
        for speak in [None, Some(Speak::Everyone), Some(Speak::Members), Some(Speak::Voiced)] {
            for history in
                [None, Some(Visibility::Members), Some(Visibility::Joining), Some(Visibility::All)]
            {
                for seconds in [None, Some(0), Some(60)] {
                    let all = RoomDefaults {
                        speak,
                        history,
                        slow_seconds: seconds,
                        delay_seconds: seconds.map(|it| it + 1),
                        keep_seconds: seconds.map(|it| it * 2),
                    };
                    let told = are(all);
                    let again = v1::SetRoomDefaults {
                        speak: told.speak,
                        history: told.history,
                        slow_seconds: told.slow_seconds,
                        delay_seconds: told.delay_seconds,
                        keep_seconds: told.keep_seconds,
                    };
                    assert_eq!(said(&again), Ok(all));
                }
            }
        }
    }
}
