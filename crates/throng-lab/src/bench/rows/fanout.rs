//! The rows that are compared with the floors: who hears what is said, at what CPU.
//!
//! Neighbours: `pairs` runs them; this file knows their shapes and what they must reach.

use std::io;

use super::{Bench, Outcome};
use crate::bench::pairs::{self, Pair, Shape};
use crate::bench::table::{median, median_range};

pub fn room_100(bench: &mut Bench) -> io::Result<Outcome> {
    let shape = Shape { rooms: 1, members: 100, sends_per_second: 400.0 };
    let settings = address_limit(100);
    let pairs = pairs::run(bench, shape, &settings)?;
    let fsync = median(&pairs, |pair| pair.server.fsync_before.p50_us / 1e3);
    let p50 = median(&pairs, |pair| pair.server.ack_ms[0].max(pair.server.delivery_ms[0]));
    judge(bench, &pairs, Bars { bare: 0.7, durable: 0.85 }, p50 <= fsync + 1.5)
}

pub fn room_1000(bench: &mut Bench) -> io::Result<Outcome> {
    let shape = Shape { rooms: 1, members: 1_000, sends_per_second: 100.0 };
    let settings = address_limit(1_000);
    let pairs = pairs::run(bench, shape, &settings)?;
    judge(bench, &pairs, Bars { bare: 0.8, durable: 0.0 }, true)
}

pub fn room_100_fast(bench: &mut Bench) -> io::Result<Outcome> {
    let shape = Shape { rooms: 1, members: 100, sends_per_second: 3_000.0 };
    let mut settings = address_limit(100);
    // Each member sends 30 a second, three times what one account may by default.
    settings.push("limits.sends_per_second=40".into());
    let pairs = pairs::run(bench, shape, &settings)?;
    let held = median(&pairs, |pair| pair.server.sends_per_second) >= 0.99 * 3_000.0;
    let gathered = median(&pairs, |pair| pair.server.frames_per_write) >= 3.0;
    let p99 = median(&pairs, |pair| pair.server.ack_ms[1].max(pair.server.delivery_ms[1])) <= 25.0;
    judge(bench, &pairs, Bars { bare: 0.55, durable: 0.85 }, held && gathered && p99)
}

pub fn rooms_20x50(bench: &mut Bench) -> io::Result<Outcome> {
    let shape = Shape { rooms: 20, members: 50, sends_per_second: 100.0 };
    let settings = address_limit(1_000);
    let pairs = pairs::run(bench, shape, &settings)?;
    judge(bench, &pairs, Bars { bare: 0.55, durable: 0.8 }, true)
}

/// `1x100@3000`: any shape against the floors, for whoever looks for the knee.
pub fn shape(bench: &mut Bench, text: &str) -> io::Result<serde_json::Value> {
    let wrong =
        || io::Error::other(format!("{text}: a shape is ROOMSxMEMBERS@SENDS, as 1x100@400"));
    let (rooms, rest) = text.split_once('x').ok_or_else(wrong)?;
    let (members, sends) = rest.split_once('@').ok_or_else(wrong)?;
    let shape = Shape {
        rooms: rooms.parse().map_err(|_| wrong())?,
        members: members.parse().map_err(|_| wrong())?,
        sends_per_second: sends.parse().map_err(|_| wrong())?,
    };
    let members = shape.rooms * shape.members;
    let mut settings = address_limit(members);
    let each = shape.sends_per_second / members as f64;
    if each > 9.0 {
        settings.push(format!("limits.sends_per_second={:.0}", each * 1.3));
    }
    let pairs = pairs::run(bench, shape, &settings)?;
    for pair in &pairs {
        bench.say(&format!("  {}", super::thread_shares(&pair.server.threads)))?;
    }
    serde_json::to_value(pairs).map_err(io::Error::other)
}

/// All clients come from one address here; the default allows it a hundred connections.
pub fn address_limit(connections: usize) -> Vec<String> {
    vec![format!("limits.connections_per_address={}", connections + 50)]
}

#[derive(Clone, Copy)]
struct Bars {
    bare: f64,
    durable: f64,
}

fn judge(bench: &Bench, pairs: &[Pair], bars: Bars, rest: bool) -> io::Result<Outcome> {
    let json = serde_json::to_value(pairs).map_err(io::Error::other)?;
    if pairs.len() < bench.options.pairs {
        let measured = format!("not measurable now ({} good pairs)", pairs.len());
        return Ok(Outcome { measured, reached: None, notes: Vec::new(), json });
    }
    let bare = median(pairs, Pair::of_bare);
    let durable = median(pairs, Pair::of_durable);
    let faultless = pairs.iter().all(|pair| !pair.server.faults.any());
    let of = |value: fn(&Pair) -> f64| median_range(pairs, value);
    let measured = format!(
        "{} of bare, {} of durable; {} µs CPU a delivery; {:.0} sends/s, {:.0} deliveries/s; {} \
         frames a write; ack p50 {:.2} p99 {:.2} ms, delivery p50 {:.2} p99 {:.2} ms; the bare \
         floor's ack, by the same clients, p50 {:.2} p99 {:.2} ms; fsync p50 {:.0} p99 {:.0} µs \
         before, {:.0} and {:.0} after{}",
        of(Pair::of_bare),
        of(Pair::of_durable),
        of(|pair| pair.server.cpu_us_per_delivery),
        median(pairs, |pair| pair.server.sends_per_second),
        median(pairs, |pair| pair.server.deliveries_per_second),
        of(|pair| pair.server.frames_per_write),
        median(pairs, |pair| pair.server.ack_ms[0]),
        median(pairs, |pair| pair.server.ack_ms[1]),
        median(pairs, |pair| pair.server.delivery_ms[0]),
        median(pairs, |pair| pair.server.delivery_ms[1]),
        median(pairs, |pair| pair.bare.ack_ms[0]),
        median(pairs, |pair| pair.bare.ack_ms[1]),
        median(pairs, |pair| pair.server.fsync_before.p50_us),
        median(pairs, |pair| pair.server.fsync_before.p99_us),
        median(pairs, |pair| pair.server.fsync_after.p50_us),
        median(pairs, |pair| pair.server.fsync_after.p99_us),
        if faultless { "" } else { "; FAULTS, see the pairs" },
    );
    let notes = vec![super::thread_shares(&pairs[0].server.threads)];
    let reached = bare >= bars.bare && durable >= bars.durable && rest && faultless;
    Ok(Outcome { measured, reached: Some(reached), notes, json })
}
