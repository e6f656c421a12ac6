//! `throng doctor`: prints the findings; ends with 1 when one of them stops a server.

use std::io::Write as _;

use throng_server::clock::Clock;
use throng_server::operations::doctor::{Grade, examine};

use crate::exit::Failure;
use crate::settings::SettingsArgs;

pub fn run(arguments: &SettingsArgs) -> Result<(), Failure> {
    let findings = examine(&arguments.read()?, &Clock::system());
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}").map_err(|error| Failure::other(&error))?;
    }
    let stops = findings.iter().filter(|finding| finding.grade == Grade::Stops).count();
    match stops {
        0 => Ok(()),
        _ => Err(Failure::other(&format!("{stops} of {} findings stop a server", findings.len()))),
    }
}
