//! The settings' arguments, shared by the commands that need settings.

use std::path::PathBuf;

use clap::Args;
use throng_server::config::{Settings, Value};

use crate::exit::Failure;

/// Where settings come from; the later one wins: defaults, `--config`, `--set`, the short ones.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingsArgs {
    /// A TOML file of settings (see docs/reference/config.md).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting, as limits.turn_max=512; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Where to serve HTTP and WebSocket [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where to serve length-prefixed Protobuf over TCP [default: nowhere].
    #[arg(long, value_name = "ADDRESS")]
    raw_listen: Option<String>,
    /// The data folder [default: throng-data].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Keep everything in memory and nothing on disk.
    #[arg(long)]
    memory: bool,
}

impl SettingsArgs {
    /// These, and over them what was given behind the command's name.
    pub fn then(self, own: Self) -> Self {
        Self {
            config: own.config.or(self.config),
            sets: [self.sets, own.sets].concat(),
            listen: own.listen.or(self.listen),
            raw_listen: own.raw_listen.or(self.raw_listen),
            data: own.data.or(self.data),
            memory: self.memory || own.memory,
        }
    }

    /// Reads them all.
    pub fn read(&self) -> Result<Settings, Failure> {
        let mut settings = Settings::default();
        if let Some(path) = &self.config {
            settings.merge_file(path).map_err(|error| Failure::settings(&error))?;
        }
        for argument in &self.sets {
            settings.merge_argument(argument).map_err(|error| Failure::settings(&error))?;
        }
        let short =
            [("listen", &self.listen), ("raw_listen", &self.raw_listen), ("data", &self.data)];
        for (key, text) in short {
            if let Some(text) = text {
                set(&mut settings, key, &Value::Text(text.clone()))?;
            }
        }
        if self.memory {
            set(&mut settings, "memory", &Value::Flag(true))?;
        }
        Ok(settings)
    }
}

fn set(settings: &mut Settings, key: &str, value: &Value) -> Result<(), Failure> {
    let wrong = |why| Failure::settings(&format!("cannot use the arguments: {why}"));
    settings.set(key, value).map_err(wrong)
}
