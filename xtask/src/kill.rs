//! `cargo xtask kill --cycles N --seed S`: the test of `crates/throng/tests/kill.rs`, as long as one
//! likes and against the release build.

use std::process::{Command, ExitCode};

use crate::{root, say};

const TEST: &str = "kill::what_was_acked_or_seen_survives_kill_nine_under_load";

/// Arguments: `--cycles N` (1,000), `--seed S` (1).
pub fn run(arguments: &[String]) -> ExitCode {
    let (mut cycles, mut seed) = (1_000_u64, 1_u64);
    for pair in arguments.chunks(2) {
        let number = pair.get(1).and_then(|text| text.parse().ok());
        match (pair[0].as_str(), number) {
            ("--cycles", Some(number)) => cycles = number,
            ("--seed", Some(number)) => seed = number,
            _ => {
                say("usage: cargo xtask kill [--cycles N] [--seed S]");
                return ExitCode::FAILURE;
            }
        }
    }
    let build = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--package", "throng"])
        .current_dir(root())
        .status();
    let binary = root().join("target/release/throng");
    let built = build.and_then(|status| {
        if status.success() { Ok(()) } else { Err(std::io::Error::other("the build failed")) }
    });
    let test = built.and_then(|()| {
        Command::new("cargo")
            .args(["test", "--quiet", "--workspace", "--test", "runner", TEST])
            .args(["--", "--exact", "--nocapture"])
            .current_dir(root())
            .env("THRONG_BINARY", binary)
            .env("THRONG_KILL_CYCLES", cycles.to_string())
            .env("THRONG_KILL_SEED", seed.to_string())
            .status()
    });
    match test {
        Ok(status) if status.success() => {
            say(&format!("kill: {cycles} kills with seed {seed}: nothing lost, nothing twice"));
            ExitCode::SUCCESS
        }
        Ok(status) => {
            say(&format!("kill: failed with seed {seed}: {status}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("kill: cannot test: {error}"));
            ExitCode::FAILURE
        }
    }
}
