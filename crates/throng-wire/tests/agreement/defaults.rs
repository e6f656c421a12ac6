//! How rooms begin, in both forms.

use proptest::prelude::*;
use proptest::strategy::Union;
use throng_wire::native::v1;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;

use super::text;

/// What a room may begin with.
fn begins() -> impl Strategy<Value = v1::SetRoomDefaults> {
    (0..=3, 0..=3, any::<[Option<u32>; 3]>()).prop_map(|(speak, history, seconds)| {
        let [slow_seconds, delay_seconds, keep_seconds] = seconds;
        v1::SetRoomDefaults { speak, history, slow_seconds, delay_seconds, keep_seconds }
    })
}

pub fn asked() -> impl Strategy<Value = Request> {
    Union::new([
        (text(), 0..=1, begins())
            .prop_map(|(name, kind, begins)| {
                Request::CreateRoom(v1::CreateRoom {
                    name,
                    kind,
                    speak: begins.speak,
                    history: begins.history,
                    slow_seconds: begins.slow_seconds,
                    delay_seconds: begins.delay_seconds,
                    keep_seconds: begins.keep_seconds,
                })
            })
            .boxed(),
        Just(Request::RoomDefaults(v1::RoomDefaults {})).boxed(),
        begins().prop_map(Request::SetRoomDefaults).boxed(),
    ])
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    begins().prop_map(|begins| {
        Outcome::RoomDefaults(v1::RoomDefaultsAre {
            speak: begins.speak,
            history: begins.history,
            slow_seconds: begins.slow_seconds,
            delay_seconds: begins.delay_seconds,
            keep_seconds: begins.keep_seconds,
        })
    })
}
