//! What a measurer meets on a bad day: nobody there, too little of this machine, a server that is not
//! ours, one that says later. Each ends with its own exit code and a sentence that says what to do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::process::{Server, run, said};

fn json_of(out: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(out.join(file)).unwrap()).unwrap()
}

/// Accounts of a server's folder, as its operator makes them.
fn accounts(data: &Path, count: u32) -> std::path::PathBuf {
    let tokens = data.with_extension("tokens");
    let count = count.to_string();
    let made = run(["admin", "users", "create", "--count", &count, "--tokens"]
        .iter()
        .map(OsStr::new)
        .chain([tokens.as_os_str(), "--data".as_ref(), data.as_os_str()]));
    assert!(made.status.success(), "{}", said(&made));
    tokens
}

fn lab(out: &Path, arguments: &[&str]) -> Output {
    let all = ["lab", "run"].iter().chain(arguments).map(OsStr::new);
    run(all.chain(["--out".as_ref(), out.as_os_str()]))
}

#[test]
fn a_client_that_is_told_later_waits_as_long_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ["limits.sends_per_second=1", "limits.sends_burst=1"];
    let sets = limits.iter().flat_map(|it| ["--set", it]);
    let arguments: Vec<&str> = ["--raw-listen", "127.0.0.1:0"].into_iter().chain(sets).collect();
    let server = Server::start(&folder.path().join("data"), &arguments);
    let target = format!("tcp://{}", server.raw.unwrap());
    let client =
        |count: &str| run(["lab", "client", "--id", "7", "--count", count, "--target", &target]);
    let done = client("3");
    assert!(done.status.success(), "{}", said(&done));
    let line = String::from_utf8_lossy(&done.stdout).into_owned();
    let fields: Vec<u64> = line.trim().split(',').map(|it| it.parse().unwrap()).collect();
    assert_eq!((fields.len(), fields[0], fields[1]), (4, 7, 3), "{line}");
    assert!(said(&done).starts_with("client 7: refused "), "{}", said(&done));
    assert!(said(&done).contains("count from when they were first sent"), "{}", said(&done));
    // The median of three, two of which waited for most of a second.
    assert!(fields[3] > 100_000, "{line}");
    let one = client("1");
    assert_eq!(said(&one), "", "nothing was refused, so nothing is said");
}

#[test]
fn a_target_that_cannot_be_used_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = accounts(&folder.path().join("data"), 40);
    let tokens = tokens.to_str().unwrap();
    // A port that nobody has, because we had it.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let raw = r#"users.dresses=["raw"]"#;
    for (number, (target, more, code, says)) in [
        (format!("http://{nobody}"), None, 1, format!("nobody listens at {nobody}")),
        (format!("wss://{nobody}"), None, 1, "TLS is not spoken by the lab".into()),
        (format!("http://{nobody}"), Some(raw), 64, "--target-raw".into()),
    ]
    .into_iter()
    .enumerate()
    {
        let out = folder.path().join(number.to_string());
        let mut arguments =
            vec!["new-year", "--short", "--target", target.as_str(), "--tokens", tokens];
        arguments.extend(more.iter().flat_map(|it| ["--set", it]));
        let done = lab(&out, &arguments);
        assert_eq!(done.status.code(), Some(code), "{target}: {}", said(&done));
        assert!(said(&done).contains(&says), "{target}: {}", said(&done));
        assert!(!said(&done).contains("connections_per_address"), "{}", said(&done));
    }
}

#[test]
fn a_server_that_is_not_ours_is_reported_as_its_operator_set_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let tokens = accounts(&data, 40);
    let server = Server::start(&data, &["--set", "limits.sends_per_second=12345"]);
    let (out, url) = (folder.path().join("run"), format!("http://{}", server.address()));
    let arguments = ["new-year", "--short", "--target", &url, "--tokens", tokens.to_str().unwrap()];
    let done = lab(&out, &arguments);
    let manifest = json_of(&out, "manifest.json");
    assert_eq!(manifest["server_is_ours"], false, "{}", said(&done));
    assert_eq!(manifest["server_settings_raised"], json!({}));
    assert_eq!(manifest["server_settings_asked"]["limits.sends_per_second"], "1000000");
    assert_eq!(json_of(&out, "summary.json")["server_limits"]["sends_per_second"], 12_345);
    let report = run([OsStr::new("lab"), "report".as_ref(), out.as_os_str()]);
    assert!(report.status.success(), "{}", said(&report));
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("as its operator set them; the scenario asks for"), "{page}");
    assert!(page.contains("sends_per_second = 12345"), "{page}");
}

