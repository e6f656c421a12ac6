//! `summary.json` as it is read: whatever a writer left out has its default.
//!
//! Neighbours: `folder` reads it; the fields are described in `docs/reference/lab-run.md`. Nothing is
//! computed here.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Ending, Percentiles};
use crate::beside::FloorRatio;
use crate::summary::{AckPath, Entries};

/// `summary.json`; described in `docs/reference/lab-run.md`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Summary`")]
pub struct Summary {
    pub schema: u32,
    pub scenario: String,
    pub ending: Ending,
    pub reasons: Vec<String>,
    pub model: String,
    pub load_seconds: f64,
    pub server: String,
    pub server_limits: Option<serde_json::Value>,
    pub ledger: Ledger,
    pub rates: Rates,
    pub wire: Option<Wire>,
    pub latency: Latencies,
    pub latency_by_rooms: BTreeMap<String, OfRooms>,
    pub phases: Vec<Phase>,
    pub goal: Option<GoalMet>,
    pub thresholds: Vec<Threshold>,
    pub rows: Vec<Row>,
    pub in_flight: InFlight,
    /// Of schema 4 on.
    pub ack_path: Option<AckPath>,
    /// The first folders have none.
    pub traces: Option<Traces>,
    pub server_work: Option<ServerWork>,
    pub disk_bytes_per_send: Option<f64>,
    pub grade: Option<String>,
    pub cost: Option<Cost>,
    pub floor: Option<FloorRatio>,
    pub generator: Generator,
    pub fsync: Option<[Fsync; 2]>,
    /// Folders of before have none.
    pub other_programs: Option<crate::summary::OtherPrograms>,
    pub farewells: BTreeMap<String, u64>,
    pub refusals: BTreeMap<String, u64>,
    pub pictures: Option<Pictures>,
    pub agents: Vec<Agent>,
    pub slopes: Option<Slopes>,
    pub prices: Option<Prices>,
    pub entries: Option<Entries>,
    /// There is no `summary.json`: this is what the samples say, and nothing else is known.
    #[serde(skip)]
    pub is_missing: bool,
    /// What of the run's evidence is not there, in words.
    #[serde(skip)]
    pub lacks: Vec<String>,
    /// The samples are not all there: what is made of them is not of the whole load.
    #[serde(skip)]
    pub samples_cut: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `runner::Pictures`")]
pub struct Pictures {
    pub set: u64,
    pub fetched: u64,
    pub bytes: u64,
    pub not_as_named: u64,
    pub unanswered: u64,
}

/// What climbed over a load that did not change; folders of before have none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Slopes`")]
pub struct Slopes {
    pub memory_mib: Growth,
    pub descriptors: Growth,
    pub log_mib: Growth,
    pub folder_mib: Growth,
    pub ack_p99_ms: Growth,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Growth`")]
pub struct Growth {
    pub per_hour: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub seconds: u64,
    pub unmeasured: Option<String>,
}

/// What a join, a delivery and the features of a join cost; folders of before have none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Prices`")]
pub struct Prices {
    pub idle_share: Option<f64>,
    pub join: Option<Price>,
    pub phases: Vec<PhasePrice>,
    pub features: Vec<FeaturePrice>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::prices::Price`")]
pub struct Price {
    pub count: u64,
    pub cpu_us: f64,
    pub deviation_us: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::prices::OfPhase`")]
pub struct PhasePrice {
    pub phase: String,
    pub of: String,
    pub with: Vec<String>,
    #[serde(flatten)]
    pub price: Price,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::prices::Feature`")]
pub struct FeaturePrice {
    pub name: String,
    pub phases: [String; 2],
    pub cpu_us: f64,
    pub deviation_us: Option<f64>,
}

/// Who held the sockets of a run, where that was not the lab itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::AgentSummary`")]
pub struct Agent {
    pub address: String,
    pub clock_ahead_ms: f64,
    pub clock_error_ms: f64,
    pub clock_drift_ms: f64,
    pub cpu_share_max: f64,
    /// Folders of before did not say.
    pub lag: Percentiles,
    pub ack: Percentiles,
    pub delivery: Percentiles,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `ledger::Verdict`")]
pub struct Ledger {
    pub sends: u64,
    pub acked: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub repeats: u64,
    pub changes: u64,
    pub removals: u64,
    pub files: u64,
    pub fetches: u64,
    pub fetches_refused: u64,
    pub deliveries: u64,
    pub deliveries_due: u64,
    pub notices: u64,
    pub resumed: u64,
    pub doubted: u64,
    pub away: u64,
    pub history: u64,
    pub rooms_read: u64,
    pub rooms: u64,
    pub unproved: Option<Unproved>,
    pub send_faults: Tally,
    pub delivery_faults: Tally,
    pub described: Vec<Fault>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `ledger::Unproved`")]
pub struct Unproved {
    pub rooms: u64,
    pub acked: u64,
    pub due: u64,
    pub in_doubt: u64,
    pub in_doubt_heard: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `ledger::Tally`")]
pub struct Tally {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub foreign: u64,
}

impl Tally {
    /// Each kind by its name.
    pub fn kinds(&self) -> [(&'static str, u64); 4] {
        [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("foreign", self.foreign),
        ]
    }
}

/// One of the first faults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// `sends` or `deliveries`.
    pub side: String,
    /// As in [`Tally`].
    pub kind: String,
    /// In words.
    pub what: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each second")]
pub struct Rates {
    pub sends: f64,
    pub deliveries: f64,
}

/// The first folders did not count it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Wire`")]
pub struct Wire {
    pub bytes: u64,
    pub bytes_per_delivery: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Latencies`")]
pub struct Latencies {
    pub ack: Percentiles,
    pub generator: Percentiles,
    pub delivery: Percentiles,
    pub first: Percentiles,
    pub median: Percentiles,
    pub last: Percentiles,
    pub catch_up: Percentiles,
    pub resume: Percentiles,
    pub arrive: Percentiles,
    pub enter: Percentiles,
    pub upload: Percentiles,
    pub fetch: Percentiles,
    pub faces: Percentiles,
    pub picture: Percentiles,
    pub login: Percentiles,
    pub login_refused: Percentiles,
    pub connect: Percentiles,
}

/// p90, p95 and p99 of one kind of room against their bounds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::GoalMet`")]
pub struct GoalMet {
    pub rooms: String,
    pub percentiles: Vec<(String, f64, f64)>,
    pub met: bool,
}

/// What the scenario wanted, and what came of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Judged`")]
pub struct Threshold {
    pub name: String,
    pub says: String,
    pub was: String,
    pub came: Came,
}

/// As `summary::Came`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are those of `summary::Came`")]
pub enum Came {
    Met,
    Missed,
    Unsure,
    #[default]
    Unmeasured,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::PhaseSummary`")]
pub struct Phase {
    pub name: String,
    pub at: f64,
    pub seconds: f64,
    pub sends: u64,
    pub deliveries: u64,
    pub server_cpu_mean: f64,
    pub server_cpu_deviation: f64,
    /// Folders of before did not say.
    pub generator_cpu: Option<f64>,
    pub frames_per_write: Option<f64>,
    pub late: u64,
    pub ack: Percentiles,
    pub delivery: Percentiles,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::RowSummary`")]
pub struct Row {
    pub name: String,
    pub clients: u64,
    pub messages: u64,
    pub connect_p50_us: u32,
    pub connect_p99_us: u32,
    pub connect_max_us: u32,
    pub rtt_p50_us: u32,
    pub rtt_slope_us_per_client: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::InFlight`")]
pub struct InFlight {
    pub measured: f64,
    pub by_littles_law: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `witness::ServerWork`")]
pub struct ServerWork {
    pub sends: u64,
    pub fsyncs_per_1000_sends: f64,
    pub turns_per_1000_sends: f64,
    pub reads_per_1000_sends: f64,
    pub writes_per_1000_sends: f64,
    pub frames_per_write: Option<f64>,
    pub bytes_per_frame: Option<f64>,
    pub proc_reads_per_1000_sends: Option<f64>,
    pub proc_writes_per_1000_sends: Option<f64>,
    pub passwords_hashed: Option<u64>,
    pub stages: BTreeMap<String, StageWork>,
    pub ack_us: BTreeMap<String, f64>,
    pub looks: u32,
    pub differs: Vec<Differs>,
    pub not_compared: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Differs`")]
pub struct Differs {
    pub what: String,
    pub counted: f64,
    pub seen: f64,
    pub by_percent: f64,
    pub says: String,
}

impl Summary {
    /// What the server counted of itself, where that is what its clients saw.
    pub fn believed(&self) -> Option<&ServerWork> {
        self.server_work.as_ref().filter(|it| it.differs.is_empty())
    }

