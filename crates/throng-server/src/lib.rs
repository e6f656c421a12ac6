//! The chat server: connections in, one order per room, a durable log, fan-out out.
//!
//! One message's life is told in `docs/life-of-a-message.md`. Arrows go down only: `app` →
//! `listeners`, `rest` → `connection` → `protocols`; `sequencer` → `log`, `store`; `fanout` →
//! `outbox`; all → `throng-core`. It does not know the lab.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod address;
pub mod app;
pub mod auth;
pub mod clock;
pub mod config;
pub mod faults;
pub mod fold;
pub mod history;
pub mod log;
pub mod operations;
pub mod record;
pub mod recovery;
#[cfg(test)]
mod samples;
mod sqlite;
pub mod store;
pub mod tail;
pub mod web;
