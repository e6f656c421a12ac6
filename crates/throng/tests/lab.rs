//! `throng lab run` with the real server: a short, small canonical keeps every promise, and a
//! server that is wrong on purpose is found out by the ledger.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use throng_server::faults;

/// Everything that canonical has, of everything less; more coming and going.
const SMALL: [&str; 18] = [
    "users.count=60",
    "rooms.lobby.members=60",
    "rooms.lobby.speakers=10",
    "rooms.team.count=6",
    "rooms.team.sends_per_second=10",
    "rooms.direct.count=5",
    "rooms.direct.sends_per_second=2",
    "changes.edits=0.1",
    "changes.deletes=0.1",
    "changes.reactions=0.1",
    "changes.kicks=10",
    "changes.bans=10",
    "changes.ban_seconds=0.3",
    "changes.files=15",
    "churn.reconnect=0.5",
    "churn.membership=0.2",
    "churn.stall=0.05",
    "churn.stall_seconds=0.5",
];

fn lab(out: &Path, fault: Option<&str>, settings: &[&str]) -> Output {
    command(out, "2", fault, settings).output().expect("the executable starts")
}

fn command(out: &Path, seconds: &str, fault: Option<&str>, settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(["lab", "run", "canonical", "--seconds", seconds, "--out"]).arg(out);
    for setting in SMALL.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    if let Some(fault) = fault {
        command.env(faults::VARIABLE, fault);
    }
    command
}

fn summary(out: &Path) -> serde_json::Value {
    let bytes = std::fs::read(out.join("summary.json")).expect("a run leaves its summary");
    serde_json::from_slice(&bytes).expect("a summary is JSON")
}

#[test]
fn a_short_canonical_keeps_every_promise_in_all_dresses() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let dresses = r#"users.dresses=["ws-json", "ws-protobuf", "raw"]"#;
    let done = lab(&out, None, &[dresses]);
    let text = String::from_utf8_lossy(&done.stdout);
    let error = String::from_utf8_lossy(&done.stderr);
    let code = done.status.code().unwrap();
    // A machine that compiles beside it may make the run invalid; promises are kept all the same.
    assert!(code == 0 || code == 11, "{code}\n{text}\n{error}");
    let summary = summary(&out);
    let ledger = &summary["ledger"];
    for side in ["send_faults", "delivery_faults"] {
        for kind in ["lost", "duplicated", "reordered", "foreign"] {
            assert_eq!(ledger[side][kind], 0, "{side} {kind}\n{text}");
        }
    }
    assert_eq!(ledger["unanswered"], 0);
    assert_eq!(ledger["deliveries"], ledger["deliveries_due"]);
    assert_eq!(ledger["rooms_read"], ledger["rooms"]);
    assert!(ledger["resumed"].as_u64().unwrap() > 20, "{text}");
    assert!(ledger["changes"].as_u64().unwrap() > 10, "{text}");
    assert!(ledger["removals"].as_u64().unwrap() > 5, "{text}");
    assert!(ledger["files"].as_u64().unwrap() > 5, "{text}");
    assert!(ledger["fetches"].as_u64().unwrap() > 10, "{text}");
    assert!(ledger["fetches_refused"].as_u64().unwrap() > 5, "{text}");
    assert!(summary["latency_by_rooms"]["direct"]["delivery"]["count"].as_u64() > Some(10));
    assert!(summary["latency"]["ack"]["count"].as_u64().unwrap() > 50);
    assert!(summary["cost"]["cpu_seconds"].as_f64().unwrap() > 0.0);
    let traces = &summary["traces"];
    assert!(
        traces["told"].as_u64() > Some(0) && traces["told"].as_u64() <= traces["asked"].as_u64()
    );
    let slow = &traces["slowest"][0];
    assert!(slow["stages_us"]["commit"].as_u64() > Some(0), "{slow}");
    assert!(slow["kernel_and_client_us"].as_i64() >= Some(0), "{slow}");
    let commit = &summary["server_work"]["stages"]["commit"];
    assert!(commit["commands_measured"].is_f64() && commit["commands_by_littles_law"].is_f64());
    assert!(summary["server_work"]["stages"]["decode"]["commands_measured"].is_null());
    let manifest = std::fs::read_to_string(out.join("manifest.json")).unwrap();
    assert!(manifest.contains("limits.connections_per_address"), "{manifest}");
    assert_eq!(std::fs::read_to_string(out.join("samples.jsonl")).unwrap().lines().count(), 2);
    assert!(!out.join("tokens").exists() && !out.join("data").exists());
}

