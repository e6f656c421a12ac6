//! Who users are and where their server is, as whoever starts a run says it.
//!
//! Neighbours: `target` makes accounts, `crowd` is them.

use std::net::SocketAddr;

use crate::agents::AgentAt;
use crate::drivers::Dress;

/// An account that a user is.
#[derive(Clone, Debug)]
pub struct Account {
    /// As the server numbers it.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// What it authenticates by.
    pub token: String,
    /// What it logs in by, where it has a password.
    pub password: Option<Credentials>,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// Where the server is.
#[derive(Clone, Debug)]
pub struct Door {
    /// WebSocket.
    pub address: SocketAddr,
    /// The raw port, where it is open.
    pub raw: Option<SocketAddr>,
    /// Who holds the sockets; none for ourselves.
    pub agents: Vec<AgentAt>,
}

impl Door {
    /// Where one in this dress connects to.
    pub fn of(&self, dress: Dress) -> SocketAddr {
        match dress {
            Dress::Raw => self.raw.unwrap_or(self.address),
            Dress::WsJson | Dress::WsProtobuf | Dress::Rest => self.address,
        }
    }
}
