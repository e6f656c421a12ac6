//! What climbs while the load does not: the slopes of a soak, an hour each, with their intervals.
//!
//! Neighbours: the witness and the recorder have the seconds, `stats::trend` the arithmetic; `thresholds` holds
//! them against bounds. The first quarter of the run is left out: a server warms up. Where too little is
//! left there is no slope, and it is said why.

use serde::Serialize;

use crate::monitor::holds::Holds;
use crate::recorder::Sample;
use crate::scenario::Figure;
use crate::stats::trend;

/// Of the seconds, those that are left out at the beginning.
const WARMING: f64 = 0.25;
/// Fewer seconds than this after them have no slope: each of the 24 blocks it is made of has ten.
pub const SECONDS_MIN: usize = 240;
const HOUR: f64 = 3_600.0;
const MIB: f64 = (1 << 20) as f64;

/// How fast one thing climbs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Growth {
    /// In its unit; null where it was not measured.
    pub per_hour: Option<f64>,
    /// 19 times in 20 it is within these.
    pub interval: Option<[f64; 2]>,
    /// Seconds after the first quarter that had a value.
    pub seconds: usize,
    /// Why there is no slope, if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Slopes {
    /// Resident memory of the server's process, MiB.
    pub memory_mib: Growth,
    /// Its open descriptors.
    pub descriptors: Growth,
    /// The files of its log, MiB.
    pub log_mib: Growth,
    /// Its whole data folder, MiB.
    pub folder_mib: Growth,
    /// Each second's p99 of the ack, milliseconds.
    pub ack_p99_ms: Growth,
}

impl Slopes {
    /// Of a run's seconds, and of what the server held at the end of each.
    pub fn of(samples: &[Sample], held: &[(f64, Holds)]) -> Self {
        // Where a second ends is where its memory was looked at.
        let sampled = |value: fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
            samples.iter().filter_map(|it| Some((it.at + it.seconds, value(it)?))).collect()
        };
        let looked = |value: fn(&Holds) -> Option<u64>, unit: f64| -> Vec<(f64, f64)> {
            held.iter().filter_map(|(at, it)| Some((*at, value(it)? as f64 / unit))).collect()
        };
        let memory = |it: &Sample| Some(it.server_rss_bytes as f64 / MIB).filter(|it| *it > 0.0);
        let p99 = |it: &Sample| (it.ack.count > 0).then_some(it.ack.p99_ms);
        let process = "the server's process is not ours to see";
        let folder =
            "the server's folder is not ours to see, or has too many files to look at each second";
        Self {
            memory_mib: growth(&sampled(memory), process),
            descriptors: growth(&looked(|it| it.descriptors, 1.0), process),
            log_mib: growth(&looked(|it| it.log_bytes, MIB), folder),
            folder_mib: growth(&looked(|it| it.folder_bytes, MIB), folder),
            ack_p99_ms: growth(&sampled(p99), "nothing was acked"),
        }
    }

    /// Each with its key in the summary and its unit, in the order in which they are told.
    pub fn all(&self) -> [(&'static str, &'static str, &Growth); 5] {
        [
            ("memory", "MiB", &self.memory_mib),
            ("descriptors", "", &self.descriptors),
            ("log", "MiB", &self.log_mib),
            ("folder", "MiB", &self.folder_mib),
            ("ack p99", "ms", &self.ack_p99_ms),
        ]
    }

    /// The one that a threshold's figure names; the latency's for what is no slope.
    pub(super) fn of_figure(&self, figure: Figure) -> &Growth {
        match figure {
            Figure::MemoryMibPerHour => &self.memory_mib,
            Figure::DescriptorsPerHour => &self.descriptors,
            Figure::LogMibPerHour => &self.log_mib,
            Figure::FolderMibPerHour => &self.folder_mib,
            _ => &self.ack_p99_ms,
        }
    }

    /// For a person: those that were measured, in one line; none where none was.
    pub fn words(&self) -> Option<String> {
        let one = |(name, unit, it): (&str, &str, &Growth)| {
            let ([low, high], slope) = (it.interval?, it.per_hour?);
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            Some(format!("{name} {slope:+.2}{unit} ({low:+.2} to {high:+.2})"))
        };
        let told: Vec<String> = self.all().into_iter().filter_map(one).collect();
        (!told.is_empty()).then(|| format!("{} an hour", told.join("; ")))
    }
}

