//! Bad days of whole runs in which something was measured, or was to be: a login that is refused, at the beginning and
//! in the middle, and a disk that is full while the run records. Each ends with its own exit code and says why, and
//! what was there until then is kept.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{Server, run, said};

/// Accounts of a server's folder with their passwords, in the order in which a run takes them.
fn accounts(data: &Path, count: &str) -> PathBuf {
    let tokens = data.with_extension("tokens");
    let words = ["admin", "users", "create", "--passwords", "--count", count, "--tokens"];
    let words = words.iter().map(OsStr::new);
    let made = run(words.chain([tokens.as_os_str(), "--data".as_ref(), data.as_os_str()]));
    assert!(made.status.success(), "{}", said(&made));
    tokens
}

/// Gives this account another token (2) or password (3) than it has.
fn another(tokens: &Path, account: usize, field: usize) {
    let text = std::fs::read_to_string(tokens).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut fields: Vec<String> = lines[account].split('\t').map(str::to_owned).collect();
    fields[field] = fields[field].chars().rev().collect();
    lines[account] = fields.join("\t");
    std::fs::write(tokens, lines.join("\n") + "\n").unwrap();
}

/// Raised so far that one address may have all of a run's users.
const ROOM: [&str; 4] = [
    "--set",
    "limits.connections_per_address=1000",
    "--set",
    "limits.logins_per_minute_address=100000",
];

/// A generator that may be as late as it likes.
const PATIENT: [&str; 8] = [
    "--set",
    "self_check.cpu_max=100",
    "--set",
    "self_check.lag_p50_ms=60000",
    "--set",
    "self_check.lag_p99_ms=60000",
    "--set",
    "self_check.late_ms=60000",
];

fn lab(scenario: &[&str], server: &Server, tokens: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(["lab", "run"]).args(scenario).args(PATIENT);
    command.args(["--target", &format!("http://{}", server.address())]);
    command.arg("--tokens").arg(tokens).arg("--out").arg(out);
    command
}

fn text(out: &Path, file: &str) -> String {
    std::fs::read_to_string(out.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn summary(out: &Path) -> Value {
    serde_json::from_str(&text(out, "summary.json")).unwrap()
}

fn reasons(out: &Path) -> Vec<String> {
    let summary = summary(out);
    let reasons = summary["reasons"].as_array().unwrap();
    reasons.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// The page that is made of what was kept.
fn report(out: &Path) -> String {
    let made = run([OsStr::new("lab"), "report".as_ref(), out.as_os_str()]);
    assert!(made.status.success(), "{}", said(&made));
    text(out, "report.html")
}

#[test]
fn a_run_whose_users_are_refused_at_the_door_offers_no_load_and_says_what_they_were_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (tokens, out) = (accounts(&data, "40"), folder.path().join("run"));
    another(&tokens, 2, 2);
    let server = Server::start(&data, &ROOM);
    let done = lab(&["new-year", "--short"], &server, &tokens, &out).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let words = "user 2: Authenticate was refused: 202 bad_token; no load was offered";
    assert!(said(&done).contains(words), "{}", said(&done));
    // What was to be run, where and how is kept; of load there was not a second.
    assert!(text(&out, "manifest.json").contains(server.address()));
    assert_eq!(text(&out, "samples.jsonl"), "");
    assert!(!out.join("summary.json").exists() && !out.join("reserved").exists());
    assert!(report(&out).contains("Incomplete"));
    assert_eq!(server.ask("GET", "/healthz", "", "").0, 200, "the server is not ours to end");
}

#[test]
fn a_login_that_is_refused_in_the_middle_ends_the_run_in_order_with_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Twelve who come one after the other by their passwords, and the probe that is there before.
    let (tokens, out) = (accounts(&data, "13"), folder.path().join("run"));
    another(&tokens, 8, 3);
    let server = Server::start(&data, &ROOM);
    let done = lab(&["ramp-with-logins", "--short"], &server, &tokens, &out).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(12), "{told}\n{}", said(&done));
    let why = "user 8: Authenticate was refused: 201 wrong_credentials";
    assert!(told.contains("\nramp-with-logins: INCOMPLETE: "), "{told}");
    assert!(told.contains(&format!("\n  {why}\n")), "{told}");
    let (summary, reasons) = (summary(&out), reasons(&out));
    assert_eq!((&summary["ending"], reasons[0].as_str()), (&"incomplete".into(), why));
    // The probe spoke, and others had come.
    let ledger = &summary["ledger"];
    assert!(ledger["sends"].as_u64() > Some(0), "{told}");
    assert!(summary["load_seconds"].as_f64() > Some(0.0));
    assert!(summary["latency"]["login"]["count"].as_u64() > Some(0), "{told}");
    for side in ["send_faults", "delivery_faults"] {
        for kind in ["lost", "duplicated", "reordered", "foreign"] {
            assert_eq!(ledger[side][kind], 0, "what was on its way is nobody's fault: {told}");
        }
    }
    let seconds = text(&out, "samples.jsonl");
    assert!(seconds.lines().count() > 0 && seconds.lines().all(|line| line.ends_with('}')));
    assert!(text(&out, "series.csv").lines().count() > 1);
    assert!(report(&out).contains(why) && !out.join("reserved").exists());
    assert_eq!(server.ask("GET", "/healthz", "", "").0, 200, "the server is not ours to end");
}

