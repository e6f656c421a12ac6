//! A run's folder, read back: whatever schema it was written in, as long as we know it.
//!
//! Neighbours: `run` writes the folder; everything in `report` and `compare` is a function of what
//! is read here, and of nothing else. These types are not the writer's: a folder is read years after
//! the program that wrote it, so a field that is not there has a meaning here too.

mod columns;
mod lacks;
mod summary;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::baseline::Beside;
use crate::profile::{self, Index, Stacks};
use crate::report::words::number;
use crate::scenario::Ack;
use crate::summary::SCHEMA;
pub use columns::{Client, Counted};
pub use summary::*;

/// Seconds of a run that are read; as long as the longest scenario.
const SECONDS_MAX: usize = 7 * 24 * 3_600 + 1;

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It, or a file of it, is not there.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, io::Error),
    /// It is there and not what it should be.
    #[error("{0}: {1}")]
    Malformed(PathBuf, serde_json::Error),
    /// It was being written when the disk was full or the run was killed.
    #[error("{0} is {1}: the disk was full, or the run was killed as it was written")]
    Broken(PathBuf, &'static str),
    /// A line of the samples is not one.
    #[error("{0}, line {1}: {2}")]
    Sample(PathBuf, usize, serde_json::Error),
    /// A newer program wrote it.
    #[error("{0} has schema {1}, this program reads 1 to {SCHEMA}: use a newer one")]
    Newer(PathBuf, u32),
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Folder {
    /// What was run.
    pub manifest: Manifest,
    /// A line a second.
    pub seconds: Vec<Second>,
    /// The same lines as they were written, with whatever else they hold.
    pub lines: Vec<Value>,
    /// A line for each client of a row.
    pub clients: Vec<Client>,
    /// Where the server's CPU went, phase by phase, if that was looked at.
    pub profile: Option<(Index, Vec<Stacks>)>,
    /// What came of it. A run that was cut short has none on disk: then this says so.
    pub summary: Summary,
}

/// What was run, where, how.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Of the folder.
    pub schema: u32,
    /// Version of the lab.
    pub lab: String,
    /// As it was typed.
    pub command: String,
    /// When.
    pub started_unix_seconds: u64,
    /// What all chance came from.
    pub seed: u64,
    /// The scenario as it was run.
    pub scenario: Value,
    /// Whether the run started its server itself; the first folders did not say.
    pub server_is_ours: Option<bool>,
    /// What its program said of its version.
    pub server_version: Option<String>,
    /// Settings of our own server that were not at their default. The first folders had those here too that
    /// the scenario asks for and nobody gave.
    pub server_settings_raised: BTreeMap<String, String>,
    /// What the scenario asks for of a server that is not ours.
    pub server_settings_asked: BTreeMap<String, String>,
    /// Its address.
    pub target: String,
    /// Where.
    pub machine: Machine,
    /// The machine's numbers of another day beside those before the run, where there was a baseline.
    pub baseline: Option<Beside>,
}

/// The machine of a run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Cores that could be used.
    pub cores: u64,
    /// What the first says of itself.
    pub cpu: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// How TCP avoids congestion.
    pub congestion_control: String,
    /// Descriptors that the generator could hold.
    pub open_files_max: u64,
    /// Connections that may wait to be accepted; the first folders did not say.
    pub accept_backlog: Option<u64>,
    /// The first and the last port to connect from, likewise.
    pub ports: Option<[u32; 2]>,
    /// Cores' worth of time that a cgroup allowed.
    pub cgroup_cores: Option<f64>,
    /// Bytes of memory that it allowed.
    pub cgroup_memory_bytes: Option<u64>,
    /// Before the run.
    pub load_average: f64,
}

/// Of one histogram, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Percentiles {
    /// How many were recorded.
    pub count: u64,
    /// Half were quicker.
    pub p50_ms: f64,
    /// Nine in ten.
    pub p90_ms: f64,
    /// Nineteen in twenty.
    pub p95_ms: f64,
    /// Ninety-nine in a hundred.
    pub p99_ms: f64,
    /// All but one in a thousand.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// All together over their count; the first folders did not say.
    pub mean_ms: f64,
}

