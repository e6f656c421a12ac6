//! Processes: the server, the floor and the spinners, and what the system says of them.
//!
//! Neighbours: the rows start them through here. CPU is that of the one process, by its own clock, in
//! nanoseconds; what each thread used comes from `/proc/PID/task/*/schedstat`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::thread::CpuSet;
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use crate::clock::now;
use crate::{floor, monitor, target};

/// A drain may take this long; then the process is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// A server says where it is within this.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// How this very program is started again, as a floor or a spinner.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server's executable.
    pub throng: PathBuf,
    /// This program and the arguments before `floor-serve` and `spin`.
    pub own: (PathBuf, Vec<String>),
}

/// A child process that listens.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    ended: Receiver<()>,
}

impl Programs {
    /// `throng serve` on a free port with this folder and these settings.
    pub fn serve(&self, data: &Path, settings: &[String]) -> io::Result<Process> {
        let mut command = Command::new(&self.throng);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let log = std::fs::File::create(data.with_extension("log"))?;
        target::ends_with_us(&mut command).stderr(log);
        Process::start(command)
    }

    /// Accounts made beside the server, with their tokens.
    pub fn users(&self, data: &Path, prefix: &str, count: usize) -> io::Result<Vec<String>> {
        let file = data.with_extension(format!("{prefix}.tokens"));
        // Tokens of a run before this one; the command does not overwrite any.
        let _ = std::fs::remove_file(&file);
        let mut command = Command::new(&self.throng);
        command.args(["admin", "users", "create", "--prefix", prefix]);
        command.arg("--count").arg(count.to_string()).arg("--tokens").arg(&file);
        command.arg("--data").arg(data);
        let done = command.output()?;
        if !done.status.success() {
            let text = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(io::Error::other(format!("admin users create: {text}")));
        }
        read_tokens(&file)
    }

    /// A floor with this plan.
    pub fn floor(&self, plan: &floor::Plan) -> io::Result<Process> {
        let mut command = Command::new(&self.own.0);
        command.args(&self.own.1).arg("floor-serve").arg(serde_json::to_string(plan)?);
        command.stdin(Stdio::piped());
        Process::start(command)
    }

    /// Hashes a second of argon2 alone on so many threads, at the server's niceness.
    pub fn hash_alone(&self, threads: usize, time: Duration) -> io::Result<f64> {
        let mut command = Command::new(&self.own.0);
        command.args(&self.own.1).arg("hash-alone").arg(threads.to_string());
        let done = command.arg(time.as_millis().to_string()).output()?;
        let text = String::from_utf8_lossy(&done.stdout);
        text.trim().parse().map_err(|_| io::Error::other(format!("hash-alone said {text:?}")))
    }

    /// One spinner a core, so that no core sleeps between two messages. Each has said that it spins.
    pub fn spinners(&self) -> io::Result<Spinners> {
        let ours = rustix::thread::sched_getaffinity(None)?;
        let mut spinners = Spinners(Vec::new());
        for core in (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core)) {
            let mut command = Command::new(&self.own.0);
            command.args(&self.own.1).arg("spin").arg(core.to_string());
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let stdout = child.stdout.take().expect("it is piped");
            spinners.0.push(child);
            let mut said = String::new();
            BufReader::new(stdout).read_line(&mut said)?;
            if said.trim() != SPINS {
                return Err(io::Error::other(format!(
                    "cannot keep core {core} awake, without which no figure is worth much: the \
                     spinner said {said:?}"
                )));
            }
        }
        Ok(spinners)
    }
}

/// `id<TAB>name<TAB>token` lines.
pub fn read_tokens(file: &Path) -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().filter_map(|line| line.split('\t').nth(2)).map(str::to_owned).collect())
}

/// What a spinner says when it does.
const SPINS: &str = "spins";

/// Ends with its owner.
#[derive(Debug)]
pub struct Spinners(Vec<Child>);

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Spins on one core until standard input ends: at nice 19, and as what the kernel runs only when
/// it has nothing else (`SCHED_IDLE`). Without the latter a core that only spins is not idle to the
/// kernel, and whoever wakes is queued behind another thread instead of being put there. Says so when
/// it has begun.
pub fn spin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)?;
    // This class has one priority. The call sets the niceness too, to 0, so that comes after it; the
    // thread that spins inherits both.
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
        .map_err(|error| io::Error::other(format!("cannot become SCHED_IDLE: {error:?}")))?;
    rustix::process::setpriority_process(None, 19)?;
    std::thread::spawn(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    writeln!(io::stdout(), "{SPINS}")?;
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}