fn is_not_complete(out: &Path, done: &Output) {
    assert_eq!(done.status.code(), Some(12), "{}", said(done));
    let summary = summary(out);
    assert_eq!(summary["ending"], "incomplete");
    assert_eq!(summary["ledger"]["send_faults"]["lost"], 0);
    assert!(summary["ledger"]["acked"].as_u64() > Some(0), "{summary}");
    let manifest: Value = serde_json::from_str(&text(out, "manifest.json")).unwrap();
    assert_eq!(manifest["server_is_ours"], false);
    assert!(!out.join("reserved").exists() && !out.join("summary.json.part").exists());
}

/// Linux has a file that is a full disk: what is recorded each second goes there.
#[test]
fn a_run_that_could_not_record_its_seconds_says_which_are_missing_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (tokens, out) = (accounts(&data, "40"), folder.path().join("run"));
    std::fs::create_dir(&out).unwrap();
    for file in ["samples.jsonl", "series.csv"] {
        std::os::unix::fs::symlink("/dev/full", out.join(file)).unwrap();
    }
    let server = Server::start(&data, &ROOM);
    let done = lab(&["new-year", "--short"], &server, &tokens, &out).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    is_not_complete(&out, &done);
    let reasons = reasons(&out);
    for file in ["samples.jsonl", "series.csv"] {
        let begins = format!("{file} lacks its last ");
        let reason = reasons.iter().find(|it| it.starts_with(&begins));
        let reason = reason.unwrap_or_else(|| panic!("{reasons:?}"));
        assert!(reason.ends_with(" lines: No space left on device (os error 28)"), "{reason}");
        assert!(told.contains(reason), "{told}");
        // This disk is read as zeros without end; a real one has kept an empty file.
        std::fs::remove_file(out.join(file)).unwrap();
        std::fs::write(out.join(file), "").unwrap();
    }
    assert!(told.contains("\nnew-year: INCOMPLETE") && told.contains("\ndurable ack "), "{told}");
    assert!(report(&out).contains("samples.jsonl lacks its last "));
}

/// The disk of a run, full but for what the run has set aside.
fn fill(disk: &Path) {
    let mut file = File::create(disk.join("somebody-elses")).unwrap();
    let zeros = vec![0; 1 << 16];
    let full = loop {
        if let Err(error) = file.write_all(&zeros) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
}

/// A small disk of its own for one command, which sees it at `at`; `None` where this machine does not let us.
fn on_a_small_disk(at: &Path, command: &Command) -> Option<Child> {
    let mount = "mount -t tmpfs -o size=8m throng-tests \"$0\" && exec \"$@\"";
    let within = ["--user", "--map-root-user", "--mount", "sh", "-c"];
    let mut may = Command::new("unshare");
    let may = may.args(within).args([mount.as_ref(), at.as_os_str()]);
    let may = may.args(["true"]).output().is_ok_and(|done| done.status.success());
    may.then(|| {
        let mut inside = Command::new("unshare");
        inside.args(within).args([mount.as_ref(), at.as_os_str(), command.get_program()]);
        inside.args(command.get_args()).stdin(Stdio::null());
        inside.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    })
}

/// Somebody else fills the disk after the first second; the run is ended when three more have passed.
#[test]
fn a_disk_that_gets_full_while_a_run_records_leaves_it_incomplete_with_all_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (data, disk) = (folder.path().join("data"), folder.path().join("disk"));
    std::fs::create_dir(&disk).unwrap();
    let tokens = accounts(&data, "40");
    let server = Server::start(&data, &ROOM);
    let scenario = ["new-year", "--short", "--seconds", "600"];
    let command = lab(&scenario, &server, &tokens, &disk.join("run"));
    let Some(mut child) = on_a_small_disk(&disk, &command) else {
        eprintln!("SKIPPED: no disk of its own for a run here");
        return;
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("   1 of 600 s")), "the load has not begun");
    // Held open, the disk outlives the one who sees it.
    let seen = format!("/proc/{}/root{}", child.id(), disk.display());
    let held = File::open(seen).unwrap();
    let disk = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    fill(&disk);
    assert!(lines.any(|line| line.contains("   5 of 600 s")), "the full disk ended it");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let told: Vec<String> = lines.collect();
    let done = child.wait_with_output().unwrap();
    let out = disk.join("run");
    is_not_complete(&out, &done);
    let reasons = reasons(&out);
    let full = "samples.jsonl had to wait for its disk (No space left on device (os error 28)); it has all its lines";
    assert!(reasons.iter().any(|it| it == full), "{reasons:?}");
    assert!(told.iter().any(|line| line.contains(full)), "{told:#?}");
    let seconds = text(&out, "samples.jsonl");
    assert!(seconds.lines().count() >= 5 && seconds.lines().all(|line| line.ends_with('}')));
}
