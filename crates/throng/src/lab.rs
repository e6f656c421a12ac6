//! `throng lab`: measures servers, and the machine itself.
//!
//! Neighbours: all of it lives in `throng-lab`; this file only takes the arguments, `lab/` those of
//! the larger commands.

mod agent;
mod capacity;
mod compare;
mod record;

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use throng_lab::agents::{self, AgentAt};
use throng_lab::arms;
use throng_lab::baseline;
use throng_lab::bench::{self, Options, process};
use throng_lab::beside;
use throng_lab::client::{self, ClientArgs, ClientDone, ClientError};
use throng_lab::floor;
use throng_lab::monitor::trees::TreeAt;
use throng_lab::report::{self, Form, ReportError};
use throng_lab::run::{self, LabError, RunArgs};
use throng_lab::summary::{Ending, Summary};

use crate::exit::{Code, Failure};
use crate::signals;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Lab {
    /// Run a scenario against a server and check every promise.
    #[command(after_help = ENDINGS)]
    Run(Run),
    /// Hold the sockets of runs that are made elsewhere.
    Agent(agent::Agent),
    /// One client: connects to a raw port, sends its messages in a row, prints
    /// `client_id,messages,connect_us,median_rtt_us`.
    Client(Client),
    /// Say what can be run, and what has been.
    List(List),
    /// Say whether B is quicker or slower than A, by how much, and how sure that is.
    Compare(compare::Compare),
    /// Say how many a server holds within bounds, and what runs out first.
    Capacity(capacity::Capacity),
    /// Watch a running server's figures, and write what it carries as a scenario: no name, no text.
    Record(record::Record),
    /// Run a scenario at so many times its load.
    #[command(after_help = ENDINGS)]
    Replay(record::Replay),
    /// Make a run's report again from its folder.
    Report(Report),
    /// Keep this machine's own numbers, to be looked at again before each run (ten seconds).
    Baseline(Baseline),
    /// Say what this machine itself could do, without any server (a minute).
    Floor(Floor),
    /// The floor in a process of its own; started by `floor`.
    #[command(hide = true)]
    FloorServe {
        /// The floor's plan, as JSON.
        plan: String,
    },
    /// Keeps a core awake at nice 19; started by `floor`.
    #[command(hide = true)]
    Spin {
        /// Which one.
        core: usize,
    },
}

/// Shown below `lab run --help`.
const ENDINGS: &str = "\
Exit codes:
  0   every promise was kept, every goal met
  1   the run could not be made; the last line says why
  10  the ledger found faults
  11  the generator fell behind its plan: the figures say nothing of the server
  12  the run did not come to its end
  13  every promise was kept, but a goal of the scenario was missed
  14  no promise was seen broken, but the server tells too little to know that all were kept
  15  every promise was kept and no goal missed, but of one at least this run cannot tell whether it was met
  64  the scenario or the arguments cannot be used";

/// Arguments of `throng lab run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Its name, as `lab list` has it, or a file.
    scenario: String,
    /// One of the scenario's sizes by name.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// The scenario in a few seconds and small, as tests run it: `--preset short`.
    #[arg(long, conflicts_with = "preset")]
    short: bool,
    /// One of the ways to run it that are to be compared.
    #[arg(long, value_name = "NAME")]
    arm: Option<String>,
    /// Run all of them in turn, and say what came of each in one table.
    #[arg(long, conflicts_with = "arm")]
    arms: bool,
    /// Then say what a bare floor does with the same sockets: this many slices of server and floor in
    /// turn.
    #[arg(
        long,
        value_name = "PAIRS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "3",
        value_parser = clap::value_parser!(u8).range(1..=20),
        conflicts_with = "arms"
    )]
    floor: Option<u8>,
    #[command(flatten)]
    how: How,
}

/// How a scenario is run, whichever it is.
#[derive(Args, Debug)]
pub struct How {
    /// Change a value of the scenario (`seconds=5`, `rooms.team.count=10`), or raise a setting of the
    /// server (`server.limits.sends_per_second=100`).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The run's folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The executable that serves, instead of this one.
    #[arg(long, value_name = "PATH", conflicts_with = "target")]
    server: Option<PathBuf>,
    /// A server that runs already.
    #[arg(long, value_name = "URL", requires = "tokens")]
    target: Option<String>,
    /// Its raw port, for scenarios that speak it.
    #[arg(long, value_name = "ADDRESS", requires = "target")]
    target_raw: Option<String>,
    /// Accounts of that server, as `admin users create --tokens` wrote them.
    #[arg(long, value_name = "FILE", requires = "target")]
    tokens: Option<PathBuf>,
    /// Who holds the sockets: `lab agent`s, with commas between. A user is always at the same one.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', requires = "target", value_parser = agent::address)]
    agents: Vec<SocketAddr>,
    /// What the agents and this have in common: a copy of the file that they have.
    #[arg(long, value_name = "FILE", default_value = agent::DEFAULT_KEY)]
    key: PathBuf,
    /// What all chance comes from.
    #[arg(long)]
    seed: Option<u64>,
    /// How long load is offered.
    #[arg(long)]
    seconds: Option<f64>,
    /// The machine's numbers of another day, as `lab baseline` keeps them: the report says what has changed.
    /// `lab-baseline.json`, where there is one.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Look at the server's stacks while load is offered, and draw a flame graph of each phase into the
    /// report. Needs `perf`.
    #[arg(long, conflicts_with = "target")]
    flamegraph: bool,
    /// Look at a process and all that descend from it too, and draw its CPU and memory: a rival's server, a
    /// database. May be given several times.
    #[arg(long, value_name = "NAME=PID")]
    monitor: Vec<TreeAt>,
    /// Draw the run in place as it goes; without a terminal, a line a second as ever.
    #[arg(long)]
    live: bool,
}

