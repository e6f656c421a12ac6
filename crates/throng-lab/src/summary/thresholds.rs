//! Figures held against the bounds that the scenario sets: met, missed, or not to be told.
//!
//! Neighbours: `mod` lets them decide how the run ended; `report` makes a case of each. A ratio of two
//! phases is `ratios`' matter: both are a few seconds of a noisy machine, so it comes with an interval.

use serde::Serialize;

use super::Summary;
use super::ratios::{Part, Ratio, Which};
use super::slopes::{Growth, Slopes};
use crate::recorder::{Percentiles, Sample};
use crate::scenario::{Figure, Goal, Scenario, Threshold};

/// What came of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// Within its bound.
    Met,
    /// Beyond it.
    Missed,
    /// The bound is within the interval, or kept by the median second and not by all together: this run cannot
    /// tell.
    Unsure,
    /// Nothing here could measure it: another machine's server, a kernel that does not tell, a run that is too
    /// short, or nothing of the kind came to pass.
    Unmeasured,
}

/// A threshold and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// Its name in the scenario.
    pub name: String,
    /// What was to be, in words.
    pub says: String,
    /// What it was; null where it was not measured.
    pub is: Option<f64>,
    /// Of a ratio: 95 % of what chance could have made of these seconds.
    pub interval: Option<[f64; 2]>,
    /// Of a ratio: that of all latencies together; `is` is of the median second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooled: Option<f64>,
    /// 95 % of what chance could have made of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooled_interval: Option<[f64; 2]>,
    /// What came of it.
    pub came: Came,
    /// What it was, in words.
    pub was: String,
}

/// What a summary alone does not hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// A line a second.
    pub samples: &'a [Sample],
    /// Hashes a second of a thread that does nothing else, where that was measured.
    pub hashing_alone: Option<f64>,
}

/// What a figure was.
#[derive(Clone, Debug, Default)]
struct Is {
    value: Option<f64>,
    interval: Option<[f64; 2]>,
    ratio: Option<Ratio>,
    /// Why there is no value, where more is known than that there is none.
    why_not: Option<String>,
}

impl From<Option<f64>> for Is {
    fn from(value: Option<f64>) -> Self {
        Self { value, ..Self::default() }
    }
}

impl Is {
    fn not(why: &str) -> Self {
        Self { why_not: Some(why.to_owned()), ..Self::default() }
    }
}

/// All thresholds of the scenario, its goal among them.
pub fn judge(scenario: &Scenario, summary: &Summary, evidence: &Evidence<'_>) -> Vec<Judged> {
    let goal = scenario.goal.as_ref().map(Goal::thresholds);
    let all = goal.into_iter().flatten().chain(scenario.thresholds.iter().cloned());
    all.map(|it| one(&it, &is(&it, summary, evidence))).collect()
}

fn one(threshold: &Threshold, is: &Is) -> Judged {
    let (pooled, pooled_interval) = is.ratio.as_ref().map(Ratio::by_all).unzip();
    Judged {
        name: threshold.name.clone(),
        says: says(threshold),
        is: is.value,
        interval: is.interval,
        pooled,
        pooled_interval,
        came: came(threshold, is),
        was: was(threshold, is),
    }
}

fn came(threshold: &Threshold, is: &Is) -> Came {
    if let Some(ratio) = &is.ratio {
        return ratio.came(threshold);
    }
    let beyond = |value: f64| threshold.is_beyond(value);
    match (is.value, is.interval) {
        (None, _) if threshold.figure.is_latency() && is.why_not.is_none() => Came::Missed,
        (None, _) => Came::Unmeasured,
        (Some(_), Some([low, high])) => match (beyond(low), beyond(high)) {
            (true, true) => Came::Missed,
            (false, false) => Came::Met,
            _ => Came::Unsure,
        },
        (Some(value), None) if beyond(value) => Came::Missed,
        (Some(_), None) => Came::Met,
    }
}

fn was(threshold: &Threshold, is: &Is) -> String {
    if let Some(ratio) = &is.ratio {
        return ratio.words(threshold);
    }
    match (is.value, is.interval) {
        (None, _) => match &is.why_not {
            Some(why) => format!("not measured: {why}"),
            None => "not measured".to_owned(),
        },
        (Some(value), None) => in_unit(threshold, value),
        (Some(value), Some([low, high])) => {
            format!("{} ({} to {})", in_unit(threshold, value), digits(low), digits(high))
        }
    }
}

