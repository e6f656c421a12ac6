//! A run on a machine that does something else: it says so, and where its scenario wants the machine for itself it
//! is no result.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::process::{run, said};

/// A program that takes what it can get, until it is dropped.
struct Spinner(Child);

impl Spinner {
    fn start() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A short run whose generator may be as late as it likes; its exit code, what it said, its summary.
fn lab(out: &Path, more: &[&str]) -> (Option<i32>, String, Value) {
    let patient = [
        "self_check.cpu_max=100",
        "self_check.lag_p50_ms=60000",
        "self_check.lag_p99_ms=60000",
        "self_check.dropped_max=1000",
        "self_check.late_ms=60000",
    ];
    let done = Command::new(env!("CARGO_BIN_EXE_throng"))
        .args(["lab", "run", "canonical", "--short", "--out"])
        .arg(out)
        .args(patient.iter().chain(more).flat_map(|it| ["--set", it]))
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&done.stdout).into_owned();
    let summary = std::fs::read(out.join("summary.json"));
    let summary = summary.unwrap_or_else(|error| panic!("{error}: {words}\n{}", said(&done)));
    (done.status.code(), words, serde_json::from_slice(&summary).unwrap())
}

#[test]
fn what_other_programs_take_is_said_and_makes_a_run_invalid_that_bounds_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let spinner = Spinner::start();
    // A thousandth of any machine's cores is less than what is left for one that spins.
    let (code, words, summary) = lab(&out, &["self_check.others_cores=0.001"]);
    drop(spinner);
    assert_eq!((code, &summary["ending"]), (Some(11), &"invalid".into()), "{words}");
    assert!(words.contains("INVALID: other programs took the machine\n"), "{words}");
    let others = &summary["other_programs"];
    let is = |name: &str| others[name].as_f64().unwrap();
    let (cores, mean, worst) = (is("cores"), is("mean_cores"), is("worst_second_cores"));
    assert!(mean > cores * 0.001 && worst >= mean * 0.5, "{others}");
    assert!(!others["programs"].as_array().unwrap().is_empty(), "{others}");
    let why = summary["reasons"][0].as_str().unwrap();
    assert!(why.contains(" cores that other programs took was ") && why.contains("above 0.001"));
    assert_eq!(others["disturbed"], why);
    assert!(words.contains("\nbeside      other programs took "), "{words}");
    let series = std::fs::read_to_string(out.join("series.csv")).unwrap();
    let mut lines = series.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|it| *it == "others_cpu").unwrap();
    let sum: f64 = lines.map(|line| line[at].parse::<f64>().unwrap()).sum();
    assert!(sum > 0.0, "{series}");
    let report = run(["lab", "report", out.to_str().unwrap(), "--html"]);
    assert!(report.status.success(), "{}", said(&report));
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for told in ["other programs took the machine", "other programs meanwhile"] {
        assert!(page.contains(told), "{told}");
    }
}

/// Whatever else this machine does just now.
#[test]
fn without_a_bound_a_run_ends_as_it_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let (code, words, summary) = lab(&folder.path().join("run"), &[]);
    assert_eq!((code, &summary["ending"]), (Some(0), &"pass".into()), "{words}");
    let others = &summary["other_programs"];
    assert!(others["mean_cores"].as_f64() >= Some(0.0), "{others}");
    assert_eq!(words.contains("\n  NOT ALONE: "), others["disturbed"].is_string(), "{words}");
    assert!(words.contains("\nbeside      other programs took "), "{words}");
}