/// Arguments of `throng lab client`.
#[derive(Args, Debug)]
pub struct Client {
    /// Its number.
    #[arg(long)]
    id: u32,
    /// How many messages it sends, one after the other's ack.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// The server's raw port, as tcp://127.0.0.1:9000.
    #[arg(long, value_name = "ADDRESS")]
    target: String,
    /// Who it is; it makes an account if this is absent.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Arguments of `throng lab list`.
#[derive(Args, Debug)]
pub struct List {
    /// Where runs are.
    #[arg(default_value = "lab-runs", value_name = "DIR")]
    runs: PathBuf,
}

/// Arguments of `throng lab report`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Report {
    /// The run's folder.
    run: PathBuf,
    /// One page that needs nothing else; what is made when nothing is named.
    #[arg(long)]
    html: bool,
    /// The samples as a table.
    #[arg(long)]
    csv: bool,
    /// The verdict for programs.
    #[arg(long)]
    json: bool,
    /// A test case for each promise and limit.
    #[arg(long)]
    junit: bool,
    /// The page on paper.
    #[arg(long)]
    pdf: bool,
    /// Each chart as a picture of its own.
    #[arg(long)]
    svg: bool,
    /// Where to; the run's own folder if absent.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Arguments of `throng lab baseline`.
#[derive(Args, Debug)]
pub struct Baseline {
    /// Where they are kept; `lab run` looks for this file where it is started.
    #[arg(long, default_value = BASELINE, value_name = "FILE")]
    file: PathBuf,
    /// A folder on the disk that matters.
    #[arg(long, default_value = ".", value_name = "DIR")]
    scratch: PathBuf,
}

/// Where a baseline is kept.
const BASELINE: &str = "lab-baseline.json";

/// Arguments of `throng lab floor`.
#[derive(Args, Debug)]
pub struct Floor {
    /// A folder on the disk that matters.
    #[arg(long, default_value = "throng-floor", value_name = "DIR")]
    scratch: PathBuf,
    /// Seconds instead of a minute; the figures are rougher.
    #[arg(long)]
    quick: bool,
}

impl Lab {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Run(run) => return run.run(),
            Self::Compare(compare) => return compare.run(),
            Self::Capacity(capacity) => return capacity.run(),
            Self::Agent(agent) => return agent.run(),
            Self::Record(record) => return record.run(),
            Self::Replay(replay) => return replay.run(),
            Self::Client(client) => return client.run(),
            Self::Report(report) => return report.run(),
            Self::List(list) => report::list(&list.runs, &mut io::stdout()),
            Self::Baseline(baseline) => baseline.run(),
            Self::Floor(floor) => floor.run(),
            Self::FloorServe { plan } => serde_json::from_str(&plan)
                .map_err(io::Error::from)
                .and_then(|plan| floor::serve(&plan, io::stdin().as_fd(), &mut io::stdout())),
            Self::Spin { core } => process::spin(core),
        }
        .map_err(|error| Failure::other(&error))
    }
}

