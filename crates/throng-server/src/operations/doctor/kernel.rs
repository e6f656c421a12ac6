//! What the kernel allows: descriptors, backlogs, ports, memory, cores. Read from `/proc` and by
//! system calls; every number stands with what it means for a chat server.

use std::fs;

use rustix::process::{Resource, getrlimit};
use throng_core::Limits;

use super::{Finding, Grade};
use crate::config::Settings;
use crate::listeners::BACKLOG;
use crate::operations::descriptors::{FILES_MIN, OWN_FILES};

/// What an idle connection may take, as promised.
const IDLE_CONNECTION_KIB: u64 = 5;
/// A backlog below this overflows when a thousand clients come back at once after a restart.
const BACKLOG_ENOUGH: u64 = 1_024;

pub fn version() -> Finding {
    match read("/proc/sys/kernel/osrelease") {
        Ok(release) => {
            let means = "Linux 5.x or newer is what Throng is tested on".to_owned();
            let old = release.split('.').next().and_then(|major| major.parse().ok()) < Some(5_u32);
            let grade = if old { Grade::Poor } else { Grade::Good };
            Finding::new("kernel", grade, release, means)
        }
        Err(error) => Finding::unknown("kernel", &error),
    }
}

pub fn cores(settings: &Settings) -> Finding {
    match std::thread::available_parallelism() {
        Ok(cores) => {
            let cores = cores.get();
            let shards = settings.shard_count(cores);
            let hashing = settings.limits.hash_thread_count(cores);
            let means = format!(
                "{shards} shards, {hashing} hashing threads: about {} logins by password a second",
                hashing * LOGINS_PER_THREAD
            );
            Finding::good("cores", cores.to_string(), means)
        }
        Err(error) => Finding::unknown("cores", &error),
    }
}

/// An argon2id of 19 MiB and two passes takes 14 to 21 ms.
const LOGINS_PER_THREAD: usize = 55;

pub fn memory() -> Finding {
    let available = read("/proc/meminfo").ok().and_then(|text| field(&text, "MemAvailable:"));
    match available {
        Some(kib) => {
            let connections = kib / 2 / IDLE_CONNECTION_KIB;
            let grade = if kib < 256 * 1_024 { Grade::Poor } else { Grade::Good };
            let means = format!("half of it holds about {connections} idle connections");
            Finding::new("memory", grade, format!("{} MiB available", kib / 1_024), means)
        }
        None => Finding::unknown("memory", &"/proc/meminfo does not tell"),
    }
}

pub fn open_files(limits: &Limits) -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (shown(limit.current), shown(limit.maximum));
    let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(OWN_FILES);
    let allowed = most.min(u64::from(limits.connections_max));
    let grade = match most {
        _ if limit.maximum.is_some_and(|maximum| maximum < FILES_MIN) => Grade::Stops,
        0..4_096 => Grade::Poor,
        _ => Grade::Good,
    };
    let means = format!(
        "the server raises its soft limit to the hard one: about {allowed} connections{}",
        if most < u64::from(limits.connections_max) { "; raise it with ulimit -Hn" } else { "" }
    );
    Finding::new("open files", grade, format!("soft {soft}, hard {hard}"), means)
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

pub fn backlog() -> Finding {
    match read("/proc/sys/net/core/somaxconn").map(|text| text.parse::<u64>()) {
        Ok(Ok(most)) => backlog_of(most),
        Ok(Err(error)) => Finding::unknown("accept backlog", &error),
        Err(error) => Finding::unknown("accept backlog", &error),
    }
}

/// A listener has the backlog that it asked for, where the system allows so much.
fn backlog_of(somaxconn: u64) -> Finding {
    let waiting = somaxconn.min(BACKLOG.unsigned_abs().into());
    let grade = if waiting < BACKLOG_ENOUGH { Grade::Poor } else { Grade::Good };
    let means =
        format!("{waiting} clients may wait to be accepted at one moment; more are made to retry");
    Finding::new("accept backlog", grade, format!("somaxconn {somaxconn}"), means)
}

pub fn overflows() -> Finding {
    let text = match read("/proc/net/netstat") {
        Ok(text) => text,
        Err(error) => return Finding::unknown("backlog overflows", &error),
    };
    let count = |name| counter(&text, "TcpExt:", name);
    match (count("ListenOverflows"), count("ListenDrops")) {
        (Some(overflows), Some(drops)) => {
            let found = format!("ListenOverflows {overflows}, ListenDrops {drops} since boot");
            let (grade, means) = if overflows == 0 && drops == 0 {
                (Grade::Good, "no server here has made a client retry yet".to_owned())
            } else {
                let means = "some server's backlog was full: if it grows while Throng runs, raise \
                             net.core.somaxconn";
                (Grade::Poor, means.to_owned())
            };
            Finding::new("backlog overflows", grade, found, means)
        }
        _ => Finding::unknown("backlog overflows", &"/proc/net/netstat does not tell"),
    }
}

pub fn port_range() -> Finding {
    let text = match read("/proc/sys/net/ipv4/ip_local_port_range") {
        Ok(text) => text,
        Err(error) => return Finding::unknown("outgoing ports", &error),
    };
    let ends: Vec<u64> = text.split_whitespace().filter_map(|end| end.parse().ok()).collect();
    match ends[..] {
        [low, high] if low <= high => {
            let means = format!(
                "a load generator opens about {} connections from one address to one port; a \
                 server is not bound by it",
                high - low + 1
            );
            Finding::good("outgoing ports", format!("{low} to {high}"), means)
        }
        _ => Finding::unknown("outgoing ports", &text),
    }
}

pub fn congestion_control() -> Finding {
    match read("/proc/sys/net/ipv4/tcp_congestion_control") {
        Ok(name) => {
            let means = if name == "bbr" {
                "holds its rate over lossy mobile networks".to_owned()
            } else {
                "well for most; bbr holds its rate better over lossy mobile networks".to_owned()
            };
            Finding::good("congestion", name, means)
        }
        Err(error) => Finding::unknown("congestion", &error),
    }
}

fn read(path: &str) -> std::io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

/// The number behind a name, as in `/proc/meminfo`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A counter of `/proc/net/netstat`, whose names and values stand on two lines of one group.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let at = lines.next()?.split_whitespace().position(|known| known == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_below_its_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\n\
                    IpExt: InNoRoutes ListenDrops\nIpExt: 4 5\n";
        assert_eq!(counter(text, "TcpExt:", "ListenOverflows"), Some(22));
        assert_eq!(counter(text, "TcpExt:", "ListenDrops"), Some(333));
        assert_eq!(counter(text, "TcpExt:", "Nothing"), None);
        assert_eq!(counter("", "TcpExt:", "ListenDrops"), None);
    }

    #[test]
    fn so_many_wait_as_the_system_allows_and_the_server_asks_for() {
        let asked = BACKLOG.unsigned_abs().into();
        for (somaxconn, waiting, grade) in [
            (128, 128, Grade::Poor),
            (asked - 1, asked - 1, Grade::Good),
            (asked, asked, Grade::Good),
            (65_535, asked, Grade::Good),
        ] {
            let finding = backlog_of(somaxconn);
            assert!(finding.means.starts_with(&format!("{waiting} clients")), "{finding}");
            assert_eq!(finding.grade, grade);
        }
    }

    #[test]
    fn a_field_of_meminfo_is_its_first_number() {
        let text = "MemTotal:  10 kB\nMemAvailable:   7 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(7));
        assert_eq!(field(text, "MemGone:"), None);
    }
}
