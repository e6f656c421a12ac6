//! `manifest.json`: what was run, where, how, and what is known of the server before it is asked.
//!
//! Neighbours: `run` writes it first of all; `report` reads it years later, with types of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::RunArgs;
use crate::baseline::Beside;
use crate::floor::FsyncTimes;
use crate::monitor::Machine;
use crate::monitor::trees::TreeAt;
use crate::scenario::Scenario;
use crate::summary::SCHEMA;

/// Of what a program says of itself.
const VERSION_LEN_MAX: usize = 200;

/// How a run is made again.
#[derive(Debug, Serialize)]
pub(super) struct Manifest<'a> {
    schema: u32,
    lab: &'static str,
    command: &'a str,
    started_unix_seconds: u64,
    seed: u64,
    scenario: &'a Scenario,
    /// The run starts the server itself, with the settings raised; else it runs as its operator set it.
    server_is_ours: bool,
    /// What its program says of its version, where the run starts it.
    server_version: Option<String>,
    server_settings_raised: BTreeMap<String, String>,
    /// What the scenario would have raised of a server that is not ours: nobody did.
    server_settings_asked: BTreeMap<String, String>,
    target: String,
    machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Beside>,
    fsync_before: Option<FsyncTimes>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    monitored: &'a [TreeAt],
}

impl<'a> Manifest<'a> {
    /// Of a run whose server is there, or of one that begins nothing.
    pub(super) fn new(
        args: &'a RunArgs,
        scenario: &'a Scenario,
        started: u64,
        target: Option<SocketAddr>,
        (baseline, fsync): (Option<Beside>, Option<FsyncTimes>),
    ) -> Self {
        let ours = args.target.is_none();
        let settings = |said: bool| if said { scenario.server.clone() } else { BTreeMap::new() };
        Self {
            schema: SCHEMA,
            lab: env!("CARGO_PKG_VERSION"),
            command: &args.command,
            started_unix_seconds: started,
            seed: scenario.seed,
            scenario,
            server_is_ours: ours,
            server_version: if ours {
                program(args).ok().and_then(|it| version(&it))
            } else {
                None
            },
            server_settings_raised: settings(ours),
            server_settings_asked: settings(!ours),
            target: target.map_or_else(|| "nowhere".to_owned(), |it| it.to_string()),
            machine: Machine::here(),
            baseline,
            fsync_before: fsync,
            monitored: &args.monitor,
        }
    }
}

/// The executable that serves.
pub(super) fn program(args: &RunArgs) -> std::io::Result<PathBuf> {
    args.server.clone().map_or_else(std::env::current_exe, Ok)
}

/// The first line of what a program answers to `--version`.
fn version(program: &Path) -> Option<String> {
    let said = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout);
    let line: String = text.lines().next()?.trim().chars().take(VERSION_LEN_MAX).collect();
    (said.status.success() && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(args: &RunArgs) -> serde_json::Value {
        let scenario = Scenario::load("canonical", &[]).unwrap();
        let at = Some(SocketAddr::from(([127, 0, 0, 1], 9)));
        serde_json::to_value(Manifest::new(args, &scenario, 0, at, (None, None))).unwrap()
    }

    #[test]
    fn settings_that_nobody_gave_are_not_said_to_be_given() {
        let raised = "limits.connections_per_address";
        let theirs = manifest(&RunArgs { target: Some("http://x".into()), ..RunArgs::default() });
        assert_eq!(theirs["server_is_ours"], false);
        assert_eq!(theirs["server_settings_raised"], serde_json::json!({}));
        assert!(theirs["server_settings_asked"][raised].is_string(), "{theirs}");
        // Any program that knows `--version`.
        let ours = manifest(&RunArgs { server: Some("cargo".into()), ..RunArgs::default() });
        assert!(ours["server_settings_raised"][raised].is_string(), "{ours}");
        assert!(ours["server_version"].as_str().unwrap().starts_with("cargo "), "{ours}");
        let mute = manifest(&RunArgs { server: Some("false".into()), ..RunArgs::default() });
        assert!(mute["server_version"].is_null(), "{mute}");
    }
}
