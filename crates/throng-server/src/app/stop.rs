//! Stops the server: drains, then ends the threads in the order in which they need each other.
//!
//! Neighbours: `throng serve` and the tests call it, `start.rs` is the other direction. Nothing goes before
//! who needs it has ended. A sync that fails here ends the process as it does while it serves (I10).

use std::fs::File;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::{App, StartError};
use crate::fanout::Fanout;
use crate::fold::Fold;
use crate::lifecycle::Fatal;
use crate::personal::Personal;
use crate::search::Indexing;
use crate::sequencer;

/// What is stopped, in order, after the last connection has gone.
#[derive(Debug, Default)]
pub struct Stop {
    pub(super) sequencers: Vec<JoinHandle<()>>,
    pub(super) fanouts: Vec<JoinHandle<()>>,
    indexing: Option<Indexing>,
    fold: Option<Fold>,
    personal: Option<(Arc<Personal>, JoinHandle<()>)>,
    /// Of the data folder.
    lock: Option<File>,
}

impl App {
    /// Drains: takes nothing new, answers what is under way, tells every client to come back, and
    /// folds the rest. Returns when all threads have ended.
    pub async fn stop(self: Arc<Self>) {
        self.lifecycle.drain();
        self.sessions.drain();
        self.lifecycle.ended().await;
        for shard in &self.shards {
            // A queue that is closed already belongs to a shard that has ended.
            _ = shard.queue.send(sequencer::Item::Stop).await;
        }
        let stop = self.stop.lock().ok().and_then(|mut stop| stop.take());
        let app = Arc::clone(&self);
        let finished = tokio::task::spawn_blocking(move || {
            let fanouts = self.shards.iter().map(|shard| &shard.fanout);
            stop.and_then(|stop| stop.finish(fanouts, &self.fatal))
        });
        let lock = finished.await;
        app.forget_leavers(&app.directory.leavers().finished()).await;
        // Another server may have the folder, now that nothing more is written by this one.
        drop(lock);
    }
}

impl Stop {
    /// Starts the thread of the accounts' notes, which ends last.
    pub(super) fn of(
        (fold, indexing): (Fold, Option<Indexing>),
        personal: &Arc<Personal>,
        fatal: &Fatal,
        lock: Option<File>,
    ) -> Result<Self, StartError> {
        let thread = personal.start(fatal.clone()).map_err(StartError::Thread)?;
        let personal = Some((Arc::clone(personal), thread));
        Ok(Self { indexing, fold: Some(fold), personal, lock, ..Self::default() })
    }

    /// All threads have ended when this returns; the folder's lock is given back by who has nothing more to
    /// write there.
    fn finish<'a>(
        mut self,
        fanouts: impl Iterator<Item = &'a Arc<Fanout>>,
        fatal: &Fatal,
    ) -> Option<File> {
        drop(self.indexing.take());
        for thread in self.sequencers.drain(..) {
            _ = thread.join();
        }
        for fanout in fanouts {
            fanout.stop();
        }
        for thread in self.fanouts.drain(..) {
            _ = thread.join();
        }
        match self.fold.take().map(Fold::finish) {
            Some(Err(error)) if error.is_failed_sync() => fatal.sync_failed(&error),
            Some(Err(error)) => {
                tracing::warn!(%error, "not all was folded; it is in the log, the next start reads it");
            }
            Some(Ok(())) | None => {}
        }
        if let Some((personal, thread)) = self.personal.take() {
            personal.stop();
            _ = thread.join();
        }
        self.lock.take()
    }
}
