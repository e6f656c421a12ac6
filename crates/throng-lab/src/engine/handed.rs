//! When the kernel was handed the first byte of something that was to be said: what says how long it waited here
//! before.
//!
//! Neighbours: `mod` writes and asks here what went; whoever appended the bytes named them. The moment is that just
//! before the write, so that what the kernel does within the call is not counted as waiting. Over an agent it is the
//! moment at which the bytes go into the agent's link.

use std::collections::VecDeque;
use std::vec::Drain;

use super::{ConnId, Sockets, socket_of};
use crate::clock::Nanos;

/// What one connection has still to hand over, by the place of its first byte.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// Bytes that the kernel has taken so far.
    taken: u64,
    /// Where each begins among all bytes of the connection, ascending, and its number.
    begins: VecDeque<(u64, u32)>,
}

impl Stamps {
    /// Something is still here.
    pub(super) fn wait(&self) -> bool {
        !self.begins.is_empty()
    }

    /// `ahead` bytes are still here that go before it.
    fn put(&mut self, ahead: usize, number: u32) {
        self.begins.push_back((self.taken + ahead as u64, number));
    }

    /// The kernel took so many bytes more, which it was handed at this moment.
    pub(super) fn took(&mut self, len: usize, at: Nanos, handed: &mut Vec<(u32, Nanos)>) {
        self.taken += len as u64;
        while let Some((_, number)) = self.begins.pop_front_if(|it| it.0 < self.taken) {
            handed.push((number, at));
        }
    }
}

impl Sockets {
    /// What begins at byte `at` of `out(conn)` goes by this number: [`Sockets::handed`] tells when the kernel was
    /// handed it. Asked after each append, before anything is flushed.
    pub fn stamp(&mut self, conn: ConnId, at: usize, number: u32) {
        if let Some(socket) = socket_of(&mut self.table, conn) {
            socket.stamps.put(at - socket.sent, number);
        }
    }

    /// What the kernel was handed since the last call: the numbers, and when. What a lost connection had still to
    /// say was not handed over.
    pub fn handed(&mut self) -> Drain<'_, (u32, Nanos)> {
        self.handed.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_within_what_was_taken_was_handed_over_and_nothing_else() {
        let (mut stamps, mut handed) = (Stamps::default(), Vec::new());
        // Three of a hundred bytes each, the first behind ten that nobody asks for.
        for (ahead, number) in [(10, 1), (110, 2), (210, 3)] {
            stamps.put(ahead, number);
        }
        for (len, at) in [(10, 1), (1, 2), (99, 3), (101, 4)] {
            stamps.took(len, Nanos(at), &mut handed);
        }
        assert_eq!(handed, [(1, Nanos(2)), (2, Nanos(4)), (3, Nanos(4))]);
        assert!(!stamps.wait());
        // Ninety-nine are still here, and what comes now is behind them.
        stamps.put(99, 4);
        stamps.took(99, Nanos(5), &mut handed);
        assert!(stamps.wait() && handed.len() == 3);
        stamps.took(1, Nanos(6), &mut handed);
        assert_eq!(handed[3], (4, Nanos(6)));
    }
}
