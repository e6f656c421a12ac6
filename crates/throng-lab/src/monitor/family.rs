//! A process and all that descend from it, as one: a server that a script starts, or that works in several
//! processes, costs what they cost together.
//!
//! Neighbours: `run` looks at the server's once a second, `holds` and the witness ask who belongs to it. Reads
//! `/proc` and the processes' own clocks; a process without children costs a look at each of its threads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::Path;
use std::time::Duration;

use super::process;

/// Processes that are looked at.
const PROCESSES_MAX: usize = 1_000;

/// What they took.
#[derive(Clone, Debug)]
pub struct Family {
    first: u32,
    /// Of those that were there at the last look.
    living: BTreeMap<u32, Duration>,
    /// Of those that have ended since, as far as it was seen.
    ended: Duration,
}

impl Family {
    /// Of this process.
    pub fn of(first: u32) -> Self {
        Self { first, living: BTreeMap::new(), ended: Duration::ZERO }
    }

    /// CPU so far (user and system), never less than before, and resident bytes, where what they share is counted
    /// for each. What one took between the last look and its end is not seen. None once the first has ended.
    pub fn look(&mut self) -> Option<(Duration, u64)> {
        let found = members(self.first).into_iter().filter_map(|pid| Some((pid, process(pid)?)));
        let now: BTreeMap<u32, (Duration, u64)> = found.collect();
        now.get(&self.first)?;
        for (pid, cpu) in &self.living {
            // A clock that is behind is another process of the same number.
            if now.get(pid).is_none_or(|(now, _)| now < cpu) {
                self.ended += *cpu;
            }
        }
        self.living = now.iter().map(|(pid, (cpu, _))| (*pid, *cpu)).collect();
        let cpu = self.ended + self.living.values().sum::<Duration>();
        Some((cpu, now.values().map(|(_, resident)| resident).sum()))
    }
}

/// A process and all that descend from it, at this moment.
pub fn members(first: u32) -> BTreeSet<u32> {
    let mut members = BTreeSet::new();
    let mut found = vec![first];
    while let Some(pid) = found.pop()
        && members.len() < PROCESSES_MAX
    {
        if members.insert(pid) {
            found.extend(children(pid));
        }
    }
    members
}

/// Of each of its threads (`proc_pid_task(5)`); none where the kernel does not tell.
fn children(pid: u32) -> Vec<u32> {
    let threads = read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    let of = |thread: std::fs::DirEntry| read_to_string(thread.path().join("children")).ok();
    let lines = threads.into_iter().flatten().flatten().filter_map(of);
    lines.flat_map(|line| pids(&line)).collect()
}

fn pids(line: &str) -> Vec<u32> {
    line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_child_takes_is_its_familys_also_when_it_has_ended() {
        if !Path::new("/proc/thread-self/children").exists() {
            eprintln!("SKIPPED: this kernel does not tell whose child a process is");
            return;
        }
        // The shell starts another one, which works, says so, and ends when it is told to.
        let child = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo worked; read go";
        let first = format!("echo up; read go; sh -c '{child}'; echo ended; read go");
        let mut shell = Command::new("sh")
            .args(["-c", &first])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = shell.stdin.take().unwrap();
        let mut from = BufReader::new(shell.stdout.take().unwrap());
        let mut hears = |word: &str| {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), word);
        };
        let mut family = Family::of(shell.id());
        hears("up");
        let (alone, _) = family.look().unwrap();
        assert_eq!(members(shell.id()).len(), 1);
        to.write_all(b"\n").unwrap();
        hears("worked");
        let both = members(shell.id());
        let child = *both.iter().find(|pid| **pid != shell.id()).unwrap();
        let took = process(child).unwrap().0;
        let (together, resident) = family.look().unwrap();
        assert!(
            took > Duration::ZERO && together >= alone + took,
            "{alone:?} {took:?} {together:?}"
        );
        assert!(resident > process(child).unwrap().1);
        to.write_all(b"\n").unwrap();
        hears("ended");
        assert!(family.look().unwrap().0 >= together, "what it took is not forgotten");
        drop(to);
        shell.wait().unwrap();
        assert_eq!(family.look(), None);
    }

    #[test]
    fn children_are_numbers_with_spaces_between() {
        assert_eq!(pids("12 345 \n"), [12, 345]);
        assert!(pids("").is_empty() && members(u32::MAX).len() == 1);
    }
}
