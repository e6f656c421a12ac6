//! Why connections cannot be made, in words that say what to do.
//!
//! Neighbours: `crowd` asks for sockets, the runner counts who came in vain. Nothing here decides
//! whether a run goes on.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use crate::engine::Closed;
use crate::monitor::allowed;

/// The kernel gave no further socket for a connection to this address.
pub fn no_socket(to: SocketAddr, error: &io::Error) -> String {
    let why = allowed::words(error).unwrap_or("");
    format!("no further socket to {to}: {error}{why}")
}

/// Again and again a connection to this address ended before it stood, the last time so.
pub fn not_taken(to: SocketAddr, why: Option<Closed>) -> String {
    match why {
        Some(Closed::Refused(io::ErrorKind::ConnectionRefused)) => {
            format!("nobody listens at {to}: the connection was refused ten times in a row")
        }
        Some(Closed::Refused(io::ErrorKind::AddrNotAvailable)) => {
            no_socket(to, &io::ErrorKind::AddrNotAvailable.into())
        }
        Some(Closed::Refused(kind)) => {
            format!("{to} cannot be reached: {kind}, ten times in a row for one user")
        }
        _ => format!(
            "{to} ends connections before they stand, ten times in a row for one user (is \
             limits.connections_per_address raised?)"
        ),
    }
}

/// So many connections were asked for, and the server has not said a word over them.
pub fn unheard(waits: usize, all: usize) -> String {
    if waits == 0 {
        return String::new();
    }
    format!(
        ": {waits} of {all} connections were asked for and the server said nothing over them (is it at its limit of \
         connections, or of open files? its log says so)"
    )
}

/// A run that ended before any load, with what was counted until then.
pub fn no_load(
    why: &str,
    farewells: &BTreeMap<String, u64>,
    refusals: &BTreeMap<String, u64>,
) -> String {
    let counts: Vec<String> =
        farewells.iter().chain(refusals).map(|(what, n)| format!("{n} × {what}")).collect();
    let why = why.trim_end();
    if counts.is_empty() {
        return format!("{why}; no load was offered");
    }
    format!("{why}; no load was offered ({})", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somewhere() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9))
    }

    #[test]
    fn nobody_there_is_not_a_limit_of_connections() {
        let refused = Closed::Refused(io::ErrorKind::ConnectionRefused);
        let said = not_taken(somewhere(), Some(refused));
        assert!(said.starts_with("nobody listens at 127.0.0.1:9"), "{said}");
        assert!(!said.contains("connections_per_address"), "{said}");
        let said = not_taken(somewhere(), Some(Closed::Ended));
        assert!(said.contains("connections_per_address"), "{said}");
    }

    #[test]
    fn ports_and_open_files_are_told_apart() {
        let of = |number| no_socket(somewhere(), &io::Error::from_raw_os_error(number));
        let ports = of(99);
        assert!(ports.contains("ip_local_port_range") && !ports.contains("ulimit"), "{ports}");
        let files = of(24);
        assert!(files.contains("ulimit -n") && !files.contains("port_range"), "{files}");
    }

    #[test]
    fn who_says_nothing_is_asked_about_its_limits() {
        let said = unheard(12, 249);
        assert!(
            said.starts_with(": 12 of 249 connections") && said.contains("open files"),
            "{said}"
        );
        assert_eq!(unheard(0, 249), "", "it is something else that does not get on");
    }

    #[test]
    fn nothing_counted_is_not_told() {
        let (none, some) = (BTreeMap::new(), BTreeMap::from([("Ended".to_owned(), 3)]));
        assert_eq!(no_load("it ended\n", &none, &none), "it ended; no load was offered");
        assert_eq!(no_load("it", &some, &none), "it; no load was offered (3 × Ended)");
    }
}
