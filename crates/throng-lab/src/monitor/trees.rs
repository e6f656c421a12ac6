//! Process trees that a run watches because it was asked to: `--monitor NAME=PID`, for the rival that is
//! measured, its database, or what else this machine is doing.
//!
//! Neighbours: `run` finds them before the load begins, the witness looks once a second and writes
//! `cpu_of_NAME` and `memory_of_NAME`. Reads `/proc` only. It never ends them, and one that ends does not
//! end the run: its columns stay empty from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::str::FromStr;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};
use serde::{Deserialize, Serialize};

/// Trees that one run may watch.
pub const TREES_MAX: usize = 8;
/// Letters of a name.
const NAME_LEN_MAX: usize = 32;

/// A process, and what it is called in the charts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeAt {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// The process from which all others of the tree descend.
    pub pid: u32,
}

impl FromStr for TreeAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        let parts = text.split_once('=').and_then(|(name, pid)| {
            let named = (1..=NAME_LEN_MAX).contains(&name.len()) && name.chars().all(fits);
            let pid = pid.parse().ok().filter(|pid| *pid > 0)?;
            named.then(|| Self { name: name.to_owned(), pid })
        });
        parts.ok_or_else(|| {
            format!("it is NAME=PID, the name of 1 to {NAME_LEN_MAX} letters, digits, - and _")
        })
    }
}

/// One process as `/proc` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) parent: u32,
    /// In ticks since the machine started: with the number, which process it is.
    pub(super) born: u64,
    pub(super) cpu: Duration,
    pub(super) resident: u64,
}

/// All processes of a moment, by their numbers.
pub(super) type Processes = BTreeMap<u32, Process>;

/// A tree that is watched.
#[derive(Clone, Debug)]
pub struct Tree {
    at: TreeAt,
    root: Process,
    before: Processes,
}

/// A tree since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// CPU that its processes took, user and system; what one took between the last look and its end is not seen.
    pub cpu: Duration,
    /// Resident bytes of all of them together; what they share is counted for each.
    pub resident: u64,
}

/// Finds all of them, or says in words which is not there.
pub fn find(asked: &[TreeAt]) -> Result<Vec<Tree>, String> {
    if asked.len() > TREES_MAX {
        return Err(format!("--monitor watches {TREES_MAX} process trees at most"));
    }
    let names: BTreeSet<&str> = asked.iter().map(|it| it.name.as_str()).collect();
    if names.len() < asked.len() {
        return Err("--monitor needs a name of its own for each process tree".into());
    }
    let all = processes();
    let find = |at: &TreeAt| {
        let TreeAt { name, pid } = at;
        let root = *all.get(pid).ok_or_else(|| {
            format!("--monitor {name}={pid}: there is no process {pid} that can be seen from here")
        })?;
        Ok(Tree { at: at.clone(), root, before: descendants(*pid, &all) })
    };
    asked.iter().map(find).collect()
}

/// Looks at each; nothing of one that has ended. And what all of them took together, where a process that is in
/// several of them is one, and the run's own (this process, and those with all that descend from them) are none.
pub fn look(trees: &mut [Tree], own: &[u32]) -> (Vec<Option<Looked>>, Duration) {
    let all = if trees.is_empty() { Processes::new() } else { processes() };
    look_at(trees, own, &all)
}

fn look_at(trees: &mut [Tree], own: &[u32], all: &Processes) -> (Vec<Option<Looked>>, Duration) {
    let mut took = BTreeMap::new();
    let looked = trees.iter_mut().map(|tree| tree.since_last(all, &mut took)).collect();
    let own = runs_own(own, all);
    (looked, took.iter().filter(|(pid, _)| !own.contains(*pid)).map(|(_, took)| *took).sum())
}

/// This very process, and those with all that descend from them.
pub(super) fn runs_own(pids: &[u32], all: &Processes) -> BTreeSet<u32> {
    let of = |pid: &u32| descendants(*pid, all).into_keys();
    pids.iter().flat_map(of).chain([std::process::id()]).collect()
}