impl How {
    /// All but the scenario itself.
    fn args(self) -> io::Result<RunArgs> {
        let key = if self.agents.is_empty() {
            Vec::new()
        } else {
            let unread = |error| {
                let words = "copy it there from where the first agent made it, or name it by --key";
                io::Error::other(format!("{}: {error}; {words}", self.key.display()))
            };
            agents::read_key(&self.key).map_err(unread)?
        };
        let mut known = std::collections::BTreeSet::new();
        if let Some(twice) = self.agents.iter().find(|it| !known.insert(**it)) {
            return Err(io::Error::other(format!(
                "--agents has {twice} twice: an agent serves one run"
            )));
        }
        let at = |address: SocketAddr| AgentAt { address, key: key.clone() };
        Ok(RunArgs {
            agents: self.agents.iter().copied().map(at).collect(),
            settings: self.settings,
            out: self.out,
            server: self.server,
            target: self.target,
            target_raw: self.target_raw,
            tokens: self.tokens,
            seed: self.seed,
            seconds: self.seconds,
            baseline: self.baseline.or_else(|| {
                let kept = PathBuf::from(BASELINE);
                kept.exists().then_some(kept)
            }),
            flamegraph: self.flamegraph,
            monitor: self.monitor,
            live: self.live && io::stdout().is_terminal(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            known_setting: Some(known_setting),
            stop: signals::flag()?,
            ..RunArgs::default()
        })
    }
}

impl Run {
    fn run(self) -> Result<(), Failure> {
        let args = RunArgs {
            scenario: self.scenario,
            preset: self.preset.or_else(|| self.short.then(|| "short".to_owned())),
            arm: self.arm,
            ..self.how.args().map_err(|error| Failure::other(&error))?
        };
        let failed = |error: LabError| failure(&error);
        let done = if self.arms {
            let done = arms::run(&args, &mut io::stdout()).map_err(failed)?;
            done.into_iter().map(|(_, summary)| summary).collect()
        } else if let Some(pairs) = self.floor {
            vec![beside::run(&args, usize::from(pairs), &mut io::stdout()).map_err(failed)?]
        } else {
            vec![run::run(&args, &mut io::stdout()).map_err(failed)?]
        };
        ended(&done)
    }
}

/// Whether our server has this setting and takes this value: the lab itself knows no server's inside.
fn known_setting(key: &str, value: &str) -> Result<(), String> {
    let argument = format!("{key}={value}");
    let place = format!("--set {argument}: ");
    throng_server::config::Settings::default().merge_argument(&argument).map_err(|error| {
        let said = error.to_string();
        said.split_once(&place).map_or(said.clone(), |(_, why)| why.to_owned())
    })
}

/// Why nothing was run.
fn failure(error: &LabError) -> Failure {
    match error {
        LabError::Scenario(_) | LabError::Arguments(_) => Failure::new(Code::Arguments, error),
        _ => Failure::other(error),
    }
}

/// How runs ended: of several, the one that says the worst of the server.
fn ended(done: &[Summary]) -> Result<(), Failure> {
    let code = |summary: &Summary| match summary.ending {
        Ending::Pass => None,
        Ending::Invalid => Some((1, Code::Invalid)),
        Ending::Incomplete => Some((2, Code::Incomplete)),
        Ending::Undecided => Some((3, Code::Undecided)),
        Ending::Missed => Some((4, Code::Missed)),
        Ending::Unproved => Some((5, Code::Unproved)),
        Ending::Faults => Some((6, Code::Faults)),
    };
    let bad = done.iter().filter_map(|it| Some((code(it)?, it)));
    match bad.max_by_key(|((weight, _), _)| *weight) {
        None => Ok(()),
        Some(((_, code), summary)) => Err(Failure::new(code, &summary.reasons.join("; "))),
    }
}

impl Client {
    fn run(self) -> Result<(), Failure> {
        let Self { id, count, target, token } = self;
        let args = ClientArgs { id, count, target, token };
        let done = client::run(&args).map_err(|error| match error {
            ClientError::Target(_) => Failure::new(Code::Arguments, &error),
            _ => Failure::other(&error),
        })?;
        let ClientDone { id, messages, connect_us, median_rtt_us, refused, delayed, waited } = done;
        if refused > 0 {
            // Beside the line, which is read by programs.
            let _ = writeln!(
                io::stderr(),
                "client {id}: refused {refused} times for a while, and asked again; {:.1} s waited. The \
                 round trips of {delayed} messages count from when they were first sent",
                waited.as_secs_f64()
            );
        }
        let said = writeln!(io::stdout(), "{id},{messages},{connect_us},{median_rtt_us}");
        said.map_err(|error| Failure::other(&error))
    }
}

impl Report {
    fn run(&self) -> Result<(), Failure> {
        let asked = [
            (self.html, Form::Html),
            (self.csv, Form::Csv),
            (self.json, Form::Json),
            (self.junit, Form::Junit),
            (self.pdf, Form::Pdf),
        ];
        let mut forms: Vec<Form> =
            asked.into_iter().filter_map(|(asked, form)| asked.then_some(form)).collect();
        if forms.is_empty() && !self.svg {
            forms.push(Form::Html);
        }
        let to = self.out.as_ref().unwrap_or(&self.run);
        let failed = |error| match error {
            ReportError::Folder(_) => Failure::new(Code::Arguments, &error),
            ReportError::Unwritable(..) => Failure::new(Code::Unwritable, &error),
        };
        let mut written = report::write(&self.run, &forms, to).map_err(failed)?;
        if self.svg {
            written.extend(report::pictures(&self.run, to).map_err(failed)?);
        }
        let said = written.iter().try_for_each(|it| writeln!(io::stdout(), "{}", it.display()));
        said.map_err(|error| Failure::other(&error))
    }
}

impl Baseline {
    fn run(self) -> io::Result<()> {
        let baseline = baseline::make(&std::env::current_exe()?, &self.scratch, &self.file)?;
        writeln!(io::stdout(), "{}kept        {}", baseline.numbers.words(), self.file.display())
    }
}

impl Floor {
    fn run(self) -> io::Result<()> {
        let throng = std::env::current_exe()?;
        let own = (throng.clone(), vec!["lab".into()]);
        let options = Options { quick: self.quick, ..Options::new(self.scratch.clone()) };
        let made = !self.scratch.exists();
        bench::machine(options, process::Programs { throng, own }, &mut io::stdout())?;
        if made { std::fs::remove_dir_all(&self.scratch) } else { Ok(()) }
    }
}
