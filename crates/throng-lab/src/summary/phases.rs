//! What a run says of its phases, and of the rows of a closed model.
//!
//! Neighbours: `mod` puts it into the summary. Percentiles are of all that a phase had; CPU is the
//! mean and the deviation of its samples.

use std::fmt::Write;

use serde::Serialize;

use crate::recorder::{OfPhase, Percentiles, Sample};
use crate::runner::RowClient;

/// Shorter than that, what is left of a phase says nothing of rates and shares.
const MEASURED_SECONDS: f64 = 0.001;
/// Where nothing was measured.
const NONE: &str = "\u{2013}";

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseSummary {
    /// Its name.
    pub name: String,
    /// When it began, in seconds of the load.
    pub at: f64,
    /// How long it lasted.
    pub seconds: f64,
    /// Sends.
    pub sends: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// CPU of the server's process, of one core: the mean of the samples, weighed by their length.
    pub server_cpu_mean: f64,
    /// Its standard deviation.
    pub server_cpu_deviation: f64,
    /// CPU of the generator, of its one core: the mean likewise; none of a phase that was not measured, because no
    /// sample fell into it.
    pub generator_cpu: Option<f64>,
    /// Frames in a write of the server, on average, by its own count; absent where it does not count them, or counts
    /// otherwise than was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_write: Option<f64>,
    /// Users who came later than a second after they should have.
    pub late: u64,
    /// Send to durable ack.
    pub ack: Percentiles,
    /// Send to each recipient.
    pub delivery: Percentiles,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct RowSummary {
    /// Its name.
    pub name: String,
    /// Clients that finished.
    pub clients: u64,
    /// Messages they sent.
    pub messages: u64,
    /// Half of the connections were made quicker, microseconds.
    pub connect_p50_us: u32,
    /// All but one in a hundred were.
    pub connect_p99_us: u32,
    /// The slowest.
    pub connect_max_us: u32,
    /// The median of the clients' medians, microseconds.
    pub rtt_p50_us: u32,
    /// Least squares of the median round trip over the client's number: microseconds a client.
    pub rtt_slope_us_per_client: f64,
}

/// Of the samples and what was recorded.
pub fn of(samples: &[Sample], recorded: &[OfPhase]) -> Vec<PhaseSummary> {
    let mut phases: Vec<PhaseSummary> = recorded.iter().map(|it| one(samples, it)).collect();
    phases.sort_by(|a, b| a.at.total_cmp(&b.at));
    phases
}

fn one(samples: &[Sample], of: &OfPhase) -> PhaseSummary {
    let samples: Vec<&Sample> = samples.iter().filter(|it| it.phase == of.name).collect();
    let seconds: f64 = samples.iter().map(|it| it.seconds).sum();
    let (mean, deviation) = cpu(&samples);
    PhaseSummary {
        name: of.name.clone(),
        at: of.at,
        seconds,
        sends: samples.iter().map(|it| it.sent).sum(),
        deliveries: samples.iter().map(|it| it.deliveries).sum(),
        server_cpu_mean: mean,
        server_cpu_deviation: deviation,
        generator_cpu: is_measured(seconds)
            .then(|| samples.iter().map(|it| it.generator_cpu).sum::<f64>() / seconds),
        frames_per_write: None,
        late: samples.iter().map(|it| it.late_arrivals).sum(),
        ack: of.ack.percentiles(),
        delivery: of.delivery.percentiles(),
    }
}

/// Whether anything can be divided by so many seconds: a phase that a stall took whole has a sample of some
/// microseconds, or none.
fn is_measured(seconds: f64) -> bool {
    seconds >= MEASURED_SECONDS
}

/// Mean and deviation of the server's CPU, of one core; samples weigh by their length. Nothing of what was not
/// measured.
pub fn cpu(samples: &[&Sample]) -> (f64, f64) {
    let seconds: f64 = samples.iter().map(|it| it.seconds).sum();
    if !is_measured(seconds) {
        return (0.0, 0.0);
    }
    let mean = samples.iter().map(|it| it.server_cpu).sum::<f64>() / seconds;
    let away = |it: &&Sample| (it.server_cpu / it.seconds.max(1e-9) - mean).powi(2) * it.seconds;
    (mean, (samples.iter().map(away).sum::<f64>() / seconds).sqrt())
}

/// Of the clients, row by row.
pub fn rows(clients: &[RowClient]) -> Vec<RowSummary> {
    let mut names: Vec<&str> = Vec::new();
    for client in clients {
        if !names.contains(&&*client.phase) {
            names.push(&client.phase);
        }
    }
    names.into_iter().map(|name| row(name, clients)).collect()
}

fn row(name: &str, clients: &[RowClient]) -> RowSummary {
    let clients: Vec<&RowClient> = clients.iter().filter(|it| it.phase == name).collect();
    let sorted = |of: fn(&RowClient) -> u32| {
        let mut all: Vec<u32> = clients.iter().map(|it| of(it)).collect();
        all.sort_unstable();
        all
    };
    let at = |all: &[u32], share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
    let connects = sorted(|it| it.connect_us);
    let trips = sorted(|it| it.median_rtt_us);
    let points = clients.iter().map(|it| (f64::from(it.client_id), f64::from(it.median_rtt_us)));
    RowSummary {
        name: name.to_owned(),
        clients: clients.len() as u64,
        messages: clients.iter().map(|it| u64::from(it.messages)).sum(),
        connect_p50_us: at(&connects, 0.5),
        connect_p99_us: at(&connects, 0.99),
        connect_max_us: at(&connects, 1.0),
        rtt_p50_us: at(&trips, 0.5),
        rtt_slope_us_per_client: slope(&points.collect::<Vec<_>>()),
    }
}

/// Least squares; zero for fewer than two different abscissae.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x_mean, y_mean) = (mean(|it| it.0), mean(|it| it.1));
    let products: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let squares: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// For a person.
pub fn write(phases: &[PhaseSummary], rows: &[RowSummary], to: &mut String) -> std::fmt::Result {
    if !phases.is_empty() {
        writeln!(
            to,
            "\n{:14} {:>7} {:>9} {:>11} {:>12} {:>6} {:>7} {:>10} {:>10} {:>6}",
            "phase",
            "seconds",
            "sends/s",
            "deliveries/s",
            "CPU %",
            "lab %",
            "frames",
            "ack p99",
            "deliv. p99",
            "late"
        )?;
    }
    for it in phases {
        let none = || NONE.to_owned();
        let measured = is_measured(it.seconds);
        let each = |count: u64| {
            if measured { format!("{:.1}", count as f64 / it.seconds) } else { none() }
        };
        // A process that works takes some; none is that of a server that is not ours to see.
        let cpu = if it.server_cpu_mean > 0.0 {
            let (mean, deviation) = (it.server_cpu_mean * 100.0, it.server_cpu_deviation * 100.0);
            format!("{mean:.1} \u{b1} {deviation:.1}")
        } else {
            none()
        };
        let own = it.generator_cpu.map_or_else(none, |it| format!("{:.1}", it * 100.0));
        let frames = it.frames_per_write.map_or_else(none, |it| format!("{it:.1}"));
        let p99 = |it: &Percentiles| {
            if it.count > 0 { format!("{:.2}", it.p99_ms) } else { none() }
        };
        writeln!(
            to,
            "{:14} {:>7.1} {:>9} {:>12} {cpu:>12} {own:>6} {frames:>7} {:>10} {:>10} {:>6}",
            it.name,
            it.seconds,
            each(it.sends),
            each(it.deliveries),
            p99(&it.ack),
            p99(&it.delivery),
            it.late
        )?;
    }
    for it in rows {
        writeln!(
            to,
            "row {:10} {} clients, {} messages; connect p50 {} p99 {} max {} µs; median RTT {} µs, \
             {:+.3} µs a client",
            it.name,
            it.clients,
            it.messages,
            it.connect_p50_us,
            it.connect_p99_us,
            it.connect_max_us,
            it.rtt_p50_us,
            it.rtt_slope_us_per_client
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_of_a_phase_are_those_of_its_samples_alone() {
        let sample = |phase: &str, at: f64, cpu: f64| Sample {
            phase: phase.into(),
            at,
            seconds: 1.0,
            server_cpu: cpu,
            generator_cpu: cpu / 2.0,
            sent: 5,
            ..Sample::default()
        };
        let samples = [sample("a", 0.0, 0.9), sample("b", 1.0, 0.2), sample("b", 2.0, 0.4)];
        // In phase `late` nothing was looked at: a stall took all of it.
        let recorded = [("b", 1.0), ("late", 3.0), ("a", 0.0)].map(|(name, at)| OfPhase {
            name: name.into(),
            at,
            ..OfPhase::default()
        });
        let phases = of(&samples, &recorded);
        let names: Vec<&str> = phases.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["a", "b", "late"], "by their beginning");
        assert!((phases[1].server_cpu_mean - 0.3).abs() < 1e-9);
        assert!((phases[1].server_cpu_deviation - 0.1).abs() < 1e-9);
        assert!((phases[1].generator_cpu.unwrap() - 0.15).abs() < 1e-9);
        assert_eq!(phases[2].generator_cpu, None);
        assert_eq!((phases[0].sends, phases[1].sends), (5, 10));
    }

    #[test]
    fn what_was_not_measured_in_a_phase_is_no_number() {
        let mut short =
            Sample { phase: "gone".into(), seconds: 1e-9, sent: 3, ..Sample::default() };
        (short.server_cpu, short.generator_cpu) = (0.4, 0.000_786);
        let far = Sample { phase: "far".into(), at: 1.0, seconds: 1.0, ..Sample::default() };
        let recorded = [("gone", 0.0), ("far", 1.0)].map(|(name, at)| OfPhase {
            name: name.into(),
            at,
            ..OfPhase::default()
        });
        let mut phases = of(&[short, far], &recorded);
        assert_eq!((phases[0].generator_cpu, phases[0].server_cpu_mean), (None, 0.0));
        phases[1].ack = Percentiles { count: 1, p99_ms: 4.5, ..Percentiles::default() };
        let mut words = String::new();
        write(&phases, &[], &mut words).unwrap();
        let cells = |name: &str| {
            let line = words.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let none = "\u{2013}";
        assert_eq!(cells("gone"), ["0.0", none, none, none, none, none, none, none, "0"]);
        assert_eq!(cells("far"), ["1.0", "0.0", "0.0", none, "0.0", none, "4.50", none, "0"]);
    }

    #[test]
    fn the_slope_of_a_line_is_found_and_one_point_has_none() {
        let client = |id: u32, rtt: u32| RowClient {
            client_id: id,
            messages: id * 10,
            connect_us: id,
            median_rtt_us: rtt,
            phase: "up".into(),
        };
        let clients: Vec<RowClient> = (1..=100).map(|id| client(id, 40 + 3 * id)).collect();
        let row = &rows(&clients)[0];
        assert!((row.rtt_slope_us_per_client - 3.0).abs() < 1e-9);
        assert_eq!((row.clients, row.messages, row.connect_max_us), (100, 50_500, 100));
        assert!((rows(&clients[..1])[0].rtt_slope_us_per_client).abs() < 1e-9);
    }
}
