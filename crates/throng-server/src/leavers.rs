//! Who is named no more: accounts that were deleted with their names, until nothing that is kept names
//! them.
//!
//! Neighbours: the accounts keep who they are, and tell it at start-up and at each deletion; the history
//! shows nobody their names from then on, the fold writes none, and behind it they are taken out of what
//! was written before. It keeps no name of one that was done with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use throng_core::limits::LEAVERS_MAX;
use throng_core::{Author, Event, Timestamp, UserId, Username};

/// What is decided when somebody has gone may still carry its name: nothing waits so long in a queue.
/// Only when all of that is folded are its names taken out.
const SETTLED_MS: u64 = 60_000;

/// Some who are named no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    users: BTreeMap<UserId, Timestamp>,
    names: BTreeSet<String>,
}

impl Names {
    /// Of these, who were deleted at these times.
    pub fn new(leavers: impl IntoIterator<Item = (Author, Timestamp)>) -> Self {
        let mut names = Self::default();
        for (who, at) in leavers {
            names.users.insert(who.id, at);
            names.names.insert(who.name.as_str().to_owned());
        }
        names
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether this account is one of them.
    pub fn has(&self, user: UserId) -> bool {
        self.users.contains_key(&user)
    }

    /// Whether one of them was called so.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Which accounts they are, ascending.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        self.users.keys().copied()
    }

    /// Takes the name of one of them.
    pub fn take_name<'a>(&self, people: impl IntoIterator<Item = &'a mut Author>) {
        for who in people {
            if self.has(who.id) {
                who.name = Username::gone();
            }
        }
    }

    /// The event without their names, where it has any.
    pub fn taken_from(&self, event: &Event) -> Option<Event> {
        event.without_names(|user| self.has(user), |name| self.has_name(name))
    }

    /// Puts events without their names in the places of those that have any.
    pub fn take_from(&self, events: &mut [Arc<Event>]) {
        if self.is_empty() {
            return;
        }
        for event in events {
            if let Some(taken) = self.taken_from(event) {
                *event = Arc::new(taken);
            }
        }
    }
}

/// All who are named no more.
#[derive(Debug, Default)]
pub struct Leavers {
    all: RwLock<Vec<(Author, Timestamp)>>,
    names: RwLock<Arc<Names>>,
    /// Moves whenever there is another one.
    changes: AtomicU64,
    /// Those whom nothing names any more, for the accounts to forget.
    done: RwLock<Vec<UserId>>,
}

impl Leavers {
    /// One more. From the return of this on nobody is shown its name.
    pub fn note(&self, who: Author, at: Timestamp) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.push((who, at));
        self.know(&all);
    }

    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.all.read().unwrap_or_else(PoisonError::into_inner).len() >= LEAVERS_MAX
    }

    /// Their names, for one who reads.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often somebody has come to it: what was read before such a moment may name it.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Those of whom nothing more is written: all that was decided up to a while after they went is
    /// folded, where this is the oldest that is not.
    pub fn settled(&self, now: Timestamp, unfolded: Option<Timestamp>) -> Names {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = unfolded.map_or(now, |oldest| oldest.min(now));
        let settled = all.iter().filter(|(_, at)| oldest.0 > at.0.saturating_add(SETTLED_MS));
        Names::new(settled.cloned())
    }

    /// Nothing that is kept names these any more.
    pub fn finish(&self, names: &Names) {
        let mut done = self.done.write().unwrap_or_else(PoisonError::into_inner);
        done.extend(names.users());
        done.sort_unstable();
        done.dedup();
    }

    /// Whether this one is finished.
    pub fn is_finished(&self, user: UserId) -> bool {
        let done = self.done.read().unwrap_or_else(PoisonError::into_inner);
        done.binary_search(&user).is_ok()
    }

    /// Those that are finished. Their names are still known here, until `forget`.
    pub fn finished(&self) -> Vec<Author> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.read().unwrap_or_else(PoisonError::into_inner);
        let finished = all.iter().filter(|(who, _)| done.binary_search(&who.id).is_ok());
        finished.map(|(who, _)| who.clone()).collect()
    }

    /// What one is called now.
    pub fn called(&self, user: UserId, name: Username) -> Username {
        if self.names().has(user) { Username::gone() } else { name }
    }

    /// The accounts have forgotten them too; or they were not deleted after all.
    pub fn forget(&self, gone: &[UserId]) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(who, _)| !gone.contains(&who.id));
        self.know(&all);
        let mut done = self.done.write().unwrap_or_else(PoisonError::into_inner);
        done.retain(|user| !gone.contains(user));
    }

    fn know(&self, all: &[(Author, Timestamp)]) {
        let names = Arc::new(Names::new(all.iter().cloned()));
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        self.changes.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use throng_core::EventKind;

    use super::*;
    use crate::samples;

    #[test]
    fn so_many_are_named_no_more_at_once_and_one_that_is_done_makes_place() {
        let leavers = Leavers::default();
        for number in 1..LEAVERS_MAX as u64 {
            leavers.note(samples::author(number), Timestamp(1));
        }
        assert!(!leavers.is_full(), "one below it");
        leavers.note(samples::author(LEAVERS_MAX as u64), Timestamp(1));
        assert!(leavers.is_full());
        leavers.forget(&[samples::author(1).id]);
        assert!(!leavers.is_full());
    }

    #[test]
    fn one_is_settled_when_all_is_folded_that_was_decided_up_to_a_minute_after() {
        let leavers = Leavers::default();
        leavers.note(samples::author(1), Timestamp(1_000));
        let settled = |now, unfolded: Option<u64>| {
            !leavers.settled(Timestamp(now), unfolded.map(Timestamp)).is_empty()
        };
        let last = 1_000 + SETTLED_MS;
        assert_eq!([settled(last, None), settled(last + 1, None)], [false, true]);
        assert_eq!(
            [settled(last + 9, Some(last)), settled(last + 9, Some(last + 1))],
            [false, true]
        );
    }

    #[test]
    fn an_event_loses_the_names_of_those_and_of_nobody_else() {
        use throng_core::Act;
        let names = Names::new([(samples::author(5), Timestamp(1))]);
        let event = |by: u64, who: u64| {
            let (by, who) = (samples::author(by), samples::author(who));
            samples::event(samples::room(1), 3, EventKind::Moderated { by, who, act: Act::Kick })
        };
        assert_eq!(names.taken_from(&event(1, 2)), None);
        for (by, who) in [(5, 2), (2, 5)] {
            let taken = names.taken_from(&event(by, who)).unwrap();
            let EventKind::Moderated { by: one, who: other, .. } = &taken.kind else { panic!() };
            let named = [one, other].map(|it| (it.id, it.name.is_gone()));
            let expected = [by, who].map(|user| (samples::author(user).id, user == 5));
            assert_eq!(named, expected);
            assert_eq!(names.taken_from(&taken), None, "there is nothing more to take");
        }
    }
}
