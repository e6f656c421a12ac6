//! What a run says when it is over: `summary.json`, whose schema is versioned, and the same in
//! plain words. Both are functions of the outcome alone.
//!
//! Neighbours: `run` writes it. The fields are described in `docs/reference/lab-run.md`.

mod ack_path;
mod alone;
mod counted;
mod entries;
mod grades;
mod judge;
mod phases;
mod prices;
mod ratios;
mod slopes;
mod thresholds;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

use crate::abuse::Abused;
use crate::beside::FloorRatio;
use crate::floor::FsyncTimes;
use crate::ledger::Verdict;
use crate::monitor::holds::Holds;
use crate::recorder::{Latency, OfKind, Percentiles, Recorder, Sample};
use crate::runner::{AgentSaid, Outcome, Pictures};
use crate::scenario::{Ack, Grade, Model, Rooms, Scenario};
use crate::traces::TraceSummary;
use crate::witness::ServerWork;
pub use ack_path::{AckPath, REST_SHARE_MAX};
pub use alone::OtherPrograms;
pub use counted::{Differs, Present};
pub use entries::Entries;
use grades::Reached;
pub use phases::{PhaseSummary, RowSummary};
pub use prices::Prices;
pub use slopes::{Growth, Slopes};
pub use thresholds::{Came, Evidence, Judged};

/// Of `summary.json` and `samples.jsonl`; raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 4;

/// How it went, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every promise was kept, and no goal missed.
    Pass,
    /// Every promise was kept, but the scenario wants more than was reached.
    Missed,
    /// Every promise was kept and no goal missed, but of one at least this run cannot tell whether it was met.
    Undecided,
    /// The ledger found faults.
    Faults,
    /// The generator was the bottleneck: the figures say nothing of the server.
    Invalid,
    /// It did not come to its end.
    Incomplete,
    /// No promise was seen broken, and the server tells too little to know that all were kept.
    Unproved,
}

/// The whole summary.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Which ack its sends asked for; absent for the durable one.
    #[serde(skip_serializing_if = "Ack::is_durable")]
    pub ack: Ack,
    /// How it went.
    pub ending: Ending,
    /// Why not better, in words; empty for a pass.
    pub reasons: Vec<String>,
    /// `open`: sends are made at their times, whatever the server does; `closed`: each follows the
    /// ack of the one before.
    pub model: Model,
    /// Seconds of load.
    pub load_seconds: f64,
    /// What answered.
    pub server: String,
    /// The limits that it told its users when they connected, as it named them; absent where it tells none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_limits: Option<serde_json::Value>,
    /// The ledger.
    pub ledger: Verdict,
    /// Rates over the load.
    pub rates: Rates,
    /// What came over the sockets.
    pub wire: Wire,
    /// Latencies from the intended time.
    pub latency: Latencies,
    /// The same by kind of room, by its name.
    pub latency_by_rooms: BTreeMap<String, OfRooms>,
    /// The phases, in the order in which they ended; empty where there are none.
    pub phases: Vec<PhaseSummary>,
    /// Rows of a closed model.
    pub rows: Vec<RowSummary>,
    /// The best of the scenario's grades that was reached: so many sends a second, acked within so
    /// long.
    pub grade: Option<String>,
    /// The scenario's goal, and what came of it.
    pub goal: Option<GoalMet>,
    /// What the scenario wants to be reached, its goal among it, and what came of it.
    pub thresholds: Vec<Judged>,
    /// The server's cost; absent where its process is not ours to see.
    pub cost: Option<Cost>,
    /// Its CPU a delivery as a share of a bare floor's, where that was asked for.
    pub floor: Option<FloorRatio>,
    /// What the server itself counted, where it tells.
    pub server_work: Option<ServerWork>,
    /// Where the mean ack's time went: in the generator, in the server, and the rest.
    pub ack_path: AckPath,
    /// Where the time of single messages went: one in 1,000 asks the server.
    pub traces: TraceSummary,
    /// Sends on their way to their ack: what looks at them found, and what Little's law makes of rate
    /// and mean latency.
    pub in_flight: InFlight,
    /// What the server's folder has grown by, drained and stopped, over all sends; absent where it is
    /// not ours to see, or the sends are fewer than 10,000.
    pub disk_bytes_per_send: Option<f64>,
    /// How fast the server's memory, descriptors, files and latency climb, where the load does not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slopes: Option<Slopes>,
    /// What a join, a delivery and the features of a join cost, where phases did one thing alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Of the one crowd that came and read its history: whether the time to enter grows with their number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Entries>,
    /// The generator.
    pub generator: Generator,
    /// What other programs took of the machine; absent of a run that was not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_programs: Option<OtherPrograms>,
    /// Who held the sockets, where that was not the lab itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentSummary>,
    /// The disk before the run and after it, microseconds.
    pub fsync: Option<[Fsync; 2]>,
    /// Connections that ended without our doing, by reason.
    pub farewells: BTreeMap<String, u64>,
    /// Refusals, by name.
    pub refusals: BTreeMap<String, u64>,
    /// What came of those who mean ill, where there were any.
    pub abused: Abused,
    /// Changes of messages that were planned and not asked for, by why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub changes_not_made: BTreeMap<&'static str, u64>,
    /// What was done with pictures of people; absent where nobody looks at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Pictures>,
}