/// Rooms of two are known by who is in them: the second run finds those of the first, with all that was said there.
#[test]
fn a_second_run_with_the_same_accounts_does_not_take_the_first_ones_messages_for_foreign() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let tokens = accounts(&data, 60);
    let server = Server::start(&data, &[]);
    let url = format!("http://{}", server.address());
    let mut direct = Vec::new();
    for seed in ["1", "2"] {
        let out = folder.path().join(seed);
        let tokens = ["--tokens", tokens.to_str().unwrap(), "--seed", seed];
        // Who comes and goes and who is put out is no matter here.
        let more = ["--seconds", "2", "--set", "churn.stall=0"];
        let target = ["canonical", "--short", "--target", url.as_str()];
        let done = lab(&out, &[&target[..], &tokens, &more].concat());
        let summary = json_of(&out, "summary.json");
        let ending = summary["ending"].as_str().unwrap();
        assert!(["pass", "missed", "invalid"].contains(&ending), "{seed}: {}", said(&done));
        let none = json!({ "lost": 0, "duplicated": 0, "reordered": 0, "foreign": 0 });
        let ledger = &summary["ledger"];
        assert_eq!([&ledger["send_faults"], &ledger["delivery_faults"]], [&none; 2], "{ledger}");
        assert_eq!(ledger["rooms_read"], ledger["rooms"]);
        direct.push(summary["latency_by_rooms"]["direct"]["ack"]["count"].as_u64().unwrap());
    }
    assert!(direct.iter().all(|acks| *acks > 0), "something was said in both: {direct:?}");
}

#[test]
fn a_machine_with_too_few_open_files_is_a_generator_that_was_the_bottleneck() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = Command::new("sh");
    let script = "ulimit -n 150; exec \"$0\" lab run new-year --preset 100 --out \"$1\"";
    let done = command.args(["-c", script, env!("CARGO_BIN_EXE_throng")]).arg(&out).output();
    let done = done.unwrap();
    assert_eq!(done.status.code(), Some(11), "{}", said(&done));
    assert!(said(&done).contains("open files are needed and 150 allowed"), "{}", said(&done));
    let summary = json_of(&out, "summary.json");
    assert_eq!((&summary["ending"], &summary["load_seconds"]), (&json!("invalid"), &json!(0.0)));
    assert!(!out.join("data").exists() && !out.join("server.log").exists(), "nothing was started");
    let report = run([OsStr::new("lab"), "report".as_ref(), "--junit".as_ref(), out.as_os_str()]);
    assert!(report.status.success(), "{}", said(&report));
    let junit = std::fs::read_to_string(out.join("junit.xml")).unwrap();
    assert!(junit.contains("<skipped message=\"nothing was started\"/>"), "{junit}");
    assert!(junit.contains("<error message=") && junit.contains("errors=\"1\""), "{junit}");
    let listed = run([OsStr::new("lab"), "list".as_ref(), folder.path().as_os_str()]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("invalid"), "{listed}");
}

/// The server's own table of settings knows them, before any server is started.
#[test]
fn a_setting_of_the_server_that_there_is_not_is_told_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("../../../scenarios/new-year.toml");
    let out = folder.path().join("run");
    for (good, bad, why) in [
        ("\"limits.sends_burst\"", "\"limits.sends_bust\"", "did you mean 'limits.sends_burst'?"),
        ("\"limits.sends_burst\" = \"1000000\"", "\"limits.sends_burst\" = \"many\"", "number"),
        ("\"server.limits.turn_max=10\"", "\"server.limits.turn_mx=10\"", "arm turn-10: "),
    ] {
        let broken = text.replacen(good, bad, 1);
        let line = broken.lines().position(|line| line.contains(bad));
        let line = line.unwrap_or_else(|| panic!("{good} is not there")) + 1;
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, broken).unwrap();
        let done = lab(&out, &[file.to_str().unwrap(), "--short"]);
        assert_eq!(done.status.code(), Some(64), "{}", said(&done));
        let place = format!("mine.toml, line {line}: ");
        assert!(said(&done).contains(&place) && said(&done).contains(why), "{}", said(&done));
        assert!(!out.exists());
    }
}

/// Its kernel takes the connections, and nobody accepts them.
#[test]
fn a_server_without_open_files_left_is_told_of_in_words() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server");
    let program = env!("CARGO_BIN_EXE_throng");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n 90\nexec '{program}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let out = folder.path().join("run");
    let done = lab(&out, &["reconnect-all", "--short", "--server", script.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let words = " of 100 connections were asked for and the server said nothing over them";
    assert!(said(&done).contains(words) && said(&done).contains("open files"), "{}", said(&done));
    let log = std::fs::read_to_string(out.join("server.log")).unwrap();
    assert!(log.contains("Too many open files"), "{log}");
}
