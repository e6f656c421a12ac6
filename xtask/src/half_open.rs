//! `cargo xtask half-open [--sockets N]`: as many sockets as descriptors allow that begin and never
//! become anybody, while good clients come.
//!
//! Runs the suite's own test with more sockets. Neighbours: `crates/throng/tests/half_open.rs`.

use std::process::{Command, ExitCode};

use crate::{root, say};

const TEST: &str =
    "half_open::those_who_never_become_anybody_keep_nobody_out_and_end_in_their_time";

/// `--sockets N` (10,000).
pub fn run(arguments: &[String]) -> ExitCode {
    let sockets = match arguments {
        [] => Some(10_000),
        [name, value] if name == "--sockets" => value.parse::<u32>().ok().filter(|it| *it > 0),
        _ => None,
    };
    let Some(sockets) = sockets else {
        say("usage: cargo xtask half-open [--sockets N]");
        return ExitCode::FAILURE;
    };
    let test = Command::new("cargo")
        .args(["test", "--quiet", "--package", "throng", "--test", "runner"])
        .args(["--", "--exact", TEST, "--nocapture"])
        .current_dir(root())
        .env("THRONG_HALF_OPEN", sockets.to_string())
        .status();
    match test {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("half-open: cannot start cargo: {error}"));
            ExitCode::FAILURE
        }
    }
}