/// Percentiles beside their bounds, milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct GoalMet {
    /// Of this kind of room, to each recipient.
    pub rooms: String,
    /// Name, what it was, what it was to be at most.
    pub percentiles: [(&'static str, f64, f64); 3],
    /// All of them within their bounds, and something measured.
    pub met: bool,
}

/// Each second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rates {
    /// Sends.
    pub sends: f64,
    /// Acks: of a server that falls behind, fewer than sends.
    pub acked: f64,
    /// Deliveries.
    pub deliveries: f64,
}

/// What came over all sockets while load was offered, as it came: before anything was inflated.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Wire {
    /// Bytes, heads and all other answers included.
    pub bytes: u64,
    /// Of those, over the deliveries.
    pub bytes_per_delivery: f64,
}

/// From the intended time; people who were away or stalled by plan are apart.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latencies {
    /// Send to durable ack.
    pub ack: Percentiles,
    /// What the sends of `ack` waited in the generator, until the kernel was handed the first byte.
    pub generator: Percentiles,
    /// Send to each recipient.
    pub delivery: Percentiles,
    /// Send to the first recipient.
    pub first: Percentiles,
    /// Send to the median recipient.
    pub median: Percentiles,
    /// Send to the last recipient.
    pub last: Percentiles,
    /// Acks and deliveries to those who were away or stalled.
    pub catch_up: Percentiles,
    /// From losing a connection to having resumed every room.
    pub resume: Percentiles,
    /// From when one should have come to being there and hearing one's rooms.
    pub arrive: Percentiles,
    /// From then to having joined and read the history asked for.
    pub enter: Percentiles,
    /// From when a file should have been sent to the server's word that it has it.
    pub upload: Percentiles,
    /// From asking for a file to its last byte.
    pub fetch: Percentiles,
    /// From then to having the picture of everybody who was there.
    pub faces: Percentiles,
    /// From learning of a picture to having it.
    pub picture: Percentiles,
    /// From asking to be somebody to being it.
    pub login: Percentiles,
    /// From asking to be somebody to being told to come back later.
    pub login_refused: Percentiles,
    /// The kernel's time to make a connection.
    pub connect: Percentiles,
}

/// From the intended time, of one kind of room.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OfRooms {
    /// Send to durable ack.
    pub ack: Percentiles,
    /// Send to each recipient.
    pub delivery: Percentiles,
    /// Send to the last recipient.
    pub last: Percentiles,
}

/// Sends on their way, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InFlight {
    /// The mean of a look every 20 ms.
    pub measured: f64,
    /// Acks a second times their mean latency.
    pub by_littles_law: f64,
}

/// The server's process while load was offered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// CPU seconds.
    pub cpu_seconds: f64,
    /// Of one core.
    pub cpu_share: f64,
    /// Standard deviation of that from second to second.
    pub cpu_share_deviation: f64,
    /// All CPU over all deliveries, microseconds.
    pub cpu_us_per_delivery: f64,
    /// Most resident memory.
    pub rss_max_bytes: u64,
}

/// The generator while load was offered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Generator {
    /// Of one core; it has one thread.
    pub cpu_share: f64,
    /// The same in its busiest three seconds in a row, which is what it is judged by.
    pub cpu_share_3s_max: f64,
    /// How late sends started; null where none had a time of its own, as in a closed model.
    pub lag: Option<Percentiles>,
    /// Sends given up because they could not be started in time.
    pub dropped: u64,
    /// Deliveries read and checked in a second of its CPU.
    pub deliveries_per_cpu_second: f64,
    /// Frames a read, on average.
    pub frames_per_read: f64,
    /// `recv` calls, `send` calls, frames recognised by their bytes, frames decoded.
    pub work: [u64; 4],
}

