//! One whose requests are refused is read more slowly, and one that was sent away for it is remembered.
//!
//! Neighbours: `mod` tells of what it answered, asks whether it may read, and says when a connection ends;
//! `auth` keeps who waits. While a connection is deaf nothing of it is read or served: its socket fills,
//! then its sender's, and a flood costs no more than a line that is full.

use throng_core::session::{Ask as Kind, Rate};
use throng_core::{Disconnect, Rejection};

use super::Connection;
use crate::clock::Moment;
use crate::protocols::{Answer, Protocol};

impl<P: Protocol + Unpin> Connection<P> {
    /// Counts refusals, in a row and over time.
    pub(super) fn judge(&mut self, answer: &Answer) {
        match answer {
            Answer::Rejected(rejection) => self.refused(*rejection),
            Answer::Malformed(_) => self.refused(Rejection::Malformed),
            _ => self.outbox.judge(None),
        }
    }

    fn refused(&mut self, rejection: Rejection) {
        self.app.metrics.rejections.inc();
        self.outbox.judge(Some(rejection));
        if rejection.is_ours() {
            return;
        }
        let now = self.app.clock.now();
        let rate = Rate::refusals(&self.app.limits);
        let taken = self.refusals.take(rate, now.millis());
        if let Err(Rejection::RateLimited { retry_after_ms }) = taken {
            self.turn_deaf(now, retry_after_ms);
        }
    }

    /// Frames that asked nothing cost as much as requests; beyond the rate each is a refusal, though
    /// nothing is said of it.
    pub(super) fn charge(&mut self, scraps: u32, now: Moment) {
        for _ in 0..scraps {
            let permitted = self.session.permit(Kind::Request, now.millis(), self.app.requests);
            if let Err(rejection) = permitted {
                self.refused(rejection);
            }
            if self.outbox.ending().is_some() {
                return;
            }
        }
    }

    /// Reads and serves nothing for a while.
    pub(super) fn turn_deaf(&mut self, now: Moment, ms: u32) {
        let until = now.plus(std::time::Duration::from_millis(u64::from(ms)));
        self.deaf_until = self.deaf_until.max(until);
    }

    /// Nothing is read or served now.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf_until != Moment::default()
    }

    /// Hears again, when that is due.
    pub(super) fn listen_again(&mut self, now: Moment) {
        if self.is_deaf() && now >= self.deaf_until {
            self.deaf_until = Moment::default();
            self.serve_backlog();
        }
    }

    /// It ends: whoever was sent away for what it did waits before it comes again.
    pub(super) fn remember_end(&self) {
        if self.outbox.ending().is_some_and(Disconnect::is_abuse) {
            let user = self.session.identity().map(|identity| identity.user.id);
            self.app.auth.sent_away(user, self.address);
        }
    }
}
