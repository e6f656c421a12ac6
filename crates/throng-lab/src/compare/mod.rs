//! `lab compare`: is B quicker or slower than A, by how much, and how sure is that?
//!
//! Neighbours: `flames` draws where CPU went otherwise; `turns` runs the two in turn; `report::folder` reads what came of it; `stats::compare`
//! has the arithmetic; `unlike` what else differs in two that were run before. Nothing here looks at a server.

mod flames;
mod turns;
mod unlike;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::report::folder::Ending;
use crate::report::others;
use crate::report::words::number;
use crate::report::{Folder, FolderError, runs_in};
use crate::run::LabError;
use crate::stats::compare::{PAIRS_MAX, PAIRS_MIN};
use crate::stats::{Paired, Spread, Verdict, paired};
pub use turns::{Dressed, Side, Turns, in_turn};

/// Of `compare.json`; raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// Of what differs in two runs, as many are told on a screen.
const UNLIKE_TOLD: usize = 8;

/// What a feature is paid with: told together, whatever decides.
const PRICES: [Metric; 4] = [Metric::Cpu, Metric::Join, Metric::Bytes, Metric::Memory];

/// What two runs are compared by. Of all of them less is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Microseconds of the server's CPU a delivery.
    #[default]
    Cpu,
    /// Half of all acks.
    AckP50,
    /// 99 in 100 acks.
    AckP99,
    /// Half of all deliveries.
    DeliveryP50,
    /// 99 in 100 deliveries.
    DeliveryP99,
    /// Bytes that came over the sockets, a delivery.
    Bytes,
    /// Most resident memory of the server.
    Memory,
    /// Bytes of a frame on the wire, on average, by the server's own count.
    Frame,
    /// Microseconds of the server's CPU for one who joins, in phases in which nothing else happens.
    Join,
}

impl Metric {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 9] = [
        Self::Cpu,
        Self::AckP50,
        Self::AckP99,
        Self::DeliveryP50,
        Self::DeliveryP99,
        Self::Bytes,
        Self::Memory,
        Self::Frame,
        Self::Join,
    ];

    /// On the command line and in `compare.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::AckP50 => "ack-p50",
            Self::AckP99 => "ack-p99",
            Self::DeliveryP50 => "delivery-p50",
            Self::DeliveryP99 => "delivery-p99",
            Self::Bytes => "bytes",
            Self::Memory => "memory",
            Self::Frame => "frame",
            Self::Join => "join",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.name() == name);
        let names: Vec<&str> = Self::ALL.iter().map(|it| it.name()).collect();
        found.ok_or_else(|| format!("`{name}` is none of {}", names.join(", ")))
    }

    /// For a person.
    fn words(self) -> &'static str {
        match self {
            Self::Cpu => "CPU a delivery, µs",
            Self::AckP50 => "ack p50, ms",
            Self::AckP99 => "ack p99, ms",
            Self::DeliveryP50 => "delivery p50, ms",
            Self::DeliveryP99 => "delivery p99, ms",
            Self::Bytes => "bytes a delivery",
            Self::Memory => "memory, MiB",
            Self::Frame => "bytes a frame",
            Self::Join => "CPU a join, µs",
        }
    }

    /// What a run says.
    pub fn of(self, run: &Folder) -> Option<f64> {
        let latency = &run.summary.latency;
        match self {
            Self::Cpu => run.summary.cost.map(|it| it.cpu_us_per_delivery),
            Self::AckP50 => Some(latency.ack.p50_ms),
            Self::AckP99 => Some(latency.ack.p99_ms),
            Self::DeliveryP50 => Some(latency.delivery.p50_ms),
            Self::DeliveryP99 => Some(latency.delivery.p99_ms),
            Self::Bytes => run.summary.wire.map(|it| it.bytes_per_delivery),
            Self::Memory => {
                let cost = run.summary.cost;
                cost.map(|it| it.rss_max_bytes as f64 / f64::from(1 << 20))
            }
            Self::Frame => run.summary.believed()?.bytes_per_frame,
            // Of what is lost in the idle server's noise there is no ratio.
            Self::Join => {
                let join = run.summary.prices.as_ref()?.join;
                join.map(|it| it.cpu_us).filter(|it| *it > 0.0)
            }
        }
    }

    fn is_latency(self) -> bool {
        !matches!(self, Self::Cpu | Self::Bytes | Self::Memory | Self::Frame | Self::Join)
    }
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A folder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A run could not be made.
    #[error(transparent)]
    Run(#[from] LabError),
    /// A run broke a promise: which of two wrong servers is quicker is no question.
    #[error("{0} broke promises: {1}")]
    Faults(PathBuf, String),
    /// Too many runs were void.
    #[error("{0} runs were void, the last because {1}; the machine does not hold still")]
    Void(usize, String),
    /// The arguments do not go together.
    #[error("{0}")]
    Arguments(String),
    /// A signal ended it before its time; the runs so far are kept.
    #[error("stopped by a signal")]
    Stopped,
    /// The result cannot be written.
    #[error("{0}: {1}")]
    Unwritable(PathBuf, io::Error),
}

