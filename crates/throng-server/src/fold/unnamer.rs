//! Takes the names of those who are named no more out of what is kept, behind the fold: out of what is
//! folded from now on, and, once nothing more comes of them, out of all that was folded before.
//!
//! Neighbours: `fold.rs` calls it between its folds, on its thread; `leavers.rs` says who, the store and
//! the file of moderation are gone through a slice at a time. Nobody waits for it: their names are shown
//! to nobody any more. A crash in the middle of it begins it anew, which is harmless.

use std::sync::{Arc, Mutex};

use throng_core::{RoomId, Seq, Timestamp};

use crate::clock::Clock;
use crate::leavers::{Leavers, Names};
use crate::moderation::{Moderation, Reached};
use crate::store::{RoomBatch, Store, StoreError};

/// Who is being taken out of what.
#[derive(Debug)]
pub struct Unnamer {
    leavers: Arc<Leavers>,
    store: Arc<dyn Store>,
    moderation: Arc<Moderation>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    walk: Option<Walk>,
    /// Something was written of which the log may have a copy.
    written: bool,
}

/// Once through all that is kept.
#[derive(Debug)]
struct Walk {
    names: Names,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Rooms, behind this place.
    Rooms(Option<(RoomId, Seq)>),
    /// Reports and the audit log.
    Reports(Reached),
}

impl Unnamer {
    /// Over these.
    pub fn new(
        leavers: &Arc<Leavers>,
        store: &Arc<dyn Store>,
        moderation: &Arc<Moderation>,
        clock: &Clock,
    ) -> Self {
        Self {
            leavers: Arc::clone(leavers),
            store: Arc::clone(store),
            moderation: Arc::clone(moderation),
            clock: clock.clone(),
            state: Mutex::default(),
        }
    }

    /// What is to be folded without their names, where there are such: `None` for as it is.
    pub fn taken_from(&self, slice: &[RoomBatch]) -> Option<Vec<RoomBatch>> {
        let names = self.leavers.names();
        if names.is_empty() {
            return None;
        }
        let mut taken = slice.to_vec();
        for batch in &mut taken {
            names.take_from(&mut batch.events);
        }
        Some(taken)
    }

    /// One slice, synced; `false` when there is nothing to do now. The oldest event that is not folded
    /// was decided at `unfolded`.
    pub fn step(&self, unfolded: Option<Timestamp>) -> Result<bool, StoreError> {
        let mut state = self.state.lock().expect("a panic while names are taken ends the process");
        let state = &mut *state;
        if state.walk.is_none() {
            let names = self.leavers.settled(self.clock.wall(), unfolded);
            if names.users().all(|user| self.leavers.is_finished(user)) {
                return Ok(false);
            }
            state.walk = Some(Walk { names, at: At::Rooms(None) });
        }
        let Some(walk) = &mut state.walk else { return Ok(false) };
        match walk.at {
            At::Rooms(after) => {
                let unnamed = self.store.unname(&walk.names, after)?;
                if unnamed.changed {
                    self.store.sync()?;
                }
                state.written |= unnamed.changed;
                walk.at = match unnamed.next {
                    Some(next) => At::Rooms(Some(next)),
                    None => At::Reports(Reached::default()),
                };
            }
            At::Reports(from) => {
                if let Some(next) = self.moderation.unname(&walk.names, from)? {
                    walk.at = At::Reports(next);
                } else {
                    self.leavers.finish(&walk.names);
                    (state.walk, state.written) = (None, true);
                }
            }
        }
        Ok(true)
    }

    /// Whether something was written since this was asked last.
    pub fn take_written(&self) -> bool {
        let state = self.state.lock();
        let mut state = state.expect("a panic while names are taken ends the process");
        std::mem::take(&mut state.written)
    }
}
