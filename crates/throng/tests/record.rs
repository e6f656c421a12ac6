//! `throng lab record` beside a known load on a real server, and `lab replay` of what it wrote.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{Server, run, said};

/// Ten rooms of four in which five messages a second are said, and one of thirty with twenty: all in
/// all 70 sends and 800 deliveries a second, of a hundred bytes each.
const KNOWN: &str = r#"
name = "known"
says = "a known load"
seconds = 9.0
seed = 3

[users]
count = 40
dresses = ["ws-json"]

[[rooms]]
name = "small"
count = 10
members = 4
sends_per_second = 5.0
arrivals = "constant"

[[rooms]]
name = "large"
count = 1
members = 30
sends_per_second = 20.0
arrivals = "constant"

[bodies]
bytes_min = 100
bytes_median = 100
bytes_max = 100
sigma = 0.0
"#;

/// What is stated in `docs/reference/lab-run.md`.
const TOLERANCE: f64 = 0.1;
const RECORDED_SECONDS: f64 = 5.0;

#[track_caller]
fn near(is: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((is / wanted - 1.0).abs() <= tolerance, "{what}: {is} is not {wanted}");
}

fn lab(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.current_dir(folder).arg("lab").args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn a_known_load_is_recorded_within_a_tenth_and_replayed_at_twice_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, tokens) = (at("data"), at("tokens"));
    let made = run(["admin", "users", "create", "--count", "40", "--prefix", "r", "--tokens"]
        .iter()
        .map(std::ffi::OsStr::new)
        .chain([tokens.as_os_str(), "--data".as_ref(), data.as_os_str()]));
    assert!(made.status.success(), "{}", said(&made));
    let limits = ["limits.connections_per_address=1000", "limits.sends_per_second=1000"];
    let server = Server::start(&data, &["--set", limits[0], "--set", limits[1]]);
    std::fs::write(at("known.toml"), KNOWN).unwrap();
    let url = format!("http://{}", server.address());
    let load = ["run", "known.toml", "--target", &url, "--tokens", "tokens", "--out", "load"];
    let mut load = lab(&load, folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(load.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains("1 of 9 s")), "the load ended at once");
    let recorded =
        lab(&["record", "--target", &url, "--seconds", "5"], folder.path()).output().unwrap();
    assert!(recorded.status.success(), "{}", said(&recorded));
    let told = String::from_utf8_lossy(&recorded.stdout).into_owned();
    assert!(told.contains(" of 5 s  ") && told.contains("sends so far"), "{told}");
    lines.for_each(drop);
    assert!(matches!(load.wait().unwrap().code(), Some(0 | 11)));
    // What is due before a look and is committed after it stands in another second: as much as is on its way
    // for the longest time that anything was.
    let load = summary(&at("load"));
    let late = load["latency"]["ack"]["max_ms"].as_f64().unwrap() / 1e3 / RECORDED_SECONDS;
    let recorded = std::fs::read_to_string(at("recorded.toml")).unwrap();
    let sends = is_the_known_load(&recorded, TOLERANCE + late);

    let again = ["replay", "recorded.toml", "--times", "2", "--seconds", "3", "--out", "again"];
    let again = lab(&again, folder.path()).output().unwrap();
    assert!(matches!(again.status.code(), Some(0 | 11)), "{}", said(&again));
    // Of some 420 sends that come independently of each other; a tenth is two deviations.
    let again = summary(&at("again"))["rates"]["sends"].as_f64().unwrap();
    assert!((again - 2.0 * sends).abs() < 30.0, "{again} is not twice {sends}");
    let taken = lab(&["record", "--target", &url], folder.path()).output().unwrap();
    assert_eq!(taken.status.code(), Some(64), "{}", said(&taken));
    assert!(said(&taken).contains("is there already"), "{}", said(&taken));
}

fn summary(run: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap()
}

/// Rates, sizes and lengths, and nothing of what was said or by whom; all its sends a second.
fn is_the_known_load(text: &str, tolerance: f64) -> f64 {
    let scenario: toml::Table = text.parse().unwrap();
    let number = |of: &toml::Value| of.as_float().or(of.as_integer().map(|it| it as f64)).unwrap();
    let of = |kind: &str, key: &str| {
        let rooms = scenario["rooms"].as_array().unwrap();
        let kind = rooms.iter().find(|it| it["name"].as_str() == Some(kind));
        number(&kind.unwrap_or_else(|| panic!("no rooms {kind:?} in\n{text}"))[key])
    };
    let near = |is: f64, wanted: f64, what: &str| near(is, wanted, tolerance, what);
    near(number(&scenario["users"]["count"]), 40.0, "users");
    for (kind, count, members, sends) in
        [("up-to-4", 10.0, 4.0, 5.0), ("up-to-32", 1.0, 30.0, 20.0)]
    {
        near(of(kind, "count"), count, "rooms");
        near(of(kind, "members"), members, "members");
        near(of(kind, "sends_per_second"), sends, "sends/s");
    }
    near(number(&scenario["bodies"]["bytes_median"]), 100.0, "bytes");
    assert!(number(&scenario["churn"]["reconnect"]) < 0.01, "{text}");
    let steps = scenario["phases"][0]["load"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5, "{text}");
    for word in ["small", "large", "127.0.0.1"] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
    ["up-to-4", "up-to-32"]
        .map(|kind| of(kind, "count") * of(kind, "sends_per_second"))
        .iter()
        .sum()
}

#[test]
fn a_server_that_is_not_there_cannot_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let nobody =
        lab(&["record", "--target", "http://127.0.0.1:1"], folder.path()).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).contains("does not answer"), "{}", said(&nobody));
    assert!(!folder.path().join("recorded.toml").exists());
}
