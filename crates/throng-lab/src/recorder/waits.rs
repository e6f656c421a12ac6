//! How long each send waited in the generator: from when it was intended until the kernel was handed its first byte.
//!
//! Neighbours: the crowd tells what the engine handed over; the recorder asks when the ack has come, so that an ack
//! and the part of it that was the generator's are of the same sends.

use std::time::Duration;

use crate::ledger::SendIx;

/// Not handed over yet.
const STILL_HERE: u32 = u32::MAX;

/// Of every send, by its number.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// Microseconds.
    waited_us: Vec<u32>,
    handed: u64,
}

impl Waits {
    /// The kernel was handed the first byte of this send, so long after it was intended. Of one that had to be sent
    /// again, the first time counts: what came after that was not the generator's waiting.
    pub fn handed(&mut self, send: SendIx, waited: Duration) {
        let at = send.0 as usize;
        if at >= self.waited_us.len() {
            self.waited_us.resize(at + 1, STILL_HERE);
        }
        if self.waited_us[at] == STILL_HERE {
            let longest = u128::from(STILL_HERE - 1);
            self.waited_us[at] = waited.as_micros().min(longest) as u32;
            self.handed += 1;
        }
    }

    /// How long it waited; `None` where it has not been handed over.
    pub fn of(&self, send: SendIx) -> Option<Duration> {
        let us = *self.waited_us.get(send.0 as usize)?;
        (us != STILL_HERE).then(|| Duration::from_micros(u64::from(us)))
    }

    /// Of so many sends, how many are still here.
    pub fn still_here(&self, sends: u64) -> u64 {
        sends.saturating_sub(self.handed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_waits_until_it_was_handed_over_for_the_first_time() {
        let mut waits = Waits::default();
        let ms = Duration::from_millis;
        waits.handed(SendIx(2), ms(5));
        waits.handed(SendIx(0), ms(7));
        waits.handed(SendIx(2), ms(900));
        assert_eq!(
            [0, 1, 2, 3].map(|at| waits.of(SendIx(at))),
            [Some(ms(7)), None, Some(ms(5)), None]
        );
        assert_eq!(waits.still_here(4), 2);
    }
}