impl Tree {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.at.name
    }

    /// The process from which all others of it descend.
    pub fn pid(&self) -> u32 {
        self.at.pid
    }

    /// Puts what each of its processes took into `took`, by their numbers.
    fn since_last(
        &mut self,
        all: &Processes,
        took: &mut BTreeMap<u32, Duration>,
    ) -> Option<Looked> {
        let there = all.get(&self.at.pid).is_some_and(|root| root.born == self.root.born);
        if !there {
            return None;
        }
        let now = descendants(self.at.pid, all);
        let cpu = now.iter().map(|(pid, process)| {
            let before = self.before.get(pid).filter(|before| before.born == process.born);
            // One that was not there has been born since.
            let before = before.map_or(Duration::ZERO, |before| before.cpu);
            let cpu = process.cpu.saturating_sub(before);
            took.insert(*pid, cpu);
            cpu
        });
        let looked =
            Looked { cpu: cpu.sum(), resident: now.values().map(|process| process.resident).sum() };
        self.before = now;
        Some(looked)
    }
}

/// A process and all that descend from it.
fn descendants(root: u32, all: &Processes) -> Processes {
    let mut tree = Processes::new();
    let mut found = vec![root];
    while let Some(pid) = found.pop() {
        let Some(process) = all.get(&pid) else { continue };
        if tree.insert(pid, *process).is_none() {
            found.extend(all.iter().filter(|(_, it)| it.parent == pid).map(|(pid, _)| *pid));
        }
    }
    tree
}

fn processes() -> Processes {
    let Ok(entries) = read_dir("/proc") else { return Processes::new() };
    let process = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, of_stat(&read_to_string(entry.path().join("stat")).ok()?)?))
    };
    entries.flatten().filter_map(process).collect()
}

