//! How a run ended: whether promises were broken, and if not, whether the generator was the bottleneck.
//!
//! Neighbours: `mod` calls it, `thresholds` judges goals. The generator's CPU is judged by its busiest three
//! seconds, not by its mean: one that is full in the last of ten steps has a mean far from full, and what the
//! last step says of the server is its own doing. Three seconds are long enough to pass over a burst that is
//! by plan, as when thousands of sockets are opened at once, and what waits so long is in the lag as well. In a
//! closed model nothing is late by definition; there this is all that tells.

use super::{Ending, Generator};
use crate::recorder::Sample;
use crate::runner::Outcome;
use crate::scenario::Scenario;

/// More refusals than this share of the sends, and the load was not what was planned.
const REFUSED_SHARE_MAX: f64 = 0.001;

/// Seconds in a row that the generator is judged by.
const BUSIEST_SECONDS: f64 = 3.0;
/// A sample ends when its thread wakes: three of them may be a little less than three seconds.
const SHORT_BY: f64 = 0.1;

/// How the run ended, and why not better. Faults weigh most: they are true however tired the generator was.
pub fn judge(
    scenario: &Scenario,
    outcome: &Outcome,
    generator: &Generator,
) -> (Ending, Vec<String>) {
    let mut reasons = Vec::new();
    let verdict = &outcome.verdict;
    let faults = verdict.send_faults.sum() + verdict.delivery_faults.sum();
    if faults > 0 {
        reasons.push(format!("{faults} faults, the first of them below"));
        return (Ending::Faults, reasons);
    }
    if let Some(wrong) = outcome.pictures.map(|it| it.not_as_named).filter(|it| *it > 0) {
        reasons.push(format!("{wrong} pictures are not what their names say"));
        return (Ending::Faults, reasons);
    }
    if let Some(why) = &outcome.incomplete {
        reasons.push(why.clone());
        return (Ending::Incomplete, reasons);
    }
    if verdict.refused as f64 > verdict.sends as f64 * REFUSED_SHARE_MAX {
        reasons.push(format!("{} of {} sends were refused", verdict.refused, verdict.sends));
    }
    let unproved = verdict.unproved;
    let read = verdict.rooms_read + unproved.map_or(0, |it| it.rooms) == verdict.rooms;
    if verdict.unanswered + verdict.away > 0 || !read {
        reasons.push(format!(
            "{} sends unanswered, {} places in rooms not taken again, {} of {} rooms read back",
            verdict.unanswered, verdict.away, verdict.rooms_read, verdict.rooms
        ));
        reasons.extend(outcome.missing.iter().cloned());
    }
    if !reasons.is_empty() {
        return (Ending::Faults, reasons);
    }
    let reasons = beyond_self_check(scenario, outcome, generator);
    match unproved {
        _ if !reasons.is_empty() => (Ending::Invalid, reasons),
        Some(unproved) => (Ending::Unproved, vec![unproved.words()]),
        None => (Ending::Pass, reasons),
    }
}

/// In what the generator was beyond what it may be, in words; empty where it was not the bottleneck.
fn beyond_self_check(scenario: &Scenario, outcome: &Outcome, generator: &Generator) -> Vec<String> {
    let limits = &scenario.self_check;
    let mut reasons = Vec::new();
    let mut over = |what: &str, is: f64, max: f64| {
        if is > max {
            reasons.push(format!("{what} was {is:.3}, above {max}"));
        }
    };
    let busiest = "the generator's share of a core in its busiest 3 s";
    over(busiest, generator.cpu_share_3s_max, limits.cpu_max);
    for agent in &outcome.agents {
        let what = format!("the share of a core of the agent at {}", agent.address);
        over(&what, agent.cpu_share_max, limits.cpu_max);
        let what = format!("the p99 lag in ms of the agent at {}", agent.address);
        over(&what, agent.lag.p99_ms, limits.lag_p99_ms);
    }
    // Where no send had a time of its own, none could be late.
    let lag = generator.lag.unwrap_or_default();
    over("the median lag in ms", lag.p50_ms, limits.lag_p50_ms);
    over("the p99 lag in ms", lag.p99_ms, limits.lag_p99_ms);
    over("the number of dropped sends", outcome.dropped as f64, limits.dropped_max as f64);
    reasons
}

