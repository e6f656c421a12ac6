//! What this machine allows a run: open files, ports, and what its cgroup leaves of it.
//!
//! Neighbours: `run` asks before it starts anything; the manifest describes the machine by it. Nothing
//! here changes a limit but that of this process's open files, up to what it is allowed.

use std::fs::read_to_string;
use std::io;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the kernel keeps the range of ports that it gives to who connects.
const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Linux: the process, or the whole system, has no descriptor left; no port is left.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const EADDRNOTAVAIL: i32 = 99;

/// Raises the limit of open files to what is allowed; the words for the user if that is too little.
pub fn sockets(wanted: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if enough(limit.current) {
        return Ok(());
    }
    if enough(limit.maximum) {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        return setrlimit(Resource::Nofile, raised).map_err(|error| error.to_string());
    }
    let maximum = limit.maximum.unwrap_or_default();
    Err(format!(
        "{wanted} open files are needed and {maximum} allowed: raise `ulimit -Hn`, or use fewer \
         users"
    ))
}

/// Whether so many connections from here to one address and port have a port each; the words for the user
/// if not. What a kernel that tells no range allows is not known, and not refused.
pub fn ports(wanted: u64) -> Result<(), String> {
    match port_range() {
        Some(range) => enough_ports(wanted, range),
        None => Ok(()),
    }
}

fn enough_ports(wanted: u64, [low, high]: [u32; 2]) -> Result<(), String> {
    let allowed = u64::from(high.saturating_sub(low)) + 1;
    if wanted <= allowed {
        return Ok(());
    }
    Err(format!(
        "{wanted} connections to one address are needed, each from a port of its own, and {allowed} \
         ports allowed: widen net.ipv4.ip_local_port_range (it is {low} {high}), let agents hold the \
         sockets (--agents), or use fewer users"
    ))
}

/// The first and the last port that the kernel gives to who connects.
pub fn port_range() -> Option<[u32; 2]> {
    of_range(&read_to_string(PORTS).ok()?)
}

fn of_range(text: &str) -> Option<[u32; 2]> {
    let mut ports = text.split_whitespace().map_while(|port| port.parse().ok());
    Some([ports.next()?, ports.next()?])
}

/// Connections that a listener may have waiting to be accepted.
pub fn accept_backlog() -> Option<u64> {
    read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

/// What to do about a socket that there was none for, behind the error itself; nothing where it is neither
/// ports nor open files.
pub fn words(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) => Some(
            "; this is the limit of open files: `ulimit -n` tells it, and the server's own log if it is \
             there",
        ),
        Some(EADDRNOTAVAIL) => Some(NO_PORT),
        _ if error.kind() == io::ErrorKind::AddrNotAvailable => Some(NO_PORT),
        _ => None,
    }
}

const NO_PORT: &str = "; no port is left on this side for a connection to that address: \
                       net.ipv4.ip_local_port_range says which there are, and one that was just closed keeps its \
                       port for a minute";

/// Cores' worth of time, and bytes of memory, that the cgroup of this process allows; absent where it does
/// not bound them.
pub fn by_cgroup() -> (Option<f64>, Option<u64>) {
    let own = read_to_string("/proc/self/cgroup").unwrap_or_default();
    bounds(&own, Path::new("/sys/fs/cgroup"))
}

/// Of both versions, the least of each cgroup and those above it.
fn bounds(own: &str, root: &Path) -> (Option<f64>, Option<u64>) {
    let (mut cores, mut memory) = (None::<f64>, None::<u64>);
    let mut take_cores = |it: Option<f64>| {
        cores = it.map_or(cores, |it| Some(cores.map_or(it, |least| least.min(it))));
    };
    let mut take_memory = |it: Option<u64>| {
        memory = it.map_or(memory, |it| Some(memory.map_or(it, |least| least.min(it))));
    };
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(path)) = (fields.next(), fields.next()) else { continue };
        let base = if kinds.is_empty() { root.to_owned() } else { root.join(kinds) };
        for folder in Path::new(path.trim_start_matches('/')).ancestors() {
            let read = |name: &str| read_to_string(base.join(folder).join(name)).ok();
            take_cores(read("cpu.max").and_then(|text| quota(&text)));
            let quota_us = read("cpu.cfs_quota_us").and_then(|text| number(&text));
            let period_us = read("cpu.cfs_period_us").and_then(|text| number(&text));
            take_cores(quota_us.zip(period_us).map(|(quota, period)| quota / period));
            for name in ["memory.max", "memory.limit_in_bytes"] {
                let bytes = read(name).and_then(|text| text.trim().parse::<u64>().ok());
                take_memory(bytes.filter(|bytes| *bytes < UNBOUNDED));
            }
        }
    }
    (cores, memory)
}

/// What the first version of cgroups says where nothing is bounded is near this.
const UNBOUNDED: u64 = 1 << 60;

/// Of `cpu.max`: microseconds in a period, or `max`.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(number(quota)? / number(period)?)
}

/// Above nothing: -1 is no bound.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|it| *it > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_cannot_be_raised_is_said_in_words() {
        assert!(sockets(1).is_ok());
        assert!(getrlimit(Resource::Nofile).maximum.is_none() || sockets(u64::MAX).is_err());
    }

    #[test]
    fn ports_are_counted_with_both_ends_and_their_limit_named() {
        let range = of_range("32768\t60999\n").unwrap();
        assert!(enough_ports(28_232, range).is_ok());
        let said = enough_ports(28_233, range).unwrap_err();
        for part in ["28233 connections", "28232 ports", "ip_local_port_range", "32768 60999"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!((of_range(""), of_range("1 x")), (None, None));
    }

    #[test]
    fn the_least_bound_of_a_cgroup_and_those_above_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("a/b/cpu.max", "max 100000\n");
        put("a/cpu.max", "150000 100000\n");
        put("a/b/memory.max", "1000\n");
        put("a/memory.max", "max\n");
        assert_eq!(bounds("0::/a/b\n", folder.path()), (Some(1.5), Some(1000)));
        put("cpu,cpuacct/box/cpu.cfs_quota_us", "50000\n");
        put("cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
        put("memory/box/memory.limit_in_bytes", "9223372036854771712\n");
        let old = "4:memory:/box\n2:cpu,cpuacct:/box\n0::/nowhere\n";
        assert_eq!(bounds(old, folder.path()), (Some(0.5), None));
        put("cpu,cpuacct/box/cpu.cfs_quota_us", "-1\n");
        assert_eq!(bounds(old, folder.path()), (None, None));
    }
}
