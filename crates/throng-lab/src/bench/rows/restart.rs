//! How soon a server on ten million posts says "durable" again: after it was stopped, and after it
//! was killed under load.
//!
//! Neighbours: `worn` has the folder.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use throng_wire::native::v1::{self, client_frame::Request, reply::Outcome as Reply};

use super::worn::{self, SETTINGS, Worn};
use super::{Bench, Outcome};
use crate::bench::load::{self, Plan};
use crate::bench::pairs::BODY_BYTES;
use crate::bench::process::Process;
use crate::bench::scene::Scene;
use crate::bench::table;
use crate::bench::text::Text;
use crate::clock::now;

const POSTS: u64 = 10_000_000;
const TIMES: usize = 3;
/// Load before it is killed.
const SENDS_PER_SECOND: f64 = 20_000.0;

pub fn run(bench: &mut Bench) -> io::Result<Outcome> {
    let posts = if bench.options.quick { POSTS / 100 } else { POSTS };
    let worn = Worn::of(bench, posts)?;
    let data = bench.fresh_folder("restart")?;
    worn.copy(&data)?;
    let fsync_before = bench.probe_disk()?;
    let mut stopped = Vec::new();
    let mut killed = Vec::new();
    for time in 0..TIMES {
        let (process, millis) = first_ack(bench, &data, &worn)?;
        stopped.push(millis);
        load_it(bench, &process, &worn, posts + 1_000_000 * (time as u64 + 1))?;
        // Dropped without a word: SIGKILL.
        drop(process);
        let (process, millis) = first_ack(bench, &data, &worn)?;
        killed.push(millis);
        process.stop()?;
    }
    let fsync_after = bench.probe_disk()?;
    std::fs::remove_dir_all(&data)?;
    let worst = stopped.iter().chain(&killed).copied().fold(0.0, f64::max);
    let measured = format!(
        "{} ms after a stop, {} ms after a kill under {SENDS_PER_SECOND:.0} sends/s",
        table::median_range(&stopped, |x| *x),
        table::median_range(&killed, |x| *x),
    );
    let json = json!({ "posts": posts, "stopped_ms": stopped, "killed_ms": killed });
    let reached = Some(worst <= 2_000.0);
    let outcome = Outcome { measured, reached, notes: Vec::new(), json };
    Ok(outcome.on_disk(fsync_before, fsync_after))
}

/// Starts the server; milliseconds from then to the first durable ack.
fn first_ack(bench: &mut Bench, data: &Path, worn: &Worn) -> io::Result<(Process, f64)> {
    let start = now().0;
    let process = bench.serve(data, &SETTINGS.map(str::to_owned))?;
    let mut scene = Scene::nobody(bench.options.form)?;
    let links = scene.enter(process.address, &worn.tokens[..1])?;
    let post = v1::Post {
        room: worn.rooms[0],
        body: "I am back".into(),
        origin_id: format!("back-{start}"),
        ack: 0,
        ..v1::Post::default()
    };
    let answers = scene.crowd.ask_all([(links[0], Request::Post(post))], 1)?;
    let millis = (now().0 - start) as f64 / 1e6;
    match answers.first() {
        Some(Reply::Posted(_)) => Ok((process, millis)),
        other => Err(io::Error::other(format!("not an ack: {other:?}"))),
    }
}

fn load_it(bench: &Bench, process: &Process, worn: &Worn, from: u64) -> io::Result<()> {
    let mut scene = worn::scene(bench, process.address, &worn.tokens, Some(&worn.rooms))?;
    let text = Text::new(BODY_BYTES);
    let mut book = worn::book(bench, &scene, &text);
    let plan = Plan {
        sends_per_second: SENDS_PER_SECOND,
        warmup: Duration::ZERO,
        window: Duration::from_secs(5),
        settle: Duration::ZERO,
        unacked_max: None,
    };
    let mut choose = |sent: u64| worn::post(from + sent, &worn.rooms, false);
    load::run(&mut scene.crowd, &mut book, &text, &plan, &mut choose, &mut |_| Ok(()))?;
    Ok(())
}
