//! The tables of a report, the same on the page and on paper.
//!
//! Neighbours: `html` and `pdf` set them; `parts` has those of phases, rows, prices and slopes.

mod parts;

use std::collections::BTreeMap;

use super::folder::{Agent, Came, Folder, Ledger, Percentiles, StageWork, Threshold, day};
use super::stages::path;
use super::words::{bytes, ms, number, percent};
use crate::beside::FloorRatio;
use crate::summary::{AckPath, Entries};
use crate::traces::STAGES;

/// Where nothing was measured.
const NONE: &str = "\u{2013}";

/// A table: what it says, its head, its rows. The first column is words, the others numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Above it.
    pub title: String,
    /// The columns' names.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// All of them, in the order in which they are read.
pub fn of(run: &Folder) -> Vec<Table> {
    if run.summary.is_missing {
        return vec![parts::sampled(run), machine(run)];
    }
    let mut tables = vec![promises(run)];
    tables.extend(goals(run));
    tables.push(latencies(run));
    if run.summary.latency_by_rooms.len() > 1 {
        tables.push(by_rooms(run));
    }
    if !run.summary.phases.is_empty() {
        tables.push(parts::by_phase(run));
    }
    tables.extend(parts::prices(run));
    tables.extend(parts::slopes(run));
    tables.extend(parts::rows(run));
    tables.push(counts(run));
    tables.extend(ack_path(run));
    tables.push(traced(run));
    tables.extend(stages(run));
    tables.extend(not_compared(run));
    tables.push(costs(run));
    tables.push(clocks(run));
    tables.push(machine(run));
    tables
}

fn table(title: &str, head: &[&str], rows: Vec<Vec<String>>) -> Table {
    let head = head.iter().map(|it| (*it).to_owned()).collect();
    Table { title: title.to_owned(), head, rows }
}

fn promises(run: &Folder) -> Table {
    let ledger = &run.summary.ledger;
    let row = |name: &str, tally: super::folder::Tally| {
        let counts = tally.kinds().map(|(_, count)| number(count as f64));
        std::iter::once(name.to_owned()).chain(counts).collect()
    };
    let rows = vec![row("sends", ledger.send_faults), row("deliveries", ledger.delivery_faults)];
    table("Promises broken", &["", "lost", "duplicated", "reordered", "foreign"], rows)
}

/// What the scenario wants: the percentiles of its goal against their bounds, and its thresholds.
fn goals(run: &Folder) -> Option<Table> {
    let summary = &run.summary;
    let word = |came: Came| match came {
        Came::Met => "met",
        Came::Missed => "missed",
        Came::Unsure => "cannot be told",
        Came::Unmeasured => "not measured",
    };
    let row = |it: &Threshold| {
        let (claim, bound) = it.says.rsplit_once(": ").unwrap_or((&it.says, ""));
        [claim, bound, &it.was, word(it.came)].map(str::to_owned).to_vec()
    };
    let mut rows: Vec<Vec<String>> = summary.thresholds.iter().map(row).collect();
    if let Some(goal) = summary.goal.as_ref().filter(|_| rows.is_empty()) {
        for (name, is, most) in &goal.percentiles {
            let came = if is <= most { Came::Met } else { Came::Missed };
            let cells =
                [format!("delivery {name} of {}", goal.rooms), format!("at most {most} ms")];
            rows.push(cells.into_iter().chain([ms(*is), word(came).to_owned()]).collect());
        }
    }
    let head = ["", "is to be", "was", "so it is"];
    (!rows.is_empty()).then(|| table("What the scenario wants", &head, rows))
}

