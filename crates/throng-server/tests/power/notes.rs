//! The power goes, and calls fail, under what moderation and the accounts' own notes keep: reports, the audit
//! log, who is blocked, links; levels, who may write to whom, how rooms begin. What was answered is there
//! afterwards, once and whole, and what was refused is not.
//!
//! Both files on one disk of ours. A seed is one disk and up to four lives on it, each ended by a cut at a call
//! drawn from the seed. Of each fact it is known what it may be: one thing once it was answered, two while the
//! answer was lost. What a kill leaves half done a start settles: that is among the claims.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use throng_core::{
    Act, Author, Event, EventKind, Rejection, RoomDefaults, RoomId, Seq, Timestamp, UserId,
    Username,
};
use throng_server::accounts::Location;
use throng_server::auth::token::TokenHash;
use throng_server::lifecycle::Fatal;
use throng_server::moderation::{Intent, Moderation, Report, RoomLink, Settlement};
use throng_server::personal::{Level, Personal, Writers};
use throng_server::store::RoomBatch;

use super::cuts::hold;
use super::lives::{each_call_fails, some_steps, until_cut, while_powered};
use super::vfs::{self, Mounted};

const PEOPLE: u64 = 4;
const MESSAGES: u64 = 30;
/// How often a link can be used.
const USES: u32 = 5;
/// What a report is.
const WAITS: u64 = 1;
const SETTLED: u64 = 2;

/// Something that is kept; what it is, is a number, 0 for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// Of a message, by somebody.
    Report(u64, u64),
    Blocks(u64, u64),
    /// How often it can still be used.
    Link(u8),
    /// Lines of the audit log: of an event, of what was about to be done, of what was done.
    Noted(u64),
    Meant(u64),
    Done(u64),
    Level(u64),
    Writers(u64),
    Slow(u64),
}

/// All that may be, through all lives.
#[derive(Clone, Debug, Default)]
struct Truth {
    facts: BTreeMap<Fact, Vec<u64>>,
    /// What was about to be done and is not settled in this life.
    open: Vec<u64>,
    /// Intents of which the answer to what came of them was lost: one line each, of the one kind or the other.
    either: Vec<u64>,
    numbers: u64,
}

/// One life of both files.
struct Life<'a> {
    mounted: &'a Mounted,
    kept: Moderation,
    personal: Arc<Personal>,
    thread: Option<std::thread::JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

fn room() -> RoomId {
    RoomId::new(1).unwrap()
}

fn author(number: u64) -> Author {
    let name = Username::parse(&format!("user{number}")).unwrap();
    Author { id: UserId::new(number).unwrap(), name }
}

fn any(chance: &mut SmallRng) -> u64 {
    chance.random_range(1..=PEOPLE)
}

fn link(number: u8) -> TokenHash {
    TokenHash([number; 32])
}

/// Whether the room knows this one when a start asks.
fn came_in(user: UserId) -> bool {
    user.get().is_multiple_of(2)
}

impl Truth {
    fn is(&mut self, fact: Fact, now: u64) {
        self.facts.insert(fact, vec![now]);
    }

    fn may_be(&mut self, fact: Fact, too: u64) {
        let known = self.facts.entry(fact).or_insert_with(|| vec![0]);
        known.push(too);
    }

    fn of(&self, fact: Fact) -> &[u64] {
        self.facts.get(&fact).map_or(&[0], Vec::as_slice)
    }