/// An agent: what its users met, in the lab's time.
#[derive(Clone, Debug, Serialize)]
pub struct AgentSummary {
    /// Where it listens.
    pub address: String,
    /// How far its clock is ahead of the lab's.
    pub clock_ahead_ms: f64,
    /// By how much that can be wrong: half of the quickest way there and back.
    pub clock_error_ms: f64,
    /// How far that moved while the run lasted.
    pub clock_drift_ms: f64,
    /// Most of one core that it used in a second.
    pub cpu_share_max: f64,
    /// How much longer than the quickest its answers were under way, of fifty a second while load was offered.
    pub lag: Percentiles,
    /// Send to durable ack, of its users.
    pub ack: Percentiles,
    /// Send to each recipient among its users.
    pub delivery: Percentiles,
}

impl AgentSummary {
    fn of((said, [ack, delivery]): (&AgentSaid, &[Latency; 2])) -> Self {
        let [clock_ahead_ms, clock_error_ms, clock_drift_ms] = said.clock_ms;
        Self {
            address: said.address.to_string(),
            clock_ahead_ms,
            clock_error_ms,
            clock_drift_ms,
            cpu_share_max: said.cpu_share_max,
            lag: said.lag,
            ack: ack.percentiles(),
            delivery: delivery.percentiles(),
        }
    }
}

/// One probe of the disk.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fsync {
    /// Half were quicker.
    pub p50_us: f64,
    /// Ninety-nine in a hundred were.
    pub p99_us: f64,
}

impl Latencies {
    fn of(recorder: &Recorder) -> Self {
        Self {
            ack: recorder.ack.percentiles(),
            generator: recorder.generator.percentiles(),
            delivery: recorder.delivery.percentiles(),
            first: recorder.first.percentiles(),
            median: recorder.median.percentiles(),
            last: recorder.last.percentiles(),
            catch_up: recorder.catch_up.percentiles(),
            resume: recorder.resume.percentiles(),
            arrive: recorder.arrive.percentiles(),
            enter: recorder.enter.percentiles(),
            upload: recorder.upload.percentiles(),
            fetch: recorder.fetch.percentiles(),
            faces: recorder.faces.percentiles(),
            picture: recorder.picture.percentiles(),
            login: recorder.login.percentiles(),
            login_refused: recorder.login_refused.percentiles(),
            connect: recorder.connect.percentiles(),
        }
    }
}

impl From<&FsyncTimes> for Fsync {
    fn from(times: &FsyncTimes) -> Self {
        Self { p50_us: times.p50_us, p99_us: times.p99_us }
    }
}

/// With fewer sends the folder's size says nothing of them: its files are laid out ahead.
const SENDS_OF_A_FOLDER: u64 = 10_000;

impl Cost {
    /// Of a server whose process can be looked at, over so many seconds of load.
    fn of(outcome: &Outcome, seconds: f64) -> Option<Self> {
        let cpu = outcome.server_cpu?.as_secs_f64();
        Some(Self {
            cpu_seconds: cpu,
            cpu_share: cpu / seconds,
            cpu_share_deviation: phases::cpu(&outcome.samples.iter().collect::<Vec<_>>()).1,
            cpu_us_per_delivery: cpu * 1e6 / outcome.load_deliveries.max(1) as f64,
            rss_max_bytes: outcome.server_rss_bytes,
        })
    }
}

