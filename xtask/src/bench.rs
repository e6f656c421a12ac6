//! `cargo xtask bench`: builds everything for release, then measures the table by the lab's bench.
//!
//! Neighbours: `throng_lab::bench` has the method and the rows. This file reads the arguments, starts
//! itself again as a release build, and keeps the results.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use throng_lab::bench::{self, Options, process};
use throng_lab::{floor, hashing};
use throng_wire::native::Form;

use crate::{root, say};

const HELP: &str = "\
cargo xtask bench [--floor] [--row NAME]... [--shape 1x100@400] [--pairs N] [--quick] [--form json|protobuf] [--scratch DIR] [--json FILE] [--throng FILE]

Measures the server against the floor and prints the table. Without --row: all rows.
--shape: other rooms, members and sends a second, against the floors.
--floor: only what the machine itself can do, without the server.
--throng: another build of the server.
--quick: short windows and one pair, for development; the figures mean little.
Results also go to FILE, target/bench/results.json unless told.
";

/// Runs the chore.
pub fn run(arguments: &[String]) -> ExitCode {
    let done = match arguments.first().map(String::as_str) {
        Some("floor-serve") => floor_serve(arguments.get(1)),
        Some("hash-alone") => hash_alone(&arguments[1..]),
        Some("spin") => spin(arguments.get(1)),
        Some("help" | "--help" | "-h") => {
            say(HELP);
            Ok(ExitCode::SUCCESS)
        }
        _ if cfg!(debug_assertions) => release(arguments),
        _ => measure(arguments),
    };
    done.unwrap_or_else(|error| {
        say(&format!("bench: {error}"));
        ExitCode::FAILURE
    })
}

/// Builds server and bench for release, and hands over to that build.
fn release(arguments: &[String]) -> io::Result<ExitCode> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "throng", "--package", "xtask"])
        .current_dir(root())
        .status()?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    // This executable is target/debug/xtask.
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).expect("an executable lies in a profile's folder");
    let status =
        Command::new(target.join("release/xtask")).arg("bench").args(arguments).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(arguments: &[String]) -> io::Result<ExitCode> {
    let own = std::env::current_exe()?;
    let release = own.parent().expect("an executable lies in a folder").to_owned();
    let scratch = release.parent().expect("a profile lies in target").join("bench");
    let mut json = scratch.join("results.json");
    let mut options = Options::new(scratch);
    let mut floor_only = false;
    let mut throng = release.join("throng");
    let mut words = arguments.iter();
    let missing = |word: &str| io::Error::other(format!("{word} needs a value\n\n{HELP}"));
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| missing(word));
        match word.as_str() {
            "--row" => options.rows.push(value()?.clone()),
            "--shape" => options.shape = Some(value()?.clone()),
            "--pairs" => options.pairs = value()?.parse().map_err(io::Error::other)?,
            "--quick" => {
                options.quick = true;
                options.pairs = 1;
            }
            "--form" => {
                options.form = match value()?.as_str() {
                    "json" => Form::Json,
                    "protobuf" => Form::Protobuf,
                    other => return Err(io::Error::other(format!("no form {other}\n\n{HELP}"))),
                }
            }
            "--floor" => floor_only = true,
            "--throng" => throng = PathBuf::from(value()?),
            "--scratch" => options.scratch = PathBuf::from(value()?),
            "--json" => json = PathBuf::from(value()?),
            other => return Err(io::Error::other(format!("unknown: {other}\n\n{HELP}"))),
        }
    }
    let own = (own, vec!["bench".into()]);
    let programs = process::Programs { throng, own };
    if floor_only {
        bench::machine(options, programs, &mut io::stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    let results = bench::run(options, programs, &mut io::stdout())?;
    // Rows that were not run this time keep what they had.
    let before = std::fs::read(&json).unwrap_or_default();
    let mut all: serde_json::Value = serde_json::from_slice(&before).unwrap_or_default();
    match (&mut all, results) {
        (serde_json::Value::Object(all), serde_json::Value::Object(new)) => all.extend(new),
        (all, new) => *all = new,
    }
    std::fs::write(&json, serde_json::to_vec_pretty(&all)?)?;
    say(&format!("\nresults: {}", json.display()));
    Ok(ExitCode::SUCCESS)
}

/// Hidden: the floor in a process of its own.
fn floor_serve(plan: Option<&String>) -> io::Result<ExitCode> {
    let plan = serde_json::from_str(plan.map_or("", String::as_str))?;
    floor::serve(&plan, io::stdin().as_fd(), &mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// Hidden: one spinner.
fn spin(core: Option<&String>) -> io::Result<ExitCode> {
    let core = core.and_then(|core| core.parse().ok()).unwrap_or(0);
    process::spin(core)?;
    Ok(ExitCode::SUCCESS)
}

/// Hidden: argon2id as the server sets it and nothing else; prints hashes a second.
fn hash_alone(arguments: &[String]) -> io::Result<ExitCode> {
    let number = |at: usize| arguments.get(at).and_then(|word| word.parse::<u64>().ok());
    let (threads, millis) = (number(0).unwrap_or(1), number(1).unwrap_or(1_000));
    let rate = hashing::alone(threads as usize, Duration::from_millis(millis))?;
    say(&format!("{rate}"));
    Ok(ExitCode::SUCCESS)
}
