//! `throng lab record` and `throng lab replay`: what a server carries as a scenario, and that
//! scenario at so many times its load.
//!
//! Neighbours: `throng_lab::record` watches and writes; a replay is an ordinary run.

use std::io;
use std::path::PathBuf;

use clap::Args;
use throng_lab::record::{self, RecordArgs};
use throng_lab::run::{self, LabError, RunArgs};

use super::{How, ended, failure};
use crate::exit::Failure;
use crate::signals;

/// Arguments of `throng lab record`.
#[derive(Args, Debug)]
pub struct Record {
    /// The server, as http://127.0.0.1:8080; its /metrics is all that is asked for.
    #[arg(long, value_name = "URL")]
    target: String,
    /// For how long; Ctrl-C ends it before, and keeps what was seen.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Where the scenario goes.
    #[arg(long, value_name = "FILE", default_value = "recorded.toml")]
    out: PathBuf,
    /// What it is called.
    #[arg(long, default_value = "recorded")]
    name: String,
}

/// Arguments of `throng lab replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// What `lab record` wrote, or any scenario.
    #[arg(default_value = "recorded.toml")]
    scenario: String,
    /// At so many times its load: as much more is said, by the same people in the same rooms, and as many
    /// more come back, join and leave; or, where people come and go, as many more of them.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    times: f64,
    #[command(flatten)]
    how: How,
}

impl Record {
    pub fn run(self) -> Result<(), Failure> {
        let Self { target, seconds, out, name } = self;
        let stop = signals::flag().map_err(|error| Failure::other(&error))?;
        let args = RecordArgs { target, seconds, out, name, stop };
        record::record(&args, &mut io::stdout()).map(|_| ()).map_err(|error| failure(&error))
    }
}

impl Replay {
    pub fn run(self) -> Result<(), Failure> {
        let args = RunArgs {
            scenario: self.scenario,
            times: Some(self.times),
            ..self.how.args().map_err(|error| Failure::other(&error))?
        };
        let done = run::run(&args, &mut io::stdout());
        ended(&[done.map_err(|error: LabError| failure(&error))?])
    }
}