/// The mean ack: the generator, the server's stages, and what is neither of them.
fn ack_path(run: &Folder) -> Option<Table> {
    let path = path(run)?;
    let row = |name: &str, us: f64| {
        vec![name.to_owned(), format!("{us:.1}"), percent(us / path.client_us)]
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    rows.extend(path.generator_us.map(|us| row("generator", us)));
    rows.extend(path.parts.iter().map(|(name, us)| row(name, *us)));
    if !path.parts.is_empty() {
        rows.push(row("all of the server's stages", path.sum_us));
    }
    rows.extend(path.rest_us().map(|rest| row(path.rest_of(), rest)));
    rows.push(row("the ack, as the client saw it", path.client_us));
    Some(table("Where the mean ack's time went", &["", "\u{b5}s", "of it"], rows))
}

/// Of the messages whose acks said where their time went: all of them, and the slowest.
fn traced(run: &Folder) -> Table {
    let Some(traces) = run.summary.traces.as_ref().filter(|it| it.told > 0) else {
        let asked = run.summary.traces.as_ref().map_or(0, |it| it.asked);
        let why = match asked {
            0 => "nothing was traced".to_owned(),
            asked => {
                format!("nothing was traced: {} sends asked, none was told", number(asked as f64))
            }
        };
        return table("Single messages", &["", ""], vec![vec![why, String::new()]]);
    };
    let slowest = traces.slowest.first();
    let row = |name: &str, mean: f64, slow: Option<f64>| {
        let slow = slow.map_or(String::new(), |us| format!("{us:.0}"));
        vec![name.to_owned(), format!("{mean:.1}"), slow]
    };
    let stage = |name: &&str| {
        let slow = slowest.map(|it| it.stages_us.get(*name).copied().unwrap_or_default());
        row(name, traces.stages_us.get(*name).copied().unwrap_or_default(), slow)
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    let waited = traces.generator_us;
    rows.extend(waited.map(|us| row("generator", us, slowest.map(|it| it.generator_us))));
    rows.extend(STAGES.iter().map(stage));
    let rest = slowest.map(|it| it.kernel_and_client_us);
    rows.push(row(traces.rest_of(), traces.kernel_and_client_us, rest));
    let all = slowest.map(|it| it.client_us);
    rows.push(row("the ack, as the client saw it", traces.client_us, all));
    let word = run.summary.whose_word();
    let told = traces.told;
    let title =
        format!("Single messages: {told} whose acks said where their time went, \u{b5}s{word}");
    table(&title, &["", "mean", "the slowest"], rows)
}

/// What the server says of its stages; by Little's law, its seconds of work a second are how many passages
/// were in it at once. Commands are counted in those in which they wait.
fn stages(run: &Folder) -> Option<Table> {
    let title = "Stages of the server, by its own count";
    let differs: Vec<Vec<String>> =
        run.summary.differs().iter().map(|it| vec![it.says.clone()]).collect();
    if !differs.is_empty() {
        return Some(table(title, &["not shown"], differs));
    }
    let work = run.summary.server_work.as_ref()?;
    let at_once =
        |commands: Option<f64>| commands.map_or("not counted".to_owned(), |it| format!("{it:.4}"));
    let row = |(name, it): (&String, &StageWork)| {
        vec![
            name.clone(),
            number(it.per_second.round()),
            format!("{:.1}", it.mean_us),
            format!("{:.4}", it.in_flight),
            at_once(it.commands_by_littles_law),
            at_once(it.commands_measured),
        ]
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    rows.extend(run.summary.ack_path.map(|path| in_generator(&path, run.summary.load_seconds)));
    rows.extend(work.stages.iter().map(row));
    let measured = match work.looks {
        0 => "measured".to_owned(),
        looks => format!("measured, {} looks", number(f64::from(looks))),
    };
    let head = [
        "",
        "passages/s",
        "mean \u{b5}s",
        "in it at once",
        "commands, L = rate \u{d7} W",
        &measured,
    ];
    let title = format!("{title}; before them the generator");
    Some(table(&title, &head, rows))
}

/// What could not be held against its count, and why.
fn not_compared(run: &Folder) -> Option<Table> {
    let what = run.summary.server_work.as_ref()?.not_compared.clone()?;
    Some(table("Of the server's own count, not compared", &["why"], vec![vec![what]]))
}

/// What the lab measured of its own part, as a stage: by Little's law, how many sends were in it at once, and how many
/// looks every 20 ms found there.
fn in_generator(path: &AckPath, seconds: f64) -> Vec<String> {
    let AckPath { acks, generator_us, in_generator, .. } = path;
    let at_once = |sends: f64| format!("{sends:.4}");
    vec![
        "generator (sends)".to_owned(),
        number((*acks as f64 / seconds.max(1e-9)).round()),
        format!("{generator_us:.1}"),
        at_once(in_generator.by_littles_law),
        at_once(in_generator.by_littles_law),
        at_once(in_generator.measured),
    ]
}

const PERCENTILES: [&str; 8] = ["", "count", "p50", "p90", "p95", "p99", "p99.9", "max"];

fn row(name: String, it: &Percentiles) -> Vec<String> {
    let values = [it.p50_ms, it.p90_ms, it.p95_ms, it.p99_ms, it.p999_ms, it.max_ms];
    let mut row = vec![name, number(it.count as f64)];
    let some = it.count > 0;
    row.extend(values.map(|value| if some { format!("{value:.2}") } else { NONE.to_owned() }));
    row
}

fn latencies(run: &Folder) -> Table {
    let it = &run.summary.latency;
    let rows = [
        (run.ack(), &it.ack),
        ("  of it in the generator", &it.generator),
        ("delivery, each recipient", &it.delivery),
        ("first recipient", &it.first),
        ("median recipient", &it.median),
        ("last recipient", &it.last),
        ("who was away or stalled by plan", &it.catch_up),
        ("resume after a loss", &it.resume),
        ("from when one should have come to being there", &it.arrive),
        ("  to having read its history", &it.enter),
        ("file sent", &it.upload),
        ("file fetched", &it.fetch),
        ("  to having all pictures of who was there", &it.faces),
        ("a picture, from learning of it", &it.picture),
        ("login", &it.login),
        ("login refused", &it.login_refused),
        ("the kernel's time to connect", &it.connect),
        ("the generator's own lag", &run.summary.generator.lag),
    ];
    // What nobody did, and what the first folders did not measure, has no row.
    let rows = rows.into_iter().filter(|(_, it)| it.count > 0);
    let rows = rows.map(|(name, it)| row(name.to_owned(), it)).collect();
    table("Latency from the intended time, ms", &PERCENTILES, rows)
}

fn by_rooms(run: &Folder) -> Table {
    let mut rows = Vec::new();
    for (name, of) in &run.summary.latency_by_rooms {
        rows.push(row(format!("{name}: {}", run.ack()), &of.ack));
        rows.push(row(format!("{name}: delivery"), &of.delivery));
        rows.push(row(format!("{name}: last recipient"), &of.last));
    }
    table("The same by kind of room, ms", &PERCENTILES, rows)
}

fn pairs(title: &str, rows: Vec<(&str, String)>) -> Table {
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table(title, &["", ""], rows)
}

fn counts(run: &Folder) -> Table {
    let it = &run.summary.ledger;
    let n = |count: u64| number(count as f64);
    let rates = run.summary.rates;
    pairs(
        "What happened",
        vec![
            (
                "model",
                format!("{}, {} s of load", run.summary.model, number(run.summary.load_seconds)),
            ),
            ("sends", format!("{} ({} a second)", n(it.sends), number(rates.sends.round()))),
            (
                "of them",
                format!(
                    "{} acked, {} refused, {} unanswered, {} retried and known",
                    n(it.acked),
                    n(it.refused),
                    n(it.unanswered),
                    n(it.repeats)
                ),
            ),
            (
                "deliveries",
                format!(
                    "{} of {} due ({} a second)",
                    n(it.deliveries),
                    n(it.deliveries_due),
                    number(rates.deliveries.round())
                ),
            ),
            ("beside a bare floor", beside(run)),
            ("events told that are no posts", n(it.notices)),
            (
                "messages changed, members put out",
                format!("{} and {}", n(it.changes), n(it.removals)),
            ),
            ("files sent; fetched; refused to who may not", files(it)),
            (
                "read back and compared",
                format!(
                    "{} events in {} of {} rooms",
                    n(it.history),
                    n(it.rooms_read),
                    n(it.rooms)
                ),
            ),
            (
                "comings and goings",
                format!(
                    "{} resumes, {} tails in doubt, {} places not taken again",
                    n(it.resumed),
                    n(it.doubted),
                    n(it.away)
                ),
            ),
            ("pictures of people", pictures(run)),
            ("whether the time to enter grows with their number", entries(run)),
        ],
    )
}

fn entries(run: &Folder) -> String {
    let none = || "no crowd of one kind came and read its history".to_owned();
    run.summary.entries.as_ref().map_or_else(none, Entries::words)
}

fn files(it: &Ledger) -> String {
    let counts = [it.files, it.fetches, it.fetches_refused];
    counts.map(|count| number(count as f64)).join("; ")
}

fn pictures(run: &Folder) -> String {
    let Some(it) = run.summary.pictures else { return "nobody looks at them".into() };
    format!(
        "{} set, {} fetched ({}), {} of them not as named, {} unanswered",
        number(it.set as f64),
        number(it.fetched as f64),
        bytes(it.bytes as f64),
        number(it.not_as_named as f64),
        number(it.unanswered as f64)
    )
}

/// The deliveries a CPU-second of the server, as a share of a program that does nothing else.
fn beside(run: &Folder) -> String {
    let asked = run.summary.floor.as_ref();
    asked.map_or("not measured; `lab run … --floor` does".to_owned(), FloorRatio::words)
}

fn costs(run: &Folder) -> Table {
    let mut rows = Vec::new();
    if let Some(cost) = run.summary.cost {
        rows.push(("server: CPU a delivery", format!("{:.2} µs", cost.cpu_us_per_delivery)));
        rows.push(("server: CPU", format!("{} of one core", percent(cost.cpu_share))));
        rows.push(("server: most resident memory", bytes(cost.rss_max_bytes as f64)));
    }
    if let Some(wire) = run.summary.wire {
        let each = format!("{:.0} ({} in all)", wire.bytes_per_delivery, bytes(wire.bytes as f64));
        rows.push(("bytes read a delivery", each));
    }
    if let Some(it) = run.summary.believed() {
        let each = |count: f64| format!("{count:.1}");
        rows.push(("syncs for 1,000 sends", each(it.fsyncs_per_1000_sends)));
        rows.push(("turns for 1,000 sends", each(it.turns_per_1000_sends)));
        if let Some((frames, bytes)) = it.frames_per_write.zip(it.bytes_per_frame) {
            rows.push(("frames in a write", each(frames)));
            rows.push(("bytes of a frame", each(bytes)));
        }
        let calls = [
            ("reads for 1,000 sends", it.reads_per_1000_sends, it.proc_reads_per_1000_sends),
            ("writes for 1,000 sends", it.writes_per_1000_sends, it.proc_writes_per_1000_sends),
        ];
        for (name, counted, proc) in calls {
            let proc = proc.map_or("not seen".to_owned(), each);
            rows.push((
                name,
                format!("{} by the server's counter, {proc} by /proc", each(counted)),
            ));
        }
    }
    if let Some(bytes) = run.summary.disk_bytes_per_send {
        rows.push(("bytes on disk a send", number(bytes.round())));
    }
    let flight = run.summary.in_flight;
    if flight.measured > 0.0 {
        let words = format!(
            "{:.2} seen, {:.2} by L = rate \u{d7} W",
            flight.measured, flight.by_littles_law
        );
        rows.push(("sends in flight", words));
    }
    if let Some(grade) = &run.summary.grade {
        rows.push(("grade reached", grade.clone()));
    }
    let it = &run.summary.generator;
    let busiest = it.cpu_share_3s_max.map(|it| format!(", {} in its busiest 3 s", percent(it)));
    let busiest = busiest.unwrap_or_default();
    rows.push(("generator: CPU", format!("{} of its one core{busiest}", percent(it.cpu_share))));
    rows.push(("generator: sends given up", number(it.dropped as f64)));
    rows.push((
        "generator: deliveries checked a CPU-second",
        number(it.deliveries_per_cpu_second.round()),
    ));
    rows.push(("generator: frames a read", number((it.frames_per_read * 10.0).round() / 10.0)));
    if let Some(probes) = run.summary.fsync {
        for (name, it) in ["disk: sync before", "disk: sync after"].into_iter().zip(probes) {
            rows.push((name, format!("p50 {}, p99 {}", ms(it.p50_us / 1e3), ms(it.p99_us / 1e3))));
        }
    }
    pairs("What it cost", rows)
}

/// By which clock each latency is measured, and how wrong that can be.
fn clocks(run: &Folder) -> Table {
    let agents = &run.summary.agents;
    if agents.is_empty() {
        let one = "The lab's own monotonic clock, for the intended time of a send and for all that came of \
                   it: no offset, no error of one. The server's clock is in no latency.";
        return pairs("Clocks", vec![("one clock", one.to_owned())]);
    }
    let row = |it: &Agent| {
        let Agent { clock_ahead_ms: ahead, clock_error_ms: error, clock_drift_ms: drift, .. } = it;
        let (ack, delivery) = (it.ack, it.delivery);
        let ms = |of: Percentiles, value: f64| {
            if of.count > 0 { ms(value) } else { NONE.to_owned() }
        };
        format!(
            "clock {ahead:+.3} ms to ours, ± {error:.3} ms at most, moved {drift:+.3} ms; ack p50 {}, p99 {}; \
             delivery p50 {}, p99 {}; {} of a core in its busiest second{}",
            ms(ack, ack.p50_ms),
            ms(ack, ack.p99_ms),
            ms(delivery, delivery.p50_ms),
            ms(delivery, delivery.p99_ms),
            percent(it.cpu_share_max),
            late(it)
        )
    };
    let mut rows: Vec<(&str, String)> = agents.iter().map(|it| (&*it.address, row(it))).collect();
    let says = "Sends are planned by the lab's clock. An agent says when each of its sockets was read by its own; \
                the lab asks it for the time fifty times a second and takes the quickest answer of the last \
                ten seconds, of which half is all that it can be wrong. What an answer took longer than that \
                one is the agent's lag. The way from the lab to an agent is in each latency and subtracted \
                nowhere.";
    rows.push(("how it is known", says.to_owned()));
    pairs("Clocks", rows)
}

/// How late an agent answered, where the folder says.
fn late(it: &Agent) -> String {
    let Percentiles { count, p50_ms, p99_ms, .. } = it.lag;
    if count == 0 {
        return String::new();
    }
    format!("; lag p50 {}, p99 {}", ms(p50_ms), ms(p99_ms))
}

fn machine(run: &Folder) -> Table {
    let it = &run.manifest.machine;
    let mut rows = vec![
        ("server", format!("{} at {}", run.summary.server, run.manifest.target).trim().to_owned()),
        ("lab", run.manifest.lab.clone()),
        ("cores", format!("{} × {}", it.cores, it.cpu)),
        ("memory", bytes(it.memory_bytes as f64)),
        ("kernel", it.kernel.clone()),
        ("TCP congestion control", it.congestion_control.clone()),
        ("open files allowed", number(it.open_files_max as f64)),
    ];
    rows.extend(it.accept_backlog.map(|it| ("accept backlog (somaxconn)", number(it as f64))));
    rows.extend(it.ports.map(|[low, high]| ("ports to connect from", format!("{low} to {high}"))));
    rows.extend(it.cgroup_cores.map(|it| ("cores by cgroup", number(it))));
    rows.extend(it.cgroup_memory_bytes.map(|it| ("memory by cgroup", bytes(it as f64))));
    rows.extend([
        ("load average before", number(it.load_average)),
        ("seed", run.manifest.seed.to_string()),
    ]);
    if let Some(beside) = &run.manifest.baseline {
        rows.push(("beside its baseline", beside.words(&day(beside.made_unix_seconds))));
    }
    rows.extend(super::others::row(run));
    rows.extend(server_settings(run));
    pairs("Machine, server and lab", rows)
}

/// What the run gave its own server; of another, what the scenario asks for and what it told its users.
fn server_settings(run: &Folder) -> Vec<(&'static str, String)> {
    let manifest = &run.manifest;
    let all = |of: &BTreeMap<String, String>| {
        let each: Vec<String> = of.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        each.join(", ")
    };
    let version = manifest.server_version.clone();
    let mut rows: Vec<_> = version.map(|it| ("server's program", it)).into_iter().collect();
    match manifest.asked_in_vain() {
        Some(asked) if asked.is_empty() => {
            rows.push(("server settings", "as its operator set them".to_owned()));
        }
        Some(asked) => {
            let asked = all(asked);
            let text = format!("as its operator set them; the scenario asks for {asked}");
            rows.push(("server settings", text));
        }
        None if manifest.server_settings_raised.is_empty() => {}
        None => rows.push(("server settings given", all(&manifest.server_settings_raised))),
    }
    if let Some(serde_json::Value::Object(told)) = &run.summary.server_limits {
        let each: Vec<String> =
            told.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        rows.push(("limits it told its users", each.join(", ")));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_ours_is_not_said_to_have_our_settings() {
        let folder = tempfile::tempdir().unwrap();
        let says = |manifest: &str| {
            std::fs::write(folder.path().join("manifest.json"), manifest).unwrap();
            std::fs::write(folder.path().join("samples.jsonl"), "").unwrap();
            let summary = r#"{"schema": 3, "server_limits": {"sends_per_second": 20}}"#;
            std::fs::write(folder.path().join("summary.json"), summary).unwrap();
            let rows = server_settings(&Folder::read(folder.path()).unwrap());
            let rows: Vec<String> = rows.iter().map(|(name, is)| format!("{name}: {is}")).collect();
            rows.join("\n")
        };
        let theirs = "server settings: as its operator set them; the scenario asks for a.b = 9\n\
                      limits it told its users: sends_per_second = 20";
        let new =
            r#"{"schema": 3, "server_is_ours": false, "server_settings_asked": {"a.b": "9"}}"#;
        let old = r#"{"schema": 3, "command": "throng lab run x --target http://y",
            "server_settings_raised": {"a.b": "9"}}"#;
        assert_eq!((says(new), says(old)), (theirs.to_owned(), theirs.to_owned()));
        let ours = r#"{"schema": 3, "server_is_ours": true, "server_version": "throng 1",
            "server_settings_raised": {"a.b": "9"}}"#;
        let said = says(ours);
        assert!(
            said.starts_with("server's program: throng 1\nserver settings given: a.b = 9\n"),
            "{said}"
        );
    }
}
