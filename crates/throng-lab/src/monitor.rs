//! What the system says: of the server's process, of the machine, of its disk.
//!
//! Neighbours: `run` describes the machine by it and hands it to the runner as its watch; `holds` is what
//! the server holds on to, `family` who belongs to it, `trees` are further processes to look at, `allowed` what a run may take, `others` and
//! `programs` what else this machine does. Reads
//! `/proc` only; it never asks the server about itself.

pub mod allowed;
pub mod family;
pub mod holds;
pub mod others;
pub mod programs;
pub mod trees;

use std::fs::read_to_string;
use std::path::Path;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// The machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// What the first says of itself.
    pub cpu: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// How TCP avoids congestion.
    pub congestion_control: String,
    /// Descriptors that this process may hold.
    pub open_files_max: u64,
    /// Connections that a listener may have waiting to be accepted (`somaxconn`).
    pub accept_backlog: Option<u64>,
    /// The first and the last port that connections are made from (`ip_local_port_range`).
    pub ports: Option<[u32; 2]>,
    /// Cores' worth of time that the cgroup of this process allows, where it bounds it.
    pub cgroup_cores: Option<f64>,
    /// Bytes of memory that it allows, where it bounds them.
    pub cgroup_memory_bytes: Option<u64>,
    /// Load of the last minute, before the run.
    pub load_average: f64,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let cpu_info = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mem_info = read_to_string("/proc/meminfo").unwrap_or_default();
        let after_colon = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
                .unwrap_or_default()
        };
        let one = |path: &str| read_to_string(path).unwrap_or_default().trim().to_owned();
        let kib: Option<u64> =
            after_colon(&mem_info, "MemTotal").split(' ').next().and_then(|it| it.parse().ok());
        let (cgroup_cores, cgroup_memory_bytes) = allowed::by_cgroup();
        Self {
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            cpu: after_colon(&cpu_info, "model name"),
            kernel: one("/proc/sys/kernel/osrelease"),
            memory_bytes: kib.unwrap_or_default() * 1024,
            congestion_control: one("/proc/sys/net/ipv4/tcp_congestion_control"),
            open_files_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            accept_backlog: allowed::accept_backlog(),
            ports: allowed::port_range(),
            cgroup_cores,
            cgroup_memory_bytes,
            load_average: one("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|it| it.parse().ok())
                .unwrap_or_default(),
        }
    }
}

/// Connections refused so far by this machine's kernel because a listener's backlog was full.
pub fn listen_overflows() -> u64 {
    of_netstat(&read_to_string("/proc/net/netstat").unwrap_or_default()).unwrap_or_default()
}

fn of_netstat(netstat: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == "ListenOverflows")?;
    values.split_whitespace().nth(at)?.parse().ok()
}

/// Bytes of all files of a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(it) if it.is_dir() => folder_bytes(&entry.path()),
        Ok(it) => it.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// CPU so far (user and system, ended threads included) and resident bytes of a process.
///
/// The CPU comes from the process's own clock, in nanoseconds. `/proc/PID/stat` has ticks of 10 ms, user and system
/// cut off each by itself: of a server that works a fifth of a second in a run that is a tenth.
pub fn process(pid: u32) -> Option<(Duration, u64)> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let cpu = Duration::from(clock.now().ok()?);
    let statm = read_to_string(Path::new("/proc").join(pid.to_string()).join("statm")).ok()?;
    Some((cpu, resident_of(&statm)?))
}

/// Field 2 of proc_pid_statm(5), in bytes.
fn resident_of(statm: &str) -> Option<u64> {
    Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * page_size() as u64)
}

/// How much of the cores' time goes to other guests of the hypervisor.
#[derive(Debug, Default)]
pub struct Steal {
    before: (u64, u64),
}

impl Steal {
    /// The share since the last call.
    pub fn share(&mut self) -> f64 {
        let Some(now) = of_cpu_line(&read_to_string("/proc/stat").unwrap_or_default()) else {
            return 0.0;
        };
        let before = std::mem::replace(&mut self.before, now);
        let all = now.1.saturating_sub(before.1);
        now.0.saturating_sub(before.0) as f64 / all.max(1) as f64
    }
}

