//! What a run is to do, as data: a TOML file in `scenarios/`, checked before anything starts.
//!
//! Neighbours: `plan` makes actions of it. It names no protocol but by its dress, and no server's
//! inside. In this folder: `abuse` (who means ill), `changes` (what is done beside saying something), `shape` (phases and load over time), `life` (users who come and go),
//! `settings` (`--set`), `check` (bounds, with the line they are broken in), `whole` (all presets, arms and
//! settings of the server), `scale` (the same scenario, larger), `threshold` (what it must reach).

mod abuse;
mod changes;
mod check;
mod life;
mod scale;
mod settings;
mod shape;
mod threshold;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::drivers::Dress;
pub use abuse::{Abuse, Abusers};
pub use changes::Changes;
pub use life::{Life, Login, Order, Row};
pub use scale::Measure;
pub use settings::Shorthand;
pub use shape::{Phase, Profile, Ramp, Shape, Spike};
pub use threshold::{Figure, Threshold};
pub use whole::{KnownSetting, check};

/// Users that one generator can hold.
pub const USERS_MAX: u32 = 100_000;
/// The server's own limit on a message, by default.
pub const BODY_BYTES_MAX: u32 = 8 * 1024;
/// Those that come with the program, by name.
const BUILT_IN: [(&str, &str); 14] = [
    ("canonical", include_str!("../../../../scenarios/canonical.toml")),
    ("ramp-with-logins", include_str!("../../../../scenarios/ramp-with-logins.toml")),
    ("new-year", include_str!("../../../../scenarios/new-year.toml")),
    ("spammers", include_str!("../../../../scenarios/spammers.toml")),
    ("crowd", include_str!("../../../../scenarios/crowd.toml")),
    ("scale-up-down", include_str!("../../../../scenarios/scale-up-down.toml")),
    ("reconnect-all", include_str!("../../../../scenarios/reconnect-all.toml")),
    ("join-hot-room", include_str!("../../../../scenarios/join-hot-room.toml")),
    ("slow-readers", include_str!("../../../../scenarios/slow-readers.toml")),
    ("login-storm", include_str!("../../../../scenarios/login-storm.toml")),
    ("prices", include_str!("../../../../scenarios/prices.toml")),
    ("flood", include_str!("../../../../scenarios/flood.toml")),
    ("hostile-mix", include_str!("../../../../scenarios/hostile-mix.toml")),
    ("soak", include_str!("../../../../scenarios/soak.toml")),
];

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is, in a line.
    pub says: String,
    /// How long load is offered, at most: the sum of the phases, where there are any.
    #[serde(default)]
    pub seconds: f64,
    /// What all chance comes from.
    pub seed: u64,
    /// Goals that nothing here measures leave the run a pass: of the short forms, which are too short for some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unmeasured_may_pass: bool,
    /// Who.
    pub users: Users,
    /// Where, and how much is said there.
    pub rooms: Vec<Rooms>,
    /// How long what is said is.
    pub bodies: Bodies,
    /// Who comes and goes.
    #[serde(default)]
    pub churn: Churn,
    /// What is done beside saying something.
    #[serde(default, skip_serializing_if = "Changes::are_none")]
    pub changes: Changes,
    /// When the run is not to be believed.
    #[serde(default)]
    pub self_check: SelfCheck,
    /// Settings of the server that are not at their default.
    #[serde(default)]
    pub server: BTreeMap<String, String>,
    /// Short names of keys that are often changed, for `--set`.
    #[serde(default, skip_serializing)]
    pub shorthands: BTreeMap<String, Shorthand>,
    /// Stretches of the load with a name; one without if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Users who come and go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lives: Vec<Life>,
    /// Users who send in a row, each after the ack of the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Row>,
    /// Users who mean ill, with accounts of their own behind all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abusers: Vec<Abusers>,
    /// What one kind of room's latency is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// What a run must reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
    /// What a run can reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grades: Vec<Grade>,
    /// Sizes of it by name, for `--preset`; `short` is what a test runs.
    #[serde(default, skip_serializing)]
    pub presets: Vec<Variant>,
    /// Ways to run it that are to be compared, for `--arm`.
    #[serde(default, skip_serializing)]
    pub arms: Vec<Variant>,
}

