//! The grammars Throng speaks, without io.
//!
//! Neighbours: `throng-server` speaks them from one side, `throng-lab` and the tests from the other.
//! Nothing here knows the server, opens a socket, reads a clock or rolls dice (masks are passed in).
#![forbid(unsafe_code)]

pub mod native;
pub mod raw;
pub mod ws;
