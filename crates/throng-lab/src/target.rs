//! What is measured: a server of our own as a child process in an empty folder, or one that runs
//! already.
//!
//! Neighbours: `run` starts and ends it; `monitor` looks at its process. The server is reached as
//! any client reaches it, and started as any operator starts it; nothing is switched on that a user
//! would not have.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::runner::{Account, Credentials, Door};

/// A server says where it is within this, recovery included.
const START_WITHIN: Duration = Duration::from_secs(30);
/// A server drains within this; then it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Lines of its standard output that wait for us.
const LINES_MAX: usize = 64;
/// Of what it said last, for the error.
const LAST_WORDS: u64 = 2_000;

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The program could not be started.
    #[error("cannot start {0}: {1}")]
    Start(PathBuf, io::Error),
    /// It ended or did not say where it is.
    #[error("{0} did not come up ({1}); {2}")]
    NotUp(PathBuf, String, String),
    /// Accounts could not be made.
    #[error("accounts could not be made: {0}")]
    Accounts(String),
    /// The address is none.
    #[error("--target {0}: {1}")]
    BadAddress(String, String),
    /// The system refused something.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// How to start one.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The executable.
    pub program: &'a Path,
    /// Its data folder; made if it is not there.
    pub data: &'a Path,
    /// Where its log goes.
    pub log: &'a Path,
    /// Settings, by name.
    pub settings: &'a BTreeMap<String, String>,
    /// The raw port too.
    pub raw: bool,
}

/// A server.
#[derive(Debug)]
pub struct Target {
    /// Where it is.
    pub door: Door,
    child: Option<(Child, PathBuf)>,
}