/// Bounds of the latency of one kind of room, to each recipient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// Which kind: a probe.
    pub rooms: String,
    /// Nine in ten are quicker.
    pub p90_ms: f64,
    /// Nineteen in twenty.
    pub p95_ms: f64,
    /// Ninety-nine in a hundred.
    pub p99_ms: f64,
}

/// A rate at which acks come within a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// What it is called.
    pub name: String,
    /// So many sends a second, acked.
    pub sends_per_second: f64,
    /// Ninety-nine in a hundred of the durable acks within this.
    pub ack_p99_ms: f64,
    /// So many were to be told of each, on average; 0 where that does not matter.
    #[serde(default)]
    pub fan_out: f64,
}

/// Some values of a scenario changed together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What it is called.
    pub name: String,
    /// `key=value`, as for `--set`.
    pub set: Vec<String>,
}

/// Whether sends wait for acks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Sends are made at their times, whatever the server does.
    Open,
    /// A send follows the ack of the one before.
    Closed,
}

/// The users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// How many.
    pub count: u32,
    /// How they speak, dealt out in turn.
    pub dresses: Vec<Dress>,
    /// Connections that each who speaks over REST spreads his posts over.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub rest_connections: u32,
    /// They ask to be told compressed what is long, where their dress knows of that; a server that does not
    /// agree ends the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compressed: bool,
    /// What their sends ask for.
    #[serde(default, skip_serializing_if = "Ack::is_durable")]
    pub ack: Ack,
}

/// When the server answers a send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// When it is on the disk.
    #[default]
    Durable,
    /// When it has its place; the disk may fail it yet.
    Accepted,
}

impl Ack {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(crate) fn is_durable(&self) -> bool {
        *self == Self::Durable
    }

    /// As tables and charts call it.
    pub(crate) fn words(self) -> &'static str {
        if self.is_durable() { "durable ack" } else { "accepted ack" }
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// How sends follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independent of each other.
    Poisson,
    /// Evenly spaced, from a moment drawn once.
    Constant,
}

/// A kind of room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooms {
    /// What they are called; a number follows.
    pub name: String,
    /// How many.
    pub count: u32,
    /// Members of each: the first has the first users, the second the next, around again if need
    /// be.
    pub members: u32,
    /// The first member of the first of them, among all users.
    #[serde(default, skip_serializing_if = "is_first")]
    pub first: u32,
    /// Sizes by Zipf's law: the second room has `members` divided by two to this power, the third
    /// by three, but two at least; and the members are drawn from all users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zipf: Option<f64>,
    /// So many of the members speak; all if absent.
    #[serde(default)]
    pub speakers: Option<u32>,
    /// Only those in this dress speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speakers_in: Option<Dress>,
    /// In each room.
    pub sends_per_second: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
    /// Rooms of two, made by the one who writes to the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
    /// The phases' load does not change what is said here: a probe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub steady: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_first(user: &u32) -> bool {
    *user == 0
}

/// Lengths of bodies: log-normal, cut to its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bodies {
    /// The shortest.
    pub bytes_min: u32,
    /// Half are shorter.
    pub bytes_median: u32,
    /// The longest.
    pub bytes_max: u32,
    /// Of the logarithm; 0 for all alike.
    pub sigma: f64,
}

/// Shares of all users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Each second: reconnect and resume.
    #[serde(default)]
    pub reconnect: f64,
    /// Each second: join or leave a room.
    #[serde(default)]
    pub membership: f64,
    /// Once in the run: stop reading.
    #[serde(default)]
    pub stall: f64,
    /// For so long.
    #[serde(default)]
    pub stall_seconds: f64,
}

