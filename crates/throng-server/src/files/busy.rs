//! Files to which somebody is adding now: one at a time, and who comes anew takes over from who may be
//! on a connection that is dead.
//!
//! Neighbours: `files` claims one for a part and for an end; REST asks the one before to give way, and
//! asks itself whether it was asked.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use throng_core::FileId;
use tokio::sync::watch;

/// Those files.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<Mutex<HashMap<FileId, Holder>>>);

/// Who adds to a file, seen from another who wants to.
#[derive(Clone, Debug)]
pub struct Holder {
    ask: Arc<watch::Sender<bool>>,
    gone: watch::Receiver<()>,
}

/// The right to add to one file, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    busy: Busy,
    id: FileId,
    asked: watch::Receiver<bool>,
    _here: watch::Sender<()>,
}

impl Busy {
    /// The right to add to this file, or who has it.
    pub fn claim(&self, id: FileId) -> Result<Claim, Holder> {
        match self.files().entry(id) {
            Entry::Occupied(held) => Err(held.get().clone()),
            Entry::Vacant(place) => {
                let (ask, asked) = watch::channel(false);
                let (here, gone) = watch::channel(());
                place.insert(Holder { ask: Arc::new(ask), gone });
                Ok(Claim { busy: self.clone(), id, asked, _here: here })
            }
        }
    }

    /// Whether somebody adds to it.
    pub fn has(&self, id: FileId) -> bool {
        self.files().contains_key(&id)
    }

    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, Holder>> {
        // An entry is there or not, whoever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    /// Asks it to keep what has come and to go, and waits until it has gone.
    pub async fn gives_way(mut self) {
        self.ask.send_replace(true);
        // Nothing is ever said there: it ends.
        while self.gone.changed().await.is_ok() {}
    }
}

impl Claim {
    /// What becomes true when another wants to go on with the file.
    pub fn asked(&self) -> watch::Receiver<bool> {
        self.asked.clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Who waits is told after this, as the fields go.
        self.busy.files().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn who_comes_anew_waits_until_the_one_before_has_gone_and_not_longer() {
        let (busy, id) = (Busy::default(), FileId([1; 16]));
        let first = busy.claim(id).unwrap();
        let asked = first.asked();
        assert!(busy.has(id) && busy.claim(FileId([2; 16])).is_ok());
        let mut waits = pin!(busy.claim(id).unwrap_err().gives_way());
        let mut context = Context::from_waker(Waker::noop());
        assert!(!*asked.borrow(), "nobody has asked yet");
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Pending);
        assert!(*asked.borrow());
        drop(first);
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Ready(()));
        let again = busy.claim(id).unwrap();
        assert!(!*again.asked().borrow(), "who comes after is asked anew");
    }
}