    /// What stands behind what single acks said of their time, where the server's counters are not believed.
    pub fn whose_word(&self) -> &'static str {
        let believed = self.differs().is_empty();
        if believed { "" } else { " (by a server whose counters differ from what was seen)" }
    }

    /// What it counted otherwise.
    pub fn differs(&self) -> &[Differs] {
        self.server_work.as_ref().map_or(&[], |it| &it.differs)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `witness::StageWork`")]
pub struct StageWork {
    pub per_second: f64,
    pub mean_us: f64,
    pub in_flight: f64,
    pub commands_by_littles_law: Option<f64>,
    pub commands_measured: Option<f64>,
}

/// Where the time of single messages went.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `traces::TraceSummary`")]
pub struct Traces {
    pub asked: u64,
    pub told: u64,
    pub client_us: f64,
    /// Of schema 4 on; before, it is in what was left.
    pub generator_us: Option<f64>,
    pub stages_us: BTreeMap<String, f64>,
    pub kernel_and_client_us: f64,
    pub slowest: Vec<SlowTrace>,
}

impl Traces {
    /// Whose that is which is in no part.
    pub fn rest_of(&self) -> &'static str {
        match self.generator_us {
            Some(_) => "kernel and client",
            None => "generator, kernel and client",
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `traces::SlowTrace`")]
pub struct SlowTrace {
    pub at: f64,
    pub client_us: f64,
    pub generator_us: f64,
    pub stages_us: BTreeMap<String, f64>,
    pub kernel_and_client_us: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::OfRooms`")]
pub struct OfRooms {
    pub ack: Percentiles,
    pub delivery: Percentiles,
    pub last: Percentiles,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Cost`")]
pub struct Cost {
    pub cpu_seconds: f64,
    pub cpu_share: f64,
    pub cpu_share_deviation: f64,
    pub cpu_us_per_delivery: f64,
    pub rss_max_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Generator`")]
pub struct Generator {
    pub cpu_share: f64,
    /// Folders of before did not say: they were judged by the mean.
    pub cpu_share_3s_max: Option<f64>,
    /// Of nothing (a count of 0) where no send had a time of its own.
    #[serde(deserialize_with = "or_of_nothing")]
    pub lag: Percentiles,
    pub dropped: u64,
    pub deliveries_per_cpu_second: f64,
    pub frames_per_read: f64,
}

/// What is null is of nothing.
fn or_of_nothing<'de, D: Deserializer<'de>>(from: D) -> Result<Percentiles, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl Generator {
    /// The share of a core that it was judged by.
    pub fn cpu_share_judged(&self) -> f64 {
        self.cpu_share_3s_max.unwrap_or(self.cpu_share)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `summary::Fsync`")]
pub struct Fsync {
    pub p50_us: f64,
    pub p99_us: f64,
}
