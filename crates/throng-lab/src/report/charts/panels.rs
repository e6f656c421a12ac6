//! What the server counted each second, beside what was asked of it: where it falls behind, by how much,
//! and in which of its stages the time goes; and the processes that the run looked at beside it.
//!
//! Neighbours: the witness asked the server and wrote `series.csv`; `charts` puts these behind what the
//! generator saw. A server that counts nothing has none of them.

use super::{Thin, a_second, put_together, share};
use crate::report::chart::{Chart, Kind, POINTS_MAX, Right, Series};
use crate::report::folder::{Folder, Second};

/// Whatever the server calls its stages, more than this are not drawn.
const STAGES_MAX: usize = 12;

/// One line: its name, how seconds are put together, its value.
type Line<'a> = (&'a str, Thin, &'a dyn Fn(&Second) -> Option<f64>);

/// All of them.
pub fn of(run: &Folder) -> Vec<Chart> {
    let mut charts = vec![volume_and_cpu(run)];
    let believed = run.summary.differs().is_empty();
    if believed && run.seconds.iter().any(|it| it.counted.committed.is_some()) {
        charts.extend([flow(run), lag(run), processing(run)]);
    }
    charts.push(in_flight(run));
    charts.extend(work(run).filter(|_| believed));
    charts.extend([descriptors(run), files(run)]);
    charts.extend(trees(run));
    if run.seconds.iter().any(|it| it.listen_overflows > 0) {
        charts.push(overflows(run));
    }
    charts
}

fn chart(run: &Folder, [id, title, unit]: [&str; 3], lines: &[Line<'_>]) -> Chart {
    Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        across: "seconds from the beginning of the load".to_owned(),
        kind: Kind::Lines {
            x: chunks(run).map(|it| it[0].begins()).collect(),
            series: series(run, lines),
        },
        right: None,
        marks: run.phases(),
    }
}

fn chunks(run: &Folder) -> impl Iterator<Item = &[Second]> {
    run.seconds.chunks(run.seconds.len().div_ceil(POINTS_MAX).max(1))
}

fn series(run: &Folder, lines: &[Line<'_>]) -> Vec<Series> {
    let one = |(name, thin, value): &Line<'_>| {
        let values = chunks(run).map(|chunk| put_together(*thin, chunk, |it| value(it))).collect();
        Series { name: (*name).to_owned(), values }
    };
    lines.iter().map(one).collect()
}

