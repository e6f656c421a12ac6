//! Open files: each connection is one, and most systems begin with a soft limit of 1,024.
//!
//! Neighbours: `throng serve` calls this before anything is opened.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are no client's: logs, databases with their journals, listeners, the runtime.
pub const OWN_FILES: u64 = 64;

/// A server that nobody is connected to has some 44 open. With fewer than this it does not start: a file
/// that cannot be opened would be taken for one that is damaged.
pub const FILES_MIN: u64 = 48;

/// Raises the soft limit to the hard one, which needs no right, and tells what it is now; `None` for
/// no limit.
pub fn raise() -> std::io::Result<Option<u64>> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(getrlimit(Resource::Nofile).current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise().unwrap();
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
    }
}
