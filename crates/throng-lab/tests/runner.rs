//! Whole runs against a double of a server, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod counters;
mod double;
mod pictures;
mod placeless;
mod reports;
mod runs;
