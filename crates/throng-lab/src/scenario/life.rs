//! Users who are not there all the time: they arrive one after the other, log in, act, wait and
//! leave; or they send so many messages in a row and go.
//!
//! Neighbours: a [`Scenario`](super::Scenario) lists them; `plan` makes deeds of lives (an open
//! model: each deed has its time), the runner paces rows by their acks (a closed model).

use serde::{Deserialize, Serialize};

use super::Arrivals;

/// How one comes to be somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Login {
    /// With the token of an earlier session, in the moment of arrival.
    #[default]
    Token,
    /// With name and password, in the moment of arrival.
    Password,
    /// Before the load begins: arriving is only beginning to act.
    Before,
}

/// The life of a group of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    /// What they are called.
    pub name: String,
    /// The first of them, among all users.
    #[serde(default)]
    pub first: u32,
    /// How many.
    pub count: u32,
    /// The kind of room they live in.
    pub rooms: String,
    /// The phase with which the first arrives; with the load if absent.
    #[serde(default)]
    pub arrives_in: Option<String>,
    /// From one arrival to the next.
    pub arrive_every_seconds: f64,
    /// How arrivals follow each other.
    #[serde(default = "evenly")]
    pub arrivals: Arrivals,
    /// How they come to be somebody.
    #[serde(default)]
    pub login: Login,
    /// Each is a member of so many rooms before it comes, at least and at most; with two zeros it
    /// joins one as it arrives and leaves it as it goes.
    #[serde(default)]
    pub member_of: [u32; 2],
    /// Asks for so many of the newest messages as it arrives.
    #[serde(default)]
    pub history: u32,
    /// Fetches the pictures of those who are there as it arrives, and of those who come later; everybody
    /// has set one before.
    #[serde(default)]
    pub avatars: bool,
    /// The phase in which they act; one after its arrival if absent.
    #[serde(default)]
    pub acts_in: Option<String>,
    /// How many things each does.
    pub actions: u32,
    /// From one to the next.
    pub every_seconds: f64,
    /// Share of the actions that are joining a further room.
    #[serde(default)]
    pub join: f64,
    /// Share that are leaving one. What cannot be done is saying something instead.
    #[serde(default)]
    pub leave: f64,
    /// Joins only while in fewer rooms.
    #[serde(default)]
    pub rooms_max: u32,
    /// Leaves only while in at least so many.
    #[serde(default)]
    pub rooms_min: u32,
    /// What is said has so many words, at least and at most; as long as `bodies` if absent.
    #[serde(default)]
    pub words: Option<[u32; 2]>,
    /// The phase with which the first goes, and the others after it as they came; after the last
    /// action if absent.
    #[serde(default)]
    pub leaves_in: Option<String>,
}

fn evenly() -> Arrivals {
    Arrivals::Constant
}

/// In which order the users of a row begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The one with the fewest messages first.
    Rising,
    /// The one with the most first.
    Falling,
}

/// Users who each connect, send their messages in a row, each after the ack of the one before, and
/// leave. Rows follow each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What it is called; the name of its phase.
    pub name: String,
    /// The first of its users, among all.
    #[serde(default)]
    pub first: u32,
    /// How many.
    pub count: u32,
    /// The kind of room they send to: the first user to the first room, the second to the second,
    /// around again if need be.
    pub rooms: String,
    /// User *i* (from 1) sends *i* times so many messages.
    pub messages_step: u32,
    /// But not more than this; as many as it comes to if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_max: Option<u32>,
    /// Which begins first.
    pub order: Order,
    /// So many of them at once.
    pub in_flight_max: u32,
}

impl Row {
    /// What its user at this place (from 0) sends.
    pub fn messages(&self, place: u32) -> u32 {
        let most = self.messages_max.unwrap_or(u32::MAX);
        (place + 1).saturating_mul(self.messages_step).min(most)
    }
}