fn in_unit(threshold: &Threshold, value: f64) -> String {
    let unit = if threshold.against.is_some() { "×" } else { threshold.figure.words().1 };
    format!("{} {unit}", digits(value)).trim_end().to_owned()
}

/// What is to be, as a claim.
fn says(threshold: &Threshold) -> String {
    let Threshold { figure, rooms, phase, against, at_most, at_least, .. } = threshold;
    let mut says = figure.words().0.to_owned();
    let put = |word: &str, name: &Option<String>| {
        name.as_ref().map_or(String::new(), |name| format!(" {word} {name}"))
    };
    says += &put("of", rooms);
    says += &put("in", phase);
    says += &put("over that in", against);
    let bounds = [("at most", at_most), ("at least", at_least)];
    let bounds = bounds.into_iter().filter_map(|(word, bound)| Some((word, (*bound)?)));
    let bounds: Vec<String> =
        bounds.map(|(word, bound)| format!("{word} {}", in_unit(threshold, bound))).collect();
    format!("{says}: {}", bounds.join(", "))
}

/// With as many digits as it deserves.
pub(super) fn digits(value: f64) -> String {
    // Nothing is nothing, with no sign before it.
    let value = if value == 0.0 { 0.0 } else { value };
    let places = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        less if less < 0.1 => 3,
        less if less < 10.0 => 2,
        _ => 1,
    };
    format!("{value:.places$}")
}

fn is(threshold: &Threshold, summary: &Summary, evidence: &Evidence<'_>) -> Is {
    let in_phase = |it: &&Sample| threshold.phase.as_ref().is_none_or(|phase| it.phase == *phase);
    let mut seconds = evidence.samples.iter().filter(in_phase);
    let counted = |it: &Percentiles| Some(it.count as f64);
    let slowest = |it: &Percentiles| (it.count > 0).then_some(it.max_ms);
    let latency = &summary.latency;
    let value = match threshold.figure {
        Figure::DeliveryP90Ms
        | Figure::DeliveryP95Ms
        | Figure::DeliveryP99Ms
        | Figure::AckP99Ms => return of_latency(threshold, summary, evidence),
        Figure::Resumes => counted(&latency.resume),
        Figure::ResumeMaxMs => slowest(&latency.resume),
        Figure::Entries => counted(&latency.enter),
        Figure::EntryMaxMs => slowest(&latency.enter),
        Figure::EntryHalves => match summary.entries {
            Some(entries) => Some(entries.halves),
            None => {
                return Is::not("fewer than 20 came and read their history, or several crowds did");
            }
        },
        Figure::LoginRefusalP99Ms if latency.login_refused.count == 0 => {
            return Is::not("no login was refused");
        }
        Figure::LoginRefusalP99Ms => Some(latency.login_refused.p99_ms),
        Figure::PasswordsHashed => {
            summary.server_work.as_ref().and_then(|it| it.passwords_hashed).map(|it| it as f64)
        }
        Figure::MemoryMib => seconds
            .try_fold(0_u64, |most, it| {
                let kernel = it.kernel_bytes.filter(|_| it.server_rss_bytes > 0)?;
                Some(most.max(it.server_rss_bytes + kernel))
            })
            .filter(|most| *most > 0)
            .map(|most| most as f64 / f64::from(1 << 20)),
        Figure::LoginsOfHashingAlone => {
            let seconds: Vec<&Sample> = seconds.collect();
            let Some(is) = logins_a_second(&seconds) else {
                return Is::not("no whole second lay between the first logins and the last");
            };
            evidence.hashing_alone.map(|of| is / of)
        }
        Figure::MemoryMibPerHour
        | Figure::DescriptorsPerHour
        | Figure::LogMibPerHour
        | Figure::FolderMibPerHour
        | Figure::AckP99MsPerHour => return of_slope(threshold, summary.slopes.as_ref()),
    };
    value.into()
}

