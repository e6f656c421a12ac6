//! Users who mean ill: floods, oversized and malformed frames, drips, half-open connections, flapping
//! members, guessed passwords, probes of foreign rooms, typing without end.
//!
//! Neighbours: `run` starts them in a thread of their own, so that what they cost is not the
//! generator's. They are not in the ledger: what matters is what the others notice, and that none of
//! them is ever told anything of a room it does not belong to.

mod doing;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{self, Nanos};
use crate::drivers::{self, Action, Dress, Driver, Memory, Observation, Outcome};
use crate::engine::{Closed, ConnId, Engine, Handler, Next, Sockets};
use crate::runner::{Account, Door};
use crate::scenario::{Abuse, Scenario};

/// Between looks at whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Outcomes that are told by name.
const NAMES_MAX: usize = 60;

/// What came of it: for each kind, how often what was answered.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Abused {
    /// By kind, then by what came of it.
    pub answers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Times that one was told something of a room it does not belong to.
    pub leaks: u64,
    /// Of one core, while load was offered: of the lab's thread that they are. Absent where nobody means ill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
}

/// What passes between a run and those who mean ill, in their thread.
#[derive(Debug, Default)]
pub struct Control {
    /// They are to stop.
    pub stop: AtomicBool,
    cpu_ns: AtomicU64,
}

impl Control {
    /// CPU of their thread so far, as it last said: at most one look ago.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }

