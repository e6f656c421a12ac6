//! The power goes, and syncs fail, under the accounts: who was answered is there afterwards.
//!
//! The real accounts, thread and all, on a disk of ours, and `throng admin`'s work beside them. A seed
//! is one disk and up to four lives on it, each ended by a cut at a call drawn from the seed. Three
//! seeds of four repeat exactly; in the fourth some requests wait together, and which of them share a
//! transaction is the threads'.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use throng_core::{Author, Limits, Rejection, SessionId, Timestamp, Username};
use throng_server::accounts::bulk::{self, Keys, Wanted};
use throng_server::accounts::{Accounts, AccountsError, Authenticated, Form, Location, Watch};
use throng_server::auth::password::Phc;
use throng_server::auth::token::{Token, TokenHash};
use throng_server::clock::Clock;

use super::cuts::hold;
use super::lives::{each_call_fails, some_steps, until_cut, while_powered};
use super::vfs::{self, Mounted};
use super::workload::lock;

const SESSIONS_MAX: u32 = 3;

/// What is known of a session, by what has been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// It was begun, and nobody has been told of its end.
    Is(Authenticated),
    /// It was ended, or never came to be.
    IsNot,
    /// The answer that would say it was lost with the power.
    MayBe,
}

/// All that was answered, through all lives.
#[derive(Clone, Debug, Default)]
struct Truth {
    users: BTreeMap<String, Author>,
    /// Asked for and refused: nothing may be there.
    refused: Vec<String>,
    /// Asked for and not answered, each with its first session's token: both are there, or neither.
    may_be: Vec<(String, [u8; 32])>,
    sessions: BTreeMap<[u8; 32], Known>,
    names: u32,
}

/// What the accounts tell those who watch.
#[derive(Debug, Default)]
struct Heard {
    ended: Mutex<Vec<SessionId>>,
    sync_failed: AtomicBool,
}

impl Watch for Heard {
    fn session_ended(&self, session: SessionId) {
        lock(&self.ended).push(session);
    }

    fn sync_failed(&self, _: &AccountsError) {
        self.sync_failed.store(true, Ordering::SeqCst);
    }
}

/// One life of the accounts on a disk.
struct Life<'a> {
    mounted: &'a Mounted,
    accounts: Accounts,
    heard: Arc<Heard>,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
    fault_no_sync: bool,
    /// Some requests wait together.
    together: bool,
}

