//! What other programs take of the cores that a run's own programs may use.
//!
//! Neighbours: `run` makes one and the runner asks it at each second's end; the witness takes off what
//! `--monitor` names, `programs` knows which they are. From `/proc/stat`: user and system time of those cores,
//! less the clocks of the run's own processes. Interrupts are left out (`irq`, `softirq`): the run's own
//! packets are in them, and kernels differ in whether a process's clock has them too. So what is told is the
//! least that others took. Time that the hypervisor gave away (`steal`) is nobody's here.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity};

/// Their CPU since the last look.
#[derive(Debug)]
pub struct Others {
    cores: BTreeSet<usize>,
    /// Seconds that the cores had been busy, and that were the run's own.
    before: Option<[f64; 2]>,
}

impl Others {
    /// On the cores that this process, or one of those, may run on. None where the kernel does not tell.
    pub fn beside(pids: &[u32]) -> Option<Self> {
        let there: BTreeSet<usize> = core_lines(&stat()?).map(|(core, _)| core).collect();
        let pids = pids.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        let may: Vec<CpuSet> = std::iter::once(None)
            .chain(pids.map(Some))
            .filter_map(|pid| sched_getaffinity(pid).ok())
            .collect();
        // Where nobody is bound to cores, or this cannot be known, they are all.
        let one_may =
            |core: &usize| *core < CpuSet::MAX_CPU && may.iter().any(|it| it.is_set(*core));
        let cores: BTreeSet<usize> = there.iter().copied().filter(one_may).collect();
        let cores = if cores.is_empty() { there } else { cores };
        (!cores.is_empty()).then_some(Self { cores, before: None })
    }

    /// How many cores are looked at.
    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    /// CPU seconds of others since the last call; nothing at the first. `own` is the CPU so far of the run's own
    /// programs. The kernel counts in ticks, so a second may be some hundredths too little, below nothing too:
    /// sums over many are right.
    pub fn since_last(&mut self, own: Duration) -> Option<f64> {
        let stat = stat()?;
        self.since(&stat, own)
    }

    fn since(&mut self, stat: &str, own: Duration) -> Option<f64> {
        let of_ours = core_lines(stat).filter(|(core, _)| self.cores.contains(core));
        let ticks: u64 = of_ours.map(|(_, ticks)| ticks).sum();
        let now = [ticks as f64 / clock_ticks_per_second() as f64, own.as_secs_f64()];
        let before = self.before.replace(now)?;
        let [busy, own] = [0, 1].map(|at| now[at] - before[at]);
        Some(busy - own)
    }
}

fn stat() -> Option<String> {
    read_to_string("/proc/stat").ok()
}

/// Each core's number, and its ticks in programs and in the kernel for them: user, nice and system of
/// proc_stat(5). What guests of this machine take is in the first two.
fn core_lines(stat: &str) -> impl Iterator<Item = (usize, u64)> {
    let core = |line: &str| {
        let mut fields = line.strip_prefix("cpu")?.split(' ');
        let number = fields.next()?.parse().ok()?;
        let ticks: Vec<u64> = fields.take(3).map_while(|tick| tick.parse().ok()).collect();
        (ticks.len() == 3).then(|| (number, ticks.iter().sum()))
    };
    stat.lines().filter_map(core)
}

/// Whether this is an address of this machine, as far as its network namespace knows.
pub fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::monitor::process;

    /// So many ticks of two cores and a third: user, nice, system; all else is left out.
    fn text(ticks: [[u64; 3]; 3]) -> String {
        let mut text = "cpu  9 9 9 9 9 9 9 9 9 9\n".to_owned();
        for (core, [user, nice, system]) in ticks.iter().enumerate() {
            let line = format!("cpu{core} {user} {nice} {system} 700 80 90 1000 2000 5 0\n");
            text.push_str(&line);
        }
        text + "intr 5\n"
    }

    fn seconds(seconds: f64) -> u64 {
        (seconds * clock_ticks_per_second() as f64).round() as u64
    }

    #[test]
    fn others_took_what_the_cores_were_busy_with_less_the_runs_own() {
        let mut others = Others { cores: [0, 1].into(), before: None };
        let first = text([[seconds(50.0), 0, 7], [3, 4, 5], [0, 0, 0]]);
        assert_eq!(others.since(&first, Duration::from_secs(20)), None, "there is nothing before");
        // Two cores were busy for 1.0 and 0.9 s; the third is not ours to use.
        let second = text([
            [seconds(50.5), seconds(0.25), 7 + seconds(0.25)],
            [3 + seconds(0.9), 4, 5],
            [0, 0, seconds(1.0)],
        ]);
        let own = Duration::from_millis(20_300);
        let took = others.since(&second, own).unwrap();
        assert!((took - 1.6).abs() < 1e-6, "{took}");
        // A second that was cut between two ticks is made good by the next.
        let took = others.since(&second, own + Duration::from_millis(10)).unwrap();
        assert!((took + 0.01).abs() < 1e-6, "{took}");
    }

    #[test]
    fn cores_are_known_by_their_numbers_and_halves_of_lines_are_left_out() {
        let text = "cpu  1 2 3\ncpu0 1 2 3 4\ncpu10 4 5 6 7 8\ncpu11 1 2\ncpux 1 2 3\nintr 1 2 3\n";
        assert_eq!(core_lines(text).collect::<Vec<_>>(), [(0, 6), (10, 15)]);
    }

    #[test]
    fn cores_are_those_that_this_process_may_use() {
        let others = Others::beside(&[std::process::id(), u32::MAX]).unwrap();
        assert!((1..=CpuSet::MAX_CPU).contains(&others.cores()));
    }

    #[test]
    fn an_address_is_of_this_machine_or_of_another() {
        for here in ["127.0.0.1", "127.1.2.3", "::1", "0.0.0.0"] {
            assert!(is_here(here.parse().unwrap()), "{here}");
        }
        // For documents: nobody has it.
        assert!(!is_here("192.0.2.1".parse().unwrap()));
    }

    /// Of a process that is none of the run's own; whatever else this machine does only adds to it.
    #[test]
    fn what_a_program_takes_is_seen_of_the_cores() {
        let work = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; echo done; read go";
        let mut others = Others::beside(&[]).unwrap();
        others.since_last(Duration::ZERO);
        let mut shell = Command::new("sh")
            .args(["-c", work])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let took = process(shell.id()).unwrap().0.as_secs_f64();
        let seen = others.since_last(Duration::ZERO).unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
        // By ticks of a few milliseconds: a half allows for a kernel that counts them coarsely.
        assert!(seen > took / 2.0, "{seen} of {took}");
    }
}
