//! `lab run`: a scenario, a target, a folder that holds all that came of it.
//!
//! Neighbours: puts `scenario`, `target`, `monitor`, `runner` and `summary` in their order; in this
//! folder, `before` looks whether it can be done at all, `about` describes it, `alone` looks for other programs, `keep`
//! writes. The run's folder: `manifest.json` (what was run, where, how), `samples.jsonl` (a line a second) and
//! `series.csv` by the witness, `summary.json`, `server.log`. It is written as the run goes, so that a run which is cut short
//! leaves what it had.

mod about;
mod alone;
mod before;
pub(crate) mod keep;
mod out;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use crate::abuse::{Abused, Control};
use crate::agents::AgentAt;
use crate::baseline::{self, Beside};
use crate::clock::{self, Nanos};
use crate::floor::{FsyncTimes, probe_fsync};
use crate::live::{Live, line_of};
use crate::monitor::allowed;
use crate::monitor::family::Family;
use crate::monitor::holds::Holder;
use crate::monitor::trees::{self, TreeAt};
use crate::monitor::{self, Steal};
use crate::profile::{Index, Sampler, Span};
use crate::recorder::Sample;
use crate::report::folder::day;
use crate::report::words::number;
use crate::runner::{self, RunError, Watch};
use crate::scenario::{self, Figure, KnownSetting, Scenario, ScenarioError};
use crate::summary::{Ending, Evidence, Present, Summary};
use crate::target::{self, Start, Target, TargetError};
use crate::witness::{Told, Watched, Witness, Witnessed};
use crate::{abuse, hashing, kernel};
use about::Manifest;
use alone::Alone;
pub(crate) use keep::write_json;
use keep::{Reserve, write_whole};
pub(crate) use out::default_folder;

/// Seconds that may wait to be written: a disk does not stall for longer than that.
const SAMPLES_WAITING_MAX: usize = 600;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct RunArgs {
    /// A scenario's name, or a file.
    pub scenario: String,
    /// One of its presets.
    pub preset: Option<String>,
    /// One of its arms.
    pub arm: Option<String>,
    /// `key=value` over the scenario; `server.limits.x=…` for the server's settings.
    pub settings: Vec<String>,
    /// Where the run's folder goes; `lab-runs/NAME-TIME` if absent.
    pub out: Option<PathBuf>,
    /// The executable that serves; this very program if absent.
    pub server: Option<PathBuf>,
    /// A server that runs already, by its URL, instead.
    pub target: Option<String>,
    /// Its raw port, where the scenario wants it.
    pub target_raw: Option<String>,
    /// Accounts of that server, as `admin users create --tokens` wrote them.
    pub tokens: Option<PathBuf>,
    /// Who holds the sockets, if not this process.
    pub agents: Vec<AgentAt>,
    /// Over the scenario's.
    pub seed: Option<u64>,
    /// Over the scenario's.
    pub seconds: Option<f64>,
    /// Sample the server's stacks while load is offered.
    pub flamegraph: bool,
    /// So many times its load.
    pub times: Option<f64>,
    /// The command as it was given, for the manifest.
    pub command: String,
    /// The machine's numbers of another day, to be looked at again before the run.
    pub baseline: Option<PathBuf>,
    /// Process trees to look at beside the server.
    pub monitor: Vec<TreeAt>,
    /// Drawn in place each second, for a terminal; plain lines else.
    pub live: bool,
    /// Which settings the server has that the run starts; absent where nobody knows.
    pub known_setting: Option<KnownSetting>,
    /// Set from outside (a signal) to end the run before its time, in order.
    pub stop: Arc<AtomicBool>,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The scenario cannot be run.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// There is no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The run broke off before any load.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The arguments do not go together.
    #[error("{0}")]
    Arguments(String),
    /// The folder could not be written.
    #[error("{0}: {1}")]
    Folder(PathBuf, io::Error),
    /// The machine could not be looked at beside its baseline.
    #[error("looking at this machine beside its baseline: {0}{words}", words = allowed::words(.0).unwrap_or(""))]
    Baseline(io::Error),
}

