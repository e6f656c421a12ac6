//! How the server stops: who must be waited for, the two signals, and the exits that are not clean.
//!
//! Neighbours: `app` starts everything through it, listeners and connections ask it whether to go
//! on. The first signal drains: nothing new is taken, what is under way is answered, every client is
//! told to come back. The second ends the process at once. It never decides what is durable.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::fanout::{Offered, Pace};

/// Exit code when a sync failed: what is on disk is unknown, recovery decides (I10). `EX_IOERR`.
pub const EXIT_SYNC_FAILED: i32 = 74;
/// Exit code of a bug in a thread without which there is no order. `EX_SOFTWARE`.
pub const EXIT_BUG: i32 = 70;
/// Exit code of the second signal: ended before all was drained.
pub const EXIT_HARD: i32 = 130;

/// How far the server has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Takes connections and requests.
    Serving,
    /// Takes no more; finishes what is under way.
    Draining,
}

/// Tracks the tasks and tells them when to stop. Clones are one.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    tasks: AtomicUsize,
    /// The last task ended.
    none_left: Notify,
}

impl Default for Lifecycle {
    fn default() -> Self {
        let (phase, _) = watch::channel(Phase::Serving);
        Self(Arc::new(Inner { phase, tasks: AtomicUsize::new(0), none_left: Notify::new() }))
    }
}

impl Lifecycle {
    /// Starts a task that a stop waits for. What is not `Unpin` is boxed by the caller: wrapped in
    /// another `async` block it would be held twice for as long as it runs.
    #[expect(clippy::disallowed_methods, reason = "this is the task tracker")]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Unpin + Send + 'static,
    {
        tokio::spawn(Tracked { task, _running: self.running() })
    }

    /// Counts as a task while it is held.
    pub fn running(&self) -> Running {
        self.0.tasks.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    /// Whether new work is taken.
    pub fn is_serving(&self) -> bool {
        *self.0.phase.borrow() == Phase::Serving
    }

    /// Begins to drain. Twice is once.
    pub fn drain(&self) {
        self.0.phase.send_replace(Phase::Draining);
    }

    /// Waits until draining begins.
    pub async fn draining(&self) {
        let mut phase = self.0.phase.subscribe();
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
    }

    /// Waits until every task has ended.
    pub async fn ended(&self) {
        loop {
            let none_left = self.0.none_left.notified();
            if self.0.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            none_left.await;
        }
    }

    /// Tasks that run.
    pub fn tasks(&self) -> usize {
        self.0.tasks.load(Ordering::Relaxed)
    }
}

/// The name of a thread of the runtime on which others wait: it ends ten seconds after its last use.
pub const BLOCKING: &str = "blocking";

/// The runtime of a server: half of the cores read and decode; the shards, the log's syncs and the
/// fold have threads of their own, and a second worker on a small machine is only another thread to
/// be woken. When the server is loud a worker that has nothing to do rests a little before it looks
/// again, so that it finds the frames of many connections at once instead of being woken for each.
pub fn runtime(clock: &Clock, offered: &Offered) -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let clock = clock.clone();
    let pace = Mutex::new(Pace::new(offered.clone()));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).max(1))
        // Which of its threads are workers it does not tell; only those park.
        .thread_name(BLOCKING)
        .enable_all()
        .on_thread_park(move || {
            name_worker();
            // Of several workers one rests at a time; the others go on.
            let Ok(mut pace) = pace.try_lock() else { return };
            let rest = pace.gather(clock.now()) / 2;
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
        })
        .build()
}

/// Gives a worker its name, once. A profile leaves out the threads that are still called [`BLOCKING`].
fn name_worker() {
    thread_local!(static NAMED: Cell<bool> = const { Cell::new(false) });
    if !NAMED.replace(true) {
        let _ = rustix::thread::set_name(c"runtime");
    }
}

/// A task and its entry among those that run.
struct Tracked<F> {
    task: F,
    _running: Running,
}

impl<F: Future + Unpin> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.task).poll(cx)
    }
}

/// A task that runs.
#[derive(Debug)]
pub struct Running(Lifecycle);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.none_left.notify_waiters();
        }
    }
}

/// What is done when the process must end by itself. In a test it is told instead.
#[derive(Clone)]
pub struct Fatal(Arc<LastWord>);

/// Takes the exit code and why.
type LastWord = dyn Fn(i32, &str) + Send + Sync;

impl fmt::Debug for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fatal")
    }
}

impl Fatal {
    /// Ends the process with the code.
    pub fn exit() -> Self {
        Self::new(|code, last_word| {
            tracing::error!(code, "{last_word}");
            std::process::exit(code)
        })
    }

    /// Does this with the code and the last word.
    pub fn new(end: impl Fn(i32, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(end))
    }

    /// A sync failed.
    pub fn sync_failed(&self, error: &dyn fmt::Display) {
        (self.0)(EXIT_SYNC_FAILED, &error.to_string());
    }

    /// A sync of this file failed, of which the error does not speak.
    pub fn sync_of_failed(&self, file: &str, cause: &str) {
        let ending = "ending, so that recovery trusts only what is on disk";
        self.sync_failed(&format!("cannot sync {file}: {cause}; {ending}"));
    }

    /// Does the work of a thread that others wait for, so that its panic is not the end of it alone.
    pub fn guard(&self, what: &str, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.bug(what);
        }
    }

    /// A thread without which there is no order has panicked; its message is above in the log.
    pub fn bug(&self, what: &str) {
        (self.0)(
            EXIT_BUG,
            &format!(
                "{what}; this is a bug, the server ends so that nothing is told that is not so"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_every_task() {
        let lifecycle = Lifecycle::default();
        let (release, held) = tokio::sync::oneshot::channel::<()>();
        let task = lifecycle.spawn(held);
        assert_eq!(lifecycle.tasks(), 1);
        let ended = lifecycle.ended();
        tokio::pin!(ended);
        assert!(futures_now(ended.as_mut()).await.is_none());
        release.send(()).unwrap();
        task.await.unwrap().unwrap();
        ended.await;
    }

    #[tokio::test]
    async fn draining_is_seen_by_those_who_ask_later_too() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.is_serving());
        lifecycle.drain();
        assert!(!lifecycle.is_serving());
        lifecycle.draining().await;
    }

    #[test]
    fn a_thread_that_panics_is_the_end_of_the_process_and_one_that_ends_is_not() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let fatal = Fatal::new(move |code, why| tell.lock().unwrap().push((code, why.to_owned())));
        fatal.guard("the first", || {});
        assert!(told.lock().unwrap().is_empty());
        fatal.guard("the second", || panic!("planted in a test"));
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].0 == EXIT_BUG && told[0].1.starts_with("the second;"), "{told:?}");
    }

    #[test]
    fn the_last_word_names_the_file_that_could_not_be_synced() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let fatal = Fatal::new(move |code, why| tell.lock().unwrap().push((code, why.to_owned())));
        fatal.sync_of_failed("kept.db", "disk I/O error");
        let told = told.lock().unwrap();
        let says = "cannot sync kept.db: disk I/O error; ending, so that recovery trusts only what is on disk";
        assert_eq!(*told, [(EXIT_SYNC_FAILED, says.to_owned())]);
    }

    /// What a future gives when it is polled once.
    async fn futures_now<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            let polled = Pin::new(&mut future).poll(cx);
            Poll::Ready(match polled {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            })
        })
        .await
    }
}
