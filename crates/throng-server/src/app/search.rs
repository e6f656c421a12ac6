//! Finding messages by their words: who may look where, how many look at once.
//!
//! Neighbours: connections and REST ask `App::search`; `directory.rs` says which rooms, `search` finds.
//! It is asked twice who belongs where: before anything is looked for, and of what was found before
//! anything is told.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use throng_core::rights::Operation;
use throng_core::{Epoch, Event, Limits, Rejection, RoomId, UserId};
use tokio::sync::Semaphore;

use super::App;
use crate::clock::Clock;
use crate::config::Settings;
use crate::history::History;
use crate::operations::metrics::Metrics;
use crate::search::{Found, Index, Indexer, Indexing, READERS, Scope, Search, Sought};
use crate::spread::Spread;
use crate::tail::Tail;

/// What one who finds the queue full is told to wait.
const BUSY_MS: u32 = 1_000;

/// The way into the search.
#[derive(Debug)]
pub struct Door {
    search: Arc<Search>,
    indexer: Arc<Indexer>,
    places: Places,
}

/// Who is answered, and who waits for that.
#[derive(Debug)]
struct Places {
    /// Searches that are answered at this moment.
    answered: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue_max: usize,
    refused: Spread,
}

/// What is opened at start-up: the thread that indexes ends when its half is dropped.
pub type Opened = (Door, Indexing);

/// Opens it where the settings say that there is a search.
pub fn open(
    settings: &Settings,
    (folder, epoch): (Option<&Path>, Epoch),
    events: (&Arc<Tail>, &History),
    clock: &Clock,
) -> Option<Opened> {
    settings.search.then(|| Door::open(folder, epoch, events, &settings.limits, clock)).flatten()
}

impl Door {
    /// Opens the index in this folder, or in memory, and starts the indexer. Trouble is for the
    /// operator to see: chat goes on without search.
    fn open(
        folder: Option<&Path>,
        epoch: Epoch,
        (tail, history): (&Arc<Tail>, &History),
        limits: &Limits,
        clock: &Clock,
    ) -> Option<Opened> {
        let index = match Index::open(folder, epoch) {
            Ok(index) => Arc::new(index),
            Err(trouble) => {
                tracing::error!(?trouble, "cannot open the search index, going on without search");
                return None;
            }
        };
        let tail = Arc::clone(tail);
        let indexer = Indexer::new(Arc::clone(&index), tail, history.clone(), clock.clone());
        let indexer = Arc::new(indexer);
        let indexing = match Indexing::start(Arc::clone(&indexer)) {
            Ok(indexing) => indexing,
            Err(error) => {
                tracing::error!(%error, "cannot start the indexer, going on without search");
                return None;
            }
        };
        let time_max = Duration::from_millis(limits.search_time_max_ms);
        let status = indexer.status();
        let search = Search::new(index, history.clone(), status, clock.clone(), time_max);
        let places = Places::new(limits.search_queue_max);
        Some((Self { search: Arc::new(search), indexer, places }, indexing))
    }

    /// What indexes.
    pub fn indexer(&self) -> &Indexer {
        &self.indexer
    }

    /// Brings the figures of the index up to date.
    pub fn count_into(&self, metrics: &Metrics) {
        let status = self.search.status();
        metrics.search_lag_millis.set(status.lag_millis.load(Ordering::Relaxed) as i64);
        metrics.search_behind.set(i64::from(status.is_behind()));
    }

    async fn find(&self, scopes: Vec<Scope>, sought: Sought) -> Result<Found, Rejection> {
        let search = Arc::clone(&self.search);
        let found = self.places.look(move || search.find(&scopes, &sought)).await?;
        found.map_err(|error| {
            tracing::error!(%error, "cannot search");
            Rejection::Unavailable
        })
    }
}

