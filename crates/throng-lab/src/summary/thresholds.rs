//! Figures held against the bounds that the scenario sets: met, missed, or not to be told.
//!
//! Neighbours: `mod` lets a missed one decide how the run ended; `report` makes a case of each. A
//! ratio of two phases comes with an interval, since both are a few seconds of a noisy machine: it
//! is missed only where the whole interval is beyond the bound.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

use super::Summary;
use super::slopes::{Growth, Slopes};
use crate::recorder::{Percentiles, Sample};
use crate::scenario::{Figure, Goal, Scenario, Threshold};
use crate::stats::{median, quantile};

/// Drawings for an interval.
const DRAWINGS: usize = 1_000;
/// An interval that leaves out one in twenty.
const TAIL: f64 = 0.025;
/// Fewer seconds of a phase than this give no interval.
const SECONDS_MIN: usize = 4;

/// What came of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// Within its bound.
    Met,
    /// Beyond it.
    Missed,
    /// The bound is within the interval: this run cannot tell.
    Unsure,
    /// Nothing here could measure it: another machine's server, a kernel that does not tell, or
    /// nothing of the kind came to pass.
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
    /// Of a ratio: by how many milliseconds its parts differ.
    apart_ms: f64,
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
    let Is { value, interval, apart_ms, ref why_not } = *is;
    let forgiven = threshold.unless_within_ms.is_some_and(|within| apart_ms <= within);
    let beyond = |value: f64| {
        threshold.at_most.is_some_and(|most| value > most)
            || threshold.at_least.is_some_and(|least| value < least)
    };
    let came = match (value, interval) {
        (None, _) if threshold.figure.is_latency() => Came::Missed,
        (None, _) => Came::Unmeasured,
        _ if forgiven => Came::Met,
        (Some(_), Some([low, high])) => match (beyond(low), beyond(high)) {
            (true, true) => Came::Missed,
            (false, false) => Came::Met,
            _ => Came::Unsure,
        },
        // Too few seconds for an interval: nothing is told of a ratio.
        (Some(_), None) if threshold.against.is_some() => Came::Unsure,
        (Some(value), None) if beyond(value) => Came::Missed,
        (Some(_), None) => Came::Met,
    };
    let unit = if threshold.against.is_some() { "×" } else { threshold.figure.words().1 };
    let in_unit = |value: f64| format!("{} {unit}", digits(value)).trim_end().to_owned();
    let was = match (value, interval) {
        (None, _) => match why_not {
            Some(why) => format!("not measured: {why}"),
            None => "not measured".to_owned(),
        },
        (Some(value), None) => in_unit(value),
        (Some(value), Some([low, high])) => {
            format!("{} ({} to {})", in_unit(value), digits(low), digits(high))
        }
    };
    let name = threshold.name.clone();
    Judged { name, says: says(threshold, in_unit), is: value, interval, came, was }
}

/// What is to be, as a claim.
fn says(threshold: &Threshold, in_unit: impl Fn(f64) -> String) -> String {
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
        bounds.map(|(word, bound)| format!("{word} {}", in_unit(bound))).collect();
    format!("{says}: {}", bounds.join(", "))
}

fn digits(value: f64) -> String {
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
        let value = match figure {
            Figure::DeliveryP90Ms => it.p90_ms,
            Figure::DeliveryP95Ms => it.p95_ms,
            _ => it.p99_ms,
        };
        (it.count > 0).then_some(value)
    };
    if let Some(against) = against {
        let each = |name: Option<&String>| -> Vec<f64> {
            let of_phase =
                evidence.samples.iter().filter(|it| name.is_none_or(|name| it.phase == *name));
            let second = |it: &Sample| match rooms.as_ref().and_then(|kind| it.rooms.get(kind)) {
                Some(it) => of(it.ack, it.delivery),
                None => of(it.ack, it.delivery),
            };
            of_phase.filter_map(second).collect()
        };
        return ratio(&each(phase.as_ref()), &each(Some(against)));
    }
    if let Some(phase) = phase {
        let phase = summary.phases.iter().find(|it| it.name == *phase);
        return phase.and_then(|it| of(it.ack, it.delivery)).into();
    }
    match rooms.as_ref().and_then(|kind| summary.latency_by_rooms.get(kind)) {
        Some(it) => of(it.ack, it.delivery).into(),
        None => of(summary.latency.ack, summary.latency.delivery).into(),
    }
}

/// The median second of one phase over that of another, and what chance makes of it: seconds are
/// drawn again and again from those there were.
fn ratio(of: &[f64], over: &[f64]) -> Is {
    let middles = median(of).zip(median(over)).filter(|(_, over)| *over > 0.0);
    let Some((above, below)) = middles else { return Is::default() };
    if of.len().min(over.len()) < SECONDS_MIN {
        let apart_ms = above - below;
        return Is { value: Some(above / below), apart_ms, ..Is::default() };
    }
    let mut chance = StdRng::seed_from_u64(of.len() as u64);
    let mut draw = |from: &[f64]| {
        let drawn: Vec<f64> =
            (0..from.len()).map(|_| from[chance.random_range(0..from.len())]).collect();
        median(&drawn).unwrap_or_default()
    };
    let ratios: Vec<f64> =
        (0..DRAWINGS).map(|_| draw(of) / draw(over).max(f64::MIN_POSITIVE)).collect();
    let end = |share: f64| quantile(&ratios, share).unwrap_or_default();
    let interval = Some([end(TAIL), end(1.0 - TAIL)]);
    Is { value: Some(above / below), interval, apart_ms: above - below, why_not: None }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

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
        let of = |name: &str| -> Vec<f64> {
            let of = samples.iter().filter(|it| it.phase == name);
            of.map(|it| it.delivery.p99_ms).collect()
        };
        one(&threshold, &ratio(&of("storm"), &of("calm")))
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
        assert_eq!(came(&[9.0, 9.0, 9.0], None).came, Came::Unsure, "three seconds are too few");
        assert_eq!(came(&[], None).came, Came::Missed, "a latency that was not there");
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