    /// What came of a change: it holds, it may, or nothing was done.
    fn came<T>(
        &mut self,
        fact: Fact,
        now: u64,
        answer: &Result<T, Rejection>,
        in_doubt: bool,
    ) -> Result<(), String> {
        match answer {
            Ok(_) => self.is(fact, now),
            Err(Rejection::Unavailable) if in_doubt => self.may_be(fact, now),
            Err(Rejection::Unavailable | Rejection::LimitReached) => {}
            Err(other) => return Err(format!("{fact:?} is refused: {other:?}")),
        }
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// One thing of which it is known what it is.
    fn known(&self, chance: &mut SmallRng, fits: impl Fn(&Fact, u64) -> bool) -> Option<Fact> {
        let fits = |(fact, may): (&Fact, &Vec<u64>)| match may[..] {
            [is] if fits(fact, is) => Some(*fact),
            _ => None,
        };
        let fitting: Vec<Fact> = self.facts.iter().filter_map(fits).collect();
        fitting.get(chance.random_range(0..fitting.len().max(1))).copied()
    }
}

impl<'a> Life<'a> {
    /// A start, which settles what the life before left open.
    fn start(mounted: &'a Mounted, truth: &mut Truth, fault_no_sync: bool) -> Result<Self, String> {
        let folder = mounted.path("");
        let location = || Some(Location { folder: &folder, vfs: Some(vfs::NAME), fault_no_sync });
        // A failed sync ends the process: nothing is answered after it.
        let disk = Arc::clone(&mounted.disk);
        let kept = Moderation::open_at(location(), Box::new(move |_| disk.cut()));
        let kept = kept.map_err(|error| error.to_string())?;
        for number in std::mem::take(&mut truth.open) {
            truth.is(Fact::Meant(number), 1);
        }
        let personal = Personal::open_at(location()).map_err(|error| error.to_string())?;
        let disk = Arc::clone(&mounted.disk);
        let thread = personal.start(Fatal::new(move |_, _| disk.cut()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let life = Self { mounted, kept, personal, thread: thread.ok(), runtime };
        let settled = || life.kept.settle_uses(|user, _| came_in(user));
        settled().or_else(|_| settled()).map_err(|refused| format!("{refused:?}"))?;
        Ok(life)
    }

    fn in_doubt(&self) -> bool {
        self.mounted.disk.is_off()
    }

    fn step(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        match chance.random_range(0..12) {
            0 => self.report(truth, chance),
            1 => self.settle(truth, chance),
            2 | 3 => self.block(truth, chance),
            4 => self.make_link(truth, chance),
            5 => self.use_link(truth, chance),
            6 => self.note(truth, chance),
            7 | 8 => self.mean(truth, chance),
            _ => self.set(truth, chance),
        }
    }

    fn report(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let (seq, by) = (chance.random_range(1..=MESSAGES), any(chance));
        let report = Report {
            id: 0,
            room: room(),
            seq: Seq(seq),
            at: Timestamp(5),
            by: author(by),
            about: author(9),
            reason: "rude".to_owned(),
            body: "x".repeat(chance.random_range(0..3_000)),
            files: Box::default(),
            settled: None,
        };
        let answer = self.kept.report(&report);
        let fact = Fact::Report(seq, by);
        match &answer {
            Ok(taken) if taken.already && truth.of(fact) == [0] => {
                Err(format!("{fact:?} was never kept, and is there already"))
            }
            Ok(taken) if taken.already => Ok(()),
            _ => truth.came(fact, WAITS, &answer, self.in_doubt()),
        }
    }

    fn settle(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let Ok(page) = self.kept.reports(room(), 0, 0, false) else { return Ok(()) };
        let at = chance.random_range(0..page.reports.len().max(1));
        let Some(report) = page.reports.get(at) else { return Ok(()) };
        let fact = Fact::Report(report.seq.0, report.by.id.get());
        let (by, note) = (author(any(chance)), "seen".to_owned());
        let settlement = Settlement { at: Timestamp(9), by, upheld: true, note };
        let answer = self.kept.settle(room(), report.id, &settlement);
        truth.came(fact, SETTLED, &answer, self.in_doubt())
    }

    fn block(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let (one, other) = (any(chance), 10 + any(chance));
        let (user, whom) = (author(one).id, author(other));
        let blocks = chance.random();
        let answer =
            if blocks { self.kept.block(user, &whom) } else { self.kept.unblock(user, whom.id) };
        truth.came(Fact::Blocks(one, other), u64::from(blocks), &answer, self.in_doubt())
    }

    fn make_link(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let number = chance.random_range(1..8);
        if truth.of(Fact::Link(number)) != [0] {
            return Ok(());
        }
        let by = author(any(chance));
        let (at, expires_at) = (Timestamp(5), Timestamp(100));
        let made = RoomLink { id: 0, room: room(), by, at, uses: USES, expires_at };
        let answer = self.kept.add_link(link(number), &made);
        truth.came(Fact::Link(number), u64::from(USES), &answer, self.in_doubt())
    }

    /// A use that is settled at once, or that a kill leaves open.
    fn use_link(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        // One that is used up goes when another is made, and could be given back no more.
        let fits = |fact: &Fact, is| matches!(fact, Fact::Link(_)) && is > 2;
        let Some(fact @ Fact::Link(number)) = truth.known(chance, fits) else { return Ok(()) };
        let (is, user) = (truth.of(fact)[0], author(any(chance)).id);
        let now = if came_in(user) { is - 1 } else { is };
        match self.kept.use_link(link(number), Timestamp(9), user) {
            Ok(Some(used)) => {
                truth.is(fact, now);
                _ = self.kept.settle_use(used, came_in(user));
            }
            Ok(None) => return Err(format!("{fact:?} is good no more, and was for {is}")),
            Err(_) if self.in_doubt() => truth.may_be(fact, now),
            Err(_) => {}
        }
        Ok(())
    }

    /// What was done in the room's order, folded once or again.
    fn note(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let again = truth.known(chance, |fact, is| matches!(fact, Fact::Noted(_)) && is == 1);
        let number = match again {
            Some(Fact::Noted(number)) if chance.random_ratio(1, 3) => number,
            _ => truth.number(),
        };
        let (by, who) = (author(any(chance)), author(9));
        let kind = EventKind::Moderated { by, who, act: Act::Mute };
        let (seq, prev) = (Seq(number), Seq(number - 1));
        let at = Timestamp(number);
        let event = Arc::new(Event { room: room(), seq, prev, pushed: true, at, kind });
        let folded = self.kept.fold(&[RoomBatch { room: room(), events: vec![event] }]);
        let answer = folded.map_err(|_| Rejection::Unavailable);
        truth.came(Fact::Noted(number), 1, &answer, self.in_doubt())
    }

    /// What is about to be done; then it is said what came of it, or a kill comes.
    fn mean(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let (number, by) = (truth.number(), author(any(chance)));
        let (what, detail) = ((&by, "drop_held"), format!("meant {number}"));
        let meant = self.kept.about_to(room(), Timestamp(number), what, &author(9), &detail);
        let Ok(intent) = meant else {
            return truth.came(Fact::Meant(number), 1, &meant, self.in_doubt());
        };
        match chance.random_range(0..3) {
            0 => truth.open.push(number),
            1 => self.comes(truth, (intent, number), true),
            _ => self.comes(truth, (intent, number), false),
        }
        Ok(())
    }

    fn comes(&self, truth: &mut Truth, (intent, number): (Intent, u64), done: bool) {
        let detail = format!("done {number}");
        let answer = self.kept.came_of(intent, done.then_some(detail.as_str()));
        match answer {
            Ok(()) => {
                truth.is(Fact::Meant(number), 0);
                truth.is(Fact::Done(number), u64::from(done));
            }
            Err(_) if self.in_doubt() => {
                truth.may_be(Fact::Meant(number), 1);
                if done {
                    truth.may_be(Fact::Done(number), 1);
                    truth.either.push(number);
                }
            }
            Err(_) => truth.open.push(number),
        }
    }

    /// What a person sets of its own.
    fn set(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let (one, now) = (any(chance), chance.random_range(0..3));
        let user = author(one).id;
        let (fact, answer) = match chance.random_range(0..3) {
            0 => {
                let level = [Level::All, Level::Mentions, Level::Nothing][now];
                let set = self.personal.set_level(user, room(), level);
                (Fact::Level(one), self.runtime.block_on(set))
            }
            1 => {
                let who = [Writers::Everyone, Writers::Shared, Writers::Nobody][now];
                let set = self.personal.set_writers(user, who);
                (Fact::Writers(one), self.runtime.block_on(set))
            }
            _ => {
                let slow_seconds = (now > 0).then_some(now as u32);
                let defaults = RoomDefaults { slow_seconds, ..RoomDefaults::default() };
                let set = self.personal.set_room_defaults(user, defaults);
                (Fact::Slow(one), self.runtime.block_on(set))
            }
        };
        truth.came(fact, now as u64, &answer, self.in_doubt())
    }

    /// All that is there is what it may be. After a start, which has settled what was open, it is promised
    /// from then on.
    fn check(&self, truth: &mut Truth, after_start: bool) -> Result<(), String> {
        let found = self.found(truth).map_err(|refused| format!("cannot be read: {refused:?}"))?;
        if let Some(fact) = found.keys().find(|fact| !truth.facts.contains_key(fact)) {
            return Err(format!("{fact:?} is there, and nobody asked for it"));
        }
        for number in &truth.either {
            let lines = [Fact::Meant(*number), Fact::Done(*number)].map(|fact| found.get(&fact));
            let lines: u64 = lines.into_iter().flatten().sum();
            if after_start && lines != 1 {
                return Err(format!("{lines} lines of what was meant by {number}"));
            }
        }
        for (fact, may_be) in &mut truth.facts {
            // Uses that are open, and what is about to be done, are settled by the next start.
            if !after_start && matches!(fact, Fact::Link(_) | Fact::Meant(_)) {
                continue;
            }
            let is = found.get(fact).copied().unwrap_or_default();
            if !may_be.contains(&is) {
                return Err(format!("{fact:?} is {is}, and not of {may_be:?}"));
            }
            if after_start {
                *may_be = vec![is];
            }
        }
        if after_start {
            truth.either.clear();
        }
        Ok(())
    }

    /// What is kept now. A read may meet a fault, but only once.
    fn found(&self, truth: &Truth) -> Result<BTreeMap<Fact, u64>, Rejection> {
        self.read(truth).or_else(|_| self.read(truth))
    }

    fn read(&self, truth: &Truth) -> Result<BTreeMap<Fact, u64>, Rejection> {
        let mut found = BTreeMap::new();
        for (settled, is) in [(false, WAITS), (true, SETTLED)] {
            let mut after = 0;
            loop {
                let page = self.kept.reports(room(), after, 0, settled)?;
                for report in &page.reports {
                    after = report.id;
                    found.insert(Fact::Report(report.seq.0, report.by.id.get()), is);
                }
                if !page.more {
                    break;
                }
            }
        }
        let mut before = 0;
        let mut settled = 0;
        loop {
            let page = self.kept.audit(room(), before, 0)?;
            for entry in &page.entries {
                before = entry.id;
                let number =
                    |begin: &str| -> Option<u64> { entry.detail.strip_prefix(begin)?.parse().ok() };
                let meant = number("meant ").map(Fact::Meant);
                let done = number("done ").map(Fact::Done);
                let noted = entry.seq.map(|seq| Fact::Noted(seq.0));
                if let Some(fact) = meant.or(done).or(noted) {
                    *found.entry(fact).or_insert(0) += 1;
                }
                settled += usize::from(entry.act == "settle_report");
            }
            if !page.more {
                break;
            }
        }
        let reports =
            found.iter().filter(|(fact, is)| matches!(fact, Fact::Report(..)) && **is == SETTLED);
        assert_eq!(reports.count(), settled, "a line for each report that was settled");
        for one in 1..=PEOPLE {
            let user = author(one).id;
            for other in self.kept.blocked(user, 0, 0)?.users {
                found.insert(Fact::Blocks(one, other.id.get()), 1);
            }
            let level = self.personal.kept(user, room())?.level.unwrap_or_default();
            found.insert(Fact::Level(one), level as u64);
            found.insert(Fact::Writers(one), self.personal.writers(user) as u64);
            let slow = self.personal.room_defaults(user).slow_seconds.unwrap_or_default();
            found.insert(Fact::Slow(one), u64::from(slow));
        }
        for fact in truth.facts.keys() {
            let Fact::Link(number) = fact else { continue };
            let link = self.kept.link_of(link(*number), Timestamp(9))?;
            found.insert(*fact, link.map_or(0, |link| u64::from(link.uses)));
        }
        found.retain(|_, is| *is > 0);
        Ok(found)
    }
}

impl Drop for Life<'_> {
    fn drop(&mut self) {
        self.personal.stop();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

#[test]
fn what_was_reported_noted_blocked_linked_and_set_is_there_after_a_power_cut() {
    println!("{}", hold("notes", "facts", |seed| run(seed, false)));
}

#[test]
fn notes_that_are_not_synced_are_caught() {
    let caught = (0..50).find(|seed| run(*seed, true).is_err());
    assert!(caught.is_some(), "50 seeds did not notice that nothing is synced");
}

fn run(seed: u64, fault_no_sync: bool) -> Result<(u64, usize), String> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut truth = Truth::default();
    let (mounted, cuts) = until_cut(&mut chance, (40, 600), |mounted, chance| {
        let life = match Life::start(mounted, &mut truth, fault_no_sync) {
            Ok(life) => life,
            Err(failed) => return while_powered(mounted, failed),
        };
        life.check(&mut truth, true)
            .and_then(|()| some_steps(mounted, chance, |chance| life.step(&mut truth, chance)))
            .or_else(|failed| while_powered(mounted, failed))
    })?;
    let life = Life::start(&mounted, &mut truth, fault_no_sync)?;
    life.check(&mut truth, true)?;
    Ok((cuts, truth.facts.values().filter(|is| **is != [0]).count()))
}

#[test]
fn a_fault_at_any_call_loses_no_note_and_leaves_nothing_refused() {
    const STEPS: u32 = 40;
    let live = |mounted: &Mounted, truth: &mut Truth| -> Result<bool, String> {
        let mut chance = SmallRng::seed_from_u64(2);
        let Ok(life) = Life::start(mounted, truth, false) else { return Ok(false) };
        (0..STEPS).try_for_each(|_| life.step(truth, &mut chance))?;
        if !mounted.disk.is_off() {
            life.check(truth, false)?;
        }
        Ok(true)
    };
    each_call_fails(200, live, |mounted, truth| {
        let life = Life::start(mounted, truth, false)?;
        life.check(truth, true)
    });
}
