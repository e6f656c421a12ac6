//! The clients of a closed model: how long each took to connect, and the median of its round trips,
//! over its number, with the line that is nearest to them.
//!
//! Neighbours: the runner wrote `analysis.csv`; `charts` puts these first.

use crate::report::chart::{Chart, Group, Kind, POINTS_MAX};
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
    let of_each = match drawn_together(&run.clients) {
        1 => "of each client".to_owned(),
        some => format!("of the slowest of each {some} clients"),
    };
    let slopes = slopes.join(", ");
    let title = format!("Median round trip {of_each}; slope, \u{b5}s a client: {slopes}");
    vec![
        chart("connect", format!("Connect time {of_each}; {refused}"), |it| it.connect_us, false),
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
    let together = drawn_together(clients);
    for group in &mut groups {
        if fit && group.points.len() >= FIT_MIN {
            group.fit = nearest(&group.points);
        }
        if together > 1 {
            group.points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let slowest =
                |some: &[(f64, f64)]| some.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
            group.points = group.points.chunks(together).filter_map(slowest).collect();
        }
    }
    groups
}

/// So many clients of a row have a point together, so that a page stays as small as it is to be.
fn drawn_together(clients: &[Client]) -> usize {
    let mut rows: Vec<(&str, usize)> = Vec::new();
    for client in clients {
        match rows.iter_mut().find(|it| it.0 == client.phase) {
            Some((_, count)) => *count += 1,
            None => rows.push((&client.phase, 1)),
        }
    }
    let largest = rows.iter().map(|it| it.1).max().unwrap_or_default();
    largest.div_ceil(POINTS_MAX).max(1)
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

    /// A spike among many thousands is still seen.
    #[test]
    fn of_very_many_clients_the_slowest_of_some_are_drawn_together() {
        let client = |id: u32| Client {
            id,
            connect_us: if id == 7_777 { 90_000.0 } else { 50.0 },
            phase: "up".into(),
            ..Client::default()
        };
        let clients: Vec<Client> = (1..=10_000).rev().map(client).collect();
        let groups = by_row(&clients, |it| it.connect_us, true);
        assert!(groups[0].points.len() <= POINTS_MAX, "{}", groups[0].points.len());
        assert!(groups[0].points.contains(&(7_777.0, 90_000.0)));
        let [from, to] = groups[0].fit.unwrap();
        assert!(from.0 < 1.5 && to.0 > 9_999.5, "the line is through all of them");
        assert_eq!(drawn_together(&clients[..600]), 1);
    }
}
