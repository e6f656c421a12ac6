//! What a run is to do, as data: a TOML file in `scenarios/`, checked before anything starts.
//!
//! Neighbours: `plan` makes actions of it. It names no protocol but by its dress, and no server's
//! inside.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::drivers::Dress;

/// Users that one generator can hold.
pub const USERS_MAX: u32 = 20_000;
/// The server's own limit on a message, by default.
const BODY_BYTES_MAX: u32 = 8 * 1024;

/// Those that come with the program, by name.
const BUILT_IN: [(&str, &str); 1] =
    [("canonical", include_str!("../../../scenarios/canonical.toml"))];

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is, in a line.
    pub says: String,
    /// How long load is offered.
    pub seconds: f64,
    /// What all chance comes from.
    pub seed: u64,
    /// Who.
    pub users: Users,
    /// Where, and how much is said there.
    pub rooms: Vec<Rooms>,
    /// How long what is said is.
    pub bodies: Bodies,
    /// Who comes and goes.
    #[serde(default)]
    pub churn: Churn,
    /// When the run is not to be believed.
    #[serde(default)]
    pub self_check: SelfCheck,
    /// Settings of the server that are not at their default.
    #[serde(default)]
    pub server: BTreeMap<String, String>,
}

/// The users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// How many.
    pub count: u32,
    /// How they speak, dealt out in turn.
    pub dresses: Vec<Dress>,
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
    /// So many of the members speak; all if absent.
    #[serde(default)]
    pub speakers: Option<u32>,
    /// In each room.
    pub sends_per_second: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
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

/// When the generator was the bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfCheck {
    /// Share of one core that the generator may use.
    pub cpu_max: f64,
    /// How late the median send may start.
    pub lag_p50_ms: f64,
    /// How late one in a hundred may start.
    pub lag_p99_ms: f64,
    /// Sends that may be given up.
    pub dropped_max: u64,
    /// A send later than this is given up.
    pub late_ms: f64,
}

impl Default for SelfCheck {
    fn default() -> Self {
        Self { cpu_max: 0.9, lag_p50_ms: 1.0, lag_p99_ms: 50.0, dropped_max: 0, late_ms: 1_000.0 }
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
    /// Those that come with the program.
    pub fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN.iter().map(|(name, text)| {
            Self::parse(name, text, &[]).expect("a test reads every one of them")
        })
    }

    /// A built-in one by its name, or a file; then what `--set` changes.
    pub fn load(name: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        let (source, text) = match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => (format!("scenarios/{name}.toml"), (*text).to_owned()),
            None if Path::new(name).exists() => {
                let text = std::fs::read_to_string(name)
                    .map_err(|error| ScenarioError::Unreadable(name.into(), error))?;
                (name.to_owned(), text)
            }
            None => {
                let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                return Err(ScenarioError::Unknown(name.into(), known.join(", ")));
            }
        };
        Self::parse(&source, &text, settings)
    }

    /// From text; `source` is what errors call it.
    pub fn parse(source: &str, text: &str, settings: &[String]) -> Result<Self, ScenarioError> {
        let malformed = |error| ScenarioError::Malformed(source.to_owned(), error);
        let mut scenario: Self = toml::from_str(text).map_err(malformed)?;
        if !settings.is_empty() {
            let mut table: toml::Table = toml::from_str(text).map_err(malformed)?;
            for setting in settings {
                let bad = |why: String| ScenarioError::BadSetting(setting.clone(), why);
                let (key, value) =
                    setting.split_once('=').ok_or_else(|| bad("not key=value".into()))?;
                set(&mut table, key, value).map_err(bad)?;
                scenario = table.clone().try_into().map_err(|error: toml::de::Error| {
                    ScenarioError::BadSetting(setting.clone(), error.message().to_owned())
                })?;
            }
        }
        scenario.check().map_err(|why| ScenarioError::BadValue(source.to_owned(), why))?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        let share = |key: &str, value: f64| within(key, value, 0.0, 1.0);
        within("seconds", self.seconds, 0.1, 7.0 * 24.0 * 3_600.0)?;
        within("users.count", f64::from(self.users.count), 1.0, f64::from(USERS_MAX))?;
        if self.users.dresses.is_empty() {
            return Err("users.dresses: at least one of ws-json, ws-protobuf, raw".into());
        }
        if self.rooms.is_empty() {
            return Err("rooms: at least one kind of room".into());
        }
        for room in &self.rooms {
            let key = |field: &str| format!("rooms.{}.{field}", room.name);
            within(&key("count"), f64::from(room.count), 1.0, 100_000.0)?;
            let users = f64::from(self.users.count);
            within(&key("members"), f64::from(room.members), 1.0, users)?;
            let members = f64::from(room.members);
            let speakers = room.speakers.unwrap_or(room.members);
            within(&key("speakers"), f64::from(speakers), 1.0, members)?;
            within(&key("sends_per_second"), room.sends_per_second, 0.0, 200_000.0)?;
        }
        let Bodies { bytes_min, bytes_median, bytes_max, sigma } = self.bodies;
        let (min, median, max) =
            (f64::from(bytes_min), f64::from(bytes_median), f64::from(bytes_max));
        within("bodies.bytes_min", min, f64::from(crate::plan::BODY_BYTES_MIN), median)?;
        within("bodies.bytes_median", median, min, max)?;
        within("bodies.bytes_max", max, median, f64::from(BODY_BYTES_MAX))?;
        within("bodies.sigma", sigma, 0.0, 4.0)?;
        share("churn.reconnect", self.churn.reconnect)?;
        share("churn.membership", self.churn.membership)?;
        share("churn.stall", self.churn.stall)?;
        within("churn.stall_seconds", self.churn.stall_seconds, 0.0, 3_600.0)
    }
}

