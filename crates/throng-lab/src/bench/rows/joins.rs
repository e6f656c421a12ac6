//! What a join costs in a large room and in a small one: join, a page of fifty, leave.
//!
//! Neighbours: both rooms live on one server with all their members connected, and are measured in
//! turn, so that only the size of the room joined differs.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::Events;
use serde_json::json;
use throng_wire::native::Form;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, client_frame::Request, reply::Outcome as Reply};

use super::fanout::address_limit;
use super::{Bench, Outcome, quantiles_ms};
use crate::bench::crowd::{Crowd, Hears, decode};
use crate::bench::pairs::BODY_BYTES;
use crate::bench::scene::{Scene, WINDOW, join};
use crate::bench::syncs::{self, Syncs};
use crate::bench::table::{median, median_range};
use crate::bench::text::Text;
use crate::clock::now;

const LARGE: usize = 10_000;
const SMALL: usize = 10;
const JOINERS: usize = 200;
const JOINS_PER_SECOND: f64 = 1_000.0;
const LINES: usize = 60;
const PAGE: u32 = 50;
/// Large and small in turn.
const TURNS: usize = 5;

pub fn run(bench: &mut Bench) -> io::Result<Outcome> {
    let large = if bench.options.quick { LARGE / 10 } else { LARGE };
    let data = bench.fresh_folder("joins")?;
    let fsync_before = bench.probe_disk()?;
    let settings = address_limit(large + SMALL + JOINERS);
    let tokens = bench.programs.users(&data, "u", large)?;
    let small_tokens = bench.programs.users(&data, "s", SMALL)?;
    let joiner_tokens = bench.programs.users(&data, "j", JOINERS)?;
    let process = bench.serve(&data, &settings)?;
    let form = bench.options.form;
    let mut big = Scene::open(process.address, form, &tokens, 1, large)?;
    // The small room's members hear every join, so they are read with the joiners.
    let mut small = Scene::enter_room(process.address, form, &small_tokens, "small")?;
    for scene in [&mut big, &mut small] {
        speak(scene)?;
    }
    let joiners = small.enter(process.address, &joiner_tokens)?;
    let mut runs = [Vec::new(), Vec::new()];
    let mut took = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds are right");
    let turns = if bench.options.quick { 1 } else { TURNS };
    for _ in 0..turns {
        for (which, room) in [big.rooms[0].0, small.rooms[0].0].into_iter().enumerate() {
            let window = Duration::from_secs(if bench.options.quick { 2 } else { 8 });
            let before = process.cpu_nanos()?;
            let synced = Syncs::read(process.address).unwrap_or_default();
            let joins = cycle(&mut small.crowd, &joiners, form, room, window, &mut took).map_err(
                |error| {
                    let disk = syncs::since(&synced, process.address);
                    io::Error::other(format!("{error}; the server: {disk}"))
                },
            )?;
            let cpu = process.cpu_nanos()? - before;
            let Cycled { joins, in_time } = joins;
            runs[which]
                .push((cpu as f64 / 1e3 / joins as f64, in_time as f64 / window.as_secs_f64()));
            // Pings of the large room's members are answered; nothing else is told them.
            big.rest(Duration::from_millis(300))?;
        }
    }
    drop((big, small));
    process.stop()?;
    let fsync_after = bench.probe_disk()?;
    std::fs::remove_dir_all(&data)?;
    let ratio = median(&runs[0], |run| run.0) / median(&runs[1], |run| run.0);
    let rate = median(&runs[0], |run| run.1);
    let took = quantiles_ms(&took);
    let measured = format!(
        "{ratio:.2}×: {} µs CPU a join, page and leave in a room of {large}, {} µs in one of {SMALL}; \
         {rate:.0} joins/s; join to leave p50 {:.2} p99 {:.2} ms",
        median_range(&runs[0], |run| run.0),
        median_range(&runs[1], |run| run.0),
        took[0],
        took[1],
    );
    let json = json!({ "large": runs[0], "small": runs[1], "ratio": ratio, "took_ms": took });
    let reached = ratio <= 1.2 && rate >= 0.99 * JOINS_PER_SECOND;
    let outcome = Outcome { measured, reached: Some(reached), notes: Vec::new(), json };
    Ok(outcome.on_disk(fsync_before, fsync_after))
}

/// Lines for the page, each from another member.
fn speak(scene: &mut Scene) -> io::Result<()> {
    let text = Text::new(BODY_BYTES);
    let (room, links) = scene.rooms[0].clone();
    let posts = (0..LINES).map(|number| {
        let post = v1::Post {
            room,
            body: text.body(number as u64, number),
            origin_id: Text::origin(number as u64),
            ack: 0,
            ..v1::Post::default()
        };
        (links[number % links.len()], Request::Post(post))
    });
    scene.crowd.ask_all(posts.collect::<Vec<_>>(), WINDOW)?;
    Ok(())
}

