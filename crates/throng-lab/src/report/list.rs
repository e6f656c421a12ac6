//! `lab list`: what can be run, and what has been.
//!
//! Neighbours: `scenario` knows those that come with the program; `folder` reads the runs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::folder::{Folder, utc};
use super::words::{ms, number};
use crate::scenario::Scenario;

/// Runs that are told, newest first.
const RUNS_MAX: usize = 50;

/// Says both.
pub fn list(runs: &Path, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "scenarios")?;
    for scenario in Scenario::built_in() {
        writeln!(to, "  {:18} {}", scenario.name, scenario.says)?;
    }
    let mut found = runs_in(runs);
    if found.is_empty() {
        return writeln!(to, "\nno runs in {}", runs.display());
    }
    found.sort_by_key(|(_, run)| std::cmp::Reverse(run.manifest.started_unix_seconds));
    writeln!(to, "\nruns in {}", runs.display())?;
    for (path, run) in found.iter().take(RUNS_MAX) {
        let summary = &run.summary;
        writeln!(
            to,
            "  {} UTC  {:10} {:>8} deliveries/s  ack p99 {:>9}  {}",
            utc(run.manifest.started_unix_seconds),
            summary.ending.name(),
            number(summary.rates.deliveries.round()),
            ms(summary.latency.ack.p99_ms),
            path.display()
        )?;
    }
    if found.len() > RUNS_MAX {
        writeln!(to, "  and {} older ones", found.len() - RUNS_MAX)?;
    }
    Ok(())
}

/// Folders that hold a run that can be read; the others are somebody else's.
pub fn runs_in(folder: &Path) -> Vec<(PathBuf, Folder)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.filter_map(|path| Folder::read(&path).ok().map(|run| (path, run))).collect()
}