/// Pairs of runs, compared.
#[derive(Debug)]
pub struct Comparison {
    /// What decides.
    pub by: Metric,
    /// What each side is.
    pub sides: [String; 2],
    /// What each metric says; a metric that no run has is left out.
    pub metrics: Vec<(Metric, Paired)>,
    /// The folders, in the order in which they were run.
    pub runs: Vec<[PathBuf; 2]>,
    /// In what runs that were made before differ, in words.
    pub unlike: Vec<String>,
    /// That the machine was busy with something else beside some of them, in words.
    pub not_alone: Option<String>,
    /// Why there are fewer pairs than were wanted, if there are: a signal, or a run that could not be made.
    pub cut: Option<CompareError>,
}

impl Comparison {
    /// Of pairs in the order in which they were run.
    pub fn of(
        by: Metric,
        sides: [String; 2],
        pairs: &[[(PathBuf, Folder); 2]],
        seed: u64,
    ) -> Result<Self, CompareError> {
        let metrics: Vec<(Metric, Paired)> = Metric::ALL
            .into_iter()
            .filter_map(|metric| {
                let value =
                    |[a, b]: &[(PathBuf, Folder); 2]| Some((metric.of(&a.1)?, metric.of(&b.1)?));
                let values: Vec<(f64, f64)> = pairs.iter().filter_map(value).collect();
                Some((metric, paired(&values, seed)?))
            })
            .collect();
        if !metrics.iter().any(|(metric, _)| *metric == by) {
            let why = format!("no pair of runs has a value for {}", by.name());
            return Err(CompareError::Arguments(why));
        }
        let runs = pairs.iter().map(|[a, b]| [a.0.clone(), b.0.clone()]).collect();
        let beside = pairs.iter().flatten().map(|(_, run)| run.summary.other_programs.as_ref());
        let not_alone = others::of_many("runs", beside);
        Ok(Self { by, sides, metrics, runs, unlike: Vec::new(), not_alone, cut: None })
    }

    /// What the metric that decides says.
    pub fn decided(&self) -> &Paired {
        let found = self.metrics.iter().find(|(metric, _)| *metric == self.by);
        &found.expect("`of` has seen to it").1
    }

    /// The one sentence.
    pub fn sentence(&self) -> String {
        let it = self.decided();
        let what = self.by.words().split(',').next().unwrap_or_default();
        let Some(([low, high], floor)) = it.interval.zip(it.noise_floor) else {
            let (ratio, pairs) = (change(it.ratio), it.pairs);
            return format!(
                "No verdict: B took {ratio} {what}, but with fewer than {PAIRS_MIN} pairs, here {pairs}, nothing is known of \
                 how much the same thing differs from itself. Run them in turn: lab compare SCENARIO."
            );
        };
        let floor_words = format!("noise floor {:.1} %", floor * 100.0);
        let between = format!("19 times in 20 between {} and {}", change(low), change(high));
        match it.verdict {
            Verdict::Faster | Verdict::Slower => format!(
                "B is {}: it takes {} {what} ({between}; {floor_words}; {} pairs).",
                it.verdict.words(),
                change(it.ratio),
                it.pairs
            ),
            _ => {
                let seen = (high / low).sqrt() - 1.0;
                format!(
                    "No difference found in {what}: B took {} ({between}; {floor_words}; {} pairs); one above \
                     about {:.1} % would have been seen.",
                    change(it.ratio),
                    it.pairs,
                    floor.max(seen) * 100.0
                )
            }
        }
    }