/// How busy each core was since the last look.
#[derive(Debug, Default)]
pub struct Cores {
    before: Vec<(u64, u64)>,
}

impl Cores {
    /// The share of its time that each core was not idle, since the last call.
    pub fn shares(&mut self) -> Vec<f64> {
        let now = of_core_lines(&read_to_string("/proc/stat").unwrap_or_default());
        let before = std::mem::replace(&mut self.before, now.clone());
        let share = |(at, (busy, all)): (usize, &(u64, u64))| {
            let (busy_before, all_before) = before.get(at).copied().unwrap_or_default();
            let all = all.saturating_sub(all_before);
            busy.saturating_sub(busy_before) as f64 / all.max(1) as f64
        };
        now.iter().enumerate().map(share).collect()
    }
}

/// Busy and all ticks, of each core.
fn of_core_lines(stat: &str) -> Vec<(u64, u64)> {
    let core = |line: &str| {
        let rest = line.strip_prefix("cpu").filter(|rest| !rest.starts_with(' '))?;
        let ticks = rest.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok());
        let ticks: Vec<u64> = ticks.take(8).collect();
        let all = ticks.iter().sum::<u64>();
        // Idle, and idle for a disk.
        Some((all - ticks.get(3)? - ticks.get(4)?, all))
    };
    stat.lines().filter_map(core).collect()
}

/// Stolen and all ticks, of all cores together.
fn of_cpu_line(stat: &str) -> Option<(u64, u64)> {
    let ticks: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .filter_map(|tick| tick.parse().ok())
        .collect();
    Some((*ticks.get(7)?, ticks.iter().take(8).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_of_a_process_is_told_finer_than_a_tick_ended_threads_included() {
        let own = std::process::id();
        let (before, resident) = process(own).unwrap();
        assert!(resident > 0);
        // A thread that works until its own clock says 3 ms, and ends.
        std::thread::spawn(|| {
            let begun = crate::clock::thread_cpu();
            while crate::clock::thread_cpu() < begun + Duration::from_millis(3) {}
        })
        .join()
        .unwrap();
        let (after, _) = process(own).unwrap();
        assert!(after >= before + Duration::from_millis(3));
        let tick = Duration::from_millis(10).as_nanos();
        assert!(!before.as_nanos().is_multiple_of(tick) || !after.as_nanos().is_multiple_of(tick));
    }

    #[test]
    fn a_process_that_is_not_there_has_no_cpu() {
        assert_eq!(process(u32::MAX), None);
        assert_eq!(process(i32::MAX as u32), None);
    }

    #[test]
    fn resident_pages_are_the_second_field() {
        assert_eq!(resident_of("900 300 20 5 0 70 0\n"), Some(300 * page_size() as u64));
        assert_eq!(resident_of("900"), None);
    }

    #[test]
    fn overflows_are_found_by_the_name_of_their_column() {
        let text =
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 42 43\nIpExt: a\n";
        assert_eq!(of_netstat(text), Some(42));
        assert_eq!(of_netstat("TcpExt: a\n"), None);
    }

    #[test]
    fn a_folder_is_as_large_as_all_that_lies_in_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("a"), [0; 100]).unwrap();
        std::fs::write(folder.path().join("in/b"), [0; 23]).unwrap();
        assert_eq!(folder_bytes(folder.path()), 123);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(process(std::process::id()).unwrap().1 > 100_000);
        assert!(process(u32::MAX).is_none());
    }

    #[test]
    fn a_core_is_busy_when_it_is_not_idle() {
        let text =
            "cpu  9 9 9 9 9 9 9 9\ncpu0 1 2 3 40 5 6 7 8 9 10\ncpu1 0 0 0 10 0 0 0 0\nintr 5\n";
        assert_eq!(of_core_lines(text), [(27, 72), (0, 10)]);
        let mut cores = Cores::default();
        assert!(cores.shares().iter().all(|share| (0.0..=1.0).contains(share)));
    }

    #[test]
    fn steal_is_a_share_of_all_time() {
        assert_eq!(of_cpu_line("cpu  1 2 3 4 5 6 7 8 9 10\n"), Some((8, 36)));
        let mut steal = Steal::default();
        assert!((0.0..=1.0).contains(&steal.share()));
    }
}
