//! How a room begins: what is settled about it when it is made. Three may say it, each setting by
//! itself: the request that makes it, then its owner's defaults, then the server's.
//!
//! Neighbours: `rights` has the settings themselves, and what they may be; the server keeps the
//! owners' defaults and its own, and asks here what a new room is told. Nothing here knows a room that
//! is there.

use alloc::boxed::Box;

use crate::rejection::Rejection;
use crate::rights::{Policy, Settings, Speak, Visibility};

/// How rooms begin; what is `None` is left to the next who may say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomDefaults {
    /// Who may speak.
    pub speak: Option<Speak>,
    /// Which history is for whom.
    pub history: Option<Visibility>,
    /// Seconds between two posts of one account; 0 for no rule.
    pub slow_seconds: Option<u32>,
    /// Seconds before others than those who keep order see a message; 0 for none.
    pub delay_seconds: Option<u32>,
    /// Seconds that what was said is kept; 0 for ever.
    pub keep_seconds: Option<u32>,
}

impl RoomDefaults {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what no room may settle; to say nothing is fine.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.is_empty() { Ok(()) } else { self.as_settings().check() }
    }

    /// With what another says where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            speak: self.speak.or(other.speak),
            history: self.history.or(other.history),
            slow_seconds: self.slow_seconds.or(other.slow_seconds),
            delay_seconds: self.delay_seconds.or(other.delay_seconds),
            keep_seconds: self.keep_seconds.or(other.keep_seconds),
        }
    }

    /// What a new room must be told; `None` when it begins so by itself.
    pub fn settings(self) -> Option<Box<Settings>> {
        let bare = Policy::default();
        let told = Self {
            speak: self.speak.filter(|speak| *speak != bare.speak),
            history: self.history.filter(|history| *history != bare.history),
            slow_seconds: self.slow_seconds.filter(|seconds| *seconds != bare.slow_seconds),
            delay_seconds: self.delay_seconds.filter(|seconds| *seconds != bare.delay_seconds),
            // For ever is not the same as nothing: that follows the server.
            keep_seconds: self.keep_seconds,
        };
        (!told.is_empty()).then(|| Box::new(told.as_settings()))
    }

    fn as_settings(self) -> Settings {
        Settings {
            speak: self.speak,
            history: self.history,
            slow_seconds: self.slow_seconds,
            delay_seconds: self.delay_seconds,
            keep_seconds: self.keep_seconds,
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{DELAY_SECONDS_MAX, KEEP_SECONDS_MAX, KEEP_SECONDS_MIN, SLOW_SECONDS_MAX};

    const NOTHING: RoomDefaults = RoomDefaults {
        speak: None,
        history: None,
        slow_seconds: None,
        delay_seconds: None,
        keep_seconds: None,
    };

    #[test]
    fn who_is_asked_first_says_each_setting_by_itself() {
        let asked = RoomDefaults { slow_seconds: Some(0), ..NOTHING };
        let owner = RoomDefaults { slow_seconds: Some(30), speak: Some(Speak::Voiced), ..NOTHING };
        let server = RoomDefaults {
            speak: Some(Speak::Members),
            history: Some(Visibility::Joining),
            slow_seconds: Some(60),
            delay_seconds: Some(10),
            keep_seconds: None,
        };
        let said = RoomDefaults {
            speak: Some(Speak::Voiced),
            history: Some(Visibility::Joining),
            slow_seconds: Some(0),
            delay_seconds: Some(10),
            keep_seconds: None,
        };
        assert_eq!(asked.or(owner).or(server), said);
        let settings = said.settings().expect("it differs");
        assert_eq!(settings.slow_seconds, None, "it has none by itself");
        assert_eq!(settings.delay_seconds, Some(10));
    }

    #[test]
    fn a_room_is_told_only_in_what_it_is_not_so_by_itself() {
        assert_eq!(NOTHING.settings(), None);
        let bare = RoomDefaults {
            speak: Some(Speak::Everyone),
            history: Some(Visibility::Members),
            slow_seconds: Some(0),
            delay_seconds: Some(0),
            keep_seconds: None,
        };
        assert_eq!(bare.settings(), None);
        let kept = RoomDefaults { keep_seconds: Some(0), ..bare };
        let told = Settings { keep_seconds: Some(0), ..Settings::default() };
        assert_eq!(kept.settings(), Some(Box::new(told)), "for ever, whatever the server says");
    }

    #[test]
    fn a_default_is_what_a_room_may_settle_and_not_a_second_beside_it() {
        let slow = |seconds| RoomDefaults { slow_seconds: Some(seconds), ..NOTHING }.check();
        let delay = |seconds| RoomDefaults { delay_seconds: Some(seconds), ..NOTHING }.check();
        let keep = |seconds| RoomDefaults { keep_seconds: Some(seconds), ..NOTHING }.check();
        for fine in [
            NOTHING.check(),
            slow(SLOW_SECONDS_MAX - 1),
            slow(SLOW_SECONDS_MAX),
            delay(DELAY_SECONDS_MAX - 1),
            delay(DELAY_SECONDS_MAX),
            keep(0),
            keep(KEEP_SECONDS_MIN),
            keep(KEEP_SECONDS_MIN + 1),
            keep(KEEP_SECONDS_MAX - 1),
            keep(KEEP_SECONDS_MAX),
        ] {
            assert_eq!(fine, Ok(()));
        }
        for wrong in [
            slow(SLOW_SECONDS_MAX + 1),
            delay(DELAY_SECONDS_MAX + 1),
            keep(1),
            keep(KEEP_SECONDS_MIN - 1),
            keep(KEEP_SECONDS_MAX + 1),
        ] {
            assert_eq!(wrong, Err(Rejection::BadArgument));
        }
    }
}
