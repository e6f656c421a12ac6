//! Who runs where in the rows with a floor: the clients have the last core for themselves, the server
//! and the floors have the others, as if the clients were elsewhere.
//!
//! Left alone, the kernel puts a floor's one thread on the clients' core, where a hundred writes wake
//! nobody who was not awake, and the server's on another, where every third write wakes the clients
//! by an interrupt: 584 wake-ups a second of one and 12,479 of the other for the same 40,000 writes.
//! That is a figure of the scheduler and not of either program. `--shared-cores` leaves them alone, and
//! so does work that takes more than the cores that would be left.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread on the clients' core for as long as it lives.
#[derive(Debug)]
pub struct Apart(Option<Cores>);

#[derive(Debug)]
struct Cores {
    all: CpuSet,
    clients: CpuSet,
    measured: CpuSet,
}

impl Apart {
    /// Moves this thread, which runs the clients. With one core, or `shared`, all stays as it is.
    pub fn begin(shared: bool) -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let ours: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
        let (Some((last, others)), false) = (ours.split_last(), shared) else {
            return Ok(Self(None));
        };
        if others.is_empty() {
            return Ok(Self(None));
        }
        let (mut clients, mut measured) = (CpuSet::new(), CpuSet::new());
        clients.set(*last);
        for core in others {
            measured.set(*core);
        }
        sched_setaffinity(None, &clients)?;
        Ok(Self(Some(Cores { all, clients, measured })))
    }

    /// Whether the clients have a core for themselves.
    pub fn is_apart(&self) -> bool {
        self.0.is_some()
    }

    /// Starts what is measured: a process takes over the cores of the thread that starts it.
    pub fn start<T>(&self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(cores) = &self.0 else { return start() };
        sched_setaffinity(None, &cores.measured)?;
        let started = start();
        sched_setaffinity(None, &cores.clients)?;
        started
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(cores) = &self.0 {
            // It worked before; a thread left where it is would only be slower.
            let _ = sched_setaffinity(None, &cores.all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    #[test]
    fn the_clients_and_what_is_measured_share_no_core_and_all_is_as_before_at_the_end() {
        let before = cores();
        let apart = Apart::begin(false).unwrap();
        let clients = cores();
        let measured = apart.start(|| Ok(cores())).unwrap();
        assert_eq!(cores(), clients);
        if apart.is_apart() {
            assert_eq!(clients.len(), 1);
            assert!(!measured.contains(&clients[0]));
            assert_eq!(clients.len() + measured.len(), before.len());
        } else {
            assert_eq!(before.len(), 1, "more cores than one can be shared out");
        }
        drop(apart);
        assert_eq!(cores(), before);
        let shared = Apart::begin(true).unwrap();
        assert!(!shared.is_apart());
        assert_eq!(cores(), before);
    }
}