impl Summary {
    /// Of an outcome.
    pub fn new(scenario: &Scenario, outcome: Outcome, fsync: Option<[FsyncTimes; 2]>) -> Self {
        let seconds = outcome.load.as_secs_f64().max(1e-9);
        let deliveries = outcome.load_deliveries;
        let own = outcome.generator_cpu.as_secs_f64();
        let cost = Cost::of(&outcome, seconds);
        let [reads, _, hits, misses] = outcome.work;
        let generator = Generator {
            cpu_share: own / seconds,
            cpu_share_3s_max: judge::busiest(&outcome.samples).unwrap_or(own / seconds),
            lag: Some(outcome.recorder.lag.percentiles()).filter(|it| it.count > 0),
            dropped: outcome.dropped,
            deliveries_per_cpu_second: deliveries as f64 / own.max(1e-9),
            frames_per_read: (hits + misses) as f64 / reads.max(1) as f64,
            work: outcome.work,
        };
        let bytes: u64 = outcome.samples.iter().map(|it| it.bytes_read).sum();
        let bytes_per_delivery = bytes as f64 / deliveries.max(1) as f64;
        let (ending, reasons) = judge::judge(scenario, &outcome, &generator);
        let recorder = &outcome.recorder;
        let of_rooms = |(kind, of): (&Rooms, &OfKind)| {
            let OfKind { ack, delivery, last, .. } = of;
            let (ack, delivery) = (ack.percentiles(), delivery.percentiles());
            (kind.name.clone(), OfRooms { ack, delivery, last: last.percentiles() })
        };
        let latency_by_rooms = scenario.rooms.iter().zip(&recorder.kinds).map(of_rooms).collect();
        Self {
            schema: SCHEMA,
            scenario: scenario.name.clone(),
            ack: scenario.users.ack,
            ending,
            reasons,
            model: scenario.model(),
            load_seconds: seconds,
            server: outcome.server,
            server_limits: outcome.server_limits,
            ledger: outcome.verdict,
            rates: Rates {
                sends: outcome.load_sends as f64 / seconds,
                acked: outcome.samples.iter().map(|it| it.acked).sum::<u64>() as f64 / seconds,
                deliveries: deliveries as f64 / seconds,
            },
            wire: Wire { bytes, bytes_per_delivery },
            latency: Latencies::of(recorder),
            latency_by_rooms,
            phases: phases::of(&outcome.samples, &outcome.recorder.phases),
            rows: phases::rows(&outcome.row_clients),
            grade: None,
            goal: goal(scenario, &outcome.recorder.kinds),
            thresholds: Vec::new(),
            cost,
            floor: None,
            server_work: None,
            ack_path: AckPath::of(&outcome.samples),
            traces: outcome.recorder.traces.summary(),
            in_flight: in_flight(&outcome.samples),
            agents: outcome.agents.iter().zip(&recorder.agents).map(AgentSummary::of).collect(),
            disk_bytes_per_send: None,
            slopes: None,
            prices: Prices::of(scenario, &outcome.samples),
            entries: Entries::of(scenario, &recorder.entries),
            generator,
            other_programs: None,
            fsync: fsync.as_ref().map(|[before, after]| [before.into(), after.into()]),
            farewells: outcome.farewells,
            refusals: outcome.refusals,
            abused: Abused { cpu_share: abusers_share(&outcome.samples), ..Abused::default() },
            changes_not_made: outcome.changes_unmade,
            pictures: outcome.pictures,
        }
    }

    /// Of a run that was never begun, because the generator's machine cannot hold it.
    pub fn of_nothing(scenario: &Scenario, lacking: Vec<String>) -> Self {
        let mut summary = Self::new(scenario, Outcome::of_nothing(scenario), None);
        (summary.ending, summary.reasons, summary.load_seconds) = (Ending::Invalid, lacking, 0.0);
        summary
    }

    /// What the disk of the run's folder did not take, or late: the run is not complete then. A broken
    /// promise weighs more.
    pub fn not_kept(&mut self, what: Vec<String>) {
        if !what.is_empty() && self.ending != Ending::Faults {
            self.ending = Ending::Incomplete;
            self.grade = None;
        }
        self.reasons.extend(what);
    }

    /// How our own server ended after it was asked to: a bad end spoils a pass.
    pub fn server_stopped(&mut self, stopped: io::Result<Option<ExitStatus>>) {
        let why = match stopped {
            // The run broke off for it, and says so with its last words.
            Ok(Some(_)) if self.reasons.iter().any(|it| it.starts_with("the server ended")) => {
                return;
            }
            Ok(Some(status)) if !status.success() => format!("the server ended with {status}"),
            Ok(_) => return,
            Err(error) => error.to_string(),
        };
        if matches!(self.ending, Ending::Pass | Ending::Missed | Ending::Undecided) {
            self.ending = Ending::Incomplete;
        }
        self.reasons.push(why);
    }

    /// What the server's folder has grown by.
    pub fn grown_on_disk(&mut self, bytes: Option<u64>) {
        let sends = self.ledger.sends;
        let bytes = bytes.filter(|_| sends >= SENDS_OF_A_FOLDER);
        self.disk_bytes_per_send = bytes.map(|bytes| bytes as f64 / sends as f64);
    }

