//! A storm of logins beside a room that talks: does hashing get its share, are the rest refused at
//! once, and does the room notice?
//!
//! Neighbours: `load` is the room; the logins come by `POST /api/v1/sessions` from threads that each
//! take the next one due. `hash-alone` of this very program is argon2 without a server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use super::fanout::address_limit;
use super::{Bench, Outcome, quantiles_ms};
use crate::bench::book::{Book, Faults};
use crate::bench::load::{self, Next, Plan};
use crate::bench::pairs::BODY_BYTES;
use crate::bench::scene::Scene;
use crate::bench::text::Text;
use crate::clock::now;

const LOGINS_PER_SECOND: f64 = 500.0;
const ACCOUNTS: usize = 20;
const PASSWORD: &str = "correct horse battery";
/// More than the pool's queue holds, so that refusals never wait for a thread of ours.
const CLIENTS: usize = 128;
const MEMBERS: usize = 100;
const SENDS_PER_SECOND: f64 = 100.0;
/// How the threads of the server's pool are called, but for their numbers.
const HASHES: &str = "hash-";
/// Who is refused hears it within this.
const REFUSED_WITHIN_MS: f64 = 50.0;

pub fn run(bench: &mut Bench) -> io::Result<Outcome> {
    let window = Duration::from_secs(if bench.options.quick { 3 } else { 30 });
    let data = bench.fresh_folder("logins")?;
    let mut settings = address_limit(MEMBERS + CLIENTS);
    for key in ["logins_per_minute_address", "logins_per_minute_account"] {
        settings.push(format!("limits.{key}=1000000"));
    }
    let fsync_before = bench.probe_disk()?;
    let tokens = bench.programs.users(&data, "u", MEMBERS)?;
    let process = bench.serve(&data, &settings)?;
    let threads = process.cpu_by_thread()?;
    let threads = threads.keys().filter(|name| name.starts_with(HASHES)).count();
    let mut scene = Scene::open(process.address, bench.options.form, &tokens, 1, MEMBERS)?;
    register(process.address)?;
    let alone_before = bench.programs.hash_alone(threads, window / 3)?;
    let (quiet, faults) = chat(bench, &mut scene, 0, window)?;
    let to = process.address;
    let storm = std::thread::spawn(move || storm(to, window));
    let (loud, more) = chat(bench, &mut scene, 1_000_000, window)?;
    let storm = storm.join().map_err(|_| io::Error::other("the storm panicked"))??;
    let alone_after = bench.programs.hash_alone(threads, window / 3)?;
    drop(scene);
    process.stop()?;
    let fsync_after = bench.probe_disk()?;
    std::fs::remove_dir_all(&data)?;
    let faults = faults.and(more);
    let alone = f64::midpoint(alone_before, alone_after);
    let hashed = storm.sessions as f64 / window.as_secs_f64();
    let refused = quantiles_ms(&storm.refused);
    let slowest = storm.slowest_refusal_ms();
    let measured = format!(
        "{hashed:.1} logins/s, {:.2} of argon2 alone ({alone:.1}/s on {threads} threads: \
         {alone_before:.1} before, {alone_after:.1} after); {} refused within p50 {:.1} p99 {:.1} max \
         {slowest:.1} ms, {} other answers; chat p99 {:.2} ms beside, {:.2} ms without (p50 {:.2}, \
         {:.2})",
        hashed / alone,
        storm.refused.len(),
        refused[0],
        refused[1],
        storm.others,
        loud[1],
        quiet[1],
        loud[0],
        quiet[0],
    );
    let reached = storm.is_held(hashed / alone)
        && loud[1] <= (1.5 * quiet[1]).max(quiet[1] + 3.0)
        && !faults.any();
    let json = json!({
        "hashed_per_second": hashed, "alone_per_second": [alone_before, alone_after],
        "refused": storm.refused.len(), "refused_ms": refused, "refused_max_ms": slowest,
        "others": storm.others, "late_ms": quantiles_ms(&storm.late), "chat_ms": loud,
        "chat_without_ms": quiet, "faults": faults,
    });
    let outcome = Outcome { measured, reached: Some(reached), notes: Vec::new(), json };
    Ok(outcome.on_disk(fsync_before, fsync_after))
}

