//! What an operator meets on a bad day: each ends with its own exit code and a sentence that says
//! what to do; and what a good end and a bad one leave behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;
use throng_server::clock::Clock;

use crate::process::{Server, run, said};
use crate::raw_client::Client;

fn serve(data: &Path, arguments: &[&str]) -> std::process::Output {
    let data = data.to_str().unwrap();
    let base = ["serve", "--listen", "127.0.0.1:0", "--data", data];
    run(base.iter().chain(arguments))
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let output = run(["--data", folder.path().to_str().unwrap(), "--listen", &address]);
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains(&address), "{}", said(&output));
}

#[test]
fn a_folder_that_another_server_uses_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let output = serve(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert!(said(&output).contains("in use"), "{}", said(&output));
    assert_eq!(server.ask("GET", "/healthz", "", "").0, 200);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for place in [file.join("data"), Path::new("/proc/throng-data").to_owned()] {
        let output = serve(&place, &[]);
        assert_eq!(output.status.code(), Some(73), "{}", said(&output));
        assert!(said(&output).contains(place.to_str().unwrap()), "{}", said(&output));
    }
}

#[test]
fn a_corrupt_file_is_named_and_not_written_to() {
    for name in ["accounts.db", "log.db", "store.db", "moderation.db", "personal.db", "files.db"] {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join(name);
        let garbage = b"this is no database, but it is longer than a header of one. ".repeat(200);
        fs::write(&broken, &garbage).unwrap();
        let output = serve(folder.path(), &[]);
        assert_eq!(output.status.code(), Some(65), "{name}: {}", said(&output));
        let what = said(&output);
        assert!(what.contains(name) && what.contains("database"), "{name}: {what}");
        assert!(!what.contains("leave to write") && !what.contains("Corrupt("), "{name}: {what}");
        assert_eq!(fs::read(&broken).unwrap(), garbage, "{name}");
    }
}

#[test]
fn a_bad_setting_is_shown_with_its_place_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("throng.toml");
    fs::write(&config, "\n[limits]\nturn_max = 0\n").unwrap();
    let data = folder.path().join("data");
    let config = config.to_str().unwrap();
    for (arguments, shown) in [
        (&["--config", config][..], "throng.toml:3: limits.turn_max is a number from 1 to 65536"),
        (&["--set", "limits.turn_mx=1"], "did you mean 'limits.turn_max'?"),
        (&["--set", "turn"], "--set key=value"),
        (&["--config", "/nowhere.toml"], "/nowhere.toml"),
        (&["--raw-listen", "here"], "raw_listen is an address with a port"),
    ] {
        let output = serve(&data, arguments);
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        assert!(said(&output).contains(shown), "{}", said(&output));
    }
    let output = serve(&data, &["--nonsense"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(!data.exists());
}

/// Makes a room and posts one message there; gives the token and the messages' path.
fn talk(server: &Server) -> (String, String) {
    let token = server.sign_up("anna", "correct horse");
    let made = server.json("POST", "/api/v1/rooms", &token, &json!({"name": "Lobby"}));
    let messages = format!("/api/v1/rooms/{}/messages", made["room"]);
    let posted = server.json("POST", &messages, &token, &json!({"body": "still here"}));
    assert_eq!(posted["n"], json!(1), "{posted}");
    (token, messages)
}

fn heard(server: &Server, token: &str, messages: &str) -> Vec<String> {
    let page = server.json("GET", messages, token, &serde_json::Value::Null);
    let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
    events.iter().filter_map(|e| e["message"]["body"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_server_that_is_asked_to_stop_ends_well_and_the_next_one_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let data = folder.path().join(format!("{signal:?}"));
        let mut server = Server::start(&data, &[]);
        let (token, messages) = talk(&server);
        server.signal(signal);
        assert_eq!(server.wait(), Some(0), "{}", server.log());
        let again = Server::start(&data, &[]);
        assert_eq!(heard(&again, &token, &messages), ["still here"]);
    }
}

/// Both signals are there before the server goes on, so that it takes the second one however quickly it drains;
/// one who is told and does not close its connection would hold that up besides.
#[test]
fn a_second_signal_ends_a_server_at_once_that_has_not_drained() {
    let folder = tempfile::tempdir().unwrap();
    for [first, second] in [[Signal::TERM, Signal::INT], [Signal::INT, Signal::TERM]] {
        let data = folder.path().join(format!("{first:?}"));
        let mut server = Server::start(&data, &["--raw-listen", "127.0.0.1:0"]);
        let (token, messages) = talk(&server);
        let stays = Client::open(server.raw.unwrap(), &token).unwrap();
        for signal in [Signal::STOP, first, second, Signal::CONT] {
            server.signal(signal);
        }
        assert_eq!(server.wait(), Some(130), "{}", server.log());
        drop(stays);
        let again = Server::start(&data, &[]);
        assert_eq!(heard(&again, &token, &messages), ["still here"], "what was acked stays");
    }
}

#[test]
fn what_was_answered_before_a_kill_is_there_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    let (token, messages) = talk(&server);
    server.signal(Signal::KILL);
    assert_eq!(server.wait(), None);
    let again = Server::start(folder.path(), &[]);
    assert_eq!(heard(&again, &token, &messages), ["still here"]);
}

#[test]
fn accounts_made_beside_a_running_server_can_talk_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let create = || {
        let (data, tokens) = (data.to_str().unwrap(), tokens.to_str().unwrap());
        run(["admin", "users", "create", "--count", "3", "--tokens", tokens, "--data", data])
    };
    let output = create();
    assert!(output.status.success(), "{}", said(&output));
    let lines = fs::read_to_string(&tokens).unwrap();
    let names: Vec<_> = lines.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(names, ["u1", "u2", "u3"]);
    for line in lines.lines() {
        let token = line.split('\t').nth(2).unwrap();
        assert_eq!(server.ask("GET", "/api/v1/rooms", token, "").0, 200);
    }
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&tokens).unwrap().permissions().mode() & 0o777, 0o600);
    let again = create();
    assert!(!again.status.success());
    assert_eq!(fs::read_to_string(&tokens).unwrap(), lines, "tokens are not overwritten");
}

