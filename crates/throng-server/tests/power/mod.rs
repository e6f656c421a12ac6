//! Power cuts and failing disks under the real log and the real store.
//!
//! `disk` is a disk that keeps what was not synced apart and can lose it; `vfs` puts it under
//! SQLite; `workload` is a server without its sockets, `requests` what it is asked, `erased` what its history may
//! lose; `lives` are ended by cuts and faults; `cuts`, `erasing`, `faults`, `accounts`, `notes` and `files` are the claims.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod accounts;
mod cuts;
mod disk;
mod erased;
mod erasing;
mod faults;
mod files;
mod lives;
mod lying;
mod notes;
mod requests;
mod vfs;
mod workload;
