//! The one executable: `serve` · `lab` · `admin` · `doctor`. Arguments in, exit code out.
//!
//! Neighbours: `throng-server` serves, `throng-lab` measures. Nothing here knows how either works.
#![forbid(unsafe_code)]

mod admin;
mod doctor;
mod exit;
mod lab;
mod logs;
mod serve;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use settings::SettingsArgs;

/// A chat server: one order per room, durable acks, fast fan-out.
#[derive(Debug, Parser)]
#[command(name = "throng", version, after_help = exit::TABLE)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (also what `throng` alone does).
    Serve(SettingsArgs),
    /// Look after a data folder, also while a server runs on it.
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Measure: the machine itself.
    #[command(subcommand)]
    Lab(lab::Lab),
    /// Say what this machine allows, and what stops a server from starting.
    Doctor(SettingsArgs),
}

fn main() -> ExitCode {
    let Arguments { command, settings } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, and go to the standard output with 0.
            let _ = error.print();
            let wrong = error.use_stderr();
            return ExitCode::from(if wrong { exit::Code::Arguments as u8 } else { 0 });
        }
    };
    let done = match command {
        None => serve::run(&settings),
        Some(Command::Serve(own)) => serve::run(&settings.then(own)),
        Some(Command::Admin(admin)) => admin.run(&settings),
        Some(Command::Lab(lab)) => lab.run(),
        Some(Command::Doctor(own)) => doctor::run(&settings.then(own)),
    };
    exit::code(done)
}