/// Of one thing; `missing` says why, where there is nothing of it.
fn growth(points: &[(f64, f64)], missing: &str) -> Growth {
    let ends = points.last().map_or(0.0, |it| it.0);
    let begins = ends * WARMING;
    let warm: Vec<(f64, f64)> = points.iter().copied().filter(|it| it.0 > begins).collect();
    let seconds = warm.len();
    let unmeasured = |why: String| Growth { seconds, unmeasured: Some(why), ..Growth::default() };
    if points.is_empty() {
        return unmeasured(missing.to_owned());
    }
    let trend = trend(&warm).filter(|_| seconds >= SECONDS_MIN);
    let Some(it) = trend else {
        return unmeasured(format!(
            "{seconds} s after the first quarter of the run, and a slope needs {SECONDS_MIN}"
        ));
    };
    let interval = Some(it.between.map(|end| end * HOUR));
    Growth { per_hour: Some(it.slope * HOUR), interval, seconds, unmeasured: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Percentiles;
    use crate::scenario::Scenario;
    use crate::summary::Came;
    use crate::summary::thresholds::tests::{judged, threshold_at_most};

    /// A server whose memory grows by so many MiB and its descriptors by so many an hour; it warms up first,
    /// its memory trembles by a MiB, and reconnecting people move the descriptors up and down.
    fn server(seconds: u32, mib: f64, descriptors: f64) -> Slopes {
        let at = |second: u32| f64::from(second) + 1.0;
        let tremble = |second: u32| f64::from(second * 7_919 % 101) / 100.0;
        let warm =
            |second: u32| 300.0 * (1.0 - (-f64::from(second) / f64::from(seconds) * 40.0).exp());
        let sample = |second: u32| Sample {
            at: f64::from(second),
            seconds: 1.0,
            server_rss_bytes: ((warm(second) + tremble(second) + mib * at(second) / HOUR) * MIB)
                as u64,
            ack: Percentiles { count: 60, p99_ms: 4.0 + tremble(second), ..Percentiles::default() },
            ..Sample::default()
        };
        let holds = |second: u32| Holds {
            descriptors: Some(
                (620.0 + 4.0 * tremble(second) + descriptors * at(second) / HOUR) as u64,
            ),
            ..Holds::default()
        };
        let samples: Vec<Sample> = (0..seconds).map(sample).collect();
        let held: Vec<(f64, Holds)> = (0..seconds).map(|it| (at(it), holds(it))).collect();
        Slopes::of(&samples, &held)
    }

    fn came(slopes: &Slopes, figure: Figure, at_most: f64) -> Came {
        judged(&threshold_at_most(figure, at_most), Some(slopes)).came
    }

    #[test]
    fn a_server_that_leaks_is_caught_and_one_that_warms_up_is_not() {
        let well = server(3_600, 0.0, 0.0);
        assert_eq!(came(&well, Figure::MemoryMibPerHour, 8.0), Came::Met, "{well:?}");
        assert_eq!(came(&well, Figure::DescriptorsPerHour, 10.0), Came::Met, "{well:?}");
        let leaks = server(3_600, 40.0, 60.0);
        assert_eq!(came(&leaks, Figure::MemoryMibPerHour, 8.0), Came::Missed, "{leaks:?}");
        assert_eq!(came(&leaks, Figure::DescriptorsPerHour, 10.0), Came::Missed, "{leaks:?}");
        let memory = leaks.memory_mib.per_hour.unwrap();
        assert!((memory / 40.0 - 1.0).abs() < 0.05, "{leaks:?}");
        assert!((leaks.descriptors.per_hour.unwrap() / 60.0 - 1.0).abs() < 0.05, "{leaks:?}");
        assert!(leaks.ack_p99_ms.interval.unwrap()[0] <= 0.0, "its latency stands: {leaks:?}");
        let words = leaks.words().unwrap();
        assert!(words.contains("descriptors +") && words.ends_with("an hour"), "{words}");
    }

    #[test]
    fn a_run_that_is_too_short_is_unmeasured_whatever_it_saw() {
        for leak in [0.0, 1e6] {
            let short = server(300, leak, leak);
            let it = judged(&threshold_at_most(Figure::MemoryMibPerHour, 8.0), Some(&short));
            assert_eq!((it.came, it.is), (Came::Unmeasured, None), "{it:?}");
            assert!(it.was.contains("a slope needs 240"), "{it:?}");
            assert_eq!(short.words(), None);
        }
        let enough = server(330, 1e6, 1e6);
        assert_eq!(came(&enough, Figure::MemoryMibPerHour, 8.0), Came::Missed);
    }

    #[test]
    fn an_interval_with_both_none_and_the_bound_in_it_tells_nothing() {
        let noisy = |per_hour: f64, interval: [f64; 2]| {
            let growth =
                Growth { per_hour: Some(per_hour), interval: Some(interval), ..Growth::default() };
            let slopes = Slopes { memory_mib: growth, ..Slopes::default() };
            judged(&threshold_at_most(Figure::MemoryMibPerHour, 8.0), Some(&slopes))
        };
        let it = noisy(3.0, [-20.0, 26.0]);
        assert_eq!(it.came, Came::Unmeasured, "{it:?}");
        assert!(it.was.contains("both none and the bound"), "{it:?}");
        assert_eq!(noisy(3.0, [-1.0, 7.0]).came, Came::Met);
        assert_eq!(noisy(-3.0, [-9.0, -1.0]).came, Came::Met, "it shrinks");
        assert_eq!(noisy(9.0, [4.0, 14.0]).came, Came::Unsure, "it climbs, and perhaps too fast");
        assert_eq!(noisy(20.0, [14.0, 26.0]).came, Came::Missed);
    }

    #[test]
    fn what_is_not_ours_to_see_is_unmeasured_and_says_so() {
        let slopes = Slopes::of(&[Sample { seconds: 1.0, ..Sample::default() }], &[]);
        let why = slopes.descriptors.unmeasured.unwrap();
        assert!(why.contains("not ours to see"), "{why}");
        assert_eq!(came(&Slopes::default(), Figure::LogMibPerHour, 1.0), Came::Unmeasured);
        assert_eq!(
            judged(&threshold_at_most(Figure::LogMibPerHour, 1.0), None).came,
            Came::Unmeasured
        );
    }

    #[test]
    fn the_soak_asks_for_slopes_of_memory_and_descriptors() {
        let soak = Scenario::load("soak", &[]).unwrap();
        assert!(soak.is_steady());
        assert!(
            soak.asks_for(Figure::MemoryMibPerHour) && soak.asks_for(Figure::DescriptorsPerHour)
        );
    }
}