/// Connections take descriptors; when they are used up those that are open go on, and when some
/// return new ones are accepted.
#[test]
fn accepting_goes_on_when_descriptors_return() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr");
    let mut command = Command::new("sh");
    let script = "ulimit -n 60; exec \"$0\" serve --listen 127.0.0.1:0 --data \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_throng")]).arg(folder.path().join("data"));
    let server = Server::spawn(&mut command, &log);
    let held: Vec<_> = (0..80).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    drop(held);
    assert_eq!(server.ask("GET", "/healthz", "", "").0, 200, "{}", server.log());
}

/// How often accepting has paused, by one connection that stays open.
fn pauses(inside: &mut TcpStream) -> u64 {
    inside.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = BufReader::new(inside);
    let mut length = 0;
    for line in (&mut answer).lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let counted = body.lines().find_map(|line| line.strip_prefix("throng_accept_pauses_total "));
    counted.unwrap().parse().unwrap()
}

/// Whoever holds all descriptors must not fill the disk by what is said of it.
#[test]
fn want_of_descriptors_is_said_once_and_not_at_each_try() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr");
    let mut command = Command::new("sh");
    let script = "ulimit -n 60; exec \"$0\" serve --listen 127.0.0.1:0 --data \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_throng")]).arg(folder.path().join("data"));
    let server = Server::spawn(&mut command, &log);
    let mut inside = TcpStream::connect(server.address()).unwrap();
    assert_eq!(pauses(&mut inside), 0);
    let clock = Clock::system();
    let begun = clock.now();
    let held: Vec<_> = (0..80).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    while pauses(&mut inside) < 10 {}
    let said = server.log().matches("cannot accept").count() as u64;
    // As fast as this machine is: once, and again every ten seconds.
    let most = 1 + clock.now().since(begun).as_secs() / 10;
    assert!((1..=most).contains(&said), "{said} times\n{}", server.log());
    drop(held);
}

/// Else a file that cannot be opened would look damaged, or the server would go on without one.
#[test]
fn too_few_open_files_are_said_before_any_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new("sh");
    let script = "ulimit -n 40; exec \"$0\" serve --listen 127.0.0.1:0 --data \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_throng")]).arg(&data);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(71), "{}", said(&output));
    assert!(said(&output).contains("at most 40 files may be open"), "{}", said(&output));
    assert!(!data.exists());
}

/// A head without an end and a body without one are cut in the time that a handshake has.
#[test]
fn one_that_drips_its_request_holds_its_socket_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--set", "limits.handshake_timeout_ms=200"]);
    let head = "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\n";
    for begun in [head.to_owned(), format!("{head}Content-Length: 9\r\n\r\n{{")] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        // Who was slow to say even that is told that its socket is gone.
        let mut answer = String::new();
        let told = stream.write_all(begun.as_bytes());
        match told.and_then(|()| stream.read_to_string(&mut answer)) {
            Err(error)
                if !matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) =>
            {
                panic!("it was not cut: {error}")
            }
            _ => assert!(!answer.contains("HTTP/1.1 2"), "{answer}"),
        }
    }
}

#[test]
fn the_doctor_says_what_stops_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let well = run(["doctor", "--listen", "127.0.0.1:0", "--data", data]);
    let text = String::from_utf8_lossy(&well.stdout).into_owned();
    assert!(well.status.success(), "{text}{}", said(&well));
    assert!(text.contains("open files") && text.contains("fdatasync p50"), "{text}");
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let ill = run(["doctor", "--listen", &address, "--data", data]);
    assert_eq!(ill.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ill.stdout).contains("STOPS"));
    // Beside the server that runs there neither its port nor its folder is an obstacle.
    let server = Server::start(folder.path(), &[]);
    let beside = run(["doctor", "--listen", server.address(), "--data", data]);
    let text = String::from_utf8_lossy(&beside.stdout).into_owned();
    assert!(beside.status.success(), "{text}{}", said(&beside));
    assert!(text.contains(" is taken") && text.contains("by a running server"), "{text}");
}
