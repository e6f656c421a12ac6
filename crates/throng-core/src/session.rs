//! May this connection ask this now? Rates, and the state of a connection before and after it is
//! authenticated.
//!
//! Neighbours: the server's connection asks `permit` before each request and tells what came of it;
//! it keeps the rate of sends, which all connections of an account share, as a `Gcra` beside the
//! account. It never reads a clock: times are milliseconds of one monotonic clock, passed in.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::event::Author;
use crate::id::SessionId;
use crate::limits::Limits;
use crate::rejection::{Disconnect, Rejection};

const NANOS_PER_MS: u64 = 1_000_000;

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds from one to the next, sustained.
    interval: u64,
    /// How far ahead of that a burst may run, nanoseconds.
    ahead: u64,
}

impl Rate {
    /// `count` in each `period_ms`, and `burst` at once; a count or burst of 0 is taken as 1.
    pub fn new(count: u32, period_ms: u64, burst: u32) -> Self {
        let interval = (period_ms * NANOS_PER_MS).div_ceil(u64::from(count.max(1)));
        Self { interval, ahead: interval.saturating_mul(u64::from(burst.max(1) - 1)) }
    }

    /// The sends of one account.
    pub fn sends(limits: &Limits) -> Self {
        Self::new(limits.sends_per_second, 1_000, limits.sends_burst)
    }

    /// Other requests of one connection.
    pub fn requests(limits: &Limits) -> Self {
        Self::new(limits.requests_per_second, 1_000, limits.requests_burst)
    }

    /// Requests over REST, from one address, of those who are nobody.
    pub fn anonymous(limits: &Limits) -> Self {
        Self::new(limits.requests_per_second_anonymous, 1_000, limits.requests_burst_anonymous)
    }

    /// Rooms that one account makes.
    pub fn rooms(limits: &Limits) -> Self {
        Self::new(limits.rooms_made_per_hour, 3_600_000, limits.rooms_made_burst)
    }

    /// Refusals of one connection.
    pub fn refusals(limits: &Limits) -> Self {
        Self::new(limits.refusals_per_second, 1_000, limits.refusals_burst)
    }

    /// Attempts a minute, as many at once.
    pub fn per_minute(count: u32) -> Self {
        Self::new(count, 60_000, count)
    }
}

/// A rate's memory (GCRA): when the next one would be due if all came evenly. Eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra {
    /// Nanoseconds of the caller's clock.
    due: u64,
}

impl Gcra {
    /// Takes one, or says when to try again. A refused try costs nothing.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), Rejection> {
        self.look(rate, now_ms)?;
        let now = now_ms.saturating_mul(NANOS_PER_MS);
        self.due = self.due.max(now).saturating_add(rate.interval);
        Ok(())
    }

    /// Whether one could be taken.
    pub fn look(&self, rate: Rate, now_ms: u64) -> Result<(), Rejection> {
        let now = now_ms.saturating_mul(NANOS_PER_MS);
        let wait = self.due.saturating_sub(now).saturating_sub(rate.ahead);
        if wait > 0 {
            let retry_after_ms = u32::try_from(wait.div_ceil(NANOS_PER_MS)).unwrap_or(u32::MAX);
            return Err(Rejection::RateLimited { retry_after_ms });
        }
        Ok(())
    }

    /// Whether nothing was taken lately, so that it need not be kept.
    pub fn is_idle(&self, now_ms: u64) -> bool {
        self.due <= now_ms.saturating_mul(NANOS_PER_MS)
    }
}

/// What kind of thing is asked, as far as permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To become someone: register, log in, authenticate. Before that only, and once.
    Identity,
    /// Anything else that is answered and is no send.
    Request,
    /// To post. The account's own rate is asked beside this.
    Send,
}

/// Who a connection speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: Author,
    /// The token it came with.
    pub session: SessionId,
}