/// Makes so many accounts with tokens in the data folder, and with passwords where they are asked
/// for, by the server's own command.
pub fn make_accounts(
    program: &Path,
    data: &Path,
    tokens: &Path,
    count: u32,
    passwords: bool,
) -> Result<(), TargetError> {
    let done = Command::new(program)
        .args(["admin", "users", "create", "--prefix", "lab", "--count"])
        .arg(count.to_string())
        .arg("--tokens")
        .arg(tokens)
        .arg("--data")
        .arg(data)
        .args(passwords.then_some("--passwords"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| TargetError::Start(program.to_owned(), error))?;
    if done.status.success() {
        return Ok(());
    }
    Err(TargetError::Accounts(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}

/// Accounts as `admin users create` writes them: number, name, token and, where they were asked
/// for, password, with tabs between.
pub fn read_accounts(tokens: &Path, wanted: u32) -> Result<Vec<Account>, TargetError> {
    let name = tokens.display().to_string();
    let text = std::fs::read_to_string(tokens).map_err(|e| TargetError::Io(name.clone(), e))?;
    let account = |line: &str| {
        let mut fields = line.split('\t');
        let (id, name) = (fields.next()?.parse().ok()?, fields.next()?.to_owned());
        let token = fields.next()?.trim().to_owned();
        let password = fields.next().map(|it| it.trim().to_owned());
        let password = password.map(|password| Credentials { name: name.clone(), password });
        Some(Account { id, name, token, password })
    };
    let mut accounts = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        let bad = || TargetError::Accounts(format!("{name}, line {line_number}: not a token line"));
        accounts.push(account(line).ok_or_else(bad)?);
    }
    if accounts.len() < wanted as usize {
        let text = format!("{name} has {} accounts, {wanted} are needed", accounts.len());
        return Err(TargetError::Accounts(text));
    }
    accounts.truncate(wanted as usize);
    Ok(accounts)
}

impl Target {
    /// Starts a server and waits until it says where it is.
    pub fn start(how: &Start<'_>) -> Result<Self, TargetError> {
        let failed = |error| TargetError::Start(how.program.to_owned(), error);
        let log = File::create(how.log).map_err(failed)?;
        let mut command = Command::new(how.program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(how.data);
        if how.raw {
            command.args(["--raw-listen", "127.0.0.1:0"]);
        }
        for (name, value) in how.settings {
            command.args(["--set", &format!("{name}={value}")]);
        }
        let mut child = ends_with_us(&mut command)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let lines = lines_of(&mut child);
        let mut target = Self {
            door: Door {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                raw: None,
                agents: Vec::new(),
            },
            child: Some((child, how.log.to_owned())),
        };
        let said = target.wait_for(&lines, how, "throng: open http://")?;
        target.door.address = said;
        if how.raw {
            target.door.raw = Some(target.wait_for(&lines, how, "throng: raw tcp ")?);
        }
        // Reads on, so that a server which says more never waits for us.
        std::thread::spawn(move || while lines.recv().is_ok() {});
        Ok(target)
    }

    /// One that runs already.
    pub fn at(url: &str, raw: Option<&str>) -> Result<Self, TargetError> {
        let plain = ["http://", "ws://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let address = resolve(url, plain.unwrap_or(url))?;
        let raw = raw.map(|text| resolve(text, text.strip_prefix("tcp://").unwrap_or(text)));
        Ok(Self { door: Door { address, raw: raw.transpose()?, agents: Vec::new() }, child: None })
    }

    fn wait_for(
        &mut self,
        lines: &Receiver<String>,
        how: &Start<'_>,
        begin: &str,
    ) -> Result<SocketAddr, TargetError> {
        let until = clock::now().plus(START_WITHIN);
        let why = loop {
            match lines.recv_timeout(until.since(clock::now())) {
                Ok(line) => {
                    let address = line.strip_prefix(begin).map(|it| it.trim_end_matches('/'));
                    if let Some(address) = address.and_then(|it| it.parse().ok()) {
                        return Ok(address);
                    }
                }
                Err(RecvTimeoutError::Timeout) => break "no address in time".to_owned(),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.as_mut().and_then(|(child, _)| child.wait().ok());
                    break status.map_or("ended".to_owned(), |status| status.to_string());
                }
            }
        };
        Err(TargetError::NotUp(how.program.to_owned(), why, last_words(how.log)))
    }

    /// The process, if it is ours.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|(child, _)| child.id())
    }

    /// How it ended, if it is ours and did, with its last words in a sentence.
    pub fn ended(&mut self) -> Option<(ExitStatus, String)> {
        let (child, log) = self.child.as_mut()?;
        let status = child.try_wait().ok().flatten()?;
        Some((status, last_words(log)))
    }

    /// Asks it to end and waits until it did; one that does not is killed, and that is said.
    pub fn stop(mut self) -> io::Result<Option<ExitStatus>> {
        let Some((mut child, _)) = self.child.take() else { return Ok(None) };
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        if ends_within(&child, STOP_WITHIN)? {
            return child.wait().map(Some);
        }
        child.kill()?;
        child.wait()?;
        Err(io::Error::other("the server did not end by itself after SIGTERM and was killed"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.child {
            // Both fail only when it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Set for a server that is to end, as by a signal, when its standard input does: however its owner
/// ends, no server stays behind. Builds that do not know it end by signals alone.
pub const UNTIL_STDIN_ENDS: &str = "THRONG_UNTIL_STDIN_ENDS";

/// Binds the life of what the command starts to ours, and keeps it from the signals of our terminal:
/// it is we who end it, when the run has ended in order.
pub fn ends_with_us(command: &mut Command) -> &mut Command {
    command.env(UNTIL_STDIN_ENDS, "1").stdin(Stdio::piped()).process_group(0)
}

/// Waits for its end, so long at most.
pub(crate) fn ends_within(child: &Child, time: Duration) -> io::Result<bool> {
    let id = rustix::process::Pid::from_child(child);
    let fd = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty())?;
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: 0 };
    Ok(poll(&mut fds, Some(&time))? > 0)
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let (tell, lines) = sync_channel(LINES_MAX);
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    std::thread::spawn(move || {
        for line in output.lines() {
            let Ok(line) = line else { return };
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// What stands last in its log, or that nothing does.
fn last_words(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LAST_WORDS)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read().unwrap_or_default().trim() {
        "" => "it said nothing".to_owned(),
        words => format!("its last words:\n{words}"),
    }
}

fn resolve(given: &str, text: &str) -> Result<SocketAddr, TargetError> {
    let bad = |why: String| TargetError::BadAddress(given.to_owned(), why);
    if ["https://", "wss://"].iter().any(|tls| given.starts_with(tls)) {
        let why = "TLS is not spoken by the lab: name the server's own ws:// or http:// address, behind the \
                   proxy, or put a proxy between that speaks TLS to it";
        return Err(bad(why.into()));
    }
    let mut addresses =
        text.trim_end_matches('/').to_socket_addrs().map_err(|error| bad(error.to_string()))?;
    addresses.next().ok_or_else(|| bad("no address of that name".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_and_a_broken_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, "7\tlab1\tsecret\n9\tlab2\tother\n").unwrap();
        let accounts = read_accounts(&file, 1).unwrap();
        assert_eq!((accounts.len(), accounts[0].id, &*accounts[0].token), (1, 7, "secret"));
        assert!(read_accounts(&file, 3).unwrap_err().to_string().contains("3 are needed"));
        std::fs::write(&file, "7\tlab1\tsecret\nnonsense\n").unwrap();
        assert!(read_accounts(&file, 1).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_program_that_ends_at_once_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("server");
        // Written by another process: a child that any test starts while we have it open for writing would
        // have it open too, and a file that is being written cannot be run.
        let write = "printf '#!/bin/sh\\necho the folder is in use >&2\\nexit 4\\n' >\"$0\" && \
                     chmod 755 \"$0\"";
        assert!(Command::new("sh").args(["-c", write]).arg(&program).status().unwrap().success());
        let log = folder.path().join("log");
        let settings = BTreeMap::new();
        let how = Start {
            program: &program,
            data: folder.path(),
            log: &log,
            settings: &settings,
            raw: false,
        };
        let error = Target::start(&how).unwrap_err().to_string();
        assert!(error.contains("the folder is in use") && error.contains('4'), "{error}");
    }

    #[test]
    fn one_that_said_nothing_has_no_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(last_words(&log), "it said nothing");
        std::fs::write(&log, "\n").unwrap();
        assert_eq!(last_words(&log), "it said nothing");
        std::fs::write(&log, "the disk is full\n").unwrap();
        assert_eq!(last_words(&log), "its last words:\nthe disk is full");
    }

    #[test]
    fn an_address_is_resolved_or_refused_in_words() {
        let target = Target::at("http://127.0.0.1:8080/", None).unwrap();
        assert_eq!(target.door.address.port(), 8080);
        assert_eq!(Target::at("ws://127.0.0.1:81", None).unwrap().door.address.port(), 81);
        for (url, why) in [
            ("https://127.0.0.1:1", "TLS is not spoken"),
            ("wss://127.0.0.1:1", "TLS is not spoken"),
            ("http://nonsense", "--target"),
        ] {
            assert!(Target::at(url, None).unwrap_err().to_string().contains(why));
        }
    }
}
