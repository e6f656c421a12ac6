//! The log in memory, for `--memory` and the tests: ordered and bounded, gone with the process.
//!
//! Neighbours: as for every log. It never touches a disk and says so by its durability: none.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use throng_core::Epoch;

use super::{Log, LogError, SyncObserver, TurnId, Visit};

/// The log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    epoch: Epoch,
    bytes_max: usize,
    kept: Mutex<Kept>,
    observer: OnceLock<Arc<dyn SyncObserver>>,
}

#[derive(Debug, Default)]
struct Kept {
    turns: VecDeque<Arc<[u8]>>,
    bytes: usize,
    newest: u64,
}

impl MemoryLog {
    /// An empty log. Beyond `bytes_max` of turns that were not trimmed it is full.
    pub fn new(epoch: Epoch, bytes_max: usize) -> Self {
        Self { epoch, bytes_max, kept: Mutex::default(), observer: OnceLock::new() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it holds the turns")
    }
}

impl Kept {
    fn oldest(&self) -> u64 {
        self.newest + 1 - self.turns.len() as u64
    }
}

impl Log for MemoryLog {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn append(&self, turn: &[u8]) -> Result<TurnId, LogError> {
        assert!(!turn.is_empty(), "a turn without events is not appended");
        let mut kept = self.kept();
        if kept.bytes + turn.len() > self.bytes_max {
            return Err(LogError::Full);
        }
        kept.turns.push_back(turn.into());
        kept.bytes += turn.len();
        kept.newest += 1;
        let id = TurnId(kept.newest);
        drop(kept);
        if let Some(observer) = self.observer.get() {
            observer.synced(1, turn.len(), Duration::ZERO);
        }
        Ok(id)
    }

    fn replay(&self, after: TurnId, visit: &mut Visit<'_>) -> Result<(), LogError> {
        let mut next = after.0 + 1;
        loop {
            let kept = self.kept();
            next = next.max(kept.oldest());
            let Some(turn) = kept.turns.get((next - kept.oldest()) as usize).cloned() else {
                return Ok(());
            };
            drop(kept);
            let at = TurnId(next);
            visit(at, &turn).map_err(|cause| LogError::Corrupt { at, cause })?;
            next += 1;
        }
    }

    fn trim(&self, through: TurnId) -> Result<(), LogError> {
        let mut kept = self.kept();
        while kept.oldest() <= through.0 {
            let Some(turn) = kept.turns.pop_front() else { break };
            kept.bytes -= turn.len();
        }
        Ok(())
    }

    fn scrub(&self, _nothing: &[u8]) -> Result<bool, LogError> {
        Ok(true)
    }

    fn close(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn observe(&self, observer: Arc<dyn SyncObserver>) {
        // The first one stays: there is one set of metrics.
        let _ = self.observer.set(observer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::suite;

    #[test]
    fn it_passes_the_suite() {
        suite::run(&mut || Arc::new(MemoryLog::new(Epoch(1), 1 << 24)));
    }

    #[test]
    fn it_is_full_at_its_bound_and_takes_again_when_trimmed() {
        let log = MemoryLog::new(Epoch(1), 10);
        log.append(&[1; 5]).unwrap();
        log.append(&[2; 5]).unwrap();
        assert!(matches!(log.append(&[3]), Err(LogError::Full)));
        log.trim(TurnId(1)).unwrap();
        assert_eq!(log.append(&[3]).unwrap(), TurnId(3));
    }
}