/// While passwords waited: from the second after the first login to that before the last; none where
/// nothing lies between them.
fn logins_a_second(seconds: &[&Sample]) -> Option<f64> {
    let some = |it: &&Sample| it.login.count > 0;
    let first = seconds.iter().position(some).unwrap_or_default();
    let last = seconds.iter().rposition(some).unwrap_or_default();
    let between = seconds.get(first + 1..last).unwrap_or_default();
    let lasts: f64 = between.iter().map(|it| it.seconds).sum();
    let logins: u64 = between.iter().map(|it| it.login.count).sum();
    (lasts > 0.0).then(|| logins as f64 / lasts)
}

/// A slope whose interval holds both none and the bound tells nothing: the run was too short for its noise.
fn of_slope(threshold: &Threshold, slopes: Option<&Slopes>) -> Is {
    let growth = slopes.map(|it| it.of_figure(threshold.figure)).cloned().unwrap_or_default();
    let Growth { per_hour, interval, unmeasured, .. } = growth;
    let Some((slope, [low, high])) = per_hour.zip(interval) else {
        return Is { why_not: unmeasured, ..Is::default() };
    };
    let within = |bound: f64| low <= bound && bound <= high;
    let bounds = [threshold.at_most, threshold.at_least].into_iter().flatten();
    if bounds.filter(|bound| *bound != 0.0).any(|bound| within(0.0) && within(bound)) {
        let why = format!(
            "{} an hour ({} to {}) holds both none and the bound; a longer run would tell",
            digits(slope),
            digits(low),
            digits(high)
        );
        return Is { why_not: Some(why), ..Is::default() };
    }
    Is { value: Some(slope), interval: Some([low, high]), ..Is::default() }
}

fn of_latency(threshold: &Threshold, summary: &Summary, evidence: &Evidence<'_>) -> Is {
    let Threshold { rooms, phase, against, figure, .. } = threshold;
    let acks = *figure == Figure::AckP99Ms;
    let of = |ack: Percentiles, delivery: Percentiles| {
        let it = if acks { ack } else { delivery };
        (it.count > 0).then_some(it)
    };
    let which: Which = match figure {
        Figure::DeliveryP90Ms => (0.9, |it| it.p90_ms),
        Figure::DeliveryP95Ms => (0.95, |it| it.p95_ms),
        _ => (0.99, |it| it.p99_ms),
    };
    let of_phase = |name: &String| {
        let phase = summary.phases.iter().find(|it| it.name == *name);
        phase.and_then(|it| of(it.ack, it.delivery))
    };
    let of_load = || of(summary.latency.ack, summary.latency.delivery);
    if let Some(against) = against {
        let part = |name: Option<&String>| {
            let seconds =
                evidence.samples.iter().filter(|it| name.is_none_or(|name| it.phase == *name));
            let second = |it: &Sample| match rooms.as_ref().and_then(|kind| it.rooms.get(kind)) {
                Some(it) => of(it.ack, it.delivery),
                None => of(it.ack, it.delivery),
            };
            // Of one kind of room in one phase no histogram is kept.
            let all = if rooms.is_some() { None } else { name.map_or_else(of_load, of_phase) };
            Part { seconds: seconds.filter_map(second).collect(), all }
        };
        return ratio(&[part(phase.as_ref()), part(Some(against))], which);
    }
    let value = |it: Option<Percentiles>| Is::from(it.map(|it| which.1(&it)));
    if let Some(phase) = phase {
        return value(of_phase(phase));
    }
    match rooms.as_ref().and_then(|kind| summary.latency_by_rooms.get(kind)) {
        Some(it) => value(of(it.ack, it.delivery)),
        None => value(of_load()),
    }
}