fn right(run: &Folder, unit: &str, lines: &[Line<'_>]) -> Right {
    Right { unit: unit.to_owned(), series: series(run, lines) }
}

fn volume_and_cpu(run: &Folder) -> Chart {
    let volume = |it: &Second| it.counted.volume_ema.or_else(|| a_second(it, it.deliveries));
    let cpu = |it: &Second| share(it, it.server()?);
    let title = "Volume and CPU of the server over time";
    Chart {
        right: Some(right(run, "% of one core", &[("server CPU", Thin::Mean, &cpu)])),
        ..chart(
            run,
            ["volume-and-cpu", title, "deliveries a second, smoothed"],
            &[("volume", Thin::Mean, &volume)],
        )
    }
}

fn flow(run: &Folder) -> Chart {
    let committed = |it: &Second| it.counted.committed.map(|n| n / it.seconds.max(1e-9));
    Chart {
        right: Some(right(
            run,
            "deliveries a second",
            &[("delivered", Thin::Mean, &|it| a_second(it, it.deliveries))],
        )),
        ..chart(
            run,
            ["flow", "Offered, accepted, committed, delivered", "sends a second"],
            &[
                ("offered", Thin::Mean, &|it| a_second(it, it.intended)),
                ("accepted", Thin::Mean, &|it| a_second(it, it.acked)),
                ("committed", Thin::Mean, &committed),
            ],
        )
    }
}

fn lag(run: &Folder) -> Chart {
    let title = "Lag: offered and not yet committed; of it, what still waits in the generator";
    chart(
        run,
        ["consumer-lag", title, "messages"],
        &[
            ("lag", Thin::Worst, &|it| it.counted.lag),
            ("generator's backlog", Thin::Worst, &|it| Some(it.backlog as f64)),
        ],
    )
}

/// The third of the panels by which a consumer is judged: storing, telling, and the whole of it.
fn processing(run: &Folder) -> Chart {
    let part = |it: &Second, at: usize| it.counted.processing[at].map(|us| us / 1e3);
    let title = "Processing of the mean message in the server: commit, fan-out, all its stages with the queue";
    chart(
        run,
        ["processing", title, "ms"],
        &[
            ("commit", Thin::Worst, &|it| part(it, 0)),
            ("fan-out", Thin::Worst, &|it| part(it, 1)),
            ("whole", Thin::Worst, &|it| part(it, 2)),
        ],
    )
}

/// Acks a second times how long each took is how many were on their way.
fn in_flight(run: &Folder) -> Chart {
    let law = |it: &Second| {
        let known = it.ack.count > 0 && it.ack.mean_ms > 0.0 && it.seconds > 0.1;
        known.then(|| it.ack.count as f64 * it.ack.mean_ms / 1e3 / it.seconds)
    };
    let measured = |it: &Second| (it.in_flight > 0.0).then_some(it.in_flight);
    let title = "Sends on their way to their ack: looked at, and by L = \u{3bb}W";
    chart(
        run,
        ["in-flight", title, "sends"],
        &[("measured", Thin::Mean, &measured), ("L = \u{3bb}W", Thin::Mean, &law)],
    )
}

fn work(run: &Folder) -> Option<Chart> {
    let counted = run.seconds.iter().find(|it| !it.counted.work.is_empty())?;
    let names: Vec<&str> =
        counted.counted.work.iter().map(|it| it.0.as_str()).take(STAGES_MAX).collect();
    let stage = |name: &str| {
        let value = |it: &Second| {
            let work = it.counted.work.iter().find(|(stage, _)| stage == name);
            work.map(|(_, seconds)| *seconds)
        };
        let values = chunks(run).map(|chunk| put_together(Thin::Mean, chunk, value)).collect();
        Series { name: name.to_owned(), values }
    };
    let title =
        "Work of each stage: seconds of it in a second, which is how many were in it at once";
    let mut chart = chart(run, ["work", title, "seconds a second"], &[]);
    if let Kind::Lines { series, .. } = &mut chart.kind {
        series.extend(names.into_iter().map(stage));
    }
    Some(chart)
}

fn descriptors(run: &Folder) -> Chart {
    let words = ["descriptors", "Descriptors that the server has open", "at the second's end"];
    chart(run, words, &[("open", Thin::Worst, &|it| it.counted.descriptors)])
}

/// The log is trimmed as it is folded; what stays is in the rest of the folder.
fn files(run: &Folder) -> Chart {
    let mib = |it: &Second, at: usize| it.counted.files[at].map(|it| it / f64::from(1 << 20));
    let words = ["files", "Files of the server: its log, its whole data folder", "MiB"];
    chart(
        run,
        words,
        &[("log", Thin::Worst, &|it| mib(it, 0)), ("folder", Thin::Worst, &|it| mib(it, 1))],
    )
}

/// The processes that were looked at because it was asked for: CPU, and memory.
fn trees(run: &Folder) -> Vec<Chart> {
    let Some(looked) = run.seconds.iter().find(|it| !it.counted.trees.is_empty()) else {
        return Vec::new();
    };
    let names: Vec<&str> = looked.counted.trees.iter().map(|it| it.0.as_str()).collect();
    let of = |it: &Second, name: &str| it.counted.trees.iter().find(|(tree, _)| tree == name)?.1;
    let cpu = |it: &Second, name: &str| share(it, of(it, name)?.0);
    let memory = |it: &Second, name: &str| Some(of(it, name)?.1 / f64::from(1 << 20));
    let lines = |thin: Thin, value: &dyn Fn(&Second, &str) -> Option<f64>| -> Vec<Series> {
        let line = |name: &&str| {
            let values = chunks(run).map(|chunk| put_together(thin, chunk, |it| value(it, name)));
            Series { name: (*name).to_owned(), values: values.collect() }
        };
        names.iter().map(line).collect()
    };
    let of_cpu = ["cpu-beside", "CPU of the processes watched beside", "% of one core"];
    let of_memory = ["memory-beside", "Resident memory of the processes watched beside", "MiB"];
    let drawn = [(of_cpu, lines(Thin::Mean, &cpu)), (of_memory, lines(Thin::Worst, &memory))];
    let draw = |(words, lines): ([&str; 3], Vec<Series>)| {
        let mut chart = chart(run, words, &[]);
        if let Kind::Lines { series, .. } = &mut chart.kind {
            series.extend(lines);
        }
        chart
    };
    drawn.into_iter().map(draw).collect()
}

fn overflows(run: &Folder) -> Chart {
    let connect = |it: &Second| (it.listen_overflows > 0).then_some(it.listen_overflows as f64);
    chart(
        run,
        ["overflows", "Connections refused by the kernel for a full backlog", "in the second"],
        &[("listen overflows", Thin::Worst, &connect)],
    )
}