/// Fields 4, 14, 15, 22 and 24 of proc_pid_stat(5).
pub(super) fn of_stat(stat: &str) -> Option<Process> {
    // The name, in brackets, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some(Process {
        parent: u32::try_from(number(4)?).ok()?,
        born: number(22)?,
        cpu: Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64),
        resident: number(24)? * page_size() as u64,
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn at(name: &str, pid: u32) -> TreeAt {
        TreeAt { name: name.into(), pid }
    }

    #[test]
    fn a_name_and_a_number_are_read_and_all_else_is_refused_with_what_is_allowed() {
        assert_eq!("db-1=42".parse(), Ok(at("db-1", 42)));
        let longest = "n".repeat(NAME_LEN_MAX);
        assert_eq!(format!("{longest}=1").parse(), Ok(at(&longest, 1)));
        let longer = format!("{longest}n=1");
        for bad in ["db", "=42", "db=", "db=x", "db=0", "db=-1", "a,b=1", "a b=1", &longer] {
            assert!(bad.parse::<TreeAt>().unwrap_err().contains("NAME=PID"), "{bad}");
        }
    }

    #[test]
    fn there_are_so_many_with_a_name_each_and_each_is_there() {
        let own = std::process::id();
        let many = |count: usize| -> Vec<TreeAt> {
            (0..count).map(|number| at(&format!("it-{number}"), own)).collect()
        };
        assert_eq!(find(&many(TREES_MAX - 1)).unwrap().len(), TREES_MAX - 1);
        assert_eq!(find(&many(TREES_MAX)).unwrap().len(), TREES_MAX);
        assert!(find(&many(TREES_MAX + 1)).unwrap_err().contains("8 process trees at most"));
        assert!(find(&[at("a", own), at("a", own)]).unwrap_err().contains("name of its own"));
        let gone = find(&[at("gone", u32::MAX)]).unwrap_err();
        assert!(gone.starts_with("--monitor gone=4294967295: there is no process"), "{gone}");
        assert_eq!(look(&mut [], &[]), (Vec::new(), Duration::ZERO));
    }

    #[test]
    fn a_tree_is_a_process_with_its_children_until_it_ends() {
        let mut shell =
            Command::new("sh").args(["-c", "cat; true"]).stdin(Stdio::piped()).spawn().unwrap();
        let alone = processes()[&shell.id()].resident;
        let mut trees = find(&[at("shell", shell.id())]).unwrap();
        // Its child comes when it has begun.
        let mut tries = 0;
        while trees[0].before.len() < 2 {
            assert!(look(&mut trees, &[]).0[0].is_some());
            tries += 1;
            assert!(tries < 100_000, "no child came");
        }
        assert!(look(&mut trees, &[]).0[0].unwrap().resident > alone);
        let other =
            at("other", trees[0].before.keys().copied().find(|it| *it != shell.id()).unwrap());
        assert_eq!(find(&[other]).unwrap()[0].before.len(), 1, "a child by itself is a tree too");
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert_eq!(look(&mut trees, &[]).0, [None]);
    }

    #[test]
    fn cpu_is_what_was_taken_since_the_last_look_also_by_those_born_since() {
        let process = |parent: u32, born: u64, ticks: u64| Process {
            parent,
            born,
            cpu: Duration::from_millis(ticks * 10),
            resident: 100,
        };
        let ms = |(pid, ms): (u32, u64)| (pid, Duration::from_millis(ms));
        let first = Processes::from([
            (7, process(1, 5, 100)),
            (8, process(7, 6, 50)),
            (9, process(1, 6, 9)),
        ]);
        let root = first[&7];
        let mut tree = Tree { at: at("it", 7), root, before: descendants(7, &first) };
        // 8 has ended and its number is another's now; 10 is a grandchild.
        let second = Processes::from([
            (7, process(1, 5, 103)),
            (8, process(7, 9, 4)),
            (9, process(1, 6, 99)),
            (10, process(8, 9, 2)),
        ]);
        let mut took = BTreeMap::new();
        let looked = tree.since_last(&second, &mut took).unwrap();
        assert_eq!((looked.cpu, looked.resident), (Duration::from_millis(90), 300));
        assert_eq!(took, [(7, 30), (8, 40), (10, 20)].map(ms).into());
        assert_eq!(tree.since_last(&second, &mut took).unwrap().cpu, Duration::ZERO);
        let another = Processes::from([(7, process(1, 99, 0))]);
        assert_eq!(tree.since_last(&another, &mut took), None, "its number is another's now");
    }

    /// As where a shell is watched that has started the run and a database.
    #[test]
    fn what_trees_took_together_has_each_process_once_and_none_of_the_runs_own() {
        let process = |parent: u32, ms: u64| Process {
            parent,
            born: 5,
            cpu: Duration::from_millis(ms),
            resident: 0,
        };
        let own = std::process::id();
        let [shell, server, hasher, database] = [1, 2, 3, 4].map(|it| (1 << 22) + it);
        let machine = |took: [u64; 5]| {
            let parents = [(shell, 1), (own, shell), (server, own), (hasher, server)];
            let parents = parents.into_iter().chain([(database, shell)]);
            let one = |((pid, parent), ms): ((u32, u32), u64)| (pid, process(parent, ms));
            parents.zip(took).map(one).collect::<Processes>()
        };
        let first = machine([0; 5]);
        let tree = |pid: u32| Tree {
            at: at("it", pid),
            root: first[&pid],
            before: descendants(pid, &first),
        };
        let mut trees = [tree(shell), tree(database)];
        let (looked, together) = look_at(&mut trees, &[server], &machine([1, 20, 300, 4_000, 50]));
        let cpu: Vec<u128> = looked.iter().flatten().map(|it| it.cpu.as_millis()).collect();
        assert_eq!((cpu, together.as_millis()), (vec![4_371, 50], 51));
    }

    #[test]
    fn a_process_line_is_read_whatever_its_name_holds() {
        let line = "42 (a ) b) S 1 42 42 0 -1 0 0 0 0 0 150 50 0 0 20 0 9 0 100 5000 300 0 0";
        let read = of_stat(line).unwrap();
        assert_eq!((read.parent, read.born), (1, 100));
        assert_eq!(read.cpu, Duration::from_secs_f64(200.0 / clock_ticks_per_second() as f64));
        assert_eq!(read.resident, 300 * page_size() as u64);
    }
}
