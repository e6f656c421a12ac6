//! One figure against another: latency and volume against CPU, users against both, latency in stretches
//! of volume. A point is a second, coloured by its phase, so that two bands of one figure can be told
//! apart.
//!
//! Neighbours: `charts` puts them behind those over time. Where a run has a probe, its latency stands
//! for everybody's.

use super::{a_second, share};
use crate::report::chart::{BoxOf, Chart, Group, Kind, POINTS_MAX};
use crate::report::folder::{Folder, Percentiles, Second};
use crate::stats::{Bin, bins};

/// Stretches of the volume that have a box of their own.
const BINS: usize = 10;

/// One coordinate of a second.
type Figure<'a> = &'a dyn Fn(&Second) -> Option<f64>;

/// All of them.
pub fn of(run: &Folder) -> Vec<Chart> {
    let probe = run.probe();
    let probed = |it: &Second| -> Percentiles {
        probe.and_then(|probe| it.rooms.get(probe)).map_or(it.delivery, |it| it.delivery)
    };
    let (unit, who) = match probe {
        Some(_) => ("probe, ms", "the probe's latency"),
        None => ("delivery p99, ms", "latency"),
    };
    let latency = |it: &Second| {
        let it = probed(it);
        (it.count > 0).then_some(it.p99_ms)
    };
    let cpu = |it: &Second| share(it, it.server()?);
    let volume = |it: &Second| a_second(it, it.deliveries);
    let users = |it: &Second| it.users.map(|users| users as f64);
    let (of_cpu, of_volume) = ("server CPU, % of one core", "deliveries a second");
    let chart = |id: &str, title: String, [up, across]: [(&str, Figure<'_>); 2]| Chart {
        id: id.to_owned(),
        title: format!("{title}: a point a second, by phase"),
        unit: up.0.to_owned(),
        across: across.0.to_owned(),
        kind: Kind::Dots(by_phase(&run.seconds, up.1, across.1)),
        right: None,
        marks: Vec::new(),
    };
    let (of_latency, by_cpu, by_volume): (_, (_, Figure<'_>), (_, Figure<'_>)) =
        ((unit, &latency as Figure<'_>), (of_cpu, &cpu), (of_volume, &volume));
    let mut charts = vec![
        chart("latency-by-cpu", capital(who) + " against CPU", [of_latency, by_cpu]),
        chart("volume-by-cpu", "Volume against CPU".into(), [by_volume, by_cpu]),
    ];
    let counts: Vec<u64> = run.seconds.iter().filter_map(|it| it.users).collect();
    if counts.iter().any(|it| *it > 0) && counts.iter().min() != counts.iter().max() {
        let by_users: (_, Figure<'_>) = ("users who are there", &users);
        charts.push(chart("volume-by-users", "Users against volume".into(), [by_volume, by_users]));
        charts.push(chart("cpu-by-users", "Users against CPU".into(), [by_cpu, by_users]));
    }
    charts.push(chart(
        "latency-by-volume",
        capital(who) + " against volume",
        [of_latency, by_volume],
    ));
    charts.push(boxes(run, who, of_latency));
    charts
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |it| it.to_uppercase().chain(letters).collect())
}

/// Latency in stretches of equal volume: what the same server does when it is asked for more.
fn boxes(run: &Folder, who: &str, (unit, latency): (&str, Figure<'_>)) -> Chart {
    let point = |it: &Second| Some((a_second(it, it.deliveries)?, latency(it)?));
    let points: Vec<(f64, f64)> = run.seconds.iter().filter_map(point).collect();
    let one = |bin: Bin| {
        let Bin { from, to, spread: it } = bin;
        let at = [it.min, it.lower, it.median, it.upper, it.max];
        BoxOf { from, to, count: it.count, at }
    };
    Chart {
        id: "latency-by-volume-boxes".to_owned(),
        title: format!(
            "{} by volume: quartiles, smallest and largest second of each stretch",
            capital(who)
        ),
        unit: unit.to_owned(),
        across: "deliveries a second".to_owned(),
        kind: Kind::Boxes(bins(&points, BINS).into_iter().map(one).collect()),
        right: None,
        marks: Vec::new(),
    }
}

/// At most so many points as a page shows, every n-th of a long run.
fn by_phase(seconds: &[Second], up: Figure<'_>, across: Figure<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for second in seconds.iter().step_by(seconds.len().div_ceil(POINTS_MAX).max(1)) {
        let Some(point) = across(second).zip(up(second)) else { continue };
        let name = if second.phase.is_empty() { "load" } else { second.phase.as_str() };
        match groups.iter_mut().find(|it| it.name == name) {
            Some(group) => group.points.push(point),
            None => {
                groups.push(Group { name: name.to_owned(), points: vec![point], fit: None });
            }
        }
    }
    groups
}
