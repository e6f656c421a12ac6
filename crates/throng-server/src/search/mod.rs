//! Finding messages by their words: what `app` asks, and the rooms behind it.
//!
//! Neighbours: `app` says which rooms the asker may search and from which place on; `indexer.rs`
//! takes in what has happened, behind the ack and beside the fold; `history.rs` gives each hit as it
//! is now, so that a text which was deleted a moment ago is not shown though the index has it still.
//! It decides nothing about rights, and nothing that it keeps is the only copy.

mod haul;
mod index;
mod indexer;
mod key;
pub mod query;
mod rank;
mod snippet;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use throng_core::{Event, EventKind, RoomId, Timestamp, UserId};

use crate::clock::Clock;
use crate::history::History;
use crate::sqlite::Trouble;
use crate::store::StoreError;
pub use haul::Scope;
use haul::{Candidate, Haul, Question};
pub use index::{Index, READERS};
pub use indexer::{IndexStatus, Indexer, Indexing};
pub use query::Query;
pub use snippet::Piece;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Sought {
    /// The words.
    pub query: Query,
    /// Only of this sender.
    pub sender: Option<UserId>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// The newest first, not the best.
    pub newest: bool,
    /// Hits to pass over.
    pub skip: usize,
    /// Hits to give.
    pub limit: usize,
}

/// A message that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// As it is shown now.
    pub event: Arc<Event>,
    /// Why it was found.
    pub pieces: Vec<Piece>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In order.
    pub hits: Vec<Hit>,
    /// How many were counted, by room.
    pub counts: Vec<(RoomId, u32)>,
    /// What to pass over to get the hits after these; 0 when there are none.
    pub next: usize,
    /// There are more than were counted.
    pub more: bool,
    /// The index is catching up: of the newest messages some are not in it yet.
    pub behind: bool,
}

/// What kept a search from being answered: for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index could not be asked.
    #[error("cannot ask the search index: {0:?}")]
    Index(Trouble),
    /// A hit could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Answers searches. Calls block.
#[derive(Debug)]
pub struct Search {
    index: Arc<Index>,
    history: History,
    status: Arc<IndexStatus>,
    clock: Clock,
    time_max: Duration,
}

impl Search {
    /// Over this index and what it was made of.
    pub fn new(
        index: Arc<Index>,
        history: History,
        status: Arc<IndexStatus>,
        clock: Clock,
        time_max: Duration,
    ) -> Self {
        Self { index, history, status, clock, time_max }
    }

    /// How the index is doing.
    pub fn status(&self) -> &IndexStatus {
        &self.status
    }

    /// Looks in these rooms, which ascend.
    pub fn find(&self, scopes: &[Scope], sought: &Sought) -> Result<Found, SearchError> {
        let behind = self.status.is_behind();
        let Haul { candidates, more, .. } = self.haul(scopes, sought)?;
        let counts = count(&candidates);
        let ordered = rank::order(&sought.query, candidates, sought.newest);
        let mut found = Found { counts, more, behind, ..Found::default() };
        for (passed, candidate) in ordered.iter().enumerate().skip(sought.skip) {
            if found.hits.len() == sought.limit {
                found.next = passed;
                break;
            }
            let event = self.history.shown(candidate.room, candidate.seq)?;
            found.hits.extend(event.and_then(|event| hit(&sought.query, event)));
        }
        Ok(found)
    }

    fn haul(&self, scopes: &[Scope], sought: &Sought) -> Result<Haul, SearchError> {
        let Sought { query, sender, since, until, .. } = sought;
        let question = Question { query, sender: *sender, since: *since, until: *until };
        let deadline = self.clock.now().plus(self.time_max);
        let mut lease = self.index.readers.lease();
        haul::haul(&mut lease, scopes, &question, &self.clock, deadline).map_err(SearchError::Index)
    }
}

/// How many were found in each room.
fn count(candidates: &[Candidate]) -> Vec<(RoomId, u32)> {
    let mut counts: BTreeMap<RoomId, u32> = BTreeMap::new();
    for candidate in candidates {
        *counts.entry(candidate.room).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// A message that is a hit still: it may have been edited or deleted since it was indexed.
fn hit(query: &Query, event: Arc<Event>) -> Option<Hit> {
    let EventKind::Posted { body, .. } = &event.kind else { return None };
    let tokens = words::tokens(body.as_str());
    if !query.matches(&tokens) {
        return None;
    }
    let pieces = snippet::snippet(query, body.as_str(), &tokens);
    Some(Hit { event, pieces })
}
