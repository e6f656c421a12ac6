//! How the process ends: each kind of trouble has a code of its own, for scripts and supervisors. The
//! numbers are those of `sysexits.h`.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Shown below `--help`.
pub const TABLE: &str = "\
Exit codes:
    0  done, or stopped by a signal after draining
    1  something else went wrong; the last line says what
   64  the arguments cannot be used
   65  the data is corrupt, or of a newer version
   67  nobody is called by the name that was given
   69  the port is taken or may not be used
   70  a bug: a thread without which there is no order has ended
   71  the system gives no threads, too few open files or no random bytes
   73  the data folder cannot be written
   74  a sync failed: what is on disk is unknown, so the process ended; start it again
   75  another server uses the data folder
   78  the settings cannot be used
  130  a second signal ended it before it had drained";

/// Kinds of trouble that end the process with a sentence; see `TABLE`, and `lab run --help` for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Other = 1,
    /// `lab run`: a promise was broken.
    Faults = 10,
    /// `lab run`: the generator fell behind its plan.
    Invalid = 11,
    /// `lab run`: it did not come to its end.
    Incomplete = 12,
    /// `lab run`: every promise was kept, and a goal missed.
    Missed = 13,
    /// `lab run`: no promise was seen broken, and the server tells too little to know that all were kept.
    Unproved = 14,
    /// `lab run`: every promise was kept and no goal missed, but not each goal was shown to be met.
    Undecided = 15,
    Arguments = 64,
    Corrupt = 65,
    Nobody = 67,
    Port = 69,
    System = 71,
    Unwritable = 73,
    SyncFailed = 74,
    InUse = 75,
    Settings = 78,
}

/// What went wrong, as a code and a sentence.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    says: String,
}

impl Failure {
    pub fn new(code: Code, says: &(impl Display + ?Sized)) -> Self {
        Self { code, says: says.to_string() }
    }

    pub fn other(says: &(impl Display + ?Sized)) -> Self {
        Self::new(Code::Other, says)
    }

    /// Nobody has this name in this data folder.
    pub fn nobody(name: &str, data: &impl Display) -> Self {
        Self::new(Code::Nobody, &format!("nobody is called {name} in {data}"))
    }

    pub fn settings(says: &(impl Display + ?Sized)) -> Self {
        Self::new(Code::Settings, says)
    }
}

/// Ends with what came of it; a failure is one line on the standard error.
pub fn code(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, says }) => {
            // Where nobody reads the line, the code still tells.
            let _ = writeln!(std::io::stderr(), "throng: {says}");
            ExitCode::from(code as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table() {
        for code in [
            Code::Other,
            Code::Arguments,
            Code::Corrupt,
            Code::Nobody,
            Code::Port,
            Code::System,
            Code::Unwritable,
            Code::SyncFailed,
            Code::InUse,
            Code::Settings,
        ] {
            let number = format!("{:>5}  ", code as u8);
            assert!(TABLE.lines().any(|line| line.starts_with(&number)), "{code:?}");
        }
    }
}
