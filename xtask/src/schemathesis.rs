//! `cargo xtask schemathesis [SECONDS]`: Schemathesis asks a live server everything that
//! `docs/reference/openapi.json` allows and much that it does not, from a fixed seed. A server error, an
//! answer that is not as described, or a status that is not described fails it.
//!
//! Neighbours: `ci` calls it; `xtask/schemathesis.toml` has its settings. It is installed into
//! `target/`, by pip, when it is not there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use crate::{root, say};

/// How long CI lets it ask.
pub const SECONDS: u64 = 120;

/// What is installed; a later one may find more, on a day when that is not what was changed.
const VERSION: &str = "schemathesis==4.32.5";
const SEED: &str = "1";

/// Its clients are one, which no person is as fast as.
const SETTINGS: &[&str] = &[
    "limits.logins_per_minute_account=1000000",
    "limits.logins_per_minute_address=1000000",
    "limits.requests_per_second=1000000",
    "limits.requests_burst=1000000",
    "limits.requests_per_second_anonymous=1000000",
    "limits.requests_burst_anonymous=1000000",
    "limits.sends_per_second=1000000",
    "limits.sends_burst=1000000",
];

/// Why it did not pass.
#[derive(Debug)]
pub enum Trouble {
    /// It could not be installed: no Python, or no network.
    Missing(String),
    /// It ran, or should have.
    Failed(String),
}

/// One argument at most: for how many seconds to ask.
pub fn run(arguments: &[String]) -> ExitCode {
    let Ok(seconds) = arguments.first().map_or(Ok(SECONDS), |text| text.parse()) else {
        say("usage: cargo xtask schemathesis [SECONDS]");
        return ExitCode::FAILURE;
    };
    match installed().and_then(|program| ask(&program, seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Missing(what) | Trouble::Failed(what)) => {
            say(&format!("schemathesis: {what}"));
            ExitCode::FAILURE
        }
    }
}

/// Starts a server in memory, and asks for so long.
pub fn ask(program: &Path, seconds: u64) -> Result<(), Trouble> {
    build().map_err(Trouble::Failed)?;
    let server = Server::start().map_err(|error| Trouble::Failed(format!("no server: {error}")))?;
    server.prepare().map_err(|error| Trouble::Failed(format!("the server: {error}")))?;
    // Logging out ends the session by which everything else is asked: it is asked by its own.
    for (choice, name, seconds) in
        [("--exclude-operation-id", "ada", seconds), ("--include-operation-id", "cleo", 10)]
    {
        let token = server.token(name).map_err(|error| Trouble::Failed(error.to_string()))?;
        let status = Command::new(program)
            .arg("--config-file")
            .arg(root().join("xtask/schemathesis.toml"))
            .args(["run", &format!("{}/openapi.json", server.api()), choice, "logout"])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--seed", SEED, "--workers", "1", "--max-examples", "50"])
            .args(["--max-time", &seconds.to_string(), "--generation-database", "none"])
            .env("SCHEMATHESIS_HOOKS", root().join("xtask/schemathesis_hooks.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(root().join("target"))
            .status()
            .map_err(|error| {
                Trouble::Failed(format!("cannot start {}: {error}", program.display()))
            })?;
        if !status.success() {
            return Err(Trouble::Failed(format!("it found something ({status}); see above")));
        }
    }
    say("schemathesis: the server answers as docs/reference/openapi.json says");
    Ok(())
}

/// The program, put into `target/` when it is not there.
pub fn installed() -> Result<PathBuf, Trouble> {
    let folder = root().join("target/schemathesis");
    let program = folder.join("bin/schemathesis");
    let known = folder.join("version");
    // Also that it runs: a folder that was kept may have come to a machine with another Python.
    let runs = || {
        let told = Command::new(&program).arg("--version").stdout(Stdio::null()).status();
        told.is_ok_and(|status| status.success())
    };
    if std::fs::read_to_string(&known).is_ok_and(|text| text == VERSION) && runs() {
        return Ok(program);
    }
    say(&format!("schemathesis: installing {VERSION} into {}", folder.display()));
    let python = Path::new("python3");
    done(
        Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder),
        "make a venv (python3-venv)",
    )?;
    let pip = folder.join("bin/pip");
    done(Command::new(pip).args(["install", "--quiet", VERSION]), "install it by pip (network)")?;
    std::fs::write(known, VERSION).map_err(|error| Trouble::Missing(error.to_string()))?;
    Ok(program)
}

fn done(command: &mut Command, what: &str) -> Result<(), Trouble> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Trouble::Missing(format!("could not {what}: {status}"))),
        Err(error) => Err(Trouble::Missing(format!("could not {what}: {error}"))),
    }
}

/// The program as the tests have it, which is there already when they have run.
fn build() -> Result<(), String> {
    let status = Command::new("cargo")
        .args(["test", "--no-run", "--quiet", "--workspace"])
        .current_dir(root())
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err("the build failed".into()) }
}

/// A server in memory on a port of its own; it ends with this.
struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only when it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> std::io::Result<Self> {
        // Beside this program, wherever Cargo was told to put them.
        let mut command = Command::new(std::env::current_exe()?.with_file_name("throng"));
        command.args(["serve", "--memory", "--listen", "127.0.0.1:0"]);
        for setting in SETTINGS {
            command.args(["--set", setting]);
        }
        // However this ends, the server does, too.
        command.env("THRONG_UNTIL_STDIN_ENDS", "1").stdin(Stdio::piped()).process_group(0);
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.split("http://").nth(1).map(|rest| rest.trim().trim_end_matches('/'));
        let address = address.unwrap_or_default().to_owned();
        Ok(Self { process, address })
    }

    fn api(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// What the examples of the description name: two accounts, and a room with a message.
    fn prepare(&self) -> std::io::Result<()> {
        let ada = self.token("ada")?;
        self.token("ben")?;
        self.post("/rooms", &ada, r#"{"name":"hall"}"#)?;
        self.post("/rooms/1/messages", &ada, r#"{"body":"hello"}"#)?;
        Ok(())
    }

    /// A session of the account, which is made when it is not there.
    fn token(&self, name: &str) -> std::io::Result<String> {
        let asked = format!(r#"{{"name":"{name}","password":"correct horse battery"}}"#);
        let mut answer = self.post("/accounts", "", &asked)?;
        if !answer.contains("\"token\"") {
            answer = self.post("/sessions", "", &asked)?;
        }
        let token = answer.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next());
        token.map(str::to_owned).ok_or_else(|| std::io::Error::other(answer.clone()))
    }

    fn post(&self, path: &str, token: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "POST /api/v1{path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
