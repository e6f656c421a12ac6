//! A run from the first connection to the closed books: connect, make rooms, join, offer load,
//! drain, read history back.
//!
//! Neighbours: `plan` says what is due, `crowd` does it, `engine` wakes; `run` starts the target
//! and writes the results. One thread. Nothing here waits for an answer while load is offered (open
//! model).

mod account;
mod acts;
mod changes;
mod crowd;
mod deeds;
mod faces;
mod figures;
mod files;
mod gallery;
mod handing;
mod recent;
mod reply;
mod rooms;
mod rows;
mod trouble;
mod user;
mod visits;
mod watch;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::iter::Peekable;
use std::time::Duration;

use crate::clock::{self, Nanos};
use crate::engine::{Closed, ConnId, Engine, Handler, Next, Sockets};
use crate::ledger::{UserIx, Verdict};
use crate::plan::{self, Plan};
use crate::recorder::{Recorder, Sample};
use crate::scenario::Scenario;
pub use account::{Account, Credentials, Door};
use crowd::{Crowd, Later};
pub use figures::AgentSaid;
use figures::Figures;
pub use gallery::Pictures;
pub use rows::RowClient;
use rows::Rows;
use user::Link;
pub use watch::Watch;

/// Connections being made or authenticated at once: below any accept backlog.
const OPENING_MAX: usize = 64;
/// Quiet before load begins and before the books are closed.
const SETTLE: Duration = Duration::from_millis(300);
/// Between looks at whether something is finished.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Without any progress for so long, a phase is given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// Without any byte for so long, whoever waits for one waits in vain; longer than a disk's worst
/// sync.
const STILL: Duration = Duration::from_secs(5);
/// The same for who is on its way back: a connection that hangs in the kernel is tried again after 1,
/// 3 and 7 s, while nothing else moves; and for a file, which is kept by many syncs. Less than the patience
/// with a whole phase.
const COMES_BACK: Duration = Duration::from_secs(10);
/// Before a connection that could not be made is tried again, times the failures in a row.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Failures in a row after which the server is taken for gone.
const FAILURES_MAX: u32 = 10;

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system refused something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The server or the protocol did.
    #[error("{0}")]
    Trouble(String),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What answered, as it names itself.
    pub server: String,
    /// The limits that it told its users when they connected, where it tells any.
    pub server_limits: Option<serde_json::Value>,
    /// The books.
    pub verdict: Verdict,
    /// The latencies.
    pub recorder: Recorder,
    /// A line a second.
    pub samples: Vec<Sample>,
    /// How long load was offered.
    pub load: Duration,
    /// Deliveries within it.
    pub load_deliveries: u64,
    /// Sends within it.
    pub load_sends: u64,
    /// CPU of the server within it.
    pub server_cpu: Option<Duration>,
    /// CPU of the generator within it.
    pub generator_cpu: Duration,
    /// Most resident memory of the server seen.
    pub server_rss_bytes: u64,
    /// Sends that could not be started in time.
    pub dropped: u64,
    /// Connections that ended without our doing, by reason.
    pub farewells: BTreeMap<String, u64>,
    /// Refusals by name.
    pub refusals: BTreeMap<String, u64>,
    /// Changes of messages that were planned and not made, by why.
    pub changes_unmade: BTreeMap<&'static str, u64>,
    /// What was done with pictures, where they were looked at.
    pub pictures: Option<Pictures>,
    /// Users who had not come back when the books were closed: where they were.
    pub missing: Vec<String>,
    /// Users of rows, in the order in which they were finished.
    pub row_clients: Vec<RowClient>,
    /// Read calls, write calls, frames recognised, frames decoded.
    pub work: [u64; 4],
    /// Why the run is not complete, if it is not.
    pub incomplete: Option<String>,
    /// Who held the sockets, if not we.
    pub agents: Vec<AgentSaid>,
}

