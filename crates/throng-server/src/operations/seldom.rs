//! Lines of the log that would come with each message while some trouble lasts: a full disk must not be
//! filled by what is said of it.
//!
//! Neighbours: whoever says such a line keeps one of these and gives it the time. What is counted in the
//! metrics is counted each time.

use std::time::Duration;

use crate::clock::Moment;

/// One line of a kind in this time; the others are counted and told with the next.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// When a kind of line was said last.
#[derive(Debug, Default)]
pub struct Seldom {
    at: Option<Moment>,
    /// Not said since then.
    unsaid: u64,
}

impl Seldom {
    /// Whether a line may be said now; then, how many were not since the last one.
    pub fn may(&mut self, now: Moment) -> Option<u64> {
        if self.at.is_some_and(|at| now.since(at) < SAID_AGAIN) {
            self.unsaid += 1;
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_first_line_is_said_and_then_one_in_ten_seconds_with_the_number_of_the_others() {
        let (clock, mut seldom) = (Clock::manual(), Seldom::default());
        assert_eq!(seldom.may(clock.now()), Some(0));
        for _ in 0..1_000 {
            clock.advance(Duration::from_millis(9));
            assert_eq!(seldom.may(clock.now()), None);
        }
        clock.advance(Duration::from_secs(1));
        assert_eq!(seldom.may(clock.now()), Some(1_000));
        assert_eq!(seldom.may(clock.now()), None);
        clock.advance(SAID_AGAIN);
        assert_eq!(seldom.may(clock.now()), Some(1));
    }
}
