//! Where the server's CPU went while load was offered: samples of its stacks, a file for each phase.
//!
//! Neighbours: `run` starts it beside its server and stops it before; `report` draws what it wrote.
//! The sampler is `perf`, a process of its own: it needs nothing of the server, so that rivals are
//! sampled alike, and nothing that it does wrong can hurt the server. `stacks` reads what it says.

mod stacks;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::target::ends_within;
pub use stacks::{IN_KERNEL, Stacks};

/// Samples a second of a core, at most: a prime, so that nothing beats in time with it.
const HERTZ_MAX: f64 = 97.0;
/// Samples of one core in a run: each carries its stack's bytes.
const SAMPLES_MAX: f64 = 6_000.0;
/// Bytes of each stack that are kept, to be unwound when the run is over.
const STACK_BYTES: &str = "8192";
/// `perf` writes what it has when it is asked to end.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// The longest file of stacks that is read back.
const FILE_LEN_MAX: u64 = 64 * 1024 * 1024;
/// What the server calls threads that end by themselves.
const BLOCKING: &str = "blocking";
/// In the run's folder.
const FOLDER: &str = "profile";
const INDEX: &str = "index.json";

/// What is in the run's `profile/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Index {
    /// How often a busy core was looked at.
    pub hertz: u64,
    /// A file of folded stacks for each phase.
    pub phases: Vec<Profiled>,
    /// Why there are none, if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<String>,
}

impl Index {
    /// For a person.
    pub fn words(&self) -> String {
        if let Some(why) = &self.unmeasured {
            return format!("none: {why}");
        }
        let samples: u64 = self.phases.iter().map(|it| it.samples).sum();
        let (hertz, phases) = (self.hertz, self.phases.len());
        format!(
            "{samples} stacks at {hertz} Hz in {phases} phases: throng lab report has the graphs"
        )
    }
}

/// One phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profiled {
    /// What it is called; empty for a load without phases.
    pub phase: String,
    /// Beside the index.
    pub file: String,
    /// How many stacks.
    pub samples: u64,
}

/// A stretch of the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its phase.
    pub name: String,
    /// When it began, in seconds of the load.
    pub at: f64,
    /// How long it lasted.
    pub seconds: f64,
}

/// Samples a process while it lives.
#[derive(Debug)]
pub struct Sampler {
    child: Child,
    folder: PathBuf,
    hertz: u64,
}

impl Sampler {
    /// Begins, for a load of about so many seconds. `out` is the run's folder.
    pub fn start(pid: u32, out: &Path, seconds: f64) -> io::Result<Self> {
        let folder = out.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        let hertz = (SAMPLES_MAX / seconds.max(1.0)).clamp(1.0, HERTZ_MAX) as u64;
        let child = Command::new("perf")
            .args(["record", "-q", "-N", "-k", "CLOCK_MONOTONIC", "-e", "cpu-clock"])
            .args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "-F", &hertz.to_string()])
            .args(whom(pid))
            .arg("-o")
            .arg(folder.join("perf.data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("perf.log"))?)
            .spawn();
        let child = child.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let text = "--flamegraph needs `perf` (linux-perf, linux-tools), and there is none";
                io::Error::new(error.kind(), text)
            }
            _ => error,
        })?;
        Ok(Self { child, folder, hertz })
    }

    /// Ends it, and writes a file of stacks for each phase. What went wrong is in the index: a run is
    /// worth the same without it.
    pub fn stop(mut self, begun: Nanos, phases: &[Span]) -> io::Result<Index> {
        let unmeasured = match self.end() {
            Ok(()) => None,
            Err(error) => {
                let said =
                    std::fs::read_to_string(self.folder.join("perf.log")).unwrap_or_default();
                Some(format!("{error}; perf: {}", said.trim()))
            }
        };
        let mut index = Index { hertz: self.hertz, phases: Vec::new(), unmeasured };
        if index.unmeasured.is_none() {
            let stacks = self.stacks(begun, phases)?;
            if stacks.iter().all(|it| it.samples() == 0) {
                index.unmeasured = Some("the server used too little CPU to be seen".into());
            } else {
                index.phases = write(&self.folder, phases, &stacks)?;
            }
        }
        std::fs::write(self.folder.join(INDEX), serde_json::to_vec_pretty(&index)?)?;
        for file in ["perf.data", "perf.log"] {
            // One that `perf` never wrote is gone already.
            let _ = std::fs::remove_file(self.folder.join(file));
        }
        Ok(index)
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::other(format!("perf ended before the load did ({status})")));
        }
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT)?;
        if !ends_within(&self.child, STOP_WITHIN)? {
            self.child.kill()?;
            self.child.wait()?;
            return Err(io::Error::other("perf did not end when it was asked to"));
        }
        self.child.wait()?;
        Ok(())
    }

    /// Has `perf` unwind what it kept, and puts each stack where its moment belongs.
    fn stacks(&self, begun: Nanos, phases: &[Span]) -> io::Result<Vec<Stacks>> {
        let mut script = Command::new("perf")
            .args(["script", "--no-inline", "-F", "comm,tid,time,ip,sym", "-i"])
            .arg(self.folder.join("perf.data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = BufReader::new(script.stdout.take().expect("it is piped"));
        let mut found = vec![Stacks::default(); phases.len()];
        let begun = begun.0 as f64 / 1e9;
        let read = stacks::read(said, |at, stack| {
            let at = at - begun;
            let within = |it: &Span| (it.at..it.at + it.seconds).contains(&at);
            if let Some(number) = phases.iter().position(within) {
                found[number].add(stack, 1);
            }
        });
        script.wait()?;
        read.map(|()| found)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which threads `perf` looks at: all, or, where some end when they have had nothing to do for a while, the others
/// and what those start. Of a thread that ends while it looks `perf` is told without end, and takes whole cores
/// for hearing it (seen with 6.1: 1.6 of 2, and a server that starved beside it).
fn whom(pid: u32) -> [String; 2] {
    let all = ["-p".into(), pid.to_string()];
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return all };
    let tasks: Vec<_> = tasks.flatten().map(|task| task.path()).collect();
    let ends = |task: &PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == BLOCKING)
    };
    let (some, others): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| ends(task));
    if some.is_empty() {
        return all;
    }
    let others: Vec<_> = others.iter().filter_map(|task| task.file_name()?.to_str()).collect();
    ["-t".into(), others.join(",")]
}

