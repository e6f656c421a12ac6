//! The shape of what is said here, without any of it: events by what they are, lengths of messages,
//! rooms by how many hear them. What `throng lab record` makes a scenario of.
//!
//! Neighbours: the sequencer counts what it committed, each fan-out who listens and what is told to
//! how many; `metrics.rs` registers and renders it. It knows no room and no user. A post costs one
//! addition in its fan-out's own [`Tally`] and one in its turn's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use throng_core::{Event, EventKind};

use super::histogram;
use super::metrics::Metrics;

/// What an event can be, by name.
const KINDS: [&str; 7] = ["posted", "edited", "deleted", "reacted", "joined", "left", "other"];
const POSTED: usize = 0;

/// Greatest numbers of listeners, by which rooms are told apart; the last takes all above.
const SIZES: [&str; 22] = [
    "0", "1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024", "2048", "4096", "8192",
    "16384", "32768", "65536", "131072", "262144", "524288", "+Inf",
];

/// Numbers of one name that differ in one label.
#[derive(Debug)]
pub struct ByLabel<const N: usize> {
    label: &'static str,
    values: &'static [&'static str; N],
    /// Of numbers that only grow.
    grows: bool,
    cells: [AtomicI64; N],
}

impl<const N: usize> ByLabel<N> {
    pub(super) fn new(
        label: &'static str,
        values: &'static [&'static str; N],
        grows: bool,
    ) -> Self {
        Self { label, values, grows, cells: std::array::from_fn(|_| AtomicI64::new(0)) }
    }

    pub(super) fn add(&self, at: usize, count: i64) {
        self.cells[at].fetch_add(count, Ordering::Relaxed);
    }

    /// What one of them is.
    #[cfg(test)]
    pub(super) fn of(&self, value: &str) -> i64 {
        let at = self.values.iter().position(|it| *it == value).expect("a value of the label");
        self.cells[at].load(Ordering::Relaxed)
    }
}

impl<const N: usize> EncodeMetric for ByLabel<N> {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (value, cell) in self.values.iter().zip(&self.cells) {
            let labels = [(self.label, *value)];
            let mut encoder = encoder.encode_family(&labels)?;
            let is = cell.load(Ordering::Relaxed);
            if self.grows {
                encoder.encode_counter::<NoLabelSet, _, u64>(&is.unsigned_abs(), None)?;
            } else {
                encoder.encode_gauge(&is)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        if self.grows { MetricType::Counter } else { MetricType::Gauge }
    }
}

/// Rooms by how many connections hear them, of all shards together.
#[derive(Debug)]
pub struct Audiences {
    /// Rooms that somebody hears.
    pub rooms: Arc<ByLabel<{ SIZES.len() }>>,
    /// Connections that hear one of them, once for each room.
    pub listeners: Arc<ByLabel<{ SIZES.len() }>>,
    /// Posts told in such rooms.
    pub posts: Arc<ByLabel<{ SIZES.len() }>>,
}

impl Audiences {
    /// Nobody hears anything.
    pub(super) fn new() -> Self {
        let by = |grows| Arc::new(ByLabel::new("listeners_max", &SIZES, grows));
        Self { rooms: by(false), listeners: by(false), posts: by(true) }
    }

    /// So many hear a room that as many heard before.
    pub fn moved(&self, before: usize, after: usize) {
        for (listeners, sign) in [(before, -1), (after, 1)] {
            if listeners > 0 {
                self.rooms.add(size(listeners), sign);
                self.listeners.add(size(listeners), sign * listeners as i64);
            }
        }
    }

    /// Adds a tick's posts and empties the tally.
    pub fn add(&self, tally: &mut Tally) {
        if std::mem::take(&mut tally.any) {
            for (at, count) in tally.posts.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
                self.posts.add(at, std::mem::take(count) as i64);
            }
        }
    }
}

/// Posts of one fan-out since its last tick, by how many heard them.
#[derive(Debug, Default)]
pub struct Tally {
    posts: [u64; SIZES.len()],
    any: bool,
}

impl Tally {
    /// One post, where so many hear the room.
    pub fn post(&mut self, listeners: usize) {
        self.posts[size(listeners)] += 1;
        self.any = true;
    }
}

/// The first of `SIZES` that is at or above.
fn size(listeners: usize) -> usize {
    match listeners {
        0 => 0,
        some => (histogram::bucket(some as u64) + 1).min(SIZES.len() - 1),
    }
}

/// Events by what they are.
#[derive(Debug)]
pub struct Kinds(pub Arc<ByLabel<{ KINDS.len() }>>);

impl Kinds {
    /// Nothing has happened.
    pub(super) fn new() -> Self {
        Self(Arc::new(ByLabel::new("kind", &KINDS, true)))
    }
}

/// Counts the events of a turn that was committed.
pub fn committed(metrics: &Metrics, events: &[Arc<Event>]) {
    let mut kinds = [0; KINDS.len()];
    let mut bodies = histogram::Tally::default();
    for event in events {
        let at = match &event.kind {
            EventKind::Posted { body, .. } => {
                bodies.observe(body.as_str().len() as u64);
                POSTED
            }
            EventKind::Edited { .. } => 1,
            EventKind::Deleted { .. } => 2,
            EventKind::Reacted { .. } => 3,
            EventKind::Joined { .. } => 4,
            EventKind::Left { .. } => 5,
            EventKind::Created { .. }
            | EventKind::Pinned { .. }
            | EventKind::Moderated { .. }
            | EventKind::Set { .. } => 6,
        };
        kinds[at] += 1;
    }
    metrics.sends.inc_by(kinds[POSTED] as u64);
    metrics.body_bytes.add(&mut bodies);
    for (at, count) in kinds.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        metrics.events.0.add(at, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_told_apart_by_the_first_size_that_holds_them() {
        for (listeners, value) in [(0, "0"), (1, "1"), (2, "2"), (3, "4"), (4, "4"), (5, "8")] {
            assert_eq!(SIZES[size(listeners)], value, "{listeners}");
        }
        assert_eq!(SIZES[size(524_288)], "524288");
        assert_eq!(SIZES[size(524_289)], "+Inf");
        assert_eq!(SIZES[size(usize::MAX)], "+Inf");
    }

    #[test]
    fn who_comes_and_goes_leaves_no_room_behind() {
        let heard = Audiences::new();
        for listeners in 0..9 {
            heard.moved(listeners, listeners + 1);
        }
        assert_eq!((heard.rooms.of("16"), heard.listeners.of("16")), (1, 9));
        for listeners in (0..9).rev() {
            heard.moved(listeners + 1, listeners);
        }
        for value in SIZES {
            assert_eq!((heard.rooms.of(value), heard.listeners.of(value)), (0, 0), "{value}");
        }
    }

    #[test]
    fn a_tally_of_posts_is_added_once() {
        let heard = Audiences::new();
        let mut tally = Tally::default();
        for listeners in [0, 10, 10, 1_000] {
            tally.post(listeners);
        }
        heard.add(&mut tally);
        heard.add(&mut tally);
        let posts = ["0", "16", "1024"].map(|value| heard.posts.of(value));
        assert_eq!(posts, [1, 2, 1]);
    }
}