/// One second; see `Sample` of the recorder.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of `recorder::Sample`")]
pub struct Second {
    pub second: u64,
    /// The first folders did not say: each was a whole one.
    #[serde(default = "whole")]
    pub seconds: f64,
    /// When it began; the first folders had a sample a second, from 0.
    pub at: Option<f64>,
    pub phase: String,
    /// The first folders did not count them.
    pub users: Option<u64>,
    pub intended: u64,
    pub sent: u64,
    pub acked: u64,
    pub deliveries: u64,
    pub dropped: u64,
    pub connections: u64,
    pub ack: Percentiles,
    pub delivery: Percentiles,
    pub lag: Percentiles,
    pub login: Percentiles,
    pub server_cpu: f64,
    pub server_rss_bytes: u64,
    pub generator_cpu: f64,
    pub abusers_cpu: Option<f64>,
    pub steal: f64,
    pub in_flight: f64,
    pub listen_overflows: u64,
    pub late_arrivals: u64,
    pub backlog: u64,
    pub kernel_bytes: Option<u64>,
    pub rooms: BTreeMap<String, OfRooms>,
    /// What the server counted in it, where it counts.
    #[serde(skip)]
    pub counted: Counted,
}

fn whole() -> f64 {
    1.0
}

impl Second {
    /// When it began, in seconds of the load.
    pub fn begins(&self) -> f64 {
        self.at.unwrap_or(self.second as f64)
    }

    /// CPU seconds of the server, where its process was ours to see: every process has some memory.
    pub fn server(&self) -> Option<f64> {
        let seen = self.server_rss_bytes > 0 || self.server_cpu > 0.0;
        seen.then_some(self.server_cpu)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every promise was kept.
    Pass,
    /// The same, but a goal was not reached; folders of schema 1 called that a pass.
    Missed,
    /// No goal was missed, but of one at least it cannot be told whether it was met.
    Undecided,
    /// The ledger found faults.
    Faults,
    /// The generator was the bottleneck.
    Invalid,
    /// It did not come to its end.
    #[default]
    Incomplete,
    /// The server tells too little to know that all promises were kept.
    Unproved,
}

impl Ending {
    /// As in `summary.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Missed => "missed",
            Self::Undecided => "undecided",
            Self::Faults => "faults",
            Self::Invalid => "invalid",
            Self::Incomplete => "incomplete",
            Self::Unproved => "unproved",
        }
    }
}

impl Manifest {
    /// What the scenario asks for of a server that runs as its operator set it; none for our own.
    pub fn asked_in_vain(&self) -> Option<&BTreeMap<String, String>> {
        match self.server_is_ours {
            Some(false) => Some(&self.server_settings_asked),
            // Written before anybody said so.
            None if self.command.contains(" --target") => Some(&self.server_settings_raised),
            Some(true) | None => None,
        }
    }
}

impl Folder {
    /// Reads one.
    pub fn read(path: &Path) -> Result<Self, FolderError> {
        let manifest_file = path.join("manifest.json");
        let manifest: Manifest = json(&manifest_file)?;
        known(&manifest_file, manifest.schema)?;
        let samples = path.join("samples.jsonl");
        let (mut seconds, lines) = read_seconds(&samples)?;
        let counted = columns::counted(&path.join("series.csv"), &mut seconds);
        let clients = columns::clients(&path.join("analysis.csv"));
        let summary_file = path.join("summary.json");
        let summary = if summary_file.exists() {
            let mut summary: Summary = json(&summary_file)?;
            known(&summary_file, summary.schema)?;
            lacks::look(&mut summary, manifest.schema, &seconds, (counted, clients.len()));
            summary
        } else {
            cut_short(&manifest, &seconds)
        };
        let profile = profile::read(path);
        Ok(Self { manifest, seconds, lines, clients, profile, summary })
    }

    /// A number of the scenario, by its dotted key.
    pub fn scenario_number(&self, key: &str) -> Option<f64> {
        key.split('.').try_fold(&self.manifest.scenario, |at, part| at.get(part))?.as_f64()
    }

    /// Which ack its sends asked for, as tables and charts call it.
    pub fn ack(&self) -> &'static str {
        let asked = self.manifest.scenario.get("users").and_then(|users| users.get("ack"));
        let asked = asked.and_then(|ack| Ack::deserialize(ack).ok());
        asked.unwrap_or_default().words()
    }

    /// The kind of room whose latency stands for everybody's: a probe, if there is one.
    pub fn probe(&self) -> Option<&str> {
        let rooms = self.manifest.scenario.get("rooms")?.as_array()?;
        let steady = |it: &&Value| it.get("steady").and_then(Value::as_bool) == Some(true);
        rooms.iter().find(steady)?.get("name")?.as_str()
    }

    /// What the scenario says of itself.
    pub fn says(&self) -> &str {
        self.manifest.scenario.get("says").and_then(Value::as_str).unwrap_or_default()
    }

    /// Where a phase begins: its name and the second.
    pub fn phases(&self) -> Vec<(String, f64)> {
        let mut phases: Vec<(String, f64)> = Vec::new();
        for second in self.seconds.iter().filter(|it| !it.phase.is_empty()) {
            if phases.last().is_none_or(|(name, _)| *name != second.phase) {
                phases.push((second.phase.clone(), second.begins()));
            }
        }
        phases
    }
}

