//! Too many open files: accepting pauses and goes on when descriptors return.

use std::net::TcpStream;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::{self, reply::Outcome};

use super::Server;
use super::client::{Client, Speak};

/// Set for the child, whose limit is lowered; ours must stay.
const CHILD: &str = "THRONG_TEST_FEW_DESCRIPTORS";

#[test]
fn accepting_goes_on_when_descriptors_return() {
    if std::env::var_os(CHILD).is_some() {
        return few_descriptors();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "live::descriptors::accepting_goes_on_when_descriptors_return"])
        .args(["--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(child.success());
}

fn few_descriptors() {
    let server = Server::with(|settings| {
        settings.limits.connections_per_address = 10_000;
        // One asks until the server has come to accepting.
        settings.limits.requests_burst = 1_000_000;
    });
    let mut early = server.join_in(Speak::Json, "anna");
    let room = early.create("tea");
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(open + 20), ..before }).unwrap();
    // Both ends of each socket are ours: about ten connections until none is left.
    let mut flood: Vec<TcpStream> = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.http) {
        flood.push(stream);
        assert!(flood.len() < 100, "the limit was not reached");
    }
    early.post(room, "those who are inside go on");
    while server.app().metrics.accept_pauses.get() == 0 {
        early.ask(Request::Ping(v1::Ping {}));
    }
    let pauses = server.app().metrics.accept_pauses.get();
    assert!(pauses < 1_000, "it pauses instead of spinning: {pauses} times");
    flood.clear();
    setrlimit(Resource::Nofile, before).unwrap();
    let mut late = Client::connect(server.http, Speak::Json);
    assert!(matches!(late.authenticate(&early.token), Outcome::Session(_)));
}
