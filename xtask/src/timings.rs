//! `cargo xtask timings [--pairs N]`: whether the time of an answer tells a private room from one that
//! is not there.
//!
//! Runs the suite's own measurement with more pairs, and lets it judge. Neighbours:
//! `crates/throng-server/tests/live/timings.rs`. What else the machine does falls on both alike, because
//! the two of a pair follow each other in an order that chance decides.

use std::process::{Command, ExitCode};

use crate::{root, say};

const TEST: &str = "live::timings::what_is_hidden_and_what_is_not_there_take_the_same_time";

/// `--pairs N` (2,000).
pub fn run(arguments: &[String]) -> ExitCode {
    let pairs = match arguments {
        [] => Some(2_000),
        [name, value] if name == "--pairs" => value.parse::<u32>().ok().filter(|pairs| *pairs > 0),
        _ => None,
    };
    let Some(pairs) = pairs else {
        say("usage: cargo xtask timings [--pairs N]");
        return ExitCode::FAILURE;
    };
    let test = Command::new("cargo")
        .args(["test", "--quiet", "--package", "throng-server", "--test", "runner"])
        .args(["--", "--exact", TEST, "--nocapture"])
        .current_dir(root())
        .env("THRONG_TIMINGS_PAIRS", pairs.to_string())
        .status();
    match test {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("timings: cannot start cargo: {error}"));
            ExitCode::FAILURE
        }
    }
}
