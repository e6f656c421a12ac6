//! What a report says of other programs: of a machine that was busy with something else, a latency is that of
//! both.
//!
//! Neighbours: `verdict` and `tables` put it in its places, `compare` and `capacity` say it of many runs. It was
//! judged when the run ended; folders of before have nothing of it, and then nothing is said.

use super::folder::{Folder, Second};
use super::verdict::{Check, Of};
use super::words::percent;
use crate::summary::OtherPrograms;

/// What was found, where they took more than they may.
fn disturbed(run: &Folder) -> Option<&OtherPrograms> {
    run.summary.other_programs.as_ref().filter(|it| it.disturbed.is_some())
}

/// Behind the verdict, where it cannot be overlooked.
pub fn meanwhile(run: &Folder) -> String {
    disturbed(run).map_or(String::new(), |it| format!(" Not alone: {}.", took(it)))
}

fn took(it: &OtherPrograms) -> String {
    let mean = it.mean_cores.unwrap_or_default();
    let named = match it.named() {
        named if named.is_empty() => named,
        named => format!(" ({named})"),
    };
    format!("other programs took {mean:.2} of {} cores meanwhile{named}", it.cores)
}

/// Whether they are all that makes it invalid.
pub fn spoilt(run: &Folder) -> bool {
    let said = disturbed(run).and_then(|it| it.disturbed.as_ref());
    said.is_some_and(|it| run.summary.reasons.as_slice() == std::slice::from_ref(it))
}

/// Among the causes.
pub fn cause(run: &Folder) -> Option<String> {
    let it = disturbed(run)?;
    Some(format!(
        "This machine was not the run's own: {}. Latencies, rates and CPU are theirs too.",
        it.words()
    ))
}

/// What stands of them in the table of the machine.
pub fn row(run: &Folder) -> Option<(&'static str, String)> {
    run.summary.other_programs.as_ref().map(|it| ("other programs meanwhile", it.words()))
}

/// The share of the cores that was used, with theirs, where that is known.
pub fn share(run: &Folder) -> Option<(&'static str, f64)> {
    let others = run.summary.other_programs.as_ref()?;
    let cost = run.summary.cost?;
    let used = others.mean_cores? + cost.cpu_share + run.summary.generator.cpu_share;
    let what = "the machine's cores, server, generator and other programs together";
    // A tick too much is not more than all.
    Some((what, (used / others.cores.max(1) as f64).min(1.0)))
}

/// Of one second, behind what the hypervisor gave away.
pub fn in_second(second: &Second) -> String {
    let Some(cpu) = second.counted.others else { return String::new() };
    format!(", other programs of this machine {}", percent(cpu / second.seconds.max(1e-9)))
}

/// A limit of the lab's; of a run whose scenario has no bound, it is known to be broken or kept only where they
/// took little.
pub fn check(run: &Folder) -> Option<Check> {
    let it = run.summary.other_programs.as_ref()?;
    let bounded = run.scenario_number("self_check.others_cores").is_some();
    let nothing = "nothing bounds it (self_check.others_cores)";
    let (failed, unknown) = match (&it.disturbed, &it.unmeasured) {
        (Some(why), _) if bounded => (Some(why.clone()), None),
        (Some(_), _) => (None, Some(format!("{}, and {nothing}", took(it)))),
        (None, Some(why)) => (None, Some(why.clone())),
        (None, None) => (None, None),
    };
    let name = "other programs leave the machine to the run".to_owned();
    Some(Check { name, of: Of::Lab, failed, unknown })
}