/// Runs it; says what happens as it goes to `say`, and the summary at the end.
pub fn run(args: &RunArgs, say: &mut (dyn Write + Send)) -> Result<Summary, LabError> {
    let scenario = scenario_of(args)?;
    before::named_all(args, &scenario)?;
    let trees = trees::find(&args.monitor).map_err(LabError::Arguments)?;
    let started = clock::unix_seconds();
    let out = out::folder(args, &scenario, started)?;
    let failed = |error| LabError::Folder(out.clone(), error);
    announce(&scenario, args.target.is_none(), say).map_err(failed)?;
    let lacking = before::lacking(args, &scenario);
    if !lacking.is_empty() {
        return begin_nothing(args, &scenario, started, (&out, lacking), say).map_err(failed);
    }
    let reserve = Reserve::take(&out).map_err(failed)?;
    let scratch = out.join("data");
    let baseline = since_baseline(args, &out, say)?;
    let Started { mut target, accounts, fsync } = start(args, &scenario, &out, &scratch)?;
    let (address, pid) = (target.door.address, target.pid());
    let described = Manifest::new(args, &scenario, started, Some(address), (baseline, fsync));
    write_json(&out.join("manifest.json"), &described).map_err(failed)?;
    let probe = scenario.rooms.iter().find(|kind| kind.steady).map(|kind| kind.name.clone());
    let holder = Holder { pid, folder: args.target.is_none().then(|| scratch.clone()) };
    let witness =
        Witness::new(&out, address, holder, probe, trees, scenario.seed).map_err(failed)?;
    let disk_before = monitor::folder_bytes(&scratch);
    let hashing = hashing_alone(args, &scenario).map_err(failed)?;
    let asks = pid.filter(|_| scenario.asks_for(Figure::MemoryMib)).map(|_| address.port());
    let begun = Arc::new(AtomicU64::new(0));
    let sampler = sampler(args, pid, &out, scenario.seconds)?;
    let (mut alone, mut kept) = (Alone::of(args, address, pid), Kept::default());
    let watcher = Watcher {
        begun: Arc::clone(&begun),
        target: &mut target,
        family: pid.map(Family::of),
        steal: Steal::default(),
        alone: &mut alone,
        stop: &args.stop,
        tell: None,
        kernel_of: asks,
        begin: None,
        abusers: None,
    };
    let Measured { outcome, watched, abused } =
        measure(&scenario, started, accounts, watcher, witness, (args.live, say))?;
    let begun = Nanos(begun.load(Ordering::Relaxed));
    let profiled = sampler.map(|it| it.stop(begun, &spans(&scenario, &outcome))).transpose();
    let stopped = target.stop();
    let disk = monitor::folder_bytes(&scratch).saturating_sub(disk_before);
    drop(reserve);
    let witnessed = watched.map_or_else(Witnessed::default, |watched| kept.watched(watched));
    kept.file("analysis.csv", write_clients(&out, &outcome.row_clients));
    let fsync = fsync.and_then(|before| {
        Some([before, kept.file("the probe of the disk", probe_fsync(&scratch, PROBE))?])
    });
    let after = hashing_alone(args, &scenario).map_err(failed)?;
    let profiled = kept.file("profile", profiled).flatten();
    let samples = outcome.samples.clone();
    let mut summary = Summary::new(&scenario, outcome, fsync);
    alone.judge(&scenario, &witnessed.others, &mut summary);
    summary.slopes_of(&scenario, &samples, &witnessed.held);
    summary.abused(abused);
    let present = Present { others: others(args, &scenario), visitors: scenario.visitors() };
    summary.counted(witnessed.work, witnessed.whole, &samples, present);
    summary.frames_by_phase(&witnessed.frames_per_write);
    let hashing_alone = hashing.zip(after).map(|(before, after)| f64::midpoint(before, after));
    summary.hold_against(&scenario, &Evidence { samples: &samples, hashing_alone });
    summary.server_stopped(stopped);
    summary.grade_by(&scenario.grades);
    summary.grown_on_disk(args.target.is_none().then_some(disk));
    finish(args, summary, kept, profiled.as_ref(), (&out, say)).map_err(failed)
}

/// Who else may have used the server meanwhile.
fn others(args: &RunArgs, scenario: &Scenario) -> Option<&'static str> {
    if !scenario.abusers.is_empty() {
        return Some("those who mean ill post there too");
    }
    args.target.is_some().then_some("others may use that server, too")
}

/// Marks what could not be kept, writes what comes last, and tells the result whatever the disk says.
fn finish(
    args: &RunArgs,
    mut summary: Summary,
    kept: Kept,
    profiled: Option<&Index>,
    (out, say): (&Path, &mut dyn Write),
) -> io::Result<Summary> {
    summary.not_kept(kept.0);
    if let Err(error) = write_json(&out.join("summary.json"), &summary) {
        summary.not_kept(vec![format!("summary.json could not be written: {error}")]);
    }
    if args.target.is_none() {
        // What cannot be taken away is told, and is no worse than what is kept on purpose.
        if let Err(error) = clear(&summary, &out.join("data")) {
            writeln!(say, "\nthe server's folder could not be removed: {error}")?;
        }
    }
    tell(say, &summary, profiled, out)?;
    Ok(summary)
}

