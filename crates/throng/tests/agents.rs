//! `throng lab run --agents`: two agents hold the sockets of one run, one of them with a clock that is
//! half a second ahead. Each promise is checked as ever, and both tell the same latencies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use throng_lab::clock;

use crate::process::{Server, run, said};

const AHEAD_MS: f64 = 500.0;
/// What a busy machine may make of one and the same latency, and a clock half corrected may not.
const APART_MAX_MS: f64 = AHEAD_MS / 4.0;
/// What is asked of a machine that the lab finds quiet: deliveries are of the same sends at both.
const AGREE_MS: f64 = 1.0;
/// For how long an agent is stopped, at least.
const STANDS_STILL: Duration = Duration::from_millis(500);
/// Quiet: half of all sends, and all but one in a hundred, left this near to their times.
const QUIET_LAG_MS: [f64; 2] = [0.2, 2.0];

/// A room of all, and rooms of five: with two agents every room has members at both.
const SCENARIO: &str = r#"
name = "far"
says = "thirty talk, from two places"
seconds = 3.0
seed = 5

[users]
count = 30
dresses = ["ws-json", "ws-protobuf"]

[[rooms]]
name = "all"
count = 1
members = 30
sends_per_second = 20.0
arrivals = "poisson"

[[rooms]]
name = "team"
count = 6
members = 5
sends_per_second = 5.0
arrivals = "poisson"

[bodies]
bytes_min = 20
bytes_median = 60
bytes_max = 500
sigma = 0.5

[churn]
reconnect = 0.1
membership = 0.05
stall = 0.05
stall_seconds = 0.5

# Late is late, but this machine compiles.
[self_check]
cpu_max = 100.0
lag_p50_ms = 60000.0
lag_p99_ms = 60000.0
dropped_max = 1000
late_ms = 60000.0
"#;

/// An agent, ended when it is dropped.
struct Agent {
    child: Child,
    address: String,
}