/// When the generator was the bottleneck, or others had the machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfCheck {
    /// Share of one core that the generator may use in its busiest three seconds.
    pub cpu_max: f64,
    /// How late the median send may start.
    pub lag_p50_ms: f64,
    /// How late one in a hundred may start.
    pub lag_p99_ms: f64,
    /// Sends that may be given up.
    pub dropped_max: u64,
    /// A send later than this is given up.
    pub late_ms: f64,
    /// Share of all cores that other programs may take, on average. Without it the run says when they took more
    /// than a little, and ends as it would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others_cores: Option<f64>,
}

impl Default for SelfCheck {
    fn default() -> Self {
        let (lag_p50_ms, lag_p99_ms, late_ms) = (0.2, 50.0, 1_000.0);
        Self { cpu_max: 0.9, lag_p50_ms, lag_p99_ms, dropped_max: 0, late_ms, others_cores: None }
    }
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither built in nor a file.
    #[error("no scenario `{0}`: neither a file nor one of {1}")]
    Unknown(String, String),
    /// The file could not be read.
    #[error("{0}: {1}")]
    Unreadable(String, std::io::Error),
    /// Not the grammar; the text names line, column and what is allowed.
    #[error("{0}: {1}")]
    Malformed(String, toml::de::Error),
    /// A `--set` that does not fit.
    #[error("--set {0}: {1}")]
    BadSetting(String, String),
    /// A number that is out of bounds.
    #[error("{0}: {1}")]
    BadValue(String, String),
}

impl Scenario {
    /// A built-in one by its name, or a file; then what `--set` changes.
    pub fn load(name: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        let (source, text) = Self::text_of(name)?;
        Self::parse(&source, &text, settings)
    }

