//! Which charts a run has.
//!
//! Neighbours: reads a `Folder`, makes `Chart`s: here those over time, in `panels` what the server counted, in
//! `dots` one figure against another, in `rows` the clients of a closed model, in `slowest` single messages. A long run is thinned to what a page can show: rates
//! and shares by their mean, latencies and memory by their *worst* second, never by a mean of
//! percentiles.

mod dots;
mod panels;
mod rows;
mod slowest;

use super::chart::{Chart, Kind, POINTS_MAX, Series};
use super::folder::{Folder, Second};
use super::words::number;
use crate::stats::Ema;

/// Seconds after which volume weighs half.
const HALF_LIFE: f64 = 10.0;

/// The line of time that the hypervisor gave to other guests.
const STEAL: &str = "steal";

/// How seconds that fall on one point are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thin {
    Mean,
    Worst,
}

/// One line of a chart, as it is found in a second.
type Line = (&'static str, Thin, fn(&Second) -> Option<f64>);

/// What is drawn over time: name, title, unit, lines.
const OVER_TIME: [(&str, &str, &str, &[Line]); 8] = [
    (
        "sends",
        "Sends: when they should have left, left, and were acknowledged",
        "sends a second",
        &[
            ("intended", Thin::Mean, |it| a_second(it, it.intended)),
            ("sent", Thin::Mean, |it| a_second(it, it.sent)),
            ("acked", Thin::Mean, |it| a_second(it, it.acked)),
        ],
    ),
    (
        "deliveries",
        "Deliveries",
        "deliveries a second",
        &[("delivered", Thin::Mean, |it| a_second(it, it.deliveries))],
    ),
    (
        "ack",
        "Latency of the durable ack, from the intended time",
        "ms",
        &[
            ("p50", Thin::Worst, |it| said(it.ack.count, it.ack.p50_ms)),
            ("p95", Thin::Worst, |it| said(it.ack.count, it.ack.p95_ms)),
            ("p99", Thin::Worst, |it| said(it.ack.count, it.ack.p99_ms)),
        ],
    ),
    (
        "delivery",
        "Latency of each delivery, from the intended time",
        "ms",
        &[
            ("p50", Thin::Worst, |it| said(it.delivery.count, it.delivery.p50_ms)),
            ("p95", Thin::Worst, |it| said(it.delivery.count, it.delivery.p95_ms)),
            ("p99", Thin::Worst, |it| said(it.delivery.count, it.delivery.p99_ms)),
        ],
    ),
    (
        "cpu",
        "CPU of the server, of the generator and of other programs; time given to other guests",
        "% of one core",
        &[
            ("server", Thin::Mean, |it| share(it, it.server()?)),
            ("generator", Thin::Mean, |it| share(it, it.generator_cpu)),
            ("those who mean ill", Thin::Mean, |it| share(it, it.abusers_cpu?)),
            ("other programs", Thin::Mean, |it| share(it, it.counted.others?)),
            // Of all cores; `of` makes it of one.
            (STEAL, Thin::Mean, |it| Some(it.steal * 100.0)),
        ],
    ),
    (
        "memory",
        "Resident memory of the server",
        "MiB",
        &[("resident", Thin::Worst, |it| {
            let bytes = it.server_rss_bytes as f64;
            (bytes > 0.0).then_some(bytes / f64::from(1 << 20))
        })],
    ),
    (
        "connections",
        "Connections that stand, and users who are there",
        "at the second's end",
        &[
            ("connections", Thin::Mean, |it| Some(it.connections as f64)),
            ("users", Thin::Mean, |it| it.users.map(|users| users as f64)),
        ],
    ),
    (
        "lag",
        "The generator's own lag: how late sends started",
        "ms",
        &[
            ("p50", Thin::Worst, |it| said(it.lag.count, it.lag.p50_ms)),
            ("p99", Thin::Worst, |it| said(it.lag.count, it.lag.p99_ms)),
        ],
    ),
];

/// All that have something to show.
pub fn of(run: &Folder) -> Vec<Chart> {
    let marks = run.phases();
    let mut charts = rows::of(run);
    for (id, title, unit, lines) in OVER_TIME {
        let width = run.seconds.len().div_ceil(POINTS_MAX).max(1);
        let title = title.replace("durable ack", run.ack());
        let note = if width > 1 && lines.iter().any(|it| it.1 == Thin::Worst) {
            format!("{title} (the worst of each {} s)", number(width as f64))
        } else {
            title
        };
        let mut kind = over_time(&run.seconds, width, lines);
        if let Kind::Lines { series, .. } = &mut kind {
            match id {
                "deliveries" => series.push(remembered(&run.seconds, width)),
                "cpu" => {
                    let cores = run.manifest.machine.cores.max(1) as f64;
                    let steal = series.iter_mut().filter(|it| it.name == STEAL);
                    steal
                        .flat_map(|it| &mut it.values)
                        .for_each(|it| *it = it.map(|it| it * cores));
                    series.extend(mean_of_phases(run, width));
                }
                _ => {}
            }
        }
        let whose = ["cpu", "connections"].contains(&id);
        charts.push(Chart {
            id: id.to_owned(),
            title: note,
            unit: unit.to_owned(),
            across: "seconds from the beginning of the load".to_owned(),
            kind,
            right: None,
            marks: if whose { with_late(&run.seconds, &marks) } else { marks.clone() },
        });
    }
    charts.extend(slowest::of(run));
    charts.extend(panels::of(run));
    charts.extend(dots::of(run));
    charts.retain(|it| !it.is_empty());
    charts
}

/// The marks, with how many of those who came in each stretch were late: what it says of its phase is not said of
/// all who belong to it.
fn with_late(seconds: &[Second], marks: &[(String, f64)]) -> Vec<(String, f64)> {
    let ends = marks.iter().skip(1).map(|it| it.1).chain([f64::INFINITY]);
    let one = |((name, begins), ends): (&(String, f64), f64)| {
        let of_it = seconds.iter().filter(|it| (*begins..ends).contains(&it.begins()));
        let name = match of_it.map(|it| it.late_arrivals).sum::<u64>() {
            0 => name.clone(),
            late => format!("{name} ({} late)", number(late as f64)),
        };
        (name, *begins)
    };
    marks.iter().zip(ends).map(one).collect()
}

/// The volume with what a person remembers of it.
fn remembered(seconds: &[Second], width: usize) -> Series {
    let mut ema = Ema::new(HALF_LIFE);
    let mut mean = |it: &Second| Some(ema.add(it.begins(), a_second(it, it.deliveries)?));
    let means: Vec<Option<f64>> = seconds.iter().map(&mut mean).collect();
    let last = |chunk: &[Option<f64>]| chunk.iter().rev().copied().flatten().next();
    Series {
        name: format!("mean that halves in {HALF_LIFE} s"),
        values: means.chunks(width).map(last).collect(),
    }
}

/// What each phase took on average: the height of its stretch.
fn mean_of_phases(run: &Folder, width: usize) -> Option<Series> {
    let phases = &run.summary.phases;
    let mean = |chunk: &[Second]| {
        let phase = phases.iter().find(|it| it.name == chunk[0].phase)?;
        Some(phase.server_cpu_mean * 100.0).filter(|it| *it > 0.0)
    };
    (phases.len() > 1).then(|| Series {
        name: "server, mean of the phase".to_owned(),
        values: run.seconds.chunks(width).map(mean).collect(),
    })
}

fn over_time(seconds: &[Second], width: usize, lines: &[Line]) -> Kind {
    let chunks: Vec<&[Second]> = seconds.chunks(width).collect();
    let x = chunks.iter().map(|it| it[0].begins()).collect();
    let series = lines.iter().map(|(name, thin, value)| {
        let values = chunks.iter().map(|chunk| put_together(*thin, chunk, *value)).collect();
        Series { name: (*name).to_owned(), values }
    });
    let said = |it: &Series| it.values.iter().any(Option::is_some);
    Kind::Lines { x, series: series.filter(said).collect() }
}

fn put_together(
    thin: Thin,
    chunk: &[Second],
    value: impl Fn(&Second) -> Option<f64>,
) -> Option<f64> {
    let values = chunk.iter().filter_map(value);
    match thin {
        Thin::Worst => values.reduce(f64::max),
        Thin::Mean => {
            let (sum, count) = values.fold((0.0, 0_u32), |(sum, n), it| (sum + it, n + 1));
            (count > 0).then(|| sum / f64::from(count))
        }
    }
}

/// The last second may be a part of one: a tenth of a second says nothing of a rate.
fn a_second(second: &Second, count: u64) -> Option<f64> {
    (second.seconds > 0.1).then(|| count as f64 / second.seconds)
}

fn share(second: &Second, cpu: f64) -> Option<f64> {
    (second.seconds > 0.1).then(|| cpu / second.seconds * 100.0)
}

fn said(count: u64, value: f64) -> Option<f64> {
    (count > 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::folder::{Manifest, Percentiles, Summary};

    pub fn run(seconds: usize) -> Folder {
        let second = |at: usize| Second {
            second: at as u64,
            seconds: 1.0,
            sent: 10,
            deliveries: 100,
            phase: if at < seconds / 2 { "ramp".into() } else { "plateau".into() },
            ack: Percentiles { count: 10, p99_ms: at as f64, ..Percentiles::default() },
            ..Second::default()
        };
        Folder {
            manifest: Manifest::default(),
            seconds: (0..seconds).map(second).collect(),
            lines: Vec::new(),
            clients: Vec::new(),
            profile: None,
            summary: Summary::default(),
        }
    }

    fn chart(run: &Folder, id: &str) -> Chart {
        of(run).into_iter().find(|it| it.id == id).unwrap()
    }

    #[test]
    fn a_long_run_keeps_its_worst_seconds_and_its_mean_rates() {
        let run = run(6_000);
        let Kind::Lines { x, series } = chart(&run, "ack").kind else { panic!() };
        assert_eq!(x.len(), POINTS_MAX);
        assert_eq!(series[2].values[0], Some(9.0));
        let Kind::Lines { series, .. } = chart(&run, "deliveries").kind else { panic!() };
        assert_eq!(series[0].values[599], Some(100.0));
    }

    #[test]
    fn volume_is_remembered_and_latency_is_boxed_by_it() {
        let mut run = run(40);
        for (at, second) in run.seconds.iter_mut().enumerate() {
            second.deliveries = if at < 20 { 100 } else { 1_000 };
            second.delivery = Percentiles { count: 9, p99_ms: at as f64, ..Percentiles::default() };
        }
        let Kind::Lines { series, .. } = chart(&run, "deliveries").kind else { panic!() };
        let after = series[1].values[29].unwrap();
        assert!(
            (after - 550.0).abs() < 1.0,
            "ten seconds after the step it is half of it: {after}"
        );
        let Kind::Boxes(boxes) = chart(&run, "latency-by-volume-boxes").kind else { panic!() };
        assert_eq!(boxes.iter().map(|it| it.count).collect::<Vec<_>>(), [20, 20]);
        assert!(boxes[1].at[0] > 19.5 && boxes[1].at[4] < 39.5);
    }

    #[test]
    fn the_three_panels_of_a_consumer_come_out() {
        let mut run = run(4);
        for second in &mut run.seconds {
            second.counted.committed = Some(9.0);
            second.counted.lag = Some(3.0);
            second.counted.processing = [Some(1_500.0), Some(250.0), Some(2_000.0)];
        }
        let first = |id: &str| -> Vec<(String, Option<f64>)> {
            let Kind::Lines { series, .. } = chart(&run, id).kind else { panic!("{id}") };
            series.into_iter().map(|it| (it.name, it.values[0])).collect()
        };
        assert_eq!(first("flow")[2], ("committed".to_owned(), Some(9.0)));
        assert_eq!(first("consumer-lag")[0], ("lag".to_owned(), Some(3.0)));
        let processing = first("processing");
        let wanted = [("commit", 1.5), ("fan-out", 0.25), ("whole", 2.0)];
        assert_eq!(processing, wanted.map(|(name, ms)| (name.to_owned(), Some(ms))));
    }

    #[test]
    fn what_the_server_holds_on_to_is_drawn() {
        let mut run = run(4);
        for (at, second) in run.seconds.iter_mut().enumerate() {
            second.counted.descriptors = Some(30.0 + at as f64);
            second.counted.files = [Some(1_048_576.0), None];
        }
        let Kind::Lines { series, .. } = chart(&run, "descriptors").kind else { panic!() };
        assert_eq!(series[0].values[3], Some(33.0));
        let Kind::Lines { series, .. } = chart(&run, "files").kind else { panic!() };
        assert_eq!((series[0].values[0], series[1].values[0]), (Some(1.0), None));
    }

    #[test]
    fn what_was_not_measured_has_no_chart() {
        let charts = of(&run(4));
        assert!(charts.iter().all(|it| it.id != "memory" && it.id != "cpu"));
    }

    #[test]
    fn steal_is_drawn_as_what_it_was_of_one_core() {
        let mut run = run(4);
        run.manifest.machine.cores = 2;
        run.seconds.iter_mut().for_each(|it| (it.server_cpu, it.steal) = (0.7, 0.3));
        let Kind::Lines { series, .. } = chart(&run, "cpu").kind else { panic!() };
        let of = |name: &str| series.iter().find(|it| it.name == name).unwrap().values[0].unwrap();
        assert!((of("steal") - 60.0).abs() < 1e-9 && (of("server") - 70.0).abs() < 1e-9);
    }

    #[test]
    fn the_charts_of_cpu_and_of_who_is_there_say_in_which_phase_how_many_were_late() {
        let mut run = run(10);
        run.seconds.iter_mut().for_each(|it| (it.server_cpu, it.connections) = (0.5, 9));
        (run.seconds[5].late_arrivals, run.seconds[9].late_arrivals) = (2, 1);
        let marks = [("ramp".to_owned(), 0.0), ("plateau (3 late)".to_owned(), 5.0)];
        assert_eq!(chart(&run, "cpu").marks, marks);
        assert_eq!(chart(&run, "connections").marks, marks);
        assert_eq!(
            chart(&run, "ack").marks[1].0,
            "plateau",
            "the others are of those who were there"
        );
    }

    #[test]
    fn phases_are_marked_where_they_begin_and_colour_the_points() {
        let mut run = run(10);
        run.seconds.iter_mut().for_each(|it| it.server_cpu = 0.5);
        assert_eq!(chart(&run, "ack").marks, [("ramp".into(), 0.0), ("plateau".into(), 5.0)]);
        let Kind::Dots(groups) = chart(&run, "volume-by-cpu").kind else { panic!() };
        let names: Vec<&str> = groups.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["ramp", "plateau"]);
        assert_eq!(groups[1].points[0], (50.0, 100.0));
    }
}
