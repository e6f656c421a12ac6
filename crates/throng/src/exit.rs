//! How the process ends: each kind of trouble has a code of its own, for scripts and supervisors.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Shown below `--help`.
pub const TABLE: &str = "\
Exit codes:
  0  done, or stopped by a signal after draining
  1  something else went wrong; the last line says what
  2  the arguments or settings cannot be used
  3  the port is taken or may not be used
  4  another server uses the data folder
  5  the data folder cannot be written
  6  the data is corrupt, or of a newer version
  7  a sync failed: what is on disk is unknown, so the process ended (start it again)";

/// What went wrong, as a code and a sentence.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    says: String,
}

impl Failure {
    pub fn other(says: &(impl Display + ?Sized)) -> Self {
        Self::with(1, says)
    }

    pub fn settings(says: &(impl Display + ?Sized)) -> Self {
        Self::with(2, says)
    }

    pub fn with(code: u8, says: &(impl Display + ?Sized)) -> Self {
        Self { code, says: says.to_string() }
    }
}

/// Ends with what came of it; a failure is one line on the standard error.
pub fn code(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, says }) => {
            // Where nobody reads the line, the code still tells.
            let _ = writeln!(std::io::stderr(), "throng: {says}");
            ExitCode::from(code)
        }
    }
}