/// A machine that cannot hold the users: the folder and the summary say so, and nothing is started.
fn begin_nothing(
    args: &RunArgs,
    scenario: &Scenario,
    started: u64,
    (out, lacking): (&Path, Vec<String>),
    say: &mut dyn Write,
) -> io::Result<Summary> {
    let described = Manifest::new(args, scenario, started, None, (None, None));
    write_json(&out.join("manifest.json"), &described)?;
    write_whole(&out.join("samples.jsonl"), b"")?;
    let summary = Summary::of_nothing(scenario, lacking);
    write_json(&out.join("summary.json"), &summary)?;
    tell(say, &summary, None, out)?;
    Ok(summary)
}

/// What could not be kept, in words.
#[derive(Debug, Default)]
struct Kept(Vec<String>);

impl Kept {
    /// What was made of it, if it could be; else why not is noted.
    fn file<T>(&mut self, what: &str, done: io::Result<T>) -> Option<T> {
        done.map_err(|error| self.0.push(format!("{what} could not be kept: {error}"))).ok()
    }

    fn watched(&mut self, watched: Watched) -> Witnessed {
        let (witnessed, late) = watched.finish();
        self.0.extend(late);
        witnessed
    }
}

/// What a broken promise left on the disk is evidence; else the server's folder goes.
fn clear(summary: &Summary, scratch: &Path) -> io::Result<()> {
    match summary.ending {
        Ending::Pass | Ending::Missed | Ending::Undecided | Ending::Invalid | Ending::Unproved => {
            std::fs::remove_dir_all(scratch)
        }
        Ending::Faults | Ending::Incomplete => Ok(()),
    }
}

fn tell(
    say: &mut dyn Write,
    summary: &Summary,
    profiled: Option<&Index>,
    out: &Path,
) -> io::Result<()> {
    write!(say, "\n{}", summary.words())?;
    if let Some(profiled) = profiled {
        writeln!(say, "profile     {}", profiled.words())?;
    }
    writeln!(say, "run         {}", out.display())
}

/// What looks at the server's stacks, where that was asked for.
fn sampler(
    args: &RunArgs,
    pid: Option<u32>,
    out: &Path,
    seconds: f64,
) -> Result<Option<Sampler>, LabError> {
    if !args.flamegraph {
        return Ok(None);
    }
    let Some(pid) = pid else {
        let text = "--flamegraph looks at a server that the run starts itself; ask one that runs already \
                    for GET /api/v1/admin/profile";
        return Err(LabError::Arguments(text.into()));
    };
    let started = Sampler::start(pid, out, seconds);
    started.map(Some).map_err(|error| LabError::Arguments(error.to_string()))
}

/// The stretches of the load that have a graph each.
fn spans(scenario: &Scenario, outcome: &runner::Outcome) -> Vec<Span> {
    let of = |name: &str, at: f64, seconds: f64| Span { name: name.to_owned(), at, seconds };
    let mut spans: Vec<Span> = Vec::new();
    for sample in outcome.samples.iter().filter(|it| !it.phase.is_empty()) {
        let ends = sample.at + sample.seconds;
        match spans.last_mut().filter(|it| it.name == sample.phase) {
            Some(span) => span.seconds = ends - span.at,
            None => spans.push(of(&sample.phase, sample.at, sample.seconds)),
        }
    }
    if spans.is_empty() {
        spans.push(of(&scenario.name, 0.0, outcome.load.as_secs_f64()));
    }
    spans
}