impl Agent {
    /// `within`: what it is started by, `ip netns exec NAME` say.
    fn start(within: &[&str], listen: &str, key: &Path, ahead_ms: &str) -> Self {
        let throng = env!("CARGO_BIN_EXE_throng");
        let words = [within, &[throng, "lab", "agent", "--listen", listen, "--clock-ahead-ms"]];
        let words = words.concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args([OsStr::new(ahead_ms), "--key".as_ref(), key.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("agent listens on ").unwrap().to_owned();
        std::thread::spawn(move || lines.lines().for_each(drop));
        Self { child, address }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with accounts, a scenario and a key, and the server whose accounts they are.
fn prepared(listen: &str) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, tokens) = (at("data"), at("tokens"));
    let made = run(["admin", "users", "create", "--count", "30", "--prefix", "far", "--tokens"]
        .iter()
        .map(OsStr::new)
        .chain([tokens.as_os_str(), "--data".as_ref(), data.as_os_str()]));
    assert!(made.status.success(), "{}", said(&made));
    std::fs::write(at("far.toml"), SCENARIO).unwrap();
    std::fs::write(at("agent.key"), "a key that is long enough\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(["serve", "--listen", listen, "--data"]).arg(&data);
    command.args(["--set", "limits.connections_per_address=1000"]);
    let server = Server::spawn(&mut command, &data.with_extension("stderr"));
    (folder, server)
}

fn lab(folder: &Path, target: &str, agents: &[&Agent], key: &str) -> Output {
    let agents: Vec<&str> = agents.iter().map(|it| it.address.as_str()).collect();
    Command::new(env!("CARGO_BIN_EXE_throng"))
        .current_dir(folder)
        .args(["lab", "run", "far.toml", "--tokens", "tokens", "--target", target])
        .args(["--agents", &agents.join(","), "--key", key, "--out", "run"])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Not by `eprintln!`, which the harness keeps to itself of tests that pass: what was not looked at is to be seen.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Nothing was lost, and the two agents tell the same, whatever their clocks say. By how much they differ, in words.
fn is_exact_and_tells_one_time(folder: &Path, done: &Output) -> String {
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{text}\n{}", said(done));
    let summary = std::fs::read(folder.join("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let ledger = &summary["ledger"];
    assert_eq!(ledger["deliveries"], ledger["deliveries_due"], "{text}");
    assert!(ledger["deliveries"].as_u64().unwrap() > 1_000, "{text}");
    assert!(ledger["resumed"].as_u64().unwrap() > 0, "{text}");
    let [straight, ahead] = &summary["agents"].as_array().unwrap()[..] else { panic!("{text}") };
    let of = |agent: &Value, key: &str| agent[key].as_f64().unwrap();
    let p50 = |agent: &Value, key: &str| agent[key]["p50_ms"].as_f64().unwrap();
    let off = of(ahead, "clock_ahead_ms") - of(straight, "clock_ahead_ms");
    let error = of(ahead, "clock_error_ms") + of(straight, "clock_error_ms");
    assert!((off - AHEAD_MS).abs() <= error, "{off} ms, ± {error}");
    assert!(error < APART_MAX_MS, "{error} ms on one machine");
    // By their clocks they would be half a second apart. Of each send there are recipients at both, the acks
    // are of other sends at each.
    for latency in ["delivery", "ack"] {
        let apart = p50(straight, latency) - p50(ahead, latency);
        assert!(apart.abs() < APART_MAX_MS, "{latency}: {apart} ms, by clocks {off} ms apart");
    }
    let apart = p50(straight, "delivery") - p50(ahead, "delivery");
    let lag = ["p50_ms", "p99_ms"].map(|it| of(&summary["generator"]["lag"], it));
    let quiet = lag.iter().zip(QUIET_LAG_MS).all(|(is, most)| *is <= most);
    let agree = format!("deliveries {apart} ms apart, lag {lag:?} ms");
    assert!(!quiet || apart.abs() <= AGREE_MS, "{agree}\n{text}");
    for (agent, latency, least) in [(straight, "delivery", 500), (ahead, "ack", 30)] {
        assert!(agent[latency]["count"].as_u64().unwrap() > least, "{text}");
    }
    let report = run([OsStr::new("lab"), "report".as_ref(), folder.join("run").as_os_str()]);
    assert!(report.status.success(), "{}", said(&report));
    let page = std::fs::read_to_string(folder.join("run/report.html")).unwrap();
    assert!(page.contains("Clocks") && page.contains("asks it for the time"));
    if quiet {
        agree
    } else {
        format!("SKIPPED: {AGREE_MS} ms is asked of a quiet machine: {agree}")
    }
}

#[test]
fn two_agents_whose_clocks_are_half_a_second_apart_tell_the_same_latencies() {
    let (folder, server) = prepared("127.0.0.1:0");
    let key = folder.path().join("agent.key");
    let straight = Agent::start(&[], "127.0.0.1:0", &key, "0");
    let ahead = Agent::start(&[], "127.0.0.1:0", &key, "500");
    let target = format!("http://{}", server.address());
    let done = lab(folder.path(), &target, &[&straight, &ahead], "agent.key");
    say(&is_exact_and_tells_one_time(folder.path(), &done));
}

#[test]
fn an_agent_serves_only_who_has_its_key_and_a_run_whose_agent_is_lost_ends_in_order() {
    let (folder, server) = prepared("127.0.0.1:0");
    let key = folder.path().join("agent.key");
    let agent = Agent::start(&[], "127.0.0.1:0", &key, "0");
    std::fs::write(folder.path().join("other.key"), "another key, as long as that").unwrap();
    let target = format!("http://{}", server.address());
    let refused = lab(folder.path(), &target, &[&agent], "other.key");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("the same --key"), "{}", said(&refused));
    std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_throng"))
        .current_dir(folder.path())
        .args(["lab", "run", "far.toml", "--tokens", "tokens", "--target", &target, "--seconds"])
        .args(["60", "--agents", &agent.address, "--key", "agent.key", "--out", "run"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains("1 of 60 s")), "the load ended at once");
    drop(agent);
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(12), "{rest:#?}");
    assert!(rest.iter().any(|line| line.contains("is lost")), "{rest:#?}");
}

/// What stands between the lab and its sockets is looked at like the lab itself: while an agent is stopped its users'
/// messages wait in it, and its own CPU shows nothing of that.
#[test]
fn an_agent_that_stands_still_is_seen_by_its_lag() {
    let (folder, server) = prepared("127.0.0.1:0");
    let key = folder.path().join("agent.key");
    let [well, stopped] = [0, 1].map(|_| Agent::start(&[], "127.0.0.1:0", &key, "0"));
    let agents = [&well.address, &stopped.address].map(String::as_str).join(",");
    let child = Command::new(env!("CARGO_BIN_EXE_throng"))
        .current_dir(folder.path())
        .args(["lab", "run", "far.toml", "--tokens", "tokens", "--seconds", "60", "--target"])
        .arg(format!("http://{}", server.address()))
        .args(["--agents", &agents, "--key", "agent.key", "--out", "run"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let signal = |child: &Child, signal| kill_process(Pid::from_child(child), signal).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains("   1 of 60 s")), "the load ended at once");
    // For as long as seconds of the load are told, however late we hear of them.
    signal(&stopped.child, Signal::STOP);
    let since = clock::now();
    let told = lines.by_ref().find(|_| clock::now().since(since) > STANDS_STILL);
    signal(&stopped.child, Signal::CONT);
    assert!(told.is_some_and(|line| line.contains(" of 60 s")), "the load was over before");
    // It answers what it was asked meanwhile.
    let more = lines.by_ref().nth(1);
    assert!(more.is_some_and(|line| line.contains(" of 60 s")), "the load was over before");
    signal(&child, Signal::INT);
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(12), "{rest:#?}");
    let summary = std::fs::read(folder.path().join("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let lag = |at: usize| &summary["agents"][at]["lag"];
    assert!(lag(0)["count"].as_u64().unwrap() > 0, "{summary}");
    let most = lag(1)["max_ms"].as_f64().unwrap();
    assert!(most > STANDS_STILL.as_secs_f64() * 1e3 / 2.0, "{most} ms\n{summary}");
}

/// In the network of one agent. Another run of these tests beside this one has others.
fn address(at: usize, host: u8) -> String {
    let network = std::process::id() as usize % 8_192 * 2 + at;
    format!("10.{}.{}.{host}", 64 + network / 256, network % 256)
}

/// Two networks of their own, taken down when this is dropped.
struct Networks([String; 2]);

impl Networks {
    /// None where this machine does not let us.
    fn make() -> Result<Self, String> {
        let names = ["a", "b"].map(|it| format!("throng-{}-{it}", std::process::id()));
        let networks = Self(names);
        for (at, name) in networks.0.iter().enumerate() {
            let (outer, inner) = (format!("to{}{at}", std::process::id()), format!("in{at}"));
            let gateway = address(at, 1);
            let (ours, theirs) = (format!("{gateway}/24"), format!("{}/24", address(at, 2)));
            let within = ["-n", name.as_str()];
            ip(&["netns", "add", name])?;
            ip(&["link", "add", &outer, "type", "veth", "peer", "name", &inner, "netns", name])?;
            ip(&["addr", "add", &ours, "dev", &outer])?;
            ip(&["link", "set", &outer, "up"])?;
            ip(&[&within[..], &["addr", "add", &theirs, "dev", &inner]].concat())?;
            ip(&[&within[..], &["link", "set", &inner, "up"]].concat())?;
            ip(&[&within[..], &["route", "add", "default", "via", &gateway]].concat())?;
        }
        Ok(networks)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        // The links within go with them.
        self.0.iter().for_each(|name| drop(ip(&["netns", "del", name])));
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(words).output().map_err(|error| error.to_string())?;
    let why = || format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
    if done.status.success() { Ok(()) } else { Err(why()) }
}

#[test]
fn agents_in_two_networks_tell_the_same_latencies() {
    let networks = match Networks::make() {
        Ok(networks) => networks,
        Err(why) => {
            say(&format!("SKIPPED: no networks of their own for the agents here: {why}"));
            return;
        }
    };
    let (folder, server) = prepared("0.0.0.0:0");
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let key = folder.path().join("agent.key");
    let start = |at: usize, ahead: &str| {
        let within = ["ip", "netns", "exec", &networks.0[at]];
        Agent::start(&within, &format!("{}:0", address(at, 2)), &key, ahead)
    };
    let (straight, ahead) = (start(0, "0"), start(1, "500"));
    let target = format!("http://{}:{port}", address(0, 1));
    let done = lab(folder.path(), &target, &[&straight, &ahead], "agent.key");
    say(&is_exact_and_tells_one_time(folder.path(), &done));
}
