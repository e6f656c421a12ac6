//! `throng lab capacity`: arguments in, a sentence and a curve out.
//!
//! Neighbours: `throng_lab::capacity` searches; each step is an ordinary run.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use throng_lab::capacity::{self, Asked, CapacityError, End, On, Slo, Wanted, scale};
use throng_lab::report::Folder;
use throng_lab::run::{self, LabError, RunArgs};
use throng_lab::scenario::{self, Scenario};

use crate::exit::{Code, Failure};
use crate::signals;

/// Arguments of `throng lab capacity`.
#[derive(Args, Debug)]
pub struct Capacity {
    /// Its name, or a file.
    scenario: String,
    /// What is to be kept: bounds of p50, p90, p95, p99, p999, as p90=200ms,p99=1s.
    #[arg(long, value_name = "BOUNDS", value_parser = Slo::parse)]
    slo: Slo,
    /// Of which latency: ack, delivery (each recipient), last (recipient of each send).
    #[arg(long, value_name = "LATENCY", default_value = "delivery", value_parser = On::named)]
    on: On,
    /// Change a value of the scenario, or a setting of its server.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// One of its sizes by name, to begin from.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Shorten the load of each step; the result says so.
    #[arg(long)]
    seconds: Option<f64>,
    /// Shorten the phase `plateau` of each step and keep the others; the result says so.
    #[arg(long, value_name = "SECONDS")]
    plateau: Option<f64>,
    /// Where to begin; the scenario's own size if absent.
    #[arg(long, value_name = "SIZE")]
    start: Option<f64>,
    /// The smallest size to try.
    #[arg(long, value_name = "SIZE", default_value_t = 1.0)]
    min: f64,
    /// The largest size to try.
    #[arg(long, value_name = "SIZE", default_value_t = 100_000.0)]
    max: f64,
    /// The executable that serves, instead of this one.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// What all chance comes from.
    #[arg(long)]
    seed: Option<u64>,
    /// Where `capacity.json` goes, and the steps' folders.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Capacity {
    pub fn run(self) -> Result<(), Failure> {
        let found = self.find().map_err(|error| failure(&error))?;
        let path = found.write().map_err(|error| failure(&error))?;
        write!(io::stdout(), "\n{}{}\n", found.words(), path.display())
            .map_err(|error| Failure::other(&error))?;
        if let Some(cut) = &found.cut {
            return Err(failure(cut));
        }
        match found.end {
            End::Found { .. } | End::AtLeast { .. } | End::Cut => Ok(()),
            End::Nothing => Err(Failure::new(Code::Faults, "not even the smallest size held")),
            End::Unsteady => Err(Failure::new(Code::Invalid, "no size held three times in a row")),
        }
    }

    fn find(&self) -> Result<capacity::Capacity, CapacityError> {
        let stop = signals::flag().map_err(|e| CapacityError::Arguments(e.to_string()))?;
        let mut settings = self.settings.clone();
        settings.extend(self.seed.map(|seed| format!("seed={seed}")));
        let load = |settings: &[String]| {
            let preset = self.preset.as_deref();
            Scenario::load_variant(&self.scenario, preset, None, settings).map_err(LabError::from)
        };
        let known = self.server.is_none().then_some(super::known_setting as scenario::KnownSetting);
        scenario::check(&self.scenario, &settings, known).map_err(LabError::from)?;
        let whole = load(&settings)?;
        settings.extend(self.plateau.map(|seconds| format!("phases.plateau.seconds={seconds:?}")));
        settings.extend(self.seconds.map(|seconds| format!("seconds={seconds:?}")));
        let scenario = load(&settings)?;
        let (unit, whole_numbers, now) = scale::size(&scenario);
        let shortened = (scenario.seconds < whole.seconds).then(|| {
            let (is, was) = (scenario.seconds, whole.seconds);
            format!("shortened: each step offers load for {is} s, the scenario for {was} s")
        });
        let started = throng_lab::clock::unix_seconds();
        let default = || format!("lab-runs/capacity-{}-{started}", scenario.name).into();
        let wanted = Wanted {
            scenario: scenario.name.clone(),
            unit,
            whole: whole_numbers,
            sizes: [self.start.unwrap_or(now), self.min, self.max],
            slo: self.slo,
            on: self.on,
            shortened,
            seconds: scenario.seconds,
            out: self.out.clone().unwrap_or_else(default),
        };
        let mut run = |Asked { size, step, out }: Asked<'_>| {
            let file = out.with_extension("toml");
            scale::write(&scenario, size, step, &file)?;
            let args = RunArgs {
                scenario: file.display().to_string(),
                out: Some(out.to_owned()),
                server: self.server.clone(),
                known_setting: Some(super::known_setting),
                stop: stop.clone(),
                command: std::env::args().collect::<Vec<_>>().join(" "),
                ..RunArgs::default()
            };
            let done = run::run(&args, &mut io::sink());
            // Also where it came before there was any load, which is no run.
            if stop.load(Ordering::Relaxed) {
                return Err(CapacityError::Stopped);
            }
            done?;
            Ok(Folder::read(out)?)
        };
        capacity::find(wanted, &mut run, &mut io::stdout())
    }
}

fn failure(error: &CapacityError) -> Failure {
    let code = match error {
        CapacityError::Arguments(_)
        | CapacityError::Run(LabError::Scenario(_) | LabError::Arguments(_)) => Code::Arguments,
        CapacityError::Run(_) | CapacityError::Folder(_) => Code::Other,
        CapacityError::Stopped => Code::Incomplete,
        CapacityError::Unwritable(..) => Code::Unwritable,
    };
    Failure::new(code, error)
}
