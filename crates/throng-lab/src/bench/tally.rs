//! The account of a floor's run: its frames say nothing, so they are counted and measured.
//!
//! Neighbours: `crowd` reads, `load` sends; `book` is the one for a server.

use std::collections::BTreeMap;

use super::book::Sent;
use super::crowd::Hears;
use super::load::Account;

/// Counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// Deliveries of a send in each room; in any other, `fanout`.
    fanouts: BTreeMap<u32, u64>,
    fanout: u64,
    due: u64,
    sends: u64,
    acked: u64,
    delivered: u64,
    /// Frames of another sort or size than the floor was told to write.
    pub odd: u64,
    sizes: [usize; 2],
}

impl Tally {
    /// Each send has so many deliveries.
    pub fn new(fanout: u64) -> Self {
        Self { fanout, ..Self::default() }
    }

    /// Each send has as many deliveries as its room has members.
    pub fn of_rooms(fanouts: BTreeMap<u32, u64>) -> Self {
        Self { fanouts, ..Self::default() }
    }
}

impl Hears for Tally {
    fn frame(&mut self, _: usize, payload: &[u8], _: u64) {
        let (count, size) = match payload.first() {
            Some(b'e') => (&mut self.delivered, &mut self.sizes[0]),
            Some(b'a') => (&mut self.acked, &mut self.sizes[1]),
            _ => return,
        };
        *count += 1;
        if *size == 0 {
            *size = payload.len();
        }
        self.odd += u64::from(*size != payload.len());
    }
}

impl Account for Tally {
    fn sends(&mut self, sent: Sent) -> usize {
        self.sends += 1;
        self.due += self.fanouts.get(&sent.room).copied().unwrap_or(self.fanout);
        self.sends as usize - 1
    }

    fn span(&mut self, _: u64, _: u64) {}

    fn counts(&self) -> (u64, u64) {
        (self.acked, self.delivered)
    }

    fn settled(&self) -> bool {
        self.acked == self.sends && self.delivered == self.due
    }
}
