//! `cargo xtask bench`: builds the server and `examples/bench.rs` for release, and hands over to the latter.
//!
//! Neighbours: `throng_lab::bench` has the method and the rows. It is an example, so that no other chore
//! waits for the lab to be compiled.

use std::io;
use std::process::{Command, ExitCode};

use crate::{root, say};

/// Runs the chore. `cargo xtask bench help` says what it takes.
pub fn run(arguments: &[String]) -> ExitCode {
    release(arguments).unwrap_or_else(|error| {
        say(&format!("bench: {error}"));
        ExitCode::FAILURE
    })
}

fn release(arguments: &[String]) -> io::Result<ExitCode> {
    // One after the other: what an example's tests need is no part of the server that is measured.
    let server = ["--package", "throng"].as_slice();
    let bench = [
        "--package",
        "xtask",
        "--no-default-features",
        "--features",
        "measure",
        "--example",
        "bench",
    ]
    .as_slice();
    // What the bench takes can be told without a server.
    let asks = arguments.iter().any(|it| matches!(it.as_str(), "help" | "--help" | "-h"));
    let what = if asks { vec![bench] } else { vec![server, bench] };
    for what in what {
        let line = Command::new(env!("CARGO"))
            .args(["build", "--release"])
            .args(what)
            .current_dir(root())
            .status()?;
        if !line.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    // This executable is target/debug/xtask.
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).expect("an executable lies in a profile's folder");
    let bench = target.join("release/examples/bench");
    let status = Command::new(&bench).args(arguments).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
