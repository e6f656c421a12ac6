//! Ten thousand in one room, and whether another room feels it.
//!
//! Neighbours: `load` runs twice: the other room alone, then both. The other room's clients are a
//! thread of their own, since behind ten thousand sockets of one thread they would wait for us.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use throng_wire::native::Form;

use super::fanout::address_limit;
use super::{Bench, Outcome, quantiles_ms};
use crate::bench::book::{Book, Faults};
use crate::bench::load::{self, Next, Plan};
use crate::bench::pairs::BODY_BYTES;
use crate::bench::scene::Scene;
use crate::bench::text::Text;
use crate::floor;

const MEMBERS: usize = 10_000;
const SENDS_PER_SECOND: f64 = 5.0;
const OTHER_MEMBERS: usize = 10;
const OTHER_SENDS_PER_SECOND: f64 = 50.0;

pub fn run(bench: &mut Bench) -> io::Result<Outcome> {
    let (members, seconds) = if bench.options.quick { (1_000, 4) } else { (MEMBERS, 60) };
    let data = bench.fresh_folder("lobby")?;
    let settings = address_limit(members + OTHER_MEMBERS);
    let fsync_before = bench.probe_disk()?;
    let stalls = floor::probe_stalls(bench.probe_time())?;
    let tokens = bench.programs.users(&data, "u", members)?;
    let others = bench.programs.users(&data, "o", OTHER_MEMBERS)?;
    let process = bench.serve(&data, &settings)?;
    let form = bench.options.form;
    let mut lobby = Scene::open(process.address, form, &tokens, 1, members)?;
    let window = Duration::from_secs(seconds);
    let other = other_room(process.address, form, others.clone(), "alone", window);
    lobby.rest(window + Duration::from_secs(2))?;
    let alone = joined(other)?;
    let other = other_room(process.address, form, others, "beside", window);
    let text = Text::new(BODY_BYTES);
    let mut book = Book::new(form, text.clone());
    let (room, links) = lobby.rooms[0].clone();
    for &link in &links {
        book.joins(link, room);
    }
    let plan = plan(SENDS_PER_SECOND, window);
    // A stride, so that the speakers are all over the room.
    let mut choose = |sent: u64| {
        let link = links[sent as usize * 37 % links.len()];
        Next { link, room, number: sent, repeat: false }
    };
    let before = process.cpu_nanos()?;
    let (marks, late) =
        load::run(&mut lobby.crowd, &mut book, &text, &plan, &mut choose, &mut |_| Ok(()))?;
    let cpu = process.cpu_nanos()? - before;
    book.close();
    let beside = joined(other)?;
    drop(lobby);
    process.stop()?;
    let fsync_after = bench.probe_disk()?;
    std::fs::remove_dir_all(&data)?;
    let [last, all, late] = [&book.last_deliveries, &book.deliveries, &late].map(quantiles_ms);
    let ratio = beside.delivery[1] / alone.delivery[1];
    let faults = book.faults.and(alone.faults).and(beside.faults);
    let measured = format!(
        "last recipient p50 {:.0} p99 {:.0} ms, all p50 {:.0} p99 {:.0} ms; {:.0} deliveries/s, {:.2} \
         µs CPU a delivery; another room's p99 {:.2} ms beside, {:.2} ms alone ({ratio:.2}×), p50 \
         {:.2} and {:.2} ms; generator late p50 {:.2} p99 {:.2} ms; cores away \
         {stalls} before; {}",
        last[0],
        last[1],
        all[0],
        all[1],
        marks.delivered as f64 / marks.seconds,
        cpu as f64 / 1e3 / book.delivered.max(1) as f64,
        beside.delivery[1],
        alone.delivery[1],
        beside.delivery[0],
        alone.delivery[0],
        late[0],
        late[1],
        if faults.any() { format!("{faults:?}") } else { "no faults".into() },
    );
    let json = json!({
        "last_recipient_ms": last, "delivery_ms": all, "other_alone_ms": alone.delivery,
        "other_beside_ms": beside.delivery, "generator_late_ms": late, "stalls_before": stalls, "faults": faults,
    });
    let reached = last[1] <= 300.0 && ratio <= 1.5 && !faults.any();
    let outcome = Outcome { measured, reached: Some(reached), notes: Vec::new(), json };
    Ok(outcome.on_disk(fsync_before, fsync_after))
}

fn plan(sends_per_second: f64, window: Duration) -> Plan {
    let warmup = Duration::from_secs(1);
    let settle = Duration::from_secs(10);
    Plan { sends_per_second, warmup, window, settle, unacked_max: None }
}

struct Other {
    delivery: [f64; 2],
    faults: Faults,
}

/// The other room's load, on a thread of its own.
fn other_room(
    to: SocketAddr,
    form: Form,
    tokens: Vec<String>,
    name: &'static str,
    window: Duration,
) -> std::thread::JoinHandle<io::Result<Other>> {
    std::thread::spawn(move || {
        let mut scene = Scene::enter_room(to, form, &tokens, name)?;
        let text = Text::new(BODY_BYTES);
        let mut book = Book::new(form, text.clone());
        let (room, links) = scene.rooms[0].clone();
        for &link in &links {
            book.joins(link, room);
        }
        let plan = plan(OTHER_SENDS_PER_SECOND, window);
        let mut choose = |sent: u64| {
            let link = links[sent as usize % links.len()];
            Next { link, room, number: sent, repeat: false }
        };
        load::run(&mut scene.crowd, &mut book, &text, &plan, &mut choose, &mut |_| Ok(()))?;
        book.close();
        Ok(Other { delivery: quantiles_ms(&book.deliveries), faults: book.faults })
    })
}

fn joined(other: std::thread::JoinHandle<io::Result<Other>>) -> io::Result<Other> {
    other.join().map_err(|_| io::Error::other("the other room's thread panicked"))?
}
