//! The report for programs: samples as CSV, verdict and figures as JSON, promises as JUnit.
//!
//! Neighbours: `verdict` says what was kept; nothing is judged here.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::folder::{Ending, Folder};
use super::html::escape;
use super::verdict::{self, Of};

/// Of `report.json`; raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// Columns of the samples that are read first, in their order.
const FIRST: [&str; 11] = [
    "second",
    "at",
    "seconds",
    "phase",
    "intended",
    "sent",
    "acked",
    "deliveries",
    "dropped",
    "connections",
    "users",
];

/// A line a second, a column for each number; a nested number's column has its dotted name.
pub fn csv(run: &Folder) -> String {
    let rows: Vec<Vec<(String, String)>> = run.lines.iter().map(columns).collect();
    let known: BTreeSet<&str> = rows.iter().flatten().map(|(column, _)| column.as_str()).collect();
    let mut head: Vec<&str> = FIRST.into_iter().filter(|it| known.contains(it)).collect();
    head.extend(known.iter().filter(|it| !FIRST.contains(it)));
    let names: Vec<String> = head.iter().map(|it| cell(it)).collect();
    let mut lines = vec![names.join(",")];
    for row in &rows {
        let cells: Vec<&str> = head
            .iter()
            .map(|column| row.iter().find(|(it, _)| it == column).map_or("", |(_, value)| value))
            .collect();
        lines.push(cells.join(","));
    }
    lines.join("\n") + "\n"
}

fn columns(line: &Value) -> Vec<(String, String)> {
    fn walk(name: &str, value: &Value, to: &mut Vec<(String, String)>) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let dot = if name.is_empty() { "" } else { "." };
                    walk(&format!("{name}{dot}{field}"), value, to);
                }
            }
            Value::Null => to.push((name.to_owned(), String::new())),
            Value::String(text) => to.push((name.to_owned(), cell(text))),
            other => to.push((name.to_owned(), cell(&other.to_string()))),
        }
    }
    let mut columns = Vec::new();
    walk("", line, &mut columns);
    columns
}

/// As RFC 4180 has it.
fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// The verdict with its reasons and each promise, and where it was measured.
pub fn json(run: &Folder) -> String {
    let summary = &run.summary;
    let checks: Vec<Value> = verdict::checks(run)
        .into_iter()
        .map(|it| {
            let of = if it.of == Of::Server { "server" } else { "lab" };
            // Of what is not known, neither yes nor no.
            let kept = it.unknown.is_none().then_some(it.failed.is_none());
            json!({ "name": it.name, "of": of, "kept": kept, "why": it.failed.or(it.unknown) })
        })
        .collect();
    let latency = |it: &super::folder::Percentiles| {
        if summary.is_missing {
            return Value::Null;
        }
        json!({
            "count": it.count, "p50_ms": it.p50_ms, "p90_ms": it.p90_ms, "p95_ms": it.p95_ms,
            "p99_ms": it.p99_ms, "p999_ms": it.p999_ms, "max_ms": it.max_ms,
        })
    };
    // Without a summary rates are those of the samples, where there are any.
    let rate = |rate: f64| (!summary.is_missing || summary.load_seconds > 0.0).then_some(rate);
    let mut report = json!({
        "schema": SCHEMA,
        "run_schema": run.manifest.schema,
        "scenario": summary.scenario,
        "ending": summary.ending,
        "verdict": verdict::sentence(run),
        "causes": verdict::causes(run),
        "checks": checks,
        "started_unix_seconds": run.manifest.started_unix_seconds,
        "command": run.manifest.command,
        "server": summary.server,
        "sends_per_second": rate(summary.rates.sends),
        "deliveries_per_second": rate(summary.rates.deliveries),
        "latency": {
            "ack": latency(&summary.latency.ack),
            "delivery": latency(&summary.latency.delivery),
            "last": latency(&summary.latency.last),
        },
        "server_cpu_us_per_delivery": summary.cost.map(|it| it.cpu_us_per_delivery),
        "server_rss_max_bytes": summary.cost.map(|it| it.rss_max_bytes),
        "phases": run.phases().iter().map(|(name, at)| json!({ "name": name, "second": at }))
            .collect::<Vec<_>>(),
    });
    if !summary.lacks.is_empty() {
        report["lacks"] = json!(summary.lacks);
    }
    if let Some(floor) = &summary.floor {
        // Only where it was asked for: reports of older folders stay as they are.
        report["floor"] = json!(floor);
    }
    let mut text = serde_json::to_string_pretty(&report).expect("it is made of plain values");
    text.push('\n');
    text
}

