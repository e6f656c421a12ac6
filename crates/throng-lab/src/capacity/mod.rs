//! `lab capacity`: how many a server holds within its bounds, and what ran out first.
//!
//! Neighbours: `search` decides what to try, `slo` what is kept, `limit` what ran out; the caller
//! makes each run and reads its folder. Each step is an ordinary run with a server of its own, so that
//! no step is tired by the one before.

mod curve;
mod limit;
pub mod scale;
mod search;
mod slo;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::report::folder::{Ending, Percentiles};
use crate::report::others;
use crate::report::words::{ms, number};
use crate::report::{Folder, FolderError};
use crate::run::LabError;
use crate::summary::OtherPrograms;
pub use curve::Curve;
pub use limit::Limit;
pub use search::{CONFIRMATIONS, End, Next, Search, Step};
pub use slo::{Measured, Slo};

/// Of `capacity.json`; raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 2;

/// Which latency is held to the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum On {
    /// Send to durable ack.
    Ack,
    /// Send to each recipient.
    #[default]
    Delivery,
    /// Send to the last recipient.
    Last,
}

impl On {
    /// By its name.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "ack" => Ok(Self::Ack),
            "delivery" => Ok(Self::Delivery),
            "last" => Ok(Self::Last),
            _ => Err(format!("`{name}` is none of ack, delivery, last")),
        }
    }

    /// On the command line and in `capacity.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Delivery => "delivery",
            Self::Last => "last",
        }
    }

    fn of(self, run: &Folder) -> Percentiles {
        let latency = &run.summary.latency;
        match self {
            Self::Ack => latency.ack,
            Self::Delivery => latency.delivery,
            Self::Last => latency.last,
        }
    }
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The scenario's name.
    pub scenario: String,
    /// What is varied: `users` or `sends a second`.
    pub unit: &'static str,
    /// Sizes are whole numbers.
    pub whole: bool,
    /// Where to begin, and the smallest and largest size allowed.
    pub sizes: [f64; 3],
    /// The bounds.
    pub slo: Slo,
    /// On which latency.
    pub on: On,
    /// What was shortened, in words; told with the result.
    pub shortened: Option<String>,
    /// How long each step offers load.
    pub seconds: f64,
    /// Where all of it goes.
    pub out: PathBuf,
}

/// One step, as it was.
#[derive(Clone, Debug)]
pub struct Tried {
    /// How much.
    pub size: f64,
    /// Why this size.
    pub says: String,
    /// What came of it.
    pub came: Step,
    /// Why it did not hold.
    pub why: Option<String>,
    /// Percentiles of the latency that is bound.
    pub measured: Measured,
    /// A second.
    pub deliveries: f64,
    /// What had least left.
    pub limit: (Limit, String),
    /// What other programs took meanwhile, where that is known.
    pub others: Option<OtherPrograms>,
    /// It came to its end with its promises kept: what it delivered a second is what its size does.
    pub whole: bool,
    /// Its folder.
    pub run: PathBuf,
}