    /// What B takes more or less than A of all that is paid for: CPU a delivery and a join, bytes, memory. What does
    /// not decide is not judged; what equal things would show is called so.
    pub fn prices(&self) -> String {
        let price = |metric: Metric| {
            let (what, unit) = metric.words().split_once(", ").unwrap_or((metric.words(), ""));
            let Some((_, it)) = self.metrics.iter().find(|(of, _)| *of == metric) else {
                return format!("{what} not measured");
            };
            let apart = it.b.median - it.a.median;
            let sign = if apart < 0.0 { "\u{2212}" } else { "+" };
            let apart = format!("{sign}{} {unit}", number(apart.abs()));
            let noise = it.verdict == Verdict::NoDifference;
            let noise = if noise { ", no more than noise" } else { "" };
            format!("{what} {} ({}{noise})", apart.trim_end(), change(it.ratio))
        };
        format!("B beside A: {}.", PRICES.map(price).join("; "))
    }

    /// For a person.
    pub fn words(&self) -> String {
        let mut lines: Vec<String> = self.cut_short().into_iter().collect();
        lines.extend(self.not_alone.clone());
        lines.extend([
            self.sentence(),
            self.prices(),
            String::new(),
            format!("A  {}", self.sides[0]),
            format!("B  {}", self.sides[1]),
            String::new(),
        ]);
        if !self.unlike.is_empty() {
            lines.extend(self.unlike_words());
            lines.push(String::new());
        }
        lines.push(format!(
            "{:20} {:>24} {:>24} {:>7} {:>15} {:>7}",
            "median (range)", "A", "B", "B / A", "95 %", "floor"
        ));
        for (metric, it) in &self.metrics {
            let side = |it: &Spread| {
                format!("{} ({}–{})", number(it.median), number(it.min), number(it.max))
            };
            let interval =
                it.interval.map_or("–".to_owned(), |[low, high]| format!("{low:.3}–{high:.3}"));
            let floor =
                it.noise_floor.map_or("–".to_owned(), |floor| format!("{:.1} %", floor * 100.0));
            let decides = if *metric == self.by { "  decides" } else { "" };
            lines.push(format!(
                "{:20} {:>24} {:>24} {:>7.3} {interval:>15} {floor:>7}{decides}",
                metric.words(),
                side(&it.a),
                side(&it.b),
                it.ratio
            ));
        }
        lines.join("\n") + "\n"
    }

    /// That it did not come to its end, and why.
    fn cut_short(&self) -> Option<String> {
        let (why, pairs) = (self.cut.as_ref()?, self.runs.len());
        Some(format!("Cut short after {pairs} pairs, fewer than were wanted: {why}."))
    }

    /// Those of them that fit on a screen.
    fn unlike_words(&self) -> impl Iterator<Item = String> {
        let more = self.unlike.len().saturating_sub(UNLIKE_TOLD);
        let told = self.unlike.iter().take(UNLIKE_TOLD).map(|it| format!("   not the same: {it}"));
        told.chain((more > 0).then(|| format!("   and {more} more things are not")))
    }

    /// `compare.json`.
    pub fn json(&self) -> Value {
        let spread = |it: &Spread| {
            json!({ "median": it.median, "min": it.min, "max": it.max, "mean": it.mean,
                    "deviation": it.deviation })
        };
        let metrics: serde_json::Map<String, Value> = self
            .metrics
            .iter()
            .map(|(metric, it)| {
                let value = json!({
                    "pairs": it.pairs, "a": spread(&it.a), "b": spread(&it.b), "ratio": it.ratio,
                    "interval": it.interval, "ratio_of_medians": it.medians[0],
                    "ratio_of_medians_interval": [it.medians[1], it.medians[2]],
                    "noise_floor": it.noise_floor, "verdict": it.verdict,
                });
                (metric.name().to_owned(), value)
            })
            .collect();
        json!({
            "schema": SCHEMA,
            "by": self.by.name(),
            "verdict": self.decided().verdict,
            "sentence": self.sentence(),
            "prices": self.prices(),
            "a": self.sides[0],
            "b": self.sides[1],
            "metrics": metrics,
            "runs": self.runs,
            "unlike": self.unlike,
            "not_alone": self.not_alone,
            "cut": self.cut.as_ref().map(ToString::to_string),
        })
    }

