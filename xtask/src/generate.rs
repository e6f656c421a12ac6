//! `cargo xtask gen`: builds `src/bin/gen_wire.rs` and starts it.
//!
//! Neighbours: that file has what is generated and how.

use std::process::{Command, ExitCode};

use crate::{root, say};

/// No arguments.
pub fn run(_arguments: &[String]) -> ExitCode {
    // With the default features, which no other chore has.
    let line = ["run", "--quiet", "--package", "xtask", "--bin", "gen_wire"];
    match Command::new(env!("CARGO")).args(line).current_dir(root()).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("gen: cannot start cargo: {error}"));
            ExitCode::FAILURE
        }
    }
}
