//! The threads that hash passwords: few, at low priority, behind a queue that is bounded in length
//! and in time. What does not fit is told *busy* at once.
//!
//! Neighbours: `auth` asks it; it knows passwords, not accounts. It never runs on the runtime's
//! threads, and a caller that goes away frees no place before its work is passed over or done.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use throng_core::{Limits, Rejection};
use tokio::sync::oneshot;

use super::password::{Arena, Password, Phc, Verdict};
use crate::clock::{Clock, Moment};
use crate::operations::metrics::Metrics;
use crate::spread::Spread;

/// How much lower than the chat's threads these stand: at 10 a hashing thread that meets a chat
/// thread on one core gets about a tenth of it.
const NICE: i32 = 10;
/// Assumed for the first estimate of a wait, before anything was measured.
const FIRST_HASH_TOOK: Duration = Duration::from_millis(20);
/// Nobody is told to come back sooner: a retry must be worth its packet.
const RETRY_AFTER_MS_MIN: u32 = 250;

/// The pool.
#[derive(Debug)]
pub struct Hashing {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    clock: Clock,
    threads: usize,
    queue_max: usize,
    wait_max: Duration,
    refused: Spread,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Job>,
    /// Places taken: queued, or promised to one who is still looking up its account.
    taken: usize,
    /// When each job that is being hashed now was begun; one a thread at most.
    running: Vec<Moment>,
    /// How long a hash takes of late (exponential mean of eight).
    took: Duration,
    ended: bool,
}

#[derive(Debug)]
struct Job {
    work: Work,
    since: Moment,
}

/// Tells the one who asked, after the counts.
type Answer = Box<dyn FnOnce()>;

#[derive(Debug)]
enum Work {
    Hash {
        password: Password,
        reply: oneshot::Sender<Result<Phc, Rejection>>,
    },
    Verify {
        password: Password,
        kept: Phc,
        reply: oneshot::Sender<Result<Verified, Rejection>>,
    },
    #[cfg(test)]
    Panic {
        reply: oneshot::Sender<Result<Phc, Rejection>>,
    },
    /// Says that it has begun, and goes on when it is told to.
    #[cfg(test)]
    Wait {
        begun: std::sync::mpsc::SyncSender<()>,
        go: oneshot::Receiver<()>,
    },
}

/// What came of a try, with the new hash to keep when the old one is stale.
#[derive(Debug)]
pub struct Verified {
    /// Whether it was the password.
    pub verdict: Verdict,
    /// The same password hashed with today's parameters.
    pub renewed: Option<Phc>,
}

/// A place in the queue, given back when it is dropped unused. It is taken before the account is
/// looked up, so that a full pool refuses without touching the disk.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    used: bool,
}

