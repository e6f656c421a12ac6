//! Tokens that were looked up lately, so that a REST call needs no table. Bounded, and right: an
//! ended session leaves it before the one who ended it is answered.
//!
//! Neighbours: the accounts' thread alone puts in and takes out, in the order of its commits; those
//! who authenticate read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Authenticated;
use crate::auth::token::TokenHash;
use crate::clock::Moment;

/// Entries of one generation; two are kept. One is some 150 bytes.
const GENERATION_MAX: usize = 8_192;

/// Age at which an entry is looked up again: another process (`throng admin`) may have ended the
/// session, and has no other way to tell.
const FRESH: Duration = Duration::from_secs(1);

/// The cache.
#[derive(Debug, Default)]
pub struct Cache {
    generations: Mutex<Generations>,
    endings: AtomicU64,
}

/// When `young` is full it becomes `old`, and what was not used since is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TokenHash, Entry>,
    old: HashMap<TokenHash, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    known: Authenticated,
    looked_up: Moment,
}

impl Cache {
    /// What the token stands for, if that was looked up within `FRESH`.
    pub fn get(&self, token: &TokenHash, now: Moment) -> Option<Authenticated> {
        let generations = self.lock();
        let entry = generations.young.get(token).or_else(|| generations.old.get(token))?;
        (now.since(entry.looked_up) < FRESH).then(|| entry.known.clone())
    }

    /// Remembers what was looked up at `looked_up`.
    pub fn put(&self, token: TokenHash, known: Authenticated, looked_up: Moment) {
        let mut generations = self.lock();
        if generations.young.len() >= GENERATION_MAX {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(token, Entry { known, looked_up });
    }

    /// Forgets an ended session's token.
    pub fn end(&self, token: &TokenHash) {
        let mut generations = self.lock();
        generations.young.remove(token);
        generations.old.remove(token);
        drop(generations);
        self.endings.fetch_add(1, Ordering::SeqCst);
    }

    /// Another process may have ended some.
    pub fn ended_elsewhere(&self) {
        self.endings.fetch_add(1, Ordering::SeqCst);
    }

    /// Sessions ended so far.
    pub fn endings(&self) -> u64 {
        self.endings.load(Ordering::SeqCst)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throng_core::{Author, SessionId, UserId, Username};

    fn known() -> Authenticated {
        let name = Username::parse("anna").unwrap();
        let user = Author { id: UserId::new(1).unwrap(), name };
        Authenticated { user, session: SessionId(1) }
    }

    fn token(number: u64) -> TokenHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        TokenHash(hash)
    }

    #[test]
    fn an_entry_is_good_until_it_is_old_or_ended() {
        let cache = Cache::default();
        let at = Moment::default();
        cache.put(token(1), known(), at);
        assert!(cache.get(&token(1), at.plus(Duration::from_millis(999))).is_some());
        assert!(cache.get(&token(1), at.plus(FRESH)).is_none());
        cache.end(&token(1));
        assert!(cache.get(&token(1), at).is_none());
        assert_eq!(cache.endings(), 1);
    }

    #[test]
    fn it_holds_two_generations_and_not_one_entry_more() {
        let cache = Cache::default();
        let at = Moment::default();
        for number in 0..4 * GENERATION_MAX as u64 {
            cache.put(token(number), known(), at);
        }
        let generations = cache.lock();
        assert!(generations.young.len() <= GENERATION_MAX);
        assert!(generations.old.len() <= GENERATION_MAX);
    }

    #[test]
    fn ending_reaches_the_older_generation_too() {
        let cache = Cache::default();
        let at = Moment::default();
        for number in 0..=GENERATION_MAX as u64 {
            cache.put(token(number), known(), at);
        }
        assert!(cache.get(&token(0), at).is_some());
        cache.end(&token(0));
        assert!(cache.get(&token(0), at).is_none());
    }
}