/// What a cycle came to.
#[derive(Clone, Copy, Debug)]
struct Cycled {
    /// Visits that were begun, all of which came to their leaving.
    joins: u64,
    /// Of them, those that did before the window was over.
    in_time: u64,
}

/// Joins at an even pace for so long, and waits until all of them have left again. `took` is from the intended
/// time.
fn cycle(
    crowd: &mut Crowd,
    joiners: &[usize],
    form: Form,
    room: u32,
    window: Duration,
    took: &mut Histogram<u64>,
) -> io::Result<Cycled> {
    let start = now().0 + 10_000_000;
    let end = start + window.as_nanos() as u64;
    let mut visits = Visits {
        form,
        room,
        free: joiners.iter().copied().collect(),
        at: vec![""; crowd.len()],
        since: vec![0; crowd.len()],
        next: Vec::new(),
        end,
        done: Cycled { joins: 0, in_time: 0 },
        refused: None,
        took,
    };
    let mut sent = 0_u64;
    let mut events = Events::with_capacity(512);
    loop {
        let at = now().0;
        let due = start + (sent as f64 * 1e9 / JOINS_PER_SECOND) as u64;
        if due < end
            && due <= at
            && let Some(link) = visits.free.pop_front()
        {
            visits.since[link] = due;
            visits.at[link] = "join";
            crowd.ask(link, join(room))?;
            sent += 1;
            continue;
        }
        let over = due >= end && visits.free.len() == joiners.len();
        if over {
            return Ok(visits.done);
        }
        if at > end + 20_000_000_000 {
            let waits: Vec<_> = joiners
                .iter()
                .filter(|link| !visits.free.contains(link))
                .map(|&link| (link, visits.at[link]))
                .collect();
            return Err(io::Error::other(format!("still waiting after 20 s: {waits:?}")));
        }
        crowd.wake_at(due.max(at + 50_000).min(at + 10_000_000))?;
        crowd.wait(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            crowd.ready(event.token(), event.is_writable(), &mut visits);
        }
        for (link, request) in std::mem::take(&mut visits.next) {
            crowd.ask(link, request)?;
        }
        if let Some(refused) = visits.refused.take() {
            return Err(io::Error::other(refused));
        }
    }
}

/// Who is where in join, page, leave.
struct Visits<'a> {
    form: Form,
    room: u32,
    /// Who waits for its turn, the longest first: each makes five visits a second.
    free: VecDeque<usize>,
    since: Vec<u64>,
    /// What each of them asked last.
    at: Vec<&'static str>,
    next: Vec<(usize, Request)>,
    /// When the window is over.
    end: u64,
    done: Cycled,
    refused: Option<String>,
    took: &'a mut Histogram<u64>,
}

impl Hears for Visits<'_> {
    fn frame(&mut self, link: usize, payload: &[u8], at: u64) {
        let frame = decode(self.form, payload).and_then(|frame| frame.frame);
        let Some(Frame::Reply(reply)) = frame else { return };
        let room = self.room;
        match reply.outcome {
            Some(Reply::Joined(_)) => {
                let page = v1::History { room, before: None, after: None, limit: PAGE };
                self.at[link] = "page";
                self.next.push((link, Request::History(page)));
            }
            Some(Reply::Page(page)) => {
                if page.events.len() != PAGE as usize {
                    self.refused = Some(format!("a page of {}, not {PAGE}", page.events.len()));
                }
                self.at[link] = "leave";
                self.next.push((link, Request::Leave(v1::Leave { room })));
            }
            Some(Reply::Left(_)) => {
                self.took.saturating_record(at.saturating_sub(self.since[link]));
                self.done.joins += 1;
                self.done.in_time += u64::from(at <= self.end);
                self.free.push_back(link);
            }
            Some(Reply::Rejected(rejected)) => {
                self.refused = Some(format!("{}: {}", rejected.name, rejected.text));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use throng_wire::native::json;

    use super::*;

    #[test]
    fn a_visit_that_ends_behind_the_window_is_no_join_of_its_rate() {
        let mut took = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).unwrap();
        let mut visits = Visits {
            form: Form::Json,
            room: 1,
            free: VecDeque::new(),
            since: vec![0; 3],
            at: vec!["leave"; 3],
            next: Vec::new(),
            end: 1_000,
            done: Cycled { joins: 0, in_time: 0 },
            refused: None,
            took: &mut took,
        };
        let left = v1::Left { room: 1, ..v1::Left::default() };
        let reply = v1::Reply { re: 1, outcome: Some(Reply::Left(left)) };
        let mut payload = Vec::new();
        json::encode_server(&v1::ServerFrame { frame: Some(Frame::Reply(reply)) }, &mut payload);
        for (link, at) in [(0, 999), (1, 1_000), (2, 1_001)] {
            visits.frame(link, &payload, at);
        }
        assert_eq!((visits.done.joins, visits.done.in_time), (3, 2));
        assert_eq!(visits.free, [0, 1, 2]);
    }
}
