//! What a run asks of whoever can see the server's process and the machine.
//!
//! Neighbours: the runner asks once a second; `run` answers for a server of its own, a test for none.

use std::time::Duration;

/// What watches the server's process and the machine, once a second.
pub trait Watch {
    /// The server's CPU so far and its resident memory; `None` when it is gone or not ours to see.
    fn server(&mut self) -> Option<(Duration, u64)>;
    /// Share of all cores' time that went to other guests since the last call.
    fn steal(&mut self) -> f64;
    /// CPU seconds that other programs took since the last call, of the cores that the run may use. `own` is the CPU
    /// so far of the run's own programs. `None` the first time, and where nobody can tell.
    fn others(&mut self, own: Duration) -> Option<f64> {
        let _ = own;
        None
    }
    /// CPU so far of the thread of those who mean ill; `None` where nobody does.
    fn abusers(&mut self) -> Option<Duration> {
        None
    }
    /// Load is offered from now on.
    fn load_begins(&mut self) {}
    /// All that was said has been answered and heard, and nothing more is said.
    fn drained(&mut self) {}
    /// Connections that the machine's kernel refused since it started, because a listener's backlog
    /// was full.
    fn listen_overflows(&mut self) -> u64 {
        0
    }
    /// Bytes that the kernel holds for the server's sockets, where somebody asks for them.
    fn kernel_bytes(&mut self) -> Option<u64> {
        None
    }
    /// Why the run should end now, if it should.
    fn stop(&mut self) -> Option<String>;
}