fn known(path: &Path, schema: u32) -> Result<(), FolderError> {
    if schema > SCHEMA { Err(FolderError::Newer(path.to_owned(), schema)) } else { Ok(()) }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let text =
        std::fs::read_to_string(path).map_err(|e| FolderError::Unreadable(path.to_owned(), e))?;
    serde_json::from_str(&text).map_err(|error| match text.trim() {
        "" => FolderError::Broken(path.to_owned(), "empty"),
        _ if error.is_eof() => FolderError::Broken(path.to_owned(), "cut short"),
        _ => FolderError::Malformed(path.to_owned(), error),
    })
}

/// The last line of a run that was cut short may be half a line: it is left out.
fn read_seconds(path: &Path) -> Result<(Vec<Second>, Vec<Value>), FolderError> {
    let text =
        std::fs::read_to_string(path).map_err(|e| FolderError::Unreadable(path.to_owned(), e))?;
    let (mut seconds, mut lines) = (Vec::new(), Vec::new());
    for (at, line) in text.split_inclusive('\n').enumerate().take(SECONDS_MAX) {
        let whole = line.ends_with('\n');
        let bad = |error| FolderError::Sample(path.to_owned(), at + 1, error);
        match serde_json::from_str::<Value>(line) {
            Ok(value) => {
                seconds.push(Second::deserialize(&value).map_err(bad)?);
                lines.push(value);
            }
            Err(_) if !whole => break,
            Err(error) => return Err(bad(error)),
        }
    }
    Ok((seconds, lines))
}

/// What can be said of a run without its summary.
fn cut_short(manifest: &Manifest, seconds: &[Second]) -> Summary {
    let load: f64 = seconds.iter().map(|it| it.seconds).sum();
    let rate = |sum: u64| sum as f64 / load.max(1e-9);
    let name = manifest.scenario.get("name").and_then(Value::as_str).unwrap_or_default();
    Summary {
        schema: manifest.schema,
        scenario: name.to_owned(),
        reasons: vec![format!(
            "the run was cut short and left no summary; its samples have {} s of load",
            number((load * 10.0).round() / 10.0)
        )],
        is_missing: true,
        load_seconds: load,
        rates: Rates {
            sends: rate(seconds.iter().map(|it| it.sent).sum()),
            deliveries: rate(seconds.iter().map(|it| it.deliveries).sum()),
        },
        ..Summary::default()
    }
}

/// Its day, as in `2026-11-21`.
pub fn day(unix_seconds: u64) -> String {
    utc(unix_seconds).split(' ').next().unwrap_or_default().to_owned()
}

/// A moment of the civil calendar, UTC, as in `2026-11-21 08:25:22`.
pub fn utc(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_calendars() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_827_696), "2000-02-29 12:34:56");
        assert_eq!(utc(1_795_249_522), "2026-11-21 08:25:22");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59:59");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00");
    }

    #[test]
    fn a_run_that_was_cut_short_is_read_to_its_last_whole_second() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.json"), r#"{"schema": 1}"#).unwrap();
        let lines = "{\"second\":0,\"sent\":4}\n{\"second\":1,\"sec";
        std::fs::write(folder.path().join("samples.jsonl"), lines).unwrap();
        let read = Folder::read(folder.path()).unwrap();
        assert_eq!((read.seconds.len(), read.seconds[0].sent), (1, 4));
        assert_eq!(read.summary.ending, Ending::Incomplete);
        assert!(read.summary.is_missing && read.summary.reasons[0].ends_with("have 1 s of load"));
        assert!((read.summary.rates.sends - 4.0).abs() < 1e-9);
    }

    #[test]
    fn a_summary_that_is_empty_or_half_is_told_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.json"), r#"{"schema": 1}"#).unwrap();
        std::fs::write(folder.path().join("samples.jsonl"), "").unwrap();
        for (text, is) in [("", "is empty: the disk was full"), ("{\"schema\": 3,", "is cut short")]
        {
            std::fs::write(folder.path().join("summary.json"), text).unwrap();
            let error = Folder::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("summary.json") && error.contains(is), "{error}");
        }
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.json"), r#"{"schema": 1}"#).unwrap();
        std::fs::write(folder.path().join("samples.jsonl"), "{}\nnonsense\n{}\n").unwrap();
        let error = Folder::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("samples.jsonl, line 2"), "{error}");
    }

    #[test]
    fn a_folder_of_a_newer_program_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.json"), r#"{"schema": 99}"#).unwrap();
        let error = Folder::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("schema 99"), "{error}");
        let missing = Folder::read(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(missing.contains("manifest.json"), "{missing}");
    }
}
