//! Whether the run had its machine for itself: what other programs took of the cores while load was offered.
//!
//! Neighbours: the witness has it second by second, `run` knows where nobody can tell, the report and `compare`
//! repeat it. A run beside which others took more than a little is measured all the same: who looks for a slow
//! login may have a browser open, and a test beside others is none the worse for it. So it is told where it cannot
//! be overlooked, and the run is invalid only where its scenario bounds what others may take
//! (`self_check.others_cores`).

use serde::{Deserialize, Serialize};

use super::{Ending, Summary};
use crate::monitor::programs::Program;
use crate::scenario::SelfCheck;
use crate::witness::{OthersSecond, OthersSeen};

/// Of all cores, on average over the load: from here on latencies are theirs too. A desktop that rests takes some
/// hundredths of one core; on two cores this is a third of one.
const MEAN_SHARE_MAX: f64 = 0.15;
/// Of all cores, in their busiest three seconds: one bad moment in a quiet minute is in its p99.
const BUSIEST_SHARE_MAX: f64 = 0.5;
/// Seconds in a row that are the busiest; a sample may end a little early.
const BUSIEST_SECONDS: f64 = 3.0 - 0.1;
/// Shorter pieces of a second are counted in ticks too few to say anything alone.
const PIECE_SECONDS: f64 = 0.5;

/// What other programs took: neither the server nor the lab nor its agents, and not what `--monitor` names. In
/// cores' worth of time, so 1.5 is one and a half cores all the time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherPrograms {
    /// Cores that were looked at: all that the run's own programs may use.
    pub cores: u64,
    /// On average over the load.
    pub mean_cores: Option<f64>,
    /// In their busiest three seconds in a row; of a load that was shorter there are none.
    pub busiest_3s_cores: Option<f64>,
    /// In their worst second.
    pub worst_second_cores: Option<f64>,
    /// What `--monitor` names took on average, where it names any.
    pub monitored_cores: Option<f64>,
    /// Those that took most, of those that were there for longer than a moment.
    pub programs: Vec<Program>,
    /// Machines of the run that are not this one: nothing is known of them.
    pub unseen: Vec<String>,
    /// Where they took more than they may: what that means, in words.
    pub disturbed: Option<String>,
    /// Why it is not known, if it is not.
    pub unmeasured: Option<String>,
}

impl OtherPrograms {
    /// Of what was seen on so many cores.
    pub fn of(cores: usize, monitors: bool, seen: &OthersSeen) -> Self {
        let seconds: f64 = seen.seconds.iter().map(|it| it.seconds).sum();
        if seconds <= 0.0 {
            return Self::unmeasured("no second of the load was seen");
        }
        let mean =
            |of: fn(&OthersSecond) -> f64| seen.seconds.iter().map(of).sum::<f64>() / seconds;
        let whole = seen.seconds.iter().filter(|it| it.seconds >= PIECE_SECONDS);
        let worst = whole.map(|it| it.cpu / it.seconds).reduce(f64::max);
        // A tick too few is nothing.
        let some = |cores: f64| cores.max(0.0);
        Self {
            cores: cores as u64,
            mean_cores: Some(some(mean(|it| it.cpu))),
            busiest_3s_cores: busiest(&seen.seconds).map(some),
            worst_second_cores: worst.map(some),
            monitored_cores: monitors.then(|| mean(|it| it.monitored)),
            programs: seen.programs.clone(),
            ..Self::default()
        }
    }

    /// Where nobody can tell, for this reason.
    pub fn unmeasured(why: &str) -> Self {
        Self { unmeasured: Some(why.to_owned()), ..Self::default() }
    }

