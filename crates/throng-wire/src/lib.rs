//! The grammars Throng speaks, without io.
//!
//! Neighbours: `throng-server` speaks them from one side, `throng-lab` and the tests from the other.
//! Nothing here knows the server, opens a socket or reads a clock.
#![forbid(unsafe_code)]

pub mod native;
