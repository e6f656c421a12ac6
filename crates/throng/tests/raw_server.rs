//! `throng` as a child process, on ports of its own choosing and a folder of the test's.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The executable under test: this build's, or the one named by `THRONG_BINARY`.
pub fn binary() -> PathBuf {
    std::env::var_os("THRONG_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_throng").into(), Into::into)
}

/// A running server. Dropped: killed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it serves length-prefixed Protobuf.
    pub raw: SocketAddr,
    errors: PathBuf,
}

impl Server {
    /// Starts one on this folder, with these settings, and with this fault if there is one.
    pub fn start(data: &Path, settings: &[&str], fault: Option<&str>) -> Self {
        let errors = data.with_extension("stderr");
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--raw-listen", "127.0.0.1:0", "--data"]);
        command.arg(data);
        for setting in settings {
            command.args(["--set", setting]);
        }
        if let Some(fault) = fault {
            command.env("THRONG_PLANTED_FAULT", fault);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&errors).expect("a place for what it says"));
        let mut child = command.spawn().expect("the executable was built");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut address = |before: &str| -> Option<SocketAddr> {
            let line = lines.next()?.ok()?;
            line.strip_prefix(before)?.trim_end_matches('/').parse().ok()
        };
        let found = address("throng: open http://").zip(address("throng: raw tcp "));
        let Some((_, raw)) = found else {
            let _ = child.kill();
            panic!("it did not start: {}", said(&errors));
        };
        Self { child, raw, errors }
    }

    /// SIGKILL, now. It must have been running until then.
    pub fn kill(mut self) {
        let ended = self.child.try_wait().expect("it is our child");
        assert!(ended.is_none(), "it ended by itself, {ended:?}: {}", said(&self.errors));
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(errors: &Path) -> String {
    std::fs::read_to_string(errors).unwrap_or_default()
}

/// Makes accounts in a folder; returns their tokens.
pub fn tokens(data: &Path, count: usize) -> Vec<String> {
    let file = data.with_extension("tokens");
    let mut command = Command::new(binary());
    command.args(["admin", "users", "create", "--count", &count.to_string(), "--tokens"]);
    command.arg(&file).arg("--data").arg(data).stdout(Stdio::null());
    assert!(command.status().expect("the executable was built").success());
    let text = std::fs::read_to_string(file).expect("it wrote the tokens");
    let tokens: Vec<_> = text.lines().filter_map(|line| line.split('\t').nth(2)).collect();
    assert_eq!(tokens.len(), count);
    tokens.into_iter().map(str::to_owned).collect()
}
