//! The account of a floor's run: its frames say nothing, so they are counted and measured.
//!
//! Neighbours: `crowd` reads, `load` sends; `book` is the one for a server.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;

use super::book::{Sent, histogram};
use super::crowd::Hears;
use super::load::Account;

/// Counts, and how long acks took.
#[derive(Debug)]
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
    /// Intended times of what each link has sent and not been acked. The floor acks a link's posts in their order.
    open: Vec<VecDeque<u64>>,
    /// Only latencies of sends intended in this span are kept.
    span: (u64, u64),
    /// From the intended time to the ack, nanoseconds: of a server that does nothing this is what the lab's own
    /// clients, the kernel and the way there and back take.
    pub acks: Histogram<u64>,
}

impl Tally {
    /// Each send has so many deliveries.
    pub fn new(fanout: u64) -> Self {
        Self { fanout, ..Self::of_rooms(BTreeMap::new()) }
    }

    /// Each send has as many deliveries as its room has members.
    pub fn of_rooms(fanouts: BTreeMap<u32, u64>) -> Self {
        Self {
            fanouts,
            fanout: 0,
            due: 0,
            sends: 0,
            acked: 0,
            delivered: 0,
            odd: 0,
            sizes: [0; 2],
            open: Vec::new(),
            span: (0, u64::MAX),
            acks: histogram(),
        }
    }
}

impl Hears for Tally {
    fn frame(&mut self, link: usize, payload: &[u8], at: u64) {
        if payload.first() == Some(&b'a')
            && let Some(intended) = self.open.get_mut(link).and_then(VecDeque::pop_front)
            && (self.span.0..self.span.1).contains(&intended)
        {
            self.acks.saturating_record(at.saturating_sub(intended));
        }
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
    fn sends(&mut self, link: usize, sent: Sent) -> usize {
        if self.open.len() <= link {
            self.open.resize_with(link + 1, VecDeque::new);
        }
        self.open[link].push_back(sent.intended);
        self.sends += 1;
        self.due += self.fanouts.get(&sent.room).copied().unwrap_or(self.fanout);
        self.sends as usize - 1
    }

    fn span(&mut self, from: u64, to: u64) {
        self.span = (from, to);
    }

    fn counts(&self) -> (u64, u64) {
        (self.acked, self.delivered)
    }

    fn settled(&self) -> bool {
        self.acked == self.sends && self.delivered == self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_of_the_oldest_post_of_its_link_and_counts_from_when_that_was_meant() {
        let mut tally = Tally::new(2);
        tally.span(1_000_000, 5_000_000);
        let mut send = |link, intended| {
            let sent = Sent { intended, room: 1, number: 0, acked: 0, heard: 0, repeat: false };
            tally.sends(link, sent)
        };
        // One before the span, two over one link, one over another.
        assert_eq!(
            [send(0, 900_000), send(0, 1_000_000), send(0, 2_000_000), send(3, 1_500_000)],
            [0, 1, 2, 3]
        );
        tally.frame(0, b"ack", 9_000_000);
        assert_eq!(tally.acks.len(), 0, "it was meant before the span");
        tally.frame(3, b"ack", 2_000_000);
        tally.frame(0, b"ack", 3_000_000);
        tally.frame(0, b"ack", 3_000_000);
        // Events have no latency here; an ack that nobody waits for has none either.
        tally.frame(1, b"event", 9_000_000);
        tally.frame(1, b"ack", 9_000_000);
        assert_eq!((tally.acks.len(), tally.counts()), (3, (5, 1)));
        let took = |share: f64| (tally.acks.value_at_quantile(share) + 50_000) / 100_000;
        assert_eq!([took(0.0), took(0.5), took(1.0)], [5, 10, 20]);
    }
}
