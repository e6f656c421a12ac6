//! Open files: each connection is one, and most systems begin with a soft limit of 1,024.
//!
//! Neighbours: `throng serve` calls this before anything is opened.

use rustix::process::{Resource, getrlimit, setrlimit};

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