/// Of many runs: that some were not alone, and how much others took at most.
pub fn of_many<'a>(
    what: &str,
    all: impl Iterator<Item = Option<&'a OtherPrograms>>,
) -> Option<String> {
    let all: Vec<_> = all.collect();
    let disturbed = || all.iter().copied().flatten().filter(|it| it.disturbed.is_some());
    let mean = |it: &OtherPrograms| it.mean_cores.unwrap_or_default();
    let worst = disturbed().max_by(|a, b| mean(a).total_cmp(&mean(b)))?;
    Some(format!(
        "NOT ALONE: beside {} of {} {what} other programs took more than a little; most of it where {}.",
        disturbed().count(),
        all.len(),
        took(worst)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::programs::Program;
    use crate::report::chart::Kind;
    use crate::report::charts;
    use crate::report::folder::{Cost, Ending, Manifest, Summary};
    use crate::report::tables;
    use crate::report::verdict::{causes, checks, sentence};

    fn took_cores(mean: f64, disturbed: Option<&str>) -> OtherPrograms {
        OtherPrograms {
            cores: 2,
            mean_cores: Some(mean),
            worst_second_cores: Some(1.9),
            programs: vec![Program { name: "perf".into(), cores: 1.58 }],
            disturbed: disturbed.map(str::to_owned),
            ..OtherPrograms::default()
        }
    }

    fn run(others: Option<OtherPrograms>, bound: Option<f64>) -> Folder {
        let mut manifest = Manifest::default();
        (manifest.machine.cores, manifest.machine.memory_bytes) = (2, 1 << 30);
        manifest.scenario = serde_json::json!({ "self_check": { "others_cores": bound } });
        let mut second = Second { seconds: 1.0, server_cpu: 0.12, ..Second::default() };
        second.counted.others = others.as_ref().and_then(|it| it.mean_cores);
        let cost = Some(Cost { cpu_share: 0.12, ..Cost::default() });
        let mut summary = Summary { ending: Ending::Pass, cost, ..Summary::default() };
        summary.generator.cpu_share = 0.01;
        summary.other_programs = others;
        Folder {
            manifest,
            seconds: vec![second; 9],
            lines: Vec::new(),
            clients: Vec::new(),
            profile: None,
            summary,
        }
    }

    #[test]
    fn a_machine_that_was_busy_with_something_else_is_in_the_verdict_the_causes_and_the_chart() {
        let run = run(Some(took_cores(1.59, Some("they took much"))), None);
        let said = sentence(&run);
        let end = " Not alone: other programs took 1.59 of 2 cores meanwhile (perf 1.58).";
        assert!(said.starts_with("Pass") && said.ends_with(end), "{said}");
        let causes = causes(&run);
        let cause = "This machine was not the run's own: other programs took 1.59 of 2 cores (worst second 1.90): \
                     perf 1.58. Latencies";
        assert!(causes[0].starts_with(cause), "{causes:?}");
        let limit = "It ran out of the machine's cores, server, generator and other programs together, 86 %";
        assert!(causes[1].starts_with(limit), "{causes:?}");
        let check = check(&run).unwrap();
        assert!(check.failed.is_none() && check.unknown.is_some(), "{check:?}");
        assert!(checks(&run).contains(&check));
        let machine = tables::of(&run).pop().unwrap();
        let row = machine.rows.iter().find(|it| it[0] == "other programs meanwhile").unwrap();
        assert!(row[1].contains("1.59 of 2 cores"), "{row:?}");
        let cpu = charts::of(&run).into_iter().find(|it| it.id == "cpu").unwrap();
        let Kind::Lines { series, .. } = cpu.kind else { panic!() };
        let line = series.iter().find(|it| it.name == "other programs").unwrap();
        assert_eq!(line.values[0].map(f64::round), Some(159.0));
    }

    #[test]
    fn a_quiet_machine_is_in_the_table_and_one_of_before_nowhere() {
        let quiet = run(Some(took_cores(0.02, None)), None);
        assert_eq!((meanwhile(&quiet), cause(&quiet)), (String::new(), None));
        assert!(row(&quiet).unwrap().1.starts_with("other programs took 0.02 of 2 cores"));
        let check = check(&quiet).unwrap();
        assert_eq!((check.failed, check.unknown), (None, None));
        let before = run(None, None);
        assert!(super::check(&before).is_none() && row(&before).is_none());
        assert!(!sentence(&before).contains("other programs"), "{}", sentence(&before));
        assert!(
            causes(&before)[0].starts_with("Nearest to its limit: the machine's cores, server and")
        );
    }

    #[test]
    fn a_bound_that_is_broken_is_a_failed_limit_of_the_lab() {
        let mut run = run(Some(took_cores(1.59, Some("0.795, above 0.5"))), Some(0.5));
        let broken = check(&run).unwrap();
        assert_eq!((broken.of, broken.failed.as_deref()), (Of::Lab, Some("0.795, above 0.5")));
        (run.summary.ending, run.summary.load_seconds) = (Ending::Invalid, 10.0);
        run.summary.reasons = vec!["0.795, above 0.5".into()];
        assert!(sentence(&run).starts_with("Invalid: other programs took the machine"));
        run.summary.reasons.push("the p99 lag in ms was 80.000, above 50".into());
        assert!(sentence(&run).starts_with("Invalid: the generator fell behind its plan"));
        assert!(sentence(&run).ends_with("meanwhile (perf 1.58)."), "{}", sentence(&run));
    }

    #[test]
    fn of_many_runs_the_one_that_had_most_beside_it_is_told() {
        let all = [took_cores(0.4, Some("a")), took_cores(1.2, Some("b")), took_cores(0.1, None)];
        let said = of_many("runs", all.iter().map(Some).chain([None])).unwrap();
        let wanted = "NOT ALONE: beside 2 of 4 runs other programs took more than a little; most of it where \
                      other programs took 1.20 of 2 cores meanwhile (perf 1.58).";
        assert_eq!(said, wanted);
        assert_eq!(of_many("runs", all[2..].iter().map(Some)), None);
    }
}
