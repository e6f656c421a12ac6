//! post's length and room, and writes as many bytes to as many members in as many writes as the
//! server did; the durable one also appends and syncs as often. A server's figure is read as a
//! share of it.
//!
//! It never decodes a body, keeps a message, orders, renders or authenticates, and it is neither
//! slowed down nor spared a system call that a minimal program with one thread would make.

mod disk;
mod hold;
mod member;
mod server;
mod stalls;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use disk::{FsyncTimes, probe_fsync};
pub use hold::Hold;
pub use server::serve;
pub use stalls::{Stalls, probe_stalls};

/// What one floor does; given to its process as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where to listen; port 0 for any.
    pub listen: SocketAddr,
    /// Mean frames in a write, as the server had it; at least 1.
    pub frames_per_write: f64,
    /// A server's event on the wire, WebSocket header included.
    pub event_bytes: usize,
    /// A server's ack on the wire, WebSocket header included.
    pub ack_bytes: usize,
    /// `SO_SNDBUF` of the members' sockets, as the server sets it.
    pub send_buffer_bytes: usize,
    /// Append and sync before telling.
    pub durable: Option<Durable>,
}

/// How the durable floor writes to disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Durable {
    /// The file appended to; made anew.
    pub file: PathBuf,
    /// Mean sends in a sync, as the server had it; at least 1.
    pub sends_per_sync: f64,
    /// Bytes appended for one send.
    pub record_bytes: usize,
}

/// What a floor did; printed as JSON when its standard input ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Posts read.
    pub posts: u64,
    /// Event and ack frames written.
    pub frames: u64,
    /// Writes that carried them.
    pub writes: u64,
    /// Syncs of the durable floor.
    pub syncs: u64,
    /// CPU of the process, user and system, whole life.
    pub cpu_seconds: f64,
}
