//! `throng serve`: settings in, a running server, an exit code when it has stopped.

use std::io::Write as _;
use std::sync::Arc;

use throng_lab::target::UNTIL_STDIN_ENDS;
use throng_server::accounts::AccountsError;
use throng_server::app::{App, StartError};
use throng_server::auth::token::Token;
use throng_server::auth::{AuthError, SignUp};
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_server::fanout::Offered;
use throng_server::lifecycle::{self, EXIT_HARD, Fatal};
use throng_server::listeners::{self, ListenError, Open};
use throng_server::log::LogError;
use throng_server::operations::descriptors::{self, FILES_MIN, OWN_FILES};
use throng_server::personal::Trouble;
use throng_server::recovery::RecoveryError;
use throng_server::store::StoreError;
use tokio::sync::oneshot;

use crate::exit::{Code, Failure};
use crate::logs;
use crate::settings::SettingsArgs;
use crate::signals::Signals;

pub fn run(arguments: &SettingsArgs) -> Result<(), Failure> {
    let settings = arguments.read()?;
    logs::begin(&settings);
    enough_files()?;
    let (clock, offered) = (Clock::system(), Offered::default());
    let runtime = lifecycle::runtime(&clock, &offered).map_err(|error| Failure::other(&error))?;
    runtime.block_on(serve(settings, clock, offered))
}

/// As many descriptors as may be had, and no start with too few.
fn enough_files() -> Result<(), Failure> {
    let allowed = descriptors::raise().map_err(|error| Failure::other(&error))?;
    match allowed {
        Some(allowed) if allowed < FILES_MIN => {
            let text = format!(
                "at most {allowed} files may be open, and the server itself needs some {OWN_FILES}, each \
                 connection one more; raise the limit with ulimit -Hn, or of the service (LimitNOFILE)"
            );
            Err(Failure::new(Code::System, &text))
        }
        _ => Ok(()),
    }
}

async fn serve(settings: Settings, clock: Clock, offered: Offered) -> Result<(), Failure> {
    // First of all, so that a signal during a long start is not lost.
    let mut stop = Signals::new().map_err(|error| Failure::other(&error))?;
    let input_ended = input_ended().map_err(|error| Failure::other(&error))?;
    let starting = move || App::start_paced(settings, clock, Fatal::exit(), &offered);
    let app = tokio::task::spawn_blocking(starting).await.map_err(|e| Failure::other(&e))?;
    let app = app.map_err(|error| Failure::new(of_start(&error), &error))?;
    let open =
        listeners::open(&app).map_err(|error: ListenError| Failure::new(Code::Port, &error))?;
    // A server without an administrator works; that it cannot be given one now is said in its log.
    let link = app.auth.offer_administrator().await.unwrap_or_default();
    announce(&open, app.settings.sign_up(), link.as_ref()).map_err(|e| Failure::other(&e))?;
    tokio::select! {
        () = stop.next() => tracing::info!("draining; a second signal ends at once"),
        () = input_ended => tracing::info!("the standard input has ended; draining"),
    }
    tokio::select! {
        () = Arc::clone(&app).stop() => Ok(()),
        () = stop.next() => std::process::exit(EXIT_HARD),
    }
}

/// Where to connect, for people and for programs that started this one with a port of 0; and who may
/// come in. All at once: a program that has read its line may listen no longer.
fn announce(open: &Open, sign_up: SignUp, link: Option<&Token>) -> std::io::Result<()> {
    let raw = open.raw.map(|raw| format!("throng: raw tcp {raw}\n")).unwrap_or_default();
    let may = match sign_up {
        SignUp::Open => "anyone who reaches this server",
        SignUp::Invite => "who has an invitation",
        SignUp::Closed => "nobody",
    };
    let http = open.http;
    let first = |link: &Token| {
        let link = link.reveal();
        format!("throng: the first administrator signs up at http://{http}/#link={link}\n")
    };
    let first = link.map(first).unwrap_or_default();
    let said = format!(
        "throng: open http://{http}/\n{raw}throng: {may} may sign up (sign_up in the settings)\n{first}"
    );
    let mut out = std::io::stdout().lock();
    out.write_all(said.as_bytes())?;
    out.flush()
}

/// When the standard input ends, where the one who started us asked for that; else never.
fn input_ended() -> std::io::Result<impl Future<Output = ()>> {
    let (ends, ended) = oneshot::channel::<()>();
    let bound = std::env::var_os(UNTIL_STDIN_ENDS).is_some();
    if bound {
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            // However it ends, it has.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            drop(ends);
        })?;
    }
    Ok(async move {
        if bound {
            drop(ended.await);
        } else {
            std::future::pending::<()>().await;
        }
    })
}

/// The exit code of what kept the server from starting.
fn of_start(error: &StartError) -> Code {
    match error {
        StartError::InUse(_) => Code::InUse,
        StartError::Folder { .. } => Code::Unwritable,
        StartError::Log(error) | StartError::Recovery(RecoveryError::Log(error)) => of_log(error),
        StartError::Store(error) | StartError::Recovery(RecoveryError::Store(error)) => {
            of_store(error)
        }
        StartError::Kept { trouble, .. } => match trouble {
            Trouble::Full => Code::Unwritable,
            Trouble::Corrupt(_) => Code::Corrupt,
            Trouble::SyncFailed(_) => Code::SyncFailed,
            Trouble::Io(_) => Code::Other,
        },
        StartError::Auth(AuthError::Accounts(error)) => accounts_code(error),
        StartError::Auth(_) | StartError::Thread(_) | StartError::Chance(_) => Code::System,
    }
}

fn of_log(error: &LogError) -> Code {
    match error {
        LogError::Full => Code::Unwritable,
        LogError::Corrupt { .. } => Code::Corrupt,
        LogError::SyncFailed(_) => Code::SyncFailed,
        LogError::Io { .. } => Code::Other,
    }
}

fn of_store(error: &StoreError) -> Code {
    match error {
        StoreError::Full => Code::Unwritable,
        StoreError::Corrupt { .. } | StoreError::Gap { .. } => Code::Corrupt,
        StoreError::SyncFailed(_) => Code::SyncFailed,
        StoreError::Io { .. } => Code::Other,
    }
}

/// The exit code of trouble with the accounts.
pub fn of_accounts(error: &AccountsError) -> Failure {
    Failure::new(accounts_code(error), error)
}

fn accounts_code(error: &AccountsError) -> Code {
    match error {
        AccountsError::ReadOnly { .. } | AccountsError::Full => Code::Unwritable,
        AccountsError::Corrupt { .. } | AccountsError::TooNew { .. } => Code::Corrupt,
        AccountsError::SyncFailed(_) => Code::SyncFailed,
        AccountsError::Io { .. } => Code::Other,
    }
}
