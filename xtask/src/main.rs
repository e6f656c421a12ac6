//! The project's chores, as one program. `cargo xtask help` lists them.
//!
//! Neighbours: `.ci/run` calls `ci`; people call the rest. Nothing here is needed to build or to run
//! Throng.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod fuzz;
mod generate;
mod kill;
mod longer;
mod powercut;
mod schemathesis;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask CHORE

  bench              the performance table, server against floor: see `cargo xtask bench help`
  ci                 what CI runs after `cargo test`: format, clippy, docs, web checks,
                     Schemathesis (2 min), fuzz (60 s a target)
  fuzz [SECONDS]     each grammar's fuzz target for so long (60)
  gen                refresh generated files (the wire types from the published .proto)
  half-open          sockets that begin and never become anybody: --sockets N (10000)
  kill               kill -9 of the release build under load: --cycles N (1000) --seed S (1)
  powercut           power cuts under the log and the store: --seeds N [--first S]
  schemathesis [SECONDS]  asks a live server all that docs/reference/openapi.json allows, for so long (120)
  timings            whether a hidden room and an absent one are told apart by time: --pairs N (2000)
  help               this
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let chore = arguments.next().unwrap_or_else(|| "help".into());
    let rest: Vec<String> = arguments.collect();
    match chore.as_str() {
        "bench" => bench::run(&rest),
        "ci" => ci::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "gen" => generate::run(&rest),
        "half-open" => longer::HALF_OPEN.run(&rest),
        "kill" => kill::run(&rest),
        "powercut" => powercut::run(&rest),
        "schemathesis" => schemathesis::run(&rest),
        "timings" => longer::TIMINGS.run(&rest),
        "help" | "--help" | "-h" => {
            say(HELP);
            ExitCode::SUCCESS
        }
        other => {
            say(&format!("there is no chore named {other}\n\n{HELP}"));
            ExitCode::FAILURE
        }
    }
}

/// Speaks to the one who runs the chore.
#[expect(clippy::print_stdout, reason = "a chore speaks to the one who runs it")]
pub fn say(text: &str) {
    println!("{text}");
}

/// The workspace's root.
pub fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .into()
}