#[derive(Clone, Debug)]
enum State {
    /// Nobody yet; to be somebody before this time.
    Anonymous { deadline_ms: u64 },
    /// Somebody.
    Authenticated { identity: Identity, requests: Gcra },
}

/// One connection's standing.
#[derive(Clone, Debug)]
pub struct Session {
    state: State,
}

impl Session {
    /// Of a connection accepted now.
    pub fn new(now_ms: u64, limits: &Limits) -> Self {
        let deadline_ms = now_ms.saturating_add(limits.auth_timeout_ms);
        Self { state: State::Anonymous { deadline_ms } }
    }

    /// Whether this may be asked now.
    pub fn permit(&mut self, ask: Ask, now_ms: u64, requests: Rate) -> Result<(), Rejection> {
        match (&mut self.state, ask) {
            (State::Anonymous { .. }, Ask::Identity) | (State::Authenticated { .. }, Ask::Send) => {
                Ok(())
            }
            (State::Anonymous { .. }, Ask::Request | Ask::Send) => Err(Rejection::NotAuthenticated),
            (State::Authenticated { .. }, Ask::Identity) => Err(Rejection::AlreadyAuthenticated),
            (State::Authenticated { requests: taken, .. }, Ask::Request) => {
                taken.take(requests, now_ms)
            }
        }
    }

    /// The client has shown who it is. Only an anonymous one can: `permit` sees to that.
    pub fn authenticate(&mut self, identity: Identity) {
        assert!(self.identity().is_none(), "a connection is authenticated once");
        self.state = State::Authenticated { identity, requests: Gcra::default() };
    }

    /// Who it speaks for, once that is known.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.state {
            State::Anonymous { .. } => None,
            State::Authenticated { identity, .. } => Some(identity),
        }
    }

    /// When it ends by itself unless it is authenticated before.
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Anonymous { deadline_ms } => Some(deadline_ms),
            State::Authenticated { .. } => None,
        }
    }

    /// The farewell to one that has been nobody for too long.
    pub fn overdue(&self, now_ms: u64) -> Option<Disconnect> {
        self.deadline_ms().filter(|at| *at <= now_ms).map(|_| Disconnect::AuthTimeout)
    }
}

/// One connection's refusals in a row, whoever answers it: its own task, or the fan-out for the shard.
#[derive(Debug, Default)]
pub struct Refusals(AtomicU32);

impl Refusals {
    /// A request was refused. Too many in a row end the connection; what is the server's own fault
    /// does not count.
    pub fn refused(&self, rejection: Rejection, refusals_max: u32) -> Option<Disconnect> {
        if rejection.is_ours() {
            return None;
        }
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        (before.saturating_add(1) >= refusals_max).then_some(Disconnect::TooManyRefusals)
    }

