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
pub mod connection;
pub mod contacts;
pub mod directory;
pub mod fanout;
pub mod faults;
pub mod files;
pub mod fold;
pub mod history;
pub mod keeping;
pub mod leavers;
pub mod lifecycle;
pub mod listeners;
pub mod log;
pub mod moderation;
pub mod operations;
pub mod outbox;
pub mod pages;
pub mod personal;
pub mod protocols;
pub mod record;
pub mod recovery;
pub mod rest;
#[cfg(test)]
mod samples;
pub mod search;
pub mod sequencer;
pub mod sessions;
mod spread;
mod sqlite;
pub mod store;
pub mod tail;
pub mod web;
