//! What `cargo xtask bench` starts: the table of server against floor, by the lab's bench.
//!
//! Neighbours: `xtask/src/bench.rs` builds this and the server for release, so that the chores themselves
//! need neither; `throng_lab::bench` has the method and the rows. This file reads the arguments, is started
//! again as the floor, a spinner or the hashing alone, and keeps the results.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use throng_lab::bench::{self, Options, process};
use throng_lab::{floor, hashing};
use throng_wire::native::Form;

const HELP: &str = "\
cargo xtask bench [--floor] [--row NAME]... [--shape 1x100@400] [--pairs N] [--quick] [--asleep] [--form json|protobuf] [--scratch DIR] [--json FILE] [--throng FILE]

Measures the server against the floor and prints the table. Without --row: all rows.
--shape: other rooms, members and sends a second, against the floors.
--floor: only what the machine itself can do, without the server.
--throng: another build of the server.
--asleep: without the spinners that keep each core awake.
--quick: short windows and one pair, for development; the figures mean little.
Results also go to FILE, target/bench/results.json unless told.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("floor-serve") => floor_serve(arguments.get(1)),
        Some("hash-alone") => hash_alone(&arguments[1..]),
        Some("spin") => spin(arguments.get(1)),
        Some("help" | "--help" | "-h") => {
            say(HELP);
            Ok(ExitCode::SUCCESS)
        }
        _ => measure(&arguments),
    };
    done.unwrap_or_else(|error| {
        say(&format!("bench: {error}"));
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stdout, reason = "a chore speaks to the one who runs it")]
fn say(text: &str) {
    println!("{text}");
}

fn measure(arguments: &[String]) -> io::Result<ExitCode> {
    // This executable is target/release/examples/bench.
    let own = std::env::current_exe()?;
    let release = own.ancestors().nth(2).expect("an example lies in a profile's folder").to_owned();
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
            "--asleep" => options.asleep = true,
            "--floor" => floor_only = true,
            "--throng" => throng = PathBuf::from(value()?),
            "--scratch" => options.scratch = PathBuf::from(value()?),
            "--json" => json = PathBuf::from(value()?),
            other => return Err(io::Error::other(format!("unknown: {other}\n\n{HELP}"))),
        }
    }
    let own = (own, Vec::new());
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
