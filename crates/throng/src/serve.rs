//! `throng serve`: settings in, a running server, an exit code when it has stopped.

use throng_server::accounts::AccountsError;

use crate::exit::{Code, Failure};
use crate::logs;
use crate::settings::SettingsArgs;

pub fn run(arguments: &SettingsArgs) -> Result<(), Failure> {
    let settings = arguments.read()?;
    logs::begin(&settings);
    throng_server::operations::descriptors::raise().map_err(|error| Failure::other(&error))?;
    Err(Failure::other("serving arrives with the listeners"))
}

/// The exit code of trouble with the accounts.
pub fn of_accounts(error: &AccountsError) -> Failure {
    let code = match error {
        AccountsError::ReadOnly { .. } | AccountsError::Full => Code::Unwritable,
        AccountsError::Corrupt { .. } | AccountsError::TooNew { .. } => Code::Corrupt,
        AccountsError::SyncFailed(_) => Code::SyncFailed,
        AccountsError::Io { .. } => Code::Other,
    };
    Failure::new(code, error)
}
