//! The real binary as a child, and as much HTTP as is needed to talk to it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Runs the binary to its end.
pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_throng"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What it said on its standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    address: String,
    /// Where it serves length-prefixed Protobuf, if it was asked to.
    pub raw: Option<SocketAddr>,
    /// What it said besides its address.
    pub said: String,
    log: PathBuf,
}

impl Server {
    /// Starts one on a free port with this data folder.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
        Self::spawn(&mut command, &data.with_extension("stderr"))
    }

    /// Starts what the command says and waits for its first line.
    pub fn spawn(command: &mut Command, log: &Path) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        said.read_line(&mut first).unwrap();
        let first = first.trim_end();
        // It says all of it at once.
        let said = String::from_utf8(said.buffer().to_vec()).unwrap();
        let address = first.strip_prefix("throng: open http://");
        let Some(address) = address.and_then(|rest| rest.strip_suffix('/')) else {
            let _ = child.kill();
            panic!("the first line is {first:?}; {}", std::fs::read_to_string(log).unwrap());
        };
        let address = address.to_owned();
        let raw = command.get_args().any(|argument| argument == "--raw-listen").then(|| {
            let raw = said.lines().find_map(|line| line.strip_prefix("throng: raw tcp "));
            raw.unwrap().parse().unwrap()
        });
        Self { child, address, raw, said, log: log.to_owned() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end and gives its exit code; `None` when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// One request: status and body.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if !token.is_empty() {
            write!(head, "Authorization: Bearer {token}\r\n").unwrap();
        }
        write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, body.to_owned())
    }

    /// One request whose answer is JSON.
    #[track_caller]
    pub fn json(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &serde_json::Value,
    ) -> serde_json::Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.ask(method, path, token, &body);
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{method} {path}: {status} {answer:?}: {error}"))
    }

    /// Signs up and gives the token.
    #[track_caller]
    pub fn sign_up(&self, name: &str, password: &str) -> String {
        let asked = serde_json::json!({"name": name, "password": password});
        let session = self.json("POST", "/api/v1/accounts", "", &asked);
        session["token"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}
