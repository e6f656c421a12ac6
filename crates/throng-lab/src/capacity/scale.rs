//! The seam to scenarios: what of one is varied, and the same scenario with so much of it.
//!
//! Neighbours: the command line asks before it searches. A scaled scenario is written into the step's
//! folder as a file and run from there, so that the step can be run again by hand.

use std::path::{Path, PathBuf};

use super::CapacityError;
use crate::run::LabError;
use crate::scenario::{Measure, Scenario};

/// What a scenario is measured by: its name, whether it is a whole number, and how much it has.
pub fn size(scenario: &Scenario) -> (&'static str, bool, f64) {
    match scenario.size() {
        (Measure::Users, now) => ("users", true, now),
        (Measure::SendsPerSecond, now) => ("sends a second", false, now),
    }
}

/// Writes the scenario with so much of it to `file`.
pub fn write(scenario: &Scenario, wanted: f64, file: &Path) -> Result<(), CapacityError> {
    let scaled = scenario.scaled_to(wanted).map_err(LabError::from)?;
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
    fn every_scenario_can_be_run_from_its_scaled_file_and_has_so_much() {
        let folder = tempfile::tempdir().unwrap();
        for scenario in Scenario::built_in() {
            let (unit, _, now) = size(&scenario);
            let wanted = (now * 1.2).round();
            let file = folder.path().join(format!("steps/{}.toml", scenario.name));
            write(&scenario, wanted, &file).unwrap();
            let read = Scenario::load(file.to_str().unwrap(), &[]).unwrap();
            assert_eq!(read, scenario.scaled_to(wanted).map(without_variants).unwrap());
            let is = size(&read).2;
            assert!((is / wanted - 1.0).abs() < 0.01, "{}: {is} {unit}", scenario.name);
        }
    }

    /// Sizes and arms are of the whole scenario, not of a step of it.
    fn without_variants(mut scenario: Scenario) -> Scenario {
        scenario.presets.clear();
        scenario.arms.clear();
        scenario.shorthands.clear();
        scenario
    }

    #[test]
    fn a_size_beyond_the_scenarios_bounds_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let canonical = Scenario::load("canonical", &[]).unwrap();
        let error = write(&canonical, 1e12, &folder.path().join("x.toml")).unwrap_err();
        assert!(error.to_string().contains("sends_per_second"), "{error}");
    }
}
