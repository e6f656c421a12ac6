//! `lab list`: what can be run, and what has been.
//!
//! Neighbours: `scenario` knows those that come with the program; `folder` reads the runs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::folder::{Folder, FolderError, Percentiles, Summary, utc};
use super::words::{ms, number};
use crate::scenario::Scenario;

/// Runs that are told, newest first.
const RUNS_MAX: usize = 50;
/// Where nothing was measured.
const NONE: &str = "\u{2013}";

/// Says both.
pub fn list(runs: &Path, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "scenarios")?;
    for scenario in Scenario::built_in() {
        writeln!(to, "  {:18} {}", scenario.name, scenario.says)?;
    }
    let (mut found, broken) = (runs_in(runs), broken_in(runs));
    if found.is_empty() && broken.is_empty() {
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
            rate(summary),
            p99(&summary.latency.ack),
            path.display()
        )?;
    }
    if found.len() > RUNS_MAX {
        writeln!(to, "  and {} older ones", found.len() - RUNS_MAX)?;
    }
    for error in broken.iter().take(RUNS_MAX) {
        writeln!(to, "  broken  {error}")?;
    }
    Ok(())
}

/// Of no load there is no rate.
fn rate(of: &Summary) -> String {
    if of.load_seconds > 0.0 { number(of.rates.deliveries.round()) } else { NONE.to_owned() }
}

/// Of what nobody measured there is no time.
fn p99(it: &Percentiles) -> String {
    if it.count > 0 { ms(it.p99_ms) } else { NONE.to_owned() }
}

/// Folders that hold a run that can be read; the others are somebody else's, or broken.
pub fn runs_in(folder: &Path) -> Vec<(PathBuf, Folder)> {
    let read = |path: PathBuf| Folder::read(&path).ok().map(|run| (path, run));
    paths_in(folder).filter_map(read).collect()
}

/// Why folders of runs cannot be read, each with its path.
fn broken_in(folder: &Path) -> Vec<FolderError> {
    let is_run =
        |path: &PathBuf| ["manifest.json", "samples.jsonl"].iter().all(|it| path.join(it).exists());
    let mut paths: Vec<PathBuf> = paths_in(folder).filter(is_run).collect();
    paths.sort();
    paths.iter().filter_map(|path| Folder::read(path).err()).collect()
}

fn paths_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).ok().into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_read_is_listed_as_broken_and_nobody_elses_is() {
        let runs = tempfile::tempdir().unwrap();
        for (name, file, text) in [
            ("full", "manifest.json", "{\"schema\": 3}"),
            ("full", "samples.jsonl", ""),
            ("full", "summary.json", ""),
            ("whoever", "manifest.json", "{\"name\": 1"),
        ] {
            std::fs::create_dir_all(runs.path().join(name)).unwrap();
            std::fs::write(runs.path().join(name).join(file), text).unwrap();
        }
        let mut said = Vec::new();
        list(runs.path(), &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        let line = said.lines().find(|line| line.starts_with("  broken  ")).unwrap();
        assert!(line.contains("full") && line.contains("is empty"), "{said}");
        assert!(!said.contains("whoever"), "{said}");
    }
}
