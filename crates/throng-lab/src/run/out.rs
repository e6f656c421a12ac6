//! Where a run goes: the folder that was named, or one of its own.

use std::io;
use std::path::{Path, PathBuf};

use super::{LabError, RunArgs};
use crate::scenario::Scenario;

pub(super) fn folder(
    args: &RunArgs,
    scenario: &Scenario,
    started: u64,
) -> Result<PathBuf, LabError> {
    let Some(out) = args.out.clone() else { return default_folder(scenario, started) };
    if out.join("manifest.json").exists() {
        let text = format!("{} holds a run already; name another --out", out.display());
        return Err(LabError::Arguments(text));
    }
    match std::fs::create_dir_all(&out) {
        Ok(()) => Ok(out),
        Err(error) => Err(LabError::Folder(out, error)),
    }
}

/// Where a run goes that nobody gave a folder: one that nobody else has, who began in the same second.
pub(crate) fn default_folder(scenario: &Scenario, started: u64) -> Result<PathBuf, LabError> {
    unused_folder(Path::new("lab-runs"), &format!("{}-{started}", scenario.name))
}

fn unused_folder(all: &Path, name: &str) -> Result<PathBuf, LabError> {
    let failed = |error| LabError::Folder(all.join(name), error);
    std::fs::create_dir_all(all).map_err(failed)?;
    let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
    for out in names.map(|name| all.join(name)) {
        match std::fs::create_dir(&out) {
            Ok(()) => return Ok(out),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(LabError::Folder(out, error)),
        }
    }
    unreachable!("there is always a next number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_second_have_a_folder_each() {
        let all = tempfile::tempdir().unwrap();
        let made = [0; 3].map(|_| unused_folder(all.path(), "soak-17").unwrap());
        assert_eq!(made, ["soak-17", "soak-17-2", "soak-17-3"].map(|name| all.path().join(name)));
    }
}
