//! How long frames are gathered before they are written: nothing when the server is quiet, up to
//! two milliseconds when it is loud, so that latency is paid only where it buys writes.
//!
//! Neighbours: the fan-outs of all shards add what they offer and ask. It never waits itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// Below this many frames a second (an eighth of what one core can write one by one) nothing is
/// gathered.
const QUIET: f64 = 50_000.0;
/// From this many on, gathering lasts `GATHER_MAX`.
const LOUD: f64 = 200_000.0;
/// A fifth of what a person notices, with the network's share taken off.
const GATHER_MAX: Duration = Duration::from_millis(2);
/// How far back the rate looks.
const MEMORY: f64 = 0.1;
/// The rate is looked at this often, in seconds.
const SAMPLE: f64 = 0.005;

/// Frames offered by the whole server.
#[derive(Clone, Debug, Default)]
pub struct Offered(Arc<AtomicU64>);

/// One fan-out's view of the rate.
#[derive(Debug)]
pub struct Pace {
    offered: Offered,
    seen: u64,
    at: Moment,
    rate: f64,
}

impl Pace {
    /// A quiet server.
    pub fn new(offered: Offered) -> Self {
        Self { offered, seen: 0, at: Moment::default(), rate: 0.0 }
    }

    /// Where they are counted.
    #[cfg(test)]
    pub fn offered(&self) -> Offered {
        self.offered.clone()
    }

    /// So many frames more are offered to sockets.
    pub fn offer(&self, frames: u64) {
        self.offered.0.fetch_add(frames, Ordering::Relaxed);
    }

    /// How long to gather from the last write on.
    pub fn gather(&mut self, now: Moment) -> Duration {
        let elapsed = now.since(self.at).as_secs_f64();
        if elapsed >= SAMPLE {
            let total = self.offered.0.load(Ordering::Relaxed);
            let newest = (total - self.seen) as f64 / elapsed;
            let weight = elapsed / (MEMORY + elapsed);
            self.rate += (newest - self.rate) * weight;
            (self.seen, self.at) = (total, now);
        }
        let loudness = ((self.rate - QUIET) / (LOUD - QUIET)).clamp(0.0, 1.0);
        GATHER_MAX.mul_f64(loudness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gather time after a second of this many frames a second, told every millisecond.
    fn after_a_second_of(pace: &mut Pace, from: u64, rate: u64) -> Duration {
        let mut gather = Duration::ZERO;
        for ms in 1..=1_000 {
            pace.offer(rate / 1_000);
            gather = pace.gather(Moment((from + ms) * 1_000_000));
        }
        gather
    }

    #[test]
    fn gathering_grows_with_the_load_and_goes_back_with_it() {
        let mut pace = Pace::new(Offered::default());
        assert_eq!(after_a_second_of(&mut pace, 0, 40_000), Duration::ZERO);
        let middle = after_a_second_of(&mut pace, 1_000, 125_000);
        assert!((0.8..1.2).contains(&(middle.as_secs_f64() * 1e3)), "{middle:?}");
        assert_eq!(after_a_second_of(&mut pace, 2_000, 400_000), GATHER_MAX);
        assert_eq!(after_a_second_of(&mut pace, 3_000, 0), Duration::ZERO);
    }

    #[test]
    fn all_fan_outs_see_the_load_of_the_whole_server() {
        let offered = Offered::default();
        let (busy, mut idle) = (Pace::new(offered.clone()), Pace::new(offered));
        busy.offer(1_000_000);
        assert_eq!(idle.gather(Moment(1_000_000_000)), GATHER_MAX);
    }
}
