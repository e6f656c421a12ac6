//! `cargo xtask ci`: the checks around the test command. Each step says what it ran; the first that
//! fails ends it. The same on a laptop as in CI.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::schemathesis::{self, Trouble};
use crate::{root, say};

/// A step: its name, and the command line.
type Step = (&'static str, &'static [&'static str]);

const STEPS: &[Step] = &[
    ("format", &["cargo", "fmt", "--all", "--check"]),
    (
        "clippy",
        &[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "xtask/measure",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    ),
    // The server as it is built for people: what the tests run has the switches of planted faults in it.
    ("as built", &["cargo", "clippy", "--package", "throng", "--quiet", "--", "-D", "warnings"]),
    ("docs", &["cargo", "doc", "--workspace", "--no-deps", "--quiet"]),
];

/// Runs every step. No arguments.
pub fn run(_arguments: &[String]) -> ExitCode {
    match checked() {
        Ok(()) => {
            say("ci: all steps passed");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            say(&format!("ci: {failed}"));
            ExitCode::FAILURE
        }
    }
}

fn checked() -> Result<(), String> {
    let program = std::thread::scope(|scope| {
        // It waits for the network: beside what computes.
        let installing = scope.spawn(schemathesis::installed);
        for (name, line) in STEPS {
            step(name, line).map_err(|error| format!("{name} failed: {error}"))?;
        }
        web().map_err(|error| format!("web failed: {error}"))?;
        installing.join().map_err(|_| "installing Schemathesis panicked".to_owned())
    })?;
    // Both go by the clock, and the one mostly waits: side by side.
    let (described, fuzzed) = std::thread::scope(|scope| {
        let fuzz = scope.spawn(|| crate::fuzz::all(crate::fuzz::SECONDS));
        (described(program), fuzz.join().unwrap_or_else(|_| Err("it panicked".into())))
    });
    described.map_err(|error| format!("schemathesis failed: {error}"))?;
    fuzzed.map_err(|error| format!("fuzz failed: {error}"))
}

fn step(name: &str, line: &[&str]) -> Result<(), String> {
    say(&format!("ci: {name}: {}", line.join(" ")));
    let status = Command::new(line[0])
        .args(&line[1..])
        .current_dir(root())
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .map_err(|error| format!("cannot start {}: {error}", line[0]))?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// A live server against its own description; where Schemathesis cannot be installed it is skipped,
/// loudly.
fn described(program: Result<PathBuf, Trouble>) -> Result<(), String> {
    match program.and_then(|program| schemathesis::ask(&program, schemathesis::SECONDS)) {
        Ok(()) => Ok(()),
        Err(Trouble::Missing(what)) => {
            say(&format!("ci: schemathesis: SKIPPED: {what}; REST was not asked for conformance"));
            Ok(())
        }
        Err(Trouble::Failed(what)) => Err(what),
    }
}

/// The page's own tests need Node.js; where there is none they are skipped, loudly.
fn web() -> Result<(), String> {
    if Command::new("node").arg("--version").output().is_err() {
        say("ci: web: SKIPPED: no `node` on this machine; web/test was not run");
        return Ok(());
    }
    let found = tests_of_the_page().map_err(|error| format!("cannot list web/test: {error}"))?;
    // By name: what a folder means here differs between versions of Node.js.
    let line: Vec<&str> =
        ["node", "--test"].into_iter().chain(found.iter().map(String::as_str)).collect();
    step("web", &line)
}

/// `web/test/*.test.mjs`: one that is added is run.
fn tests_of_the_page() -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("web/test"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") {
            found.push(format!("web/test/{name}"));
        }
    }
    found.sort();
    Ok(found)
}
