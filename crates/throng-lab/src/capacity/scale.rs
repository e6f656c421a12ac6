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

/// Writes the scenario with so much of it to `file`. Each step, from 1 on, has a seed of its own, the scenario's
/// plus its number: what is confirmed thrice is the size, and not one plan of it.
pub fn write(
    scenario: &Scenario,
    wanted: f64,
    step: usize,
    file: &Path,
) -> Result<(), CapacityError> {
    let mut scaled = scenario.scaled_to(wanted).map_err(LabError::from)?;
    scaled.seed = scaled.seed.saturating_add(step as u64).min(i64::MAX as u64);
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
    use crate::plan::Plan;

    #[test]
    fn every_scenario_can_be_run_from_its_scaled_file_and_has_so_much() {
        let folder = tempfile::tempdir().unwrap();
        for scenario in Scenario::built_in() {
            let (unit, _, now) = size(&scenario);
            let wanted = (now * 1.2).round();
            let file = folder.path().join(format!("steps/{}.toml", scenario.name));
            write(&scenario, wanted, 3, &file).unwrap();
            let read = Scenario::load(file.to_str().unwrap(), &[]).unwrap();
            let mut of_step = scenario.scaled_to(wanted).map(without_variants).unwrap();
            of_step.seed = scenario.seed + 3;
            assert_eq!(read, of_step);
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

    /// Confirmations of one size are of as many plans.
    #[test]
    fn two_steps_of_one_size_do_other_deeds() {
        let folder = tempfile::tempdir().unwrap();
        let canonical = Scenario::load("canonical", &["seconds=5".into()]).unwrap();
        let plan = |step: usize| {
            let file = folder.path().join(format!("step-{step}.toml"));
            write(&canonical, 200.0, step, &file).unwrap();
            let scenario = Scenario::load(file.to_str().unwrap(), &[]).unwrap();
            let plan: Vec<_> = Plan::new(&scenario).map(|it| it.at).collect();
            plan
        };
        assert!(!plan(1).is_empty() && plan(1) == plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn a_size_beyond_the_scenarios_bounds_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let canonical = Scenario::load("canonical", &[]).unwrap();
        let error = write(&canonical, 1e12, 1, &folder.path().join("x.toml")).unwrap_err();
        assert!(error.to_string().contains("sends_per_second"), "{error}");
    }
}