/// What was found.
#[derive(Debug)]
pub struct Capacity {
    /// What was looked for.
    pub wanted: Wanted,
    /// How it ended.
    pub end: End,
    /// Every step.
    pub tried: Vec<Tried>,
    /// Deliveries a second over size, where they can be fitted.
    pub fit: Option<Curve>,
    /// Why it was cut short, if it was: a signal, or a step that could not be made.
    pub cut: Option<CapacityError>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// A run could not be made.
    #[error(transparent)]
    Run(#[from] LabError),
    /// Its folder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
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

/// A step that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// How much.
    pub size: f64,
    /// Which step it is, from 1 on. The plan of each is another one: three runs of one plan would confirm the plan.
    pub step: usize,
    /// The folder of its run.
    pub out: &'a Path,
}

/// Looks for it. `run` runs a size into a folder and reads it back; `say` hears of progress. What was tried before
/// a step could not be made is kept ([`Capacity::cut`]); where that is the first, there is nothing.
pub fn find(
    wanted: Wanted,
    run: &mut dyn FnMut(Asked<'_>) -> Result<Folder, CapacityError>,
    say: &mut dyn Write,
) -> Result<Capacity, CapacityError> {
    let [start, smallest, largest] = wanted.sizes;
    if !(smallest > 0.0 && smallest <= largest && largest.is_finite()) {
        let why = format!("sizes from {smallest} to {largest} leave nothing to try");
        return Err(CapacityError::Arguments(why));
    }
    let mut search = Search::new(start, smallest, largest, wanted.whole);
    let mut tried: Vec<Tried> = Vec::new();
    let mut cut = None;
    let end = loop {
        let size = match search.next() {
            Next::Try(size) => size,
            Next::Done(end) => break end,
        };
        let step = tried.len() + 1;
        let out = wanted.out.join(format!("step-{step:02}"));
        // One who does not listen must not end an hour's work.
        let _ = writeln!(say, "{}", begins(&wanted, step, size, &search.says()));
        let run = match run(Asked { size, step, out: &out }) {
            Ok(run) => run,
            Err(error) if tried.is_empty() => return Err(error),
            Err(error) => {
                cut = Some(error);
                break End::Cut;
            }
        };
        let step = judge(&wanted, size, search.says(), &run, out);
        let _ = writeln!(say, "{}", step.line(wanted.unit));
        search.came(step.came);
        tried.push(step);
    };
    Ok(Capacity { wanted, end, fit: curve::of(&tried), tried, cut })
}

/// What is tried now, and how long that takes at least.
fn begins(wanted: &Wanted, step: usize, size: f64, says: &str) -> String {
    let (size, unit, seconds) = (number(size), wanted.unit, number(wanted.seconds.round()));
    format!("step {step}: {size} {unit} ({says}), {seconds} s of load …")
}

fn judge(wanted: &Wanted, size: f64, says: String, run: &Folder, out: PathBuf) -> Tried {
    let it = wanted.on.of(run);
    let measured = [it.p50_ms, it.p90_ms, it.p95_ms, it.p99_ms, it.p999_ms];
    let summary = &run.summary;
    let (came, why) = match summary.ending {
        Ending::Invalid => (Step::GeneratorBound, Some(summary.reasons.join("; "))),
        Ending::Faults | Ending::Incomplete | Ending::Unproved => (
            Step::Broke,
            Some(format!("{}: {}", summary.ending.name(), summary.reasons.join("; "))),
        ),
        Ending::Pass | Ending::Missed | Ending::Undecided if it.count == 0 => {
            (Step::Broke, Some(format!("no {} was measured", wanted.on.name())))
        }
        // Bounds are those of the command.
        Ending::Pass | Ending::Missed | Ending::Undecided => match wanted.slo.broken(&measured) {
            None => (Step::Held, None),
            Some(why) => (Step::Broke, Some(why)),
        },
    };
    let deliveries = summary.rates.deliveries;
    let limit = limit::of(run, wanted.on, wanted.slo.nearest(&measured));
    let others = summary.other_programs.clone();
    let whole = !matches!(summary.ending, Ending::Faults | Ending::Incomplete | Ending::Invalid);
    Tried { size, says, came, why, measured, deliveries, limit, others, whole, run: out }
}

impl Tried {
    fn line(&self, unit: &str) -> String {
        let word = match self.came {
            Step::Held => "held",
            Step::Broke => "broke",
            Step::GeneratorBound => "generator-bound",
        };
        let why = self.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        let disturbed = self.others.as_ref().and_then(|it| it.disturbed.as_ref());
        let beside = disturbed.map_or(String::new(), |it| format!("; NOT ALONE: {it}"));
        format!(
            "{:>9} {unit} ({}): {word}, {} deliveries/s, p50 {} p99 {}{why}{beside}",
            number(self.size),
            self.says,
            number(self.deliveries.round()),
            ms(self.measured[0]),
            ms(self.measured[3]),
        )
    }
}

impl Capacity {
    /// The step that gave way nearest to what holds; where none did, the largest that held. None where the search
    /// ended at the largest size allowed: nothing is known to have run out.
    fn at_its_limit(&self) -> Option<&Tried> {
        if matches!(self.end, End::AtLeast { generator: false, .. }) {
            return None;
        }
        let broke = self.tried.iter().filter(|it| it.came != Step::Held);
        let largest = self.tried.iter().max_by(|a, b| a.size.total_cmp(&b.size));
        broke.min_by(|a, b| a.size.total_cmp(&b.size)).or(largest)
    }

    /// Of a search that ended at the largest size allowed: whose bound that is, and what was not looked for.
    fn ended_by_max(&self) -> String {
        let largest = number(self.wanted.sizes[2]);
        let climbed = self.tried.iter().any(|it| it.size < self.wanted.sizes[2]);
        let so = if climbed {
            "that bound is the command's and not the server's"
        } else {
            "no other size was tried: no climb, no curve"
        };
        format!(
            "; {largest} is the largest size allowed (--max), and it held: {so}, and what limits the server was not \
             looked for"
        )
    }

    /// All steps at this size that held.
    fn at(&self, size: f64) -> impl Iterator<Item = &Tried> {
        let same = move |it: &&Tried| it.came == Step::Held && (it.size - size).abs() < 1e-9;
        self.tried.iter().filter(same)
    }

    /// The one sentence.
    pub fn sentence(&self) -> String {
        let limit = self
            .at_its_limit()
            .map_or(("nothing", String::new()), |it| (it.limit.0.name(), it.limit.1.clone()));
        let (holds, at_least) = match self.end {
            End::Found { holds, .. } => (holds, ""),
            End::AtLeast { holds, .. } => (holds, "At least "),
            End::Nothing => {
                let why = self.tried.last().and_then(|it| it.why.clone()).unwrap_or_default();
                let (by, evidence) = limit;
                return format!(
                    "Not even the smallest size held: {why}; limited by {by}: {evidence}."
                );
            }
            End::Cut => return self.cut_short(),
            End::Unsteady => {
                return format!(
                    "No size held {CONFIRMATIONS} times in a row: the machine or the server is not steady \
                     enough for an answer."
                );
            }
        };
        let mean = |of: &dyn Fn(&Tried) -> f64| {
            let (sum, count) = self.at(holds).fold((0.0, 0_u32), |(s, n), it| (s + of(it), n + 1));
            sum / f64::from(count.max(1))
        };
        let deliveries = mean(&|it| it.deliveries);
        let worst = self.at(holds).map(|it| self.wanted.slo.highest(&it.measured));
        let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1));
        let bound = worst.map_or(String::new(), |(name, is, bound)| {
            format!(" at {name} ≤ {} (it was {} at worst)", ms(bound), ms(is))
        });
        let by = match self.end {
            End::AtLeast { generator: false, .. } => self.ended_by_max(),
            _ => format!(", limited by {}: {}", limit.0, limit.1),
        };
        format!(
            "{at_least}{} {}, {} deliveries/s{bound}{by}.",
            number(holds),
            self.wanted.unit,
            number(deliveries.round()),
        )
    }

