//! Users who mean ill, beside those whose latency is measured.
//!
//! Neighbours: a [`Scenario`](super::Scenario) lists them; `abuse` is them. They have accounts of their
//! own behind the scenario's users, and rooms of their own.

use serde::{Deserialize, Serialize};

/// A group of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abusers {
    /// What they are called.
    pub name: String,
    /// What they do.
    pub does: Abuse,
    /// How many.
    pub count: u32,
    /// How often each does it.
    pub every_seconds: f64,
    /// The phase in which they do it; all the time if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// What can be done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Abuse {
    /// Posts as much as the socket takes, into a room that all who flood are in.
    Flood,
    /// Posts bodies far above the limit, and frames far above theirs.
    Oversize,
    /// Sends bytes that are no frame.
    Malformed,
    /// Sends the head of a request, a byte each time.
    Drip,
    /// Connects and says nothing, ever.
    HalfOpen,
    /// Joins and leaves a room again and again.
    Flap,
    /// Tries passwords.
    Guess,
    /// Types without end, in a room that all who do are in, and where it does not belong.
    Typing,
    /// Asks for pages of rooms it does not belong to, hears them, posts there.
    Probe,
}