    /// What errors call it, and its text.
    fn text_of(name: &str) -> Result<(String, String), ScenarioError> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Ok((format!("scenarios/{name}.toml"), (*text).to_owned())),
            None if Path::new(name).exists() => {
                let text = std::fs::read_to_string(name)
                    .map_err(|error| ScenarioError::Unreadable(name.into(), error))?;
                Ok((name.to_owned(), text))
            }
            None => {
                let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                Err(ScenarioError::Unknown(name.into(), known.join(", ")))
            }
        }
    }

    /// The same with a preset and an arm of its own, which `--set` goes over.
    pub fn load_variant(
        name: &str,
        preset: Option<&str>,
        arm: Option<&str>,
        settings: &[String],
    ) -> Result<Self, ScenarioError> {
        let plain = Self::load(name, &[])?;
        let mut all = Vec::new();
        for (of, what, chosen) in [(&plain.presets, "preset", preset), (&plain.arms, "arm", arm)] {
            if let Some(chosen) = chosen {
                all.extend_from_slice(Self::variant(of, what, chosen)?);
            }
        }
        all.extend_from_slice(settings);
        Self::load(name, &all)
    }

    /// Those that come with the program.
    pub fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN.iter().map(|(name, text)| {
            Self::parse(name, text, &[]).expect("a test reads every one of them")
        })
    }

    /// From text; `source` is what errors call it.
    pub fn parse(source: &str, text: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        let malformed = |error| ScenarioError::Malformed(source.to_owned(), error);
        let mut scenario: Self = toml::from_str(text).map_err(malformed)?;
        let settings = &settings::in_full(settings, &scenario.shorthands)[..];
        let mut table: toml::Table = toml::from_str(text).map_err(malformed)?;
        for setting in settings {
            let bad = |why: String| ScenarioError::BadSetting(setting.clone(), why);
            let (key, value) =
                setting.split_once('=').ok_or_else(|| bad("not key=value".into()))?;
            settings::set(&mut table, key, value).map_err(bad)?;
            scenario = table.clone().try_into().map_err(|error: toml::de::Error| {
                ScenarioError::BadSetting(setting.clone(), error.message().to_owned())
            })?;
        }
        // Of a time that is none, no phase has a share; it is told of itself, not of them.
        let timed = !table.contains_key("seconds") || scenario.check_seconds().is_ok();
        if timed {
            scenario.fit_phases();
        }
        let checked = if timed { scenario.check() } else { scenario.check_seconds() };
        checked.map_err(|broken| broken.told(source, text, settings))?;
        Ok(scenario)
    }

    /// What a preset or an arm of this name changes.
    pub fn variant<'a>(
        of: &'a [Variant],
        what: &str,
        name: &str,
    ) -> Result<&'a [String], ScenarioError> {
        let found = of.iter().find(|it| it.name == name).map(|it| &it.set[..]);
        found.ok_or_else(|| {
            let known: Vec<&str> = of.iter().map(|it| it.name.as_str()).collect();
            let known = if known.is_empty() { "there are none".into() } else { known.join(", ") };
            ScenarioError::BadValue(format!("--{what} {name}"), format!("not one of: {known}"))
        })
    }

    /// Users whose connections are closed by plan: who come and go, and who have a row to send.
    pub fn visitors(&self) -> u32 {
        let lives = self.lives.iter().map(|life| life.count);
        let rows = self.rows.iter().map(|row| row.count);
        lives.chain(rows).sum()
    }

    /// Sockets that its users need.
    pub fn sockets(&self) -> u64 {
        let dresses = &self.users.dresses;
        let rest = dresses.iter().filter(|dress| **dress == Dress::Rest).count() as u64;
        let users = u64::from(self.users.count);
        let further = users * rest / dresses.len().max(1) as u64 + 1;
        let ill = u64::from(self.abusers_count());
        let looking = self.lives.iter().filter(|life| life.avatars);
        let pictures: u64 = looking.map(|life| u64::from(life.count)).sum();
        users + further * u64::from(self.users.rest_connections - 1) + ill + pictures.min(users)
    }

    /// Whether somebody looks at pictures of people; then everybody has one.
    pub fn looks_at_pictures(&self) -> bool {
        self.lives.iter().any(|life| life.avatars)
    }

    /// How many mean ill.
    pub fn abusers_count(&self) -> u32 {
        self.abusers.iter().map(|group| group.count).sum()
    }

    /// Whether somebody logs in by a password.
    pub fn needs_passwords(&self) -> bool {
        self.lives.iter().any(|life| life.login == Login::Password)
    }

    /// Whether one of its thresholds needs this figure.
    pub fn asks_for(&self, figure: Figure) -> bool {
        self.thresholds.iter().any(|it| it.figure == figure)
    }

    /// Whether the load is the same from its beginning to its end: only then does a slope over it say something of
    /// the server.
    pub fn is_steady(&self) -> bool {
        self.phases.is_empty() && self.lives.is_empty() && self.rows.is_empty()
    }

    /// Whether sends wait for acks.
    pub fn model(&self) -> Model {
        if self.rows.is_empty() { Model::Open } else { Model::Closed }
    }

    /// When a phase begins, and how long it lasts; the whole load for none.
    pub fn phase(&self, name: Option<&str>) -> Option<(f64, f64)> {
        let Some(name) = name else { return Some((0.0, self.seconds)) };
        let at = self.phases.iter().position(|phase| phase.name == name)?;
        let begins = self.phases[..at].iter().map(|phase| phase.seconds).sum();
        Some((begins, self.phases[at].seconds))
    }

    /// Phases that were given another time in all keep their share of it.
    fn fit_phases(&mut self) {
        let sum: f64 = self.phases.iter().map(|phase| phase.seconds).sum();
        if self.seconds == 0.0 && !self.phases.is_empty() {
            self.seconds = sum;
        } else if sum > 0.0 {
            for phase in &mut self.phases {
                phase.seconds *= self.seconds / sum;
            }
        }
    }
}

#[cfg(test)]
mod tests;
