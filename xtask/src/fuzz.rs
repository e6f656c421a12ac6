//! `cargo xtask fuzz [SECONDS]`: every grammar's target (`crates/throng-wire/tests/fuzz`), each for so long.
//! The targets are tests of one program, which runs as many side by side as there are cores.

use std::process::{Command, ExitCode};

use crate::{root, say};

/// How long each target runs in CI.
pub const SECONDS: u64 = 60;

/// One argument at most: seconds a target.
pub fn run(arguments: &[String]) -> ExitCode {
    let seconds = arguments.first().map_or(Ok(SECONDS), |text| text.parse());
    let outcome =
        seconds.map_err(|error| format!("cannot read the seconds: {error}")).and_then(all);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

/// Every target, for so many seconds each.
pub fn all(seconds: u64) -> Result<(), String> {
    // Of all, because the program is there already when the tests have run; the others have none so named.
    let line = ["test", "--quiet", "--workspace", "--test", "runner", "fuzz::"];
    say(&format!("fuzz: {seconds} s a target: cargo {}", line.join(" ")));
    let status = Command::new("cargo")
        .args(line)
        .current_dir(root())
        .env("BOLERO_RANDOM_TEST_TIME_MS", (seconds * 1_000).to_string())
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("a fuzz target failed ({status}); its seed is printed above"))
    }
}