impl Outcome {
    /// Of a run that was never begun.
    pub fn of_nothing(scenario: &Scenario) -> Self {
        let kinds: Vec<String> = scenario.rooms.iter().map(|kind| kind.name.clone()).collect();
        Self {
            server: String::new(),
            server_limits: None,
            verdict: Verdict::default(),
            recorder: Recorder::new(&kinds),
            samples: Vec::new(),
            load: Duration::ZERO,
            load_deliveries: 0,
            load_sends: 0,
            server_cpu: None,
            generator_cpu: Duration::ZERO,
            server_rss_bytes: 0,
            dropped: 0,
            farewells: BTreeMap::new(),
            refusals: BTreeMap::new(),
            changes_unmade: BTreeMap::new(),
            pictures: None,
            missing: Vec::new(),
            row_clients: Vec::new(),
            work: [0; 4],
            incomplete: None,
            agents: Vec::new(),
        }
    }
}

/// Runs the scenario against the door. Each second's sample is handed to `tell` as it is made.
pub fn run(
    scenario: &Scenario,
    accounts: Vec<Account>,
    door: Door,
    run: u32,
    watch: &mut dyn Watch,
    tell: &mut dyn FnMut(&Sample),
) -> Result<Outcome, RunError> {
    let mut engine = Engine::new()?;
    for agent in &door.agents {
        let failed = |error| RunError::Trouble(format!("the agent at {}: {error}", agent.address));
        engine.link(agent).map_err(failed)?;
    }
    let rooms = plan::rooms(scenario);
    let mut crowd = Crowd::new(accounts, scenario, rooms, door, run);
    crowd.recorder.agents.resize_with(engine.sockets.links().len(), Default::default);
    let mut runner = Runner::new(scenario, crowd, watch, tell);
    runner.expect_users();
    runner.wake(clock::now(), Wake::Look);
    engine.run(&mut runner)?;
    let (reads, writes) = (engine.sockets.reads(), engine.sockets.writes());
    let agents = engine.sockets.links().iter().map(AgentSaid::of).collect();
    runner.outcome(reads, writes).map(|outcome| Outcome { agents, ..outcome })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Connecting,
    Picturing,
    Making,
    Joining,
    Settling,
    Load,
    Draining,
    Reading,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    /// See whether the phase is over, again and again.
    Look,
    /// The load is over.
    Ends,
    /// A second of the load is over.
    Second,
    /// A phase of the scenario begins, by its number.
    Phase(u32),
    /// A user goes as soon as everything it asked is answered.
    Depart(u32),
    /// A sleeper wakes.
    Awake(u32),
    /// A user tries to connect again.
    Connect(u32),
    /// A user drops its connection, which had to wait.
    Drop(u32),
    /// What was refused for a while is asked for again.
    Again(Later),
}

struct Runner<'a> {
    crowd: Crowd,
    scenario: &'a Scenario,
    rows: Rows,
    plan: Peekable<Plan>,
    late: Duration,
    ends: Duration,
    phase: Phase,
    /// When the phase began.
    since: Nanos,
    /// When the load began.
    begun: Nanos,
    to_connect: VecDeque<u32>,
    opening: usize,
    wakes: BinaryHeap<Reverse<(Nanos, Wake)>>,
    /// A number that grows while things move, and when it last did.
    progress: (u64, Nanos),
    figures: Figures,
    incomplete: Option<String>,
    /// How the last connection ended that we did not end.
    ended: Option<Closed>,
    watch: &'a mut dyn Watch,
    tell: &'a mut dyn FnMut(&Sample),
}

impl<'a> Runner<'a> {
    /// Before anything has happened.
    fn new(
        scenario: &'a Scenario,
        crowd: Crowd,
        watch: &'a mut dyn Watch,
        tell: &'a mut dyn FnMut(&Sample),
    ) -> Self {
        Self {
            crowd,
            scenario,
            rows: Rows::new(scenario),
            plan: Plan::new(scenario).peekable(),
            late: Duration::from_secs_f64(scenario.self_check.late_ms / 1e3),
            ends: Duration::from_secs_f64(scenario.seconds),
            phase: Phase::Connecting,
            since: clock::now(),
            begun: Nanos(0),
            to_connect: VecDeque::new(),
            opening: 0,
            wakes: BinaryHeap::new(),
            progress: (0, clock::now()),
            figures: Figures::default(),
            incomplete: None,
            ended: None,
            watch,
            tell,
        }
    }
}

