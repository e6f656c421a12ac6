//! What this machine allows: looked up and measured before a server runs, and said in plain words.
//!
//! Neighbours: `throng doctor` prints it. Only the folder's disk is written to (a small file, taken
//! away again) and only the port to listen on is tried; nothing is changed. Beside a server that runs on the
//! folder, what that server holds stops nothing.

mod disk;
mod kernel;

use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use crate::clock::Clock;
use crate::config::Settings;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// The server runs, and will meet a bound or be slow.
    Poor,
    /// The server cannot start or cannot keep its promises.
    Stops,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What that allows, or what to do about it.
    pub means: String,
    /// How grave it is.
    pub grade: Grade,
}

impl Finding {
    fn new(what: &'static str, grade: Grade, found: String, means: String) -> Self {
        Self { what, found, means, grade }
    }

    fn good(what: &'static str, found: String, means: String) -> Self {
        Self::new(what, Grade::Good, found, means)
    }

    /// Something that this system does not tell.
    fn unknown(what: &'static str, error: &dyn fmt::Display) -> Self {
        let means = "not known on this system; nothing depends on it".to_owned();
        Self::new(what, Grade::Good, error.to_string(), means)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.grade {
            Grade::Good => "ok   ",
            Grade::Poor => "POOR ",
            Grade::Stops => "STOPS",
        };
        write!(f, "{mark}  {:<18} {}\n       {:<18} {}", self.what, self.found, "", self.means)
    }
}

/// Looks at everything. Takes about a second, most of it syncs.
pub fn examine(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let served = !settings.memory && disk::is_served(&settings.data);
    let mut findings = vec![
        kernel::version(),
        kernel::cores(settings),
        kernel::memory(),
        kernel::open_files(&settings.limits),
        port("port", settings.listen, served),
    ];
    findings.extend(settings.raw_listen.map(|address| port("raw port", address, served)));
    findings.extend([
        kernel::backlog(),
        kernel::overflows(),
        kernel::port_range(),
        kernel::congestion_control(),
    ]);
    if settings.memory {
        let means = "nothing is kept: a restart forgets everything".to_owned();
        findings.push(Finding::good("data folder", "none (memory)".to_owned(), means));
    } else {
        findings.extend(disk::examine(&settings.data, clock));
    }
    findings
}

/// Whether the server could listen there, or does: where one runs on the folder a port that is taken is taken to be
/// its own.
fn port(what: &'static str, address: SocketAddr, served: bool) -> Finding {
    let found = address.to_string();
    match TcpListener::bind(address) {
        Ok(_) => Finding::good(what, format!("{found} is free"), "the server can listen".into()),
        Err(error) if served && error.kind() == ErrorKind::AddrInUse => {
            let means = "by the server that runs on the folder, as it seems".to_owned();
            Finding::good(what, format!("{found} is taken"), means)
        }
        Err(error) => {
            let means = "stop what holds it, or choose another with --listen".to_owned();
            Finding::new(what, Grade::Stops, format!("{found}: {error}"), means)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_runs_these_tests_can_run_a_server() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            data: folder.path().join("not-made-yet"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Settings::default()
        };
        let findings = examine(&settings, &Clock::system());
        for finding in &findings {
            assert_ne!(finding.grade, Grade::Stops, "{finding}");
        }
        let whats: Vec<_> = findings.iter().map(|finding| finding.what).collect();
        for what in ["open files", "accept backlog", "backlog overflows", "sync", "disk space"] {
            assert!(whats.contains(&what), "{whats:?}");
        }
        assert!(!settings.data.exists(), "it was only looked at");
    }

    #[test]
    fn a_port_that_is_taken_stops_a_server_but_the_one_that_runs_on_the_folder() {
        let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = |served| port("port", holder.local_addr().unwrap(), served).grade;
        assert_eq!([taken(false), taken(true)], [Grade::Stops, Grade::Good]);
    }
}
