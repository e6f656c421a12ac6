//! Tests of the suite that are run longer, or with more, than the suite does: `cargo xtask timings` and
//! `cargo xtask half-open`.
//!
//! Neighbours: `crates/throng-server/tests/live/timings.rs` measures whether the time of an answer tells
//! a private room from one that is not there, and judges it; what else the machine does falls on both
//! alike, because the two of a pair follow each other in an order that chance decides.
//! `crates/throng/tests/half_open.rs` opens sockets that never become anybody while good clients come.

use std::process::{Command, ExitCode};

use crate::{root, say};

/// A test, and what it is told.
pub struct Longer {
    chore: &'static str,
    test: &'static str,
    /// How many: as an argument, as the test reads it, and if nothing is said.
    argument: &'static str,
    variable: &'static str,
    count: u32,
}

/// Pairs of answers whose times are compared.
pub const TIMINGS: Longer = Longer {
    chore: "timings",
    test: "live::timings::what_is_hidden_and_what_is_not_there_take_the_same_time",
    argument: "--pairs",
    variable: "THRONG_TIMINGS_PAIRS",
    count: 2_000,
};

/// As many sockets as descriptors allow.
pub const HALF_OPEN: Longer = Longer {
    chore: "half-open",
    test: "half_open::those_who_never_become_anybody_keep_nobody_out_and_end_in_their_time",
    argument: "--sockets",
    variable: "THRONG_HALF_OPEN",
    count: 10_000,
};

impl Longer {
    /// Runs it; what it says is seen.
    pub fn run(&self, arguments: &[String]) -> ExitCode {
        let Self { chore, argument, .. } = self;
        let count = match arguments {
            [] => Some(self.count),
            [name, value] if name == argument => value.parse::<u32>().ok().filter(|it| *it > 0),
            _ => None,
        };
        let Some(count) = count else {
            say(&format!("usage: cargo xtask {chore} [{argument} N]"));
            return ExitCode::FAILURE;
        };
        let test = Command::new("cargo")
            .args(["test", "--quiet", "--workspace", "--test", "runner"])
            .args(["--", "--exact", self.test, "--nocapture"])
            .current_dir(root())
            .env(self.variable, count.to_string())
            .status();
        match test {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                say(&format!("{chore}: cannot start cargo: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}
