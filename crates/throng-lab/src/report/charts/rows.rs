//! The clients of a closed model: how long each took to connect, and the median of its round trips,
//! over its number, with the line that is nearest to them.
//!
//! Neighbours: the runner wrote `analysis.csv`; `charts` puts these first.

use crate::report::chart::{Chart, Group, Kind};
use crate::report::folder::{Client, Folder};
use crate::stats::line;

/// Fewer points than this are no line.
const FIT_MIN: usize = 3;

/// Both, where there are rows.
pub fn of(run: &Folder) -> Vec<Chart> {
    if run.clients.is_empty() {
        return Vec::new();
    }
    let overflows: u64 = run.seconds.iter().map(|it| it.listen_overflows).sum();
    let refused = match overflows {
        0 => "the kernel refused none".to_owned(),
        n => format!("the kernel refused {n} for a full backlog"),
    };
    let chart = |id: &str, title: String, value: fn(&Client) -> f64, fit: bool| Chart {
        id: id.to_owned(),
        title,
        unit: "\u{b5}s".to_owned(),
        across: "client, by its number".to_owned(),
        kind: Kind::Dots(by_row(&run.clients, value, fit)),
        right: None,
        marks: Vec::new(),
    };
    let slopes: Vec<String> = run
        .summary
        .rows
        .iter()
        .map(|it| format!("{} {:+.3}", it.name, it.rtt_slope_us_per_client))
        .collect();
    let title =
        format!("Median round trip of each client; slope, \u{b5}s a client: {}", slopes.join(", "));
    vec![
        chart(
            "connect",
            format!("Connect time of each client; {refused}"),
            |it| it.connect_us,
            false,
        ),
        chart("rtt", title, |it| it.median_rtt_us, true),
    ]
}

fn by_row(clients: &[Client], value: fn(&Client) -> f64, fit: bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for client in clients {
        let point = (f64::from(client.id), value(client));
        match groups.iter_mut().find(|it| it.name == client.phase) {
            Some(group) => group.points.push(point),
            None => {
                groups.push(Group { name: client.phase.clone(), points: vec![point], fit: None });
            }
        }
    }
    for group in groups.iter_mut().filter(|it| fit && it.points.len() >= FIT_MIN) {
        group.fit = nearest(&group.points);
    }
    groups
}

fn nearest(points: &[(f64, f64)]) -> Option<[(f64, f64); 2]> {
    let line = line(points)?;
    let ends = points.iter().map(|it| it.0);
    let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
    Some([low, high].map(|x| (x, (line.at_zero + line.slope * x).max(0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_points_and_the_line_through_them() {
        let client = |id: u32, phase: &str| Client {
            id,
            median_rtt_us: 50.0 + f64::from(id),
            phase: phase.into(),
            ..Client::default()
        };
        let clients: Vec<Client> =
            (1..=9).map(|id| client(id, "up")).chain([client(1, "down")]).collect();
        let groups = by_row(&clients, |it| it.median_rtt_us, true);
        assert_eq!((groups.len(), groups[0].points.len()), (2, 9));
        let [from, to] = groups[0].fit.unwrap();
        assert!((from.1 - 51.0).abs() < 1e-6 && (to.1 - 59.0).abs() < 1e-6, "{from:?} {to:?}");
        assert_eq!(groups[1].fit, None);
    }
}