fn ratio(parts: &[Part; 2], which: Which) -> Is {
    match Ratio::of(parts, which) {
        Ok(Some(ratio)) => {
            let (value, interval) = ratio.by_median();
            Is { value: Some(value), interval: Some(interval), ratio: Some(ratio), why_not: None }
        }
        Ok(None) => Is::default(),
        Err(why) => Is::not(&why),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::recorder::{Latency, OfPhase};
    use crate::runner::Outcome;
    use crate::summary::{Ending, phases};

    pub fn threshold_at_most(figure: Figure, at_most: f64) -> Threshold {
        Threshold { phase: None, at_most: Some(at_most), ..threshold(figure) }
    }

    /// A slope against its bound.
    pub fn judged(threshold: &Threshold, slopes: Option<&Slopes>) -> Judged {
        one(threshold, &of_slope(threshold, slopes))
    }

    fn threshold(figure: Figure) -> Threshold {
        Threshold {
            name: "t".into(),
            figure,
            rooms: None,
            phase: Some("storm".into()),
            against: None,
            at_most: Some(1.1),
            at_least: None,
            unless_within_ms: None,
        }
    }

    fn seconds(phase: &str, p99: &[f64]) -> Vec<Sample> {
        let second = |p99_ms: &f64| Sample {
            phase: phase.into(),
            seconds: 1.0,
            delivery: Percentiles { count: 9, p99_ms: *p99_ms, ..Percentiles::default() },
            ..Sample::default()
        };
        p99.iter().map(second).collect()
    }

    fn came(storm: &[f64], within: Option<f64>) -> Judged {
        let mut samples = seconds("calm", &[4.0, 4.1, 3.9, 4.0, 4.2, 3.8, 4.0]);
        samples.extend(seconds("storm", storm));
        let threshold = Threshold {
            against: Some("calm".into()),
            unless_within_ms: within,
            ..threshold(Figure::DeliveryP99Ms)
        };
        let part = |name: &str| {
            let of = samples.iter().filter(|it| it.phase == name);
            Part { seconds: of.map(|it| it.delivery).collect(), all: None }
        };
        one(&threshold, &ratio(&[part("storm"), part("calm")], (0.99, |it| it.p99_ms)))
    }

    #[test]
    fn a_ratio_is_missed_where_its_whole_interval_is_and_unsure_where_a_part_is() {
        assert_eq!(came(&[4.0, 4.0, 4.1, 3.9, 4.0, 4.0], None).came, Came::Met);
        let missed = came(&[6.0, 6.2, 5.9, 6.1, 6.0, 6.0], None);
        assert_eq!(missed.came, Came::Missed);
        assert!(missed.says.contains("in storm over that in calm: at most 1.10 ×"), "{missed:?}");
        assert!(missed.was.starts_with("1.50 × ("), "{missed:?}");
        assert_eq!(came(&[4.0, 5.5, 3.9, 5.6, 4.1, 5.0], None).came, Came::Unsure);
        assert_eq!(came(&[6.0, 6.2, 5.9, 6.1, 6.0, 6.0], Some(3.0)).came, Came::Met);
        let few = came(&[9.0, 9.0, 9.0], None);
        assert_eq!((few.came, few.is), (Came::Unmeasured, None), "three seconds are too few");
        assert!(few.was.starts_with("not measured: its phases have 3 and 7 seconds"), "{few:?}");
        assert_eq!(came(&[], None).came, Came::Missed, "a latency that was not there");
    }

    /// The summary's own figures of a phase are of one histogram: they are what is held against the bound, too.
    #[test]
    fn a_ratio_is_also_of_what_the_summary_says_of_its_phases() {
        let scenario = Scenario::load("flood", &[]).unwrap();
        let mut samples = seconds("calm", &[4.0; 15]);
        samples.extend(seconds("flooded", &[4.0; 20]));
        let mut summary = Summary::new(&scenario, Outcome::of_nothing(&scenario), None);
        let of = |name: &str, p99_ms: f64| OfPhase {
            name: name.into(),
            delivery: {
                let mut latency = Latency::new();
                latency.record_us((p99_ms * 1e3) as u64);
                latency
            },
            ..OfPhase::default()
        };
        let evidence = Evidence { samples: &samples, hashing_alone: None };
        for (flooded, wanted, ending) in
            [(4.0, Came::Met, Ending::Pass), (1_000.0, Came::Unsure, Ending::Undecided)]
        {
            summary.ending = Ending::Pass;
            summary.reasons.clear();
            summary.phases = phases::of(&samples, &[of("calm", 4.0), of("flooded", flooded)]);
            summary.hold_against(&scenario, &evidence);
            let it = &summary.thresholds[0];
            assert_eq!((it.came, summary.ending), (wanted, ending), "{it:?}");
            assert!((it.pooled.unwrap() / (flooded / 4.0) - 1.0).abs() < 0.01, "{it:?}");
        }
        let why = &summary.reasons[0];
        assert!(why.starts_with("it cannot be told whether delivery p99 in flooded"), "{why}");
    }

    /// A quarter of the flooded seconds took a second, as replayed of a server that stalls: it was once a pass.
    #[test]
    fn a_flood_with_a_quarter_of_slow_seconds_is_missed() {
        let scenario = Scenario::load("flood", &[]).unwrap();
        let second = |phase: &str, ms: f64| {
            let delivery = Percentiles {
                count: 500,
                p50_ms: ms / 2.0,
                p90_ms: ms,
                p95_ms: ms,
                p99_ms: ms,
                p999_ms: ms,
                max_ms: ms,
                mean_ms: ms,
            };
            Sample { phase: phase.into(), seconds: 1.0, delivery, ..Sample::default() }
        };
        let mut samples = vec![second("calm", 4.0); 15];
        samples.extend((0..20).map(|at| second("flooded", if at % 4 == 0 { 1e3 } else { 4.0 })));
        let mut summary = Summary::new(&scenario, Outcome::of_nothing(&scenario), None);
        (summary.ending, summary.reasons) = (Ending::Pass, Vec::new());
        summary.hold_against(&scenario, &Evidence { samples: &samples, hashing_alone: None });
        assert_eq!(summary.ending, Ending::Missed, "{:?}", summary.thresholds);
        assert!(summary.reasons[0].contains("5 of 20 seconds of flooded"), "{:?}", summary.reasons);
    }

    /// A run that shows nothing of a goal is no pass of it, but where its scenario says that it may be.
    #[test]
    fn a_goal_of_which_nothing_is_shown_is_no_pass_unless_the_scenario_says_so() {
        for (settings, ending) in [
            (Vec::new(), Ending::Undecided),
            (vec!["unmeasured_may_pass=true".to_owned()], Ending::Pass),
        ] {
            let scenario = Scenario::load("soak", &settings).unwrap();
            let mut summary = Summary::new(&scenario, Outcome::of_nothing(&scenario), None);
            (summary.ending, summary.reasons) = (Ending::Pass, Vec::new());
            summary.hold_against(&scenario, &Evidence::default());
            assert!(summary.thresholds.iter().all(|it| it.came == Came::Unmeasured));
            assert_eq!(summary.ending, ending, "{:?}", summary.reasons);
            assert_eq!(summary.reasons.len(), if ending == Ending::Pass { 0 } else { 2 });
        }
    }

    #[test]
    fn a_count_is_held_against_its_bounds_on_both_sides() {
        let bounds = Threshold {
            at_least: Some(5.0),
            at_most: Some(7.0),
            phase: None,
            ..threshold(Figure::Resumes)
        };
        for (value, wanted) in
            [(4.0, Came::Missed), (5.0, Came::Met), (7.0, Came::Met), (8.0, Came::Missed)]
        {
            assert_eq!(one(&bounds, &Some(value).into()).came, wanted, "{value}");
        }
        let unmeasured = one(&threshold(Figure::MemoryMib), &Is::default());
        assert_eq!((unmeasured.came, unmeasured.is), (Came::Unmeasured, None));
    }

    #[test]
    fn what_did_not_come_to_pass_is_neither_met_nor_missed_and_says_why() {
        let bound = Threshold { phase: None, ..threshold(Figure::LoginRefusalP99Ms) };
        let judged = one(&bound, &Is::not("no login was refused"));
        assert_eq!((judged.came, judged.is), (Came::Unmeasured, None));
        assert_eq!(judged.was, "not measured: no login was refused");
        assert_eq!(digits(-0.0), "0");
    }

    #[test]
    fn logins_are_counted_while_some_wait() {
        let second = |count: u64| Sample {
            seconds: 1.0,
            login: Percentiles { count, ..Percentiles::default() },
            ..Sample::default()
        };
        let seconds = [0, 9, 50, 0, 52, 1, 0].map(second);
        let all: Vec<&Sample> = seconds.iter().collect();
        assert!((logins_a_second(&all).unwrap() - 34.0).abs() < 1e-9);
        // Nothing lies between one second of logins and the next.
        for none in [&all[..2], &all[1..3], &all[..0]] {
            assert_eq!(logins_a_second(none), None);
        }
    }
}