/// The generator's share of a core in its busiest three seconds in a row, whatever phases they belong to; none of
/// a load that was shorter.
pub fn busiest(samples: &[Sample]) -> Option<f64> {
    let mut most: Option<f64> = None;
    let (mut seconds, mut cpu, mut first) = (0.0, 0.0, 0);
    for sample in samples {
        seconds += sample.seconds;
        cpu += sample.generator_cpu;
        // The fewest samples that are long enough: what is before them is another stretch's.
        while seconds - samples[first].seconds >= BUSIEST_SECONDS - SHORT_BY {
            seconds -= samples[first].seconds;
            cpu -= samples[first].generator_cpu;
            first += 1;
        }
        if seconds >= BUSIEST_SECONDS - SHORT_BY {
            most = Some(most.unwrap_or_default().max(cpu / seconds));
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Percentiles;
    use crate::runner::AgentSaid;

    /// One that has done nothing.
    fn generator() -> Generator {
        Generator {
            cpu_share: 0.0,
            cpu_share_3s_max: 0.0,
            lag: None,
            dropped: 0,
            deliveries_per_cpu_second: 0.0,
            frames_per_read: 0.0,
            work: [0; 4],
        }
    }

    fn second(phase: &str, seconds: f64, share: f64) -> Sample {
        let generator_cpu = share * seconds;
        Sample { phase: phase.into(), seconds, generator_cpu, ..Sample::default() }
    }

    fn near(is: Option<f64>, wanted: f64) {
        assert!(is.is_some_and(|is| (is - wanted).abs() < 1e-9), "{is:?} is not {wanted}");
    }

    /// Ten steps of ten seconds, each a tenth fuller than the one before; the last is full.
    fn ten_steps() -> Vec<Sample> {
        let step = |step: u32| {
            let share = f64::from(step) / 10.0;
            vec![second(&format!("step {step}"), 1.0, share); 10]
        };
        (1..=10).flat_map(step).collect()
    }

    #[test]
    fn the_busiest_stretch_is_three_seconds_long_wherever_it_lies() {
        near(busiest(&ten_steps()), 1.0);
        let mut calm = vec![second("", 1.0, 0.25); 60];
        near(busiest(&calm), 0.25);
        // One second is a burst; three are none, also where a phase begins between them.
        calm[30].generator_cpu = 1.0;
        near(busiest(&calm), 0.5);
        calm[31] = second("storm", 0.5, 1.0);
        calm[32] = second("storm", 1.0, 1.0);
        calm[33] = second("storm", 0.5, 1.0);
        near(busiest(&calm), 1.0);
        // Clocks that wake a little early.
        near(busiest(&vec![second("", 0.99, 0.7); 3]), 0.7);
    }

    #[test]
    fn a_load_that_is_shorter_has_no_such_stretch_and_is_judged_as_a_whole() {
        assert_eq!(busiest(&[]), None);
        assert_eq!(busiest(&[second("", 1.0, 1.0), second("", 1.0, 1.0)]), None);
    }

    /// What stands between the lab and its sockets may be late as little as the lab itself.
    #[test]
    fn an_agent_that_answers_late_makes_the_run_invalid_and_is_named() {
        let scenario = Scenario::load("spammers", &[]).unwrap();
        let agent = |port: u16, p99_ms: f64| AgentSaid {
            address: ([127, 0, 0, 1], port).into(),
            clock_ms: [0.0; 3],
            cpu_share_max: 0.1,
            lag: Percentiles { count: 300, p99_ms, ..Percentiles::default() },
        };
        let judged = |p99_ms: f64| {
            let agents = vec![agent(9_100, 0.4), agent(9_101, p99_ms)];
            let outcome = Outcome { agents, ..Outcome::of_nothing(&scenario) };
            judge(&scenario, &outcome, &generator())
        };
        assert_eq!(judged(50.0), (Ending::Pass, Vec::new()));
        let why = "the p99 lag in ms of the agent at 127.0.0.1:9101 was 581.000, above 50";
        assert_eq!(judged(581.0), (Ending::Invalid, vec![why.to_owned()]));
    }

    #[test]
    fn a_generator_that_is_full_in_the_last_of_ten_steps_makes_the_run_invalid() {
        let scenario = Scenario::load("spammers", &[]).unwrap();
        let samples = ten_steps();
        let cpu: f64 = samples.iter().map(|it| it.generator_cpu).sum();
        let outcome = Outcome { samples, ..Outcome::of_nothing(&scenario) };
        let cpu_share_3s_max = busiest(&outcome.samples).unwrap();
        let generator = Generator { cpu_share: cpu / 100.0, cpu_share_3s_max, ..generator() };
        assert!(generator.cpu_share < 0.6, "by its mean it would pass");
        let (ending, reasons) = judge(&scenario, &outcome, &generator);
        assert_eq!(ending, Ending::Invalid);
        let why = "the generator's share of a core in its busiest 3 s was 1.000, above 0.9";
        assert_eq!(reasons, [why]);
        let calm = Generator { cpu_share_3s_max: 0.9, ..generator };
        assert_eq!(judge(&scenario, &outcome, &calm), (Ending::Pass, Vec::new()));
    }
}