impl Handler for Runner<'_> {
    fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, now: Nanos) {
        self.crowd.connected(sockets, conn, now);
    }

    fn received(&mut self, sockets: &mut Sockets, conn: ConnId, bytes: &mut [u8], now: Nanos) {
        self.crowd.received(sockets, conn, bytes, now);
    }

    fn closed(&mut self, sockets: &mut Sockets, conn: ConnId, why: Closed, now: Nanos) {
        let hung_up = why == Closed::Ended && self.crowd.is_idle_http(conn);
        let gone = self.crowd.gone(conn, now);
        if hung_up {
            self.crowd.needs_no_resume(gone);
        }
        let ours = gone.is_some() || self.crowd.other_lost(conn, sockets);
        if ours && !hung_up {
            self.crowd.farewell(format!("{why:?}"));
            self.ended = Some(why);
        }
    }

    fn due(&mut self, sockets: &mut Sockets, now: Nanos) -> Next {
        self.collect_lost(now);
        self.crowd.note_handed(sockets);
        while let Some(Reverse((at, wake))) = self.wakes.peek().copied() {
            if at > now {
                break;
            }
            self.wakes.pop();
            // What was planned for before that moment comes before it, also where both are late.
            self.do_what_is_due(at, sockets, now);
            self.woken(wake, sockets, now);
        }
        self.do_what_is_due(Nanos(u64::MAX), sockets, now);
        if self.phase == Phase::Load {
            self.go_on_with_rows(sockets, now);
        }
        if let Some(trouble) = self.crowd.trouble.take().or_else(|| sockets.trouble()) {
            self.give_up(trouble, sockets, now);
        }
        if self.phase == Phase::Done {
            return Next::Stop;
        }
        let wake = self.wakes.peek().map(|Reverse((at, _))| *at);
        let deed = self.plan.peek().map(|planned| self.begun.plus(planned.at));
        let deed = deed.filter(|_| self.phase == Phase::Load);
        wake.into_iter().chain(deed).min().map_or(Next::Idle, Next::At)
    }
}

/// Whoever still misses something when nothing has moved for so long will not hear of it.
fn is_over(still: Duration, all_back: bool) -> bool {
    still > if all_back { STILL } else { COMES_BACK }
}

