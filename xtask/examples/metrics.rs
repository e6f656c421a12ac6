//! What the metrics cost: one message's clock readings, observations and counts, done as often as a
//! message in a turn of its own does them, with nothing else between.
//!
//! ```text
//! cargo run --release -p xtask --features measure --example metrics -- [MEMBERS]
//! ```
//!
//! A turn of many messages shares all but the first three observations. Divide by the CPU of a send
//! or a delivery that the bench prints for the same room.
#![expect(clippy::print_stdout, reason = "a measurement speaks to the one who runs it")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use throng_server::clock::Clock;
use throng_server::operations::histogram::{Histogram, Tally};
use throng_server::operations::metrics::{Metrics, Stage};
use throng_server::operations::posts::{Arrival, Path, TurnTimes};

const ROUNDS: u32 = 1_000_000;
/// Stages that one message passes, alone in its turn.
const STAGES: [Stage; 7] = [
    Stage::Decode,
    Stage::Authorize,
    Stage::Queue,
    Stage::Decide,
    Stage::Commit,
    Stage::Fanout,
    Stage::Write,
];
/// Readings of the clock on its way, those that the gathering needs included.
const CLOCK_READINGS: u32 = 14;

fn main() {
    let members: u64 = std::env::args().nth(1).map_or(100, |n| n.parse().expect("a number"));
    let clock = Clock::system();
    let metrics = Metrics::new();
    let mut tally = Tally::default();
    let shared = Histogram::new(1.0);
    let (mut path, came, passed) = (Path::default(), Arrival::default(), TurnTimes::default());

    let reading = each(ROUNDS, || {
        black_box(clock.now());
    });
    let alone = each(ROUNDS, || {
        for stage in STAGES {
            metrics.stages.observe(stage, black_box(Duration::from_micros(120)));
        }
        metrics.turn_size.observe(black_box(1));
        metrics.fsync.observe(black_box(100));
        for count in [&metrics.sends, &metrics.turns, &metrics.fsyncs, &metrics.reads] {
            count.inc();
        }
        metrics.requests.inc();
        metrics.log_bytes.inc_by(black_box(300));
        metrics.deliveries.inc_by(black_box(members));
        metrics.writes.inc_by(black_box(members));
        metrics.frames_written.inc_by(black_box(members));
        metrics.bytes_written.inc_by(black_box(members * 250));
        shared.add(&mut tally);
        path.told(black_box(came), black_box(passed));
        path.written(black_box(1), came.queued);
        path.over(came.queued, &metrics.posts);
    });
    let write = each(ROUNDS, || tally.observe(black_box(1)));

    let message = f64::from(CLOCK_READINGS) * reading + alone;
    let total = message + members as f64 * write;
    println!(
        "clock reading {reading:.1} ns; the counts of one message alone in its turn {alone:.0} ns"
    );
    println!("tally of one write {write:.1} ns");
    println!(
        "a message to {members} members, alone in its turn: {:.2} µs, {:.1} ns a delivery",
        total / 1e3,
        total / members as f64
    );
}

/// Mean nanoseconds of one call.
fn each(rounds: u32, mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..rounds {
        call();
    }
    began.elapsed().as_nanos() as f64 / f64::from(rounds)
}
