//! Which numbers were given to somebody: those up to the greatest that was seen, of accounts and of guests.
//!
//! Neighbours: `mod.rs` notes whom it has found, and asks before it looks for somebody.

use std::sync::atomic::{AtomicU64, Ordering};

use throng_core::UserId;

/// The greatest numbers seen; 0 for none.
#[derive(Debug, Default)]
pub struct Given {
    accounts: AtomicU64,
    guests: AtomicU64,
}

impl Given {
    /// Somebody has this number.
    pub fn note(&self, user: UserId) {
        self.of(user).fetch_max(user.get(), Ordering::Relaxed);
    }

    /// Whether this number was given, as far as is known.
    pub fn has(&self, user: UserId) -> bool {
        user.get() <= self.of(user).load(Ordering::Relaxed)
    }

    fn of(&self, user: UserId) -> &AtomicU64 {
        if user.is_guest() { &self.guests } else { &self.accounts }
    }
}

#[cfg(test)]
mod tests {
    use throng_core::id::GUESTS_FROM;

    use super::*;

    #[test]
    fn what_is_below_the_greatest_number_was_given_and_guests_have_numbers_of_their_own() {
        let given = Given::default();
        let user = |number| UserId::new(number).unwrap();
        assert!(!given.has(user(1)));
        given.note(user(7));
        given.note(user(3));
        assert!(given.has(user(1)) && given.has(user(7)) && !given.has(user(8)));
        assert!(!given.has(user(GUESTS_FROM)));
        given.note(user(GUESTS_FROM + 1));
        assert!(given.has(user(GUESTS_FROM)) && !given.has(user(GUESTS_FROM + 2)));
        assert!(!given.has(user(8)));
    }
}
