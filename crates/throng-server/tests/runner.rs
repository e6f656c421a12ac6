//! The integration tests of the server, as one binary: one link, one run.

mod conversation;
mod live;
mod power;