/// The run itself. What it has to say is written by another thread: a disk that stalls under the server
/// must not stall the generator with it.
fn measure(
    scenario: &Scenario,
    started: u64,
    mut accounts: Vec<runner::Account>,
    mut watcher: Watcher<'_>,
    witness: Witness,
    (live, say): (bool, &mut (dyn Write + Send)),
) -> Result<Measured, RunError> {
    let (tell, told) = sync_channel::<Told>(SAMPLES_WAITING_MAX);
    let seconds = scenario.seconds;
    let mut live = live.then(|| Live::new(&scenario.name, seconds));
    let door = watcher.target.door.clone();
    watcher.tell = Some(tell.clone());
    let ill = accounts.split_off(accounts.len().min(scenario.users.count as usize));
    let (begin, begun) = sync_channel::<Nanos>(1);
    watcher.begin = Some(begin);
    let control = Arc::new(Control::default());
    watcher.abusers = (!ill.is_empty()).then(|| Arc::clone(&control));
    let tag = (started as u32).rotate_left(8) ^ scenario.seed as u32 ^ std::process::id();
    std::thread::scope(|scope| {
        let watching = scope.spawn(move || {
            witness.watch(&told, |sample| {
                let shown = match &mut live {
                    Some(live) => live.draw(sample),
                    None => line_of(sample, seconds) + "\n",
                };
                // One who does not look must not end a run.
                let _ = say.write_all(shown.as_bytes()).and_then(|()| say.flush());
            })
        });
        let (gate, control) = (door.clone(), &control);
        let abusing = scope.spawn(move || match begun.recv() {
            Ok(begun) if !ill.is_empty() => abuse::run(scenario, ill, &gate, begun, control),
            _ => Ok(Abused::default()),
        });
        // A sample that finds no room is one of many that nobody could write.
        let mut recorded =
            |sample: &Sample| drop(tell.try_send(Told::Sample(Box::new(sample.clone()))));
        let outcome = runner::run(scenario, accounts, door, tag, &mut watcher, &mut recorded);
        drop((tell, watcher));
        control.stop.store(true, Ordering::Relaxed);
        let watched = watching.join().ok();
        let abused =
            abusing.join().map_err(|_| RunError::Trouble("the abusers panicked".into()))??;
        Ok(Measured { outcome: outcome?, watched, abused })
    })
}

/// The machine beside what it was, where that is known.
fn since_baseline(
    args: &RunArgs,
    scratch: &Path,
    say: &mut dyn Write,
) -> Result<Option<Beside>, LabError> {
    let Some(file) = &args.baseline else { return Ok(None) };
    let beside = std::env::current_exe().and_then(|own| baseline::beside(&own, scratch, file));
    let beside = beside.map_err(LabError::Baseline)?;
    // One who does not look must not end a run.
    let _ = writeln!(say, "{}", beside.words(&day(beside.made_unix_seconds)));
    Ok(Some(beside))
}

fn announce(scenario: &Scenario, ours: bool, say: &mut dyn Write) -> io::Result<()> {
    writeln!(say, "{}: {}", scenario.name, scenario.says)?;
    for (name, value) in scenario.server.iter().filter(|_| ours) {
        writeln!(say, "server setting {name} = {value}")?;
    }
    // Passwords of thousands, and their connections, take a while in which nothing else is said.
    let count = scenario.users.count + scenario.abusers_count();
    let made = if ours { "made and " } else { "" };
    let seconds = number((scenario.seconds * 10.0).round() / 10.0);
    writeln!(say, "{count} accounts are {made}connected, then {seconds} s of load")
}

/// Some fifty hashes.
const HASHING: Duration = Duration::from_secs(1);
/// Long enough for a thousand syncs of a quick disk, and for twenty of a slow one.
const PROBE: Duration = Duration::from_millis(300);

pub(crate) fn scenario_of(args: &RunArgs) -> Result<Scenario, LabError> {
    let mut settings = args.settings.clone();
    settings.extend(args.seed.map(|seed| format!("seed={seed}")));
    settings.extend(args.seconds.map(|seconds| format!("seconds={seconds:?}")));
    let (preset, arm) = (args.preset.as_deref(), args.arm.as_deref());
    // Another build has settings of its own.
    let known = args.known_setting.filter(|_| args.server.is_none());
    scenario::check(&args.scenario, &settings, known)?;
    let scenario = Scenario::load_variant(&args.scenario, preset, arm, &settings)?;
    Ok(args.times.map_or(Ok(scenario.clone()), |times| scenario.times(times))?)
}

/// What a run needs before it begins.
struct Started {
    target: Target,
    accounts: Vec<runner::Account>,
    /// Where the disk is ours to see.
    fsync: Option<FsyncTimes>,
}