impl Process {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let address = line
            .split(|sign: char| sign.is_whitespace() || sign == '/')
            .find_map(|word| word.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other(format!(
                "{command:?} said {line:?} instead of where it is"
            )));
        };
        // Reads on, so that a server which says more never waits for us; its output ends with it.
        let (ends, ended) = sync_channel::<()>(0);
        std::thread::spawn(move || {
            let _ = io::copy(&mut lines, &mut io::sink());
            drop(ends);
        });
        Ok(Self { child, address, ended })
    }

    /// CPU nanoseconds so far, user and system, of threads that have ended too.
    pub fn cpu_nanos(&self) -> io::Result<u64> {
        cpu_of(self.child.id())
    }

    /// CPU nanoseconds of its living threads, by thread name.
    pub fn cpu_by_thread(&self) -> io::Result<BTreeMap<String, u64>> {
        let mut threads = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let path = task?.path();
            let (Ok(name), Ok(text)) = (
                std::fs::read_to_string(path.join("comm")),
                std::fs::read_to_string(path.join("schedstat")),
            ) else {
                continue;
            };
            let run = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            *threads.entry(name.trim().to_owned()).or_default() += run.unwrap_or(0);
        }
        Ok(threads)
    }

    /// Bytes of memory that only this process has.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let kib = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        kib("Rss:").map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no Rss in smaps_rollup"))
    }

    /// The server's counters now.
    pub fn metrics(&self) -> io::Result<Metrics> {
        scrape(self.address)
    }

    /// SIGTERM, and after a while SIGKILL; how long it took.
    pub fn stop(mut self) -> io::Result<Duration> {
        let start = now();
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        if self.ended.recv_timeout(STOP_WITHIN) == Err(RecvTimeoutError::Timeout) {
            self.kill()?;
            return Err(io::Error::other("it did not stop by itself"));
        }
        self.child.wait()?;
        Ok(now().since(start))
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sum over the threads that live would lose what one used that ended in between, as those do on which a
/// server's runtime lets others wait.
fn cpu_of(pid: u32) -> io::Result<u64> {
    let gone = || io::Error::other(format!("there is no clock of the process {pid}"));
    let (cpu, _) = monitor::process(pid).ok_or_else(gone)?;
    Ok(cpu.as_nanos() as u64)
}

/// Counters by name, labels summed over.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// The counter. A ratio without it would be made up, so its absence is an error.
    pub fn get(&self, name: &str) -> io::Result<f64> {
        let counter = self.0.get(name).copied();
        counter.ok_or_else(|| io::Error::other(format!("/metrics has no {name}")))
    }

    fn parse(text: &str) -> Self {
        let mut counters = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let name = name.split('{').next().unwrap_or(name);
            if let Ok(value) = value.parse::<f64>() {
                *counters.entry(name.to_owned()).or_default() += value;
            }
        }
        Self(counters)
    }
}

/// Reads `/metrics`.
pub fn scrape(address: SocketAddr) -> io::Result<Metrics> {
    counters(address, "/metrics")
}

/// The counters that this is answered with.
pub fn counters(address: SocketAddr, target: &str) -> io::Result<Metrics> {
    Ok(Metrics::parse(&get(address, target)?))
}

/// The body of a GET.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    got(address, path).map_err(|error| {
        let within = HTTP_TIMEOUT.as_secs();
        io::Error::new(error.kind(), format!("GET {path} of {address} within {within} s: {error}"))
    })
}

fn got(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT)?;
    stream.set_read_timeout(Some(HTTP_TIMEOUT))?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::thread_cpu;

    #[test]
    fn what_a_thread_used_that_has_ended_is_still_in_the_cpu_of_its_process() {
        let own = std::process::id();
        let before = cpu_of(own).unwrap();
        let work = Duration::from_millis(30);
        std::thread::spawn(move || {
            let begun = thread_cpu();
            while thread_cpu() < begun + work {}
        })
        .join()
        .unwrap();
        assert!(cpu_of(own).unwrap() >= before + work.as_nanos() as u64);
    }

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# HELP a\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\nb 1.5\n";
        let metrics = Metrics::parse(text);
        assert!((metrics.get("a_total").expect("it is there") - 5.0).abs() < 1e-9);
        assert!((metrics.get("b").expect("it is there") - 1.5).abs() < 1e-9);
        assert!(metrics.get("c").is_err());
    }
}
