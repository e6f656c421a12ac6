//! A thousand rooms of two on a worn folder: the throughput row. Every delivery is checked, and one
//! send in a hundred repeats a post of long ago, whose first ack must come again.
//!
//! Neighbours: `worn` has the folder and says who posts what where; `window` takes the marks.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::worn::{self, SETTINGS, Worn};
use super::{Bench, Outcome, quantiles_ms};
use crate::bench::book::Faults;
use crate::bench::load::{self, Plan};
use crate::bench::pairs::BODY_BYTES;
use crate::bench::text::{Text, mix};
use crate::bench::window::Window;
use crate::floor::{self, FsyncTimes, Stalls};

/// One in a hundred is heard by nobody: so many make 50,000 sends and 100,000 deliveries a second.
const SENDS_PER_SECOND: f64 = 50_600.0;
const POSTS_BEFORE: u64 = 3_000_000;
const REPEAT_EVERY: u64 = 100;

#[derive(Debug, Serialize)]
struct Run {
    sends_per_second: f64,
    deliveries_per_second: f64,
    cores: f64,
    cpu_us_per_send: f64,
    ack_ms: [f64; 2],
    delivery_ms: [f64; 2],
    generator_late_ms: [f64; 2],
    frames_per_write: f64,
    turns_per_sync: f64,
    fold_lag_seconds: f64,
    fsync_before: FsyncTimes,
    fsync_after: FsyncTimes,
    stalls_before: Stalls,
    stalls_after: Stalls,
    faults: Faults,
    refusals: std::collections::BTreeMap<String, u64>,
    threads: Vec<(String, f64)>,
}

pub fn run(bench: &mut Bench) -> io::Result<Outcome> {
    let run = measure(bench)?;
    let faultless = !run.faults.any();
    let measured = format!(
        "{:.0} sends/s and {:.0} deliveries/s; ack p50 {:.2} p99 {:.2} ms, delivery p50 {:.2} p99 \
         {:.2} ms; {:.2} cores, {:.1} µs CPU a send; {:.1} frames a write, {:.2} turns a sync; fold \
         {:.1} s behind at the end; generator late p50 {:.2} p99 {:.2} ms; fsync p50 {:.0} p99 \
         {:.0} µs before, {:.0} and {:.0} after; cores away {} before and {} after; {}",
        run.sends_per_second,
        run.deliveries_per_second,
        run.ack_ms[0],
        run.ack_ms[1],
        run.delivery_ms[0],
        run.delivery_ms[1],
        run.cores,
        run.cpu_us_per_send,
        run.frames_per_write,
        run.turns_per_sync,
        run.fold_lag_seconds,
        run.generator_late_ms[0],
        run.generator_late_ms[1],
        run.fsync_before.p50_us,
        run.fsync_before.p99_us,
        run.fsync_after.p50_us,
        run.fsync_after.p99_us,
        run.stalls_before,
        run.stalls_after,
        if faultless { "no faults".into() } else { format!("{:?} {:?}", run.faults, run.refusals) },
    );
    let void = run.fsync_before.differs_threefold(&run.fsync_after);
    let sync_ms = run.fsync_before.p99_us.max(run.fsync_after.p99_us) / 1e3;
    let reached = run.sends_per_second >= 50_000.0
        && run.deliveries_per_second >= 100_000.0
        && run.ack_ms[1] <= 20.0 + sync_ms
        && run.fold_lag_seconds <= 3.0
        && faultless;
    let mut notes = vec![super::thread_shares(&run.threads)];
    if void {
        notes.push("void: the disk was another one afterwards".into());
    }
    let json = serde_json::to_value(&run).map_err(io::Error::other)?;
    Ok(Outcome { measured, reached: (!void).then_some(reached), notes, json })
}

fn measure(bench: &mut Bench) -> io::Result<Run> {
    let posts = if bench.options.quick { POSTS_BEFORE / 30 } else { POSTS_BEFORE };
    let worn = Worn::of(bench, posts)?;
    let data = bench.fresh_folder("pairs")?;
    worn.copy(&data)?;
    let fsync_before = floor::probe_fsync(&bench.scratch, bench.probe_time())?;
    let stalls_before = floor::probe_stalls(bench.probe_time())?;
    let process = bench.serve(&data, &SETTINGS.map(str::to_owned))?;
    let mut scene = worn::scene(bench, process.address, &worn.tokens, Some(&worn.rooms))?;
    let text = Text::new(BODY_BYTES);
    let mut book = worn::book(bench, &scene, &text);
    book.firsts = worn.firsts;
    let plan = Plan {
        sends_per_second: SENDS_PER_SECOND,
        warmup: bench.warmup(),
        window: Duration::from_secs(if bench.options.quick { 5 } else { 120 }),
        settle: Duration::from_secs(10),
        unacked_max: None,
    };
    let mut choose = |sent: u64| {
        let repeat = sent % REPEAT_EVERY == REPEAT_EVERY - 1;
        let number = if repeat { mix(sent) % posts } else { posts + sent };
        worn::post(number, &worn.rooms, repeat)
    };
    let mut window = Window::of(&process);
    let mut mark = |_| window.mark();
    let (marks, late) =
        load::run(&mut scene.crowd, &mut book, &text, &plan, &mut choose, &mut mark)?;
    book.close();
    let fsync_after = floor::probe_fsync(&bench.scratch, bench.probe_time())?;
    let seen = window.close()?;
    drop(scene);
    process.stop()?;
    let stalls_after = floor::probe_stalls(bench.probe_time())?;
    std::fs::remove_dir_all(&data)?;
    let cpu = seen.cpu as f64;
    Ok(Run {
        sends_per_second: marks.acked as f64 / marks.seconds,
        deliveries_per_second: marks.delivered as f64 / marks.seconds,
        cores: cpu / 1e9 / marks.seconds,
        cpu_us_per_send: cpu / 1e3 / marks.acked as f64,
        ack_ms: quantiles_ms(&book.acks),
        delivery_ms: quantiles_ms(&book.deliveries),
        generator_late_ms: quantiles_ms(&late),
        frames_per_write: seen.ratio("throng_frames_written_total", "throng_writes_total")?,
        turns_per_sync: seen.ratio("throng_turns_total", "throng_fsyncs_total")?,
        fold_lag_seconds: seen.last("throng_fold_lag_millis")? / 1e3,
        fsync_before,
        fsync_after,
        stalls_before,
        stalls_after,
        faults: book.faults,
        refusals: book.refusals,
        threads: seen.threads,
    })
}
