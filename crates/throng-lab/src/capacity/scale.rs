//! The seam to scenarios: what of one is varied, and the same scenario with so much of it.
//!
//! Neighbours: the command line asks before it searches. A scaled scenario is written into the step's
//! folder as a file and run from there, so that the step can be run again by hand.

use std::path::{Path, PathBuf};

use super::CapacityError;
use crate::scenario::Scenario;

/// What a scenario is measured by: its name, whether it is a whole number, and how much it has.
pub fn size(scenario: &Scenario) -> (&'static str, bool, f64) {
    let sends = scenario.rooms.iter().map(|it| f64::from(it.count) * it.sends_per_second);
    ("sends a second", false, sends.sum())
}

/// Writes the scenario with so much of it to `file`.
pub fn write(scenario: &Scenario, wanted: f64, file: &Path) -> Result<(), CapacityError> {
    let (_, _, now) = size(scenario);
    let mut scaled = scenario.clone();
    for kind in &mut scaled.rooms {
        kind.sends_per_second *= wanted / now.max(f64::MIN_POSITIVE);
    }
    let text = toml::to_string(&scaled)
        .map_err(|error| CapacityError::Arguments(format!("the scenario at {wanted}: {error}")))?;
    let failed = |error| CapacityError::Unwritable(PathBuf::from(file), error);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(file, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_scenario_can_be_run_from_its_file_and_has_so_much() {
        let canonical = Scenario::load("canonical", &[]).unwrap();
        let (unit, whole, now) = size(&canonical);
        assert!(unit == "sends a second" && !whole && (now - 120.0).abs() < 1e-9);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("steps/300.toml");
        write(&canonical, 300.0, &file).unwrap();
        let read = Scenario::load(file.to_str().unwrap(), &[]).unwrap();
        assert!((size(&read).2 - 300.0).abs() < 1e-6);
        assert_eq!(read.users, canonical.users);
    }
}
