//! The integration tests of the server, as one binary: one link, one run.

mod bombs;
mod conversation;
mod live;
mod plans;
mod power;
