//! `cargo xtask powercut --seeds N [--first S]`: more power cuts than the suite makes.
//!
//! Runs the suite's own tests, of the rooms, of what they erase, of the accounts, of what moderation keeps and of files, with other seeds, in as many processes as there are cores; a seed that
//! fails is printed by the test with the line that repeats it. Neighbours:
//! `crates/throng-server/tests/power/{cuts,erasing,accounts,notes,files}.rs`.

use std::process::{Child, Command, ExitCode};

use crate::{root, say};

const TESTS: [&str; 5] = [
    "power::cuts::what_was_acked_before_a_power_cut_is_in_history_after_it",
    "power::erasing::what_is_kept_outlives_a_cut_amid_erasing_and_what_is_not_is_in_no_file",
    "power::notes::what_was_reported_noted_blocked_linked_and_set_is_there_after_a_power_cut",
    "power::files::a_file_that_was_told_to_have_come_is_there_after_a_power_cut_and_goes_on_from_there",
    "power::accounts::an_account_or_a_session_that_was_answered_is_there_after_a_power_cut_and_an_ended_one_is_not",
];

/// `--seeds N`, and `--first S` to go on where another run ended.
pub fn run(arguments: &[String]) -> ExitCode {
    let Some((seeds, first)) = parse(arguments) else {
        say("cargo xtask powercut --seeds N [--first S]");
        return ExitCode::FAILURE;
    };
    match cut(seeds, first) {
        Ok(true) => {
            say(&format!("powercut: seeds {first}..{}: nothing lost", first + seeds));
            ExitCode::SUCCESS
        }
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("powercut: cannot start cargo: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(u64, u64)> {
    let (mut seeds, mut first) = (None, 0);
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--seeds" => seeds = Some(value.parse().ok()?),
            [name, value] if name == "--first" => first = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((seeds?, first))
}

fn cut(seeds: u64, first: u64) -> std::io::Result<bool> {
    if !test(&["--no-run"]).status()?.success() {
        return Ok(false);
    }
    let processes = std::thread::available_parallelism()?.get() as u64;
    let each = seeds.div_ceil(processes).max(1);
    let mut children: Vec<Child> = Vec::new();
    for from in (first..first + seeds).step_by(each as usize) {
        let count = each.min(first + seeds - from);
        let child = test(&["--", "--exact", "--nocapture"])
            .args(TESTS)
            .env("THRONG_POWERCUT_FIRST", from.to_string())
            .env("THRONG_POWERCUT_SEEDS", count.to_string())
            .spawn()?;
        children.push(child);
    }
    let mut kept = true;
    for mut child in children {
        kept &= child.wait()?.success();
    }
    Ok(kept)
}

fn test(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--workspace", "--test", "runner"]);
    command.args(arguments).current_dir(root());
    command
}