fn within(key: &str, value: f64, min: f64, max: f64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(format!("{key} = {value} is not from {min} to {max}"))
}

/// Puts one value at a dotted key. Where tables stand in a row, a part of the key is a table's
/// name. Keys below `server` are settings of the server and hold dots of their own.
fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), String> {
    if let Some(setting) = key.strip_prefix("server.") {
        let server = table.entry("server").or_insert_with(|| toml::Table::new().into());
        let server = server.as_table_mut().ok_or("server is not a table")?;
        server.insert(setting.to_owned(), value.into());
        return Ok(());
    }
    let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut at = table;
    let mut parts = path.split('.').filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        let next = at.entry(part).or_insert_with(|| toml::Table::new().into());
        at = match next {
            toml::Value::Table(table) => table,
            toml::Value::Array(tables) => {
                let name = parts.next().ok_or_else(|| format!("{part}.NAME.{last}"))?;
                let named = tables.iter_mut().filter_map(toml::Value::as_table_mut);
                let is =
                    |it: &&mut toml::Table| it.get("name").and_then(|it| it.as_str()) == Some(name);
                named.into_iter().find(is).ok_or_else(|| format!("{part} has no `{name}`"))?
            }
            _ => return Err(format!("{part} is not a table")),
        };
    }
    let value = value.parse::<toml::Value>().unwrap_or_else(|_| value.into());
    // Whole numbers are as good as others where a fraction is allowed.
    let value = match (at.get(last), value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => (whole as f64).into(),
        (_, value) => value,
    };
    at.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(settings: &[&str]) -> Result<Scenario, ScenarioError> {
        let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
        Scenario::load("canonical", &settings)
    }

    fn near(is: f64, wanted: f64) {
        assert!((is - wanted).abs() < 1e-9, "{is} is not {wanted}");
    }

    #[test]
    fn canonical_is_what_the_yardstick_says() {
        let scenario = canonical(&[]).unwrap();
        assert_eq!(scenario.users.count, 1_000);
        near(scenario.seconds, 60.0);
        let sends: f64 =
            scenario.rooms.iter().map(|it| f64::from(it.count) * it.sends_per_second).sum();
        near(sends, 120.0);
    }

    #[test]
    fn every_built_in_scenario_can_be_read() {
        assert_eq!(Scenario::built_in().count(), BUILT_IN.len());
    }

    #[test]
    fn an_unknown_key_is_refused_by_its_line_with_what_is_allowed() {
        let text = BUILT_IN[0].1.replace("speakers = 50", "speekers = 50");
        let error = Scenario::parse("mine.toml", &text, &[]).unwrap_err().to_string();
        let line = text.lines().position(|line| line.contains("speekers")).unwrap() + 1;
        assert!(error.starts_with("mine.toml:"), "{error}");
        assert!(error.contains(&format!("line {line}")), "{error}");
        assert!(error.contains("speakers"), "{error}");
    }

    #[test]
    fn a_number_out_of_bounds_is_refused_with_its_bounds() {
        let error = canonical(&["rooms.lobby.members=2000"]).unwrap_err().to_string();
        assert!(error.contains("rooms.lobby.members = 2000 is not from 1 to 1000"), "{error}");
    }

    #[test]
    fn a_setting_reaches_what_it_names() {
        let scenario = canonical(&[
            "seconds=5",
            "rooms.team.count=3",
            "churn.reconnect=0",
            "server.limits.sends_per_second=100",
        ])
        .unwrap();
        near(scenario.seconds, 5.0);
        assert_eq!(scenario.rooms[1].count, 3);
        near(scenario.churn.reconnect, 0.0);
        assert_eq!(scenario.server["limits.sends_per_second"], "100");
    }

    #[test]
    fn a_setting_that_names_nothing_is_refused() {
        for (setting, why) in [
            ("secnods=5", "secnods"),
            ("rooms.pub.count=3", "no `pub`"),
            ("seconds", "key=value"),
            ("seconds=soon", "invalid type"),
        ] {
            let error = canonical(&[setting]).unwrap_err().to_string();
            assert!(error.contains(why), "{setting}: {error}");
        }
    }

    #[test]
    fn a_name_that_is_no_scenario_is_refused_with_those_that_are() {
        let error = Scenario::load("nonsense", &[]).unwrap_err().to_string();
        assert!(error.contains("canonical"), "{error}");
    }
}
