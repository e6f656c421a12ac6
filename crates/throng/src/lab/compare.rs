//! `throng lab compare`: arguments in, a sentence and a table out.
//!
//! Neighbours: `throng_lab::compare` does it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use throng_lab::compare::{self, CompareError, Comparison, Dressed, Metric, Side, Turns};
use throng_lab::report::Folder;
use throng_lab::run::{self, LabError, RunArgs};

use crate::exit::{Code, Failure};
use crate::signals;

/// Arguments of `throng lab compare`.
#[derive(Args, Debug)]
pub struct Compare {
    /// Two runs (a folder, several with commas between, or a folder of runs), or one scenario to run
    /// in turn.
    #[arg(required = true, num_args = 1..=2, value_names = ["A or SCENARIO", "B"])]
    what: Vec<String>,
    /// A value of the scenario for A, or a setting of its server.
    #[arg(long, value_name = "KEY=VALUE")]
    set_a: Vec<String>,
    /// The same for B.
    #[arg(long, value_name = "KEY=VALUE")]
    set_b: Vec<String>,
    /// The same for both.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The executable that serves A, instead of this one.
    #[arg(long, value_name = "FILE")]
    throng_a: Option<PathBuf>,
    /// The executable that serves B.
    #[arg(long, value_name = "FILE")]
    throng_b: Option<PathBuf>,
    /// How A's users speak: json, protobuf, raw.
    #[arg(long, value_name = "FORM", value_parser = Dressed::named)]
    form_a: Option<Dressed>,
    /// How B's users speak.
    #[arg(long, value_name = "FORM", value_parser = Dressed::named)]
    form_b: Option<Dressed>,
    /// One of the scenario's arms for A.
    #[arg(long, value_name = "NAME")]
    arm_a: Option<String>,
    /// One of its arms for B.
    #[arg(long, value_name = "NAME")]
    arm_b: Option<String>,
    /// One of its sizes by name, for both.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// What decides: cpu, ack-p50, ack-p99, delivery-p50, delivery-p99, bytes, memory, frame, join.
    #[arg(long, value_name = "METRIC", default_value = "cpu", value_parser = Metric::named)]
    by: Metric,
    /// How many pairs are run.
    #[arg(long, default_value_t = 12)]
    pairs: usize,
    /// How long load is offered in each run; the scenario's own time if absent.
    #[arg(long)]
    seconds: Option<f64>,
    /// Look at the servers' stacks and draw the difference of their flame graphs. Needs `perf`.
    #[arg(long)]
    flamegraph: bool,
    /// What all chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where `compare.json` goes, and the runs' folders.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Compare {
    pub fn run(self) -> Result<(), Failure> {
        let done = match self.what.as_slice() {
            [a, b] => self.of_folders(a, b),
            _ => self.in_turn(),
        };
        let (comparison, out) = done.map_err(|error| failure(&error))?;
        let path = comparison.write(&out).map_err(|error| failure(&error))?;
        let flames = comparison.write_flames(&out).map_err(|error| failure(&error))?;
        let mut said = vec![comparison.words()];
        said.extend([Some(path), flames].into_iter().flatten().map(|it| it.display().to_string()));
        writeln!(io::stdout(), "{}", said.join("\n")).map_err(|error| Failure::other(&error))?;
        comparison.cut.as_ref().map_or(Ok(()), |cut| Err(failure(cut)))
    }

    fn of_folders(&self, a: &str, b: &str) -> Result<(Comparison, PathBuf), CompareError> {
        let no_sides = self.sides() == <[Side; 2]>::default() && self.settings.is_empty();
        if !no_sides {
            let why = "runs that have been made take no settings: name one scenario to run in turn";
            return Err(CompareError::Arguments(why.to_owned()));
        }
        let comparison = compare::of_folders(a, b, self.by, self.seed)?;
        Ok((comparison, self.out.clone().unwrap_or_else(|| "lab-compare".into())))
    }

    fn sides(&self) -> [Side; 2] {
        let (a, b) = (self.set_a.clone(), self.set_b.clone());
        let (server_a, server_b) = (self.throng_a.clone(), self.throng_b.clone());
        let (arm_a, arm_b) = (self.arm_a.clone(), self.arm_b.clone());
        [
            Side { settings: a, server: server_a, dressed: self.form_a, arm: arm_a },
            Side { settings: b, server: server_b, dressed: self.form_b, arm: arm_b },
        ]
    }

    fn in_turn(&self) -> Result<(Comparison, PathBuf), CompareError> {
        let scenario = &self.what[0];
        if Path::new(scenario).is_dir() {
            let why = format!(
                "{scenario} is a folder: name a second run, or one scenario to run in turn"
            );
            return Err(CompareError::Arguments(why));
        }
        let stop = signals::flag().map_err(|e| CompareError::Arguments(e.to_string()))?;
        let started = throng_lab::clock::unix_seconds();
        let name = PathBuf::from(scenario);
        let name = name.file_stem().unwrap_or_default().to_string_lossy();
        let default = || format!("lab-runs/compare-{name}-{started}").into();
        let out: PathBuf = self.out.clone().unwrap_or_else(default);
        let turns = Turns {
            common: RunArgs {
                scenario: scenario.clone(),
                settings: self.settings.clone(),
                seconds: self.seconds,
                preset: self.preset.clone(),
                flamegraph: self.flamegraph,
                known_setting: Some(super::known_setting),
                stop: stop.clone(),
                command: std::env::args().collect::<Vec<_>>().join(" "),
                ..RunArgs::default()
            },
            out: out.clone(),
            sides: self.sides(),
            pairs: self.pairs,
            by: self.by,
            seed: self.seed,
        };
        let mut run = |args: &RunArgs| {
            let done = run::run(args, &mut io::sink());
            // Also where it came before there was any load, which is no run.
            if stop.load(Ordering::Relaxed) {
                return Err(CompareError::Stopped);
            }
            done?;
            Ok(Folder::read(args.out.as_ref().expect("each run has a folder"))?)
        };
        Ok((compare::in_turn(&turns, &mut run, &mut io::stdout())?, out))
    }
}

fn failure(error: &CompareError) -> Failure {
    let code = match error {
        CompareError::Folder(_)
        | CompareError::Arguments(_)
        | CompareError::Run(LabError::Scenario(_) | LabError::Arguments(_)) => Code::Arguments,
        CompareError::Run(_) => Code::Other,
        CompareError::Stopped => Code::Incomplete,
        CompareError::Faults(..) => Code::Faults,
        CompareError::Void(..) => Code::Invalid,
        CompareError::Unwritable(..) => Code::Unwritable,
    };
    Failure::new(code, error)
}