/// The room talks; delivery p50 and p99.
fn chat(
    bench: &Bench,
    scene: &mut Scene,
    first: u64,
    window: Duration,
) -> io::Result<([f64; 2], Faults)> {
    let text = Text::new(BODY_BYTES);
    let mut book = Book::new(bench.options.form, text.clone());
    let (room, links) = scene.rooms[0].clone();
    for &link in &links {
        book.joins(link, room);
    }
    let plan = Plan {
        sends_per_second: SENDS_PER_SECOND,
        warmup: Duration::ZERO,
        window,
        settle: Duration::from_secs(5),
        unacked_max: None,
    };
    let mut choose = |sent: u64| {
        let link = links[sent as usize % links.len()];
        Next { link, room, number: first + sent, repeat: false }
    };
    load::run(&mut scene.crowd, &mut book, &text, &plan, &mut choose, &mut |_| Ok(()))?;
    book.close();
    Ok((quantiles_ms(&book.deliveries), book.faults))
}

/// What came of the logins.
struct Storm {
    sessions: u64,
    refused: Histogram<u64>,
    late: Histogram<u64>,
    others: u64,
}

impl Storm {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1_000, 60_000_000_000, 3);
        let histogram = || histogram().expect("bounds are in order");
        Self { sessions: 0, refused: histogram(), late: histogram(), others: 0 }
    }

    fn slowest_refusal_ms(&self) -> f64 {
        self.refused.max() as f64 / 1e6
    }

    /// Hashing had its share of what it does alone, and all the others heard soon that they were refused.
    fn is_held(&self, share: f64) -> bool {
        share >= 0.9 && self.slowest_refusal_ms() <= REFUSED_WITHIN_MS && self.others == 0
    }
}

/// Offers logins at an even pace. Sessions count that were answered within the window.
fn storm(to: SocketAddr, window: Duration) -> io::Result<Storm> {
    let start = now().0 + 100_000_000;
    let end = start + window.as_nanos() as u64;
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let next = Arc::clone(&next);
            std::thread::spawn(move || client(to, &next, start, end))
        })
        .collect();
    let mut all = Storm::new();
    for client in clients {
        let part = client.join().map_err(|_| io::Error::other("a client panicked"))??;
        all.sessions += part.sessions;
        all.others += part.others;
        all.refused.add(&part.refused).map_err(io::Error::other)?;
        all.late.add(&part.late).map_err(io::Error::other)?;
    }
    Ok(all)
}

fn client(to: SocketAddr, next: &AtomicU64, start: u64, end: u64) -> io::Result<Storm> {
    let mut storm = Storm::new();
    let mut http = None;
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let due = start + (index as f64 * 1e9 / LOGINS_PER_SECOND) as u64;
        if due >= end {
            return Ok(storm);
        }
        let mut sent = now().0;
        while sent < due {
            std::thread::park_timeout(Duration::from_nanos(due - sent));
            sent = now().0;
        }
        storm.late.saturating_record(sent - due);
        let name = index as usize % ACCOUNTS;
        let once = post(&mut http, to, "/api/v1/sessions", name);
        // The server may close an idle connection at the moment we use it: once more on a new one.
        let status = once.or_else(|_| post(&mut http, to, "/api/v1/sessions", name))?;
        let at = now().0;
        match status {
            200 | 201 if at < end => storm.sessions += 1,
            200 | 201 => {}
            429 | 503 => storm.refused.saturating_record(at - due),
            _ => storm.others += 1,
        }
    }
}

fn register(to: SocketAddr) -> io::Result<()> {
    let mut http = None;
    for name in 0..ACCOUNTS {
        let status = post(&mut http, to, "/api/v1/accounts", name)?;
        if !(200..300).contains(&status) {
            return Err(io::Error::other(format!("no account was made: status {status}")));
        }
    }
    Ok(())
}

/// One request on a connection that is kept; the status.
fn post(
    http: &mut Option<BufReader<TcpStream>>,
    to: SocketAddr,
    path: &str,
    name: usize,
) -> io::Result<u16> {
    let mut reader = http.take().map_or_else(|| open(to), Ok)?;
    let body = format!("{{\"name\":\"login{name}\",\"password\":\"{PASSWORD}\"}}");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: \
         {}\r\n\r\n{body}",
        body.len()
    );
    reader.get_mut().write_all(head.as_bytes())?;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not a status: {line:?}")))?;
    let (mut length, mut close) = (0, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((key, value)) = line.trim().split_once(':') else { break };
        match key.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "connection" => close = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut rest = vec![0; length];
    reader.read_exact(&mut rest)?;
    if !close {
        *http = Some(reader);
    }
    Ok(status)
}

fn open(to: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_in_a_thousand_that_comes_too_late_is_a_storm_that_was_not_held() {
        let mut storm = Storm::new();
        for _ in 0..999 {
            storm.refused.record(2_000_000).unwrap();
        }
        assert!(storm.is_held(0.9) && !storm.is_held(0.89));
        storm.refused.record(60_000_000).unwrap();
        assert!(quantiles_ms(&storm.refused)[1] < REFUSED_WITHIN_MS);
        assert!(!storm.is_held(0.9));
    }
}