    /// What climbs over the run, where its load is the same from its beginning to its end.
    pub fn slopes_of(&mut self, scenario: &Scenario, samples: &[Sample], held: &[(f64, Holds)]) {
        self.slopes = scenario.is_steady().then(|| Slopes::of(samples, held));
    }

    /// What came of those who mean ill: one who is told of a room it does not belong to is a fault.
    pub fn abused(&mut self, abused: Abused) {
        if abused.leaks > 0 {
            self.ending = Ending::Faults;
            let leaks = abused.leaks;
            self.reasons.push(format!("{leaks} answers about rooms to one who belongs to none"));
        }
        let cpu_share = self.abused.cpu_share;
        self.abused = Abused { cpu_share, ..abused };
    }

    /// Holds the run against what its scenario wants. A promise that was broken, and a generator that
    /// was the bottleneck, weigh more than a goal that was missed; and that more than one of which nothing is known.
    /// A goal that was not shown to be met is no pass, unless the scenario says so of what nothing measured.
    pub fn hold_against(&mut self, scenario: &Scenario, evidence: &Evidence<'_>) {
        self.thresholds = thresholds::judge(scenario, self, evidence);
        if self.ending != Ending::Pass {
            return;
        }
        let missed = self.thresholds.iter().filter(|it| it.came == Came::Missed);
        self.reasons.extend(missed.map(|it| format!("{}; it was {}", it.says, it.was)));
        if !self.reasons.is_empty() {
            self.ending = Ending::Missed;
            return;
        }
        let open = self.thresholds.iter().filter(|it| match it.came {
            Came::Met | Came::Missed => false,
            Came::Unsure => true,
            Came::Unmeasured => !scenario.unmeasured_may_pass,
        });
        let why = |it: &Judged| format!("it cannot be told whether {}; it was {}", it.says, it.was);
        self.reasons.extend(open.map(why));
        if !self.reasons.is_empty() {
            self.ending = Ending::Undecided;
        }
    }

    /// Which of the grades was reached; none by a run that says nothing.
    pub fn grade_by(&mut self, grades: &[Grade]) {
        let reached = Reached {
            sends_per_second: self.ledger.acked as f64 / self.load_seconds,
            ack_p99_ms: self.latency.ack.p99_ms,
            fan_out: self.ledger.deliveries_due as f64 / self.ledger.sends.max(1) as f64,
        };
        let says = matches!(self.ending, Ending::Pass | Ending::Missed | Ending::Undecided);
        // A grade is of acks that the disk stands for.
        let says = says && self.ack.is_durable();
        self.grade = reached.best_of(grades).filter(|_| says).map(|it| it.name.clone());
    }
}

fn goal(scenario: &Scenario, kinds: &[OfKind]) -> Option<GoalMet> {
    let goal = scenario.goal.as_ref()?;
    let of = scenario.rooms.iter().zip(kinds).find(|(kind, _)| kind.name == goal.rooms)?;
    let is = of.1.delivery.percentiles();
    let percentiles = [
        ("p90", is.p90_ms, goal.p90_ms),
        ("p95", is.p95_ms, goal.p95_ms),
        ("p99", is.p99_ms, goal.p99_ms),
    ];
    let met = is.count > 0 && percentiles.iter().all(|(_, is, most)| is <= most);
    Some(GoalMet { rooms: goal.rooms.clone(), percentiles, met })
}

/// Of one core, while load was offered; none where nobody means ill.
fn abusers_share(samples: &[Sample]) -> Option<f64> {
    let cpu: f64 = samples.iter().map(|it| it.abusers_cpu).sum::<Option<f64>>()?;
    let seconds: f64 = samples.iter().map(|it| it.seconds).sum();
    (seconds > 0.0).then(|| cpu / seconds)
}

fn in_flight(samples: &[Sample]) -> InFlight {
    let seconds: f64 = samples.iter().map(|it| it.seconds).sum();
    let weighed = samples.iter().map(|it| it.in_flight * it.seconds).sum::<f64>();
    let waited = samples.iter().map(|it| it.ack.count as f64 * it.ack.mean_ms / 1e3).sum::<f64>();
    let seconds = seconds.max(1e-9);
    InFlight { measured: weighed / seconds, by_littles_law: waited / seconds }
}
