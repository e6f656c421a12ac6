//! SIGTERM and SIGINT, for the commands that end in order.
//!
//! Neighbours: `serve` waits for them in its own runtime, `lab run` in a thread beside the run.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use throng_server::lifecycle::EXIT_HARD;

/// Both, from the moment it is made: inside a runtime.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// For what has no runtime: true from the first signal on; the second ends the process at once.
pub fn flag() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    let wait = async move {
        signals.next().await;
        raised.store(true, Ordering::Relaxed);
        // Who closed the standard error sees the end all the same.
        let _ = writeln!(io::stderr(), "throng: ending; a second signal ends at once");
        signals.next().await;
        std::process::exit(EXIT_HARD)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait))?;
    Ok(flag)
}