/// A test case for each promise and limit. What the lab itself did not manage is an `error`, not a
/// `failure`: then nothing is known of the server.
pub fn junit(run: &Folder) -> String {
    let checks = verdict::checks(run);
    let count = |of: Of| checks.iter().filter(|it| it.of == of && it.failed.is_some()).count();
    let (failures, errors) = (count(Of::Server), count(Of::Lab));
    let name = xml(&run.summary.scenario);
    let seconds = run.summary.load_seconds;
    let skipped = checks.iter().filter(|it| it.unknown.is_some()).count();
    let skipped = if skipped > 0 { format!(" skipped=\"{skipped}\"") } else { String::new() };
    let counts =
        format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\"{skipped}", checks.len());
    let mut junit = vec![format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts} time=\"{seconds:.3}\">\n  \
         <testsuite name=\"{name}\" {counts} time=\"{seconds:.3}\">\n"
    )];
    for check in checks {
        let skip = check.failed.is_none() && check.unknown.is_some();
        let case = format!("    <testcase classname=\"{name}\" name=\"{}\"", xml(&check.name));
        junit.push(match (check.failed.or(check.unknown), check.of) {
            (None, _) => format!("{case}/>\n"),
            (Some(why), of) => {
                let tag = match of {
                    _ if skip => "skipped",
                    Of::Server => "failure",
                    Of::Lab => "error",
                };
                format!("{case}>\n      <{tag} message=\"{}\"/>\n    </testcase>\n", xml(&why))
            }
        });
    }
    if run.summary.ending != Ending::Pass || !run.summary.lacks.is_empty() {
        let out = xml(&verdict::causes(run).join("\n"));
        junit.push(format!("    <system-out>{out}</system-out>\n"));
    }
    junit.concat() + "  </testsuite>\n</testsuites>\n"
}

/// XML 1.0 has no place for control characters; a server's last words may hold some.
fn xml(text: &str) -> String {
    let plain = |letter: char| if letter < ' ' && !"\n\t".contains(letter) { ' ' } else { letter };
    escape(&text.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::folder::{Manifest, Summary};

    fn run(lines: Vec<Value>) -> Folder {
        Folder {
            manifest: Manifest::default(),
            seconds: Vec::new(),
            lines,
            clients: Vec::new(),
            profile: None,
            summary: Summary::default(),
        }
    }

    #[test]
    fn what_a_newer_sample_holds_has_a_column_too() {
        let csv = csv(&run(vec![
            json!({ "second": 0, "ack": { "p99_ms": 1.5 }, "note": "a, \"b\"" }),
            json!({ "second": 1, "ack": { "p99_ms": 2 }, "fresh": 7 }),
        ]));
        assert_eq!(csv, "second,ack.p99_ms,fresh,note\n0,1.5,,\"a, \"\"b\"\"\"\n1,2,7,\n");
    }

    #[test]
    fn control_characters_of_a_servers_last_words_do_not_break_the_xml() {
        let mut run = run(Vec::new());
        run.summary.reasons = vec!["\u{1b}[31mgone\u{0} & away".to_owned()];
        let junit = junit(&run);
        assert!(junit.contains(" [31mgone  &amp; away") && !junit.contains('\u{1b}'), "{junit}");
    }
}
