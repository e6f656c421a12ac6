//! Which other programs took the machine's time, by the names that the kernel has of them.
//!
//! Neighbours: the witness looks while others take more than a little, for a look goes through all processes;
//! `others` knows how much they took together, also those that came and went between two looks, `trees` reads a
//! process. A name is what a program calls itself: it is told and never trusted.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trees::{self, Process};

/// Programs that are counted.
const PROGRAMS_MAX: usize = 1_000;
/// Programs that are told.
const TOLD_MAX: usize = 5;
/// Less than this of a core, on average, is not worth a name.
const CORES_MIN: f64 = 0.01;

/// A program and what it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// As the kernel has it: 15 letters at most.
    pub name: String,
    /// Cores' worth, on average over the load.
    pub cores: f64,
}

/// Those of a machine, but for the run's own.
#[derive(Debug, Default)]
pub struct Programs {
    /// With all that descend from them.
    not: Vec<u32>,
    before: BTreeMap<u32, Process>,
    took: BTreeMap<String, Duration>,
}

impl Programs {
    /// All but this very process, and those with all that descend from them. What this process has started
    /// besides is another program, as a sampler is.
    pub fn beside(not: Vec<u32>) -> Self {
        Self { not, ..Self::default() }
    }

    /// Begins from here.
    pub fn begin(&mut self) {
        self.before = processes().into_iter().map(|(pid, (_, process))| (pid, process)).collect();
        self.took.clear();
    }

    /// Adds what each took since the last look.
    pub fn look(&mut self) {
        self.add(&processes());
    }

    fn add(&mut self, now: &BTreeMap<u32, (String, Process)>) {
        let all = now.iter().map(|(pid, (_, process))| (*pid, *process)).collect();
        let own = trees::runs_own(&self.not, &all);
        for (pid, (name, process)) in now.iter().filter(|(pid, _)| !own.contains(*pid)) {
            let before = self.before.get(pid).filter(|before| before.born == process.born);
            // One that was not there has been born since.
            let before = before.map_or(Duration::ZERO, |before| before.cpu);
            let took = process.cpu.saturating_sub(before);
            if took.is_zero() {
                continue;
            }
            if let Some(sum) = self.took.get_mut(name) {
                *sum += took;
            } else if self.took.len() < PROGRAMS_MAX {
                self.took.insert(name.clone(), took);
            }
        }
        self.before = all;
    }

    /// Those that took most, of a load that lasted so long.
    pub fn most(&self, seconds: f64) -> Vec<Program> {
        let cores = |took: &Duration| took.as_secs_f64() / seconds.max(1e-9);
        let all = self.took.iter().map(|(name, took)| (name, cores(took)));
        let mut most: Vec<Program> = all
            .filter(|(_, cores)| *cores >= CORES_MIN)
            .map(|(name, cores)| Program { name: name.clone(), cores })
            .collect();
        most.sort_by(|a, b| b.cores.total_cmp(&a.cores));
        most.truncate(TOLD_MAX);
        most
    }
}

fn processes() -> BTreeMap<u32, (String, Process)> {
    let Ok(entries) = read_dir("/proc") else { return BTreeMap::new() };
    let process = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = read_to_string(entry.path().join("stat")).ok()?;
        Some((pid, (name_of(&stat)?, trees::of_stat(&stat)?)))
    };
    entries.flatten().filter_map(process).collect()
}

/// Field 2 of proc_pid_stat(5), fit to be shown. The kernel's own threads have names that change with their work:
/// what stands behind a slash is left out.
fn name_of(stat: &str) -> Option<String> {
    let (before, _) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let name = name.split('/').next().unwrap_or_default();
    let shown = |letter: char| if letter.is_control() { '?' } else { letter };
    Some(name.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Machine = BTreeMap<u32, (String, Process)>;
    /// No process has a number beyond this: none of these is the test itself.
    const BEYOND: u32 = 1 << 22;

    fn machine(processes: &[(u32, u32, &str, u64)]) -> Machine {
        let one = |(pid, parent, name, ms): &(u32, u32, &str, u64)| {
            let cpu = Duration::from_millis(*ms);
            (*pid, ((*name).to_owned(), Process { parent: *parent, born: 5, cpu, resident: 0 }))
        };
        processes.iter().map(one).collect()
    }

    #[test]
    fn programs_are_told_by_what_they_took_together_and_the_runs_own_are_not() {
        let own = std::process::id();
        let [init, server, hasher, perf, one, two, sleep] =
            [1, 2, 3, 4, 5, 6, 7].map(|it| BEYOND + it);
        let mut programs = Programs::beside(vec![server]);
        programs.add(&machine(&[
            (init, 0, "init", 900),
            (own, init, "throng", 50),
            (one, init, "rustc", 0),
        ]));
        programs.took.clear();
        // The server and its child, the run, its sampler, two compilers of which one is new, one that rests.
        programs.add(&machine(&[
            (init, 0, "init", 905),
            (own, init, "throng", 5_050),
            (server, own, "throng", 900),
            (hasher, server, "hasher", 800),
            (perf, own, "perf", 7_950),
            (one, init, "rustc", 1_000),
            (two, init, "rustc", 500),
            (sleep, init, "sleep", 0),
        ]));
        let told = |programs: &Programs| -> Vec<(String, i64)> {
            let most = programs.most(5.0).into_iter();
            most.map(|it| (it.name, (it.cores * 1e3).round() as i64)).collect()
        };
        let both = [("perf".to_owned(), 1_590), ("rustc".to_owned(), 300)];
        assert_eq!(told(&programs), both, "init took a thousandth of a core");
        // Its number is another's now, which took as much as it has.
        let mut later = machine(&[(perf, own, "less", 2_500)]);
        later.get_mut(&perf).unwrap().1.born = 6;
        programs.add(&later);
        assert_eq!(told(&programs)[1], ("less".to_owned(), 500));
    }

    #[test]
    fn names_are_fit_to_be_shown() {
        let name = |name: &str| name_of(&format!("42 ({name}) S 1 42")).unwrap();
        assert_eq!(name("a ) b("), "a ) b(");
        assert_eq!(name("kworker/1:3-events"), "kworker");
        assert_eq!(name("\u{1b}[2Jgone"), "?[2Jgone");
        assert_eq!(name_of("42"), None);
    }

    #[test]
    fn few_are_told_of_many_and_no_more_are_counted_than_may_be() {
        let names: Vec<String> = (0..PROGRAMS_MAX + 9).map(|number| format!("p{number}")).collect();
        let all: Vec<_> =
            names.iter().zip(BEYOND..).map(|(name, pid)| (pid, 1, name.as_str(), 1_000)).collect();
        let mut programs = Programs::default();
        programs.add(&machine(&all));
        assert_eq!((programs.took.len(), programs.most(1.0).len()), (PROGRAMS_MAX, TOLD_MAX));
    }

    #[test]
    fn the_processes_of_this_machine_have_names() {
        let all = processes();
        assert!(all.get(&std::process::id()).is_some_and(|(name, _)| !name.is_empty()));
    }
}
