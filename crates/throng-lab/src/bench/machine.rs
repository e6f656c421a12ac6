//! `throng lab floor`: what this machine could do if the server cost nothing, in a minute and in
//! plain words.
//!
//! Neighbours: the same floor and the same clients as in the table.

use std::io;

use super::pairs::{self, FloorPlan, FloorRun, Shape};
use super::rows::Bench;
use crate::floor;

/// Sizes of a 200-byte post as an event and its ack, in JSON.
const EVENT_BYTES: usize = 390;
const ACK_BYTES: usize = 100;
/// The same post in a log.
const RECORD_BYTES: usize = 260;

/// Measures and tells.
pub fn report(bench: &mut Bench) -> io::Result<()> {
    let _spinners = bench.programs.spinners()?;
    bench
        .say("What this machine can do by itself: a bare program with one thread, no server.\n")?;
    let fsync = floor::probe_fsync(&bench.scratch, bench.probe_time())?;
    bench.say(&format!(
        "Disk: an append and its sync take {:.2} ms, one in a hundred {:.2} ms or more. No durable \
         ack can be faster.",
        fsync.p50_us / 1e3,
        fsync.p99_us / 1e3
    ))?;
    for (members, sends_per_second) in [(100, 1_000.0), (1_000, 100.0)] {
        for frames_per_write in [1.0, 16.0] {
            let shape = Shape { rooms: 1, members, sends_per_second };
            let run = pairs::floor_run(bench, shape, &plan(frames_per_write, 1.0), false)?;
            bench.say(&sentence(members, frames_per_write, &run))?;
        }
    }
    let shape = Shape { rooms: 1, members: 100, sends_per_second: 400.0 };
    let durable = pairs::floor_run(bench, shape, &plan(1.0, 1.0), true)?;
    let bare = pairs::floor_run(bench, shape, &plan(1.0, 1.0), false)?;
    bench.say(&format!(
        "Durable, 400 sends/s to 100: {:.2} µs a delivery, of which {:.2} are the append and sync of \
         every send.",
        durable.cpu_us_per_delivery,
        (durable.cpu_us_per_delivery - bare.cpu_us_per_delivery).max(0.0)
    ))?;
    let stalls = floor::probe_stalls(bench.probe_time())?;
    bench.say(&format!(
        "Stillness: some core was away for {stalls} of a second in which nothing else ran. No p99 can \
         be better than that."
    ))?;
    bench.say("\n`cargo xtask bench` compares the server with this.")
}

fn plan(frames_per_write: f64, sends_per_sync: f64) -> FloorPlan {
    FloorPlan {
        frames_per_write,
        sends_per_sync,
        event_bytes: EVENT_BYTES,
        ack_bytes: ACK_BYTES,
        record_bytes: RECORD_BYTES,
    }
}

fn sentence(members: usize, frames_per_write: f64, run: &FloorRun) -> String {
    format!(
        "Telling {members} members, {frames_per_write:.0} frames a write: {:.2} µs of CPU a delivery, \
         so {:.0} thousand deliveries a second from one core.",
        run.cpu_us_per_delivery,
        1e3 / run.cpu_us_per_delivery
    )
}