fn write(folder: &Path, phases: &[Span], stacks: &[Stacks]) -> io::Result<Vec<Profiled>> {
    let mut written = Vec::new();
    for (number, (phase, stacks)) in phases.iter().zip(stacks).enumerate() {
        let file = format!("{:02}.folded", number + 1);
        std::fs::write(folder.join(&file), stacks.text())?;
        written.push(Profiled { phase: phase.name.clone(), file, samples: stacks.samples() });
    }
    Ok(written)
}

/// What a run's folder has of it, if anything: the index and each phase's stacks.
pub fn read(out: &Path) -> Option<(Index, Vec<Stacks>)> {
    let folder = out.join(FOLDER);
    let index = std::fs::read(folder.join(INDEX)).ok()?;
    let index: Index = serde_json::from_slice(&index).ok()?;
    let stacks = |it: &Profiled| {
        // The name is of the folder and leads nowhere else.
        let file = folder.join(Path::new(&it.file).file_name()?);
        let short = std::fs::metadata(&file).is_ok_and(|it| it.len() <= FILE_LEN_MAX);
        short.then(|| std::fs::read_to_string(&file).ok())?.map(|text| Stacks::of_text(&text))
    };
    let stacks = index.phases.iter().map(|it| stacks(it).unwrap_or_default()).collect();
    Some((index, stacks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_end_by_themselves_are_not_looked_at() {
        let own = std::process::id();
        assert_eq!(whom(own), ["-p".to_owned(), own.to_string()]);
        let (may_go, goes) = std::sync::mpsc::sync_channel::<()>(1);
        let (is_there, waits) = std::sync::mpsc::sync_channel(1);
        let builder = std::thread::Builder::new().name(BLOCKING.into());
        let thread = builder.spawn(move || {
            // It has named itself before this.
            is_there.send(rustix::thread::gettid().as_raw_nonzero().to_string()).unwrap();
            goes.recv().unwrap();
        });
        let thread = thread.unwrap();
        let ends: String = waits.recv().unwrap();
        let [which, whose] = whom(own);
        let looked_at: Vec<_> = whose.split(',').collect();
        assert_eq!(which, "-t");
        assert!(looked_at.contains(&own.to_string().as_str()), "{whose}");
        assert!(!looked_at.contains(&ends.as_str()), "{whose}");
        may_go.send(()).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn what_was_written_is_read_back_phase_by_phase() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        let phase = |name: &str| Span { name: name.into(), at: 0.0, seconds: 1.0 };
        let phases = [phase("1000/s"), phase("../up")];
        let mut busy = Stacks::default();
        busy.add("shard-0;commit;fsync_[k]".into(), 3);
        let phases = write(&folder, &phases, &[busy.clone(), Stacks::default()]).unwrap();
        let index = Index { hertz: 97, phases, unmeasured: None };
        std::fs::write(folder.join(INDEX), serde_json::to_vec(&index).unwrap()).unwrap();
        assert_eq!(read(out.path()), Some((index, vec![busy, Stacks::default()])));
        assert_eq!(read(&folder), None);
    }
}