    fn worked(&self, cpu: Duration) {
        self.cpu_ns.store(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Does what the scenario's abusers do, until `control` says stop, from `begun` on. `accounts` are theirs.
pub fn run(
    scenario: &Scenario,
    accounts: Vec<Account>,
    door: &Door,
    begun: Nanos,
    control: &Control,
) -> std::io::Result<Abused> {
    let mut engine = Engine::new()?;
    let mut crowd = Ill::new(scenario, accounts, door, begun, control);
    engine.run(&mut crowd)?;
    control.worked(clock::thread_cpu());
    Ok(crowd.abused)
}

/// One of them.
#[derive(Debug)]
struct One {
    does: Abuse,
    account: Account,
    every: Duration,
    begins: Nanos,
    ends: Nanos,
    conn: Option<ConnId>,
    driver: Option<Box<dyn Driver>>,
    /// Says who it is and may act.
    is_up: bool,
    /// Is in its group's room.
    is_in: bool,
    /// How often it did its thing.
    done: u64,
    seed: u64,
}

/// All of them.
struct Ill<'a> {
    all: Vec<One>,
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    by_conn: Vec<Option<usize>>,
    door: &'a Door,
    host: Rc<str>,
    memory: Rc<RefCell<Memory>>,
    /// The room that a group made for itself.
    rooms: BTreeMap<Abuse, u32>,
    names: u64,
    control: &'a Control,
    /// When it last said what it has worked.
    worked: Nanos,
    abused: Abused,
}

impl<'a> Ill<'a> {
    fn new(
        scenario: &Scenario,
        accounts: Vec<Account>,
        door: &'a Door,
        begun: Nanos,
        control: &'a Control,
    ) -> Self {
        let mut accounts = accounts.into_iter();
        let mut all = Vec::new();
        for group in &scenario.abusers {
            let (from, lasts) =
                scenario.phase(group.phase.as_deref()).unwrap_or((0.0, scenario.seconds));
            let begins = begun.plus(Duration::from_secs_f64(from));
            for account in accounts.by_ref().take(group.count as usize) {
                let seed = account.id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                all.push(One {
                    does: group.does,
                    account,
                    every: Duration::from_secs_f64(group.every_seconds),
                    begins,
                    ends: begins.plus(Duration::from_secs_f64(lasts)),
                    conn: None,
                    driver: None,
                    is_up: false,
                    is_in: false,
                    done: 0,
                    seed,
                });
            }
        }
        // Not all in the same moment.
        let first = |(at, one): (usize, &One)| {
            Reverse((one.begins.plus(one.every * (at as u32 % 100) / 100), at))
        };
        let due = all.iter().enumerate().map(first).collect();
        Self {
            all,
            due,
            by_conn: Vec::new(),
            door,
            host: door.address.to_string().into(),
            memory: Rc::default(),
            rooms: BTreeMap::new(),
            names: 0,
            control,
            worked: begun,
            abused: Abused::default(),
        }
    }

    fn count(&mut self, at: usize, what: &str) {
        let kind = format!("{:?}", self.all[at].does).to_lowercase();
        let answers = self.abused.answers.entry(kind).or_default();
        if answers.len() < NAMES_MAX || answers.contains_key(what) {
            *answers.entry(what.to_owned()).or_default() += 1;
        }
    }

    fn who(&self, conn: ConnId) -> Option<usize> {
        let at = self.by_conn.get(conn.index()).copied().flatten()?;
        (self.all[at].conn == Some(conn)).then_some(at)
    }

    fn connect(&mut self, at: usize, sockets: &mut Sockets) {
        let one = &mut self.all[at];
        one.seed = one.seed.wrapping_add(1);
        one.driver = None;
        if !matches!(one.does, Abuse::Drip | Abuse::HalfOpen) {
            let (host, memory) = (&self.host, &self.memory);
            one.driver = Some(drivers::driver((Dress::WsJson, false), host, memory, one.seed));
        }
        (one.is_up, one.is_in) = (false, false);
        match sockets.connect(self.door.address) {
            Ok(conn) => {
                one.conn = Some(conn);
                if conn.index() >= self.by_conn.len() {
                    self.by_conn.resize(conn.index() + 1, None);
                }
                self.by_conn[conn.index()] = Some(at);
            }
            Err(_) => self.count(at, "no socket"),
        }
    }

    fn act(&mut self, at: usize, action: &Action<'_>, sockets: &mut Sockets) {
        let one = &mut self.all[at];
        if let (Some(conn), Some(driver)) = (one.conn, one.driver.as_mut()) {
            driver.act(action, sockets.out(conn));
        }
    }

    fn log_in(&mut self, at: usize, sockets: &mut Sockets) {
        if self.all[at].does != Abuse::Guess {
            let token = self.all[at].account.token.clone();
            return self.act(at, &Action::Authenticate { token: &token }, sockets);
        }
        self.all[at].is_up = true;
    }

    /// What was answered; a page, a subscription or an ack of a foreign room is a leak.
    fn seen(&mut self, at: usize, seen: &Seen, sockets: &mut Sockets) {
        match seen {
            Seen::Ready => self.log_in(at, sockets),
            Seen::Session if self.all[at].does == Abuse::Guess => self.count(at, "logged in"),
            Seen::Session => {
                self.all[at].is_up = true;
                self.count(at, "session");
            }
            Seen::Joined(room) => {
                let does = self.all[at].does;
                self.rooms.entry(does).or_insert(*room);
                self.all[at].is_in = true;
                self.count(at, "joined");
            }
            Seen::Left => {
                self.all[at].is_in = false;
                self.count(at, "left");
            }
            Seen::Told(what) if self.all[at].does == Abuse::Probe => {
                self.abused.leaks += 1;
                self.count(at, what);
            }
            Seen::Told(what) => self.count(at, what),
            Seen::Done => self.count(at, "done"),
            Seen::Rejected(name) => self.count(at, name),
            Seen::Goodbye(code) => self.count(at, &format!("goodbye {code}")),
        }
    }

    fn forget(&mut self, at: usize) {
        let one = &mut self.all[at];
        (one.conn, one.driver, one.is_up, one.is_in) = (None, None, false, false);
    }
}

/// What an observation comes to.
#[derive(Debug)]
enum Seen {
    Ready,
    Session,
    Joined(u32),
    Left,
    Done,
    Told(&'static str),
    Rejected(String),
    Goodbye(u32),
}

fn seen(observation: Observation<'_>) -> Option<Seen> {
    Some(match observation {
        Observation::Ready { .. } => Seen::Ready,
        Observation::Goodbye { code, .. } => Seen::Goodbye(code),
        Observation::Left { .. } => Seen::Left,
        Observation::Event(_) => Seen::Told("event"),
        Observation::Reply { outcome, .. } => match outcome {
            Outcome::Session { .. } => Seen::Session,
            Outcome::Joined { room, .. } => Seen::Joined(room),
            Outcome::Left { .. } => Seen::Left,
            Outcome::Posted(_) => Seen::Told("posted"),
            Outcome::Page { .. } => Seen::Told("page"),
            Outcome::Subscribed { .. } => Seen::Told("subscribed"),
            Outcome::Members { .. } => Seen::Told("members"),
            Outcome::Done => Seen::Done,
            Outcome::Applied { .. } | Outcome::Picture { .. } => return None,
            Outcome::Rejected { name, .. } => Seen::Rejected(name.to_owned()),
        },
    })
}

impl Handler for Ill<'_> {
    fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, _: Nanos) {
        let Some(at) = self.who(conn) else { return };
        if let Some(driver) = self.all[at].driver.as_mut() {
            driver.open(sockets.out(conn));
        }
    }

    fn received(&mut self, sockets: &mut Sockets, conn: ConnId, bytes: &mut [u8], _: Nanos) {
        let Some(at) = self.who(conn) else { return };
        let (mut out, mut all) = (Vec::new(), Vec::new());
        let Some(driver) = self.all[at].driver.as_mut() else {
            return self.count(at, "answered");
        };
        let read = driver.receive(bytes, &mut out, &mut |it| all.extend(seen(it)));
        sockets.out(conn).append(&mut out);
        for it in &all {
            self.seen(at, it, sockets);
        }
        if read.is_err() {
            self.count(at, "refused to speak");
            sockets.close(conn);
            self.forget(at);
        }
    }

    fn closed(&mut self, _: &mut Sockets, conn: ConnId, why: Closed, _: Nanos) {
        if let Some(at) = self.who(conn) {
            let why = match why {
                Closed::Refused(_) => "connection refused",
                Closed::Ended | Closed::Broken(_) => "cut",
                Closed::Backlog => "backlog",
            };
            self.count(at, why);
            self.forget(at);
        }
    }

    fn due(&mut self, sockets: &mut Sockets, now: Nanos) -> Next {
        if self.control.stop.load(Ordering::Relaxed) {
            return Next::Stop;
        }
        if now.since(self.worked) >= LOOK_EVERY {
            self.worked = now;
            self.control.worked(clock::thread_cpu());
        }
        while let Some(Reverse((when, at))) = self.due.peek().copied() {
            if when > now {
                break;
            }
            self.due.pop();
            if now >= self.all[at].ends {
                if let Some(conn) = self.all[at].conn {
                    sockets.close(conn);
                }
                self.forget(at);
                continue;
            }
            if self.all[at].conn.is_none() {
                self.connect(at, sockets);
            } else {
                self.ill(at, sockets);
            }
            // Whoever is behind does not catch up: it is meant to be often, not exact.
            self.due.push(Reverse((clock::now().plus(self.all[at].every), at)));
        }
        let next = self.due.peek().map_or(now.plus(LOOK_EVERY), |Reverse((when, _))| *when);
        Next::At(next.min(now.plus(LOOK_EVERY)))
    }
}