    /// For a person, in a line.
    pub fn words(&self) -> String {
        let Some(mean) = self.mean_cores else {
            let why = self.unmeasured.as_deref().unwrap_or("nobody looked");
            return format!("what other programs took is not known: {why}");
        };
        let mut most = Vec::new();
        most.extend(self.busiest_3s_cores.map(|it| format!("busiest 3 s {it:.2}")));
        most.extend(self.worst_second_cores.map(|it| format!("worst second {it:.2}")));
        let most = if most.is_empty() { String::new() } else { format!(" ({})", most.join(", ")) };
        let monitored = self.monitored_cores;
        let monitored = monitored
            .map_or(String::new(), |it| format!("; what is monitored took {it:.2} besides"));
        let unseen = match self.unseen.as_slice() {
            [] => String::new(),
            unseen => format!("; not looked at: {}", unseen.join(", ")),
        };
        let named = match self.named() {
            named if named.is_empty() => named,
            named => format!(": {named}"),
        };
        format!(
            "other programs took {mean:.2} of {} cores{most}{named}{monitored}{unseen}",
            self.cores
        )
    }

    /// Those that took most, each with its cores.
    pub fn named(&self) -> String {
        let one = |it: &Program| format!("{} {:.2}", it.name, it.cores);
        self.programs.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Their share of all cores, on average.
    pub fn mean_share(&self) -> Option<f64> {
        Some(self.mean_cores? / self.cores.max(1) as f64)
    }

    /// Whether they took more than they may: more than the scenario's bound, or, where it has none, more than a
    /// little.
    fn judged(mut self, bounds: &SelfCheck) -> Self {
        let cores = self.cores.max(1) as f64;
        let Some(mean) = self.mean_cores else { return self };
        let named = self.named();
        let named = if named.is_empty() { named } else { format!(" ({named})") };
        let busiest = self.busiest_3s_cores.unwrap_or(mean);
        self.disturbed = match bounds.others_cores {
            Some(max) => (mean > max * cores).then(|| {
                let share = mean / cores;
                format!(
                    "the share of the {cores} cores that other programs took was {share:.3}, above {max}{named}"
                )
            }),
            None if mean > MEAN_SHARE_MAX * cores => Some(format!(
                "other programs took {mean:.2} of {cores} cores{named}: {NOT_ALONE}"
            )),
            None if busiest > BUSIEST_SHARE_MAX * cores => Some(format!(
                "other programs took {busiest:.2} of {cores} cores in their busiest 3 s, {mean:.2} on \
                 average{named}: {NOT_ALONE}"
            )),
            None => None,
        };
        self
    }
}

/// What it means.
const NOT_ALONE: &str = "latencies, rates and CPU are not those of this server alone";

/// The busiest three seconds in a row, whatever phases they belong to.
fn busiest(seconds: &[OthersSecond]) -> Option<f64> {
    let mut most: Option<f64> = None;
    let (mut lasts, mut cpu, mut first) = (0.0, 0.0, 0);
    for second in seconds {
        lasts += second.seconds;
        cpu += second.cpu;
        // The fewest that are long enough.
        while lasts - seconds[first].seconds >= BUSIEST_SECONDS {
            lasts -= seconds[first].seconds;
            cpu -= seconds[first].cpu;
            first += 1;
        }
        if lasts >= BUSIEST_SECONDS {
            most = Some(most.map_or(cpu / lasts, |most| most.max(cpu / lasts)));
        }
    }
    most
}

impl Summary {
    /// What other programs took, held against what they may. A broken promise, and a run that did not come to its
    /// end, weigh more.
    pub fn had_beside(&mut self, others: OtherPrograms, bounds: &SelfCheck) {
        let others = others.judged(bounds);
        let bounded = bounds.others_cores.is_some();
        if let Some(why) = others.disturbed.clone().filter(|_| bounded) {
            self.reasons.push(why);
            if matches!(self.ending, Ending::Pass | Ending::Missed | Ending::Unproved) {
                self.ending = Ending::Invalid;
            }
        }
        self.other_programs = Some(others);
    }

    /// That the machine was not the run's own, in words, where the reasons do not say so already.
    pub(super) fn not_alone(&self) -> Option<&str> {
        let disturbed = self.other_programs.as_ref()?.disturbed.as_deref()?;
        (!self.reasons.iter().any(|it| it == disturbed)).then_some(disturbed)
    }