    /// What is known of a search that did not come to its end.
    fn cut_short(&self) -> String {
        let sizes = |held: bool| {
            let of = self.tried.iter().filter(move |it| (it.came == Step::Held) == held);
            of.map(|it| it.size)
        };
        let words = |size: Option<f64>, what: &str| match size {
            Some(size) => format!("{} {} {what}", number(size), self.wanted.unit),
            None => format!("no size {what}"),
        };
        let held = words(sizes(true).reduce(f64::max), "held");
        let gave_way = words(sizes(false).reduce(f64::min), "gave way");
        let why = self.cut.as_ref().map_or(String::new(), |why| format!(" ({why})"));
        let steps = self.tried.len();
        format!("Cut short after {steps} steps{why}, so nothing is confirmed: {held}, {gave_way}.")
    }

    /// That the machine was busy with something else beside some steps.
    fn not_alone(&self) -> Option<String> {
        others::of_many("steps", self.tried.iter().map(|it| it.others.as_ref()))
    }

    /// The sentence, what was shortened, the curve and where it all is.
    pub fn words(&self) -> String {
        let mut lines = vec![self.sentence()];
        lines.extend(self.not_alone());
        lines.extend(self.wanted.shortened.clone());
        match &self.fit {
            Some(fit) => lines.extend(fit.words()),
            None => lines.push(Curve::none(&self.tried)),
        }
        lines.join("\n") + "\n"
    }

    /// `capacity.json`.
    pub fn json(&self) -> Value {
        let end = match self.end {
            End::Found { holds, breaks } => {
                json!({ "kind": "found", "holds": holds, "breaks": breaks })
            }
            End::AtLeast { holds, generator } => {
                json!({ "kind": "at_least", "holds": holds, "generator_bound": generator })
            }
            End::Nothing => json!({ "kind": "nothing" }),
            End::Unsteady => json!({ "kind": "unsteady" }),
            End::Cut => json!({ "kind": "cut", "why": self.cut.as_ref().map(ToString::to_string) }),
        };
        let step = |it: &Tried| {
            let came = match it.came {
                Step::Held => "held",
                Step::Broke => "broke",
                Step::GeneratorBound => "generator_bound",
            };
            let [p50, p90, p95, p99, p999] = it.measured;
            json!({
                "size": it.size, "says": it.says, "came": came, "why": it.why,
                "p50_ms": p50, "p90_ms": p90, "p95_ms": p95, "p99_ms": p99, "p999_ms": p999,
                "deliveries_per_second": it.deliveries, "limit": it.limit.0, "limit_why": it.limit.1,
                "other_programs": it.others, "run": it.run,
            })
        };
        json!({
            "schema": SCHEMA,
            "scenario": self.wanted.scenario,
            "unit": self.wanted.unit,
            "slo": self.wanted.slo.to_string(),
            "on": self.wanted.on.name(),
            "sentence": self.sentence(),
            "shortened": self.wanted.shortened,
            "not_alone": self.not_alone(),
            "end": end,
            "limit": self.at_its_limit().map(|it| it.limit.0),
            "fit": self.fit.map(|it| it.json()),
            "steps": self.tried.iter().map(step).collect::<Vec<_>>(),
        })
    }

    /// Writes `capacity.json` into the folder; where it is.
    pub fn write(&self) -> Result<PathBuf, CapacityError> {
        let path = self.wanted.out.join("capacity.json");
        let failed = |error| CapacityError::Unwritable(path.clone(), error);
        std::fs::create_dir_all(&self.wanted.out).map_err(failed)?;
        let text = serde_json::to_vec_pretty(&self.json()).map_err(io::Error::from);
        let mut text = text.map_err(failed)?;
        text.push(b'\n');
        std::fs::write(&path, text).map_err(failed)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