    /// Writes `compare.json` into a folder; where it is.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, CompareError> {
        let path = folder.join("compare.json");
        let failed = |error| CompareError::Unwritable(path.clone(), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut text =
            serde_json::to_vec_pretty(&self.json()).map_err(io::Error::from).map_err(failed)?;
        text.push(b'\n');
        std::fs::write(&path, text).map_err(failed)?;
        Ok(path)
    }

    /// Writes `flames.html`, the difference of two flame graphs, where the runs' stacks were looked at.
    pub fn write_flames(&self, folder: &Path) -> Result<Option<PathBuf>, CompareError> {
        let Some(page) = flames::page(self) else { return Ok(None) };
        let path = folder.join("flames.html");
        let failed = |error| CompareError::Unwritable(path.clone(), error);
        std::fs::write(&path, page).map_err(failed)?;
        Ok(Some(path))
    }
}

/// Compares runs that have been made: each side is a run's folder, several with commas between, or a
/// folder that holds runs. The n-th of A is paired with the n-th of B, in the order of their start.
pub fn of_folders(a: &str, b: &str, by: Metric, seed: u64) -> Result<Comparison, CompareError> {
    let (left, right) = (side(a)?, side(b)?);
    if left.len() != right.len() || left.len() > PAIRS_MAX {
        return Err(CompareError::Arguments(format!(
            "A has {} runs and B {}: as many of each are needed, {PAIRS_MAX} at most",
            left.len(),
            right.len()
        )));
    }
    let pairs: Vec<[(PathBuf, Folder); 2]> =
        left.into_iter().zip(right).map(|(a, b)| [a, b]).collect();
    each_once(&pairs)?;
    for (path, run) in pairs.iter().flatten() {
        match run.summary.ending {
            Ending::Pass | Ending::Missed | Ending::Undecided => {}
            Ending::Faults => {
                return Err(CompareError::Faults(path.clone(), run.summary.reasons.join("; ")));
            }
            ending => {
                let why = format!("{} is {}: it says nothing", path.display(), ending.name());
                return Err(CompareError::Arguments(why));
            }
        }
    }
    let scenario =
        |run: &Folder| run.manifest.scenario["name"].as_str().unwrap_or_default().to_owned();
    let mut unlike = Vec::new();
    for [(_, a), (_, b)] in &pairs {
        let names = [scenario(a), scenario(b)];
        if names[0] != names[1] {
            let [a, b] = names;
            let why =
                format!("A ran {a} and B {b}: what they cost is not the price of the same work");
            return Err(CompareError::Arguments(why));
        }
        for found in unlike::unlike(a, b) {
            if !unlike.contains(&found) {
                unlike.push(found);
            }
        }
    }
    let comparison = Comparison::of(by, [a.to_owned(), b.to_owned()], &pairs, seed)?;
    Ok(Comparison { unlike, ..comparison })
}

/// A run that stands in several places is one measurement, not several: its noise would be none.
fn each_once(pairs: &[[(PathBuf, Folder); 2]]) -> Result<(), CompareError> {
    let mut known = BTreeSet::new();
    for (path, _) in pairs.iter().flatten() {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if !known.insert(real) {
            return Err(CompareError::Arguments(format!(
                "{} is named more than once: a run is one measurement, and beside itself it says nothing",
                path.display()
            )));
        }
    }
    Ok(())
}

fn side(text: &str) -> Result<Vec<(PathBuf, Folder)>, CompareError> {
    let paths: Vec<&Path> = text.split(',').map(Path::new).collect();
    if let [folder] = paths.as_slice()
        && !folder.join("manifest.json").exists()
    {
        let mut runs = runs_in(folder);
        runs.sort_by_key(|(_, run)| run.manifest.started_unix_seconds);
        if !runs.is_empty() {
            return Ok(runs);
        }
    }
    paths.into_iter().map(|path| Ok((path.to_owned(), Folder::read(path)?))).collect()
}

/// By how much B takes more or less.
fn change(ratio: f64) -> String {
    let share = (ratio - 1.0) * 100.0;
    format!("{:.1} % {}", share.abs(), if share < 0.0 { "less" } else { "more" })
}

/// Says a line of progress where somebody listens; one who does not must not end an hour's work.
fn tell(say: &mut dyn Write, line: &str) {
    let _ = writeln!(say, "{line}");
}