impl Places {
    fn new(queue_max: usize) -> Self {
        let answered = Arc::new(Semaphore::new(READERS));
        let (waiting, refused) = (AtomicUsize::new(0), Spread::default());
        Self { answered, waiting, queue_max, refused }
    }

    /// Looks, when there is a place, where that holds up nobody else.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let waiting = Waiting::enter(&self.waiting, self.queue_max);
        let waiting = waiting.ok_or_else(|| self.refused.busy(BUSY_MS))?;
        let turn = Arc::clone(&self.answered).acquire_owned().await;
        let Ok(turn) = turn else { return Err(Rejection::Unavailable) };
        drop(waiting);
        let looking = tokio::task::spawn_blocking(move || {
            let found = look();
            // Only now: who asked may have gone away, the thread and its reader are taken all the same.
            drop(turn);
            found
        });
        // It panicked or the runtime ends; either is said elsewhere.
        looking.await.map_err(|_| Rejection::Unavailable)
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let entered = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl App {
    /// Messages by their words, in one room or in all that the asker is a member of now.
    pub async fn search(
        &self,
        asker: UserId,
        room: Option<RoomId>,
        sought: Sought,
    ) -> Result<Found, Rejection> {
        let rooms = match room {
            Some(room) => {
                let reading = self.directory.reading(asker, room, Operation::Search)?;
                vec![(room, reading.from)]
            }
            None => self.directory.searchable(asker),
        };
        let door = match &self.search {
            Some(door) => door,
            None if self.settings.search => return Err(Rejection::Unavailable),
            None => return Err(Rejection::SearchOff),
        };
        self.metrics.searches.inc();
        let began = self.clock.now();
        let scope = |(room, from)| Scope { room, from, since: self.history.since(room) };
        let scopes = rooms.into_iter().map(scope).collect();
        let mut found = door.find(scopes, sought).await?;
        self.metrics.search.observe(self.clock.now().since(began).as_micros() as u64);
        // Asked again: one who was removed meanwhile learns nothing of that room, not even how many.
        if let Some(room) = room {
            self.directory.reading(asker, room, Operation::Search)?;
        }
        let still: HashMap<_, _> = self.directory.searchable(asker).into_iter().collect();
        found.counts.retain(|(room, _)| still.contains_key(room));
        let readable =
            |event: &Event| still.get(&event.room).is_some_and(|from| event.seq >= *from);
        found.hits.retain(|hit| readable(&hit.event));
        Ok(found)
    }

    /// Has everything that is durable in the search index: for tests, which do not wait.
    pub fn index_now(&self) {
        let caught_up = self.search.as_ref().map(|door| door.indexer().catch_up());
        assert!(matches!(caught_up, Some(Ok(()))), "cannot index: {caught_up:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::mpsc::sync_channel;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_search_whose_asker_goes_away_keeps_its_place_until_it_has_ended() {
        let places = Places::new(9);
        let free = || places.answered.available_permits();
        let (ends, ended) = sync_channel::<()>(1);
        {
            let mut asking = pin!(places.look(move || ended.recv()));
            poll_fn(|context| {
                assert!(asking.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(free(), READERS - 1, "its thread looks still");
        ends.send(()).unwrap();
        // All of them: nobody looks any more.
        let all = places.answered.acquire_many(READERS as u32).await.unwrap();
        drop(all);
        assert_eq!(free(), READERS);
    }

    #[test]
    fn searches_wait_up_to_their_limit_and_one_more_is_told_to_come_back() {
        let waiting = AtomicUsize::new(0);
        let first = Waiting::enter(&waiting, 2).expect("below it");
        let second = Waiting::enter(&waiting, 2).expect("at it");
        assert!(Waiting::enter(&waiting, 2).is_none());
        drop(first);
        let third = Waiting::enter(&waiting, 2).expect("one has gone");
        assert_eq!(waiting.load(Ordering::Relaxed), 2, "one that was refused is not counted");
        drop((second, third));
    }
}