impl Hashing {
    /// Starts the threads.
    pub fn start(limits: &Limits, clock: Clock, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = limits.hash_thread_count(cores);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                taken: 0,
                running: Vec::with_capacity(threads),
                took: FIRST_HASH_TOOK,
                ended: false,
            }),
            wake: Condvar::new(),
            clock,
            threads,
            queue_max: limits.hash_queue_max,
            wait_max: Duration::from_millis(limits.hash_wait_max_ms),
            refused: Spread::default(),
            metrics,
        });
        let threads = (0..threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("hash-{number}"))
                    .spawn(move || shared.run())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { shared, threads })
    }

    /// Takes a place in the queue, or says *busy* at once.
    pub fn place(&self) -> Result<Place, Rejection> {
        let mut state = self.shared.lock();
        let wait = self.shared.wait(&state);
        if state.ended || state.taken >= self.shared.queue_max || wait > self.shared.wait_max {
            self.shared.metrics.hashes_refused.inc();
            return Err(self.shared.busy(wait));
        }
        state.taken += 1;
        Ok(Place { shared: Arc::clone(&self.shared), used: false })
    }

    /// Where it counts.
    #[cfg(test)]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Threads that hash.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        let abandoned = {
            let mut state = self.shared.lock();
            state.ended = true;
            std::mem::take(&mut state.queue)
        };
        drop(abandoned);
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Place {
    /// Hashes a new password.
    pub async fn hash(self, password: Password) -> Result<Phc, Rejection> {
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Hash { password, reply });
        answer.await.unwrap_or(Err(Rejection::Unavailable))
    }

    /// Compares a password with what is kept of one.
    pub async fn verify(self, password: Password, kept: Phc) -> Result<Verified, Rejection> {
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Verify { password, kept, reply });
        answer.await.unwrap_or(Err(Rejection::Unavailable))
    }

    /// From here on the place belongs to the work: one who goes away does not free it.
    fn submit(mut self, work: Work) {
        self.used = true;
        let since = self.shared.clock.now();
        let mut state = self.shared.lock();
        if !state.ended {
            state.queue.push_back(Job { work, since });
        }
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.used {
            self.shared.lock().taken -= 1;
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing below can leave the state half changed: counts and a queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long one who comes now would wait for its turn. A hash that takes long speaks before it is
    /// done: when these threads get little of a busy machine, nobody is let in on yesterday's pace.
    fn wait(&self, state: &State) -> Duration {
        let ahead = state.taken + state.running.len();
        let now = self.clock.now();
        let oldest = state.running.iter().map(|begun| now.since(*begun)).max();
        let each = state.took.max(oldest.unwrap_or_default());
        each * u32::try_from(ahead / self.threads).unwrap_or(u32::MAX)
    }

    /// Come back when those are done who are before you, and not all of you at once.
    fn busy(&self, wait: Duration) -> Rejection {
        let wait = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        self.refused.busy(wait.max(RETRY_AFTER_MS_MIN))
    }

    fn run(&self) {
        lower_priority();
        let mut arena = Arena::default();
        while let Some((begun, job, wait)) = self.next() {
            let waited = begun.since(job.since);
            let (outcome, answer) = if job.work.asker_has_gone() {
                (Outcome::PassedOver, None)
            } else if waited > self.wait_max * 2 {
                (Outcome::Refused, Some(job.work.refuse(self.busy(wait))))
            } else {
                let hashed = catch_unwind(AssertUnwindSafe(|| job.work.run(&mut arena))).ok();
                if hashed.is_none() {
                    // Who asked hears *unavailable*, for the panic has dropped its answer. The
                    // thread goes on, with memory that nothing was half done in.
                    tracing::error!("hashing a password panicked; its message is above");
                    arena = Arena::default();
                }
                let outcome = if hashed.is_some() { Outcome::Hashed } else { Outcome::Broken };
                (outcome, hashed)
            };
            self.finish(outcome, begun);
            if let Some(answer) = answer {
                answer();
            }
        }
    }

    /// The next job, begun now, and what is still behind it, as a wait; `None` at the end.
    fn next(&self) -> Option<(Moment, Job, Duration)> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                let begun = self.clock.now();
                state.taken -= 1;
                state.running.push(begun);
                return Some((begun, job, self.wait(&state)));
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, outcome: Outcome, begun: Moment) {
        let took = self.clock.now().since(begun);
        let mut state = self.lock();
        if let Some(own) = state.running.iter().position(|other| *other == begun) {
            state.running.swap_remove(own);
        }
        match outcome {
            Outcome::Hashed => {
                self.metrics.hashes.inc();
                state.took = (state.took * 7 + took) / 8;
            }
            Outcome::Refused => _ = self.metrics.hashes_refused.inc(),
            Outcome::Broken => {}
            Outcome::PassedOver => _ = self.metrics.hashes_passed_over.inc(),
        }
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Hashed,
    Refused,
    PassedOver,
    Broken,
}

impl Work {
    fn asker_has_gone(&self) -> bool {
        match self {
            Self::Hash { reply, .. } => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
            #[cfg(test)]
            Self::Panic { reply } => reply.is_closed(),
            #[cfg(test)]
            Self::Wait { .. } => false,
        }
    }

    /// A receiver that has gone needs no answer, here and below.
    fn refuse(self, rejection: Rejection) -> Answer {
        match self {
            Self::Hash { reply, .. } => Box::new(move || drop(reply.send(Err(rejection)))),
            Self::Verify { reply, .. } => Box::new(move || drop(reply.send(Err(rejection)))),
            #[cfg(test)]
            Self::Panic { reply } => Box::new(move || drop(reply.send(Err(rejection)))),
            #[cfg(test)]
            Self::Wait { .. } => Box::new(|| {}),
        }
    }

    fn run(self, arena: &mut Arena) -> Answer {
        match self {
            Self::Hash { password, reply } => {
                let phc = arena.hash(&password).map_err(|cause| trouble("hash a password", &cause));
                Box::new(move || drop(reply.send(phc)))
            }
            Self::Verify { password, kept, reply } => {
                let verdict = arena.verify(&password, &kept);
                let renewed = (verdict == Verdict::RightButStale)
                    .then(|| arena.hash(&password).ok())
                    .flatten();
                Box::new(move || drop(reply.send(Ok(Verified { verdict, renewed }))))
            }
            #[cfg(test)]
            Self::Panic { .. } => panic!("planted in a test"),
            #[cfg(test)]
            Self::Wait { begun, go } => {
                begun.send(()).unwrap();
                drop(go.blocking_recv());
                Box::new(|| {})
            }
        }
    }
}

fn trouble(attempted: &str, cause: &str) -> Rejection {
    tracing::error!(attempted, cause, "a password could not be worked on");
    Rejection::Unavailable
}

fn lower_priority() {
    let own = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(own), NICE) {
        tracing::warn!(%error, "cannot lower the priority of a hashing thread; logins may slow chat");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(queue_max: usize, wait_max_ms: u64) -> Hashing {
        pool_at(Clock::manual(), queue_max, wait_max_ms)
    }

    fn pool_at(clock: Clock, queue_max: usize, wait_max_ms: u64) -> Hashing {
        let limits = Limits {
            hash_threads: 1,
            hash_queue_max: queue_max,
            hash_wait_max_ms: wait_max_ms,
            ..Limits::default()
        };
        Hashing::start(&limits, clock, Metrics::new()).unwrap()
    }

    fn password() -> Password {
        Password::parse("correct horse").unwrap()
    }

    #[test]
    fn the_queue_takes_exactly_its_bound_and_a_place_given_back_is_free_again() {
        let pool = pool(3, 60_000);
        let mut places: Vec<_> = (0..3).map(|_| pool.place().unwrap()).collect();
        assert!(matches!(pool.place(), Err(Rejection::Busy { .. })));
        places.pop();
        assert!(pool.place().is_ok());
        assert_eq!(pool.shared.metrics.hashes_refused.get(), 1);
    }

    #[test]
    fn a_queue_that_would_be_waited_in_too_long_is_full_before_its_bound() {
        // 20 ms a hash are assumed: three ahead are 60 ms, four are 80.
        let pool = pool(1_000, 60);
        let places: Vec<_> = (0..4).map(|_| pool.place().unwrap()).collect();
        assert!(matches!(pool.place(), Err(Rejection::Busy { retry_after_ms: 250 })));
        drop(places);
        assert!(pool.place().is_ok());
    }

    #[test]
    fn those_who_are_refused_at_one_moment_are_not_told_one_moment_to_come_back() {
        let pool = pool(1, 60_000);
        let _place = pool.place().unwrap();
        let told = || pool.place().unwrap_err().retry_after_ms().unwrap();
        let waits: std::collections::BTreeSet<_> = (0..100).map(|_| told()).collect();
        assert!(waits.len() > 90, "{waits:?}");
        assert!(waits.iter().all(|wait| (250..500).contains(wait)), "{waits:?}");
    }

    #[test]
    fn a_hash_that_takes_long_closes_the_queue_before_it_is_done() {
        let clock = Clock::manual();
        let pool = pool_at(clock.clone(), 1_000, 1_000);
        pool.shared.lock().running.push(clock.now());
        let places: Vec<_> = (0..3).map(|_| pool.place().unwrap()).collect();
        clock.advance(Duration::from_millis(250));
        // Three wait and one runs, 250 ms each as it looks now: exactly what may be waited.
        let fourth = pool.place().unwrap();
        assert!(matches!(pool.place(), Err(Rejection::Busy { retry_after_ms: 1_250 })));
        drop((places, fourth));
    }

    #[tokio::test]
    async fn a_password_fits_what_was_kept_of_it_and_places_are_given_back() {
        let pool = pool(8, 60_000);
        let never_polled = pool.place().unwrap().hash(password());
        drop(never_polled);
        let phc = pool.place().unwrap().hash(password()).await.unwrap();
        let verified = pool.place().unwrap().verify(password(), phc).await.unwrap();
        assert_eq!(verified.verdict, Verdict::Right);
        assert!(verified.renewed.is_none());
        assert_eq!(pool.shared.lock().taken, 0);
        assert_eq!(pool.shared.metrics.hashes.get(), 2);
    }

    #[test]
    fn work_whose_asker_has_gone_is_not_done() {
        let pool = pool(8, 60_000);
        let (reply, answer) = oneshot::channel();
        drop(answer);
        pool.place().unwrap().submit(Work::Hash { password: password(), reply });
        // The pool answers in order: when the second is done the first was passed over.
        let (reply, answer) = oneshot::channel();
        pool.place().unwrap().submit(Work::Hash { password: password(), reply });
        assert!(answer.blocking_recv().unwrap().is_ok());
        assert_eq!(pool.shared.metrics.hashes_passed_over.get(), 1);
        assert_eq!(pool.shared.metrics.hashes.get(), 1);
    }

    #[test]
    fn a_hash_that_panics_is_unavailable_and_the_next_one_is_done() {
        let pool = pool(2, 60_000);
        for _ in 0..3 {
            let (reply, answer) = oneshot::channel();
            pool.place().unwrap().submit(Work::Panic { reply });
            assert!(answer.blocking_recv().is_err(), "the asker makes *unavailable* of it");
            let (reply, answer) = oneshot::channel();
            pool.place().unwrap().submit(Work::Hash { password: password(), reply });
            assert!(answer.blocking_recv().unwrap().is_ok());
        }
        let state = pool.shared.lock();
        assert_eq!((state.taken, state.running.len()), (0, 0));
        assert_eq!(pool.shared.metrics.hashes.get(), 3);
    }

    #[test]
    fn so_many_passwords_are_hashed_at_once_and_the_next_waits_for_its_turn() {
        for threads in 1..=3 {
            let limits = Limits { hash_threads: threads, ..Limits::default() };
            let pool = Hashing::start(&limits, Clock::manual(), Metrics::new()).unwrap();
            assert_eq!(pool.threads(), threads);
            let (begun, has_begun) = std::sync::mpsc::sync_channel(8);
            let mut gos = Vec::new();
            for _ in 0..=threads {
                let (go, waits) = oneshot::channel();
                pool.place().unwrap().submit(Work::Wait { begun: begun.clone(), go: waits });
                gos.push(go);
            }
            (0..threads).for_each(|_| has_begun.recv().unwrap());
            {
                let state = pool.shared.lock();
                assert_eq!((state.running.len(), state.queue.len()), (threads, 1));
            }
            gos.remove(0).send(()).unwrap();
            has_begun.recv().unwrap();
            // Dropped, the others are let go.
            drop(gos);
        }
    }

    #[test]
    fn the_threads_stand_below_those_of_the_chat() {
        let pool = pool(8, 60_000);
        let (reply, answer) = oneshot::channel();
        pool.place().unwrap().submit(Work::Hash { password: password(), reply });
        assert!(answer.blocking_recv().unwrap().is_ok());
        let lowered = std::fs::read_dir("/proc/self/task").unwrap().flatten().any(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let fields = stat.split_once("(hash-0) ").map(|(_, rest)| rest);
            let nice = fields.and_then(|rest| rest.split(' ').nth(16));
            // Higher where all of this runs at a lower priority already.
            nice.and_then(|nice| nice.parse().ok()).is_some_and(|nice: i32| nice >= NICE)
        });
        assert!(lowered);
    }
}
