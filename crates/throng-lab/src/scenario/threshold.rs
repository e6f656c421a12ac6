//! What a run must reach beside its promises: a figure and its bound, by name.
//!
//! Neighbours: a [`Scenario`](super::Scenario) lists them; `summary` holds the figures against them,
//! and a missed one decides how the run ended. Nothing here measures.

use serde::{Deserialize, Serialize};

use super::Goal;

/// A figure and what it must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// What it is called.
    pub name: String,
    /// What is measured.
    pub figure: Figure,
    /// Of which kind of room; of all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<String>,
    /// In which phase; in the whole load if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The figure is divided by what it was in this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// More than this and it is missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Less than this and it is missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// A ratio above its bound is forgiven while the milliseconds differ by no more than this: twice
    /// of next to nothing is next to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless_within_ms: Option<f64>,
}

/// What can be held against a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// p90 from the intended time to each recipient.
    DeliveryP90Ms,
    /// p95 likewise.
    DeliveryP95Ms,
    /// p99 likewise.
    DeliveryP99Ms,
    /// p99 from the intended time to the durable ack.
    AckP99Ms,
    /// Users who lost their connection and had resumed every room.
    Resumes,
    /// The slowest of them.
    ResumeMaxMs,
    /// Users who came, joined and had read the history they asked for.
    Entries,
    /// The slowest of them, from when it should have come.
    EntryMaxMs,
    /// The time that the second half of a crowd took to enter, over that of its first half: 1 where it grows with
    /// their number, 3 where it grows with its square.
    EntryHalves,
    /// Most memory of the server's process and of its sockets in the kernel, together.
    MemoryMib,
    /// Passwords that the server hashed, by its own count.
    PasswordsHashed,
    /// Passwords that it checked each second while some waited, over what one thread does with
    /// nothing but hashing, on this machine, before and after the run.
    LoginsOfHashingAlone,
    /// p99 from asking to be somebody to being told to come back later.
    LoginRefusalP99Ms,
    /// Slope of the server's resident memory over the run.
    MemoryMibPerHour,
    /// Slope of its open descriptors.
    DescriptorsPerHour,
    /// Slope of its log's files.
    LogMibPerHour,
    /// Slope of its whole data folder.
    FolderMibPerHour,
    /// Slope of each second's p99 of the ack.
    AckP99MsPerHour,
}

impl Figure {
    /// Whether it is a latency of which each second has one: then it can be said of a phase.
    pub fn is_latency(self) -> bool {
        use Figure::{AckP99Ms, DeliveryP90Ms, DeliveryP95Ms, DeliveryP99Ms};
        matches!(self, DeliveryP90Ms | DeliveryP95Ms | DeliveryP99Ms | AckP99Ms)
    }

    /// Whether it is a slope over the run: then it has an interval, and a run that is too short has none.
    pub fn is_slope(self) -> bool {
        use Figure::{
            AckP99MsPerHour, DescriptorsPerHour, FolderMibPerHour, LogMibPerHour, MemoryMibPerHour,
        };
        matches!(
            self,
            MemoryMibPerHour
                | DescriptorsPerHour
                | LogMibPerHour
                | FolderMibPerHour
                | AckP99MsPerHour
        )
    }

    /// In words, with its unit.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::DeliveryP90Ms => ("delivery p90", "ms"),
            Self::DeliveryP95Ms => ("delivery p95", "ms"),
            Self::DeliveryP99Ms => ("delivery p99", "ms"),
            Self::AckP99Ms => ("ack p99", "ms"),
            Self::Resumes => ("users who resumed", ""),
            Self::ResumeMaxMs => ("the slowest resume", "ms"),
            Self::Entries => ("users who entered and read", ""),
            Self::EntryMaxMs => ("the slowest entry, history read", "ms"),
            Self::EntryHalves => ("time of the second half to enter over the first half's", "×"),
            Self::MemoryMib => ("memory of server and its sockets", "MiB"),
            Self::PasswordsHashed => ("passwords hashed", ""),
            Self::LoginsOfHashingAlone => ("logins over hashing alone", "×"),
            Self::LoginRefusalP99Ms => ("login refused, p99", "ms"),
            Self::MemoryMibPerHour => ("slope of the server's memory", "MiB an hour"),
            Self::DescriptorsPerHour => ("slope of its open descriptors", "an hour"),
            Self::LogMibPerHour => ("slope of its log", "MiB an hour"),
            Self::FolderMibPerHour => ("slope of its data folder", "MiB an hour"),
            Self::AckP99MsPerHour => ("slope of the ack's p99", "ms an hour"),
        }
    }
}

impl Threshold {
    /// Whether a figure is beyond a bound of it.
    pub fn is_beyond(&self, value: f64) -> bool {
        self.at_most.is_some_and(|most| value > most)
            || self.at_least.is_some_and(|least| value < least)
    }
}

impl Goal {
    /// The same as thresholds.
    pub fn thresholds(&self) -> [Threshold; 3] {
        let bounds = [
            ("p90", Figure::DeliveryP90Ms, self.p90_ms),
            ("p95", Figure::DeliveryP95Ms, self.p95_ms),
            ("p99", Figure::DeliveryP99Ms, self.p99_ms),
        ];
        bounds.map(|(name, figure, at_most)| Threshold {
            name: format!("goal-{name}"),
            figure,
            rooms: Some(self.rooms.clone()),
            phase: None,
            against: None,
            at_most: Some(at_most),
            at_least: None,
            unless_within_ms: None,
        })
    }
}
