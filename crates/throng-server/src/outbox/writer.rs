//! What one thread writes to sockets: counted for a tick, and gathered where many small pieces wait.
//!
//! Neighbours: each thread that writes has one of its own and hands it to `outbox.rs`; the counts go into
//! the metrics once a tick.

use crate::operations::histogram::Tally;
use crate::operations::metrics::Metrics;

/// Counts one thread's writes for a tick, and holds its buffer for gathering.
#[derive(Debug, Default)]
pub struct Writer {
    pub(super) gathered: Vec<u8>,
    frames_per_write: Tally,
    writes: u64,
    frames: u64,
    bytes: u64,
    /// Acks of posts that were handed on.
    pub(super) acks: u32,
}

impl Writer {
    pub(super) fn wrote(&mut self, frames: u32, bytes: usize) {
        self.writes += 1;
        self.frames += u64::from(frames);
        self.bytes += bytes as u64;
        self.frames_per_write.observe(u64::from(frames));
    }

    /// Acks of posts that were handed on since this was last asked.
    pub fn take_acks(&mut self) -> u32 {
        std::mem::take(&mut self.acks)
    }

    /// Hands the counts over.
    pub fn count_into(&mut self, metrics: &Metrics) {
        self.acks = 0;
        if self.writes == 0 {
            return;
        }
        metrics.writes.inc_by(std::mem::take(&mut self.writes));
        metrics.frames_written.inc_by(std::mem::take(&mut self.frames));
        metrics.bytes_written.inc_by(std::mem::take(&mut self.bytes));
        metrics.frames_per_write.add(&mut self.frames_per_write);
    }
}
