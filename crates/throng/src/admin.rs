//! `throng admin`: looks after a data folder, also while a server runs on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use throng_server::accounts::bulk::{self, BulkError};
use throng_server::clock::Clock;

use crate::exit::{Code, Failure};
use crate::settings::SettingsArgs;

/// What can be looked after.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Accounts.
    #[command(subcommand)]
    Users(Users),
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Make accounts that have a token and no password, for a load test.
    Create(Create),
}

/// Accounts to make.
#[derive(Args, Debug)]
pub struct Create {
    /// How many.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// A new file for their tokens: one line each, id, name and token with tabs between.
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// They are named by this and the next free numbers.
    #[arg(long, default_value = "u")]
    prefix: String,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Admin {
    pub fn run(self, outer: &SettingsArgs) -> Result<(), Failure> {
        let Self::Users(Users::Create(create)) = self;
        create.run(outer)
    }
}

impl Create {
    fn run(self, outer: &SettingsArgs) -> Result<(), Failure> {
        let settings = outer.clone().then(self.settings).read()?;
        if settings.memory {
            return Err(Failure::settings(
                "accounts in memory belong to the process that has them",
            ));
        }
        fs::create_dir_all(&settings.data).map_err(|error| {
            Failure::new(
                Code::Unwritable,
                &format!("cannot make {}: {error}", settings.data.display()),
            )
        })?;
        let file = new_secret_file(&self.tokens)?;
        let mut lines = BufWriter::new(&file);
        let made = bulk::create(
            &settings.data,
            &self.prefix,
            self.count as usize,
            Clock::system().wall(),
            settings.limits.users_max,
            |user, token| {
                let (id, name) = (user.id, user.name.as_str());
                writeln!(lines, "{id}\t{name}\t{}", token.reveal())
            },
        );
        let made = match made {
            Ok(made) => made,
            Err(BulkError::Accounts(error)) => return Err(super::serve::of_accounts(&error)),
            Err(error) => return Err(Failure::other(&error)),
        };
        lines.flush().and_then(|()| file.sync_all()).map_err(|error| {
            Failure::other(&format!("cannot write {}: {error}", self.tokens.display()))
        })?;
        drop(lines);
        let wanted = self.count as usize;
        if made < wanted {
            let full = format!("made {made} of {wanted} accounts: limits.users_max is reached");
            return Err(Failure::other(&full));
        }
        let said = format!("made {made} accounts; their tokens are in {}", self.tokens.display());
        writeln!(io::stdout(), "{said}").map_err(|error| Failure::other(&error))
    }
}

/// A file that was not there, for its owner's eyes only.
fn new_secret_file(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => "; choose another name, tokens are not overwritten",
            _ => "",
        };
        Failure::settings(&format!("cannot make {}: {error}{hint}", path.display()))
    })
}