impl Runner<'_> {
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.wakes.push(Reverse((at, wake)));
    }

    /// Users whose connection was lost come back at once; where none can be made, after a while.
    fn collect_lost(&mut self, now: Nanos) {
        while let Some(user) = self.crowd.lost.pop_front() {
            let failures = self.crowd.users[user as usize].failures;
            if failures >= FAILURES_MAX {
                let to = self.crowd.at(user);
                self.crowd.trouble = Some(trouble::not_taken(to, self.ended));
            }
            if self.phase < Phase::Done {
                self.wake(now.plus(RETRY_AFTER * failures), Wake::Connect(user));
            }
        }
        for later in std::mem::take(&mut self.crowd.later) {
            self.wake(now.plus(Duration::from_millis(u64::from(later.ms))), Wake::Again(later));
        }
    }

    fn woken(&mut self, wake: Wake, sockets: &mut Sockets, now: Nanos) {
        match wake {
            Wake::Connect(user) => self.crowd.connect(user, sockets),
            Wake::Depart(user) => self.depart(user, sockets, now),
            Wake::Phase(number) => self.begin_phase(number, sockets, now),
            Wake::Again(later) => self.crowd.ask_again(later, sockets, now),
            Wake::Drop(user) => {
                self.drop_connection(user, sockets, now);
                self.collect_lost(now);
            }
            Wake::Awake(user) => {
                let it = &mut self.crowd.users[user as usize];
                if std::mem::take(&mut it.asleep) {
                    it.live_since = now;
                    if let Some(conn) = it.conn {
                        sockets.resume(conn);
                    }
                }
            }
            Wake::Second => {
                self.figures.seconds_over += 1;
                let next = self.begun.plus(Duration::from_secs(self.figures.seconds_over + 1));
                // Seconds that went by unseen are one long sample, not some without any length.
                if next > now {
                    self.end_second(sockets, now);
                }
                if self.phase == Phase::Load {
                    self.wake(next, Wake::Second);
                }
            }
            Wake::Ends => self.look(sockets, now),
            Wake::Look => {
                self.look(sockets, now);
                if self.phase < Phase::Done {
                    self.wake(now.plus(LOOK_EVERY), Wake::Look);
                }
            }
        }
    }

    fn enter(&mut self, phase: Phase, now: Nanos) {
        self.phase = phase;
        self.since = now;
        self.progress.1 = now;
    }

    fn give_up(&mut self, why: String, sockets: &Sockets, now: Nanos) {
        if self.phase == Phase::Load {
            self.end_load(sockets, now);
        }
        self.incomplete.get_or_insert(why);
        self.enter(Phase::Done, now);
    }

    /// Whether the phase is over, and what the next one begins with.
    fn look(&mut self, sockets: &mut Sockets, now: Nanos) {
        sockets.keep_time(now, self.phase == Phase::Load);
        if let Some(why) = self.watch.stop() {
            return self.give_up(why, sockets, now);
        }
        if self.stuck(sockets, now) {
            return;
        }
        self.look_at_flight();
        match self.phase {
            Phase::Connecting => {
                self.connect_some(sockets);
                if self.everybody(|it| matches!(it.link, Link::Up | Link::Away)) {
                    self.enter(Phase::Picturing, now);
                }
            }
            Phase::Picturing => {
                if self.crowd.pictures_are_set(sockets) {
                    for room in 0..self.crowd.places.len() as u32 {
                        self.crowd.make(room, sockets);
                    }
                    self.enter(Phase::Making, now);
                }
            }
            Phase::Making => {
                if self.crowd.places.iter().all(|place| place.made.is_some()) {
                    self.join_all(sockets);
                    self.enter(Phase::Joining, now);
                }
            }
            Phase::Joining => {
                if self.everybody(|it| it.is_idle() && matches!(it.link, Link::Up | Link::Away)) {
                    self.send_home(sockets, now);
                    self.enter(Phase::Settling, now);
                }
            }
            Phase::Settling => {
                if now.since(self.since) > SETTLE {
                    self.begin_load(sockets, now);
                }
            }
            Phase::Load => {
                let ends = self.begun.plus(self.ends);
                if self.rows.are_over() || now >= ends {
                    // However long nobody looked: what was to be said before the end is said, or counted as dropped.
                    self.do_what_is_due(ends, sockets, now);
                    self.stop_rows();
                    self.end_load(sockets, now);
                }
            }
            Phase::Draining => self.drain(sockets, now),
            Phase::Reading => {
                if self.everybody(|it| it.asked.is_empty()) && self.all_read() {
                    self.enter(Phase::Done, now);
                }
            }
            Phase::Done => {}
        }
    }

    fn connect_some(&mut self, sockets: &mut Sockets) {
        self.opening = self.crowd.users.iter().filter(|it| it.link == Link::Opening).count();
        while self.opening < OPENING_MAX
            && let Some(user) = self.to_connect.pop_front()
        {
            self.crowd.connect(user, sockets);
            self.opening += 1;
        }
    }

    /// Nothing has moved for long: what was reached so far is judged.
    fn stuck(&mut self, sockets: &Sockets, now: Nanos) -> bool {
        let reads = sockets.reads() + sockets.writes();
        if reads != self.progress.0 || matches!(self.phase, Phase::Load | Phase::Settling) {
            self.progress = (reads, now);
        }
        if now.since(self.progress.1) < PATIENCE || self.awaits() {
            return false;
        }
        let seconds = PATIENCE.as_secs();
        let why = format!("{:?} did not get on for {seconds} s", self.phase).to_lowercase();
        let users = &self.crowd.users;
        let waits = users.iter().filter(|it| it.link == Link::Opening).count();
        self.give_up(why + &trouble::unheard(waits, users.len()), sockets, now);
        true
    }

    fn everybody(&self, is: impl Fn(&user::User) -> bool) -> bool {
        self.crowd.users.iter().all(is)
    }

    /// Everybody is back, everything is answered, everybody has heard everything, and it stays so.
    fn drain(&mut self, sockets: &mut Sockets, now: Nanos) {
        let quiet = self
            .everybody(|it| matches!(it.link, Link::Up | Link::Away) && it.is_idle() && !it.asleep);
        let finished = quiet
            && self.crowd.files.are_done()
            && self.crowd.gallery.is_idle()
            && self.crowd.ledger.behind() == 0
            && self.crowd.ledger.open() == 0;
        let waited = now.since(self.since);
        if !finished {
            self.since = now;
        }
        let all_back = self.crowd.files.are_done()
            && self.everybody(|it| matches!(it.link, Link::Up | Link::Away));
        let given_up = is_over(now.since(self.progress.1), all_back) && !self.awaits();
        if finished && waited > SETTLE && self.call_readers(sockets, now) {
            return;
        }
        if given_up || (finished && waited > SETTLE) {
            if !given_up {
                self.watch.drained();
            }
            self.enter(Phase::Reading, now);
            for room in 0..self.crowd.places.len() as u32 {
                self.crowd.read_page(room, sockets);
            }
        }
    }

    fn all_read(&self) -> bool {
        let ledger = &self.crowd.ledger;
        let read = |place: &reply::Place| {
            place.made.is_none_or(|(_, ix)| ledger.page_wanted(ix).is_none())
        };
        self.crowd.places.iter().all(read)
    }

    fn outcome(self, reads: u64, writes: u64) -> Result<Outcome, RunError> {
        let missing = self.missing();
        let Self { mut crowd, figures, incomplete, rows, .. } = self;
        if let Some(why) = &incomplete
            && figures.load.is_zero()
        {
            let said = trouble::no_load(why, &crowd.farewells, &crowd.refusals);
            return Err(RunError::Trouble(said));
        }
        // What came after the last second is in the whole run's figures, not in a sample.
        crowd.recorder.end_second();
        for (room, us) in crowd.ledger.last_heard() {
            crowd.recorder.last.record_us(us);
            crowd.recorder.kinds[crowd.kinds[room.0 as usize]].last.record_us(us);
        }
        if incomplete.is_none() {
            crowd.give_up_files();
        } else {
            // What was on its way when the run broke off is nobody's fault.
            for user in 0..crowd.lanes.len() as u32 {
                crowd.ledger.disconnected(UserIx(user));
            }
        }
        let (hits, misses) = crowd.frames();
        Ok(Outcome {
            server: crowd.server,
            server_limits: crowd.server_limits,
            verdict: crowd.ledger.verdict(),
            recorder: crowd.recorder,
            samples: figures.samples,
            load: figures.load,
            load_deliveries: figures.load_deliveries,
            load_sends: figures.load_sends,
            server_cpu: figures.server_cpu,
            generator_cpu: figures.own_cpu,
            server_rss_bytes: figures.rss_max,
            dropped: figures.dropped,
            farewells: crowd.farewells,
            refusals: crowd.refusals,
            changes_unmade: crowd.recent.into_unmade(),
            pictures: crowd.gallery.counted(),
            missing,
            row_clients: rows.into_clients(),
            work: [reads, writes, hits, misses],
            incomplete,
            agents: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
