//! A scenario run in each of the ways it lists, one after the other, and one table of what came of
//! them.
//!
//! Neighbours: `run` makes each run in a folder of its own below the one given. Runs that differ in
//! the noise between them differ in this table too: `compare` says which.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::Ordering;

use crate::clock;
use crate::run::{self, LabError, RunArgs};
use crate::scenario::Scenario;
use crate::summary::Summary;

/// Runs every arm of the scenario; each with its name.
pub fn run(
    args: &RunArgs,
    say: &mut (dyn Write + Send),
) -> Result<Vec<(String, Summary)>, LabError> {
    let scenario = Scenario::load(&args.scenario, &[])?;
    if scenario.arms.is_empty() {
        let text = format!("{} has no arms to run in turn", scenario.name);
        return Err(LabError::Arguments(text));
    }
    let named = args.out.clone().map(Ok);
    let out = named.unwrap_or_else(|| run::default_folder(&scenario, clock::unix_seconds()))?;
    let mut done = Vec::new();
    for arm in &scenario.arms {
        let name = arm.name.clone();
        let out = Some(out.join(&name));
        let args = RunArgs { arm: Some(name.clone()), out, ..args.clone() };
        done.push((name, run::run(&args, say)?));
        if args.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let failed = |error| LabError::Folder(out.clone(), error);
    std::fs::write(out.join("arms.csv"), csv(&done)).map_err(failed)?;
    write!(say, "\n{}arms        {}\n", words(&done), out.display()).map_err(failed)?;
    Ok(done)
}

/// One column: its name in the table, its name in the file, and its figure.
type Column = (&'static str, &'static str, fn(&Summary) -> Option<f64>);

const COLUMNS: [Column; 18] = [
    ("sends/s", "sends_per_second", |it| Some(it.rates.sends)),
    ("acked/s", "acked_per_second", |it| Some(it.rates.acked)),
    ("deliveries/s", "deliveries_per_second", |it| Some(it.rates.deliveries)),
    ("syncs/k", "fsyncs_per_1000_sends", |it| Some(it.believed()?.fsyncs_per_1000_sends)),
    ("reads/k", "reads_per_1000_sends", |it| Some(it.believed()?.reads_per_1000_sends)),
    ("writes/k", "writes_per_1000_sends", |it| Some(it.believed()?.writes_per_1000_sends)),
    ("frames/write", "frames_per_write", |it| it.believed()?.frames_per_write),
    ("proc r/k", "proc_reads_per_1000_sends", |it| it.believed()?.proc_reads_per_1000_sends),
    ("proc w/k", "proc_writes_per_1000_sends", |it| it.believed()?.proc_writes_per_1000_sends),
    ("MiB", "memory_max_mib", |it| Some(it.cost?.rss_max_bytes as f64 / f64::from(1 << 20))),
    ("CPU %", "server_cpu_percent", |it| Some(it.cost?.cpu_share * 100.0)),
    ("±", "server_cpu_deviation_percent", |it| Some(it.cost?.cpu_share_deviation * 100.0)),
    ("lab % (3 s)", "generator_cpu_3s_max_percent", |it| {
        Some(it.generator.cpu_share_3s_max * 100.0)
    }),
    ("µs/delivery", "cpu_us_per_delivery", |it| Some(it.cost?.cpu_us_per_delivery)),
    ("B/delivery", "bytes_per_delivery", |it| Some(it.wire.bytes_per_delivery)),
    ("µs/join", "cpu_us_per_join", |it| Some(it.prices.as_ref()?.join?.cpu_us)),
    ("ack p50", "ack_p50_ms", |it| Some(it.latency.ack.p50_ms)),
    ("ack p99", "ack_p99_ms", |it| Some(it.latency.ack.p99_ms)),
];

/// The table for a person.
pub fn words(done: &[(String, Summary)]) -> String {
    let mut text = format!("{:12}", "arm");
    for (title, _, _) in COLUMNS {
        write!(text, " {title:>12}").expect("a String grows");
    }
    text.push_str("  verdict\n");
    for (name, summary) in done {
        write!(text, "{name:12}").expect("a String grows");
        for (_, _, figure) in COLUMNS {
            let figure = figure(summary).map_or("–".to_owned(), |it| format!("{it:.2}"));
            write!(text, " {figure:>12}").expect("a String grows");
        }
        let grade = summary.grade.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
        let ending = format!("{:?}", summary.ending).to_lowercase();
        writeln!(text, "  {ending}{grade}").expect("a String grows");
    }
    text
}

fn csv(done: &[(String, Summary)]) -> String {
    let titles = COLUMNS.map(|(_, title, _)| title).join(",");
    let mut text = format!("arm,{titles},ending\n");
    for (name, summary) in done {
        let figures = COLUMNS
            .map(|(_, _, figure)| figure(summary).map_or(String::new(), |it| it.to_string()));
        let ending = format!("{:?}", summary.ending).to_lowercase();
        writeln!(text, "{name},{},{ending}", figures.join(",")).expect("a String grows");
    }
    text
}
