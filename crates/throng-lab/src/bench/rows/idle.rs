//! What a connection costs that says nothing: ten thousand of them, authenticated, one room each.
//!
//! Neighbours: `scene` connects them. The kernel's part of a socket is not in this figure.

use std::io;
use std::time::Duration;

use serde_json::json;

use super::fanout::address_limit;
use super::{Bench, Outcome};
use crate::bench::scene::Scene;

const CONNECTIONS: usize = 10_000;

pub fn run(bench: &mut Bench) -> io::Result<Outcome> {
    let connections = if bench.options.quick { CONNECTIONS / 10 } else { CONNECTIONS };
    // A room of one's own costs the most: the room is counted too.
    let own = each(bench, connections, connections, 1)?;
    let shared = each(bench, connections, connections / 100, 100)?;
    let one = each(bench, connections, 1, connections)?;
    let measured = format!(
        "{own:.2} KiB each in a room of one's own (the room counted), {shared:.2} KiB in rooms of \
         100, {one:.2} KiB all in one room"
    );
    let json = json!({ "connections": connections, "own_kib": own, "hundred_kib": shared, "one_kib": one });
    let reached = own.max(shared).max(one) <= 5.0;
    Ok(Outcome { measured, reached: Some(reached), notes: Vec::new(), json })
}

/// KiB of the server's memory for each connection.
fn each(bench: &mut Bench, connections: usize, rooms: usize, members: usize) -> io::Result<f64> {
    let data = bench.fresh_folder("idle")?;
    let settings = address_limit(connections);
    let tokens = bench.programs.users(&data, "u", connections)?;
    let process = bench.serve(&data, &settings)?;
    Scene::nobody(bench.options.form)?.rest(Duration::from_secs(2))?;
    let before = process.memory_bytes()?;
    let mut scene = Scene::open(process.address, bench.options.form, &tokens, rooms, members)?;
    // What the joins left behind is freed or folded by now, or it stays.
    scene.rest(Duration::from_secs(10))?;
    let after = process.memory_bytes()?;
    drop(scene);
    process.stop()?;
    std::fs::remove_dir_all(&data)?;
    Ok((after.saturating_sub(before)) as f64 / 1024.0 / connections as f64)
}