    /// Whether other programs are all that makes it invalid.
    pub(super) fn spoilt_by_others(&self) -> bool {
        let disturbed = self.other_programs.as_ref().and_then(|it| it.disturbed.as_ref());
        disturbed.is_some_and(|it| self.reasons.as_slice() == std::slice::from_ref(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Outcome;
    use crate::scenario::Scenario;

    fn seen(cpu: &[f64]) -> OthersSeen {
        let second = |cpu: &f64| OthersSecond { seconds: 1.0, cpu: *cpu, monitored: 0.5 };
        let programs = vec![Program { name: "perf".into(), cores: 1.58 }];
        OthersSeen { seconds: cpu.iter().map(second).collect(), programs }
    }

    fn bounds(others_cores: Option<f64>) -> SelfCheck {
        SelfCheck { others_cores, ..SelfCheck::default() }
    }

    fn summary(cpu: &[f64], bound: Option<f64>, ending: Ending) -> Summary {
        let scenario = Scenario::load("canonical", &[]).unwrap();
        let mut summary = Summary::new(&scenario, Outcome::of_nothing(&scenario), None);
        (summary.ending, summary.load_seconds) = (ending, cpu.len() as f64);
        summary.reasons.clear();
        summary.had_beside(OtherPrograms::of(2, false, &seen(cpu)), &bounds(bound));
        summary
    }

    fn near(is: Option<f64>, wanted: f64) {
        assert!(is.is_some_and(|is| (is - wanted).abs() < 1e-9), "{is:?} is not {wanted}");
    }

    #[test]
    fn they_are_told_by_their_mean_their_busiest_three_seconds_and_their_worst() {
        let cpu = [0.0, 1.0, 1.8, 1.6, 1.9, 0.1, -0.01, 0.01];
        let mut seen = seen(&cpu);
        // A piece of a second in which one tick fell on both cores.
        seen.seconds.push(OthersSecond { seconds: 0.01, cpu: 0.02, monitored: 0.0 });
        let it = OtherPrograms::of(2, true, &seen);
        near(it.mean_cores, 6.42 / 8.01);
        near(it.busiest_3s_cores, 5.3 / 3.0);
        near(it.worst_second_cores, 1.9);
        near(it.monitored_cores, 4.0 / 8.01);
        assert_eq!(
            it.words(),
            "other programs took 0.80 of 2 cores (busiest 3 s 1.77, worst second 1.90): perf 1.58; what is \
             monitored took 0.50 besides"
        );
        let quiet =
            OtherPrograms::of(2, false, &OthersSeen { programs: Vec::new(), ..seen.clone() });
        assert_eq!(quiet.monitored_cores, None);
        seen.seconds.truncate(1);
        seen.seconds[0].cpu = -0.02;
        seen.programs.clear();
        let short = OtherPrograms::of(2, false, &seen);
        assert_eq!((short.mean_cores, short.busiest_3s_cores), (Some(0.0), None));
        assert_eq!(short.words(), "other programs took 0.00 of 2 cores (worst second 0.00)");
        let unseen = OtherPrograms { unseen: vec!["the server's machine".into()], ..short };
        assert!(unseen.words().ends_with("; not looked at: the server's machine"));
    }

    #[test]
    fn three_seconds_in_a_row_may_lie_across_phases_and_begin_a_little_early() {
        let second = |seconds, cpu| OthersSecond { seconds, cpu, monitored: 0.0 };
        let pieces = [(1.0, 0.0), (0.5, 0.5), (0.5, 0.5), (0.99, 0.99), (0.99, 0.99), (1.0, 0.0)];
        near(busiest(&pieces.map(|(seconds, cpu)| second(seconds, cpu))), 1.0);
        assert_eq!(busiest(&[second(1.0, 1.0), second(1.0, 1.0)]), None);
        // Nothing at all is below nothing by a tick, and is still the most that there was.
        near(busiest(&[second(1.0, -0.01); 3]), -0.01);
    }

    #[test]
    fn a_machine_that_is_busy_with_something_else_is_said_and_changes_no_ending() {
        let it = summary(&[1.59; 10], None, Ending::Pass);
        assert_eq!((it.ending, it.reasons.len()), (Ending::Pass, 0));
        let said = it.not_alone().unwrap();
        assert_eq!(
            said,
            "other programs took 1.59 of 2 cores (perf 1.58): latencies, rates and CPU are not those of this \
             server alone"
        );
        let words = it.words();
        let second = words.lines().nth(1).unwrap();
        assert_eq!(second, format!("  NOT ALONE: {said}"), "{words}");
        assert!(words.contains("\nbeside      other programs took 1.59 of 2 cores ("), "{words}");
    }

    #[test]
    fn a_little_is_nothing_and_a_bad_moment_is_told() {
        // A third of one core of two is the bound; three seconds of more than one core are a bad moment.
        let quiet = summary(&[0.29; 20], None, Ending::Pass);
        assert_eq!(quiet.not_alone(), None);
        assert!(quiet.words().contains("\nbeside      other programs took 0.29 of 2 cores"));
        assert!(summary(&[0.31; 20], None, Ending::Pass).not_alone().is_some());
        let mut moment = [0.05; 60];
        moment[30..32].fill(1.4);
        assert_eq!(summary(&moment, None, Ending::Pass).not_alone(), None, "two seconds");
        moment[32] = 1.4;
        let it = summary(&moment, None, Ending::Pass);
        let said = it.not_alone().unwrap();
        assert!(
            said.starts_with("other programs took 1.40 of 2 cores in their busiest 3 s, 0.12 on")
        );
    }

    #[test]
    fn a_bound_of_the_scenario_makes_the_run_invalid_and_no_promise_is_kept_by_it() {
        let why =
            "the share of the 2 cores that other programs took was 0.795, above 0.5 (perf 1.58)";
        for (ending, is) in [
            (Ending::Pass, Ending::Invalid),
            (Ending::Unproved, Ending::Invalid),
            (Ending::Faults, Ending::Faults),
            (Ending::Incomplete, Ending::Incomplete),
        ] {
            let it = summary(&[1.59; 10], Some(0.5), ending);
            assert_eq!((it.ending, it.reasons.as_slice()), (is, &[why.to_owned()][..]));
            assert_eq!(it.not_alone(), None, "its reasons say it");
        }
        let words = summary(&[1.59; 10], Some(0.5), Ending::Pass).words();
        assert!(
            words.starts_with("canonical: INVALID: other programs took the machine\n"),
            "{words}"
        );
        // Who bounds it has looked at it: below the bound there is nothing to warn of.
        let far = summary(&[1.59; 10], Some(1.0), Ending::Pass);
        assert_eq!((far.ending, far.not_alone()), (Ending::Pass, None));
    }

    #[test]
    fn a_generator_that_was_held_up_says_by_whom() {
        let scenario = Scenario::load("canonical", &[]).unwrap();
        let mut it = Summary::new(&scenario, Outcome::of_nothing(&scenario), None);
        (it.ending, it.load_seconds) = (Ending::Invalid, 10.0);
        it.reasons = vec!["the p99 lag in ms was 80.000, above 50".into()];
        it.had_beside(OtherPrograms::of(2, false, &seen(&[1.9; 10])), &bounds(None));
        let words = it.words();
        assert!(words.contains("INVALID: the generator fell behind its plan\n"), "{words}");
        assert!(
            words.contains("\n  NOT ALONE: other programs took 1.90 of 2 cores (perf"),
            "{words}"
        );
    }

    #[test]
    fn where_nobody_can_tell_it_says_why_and_nothing_is_held_against_it() {
        let mut it = summary(&[1.59], None, Ending::Pass);
        it.had_beside(OtherPrograms::unmeasured("the kernel does not say"), &bounds(Some(0.1)));
        assert_eq!((it.ending, it.not_alone()), (Ending::Pass, None));
        let line = "\nbeside      what other programs took is not known: the kernel does not say\n";
        assert!(it.words().contains(line), "{}", it.words());
        let none = OtherPrograms::of(2, false, &OthersSeen::default());
        assert!(none.mean_cores.is_none() && none.unmeasured.is_some());
    }
}