fn start(
    args: &RunArgs,
    scenario: &Scenario,
    out: &Path,
    data: &Path,
) -> Result<Started, LabError> {
    let count = scenario.users.count + scenario.abusers_count();
    if let Some(url) = &args.target {
        let Some(tokens) = &args.tokens else {
            return Err(LabError::Arguments("--target needs --tokens FILE of its accounts".into()));
        };
        let accounts = target::read_accounts(tokens, count)?;
        have_passwords(scenario, &accounts)?;
        let mut target = Target::at(url, args.target_raw.as_deref())?;
        target.door.agents.clone_from(&args.agents);
        return Ok(Started { target, accounts, fsync: None });
    }
    let failed = |error| LabError::Folder(data.to_owned(), error);
    std::fs::create_dir_all(data).map_err(failed)?;
    let fsync = Some(probe_fsync(data, PROBE).map_err(failed)?);
    let program = about::program(args).map_err(failed)?;
    let tokens = out.join("tokens");
    target::make_accounts(&program, data, &tokens, count, scenario.needs_passwords())?;
    let accounts = target::read_accounts(&tokens, count)?;
    have_passwords(scenario, &accounts)?;
    // They open every account of the server; nothing in the folder needs them any more.
    std::fs::remove_file(&tokens).map_err(failed)?;
    let log = out.join("server.log");
    let raw = scenario.users.dresses.contains(&crate::drivers::Dress::Raw);
    let how = Start { program: &program, data, log: &log, settings: &scenario.server, raw };
    Ok(Started { target: Target::start(&how)?, accounts, fsync })
}

/// What one thread of the machine does with nothing but hashing, where the scenario asks for it and
/// the server is on this machine.
fn hashing_alone(args: &RunArgs, scenario: &Scenario) -> io::Result<Option<f64>> {
    let asks = args.target.is_none() && scenario.asks_for(Figure::LoginsOfHashingAlone);
    asks.then(|| hashing::alone(1, HASHING)).transpose()
}

fn have_passwords(scenario: &Scenario, accounts: &[runner::Account]) -> Result<(), LabError> {
    if scenario.needs_passwords() && accounts.iter().any(|account| account.password.is_none()) {
        let text = "the scenario logs in by passwords, and the accounts have none";
        return Err(LabError::Arguments(text.into()));
    }
    Ok(())
}

/// Looks at our own server's process.
struct Watcher<'a> {
    /// When load began, for who slices by it.
    begun: Arc<AtomicU64>,
    target: &'a mut Target,
    /// The server's processes, where they are ours to see.
    family: Option<Family>,
    steal: Steal,
    alone: &'a mut Alone,
    tell: Option<SyncSender<Told>>,
    stop: &'a AtomicBool,
    /// The server's port, where the memory of its sockets is asked for.
    kernel_of: Option<u16>,
    /// Told once, when load begins.
    begin: Option<SyncSender<Nanos>>,
    /// Of those who mean ill, where any do.
    abusers: Option<Arc<Control>>,
}

/// What was measured.
struct Measured {
    outcome: runner::Outcome,
    /// What the witness saw, its files still open.
    watched: Option<Watched>,
    abused: Abused,
}

impl Watch for Watcher<'_> {
    fn server(&mut self) -> Option<(Duration, u64)> {
        self.family.as_mut()?.look()
    }

    fn steal(&mut self) -> f64 {
        self.steal.share()
    }

    fn others(&mut self, own: Duration) -> Option<f64> {
        self.alone.since_last(own)
    }

    fn abusers(&mut self) -> Option<Duration> {
        self.abusers.as_ref().map(|it| it.cpu())
    }

    fn load_begins(&mut self) {
        self.begun.store(clock::now().0, Ordering::Relaxed);
        if let Some(begin) = self.begin.take() {
            let _ = begin.try_send(clock::now());
        }
        if let Some(tell) = &self.tell {
            let _ = tell.try_send(Told::Begins);
        }
    }

    fn drained(&mut self) {
        if let Some(tell) = &self.tell {
            let _ = tell.try_send(Told::Drained);
        }
    }

    fn listen_overflows(&mut self) -> u64 {
        monitor::listen_overflows()
    }

    fn kernel_bytes(&mut self) -> Option<u64> {
        self.kernel_of.and_then(kernel::kernel_bytes)
    }

    fn stop(&mut self) -> Option<String> {
        if self.stop.load(Ordering::Relaxed) {
            return Some("it was ended by a signal".into());
        }
        let (status, last_words) = self.target.ended()?;
        Some(format!("the server ended ({status}); {last_words}"))
    }
}

/// A line for each client of a row.
fn write_clients(out: &Path, clients: &[runner::RowClient]) -> io::Result<()> {
    if clients.is_empty() {
        return Ok(());
    }
    let mut lines = b"client_id,messages,connect_us,median_rtt_us,phase\n".to_vec();
    for it in clients {
        let runner::RowClient { client_id, messages, connect_us, median_rtt_us, phase } = it;
        writeln!(lines, "{client_id},{messages},{connect_us},{median_rtt_us},{phase}")?;
    }
    write_whole(&out.join("analysis.csv"), &lines)
}