    /// A request was not refused.
    pub fn answered(&self) {
        // Nearly always nothing was: then nothing is written.
        if self.0.load(Ordering::Relaxed) > 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;
    use crate::text::Username;

    fn identity() -> Identity {
        let name = Username::parse("ada").unwrap();
        Identity { user: Author { id: UserId::new(1).unwrap(), name }, session: SessionId(1) }
    }

    fn limited(retry_after_ms: u32) -> Result<(), Rejection> {
        Err(Rejection::RateLimited { retry_after_ms })
    }

    #[test]
    fn a_burst_passes_whole_and_the_next_one_is_told_when() {
        let rate = Rate::new(10, 1_000, 50);
        let mut gcra = Gcra::default();
        let now = 1_000_000;
        let passed = (0..60).filter(|_| gcra.take(rate, now).is_ok()).count();
        assert_eq!(passed, 50);
        assert_eq!(gcra.take(rate, now), limited(100));
        assert_eq!(gcra.take(rate, now + 99), limited(1));
        assert_eq!(gcra.take(rate, now + 100), Ok(()));
        assert_eq!(gcra.take(rate, now + 100), limited(100));
        assert!(!gcra.is_idle(now + 5_099) && gcra.is_idle(now + 5_100));
    }

    #[test]
    fn a_rate_holds_over_time_whoever_hurries() {
        for (count, burst) in [(1, 1), (3, 1), (7, 20), (1_000, 5), (5_000, 10_000)] {
            let rate = Rate::new(count, 1_000, burst);
            let mut gcra = Gcra::default();
            let tries = (0..10_000).flat_map(|ms| [ms; 8]);
            let passed = tries.filter(|ms| gcra.take(rate, *ms).is_ok()).count() as u64;
            let most = u64::from(count) * 10 + u64::from(burst);
            assert!(passed <= most, "{passed} of at most {most}");
            assert!(passed + 2 >= most.min(80_000) - u64::from(burst), "{passed} of {most}");
        }
    }

    #[test]
    fn a_client_that_waits_as_told_is_never_refused_twice() {
        let rate = Rate::new(3, 1_000, 2);
        let mut gcra = Gcra::default();
        let mut now = 5;
        for _ in 0..1_000 {
            if let Err(refused) = gcra.take(rate, now) {
                now += u64::from(refused.retry_after_ms().unwrap());
                assert_eq!(gcra.take(rate, now), Ok(()));
            }
        }
    }

    #[test]
    fn who_may_ask_what() {
        let limits = Limits::default();
        let requests = Rate::requests(&limits);
        let mut session = Session::new(0, &limits);
        let check = |session: &mut Session, asks: [(Ask, Result<(), Rejection>); 3]| {
            for (ask, expected) in asks {
                assert_eq!(session.permit(ask, 0, requests), expected, "{ask:?}");
            }
        };
        let stranger = Err(Rejection::NotAuthenticated);
        let known = Err(Rejection::AlreadyAuthenticated);
        check(
            &mut session,
            [(Ask::Identity, Ok(())), (Ask::Request, stranger), (Ask::Send, stranger)],
        );
        session.authenticate(identity());
        check(&mut session, [(Ask::Identity, known), (Ask::Request, Ok(())), (Ask::Send, Ok(()))]);
    }

    #[test]
    fn requests_are_limited_and_sends_are_left_to_the_accounts_rate() {
        let limits = Limits { requests_burst: 3, ..Limits::default() };
        let requests = Rate::requests(&limits);
        let mut session = Session::new(0, &limits);
        session.authenticate(identity());
        let passed = (0..10).filter(|_| session.permit(Ask::Request, 0, requests).is_ok()).count();
        assert_eq!(passed, 3);
        assert!((0..10).all(|_| session.permit(Ask::Send, 0, requests).is_ok()));
    }

    #[test]
    fn the_deadline_is_for_strangers_only() {
        let limits = Limits { auth_timeout_ms: 100, ..Limits::default() };
        let mut session = Session::new(1_000, &limits);
        for (now, farewell) in [(1_099, None), (1_100, Some(Disconnect::AuthTimeout))] {
            assert_eq!(session.overdue(now), farewell);
        }
        session.authenticate(identity());
        assert_eq!((session.deadline_ms(), session.overdue(u64::MAX)), (None, None));
    }

    #[test]
    fn refusals_in_a_row_end_a_connection_and_one_answer_begins_anew() {
        let refusals = Refusals::default();
        assert_eq!(refusals.refused(Rejection::NotMember, 3), None);
        assert_eq!(refusals.refused(Rejection::NotMember, 3), None);
        refusals.answered();
        assert_eq!(refusals.refused(Rejection::NotMember, 3), None);
        assert_eq!(refusals.refused(Rejection::Unavailable, 3), None, "not its fault");
        assert_eq!(refusals.refused(Rejection::Malformed, 3), None);
        let farewell = refusals.refused(Rejection::NoSuchRoom, 3);
        assert_eq!(farewell, Some(Disconnect::TooManyRefusals));
    }
}
