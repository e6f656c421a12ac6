//! Latencies and counts as the run goes: histograms that merge, a line a second, and percentiles
//! that are never averaged.
//!
//! Neighbours: the runner records; the run folder writes. Every latency is from the moment a send
//! was *intended*, so that a generator which falls behind cannot hide a slow second.

mod waits;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::Nanos;
use crate::ledger::{Receipt, SendIx};
use crate::traces::{Trace, Traces};
pub use waits::Waits;

/// Longer than this is this: a run is not longer than its drain.
const LONGEST_US: u64 = 600_000_000;

/// Who comes so much later than planned is counted: what is said of a phase may not hold for him.
const LATE: Duration = Duration::from_secs(1);

/// Of so many who entered it is kept when each did.
const ENTRIES_MAX: usize = 100_000;

/// Microseconds to three digits.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

/// What is said of a histogram. Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were recorded.
    pub count: u64,
    /// Half were quicker.
    pub p50_ms: f64,
    /// Nine in ten were quicker.
    pub p90_ms: f64,
    /// Nineteen in twenty.
    pub p95_ms: f64,
    /// Ninety-nine in a hundred.
    pub p99_ms: f64,
    /// All but one in a thousand.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// All together over their count.
    pub mean_ms: f64,
}

impl Latency {
    /// Empty.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order"))
    }

    /// One more.
    pub fn record(&mut self, span: Duration) {
        self.record_us(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    }

    /// One more, in microseconds.
    pub fn record_us(&mut self, us: u64) {
        self.0.saturating_record(us.clamp(1, LONGEST_US));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Adds all of the other's.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Adds all of it to the other and empties it; what its percentiles were.
    fn pour_into(&mut self, whole: &mut Self) -> Percentiles {
        let said = self.percentiles();
        if said.count > 0 {
            whole.merge(self);
            self.clear();
        }
        said
    }

    /// Its percentiles; zeros when it is empty.
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile: f64| self.0.value_at_quantile(quantile) as f64 / 1e3;
        if self.0.is_empty() {
            return Percentiles::default();
        }
        Percentiles {
            count: self.0.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1e3,
            mean_ms: self.0.mean() / 1e3,
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// One second of a run, as it is written to `samples.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// The second, from the beginning of the load.
    pub second: u64,
    /// How long it was: the last may be a part of one, and so may those where a phase begins.
    pub seconds: f64,
    /// When it began, in seconds of the load.
    pub at: f64,
    /// The phase it belongs to; empty where there are none.
    pub phase: String,
    /// Sends that should have left.
    pub intended: u64,
    /// Sends that left.
    pub sent: u64,
    /// Sends acknowledged.
    pub acked: u64,
    /// Posts told.
    pub deliveries: u64,
    /// Bytes that came over all sockets, as they came: before anything was inflated.
    pub bytes_read: u64,
    /// Sends given up because they could not be started in time.
    pub dropped: u64,
    /// Connections that stand.
    pub connections: u64,
    /// Send to durable ack.
    pub ack: Percentiles,
    /// Send to each recipient.
    pub delivery: Percentiles,
    /// How late sends started.
    pub lag: Percentiles,
    /// What the sends of `ack` waited in the generator: from the intended time until the kernel was handed the first
    /// byte.
    pub generator: Percentiles,
    /// CPU of the server's process, of one core.
    pub server_cpu: f64,
    /// Resident memory of the server's process.
    pub server_rss_bytes: u64,
    /// What the kernel holds in the queues of its sockets, where a threshold asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<u64>,
    /// CPU of the generator, of one core.
    pub generator_cpu: f64,
    /// CPU of those who mean ill, of one core: a thread of the lab's beside the generator's; absent where nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abusers_cpu: Option<f64>,
    /// CPU seconds of the machine's other programs, what `--monitor` names included: what neither the server nor
    /// the lab took of the cores that these may use. A little below nothing where they took none; absent where
    /// nobody can tell them from the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside_cpu: Option<f64>,
    /// Share of all cores' time that the hypervisor gave to others.
    pub steal: f64,
    /// Users who were there at its end.
    pub users: u64,
    /// Sends on their way to their ack: the mean of many looks.
    pub in_flight: f64,
    /// Of them, those whose first byte the kernel had not been handed: the mean of many looks.
    pub in_generator: f64,
    /// The most that waited in the generator at one look: their sender was not there, or its connections carry one
    /// request at a time and had one under way.
    pub backlog: u64,
    /// How long the kernel took to make connections.
    pub connect: Percentiles,
    /// From asking to be somebody to being it.
    pub login: Percentiles,
    /// Requests that were refused in it.
    pub refusals: u64,
    /// Connections that ended in it without our doing.
    pub farewells: u64,
    /// Users who came in it: by plan, not back from a loss.
    pub arrivals: u64,
    /// Users who came in it, more than a second after they should have.
    pub late_arrivals: u64,
    /// Connections that the machine's kernel refused for a full backlog.
    pub listen_overflows: u64,
    /// Pictures of people fetched in it.
    pub pictures: u64,
    /// By kind of room, where there is more than one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rooms: BTreeMap<String, RoomSample>,
}

/// A second of one kind of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RoomSample {
    /// Send to durable ack.
    pub ack: Percentiles,
    /// Send to each recipient.
    pub delivery: Percentiles,
}

/// What is recorded of one phase.
#[derive(Clone, Debug, Default)]
pub struct OfPhase {
    /// Its name.
    pub name: String,
    /// When it first began, in seconds of the load.
    pub at: f64,
    /// Send to durable ack.
    pub ack: Latency,
    /// Send to each recipient that was there and read.
    pub delivery: Latency,
}

/// The same for one kind of room.
#[derive(Debug, Default)]
pub struct OfKind {
    /// Send to durable ack.
    pub ack: Latency,
    /// Send to each recipient that was there and read.
    pub delivery: Latency,
    /// Send to its last recipient.
    pub last: Latency,
    /// Its name.
    name: String,
    /// This second's.
    now: [Latency; 2],
}

/// Everything recorded.
#[derive(Debug, Default)]
pub struct Recorder {
    /// By kind of room, in the scenario's order.
    pub kinds: Vec<OfKind>,
    /// Send to durable ack.
    pub ack: Latency,
    /// Send to each recipient that was there and read.
    pub delivery: Latency,
    /// Send to its first recipient.
    pub first: Latency,
    /// Send to the median recipient.
    pub median: Latency,
    /// Send to its last recipient.
    pub last: Latency,
    /// Send to ack and to recipient where one of them was away or stalled: the plan's doing.
    pub catch_up: Latency,
    /// How late sends started.
    pub lag: Latency,
    /// What the sends of `ack` waited in the generator.
    pub generator: Latency,
    /// What each send waited in it.
    pub waits: Waits,
    /// From losing the connection to the last resume.
    pub resume: Latency,
    /// From when one should have come to being there and hearing one's rooms.
    pub arrive: Latency,
    /// From then to having joined and read the history asked for.
    pub enter: Latency,
    /// When each of those should have come, and when it had entered; of the first so many.
    pub entries: Vec<[Nanos; 2]>,
    /// From when a file should have been sent to the server's word that it has it.
    pub upload: Latency,
    /// From asking for a file to its last byte.
    pub fetch: Latency,
    /// From then to having the picture of everybody who was there.
    pub faces: Latency,
    /// From learning of a picture to having it.
    pub picture: Latency,
    /// From asking to be somebody to being told to come back later.
    pub login_refused: Latency,
    /// How long the kernel took to make connections.
    pub connect: Latency,
    /// From asking to be somebody to being it.
    pub login: Latency,
    /// In the order in which they last began.
    pub phases: Vec<OfPhase>,
    /// To ack and to each recipient, of the users of each agent, where there are agents.
    pub agents: Vec<[Latency; 2]>,
    /// Where the time of single messages went.
    pub traces: Traces,
    /// This second's.
    pub now: Second,
}

/// What has been counted since the second began.
#[derive(Debug, Default)]
pub struct Second {
    /// As in [`Sample`].
    pub counts: Sample,
    ack: Latency,
    delivery: Latency,
    lag: Latency,
    generator: Latency,
    connect: Latency,
    login: Latency,
    /// Sends in the generator, added up over `looks` looks.
    in_generator: u64,
    looks: u64,
}

impl Recorder {
    /// A send left.
    pub fn sent(&mut self, intended: Nanos, now: Nanos) {
        let lag = now.since(intended);
        self.now.counts.intended += 1;
        self.now.counts.sent += 1;
        self.now.lag.record(lag);
    }

    /// A send left that had no time of its own, because it follows an ack or a file: it cannot be late, and none of
    /// it is lag.
    pub fn followed(&mut self) {
        self.now.counts.intended += 1;
        self.now.counts.sent += 1;
    }

    /// A send was given up.
    pub fn dropped(&mut self) {
        self.now.counts.intended += 1;
        self.now.counts.dropped += 1;
    }

    /// For the kinds of room of these names.
    pub fn new(kinds: &[String]) -> Self {
        let of = |name: &String| OfKind { name: name.clone(), ..OfKind::default() };
        Self { kinds: kinds.iter().map(of).collect(), ..Self::default() }
    }

    /// Empty, for the same kinds.
    pub fn afresh(&self) -> Self {
        let names: Vec<_> = self.kinds.iter().map(|kind| kind.name.clone()).collect();
        let agents = self.agents.iter().map(|_| Default::default()).collect();
        Self { agents, ..Self::new(&names) }
    }

    /// The same once more for the agent that this user is at: an ack (0) or a delivery (1).
    pub fn at_agent(&mut self, user: u32, what: usize, intended: Nanos, now: Nanos, live: bool) {
        let count = self.agents.len();
        if count > 0 && live {
            self.agents[user as usize % count][what].record(now.since(intended));
        }
    }

    /// What comes from now on, so many seconds into the load, belongs to this phase; phases of one name are one.
    pub fn begin_phase(&mut self, name: &str, at: f64) {
        let known = self.phases.iter().position(|phase| phase.name == name);
        let phase = known.map(|at| self.phases.remove(at));
        let new = || OfPhase { name: name.into(), at, ..OfPhase::default() };
        self.phases.push(phase.unwrap_or_else(new));
    }

    /// A picture came, so long after it was wanted.
    pub fn pictured(&mut self, took: Duration) {
        self.now.counts.pictures += 1;
        self.picture.record(took);
    }

    /// A connection was made.
    pub fn connected(&mut self, took: Duration) {
        self.now.connect.record(took);
    }

    /// Somebody has become somebody.
    pub fn logged_in(&mut self, took: Duration) {
        self.now.login.record(took);
    }

    /// Somebody who should have come so long ago is there.
    pub fn arrived(&mut self, took: Duration) {
        self.now.counts.arrivals += 1;
        self.now.counts.late_arrivals += u64::from(took > LATE);
        self.arrive.record(took);
    }

    /// Somebody who should have come then has joined and read the history asked for.
    pub fn entered(&mut self, intended: Nanos, now: Nanos) {
        self.enter.record(now.since(intended));
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push([intended, now]);
        }
    }

    /// A send was acknowledged. `live`: its sender was there all the time.
    pub fn acked(
        &mut self,
        (send, kind): (SendIx, usize),
        intended: Nanos,
        now: Nanos,
        live: bool,
    ) {
        self.now.counts.acked += 1;
        if live {
            self.now.ack.record(now.since(intended));
            if let Some(waited) = self.waits.of(send) {
                self.now.generator.record(waited);
            }
            self.kinds[kind].now[0].record(now.since(intended));
        } else {
            self.catch_up.record(now.since(intended));
        }
    }

    /// The ack of a send said where its time went in the server.
    pub fn traced(&mut self, send: SendIx, intended: Nanos, now: Nanos, trace: Trace) {
        if let Some(waited) = self.waits.of(send) {
            self.traces.told(intended, waited, now, trace);
        }
    }

    /// A look at how many of so many sends are still in the generator.
    pub fn looked(&mut self, sends: u64) {
        self.now.in_generator += self.waits.still_here(sends);
        self.now.looks += 1;
    }

    /// A post was told. Those who were away or asleep when it was said are counted apart.
    pub fn delivered(&mut self, kind: usize, receipt: &Receipt, now: Nanos) {
        self.now.counts.deliveries += 1;
        let latency = now.since(receipt.intended);
        if !receipt.live {
            self.catch_up.record(latency);
            return;
        }
        self.now.delivery.record(latency);
        self.kinds[kind].now[1].record(latency);
        if receipt.first {
            self.first.record(latency);
        }
        if receipt.median {
            self.median.record(latency);
        }
    }

    /// Ends a second: its histograms go into the whole run's.
    pub fn end_second(&mut self) -> Sample {
        let Second { counts, ack, delivery, lag, generator, connect, login, in_generator, looks } =
            &mut self.now;
        let mut sample = std::mem::take(counts);
        sample.in_generator = *in_generator as f64 / (*looks).max(1) as f64;
        (*in_generator, *looks) = (0, 0);
        if let Some(phase) = self.phases.last_mut() {
            phase.ack.merge(ack);
            phase.delivery.merge(delivery);
        }
        for (second, whole, said) in [
            (ack, &mut self.ack, &mut sample.ack),
            (delivery, &mut self.delivery, &mut sample.delivery),
            (lag, &mut self.lag, &mut sample.lag),
            (generator, &mut self.generator, &mut sample.generator),
            (connect, &mut self.connect, &mut sample.connect),
            (login, &mut self.login, &mut sample.login),
        ] {
            *said = second.pour_into(whole);
        }
        let several = self.kinds.len() > 1;
        for OfKind { ack, delivery, name, now, .. } in &mut self.kinds {
            let [now_ack, now_delivery] = now;
            let said = RoomSample {
                ack: now_ack.pour_into(ack),
                delivery: now_delivery.pour_into(delivery),
            };
            if several {
                sample.rooms.insert(name.clone(), said);
            }
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::RoomIx;

    #[test]
    fn percentiles_of_a_known_set_are_known() {
        let mut latency = Latency::new();
        for ms in 1..=1_000 {
            latency.record(Duration::from_millis(ms));
        }
        let said = latency.percentiles();
        let close =
            |is: f64, wanted: f64| assert!((is / wanted - 1.0).abs() < 0.002, "{is} {wanted}");
        close(said.p50_ms, 500.0);
        close(said.p90_ms, 900.0);
        close(said.p99_ms, 990.0);
        close(said.p999_ms, 999.0);
        close(said.max_ms, 1_000.0);
        assert_eq!(said.count, 1_000);
    }

    #[test]
    fn seconds_are_merged_and_not_averaged() {
        let mut recorder = Recorder::new(&["room".into()]);
        let receipt = |first| Receipt {
            room: RoomIx(0),
            intended: Nanos(0),
            first,
            median: false,
            live: true,
        };
        // A second of 900 quick ones and a second of 100 slow ones.
        for _ in 0..900 {
            recorder.delivered(0, &receipt(false), Nanos(1_000_000));
        }
        let quick = recorder.end_second();
        for _ in 0..100 {
            recorder.delivered(0, &receipt(true), Nanos(100_000_000));
        }
        let slow = recorder.end_second();
        assert!(quick.delivery.p99_ms < 1.1 && slow.delivery.p50_ms > 99.0);
        let whole = recorder.delivery.percentiles();
        assert!(whole.p50_ms < 1.1 && whole.p99_ms > 99.0);
        assert_eq!((whole.count, recorder.first.count()), (1_000, 100));
        assert_eq!(recorder.kinds[0].delivery.percentiles(), whole);
    }

    #[test]
    fn a_latency_is_from_the_intended_time() {
        let mut recorder = Recorder::new(&["room".into()]);
        recorder.sent(Nanos(1_000_000), Nanos(51_000_000));
        recorder.acked((SendIx(0), 0), Nanos(1_000_000), Nanos(52_000_000), true);
        let sample = recorder.end_second();
        assert!(sample.ack.p50_ms > 50.0, "waiting to be sent counts");
        assert!(sample.lag.p50_ms > 49.0);
        assert_eq!((sample.sent, sample.acked), (1, 1));
    }

    #[test]
    fn what_a_send_waited_here_is_recorded_with_its_ack_and_of_no_other() {
        let mut recorder = Recorder::new(&["room".into()]);
        let ms = |ms: u64| Nanos(ms * 1_000_000);
        // Four are handed over after 10 to 40 ms. One is acked, one is that of who was away, two have no ack yet.
        for send in 0..4 {
            recorder.waits.handed(SendIx(send), Duration::from_millis(10 + u64::from(send) * 10));
        }
        recorder.acked((SendIx(1), 0), ms(0), ms(100), true);
        recorder.acked((SendIx(2), 0), ms(0), ms(900), false);
        for sends in [4, 6, 9] {
            recorder.looked(sends);
        }
        let sample = recorder.end_second();
        assert_eq!((sample.ack.count, sample.generator.count), (1, 1));
        assert!((sample.generator.mean_ms / 20.0 - 1.0).abs() < 0.002, "{:?}", sample.generator);
        assert!((sample.in_generator - 7.0 / 3.0).abs() < 1e-9, "none, two and five");
        assert_eq!(recorder.generator.count(), 1);
        let next = recorder.end_second();
        assert_eq!((next.generator.count, next.in_generator), (0, 0.0), "of its second alone");
    }

    #[test]
    fn a_send_that_follows_another_has_no_lag() {
        let mut recorder = Recorder::new(&["room".into()]);
        recorder.followed();
        let sample = recorder.end_second();
        assert_eq!((sample.intended, sample.sent, sample.lag.count), (1, 1, 0));
        assert_eq!(recorder.lag.count(), 0);
    }

    #[test]
    fn nothing_recorded_is_zeros() {
        assert_eq!(Latency::new().percentiles(), Percentiles::default());
    }
}