impl<'a> Life<'a> {
    fn start(mounted: &'a Mounted, fault_no_sync: bool) -> Result<Self, String> {
        let limits = Limits { sessions_per_user_max: SESSIONS_MAX, ..Limits::default() };
        let folder = mounted.path("");
        let location = Location { folder: &folder, vfs: Some(vfs::NAME), fault_no_sync };
        let clock = Clock::manual();
        let accounts = Accounts::open(Form::Folder(location), &limits, clock.clone());
        let accounts = accounts.map_err(|error| error.to_string())?;
        let heard = Arc::new(Heard::default());
        accounts.watch(heard.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let together = false;
        Ok(Self { mounted, accounts, heard, clock, runtime, fault_no_sync, together })
    }

    /// Whether what was not answered may have come to be all the same.
    fn in_doubt(&self) -> bool {
        self.mounted.disk.is_off() || self.mounted.disk.sync_failed("accounts.db")
    }

    /// One request, and what its answer says about the truth.
    fn step(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        self.clock.advance(Duration::from_mins(50));
        let failed = self.heard.sync_failed.load(Ordering::SeqCst);
        let answered = match chance.random_range(0..20) {
            0..6 => self.register(truth, chance)?,
            6..11 => self.begin(truth, chance)?,
            11..14 => self.end(truth, chance)?,
            14..16 => self.create_many(truth, chance).map(|()| false)?,
            16 => self.end_all_outside(truth, chance).map(|()| false)?,
            _ => self.authenticate(truth, chance).map(|()| false)?,
        };
        for session in std::mem::take(&mut *lock(&self.heard.ended)) {
            truth.ended(session);
        }
        if answered && (failed || self.heard.sync_failed.load(Ordering::SeqCst)) {
            return Err("answered after a failed sync".into());
        }
        Ok(())
    }

    /// Some sign-ups that wait together; whether one was answered that it is done.
    fn register(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<bool, String> {
        let count = if self.together && chance.random_ratio(1, 4) { 5 } else { 1 };
        let asked: Vec<(Username, TokenHash)> = (0..count)
            .map(|_| {
                truth.names += 1;
                (name(&format!("person{}", truth.names)), TokenHash(chance.random()))
            })
            .collect();
        let phc = || Phc::stored("p".into());
        let mut all: Vec<_> = asked
            .iter()
            .map(|(name, token)| {
                Box::pin(self.accounts.register(name.clone(), phc(), *token, None))
            })
            .collect();
        let mut outcomes: Vec<Option<Result<Authenticated, Rejection>>> = vec![None; all.len()];
        self.runtime.block_on(std::future::poll_fn(|context| {
            for (one, outcome) in all.iter_mut().zip(&mut outcomes) {
                if outcome.is_none()
                    && let std::task::Poll::Ready(ready) = one.as_mut().poll(context)
                {
                    *outcome = Some(ready);
                }
            }
            if outcomes.iter().all(Option::is_some) {
                return std::task::Poll::Ready(());
            }
            std::task::Poll::Pending
        }));
        drop(all);
        let mut answered = false;
        for ((name, token), outcome) in asked.into_iter().zip(outcomes.into_iter().flatten()) {
            let name = name.as_str().to_owned();
            match outcome {
                Ok(made) => {
                    answered = true;
                    truth.made(&made.user)?;
                    truth.sessions.insert(token.0, Known::Is(made));
                }
                Err(Rejection::Unavailable) if self.in_doubt() => {
                    truth.may_be.push((name, token.0));
                    truth.sessions.insert(token.0, Known::MayBe);
                }
                Err(Rejection::Unavailable) => {
                    truth.refused.push(name);
                    truth.sessions.insert(token.0, Known::IsNot);
                }
                Err(other) => return Err(format!("{name} is refused: {other:?}")),
            }
        }
        Ok(answered)
    }

    fn begin(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<bool, String> {
        let Some(user) = truth.any_user(chance) else { return Ok(false) };
        let token = TokenHash(chance.random());
        match self.runtime.block_on(self.accounts.begin_session(user.clone(), token)) {
            Ok(begun) => {
                truth.sessions.insert(token.0, Known::Is(begun));
                return Ok(true);
            }
            Err(Rejection::Unavailable) if self.in_doubt() => {
                // The one used longest ago may have been ended for it.
                truth.doubt(&user);
                truth.sessions.insert(token.0, Known::MayBe);
            }
            Err(Rejection::Unavailable) => {
                truth.sessions.insert(token.0, Known::IsNot);
            }
            Err(other) => return Err(format!("no session for {user:?}: {other:?}")),
        }
        Ok(false)
    }

    fn end(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<bool, String> {
        let Some((token, session)) = truth.any_session(chance) else { return Ok(false) };
        match self.runtime.block_on(self.accounts.end_session(session)) {
            Ok(()) => {
                truth.sessions.insert(token, Known::IsNot);
                let known = self.accounts.authenticate_often(TokenHash(token));
                match self.runtime.block_on(known) {
                    Err(Rejection::BadToken | Rejection::Unavailable) => return Ok(true),
                    other => return Err(format!("an ended session is {other:?}")),
                }
            }
            Err(Rejection::Unavailable) if self.in_doubt() => {
                truth.sessions.insert(token, Known::MayBe);
            }
            Err(Rejection::Unavailable) => {}
            Err(other) => return Err(format!("does not end: {other:?}")),
        }
        Ok(false)
    }

    fn authenticate(&self, truth: &Truth, chance: &mut SmallRng) -> Result<(), String> {
        let Some((token, session)) = truth.any_session(chance) else { return Ok(()) };
        match self.runtime.block_on(self.accounts.authenticate(TokenHash(token))) {
            Ok(known) if known.session == session => Ok(()),
            Err(Rejection::Unavailable) => Ok(()),
            other => Err(format!("{session:?} is {other:?}")),
        }
    }

    /// `throng admin users create`, beside the server.
    fn create_many(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let folder = self.mounted.path("");
        let vfs = Some(vfs::NAME);
        let location = Location { folder: &folder, vfs, fault_no_sync: self.fault_no_sync };
        let wanted = Wanted {
            prefix: "u",
            count: chance.random_range(1..80),
            at: Timestamp(1),
            users_max: 1_000_000,
            keys: Keys::Token,
        };
        let tokens = RefCell::new(Vec::new());
        let token = || {
            let token = Token::of_bytes(chance.random());
            tokens.borrow_mut().push(token.hash().0);
            Ok(token)
        };
        let mut made = Vec::new();
        let created = bulk::create(location, &wanted, token, |user, token, _| {
            made.push((user.clone(), token.hash()));
            Ok(())
        });
        for token in tokens.take() {
            let known = if self.in_doubt() { Known::MayBe } else { Known::IsNot };
            truth.sessions.insert(token, known);
        }
        for (user, token) in made {
            truth.made(&user)?;
            let known = self.runtime.block_on(self.accounts.authenticate(token));
            // The server beside it sees them at once; a read may meet a fault, and the cut.
            match known {
                Ok(known) => truth.sessions.insert(token.0, Known::Is(known)),
                Err(Rejection::Unavailable) => truth.sessions.insert(token.0, Known::MayBe),
                Err(other) => return Err(format!("{user:?} was made and is {other:?}")),
            };
        }
        match created {
            Ok(_) | Err(bulk::BulkError::Accounts(_)) => Ok(()),
            Err(other) => Err(other.to_string()),
        }
    }

    /// `throng admin users logout`, beside the server, which looks at what it did.
    fn end_all_outside(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let Some(user) = truth.any_user(chance) else { return Ok(()) };
        let folder = self.mounted.path("");
        let vfs = Some(vfs::NAME);
        let location = Location { folder: &folder, vfs, fault_no_sync: self.fault_no_sync };
        match bulk::end_sessions(location, user.name.as_str(), Timestamp(1)) {
            Ok(Some(_)) => {
                let live = truth.sessions_of(&user);
                for known in truth.sessions.values_mut() {
                    if matches!(known, Known::Is(of) if of.user == user) {
                        *known = Known::IsNot;
                    }
                }
                let looked = self.accounts.look_outside(|| live.clone());
                if self.runtime.block_on(looked).is_ok()
                    && !live.iter().all(|session| lock(&self.heard.ended).contains(session))
                {
                    return Err("sessions ended outside are not heard of".into());
                }
            }
            Ok(None) => return Err(format!("{user:?} is gone")),
            Err(_) if self.in_doubt() => truth.doubt(&user),
            Err(_) => {}
        }
        Ok(())
    }

    /// After a start: all that was answered is there, what was refused is not, and what may be there
    /// is there whole. What is there now is promised from now on.
    fn check(&self, truth: &mut Truth) -> Result<(), String> {
        let ask = |token| self.runtime.block_on(self.accounts.authenticate(TokenHash(token)));
        // A read may meet a fault, but only once.
        let authenticate = |token| match ask(token) {
            Err(Rejection::Unavailable) => ask(token),
            known => known,
        };
        for (text, user) in &truth.users {
            let found = self.find(text)?;
            if found.as_ref() != Some(user) {
                return Err(format!("{user:?} was answered, found {found:?}"));
            }
        }
        for text in &truth.refused {
            if let Some(found) = self.find(text)? {
                return Err(format!("was refused and came to be: {found:?}"));
            }
        }
        for (text, token) in truth.may_be.drain(..) {
            let (found, known) = (self.find(&text)?, authenticate(token).ok());
            if found != known.map(|known| known.user) {
                return Err(format!("half of a sign-up is there: {found:?}"));
            }
            match found {
                Some(user) => _ = truth.users.insert(text, user),
                None => truth.refused.push(text),
            }
        }
        for (token, expected) in &mut truth.sessions {
            let known = authenticate(*token);
            match (&expected, known) {
                (Known::Is(is), Ok(known)) if *is == known => {}
                (Known::IsNot, Err(Rejection::BadToken)) => {}
                (Known::MayBe, Ok(known)) => {
                    let found = self.find(known.user.name.as_str())?;
                    if found.as_ref() != Some(&known.user) {
                        return Err(format!("a session without its account: {known:?}"));
                    }
                    truth.users.insert(known.user.name.as_str().to_owned(), known.user.clone());
                    *expected = Known::Is(known);
                }
                (Known::MayBe, Err(Rejection::BadToken)) => *expected = Known::IsNot,
                (expected, known) => return Err(format!("expected {expected:?}, is {known:?}")),
            }
        }
        Ok(())
    }

    fn find(&self, text: &str) -> Result<Option<Author>, String> {
        let find = || self.runtime.block_on(self.accounts.find(&name(text)));
        let found = find().or_else(|_| find()).map_err(|refused| format!("{text}: {refused:?}"))?;
        Ok(found.map(|found| found.user))
    }
}

impl Truth {
    /// An account was answered: its number is above all that were given.
    fn made(&mut self, user: &Author) -> Result<(), String> {
        if let Some(newer) = self.users.values().find(|other| other.id >= user.id) {
            return Err(format!("{user:?} was made after {newer:?}"));
        }
        self.users.insert(user.name.as_str().to_owned(), user.clone());
        Ok(())
    }

    fn ended(&mut self, session: SessionId) {
        for known in self.sessions.values_mut() {
            if matches!(known, Known::Is(is) if is.session == session) {
                *known = Known::IsNot;
            }
        }
    }

    /// Sessions of this account may have ended.
    fn doubt(&mut self, user: &Author) {
        for known in self.sessions.values_mut() {
            if matches!(known, Known::Is(is) if is.user == *user) {
                *known = Known::MayBe;
            }
        }
    }

    fn sessions_of(&self, user: &Author) -> Vec<SessionId> {
        let of = |known: &Known| match known {
            Known::Is(is) if is.user == *user => Some(is.session),
            _ => None,
        };
        self.sessions.values().filter_map(of).collect()
    }

    fn any_user(&self, chance: &mut SmallRng) -> Option<Author> {
        let at = chance.random_range(0..self.users.len().max(1));
        self.users.values().nth(at).cloned()
    }

    fn any_session(&self, chance: &mut SmallRng) -> Option<([u8; 32], SessionId)> {
        let is = |(token, known): (&[u8; 32], &Known)| match known {
            Known::Is(is) => Some((*token, is.session)),
            _ => None,
        };
        let at = chance.random_range(0..self.sessions.len().max(1));
        self.sessions.iter().filter_map(is).nth(at)
    }
}

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

#[test]
fn an_account_or_a_session_that_was_answered_is_there_after_a_power_cut_and_an_ended_one_is_not() {
    println!("{}", hold("accounts", "accounts and sessions", |seed| run(seed, false)));
}

#[test]
fn accounts_that_are_not_synced_are_caught() {
    let caught = (0..50).find(|seed| run(*seed, true).is_err());
    assert!(caught.is_some(), "50 seeds did not notice that nothing is synced");
}

fn run(seed: u64, fault_no_sync: bool) -> Result<(u64, usize), String> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut truth = Truth::default();
    let (mounted, cuts) = until_cut(&mut chance, (40, 600), |mounted, chance| {
        let mut life = match Life::start(mounted, fault_no_sync) {
            Ok(life) => life,
            Err(failed) => return while_powered(mounted, failed),
        };
        life.together = seed % 4 == 3;
        life.check(&mut truth)
            .and_then(|()| some_steps(mounted, chance, |chance| life.step(&mut truth, chance)))
            .or_else(|failed| while_powered(mounted, failed))
    })?;
    let life = Life::start(&mounted, fault_no_sync)?;
    life.check(&mut truth)?;
    Ok((cuts, truth.users.len() + truth.sessions.len()))
}

#[test]
fn a_fault_at_any_call_loses_no_answer_and_leaves_nothing_refused() {
    const STEPS: u32 = 25;
    let live = |mounted: &Mounted, truth: &mut Truth| -> Result<bool, String> {
        let mut chance = SmallRng::seed_from_u64(1);
        let Ok(life) = Life::start(mounted, false) else { return Ok(false) };
        (0..STEPS).try_for_each(|_| life.step(truth, &mut chance))?;
        // What is in doubt is settled by the next start alone.
        if !life.in_doubt() {
            life.check(truth)?;
        }
        Ok(true)
    };
    each_call_fails(200, live, |mounted, truth| Life::start(mounted, false)?.check(truth));
}
