//! Measures a chat server from outside: virtual users, a ledger that is exact, and what came of it.
//!
//! Neighbours: speaks the grammars of `throng-wire` from the client's side; `throng` makes its
//! commands reachable. It starts servers as child processes and never links one: nothing here may
//! know what is inside, so that ours is measured like its rivals.
//!
//! From the socket up:
//!
//! - [`engine`]: one thread, its sockets and the clock; bytes only.
//! - [`drivers`]: a protocol from the client's side, without io: actions to bytes, bytes to
//!   observations.
//! - [`scenario`], [`plan`]: what is to be done, as data, and as deeds with their times.
//! - [`recorder`]: latencies from the intended time.
//! - [`ledger`]: what was asked, what was observed, and whether it is what it must be.
//! - [`abuse`]: users who mean ill, beside those who are measured.
//! - [`agents`]: who holds the sockets of a run from elsewhere.
//! - [`report`]: what a run's folder says, as a page, a table, a verdict for a pipeline.
//! - [`capacity`]: how many a server holds, and what ran out first.
//! - [`profile`]: where the server's CPU went.
//! - [`record`]: what a running server carries, as a scenario.
//! - [`baseline`]: the machine's own numbers, then and now.
//! - [`beside`]: what a bare floor does with a run's sockets.
//! - [`compare`]: two runs, settings, protocols or builds against each other.
//! - [`stats`]: medians, intervals, fits, for few and noisy numbers.
//! - [`floor`], [`bench`](mod@bench): the machine itself, and the performance table that is read
//!   against it.
#![forbid(unsafe_code)]

pub mod abuse;
pub mod agents;
pub mod arms;
pub mod baseline;
pub mod bench;
pub mod beside;
pub mod capacity;
pub mod client;
pub mod clock;
pub mod compare;
pub mod drivers;
pub mod engine;
pub mod floor;
pub mod hashing;
pub mod kernel;
pub mod ledger;
pub mod live;
pub mod monitor;
pub mod plan;
pub mod profile;
pub mod record;
pub mod recorder;
pub mod report;
pub mod run;
pub mod runner;
pub mod scenario;
pub mod stats;
pub mod summary;
pub mod target;
pub mod traces;
pub mod witness;
