//! Tables of the parts of a run: its phases, what they cost, the rows of a closed model, and what climbed.
//!
//! Neighbours: `tables` puts them in their places. A run that has no such part has no such table.

use super::super::folder::{
    FeaturePrice, Folder, Growth, Percentiles, Phase, PhasePrice, Price, Row, Second,
};
use super::super::words::{number, percent};
use super::{NONE, Table, pairs, table};

/// As the summary has it: shorter than that, what is left of a phase says nothing of rates and shares.
const MEASURED_SECONDS: f64 = 0.001;

/// What the samples of a run say that left no summary. Nothing of it was held against anything.
pub fn sampled(run: &Folder) -> Table {
    let sum = |of: fn(&Second) -> u64| run.seconds.iter().map(of).sum::<u64>() as f64;
    let rates = run.summary.rates;
    let each = |count: f64, rate: f64| match run.seconds.as_slice() {
        [] => NONE.to_owned(),
        _ => format!("{} ({} a second)", number(count), number(rate.round())),
    };
    let (sent, acked, told) = (sum(|it| it.sent), sum(|it| it.acked), sum(|it| it.deliveries));
    let load = (run.summary.load_seconds * 10.0).round() / 10.0;
    let rows = vec![
        ("load", format!("{} s", number(load))),
        ("sends", each(sent, rates.sends)),
        ("of them, acked", each(acked, acked / run.summary.load_seconds.max(1e-9))),
        ("deliveries", each(told, rates.deliveries)),
        ("promises, latencies, costs", "not known: the run left no summary".to_owned()),
    ];
    pairs("What its samples say", rows)
}

/// Rates, CPU of both sides and latencies, phase by phase. What the first folders did not measure is left empty.
pub fn by_phase(run: &Folder) -> Table {
    let head = [
        "",
        "from s",
        "lasts s",
        "sends/s",
        "deliveries/s",
        "CPU %",
        "\u{b1} %",
        "lab %",
        "frames a write",
        "late",
        "ack p99",
        "delivery p99",
    ];
    let believed = run.summary.differs().is_empty();
    let row = |it: &Phase| {
        let none = || NONE.to_owned();
        let measured = it.seconds >= MEASURED_SECONDS;
        let rate = |count: u64| {
            if measured { number((count as f64 / it.seconds).round()) } else { none() }
        };
        let share = |share: f64| {
            if measured { format!("{:.1}", share * 100.0) } else { none() }
        };
        // A server that is not ours to see has no CPU; one that works takes some.
        let of_server = |cpu: f64| if it.server_cpu_mean > 0.0 { share(cpu) } else { none() };
        let p99 = |it: &Percentiles| {
            if it.count > 0 { format!("{:.2}", it.p99_ms) } else { none() }
        };
        let frames = it.frames_per_write.filter(|_| believed);
        vec![
            it.name.clone(),
            number((it.at * 10.0).round() / 10.0),
            number((it.seconds * 10.0).round() / 10.0),
            rate(it.sends),
            rate(it.deliveries),
            of_server(it.server_cpu_mean),
            of_server(it.server_cpu_deviation),
            it.generator_cpu.map_or_else(none, share),
            frames.map_or(String::new(), |it| format!("{it:.1}")),
            number(it.late as f64),
            p99(&it.ack),
            p99(&it.delivery),
        ]
    };
    let rows = run.summary.phases.iter().map(row).collect();
    let title = "By phase: rates, CPU of the server (mean and deviation) and of the generator, frames in each write of \
                 the server, who came late, latencies in ms";
    table(title, &head, rows)
}

/// What a join, a delivery and each feature of a join cost the server.
pub fn prices(run: &Folder) -> Option<Table> {
    let prices = run.summary.prices.as_ref()?;
    let us = |us: f64| format!("{us:.1}");
    let maybe = |deviation: Option<f64>| deviation.map_or(String::new(), us);
    let phase = |it: &PhasePrice| {
        let with = it.with.join(", ");
        let with = if with.is_empty() { with } else { format!(" with {with}") };
        let Price { count, cpu_us, deviation_us } = it.price;
        let what = format!("{}: a {}{with}", it.phase, it.of);
        vec![what, number(count as f64), us(cpu_us), maybe(deviation_us)]
    };
    let feature = |it: &FeaturePrice| {
        let [with, without] = &it.phases;
        let what = format!("{} of a join: {with} less {without}", it.name);
        vec![what, String::new(), us(it.cpu_us), maybe(it.deviation_us)]
    };
    let phases = prices.phases.iter().map(phase);
    let rows = phases.chain(prices.features.iter().map(feature)).collect();
    let idle = match prices.idle_share {
        Some(share) => format!("{} of a core", percent(share)),
        None => "not seen, and nothing is taken off".to_owned(),
    };
    let title =
        format!("Prices: CPU of the server, \u{b5}s of one, above what it takes idle ({idle})");
    Some(table(&title, &["", "of", "\u{b5}s", "\u{b1}"], rows))
}

/// What climbs over a load that does not change, an hour.
pub fn slopes(run: &Folder) -> Option<Table> {
    let slopes = run.summary.slopes.as_ref()?;
    let row = |(name, it): (&str, &Growth)| {
        let Growth { per_hour, interval, seconds, unmeasured } = it;
        let known = per_hour.zip(*interval);
        let cells = match known {
            Some((slope, [low, high])) => {
                [format!("{slope:+.3}"), format!("{low:+.3} to {high:+.3}")]
            }
            None => ["not measured".to_owned(), unmeasured.clone().unwrap_or_default()],
        };
        let [slope, between] = cells;
        vec![name.to_owned(), slope, between, number(*seconds as f64)]
    };
    let rows = [
        ("resident memory, MiB", &slopes.memory_mib),
        ("open descriptors", &slopes.descriptors),
        ("log, MiB", &slopes.log_mib),
        ("data folder, MiB", &slopes.folder_mib),
        ("p99 of the ack, ms", &slopes.ack_p99_ms),
    ];
    let head = ["", "an hour", "19 times in 20 between", "seconds"];
    let title = "What climbs, after the first quarter of the run";
    Some(table(title, &head, rows.into_iter().map(row).collect()))
}

/// The rows of a closed model: connecting, with what the kernel refused in that time, and round trips.
pub fn rows(run: &Folder) -> Option<Table> {
    let overflows = |phase: &str| -> u64 {
        let of_row = run.seconds.iter().filter(|it| it.phase == phase);
        of_row.map(|it| it.listen_overflows).sum()
    };
    let row = |it: &Row| {
        let us = |us: u32| number(f64::from(us));
        vec![
            it.name.clone(),
            number(it.clients as f64),
            number(it.messages as f64),
            us(it.connect_p50_us),
            us(it.connect_p99_us),
            us(it.connect_max_us),
            number(overflows(&it.name) as f64),
            us(it.rtt_p50_us),
            format!("{:+.3}", it.rtt_slope_us_per_client),
        ]
    };
    let head =
        ["", "clients", "messages", "connect p50", "p99", "max", "refused", "RTT p50", "slope"];
    let rows: Vec<Vec<String>> = run.summary.rows.iter().map(row).collect();
    let title = "Rows: connecting (\u{b5}s, and what the kernel refused), median round trip (\u{b5}s) and its slope over \
                 the clients' numbers";
    (!rows.is_empty()).then(|| table(title, &head, rows))
}