#[test]
fn a_resume_that_is_off_by_one_is_caught_by_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // So much is said, and so many come back, that something happens while one is away, however short that is.
    let settings = ["rooms.team.sends_per_second=200", "churn.reconnect=1.0"];
    let done = lab(&out, Some("resume_off_by_one"), &settings);
    assert_eq!(done.status.code(), Some(10), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(summary(&out)["ledger"]["delivery_faults"]["lost"].as_u64().unwrap() > 0);
}

#[test]
fn a_server_that_does_not_come_up_is_told_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["server.limits.no_such_limit=1"];
    // Of another build the lab does not know the settings.
    let mut command = command(&folder.path().join("run"), "2", None, &settings);
    let done = command.args(["--server", env!("CARGO_BIN_EXE_throng")]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(error.contains("no_such_limit"), "{error}");
}

#[test]
fn a_mistyped_scenario_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let done = lab(&out, None, &["churn.reconect=1"]);
    assert_eq!(done.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&done.stderr).contains("reconect"));
    assert!(!out.exists());
}

#[test]
fn a_server_that_is_killed_ends_the_run_in_order_and_what_was_measured_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut lab = command(&out, "600", None, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines();
    // As soon as something was acked, which a disk may hold up.
    let acks = |line: &String| line.contains(" of 600 s ") && !line.contains(" 0 acked ");
    assert!(lines.any(|line| acks(line.as_ref().unwrap())));
    let server = child_of(lab.id());
    rustix::process::kill_process(server, Signal::KILL).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(lab.wait().unwrap().code(), Some(12), "{rest:#?}");
    let summary = summary(&out);
    assert_eq!(summary["ending"], "incomplete");
    let reasons = summary["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "its end is told once: {reasons:?}");
    assert!(reasons[0].as_str().unwrap().contains("the server ended (signal: 9"), "{reasons:?}");
    assert!(summary["ledger"]["acked"].as_u64().unwrap() > 0);
    assert!(out.join("data").exists(), "what may be evidence is kept");
}

/// The one child of a process.
fn child_of(parent: u32) -> Pid {
    let file = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(file).expect("the process runs");
    let child = children.split_whitespace().next().expect("it has a child");
    let child = child.parse().expect("the kernel writes numbers");
    Pid::from_raw(child).expect("no process has the number 0")
}

/// A run that has been measuring for a second, in a process group of its own.
fn under_load(out: &Path) -> Child {
    let mut child = command(out, "60", None, &[])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| line.contains(" of 60 s"));
    assert!(first.is_some(), "the run ended before its first second");
    // Reads on, so that the run never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Returns when no server holds the data folder any more.
fn wait_for_the_servers_end(out: &Path) {
    let lock = File::open(out.join("data/lock")).expect("a server made it");
    lock.lock().expect("a lock can be waited for");
}

#[test]
fn a_run_that_is_interrupted_ends_in_order_keeps_what_it_measured_and_takes_its_server_down() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = under_load(&out);
    // As a terminal does it: to everybody in the group.
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(12));
    wait_for_the_servers_end(&out);
    let summary = summary(&out);
    assert_eq!(summary["ending"], "incomplete", "{summary:#}");
    assert!(summary["reasons"].to_string().contains("a signal"), "{summary:#}");
    assert!(summary["ledger"]["sends"].as_u64().unwrap() > 0, "{summary:#}");
    let log = std::fs::read_to_string(out.join("server.log")).unwrap();
    assert!(log.contains("draining"), "it was the run that ended its server: {log}");
    assert!(out.join("manifest.json").exists() && out.join("samples.jsonl").exists());
}

#[test]
fn a_run_that_is_killed_leaves_no_server_behind() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = under_load(&out);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_the_servers_end(&out);
    let log = std::fs::read_to_string(out.join("server.log")).unwrap();
    assert!(log.contains("the standard input has ended"), "{log}");
}

/// What keeps a core awake while something is measured must not be in the way of what is measured.
#[test]
fn a_spinner_says_that_it_spins_and_is_idle_to_the_kernel() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ours = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let core = ours.trim().split(['-', ',']).next().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(["lab", "spin", core]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "spins\n");
    let mut threads = 0;
    for task in std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap() {
        // Of proc_pid_stat(5), behind the name: 16 is the niceness, 38 the class; 5 is SCHED_IDLE.
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        assert_eq!((fields[16], fields[38]), ("19", "5"), "{stat}");
        threads += 1;
    }
    assert_eq!(threads, 2);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
