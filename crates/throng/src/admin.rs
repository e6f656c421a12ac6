//! `throng admin`: looks after a data folder, also while a server runs on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use throng_server::accounts::bulk::{self, BulkError, Keys, PASSWORD_LINK_HOURS, Ranked, Wanted};
use throng_server::accounts::{self, AccountsError};
use throng_server::auth::token::Token;
use throng_server::clock::Clock;
use throng_server::config::Settings;

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
    /// Make accounts that have a token, for a load test.
    Create(Create),
    /// Print a link by which an account's password can be set, once, within a day.
    Reset(Named),
    /// End all sessions of an account, or the time of a guest: tokens are refused, connections closed.
    Logout(Named),
    /// Make an account an administrator of the server.
    Promote(Named),
    /// Make an administrator an account like others; its invitations end.
    Demote(Named),
}

/// The account that is meant.
#[derive(Args, Debug)]
pub struct Named {
    /// Its name, in any case.
    name: String,
    #[command(flatten)]
    settings: SettingsArgs,
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
    /// Give each a random password too, as a fourth column: a hash each, some 20 ms of a core.
    #[arg(long)]
    passwords: bool,
    /// They are named by this and the next free numbers.
    #[arg(long, default_value = "u")]
    prefix: String,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Admin {
    pub fn run(self, outer: &SettingsArgs) -> Result<(), Failure> {
        match self {
            Self::Users(Users::Create(create)) => create.run(outer),
            Self::Users(Users::Logout(account)) => account.log_out(outer),
            Self::Users(Users::Reset(account)) => account.reset(outer),
            Self::Users(Users::Promote(account)) => account.set_administrator(true, outer),
            Self::Users(Users::Demote(account)) => account.set_administrator(false, outer),
        }
    }
}

impl Create {
    fn run(self, outer: &SettingsArgs) -> Result<(), Failure> {
        let settings = read(outer, self.settings)?;
        fs::create_dir_all(&settings.data).map_err(|error| {
            Failure::new(
                Code::Unwritable,
                &format!("cannot make {}: {error}", settings.data.display()),
            )
        })?;
        let file = new_secret_file(&self.tokens)?;
        let mut lines = BufWriter::new(&file);
        let wanted = Wanted {
            prefix: &self.prefix,
            count: self.count as usize,
            at: Clock::system().wall(),
            users_max: settings.limits.users_max,
            keys: if self.passwords { Keys::TokenAndPassword } else { Keys::Token },
        };
        let made = bulk::create(
            settings.data.as_path(),
            &wanted,
            Token::generate,
            |user, token, password| {
                let (id, name) = (user.id, user.name.as_str());
                write!(lines, "{id}\t{name}\t{}", token.reveal())?;
                password.map_or(Ok(()), |password| write!(lines, "\t{password}"))?;
                writeln!(lines)
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
        say(&said)
    }
}

impl Named {
    /// Does something to it in the folder's accounts, which finds nobody where there are none.
    fn done<T>(
        &self,
        settings: &Settings,
        work: impl FnOnce(&Path) -> Result<Option<T>, AccountsError>,
    ) -> Result<T, Failure> {
        let folder = settings.data.as_path();
        let there = folder.join(accounts::FILE).is_file();
        let found = if there { work(folder) } else { Ok(None) };
        found
            .map_err(|error| super::serve::of_accounts(&error))?
            .ok_or_else(|| Failure::nobody(&self.name, &folder.display()))
    }

    fn log_out(self, outer: &SettingsArgs) -> Result<(), Failure> {
        let settings = read(outer, self.settings.clone())?;
        let now = Clock::system().wall();
        let ended = self.done(&settings, |folder| bulk::end_sessions(folder, &self.name, now))?;
        say(&format!("ended {ended} sessions of {}", self.name))
    }

    fn set_administrator(self, is: bool, outer: &SettingsArgs) -> Result<(), Failure> {
        let settings = read(outer, self.settings.clone())?;
        let ranked =
            self.done(&settings, |folder| bulk::set_administrator(folder, &self.name, is))?;
        let name = &self.name;
        let Ranked { already, administrators, invitations_ended } = ranked;
        let mut said = match (is, already) {
            (true, false) => format!("{name} is an administrator"),
            (true, true) => format!("{name} is an administrator already"),
            (false, false) => format!(
                "{name} is an administrator no longer; {invitations_ended} invitations of its ended"
            ),
            (false, true) => format!("{name} is no administrator"),
        };
        if administrators == 0 {
            said += "\nthere is none now: the server's next start prints a link that makes one";
        }
        say(&said)
    }

    fn reset(self, outer: &SettingsArgs) -> Result<(), Failure> {
        let settings = read(outer, self.settings.clone())?;
        let link = Token::generate().map_err(|error| Failure::other(&error))?;
        let now = Clock::system().wall();
        self.done(&settings, |folder| {
            Ok(bulk::offer_password(folder, &self.name, &link, now)?.then_some(()))
        })?;
        let (http, link) = (settings.listen, link.reveal());
        say(&format!(
            "within {PASSWORD_LINK_HOURS} hours, once: http://{http}/#reset={link}\n\
             ({http} is where these settings have the server listen: where it was started with others, \
             give them here too, or put the address that people use in place of it)"
        ))
    }
}

fn say(what: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{what}").map_err(|error| Failure::other(&error))
}

/// The settings of a data folder that can be looked after from outside.
fn read(outer: &SettingsArgs, own: SettingsArgs) -> Result<Settings, Failure> {
    let settings = outer.clone().then(own).read()?;
    if settings.memory {
        return Err(Failure::settings("accounts in memory belong to the process that has them"));
    }
    Ok(settings)
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
