//! One pair: server, bare floor and durable floor side by side, and the same load to each of them in
//! turn, a second at a time. What a host gives a second later is nearly what it gave before; a minute
//! later it is not.
//!
//! Neighbours: `pairs` says what the work is and judges what came of it; `scene`, `load` and the
//! accounts do it; `floor::Hold` is how a floor is told what the server just did. Nothing here decides
//! whether a pair counts.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::book::{Book, histogram};
use super::load::{self, Account, Plan};
use super::pairs::{
    BODY_BYTES, FloorPlan, FloorRun, Pair, ServerRun, Shape, book_of, floor_process, in_turn,
    on_the_wire,
};
use super::process::{Metrics, Process, counters};
use super::rows::{Bench, quantiles_ms};
use super::scene::Scene;
use super::tally::Tally;
use super::text::Text;
use super::window::shares;
use crate::clock::now;
use crate::floor::{self, Hold};

/// Rounds of a pair that count, and how long each of the three is loaded in one.
const ROUNDS: usize = 10;
const ROUNDS_QUICK: usize = 4;
const SLICE: Duration = Duration::from_secs(1);
const SLICE_QUICK: Duration = Duration::from_millis(500);
/// What is still on its way when a slice's last send is out. A disk that stands still for a while, and this
/// one did for 20 s, is to be a latency and not the end of the pair.
const SETTLE: Duration = Duration::from_secs(30);
/// In which the server does what it has put off: its fold waits for 1.5 s, its index looks once a second.
const REST: Duration = Duration::from_secs(2);
/// It has done so within this.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Server,
    Bare,
    Durable,
}

/// The orders of a round, one round after the other: in six rounds each follows each of the others three
/// times. In the fourth, the seventh and the tenth the server goes first, so that what the floors are told in
/// the last round is all that it did.
const ORDERS: [[Turn; 3]; 6] = {
    use Turn::{Bare, Durable, Server};
    [
        [Server, Bare, Durable],
        [Bare, Durable, Server],
        [Durable, Server, Bare],
        [Server, Durable, Bare],
        [Durable, Bare, Server],
        [Bare, Server, Durable],
    ]
};

/// What one of the three did in its turn, from before its first send until all was told; or in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Slice {
    pub cpu_us: f64,
    pub cpu_us_per_delivery: f64,
    pub deliveries: u64,
    pub acked: u64,
    pub frames: f64,
    pub writes: f64,
    pub sends: f64,
    pub syncs: f64,
    pub seconds: f64,
}

impl Slice {
    fn sum<'a>(slices: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for slice in slices {
            sum.cpu_us += slice.cpu_us;
            sum.deliveries += slice.deliveries;
            sum.acked += slice.acked;
            sum.frames += slice.frames;
            sum.writes += slice.writes;
            sum.sends += slice.sends;
            sum.syncs += slice.syncs;
            sum.seconds += slice.seconds;
        }
        sum.cpu_us_per_delivery = sum.cpu_us / sum.deliveries.max(1) as f64;
        sum
    }
}

/// CPU a write in the even rounds, and in the odd ones.
fn halves(slices: &[Slice]) -> [f64; 2] {
    [0, 1].map(|first| {
        let sum = Slice::sum(slices.iter().skip(first).step_by(2));
        sum.cpu_us / sum.writes.max(1.0)
    })
}

/// How much of something a floor is asked to do for its work (writes a frame, syncs a send), so that in
/// the end it did as much of it as the server. It is held to what it did and not to what it was asked: posts that
/// it reads at once it syncs at once.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    did: f64,
    slices: u32,
}

impl Owed {
    /// In its next slice, when the server did so much in each of its slices up to now.
    fn next(&mut self, server: impl ExactSizeIterator<Item = f64>) -> f64 {
        let slices = server.len().max(1) as f64;
        let mean = (server.sum::<f64>() / slices).clamp(1e-3, 1.0);
        self.slices += 1;
        // What is too much for one slice stays owed.
        let owed = mean * f64::from(self.slices) - self.did;
        owed.clamp(mean / 4.0, (mean * 4.0).min(1.0))
    }
}

/// One process, its members and their account.
#[derive(Debug)]
struct Side<A> {
    name: &'static str,
    process: Process,
    scene: Scene,
    account: A,
    text: Text,
    /// How its counters of frames, writes, sends and syncs are called.
    counters: [&'static str; 4],
    /// All counters, as last seen.
    seen: Metrics,
    /// CPU that it needed to answer when asked for them, nanoseconds.
    answering: u64,
    /// So many sends so far: the number of the next one, since no two may have one `origin_id`.
    sent: u64,
    late: Histogram<u64>,
    /// Those that count.
    slices: Vec<Slice>,
    /// What a floor is asked for: writes a frame and syncs a send.
    owed: [Owed; 2],
}

impl<A: Account> Side<A> {
    fn new(name: &'static str, process: Process, scene: Scene, account: A, text: Text) -> Self {
        let counters = match name {
            "server" => [
                "throng_frames_written_total",
                "throng_writes_total",
                "throng_sends_total",
                "throng_fsyncs_total",
            ],
            _ => [
                "floor_frames_total",
                "floor_writes_total",
                "floor_posts_total",
                "floor_syncs_total",
            ],
        };
        Self {
            name,
            process,
            scene,
            account,
            text,
            counters,
            seen: Metrics::default(),
            answering: 0,
            sent: 0,
            late: histogram(),
            slices: Vec::new(),
            owed: [Owed::default(); 2],
        }
    }

    /// Asks for its counters; what the answer costs it is no part of the load.
    fn ask(&mut self, target: &str) -> io::Result<()> {
        let before = self.process.cpu_nanos()?;
        self.seen = counters(self.process.address, target)?;
        self.answering += self.process.cpu_nanos()?.saturating_sub(before);
        Ok(())
    }

    /// Loads it for so long and waits until all is told.
    fn slice(&mut self, plan: &Plan) -> io::Result<Slice> {
        let (acked, delivered) = self.account.counts();
        let (begun, cpu) = (now(), self.process.cpu_nanos()?);
        let (_, late) = load::run(
            &mut self.scene.crowd,
            &mut self.account,
            &self.text,
            plan,
            &mut in_turn(&self.scene.rooms, self.sent),
            &mut |_| Ok(()),
        )?;
        let cpu = self.process.cpu_nanos()?.saturating_sub(cpu);
        let seconds = now().since(begun).as_secs_f64();
        if !self.account.settled() {
            let (name, seconds) = (self.name, SETTLE.as_secs());
            let text = format!("the {name} had not told all {seconds} s after a slice's last send");
            return Err(io::Error::other(text));
        }
        self.sent += plan.sends();
        self.late.add(&late).map_err(io::Error::other)?;
        let before = self.seen.clone();
        self.ask("/metrics")?;
        let mut grew = [0.0; 4];
        for (grew, name) in grew.iter_mut().zip(self.counters) {
            *grew = self.seen.get(name)? - before.get(name)?;
        }
        let [frames, writes, sends, syncs] = grew;
        let (acked_now, delivered_now) = self.account.counts();
        let deliveries = delivered_now - delivered;
        let cpu_us = cpu as f64 / 1e3;
        Ok(Slice {
            cpu_us,
            cpu_us_per_delivery: cpu_us / deliveries.max(1) as f64,
            deliveries,
            acked: acked_now - acked,
            frames,
            writes,
            sends,
            syncs,
            seconds,
        })
    }

    /// What it has used and counted so far, when all it put off is done.
    fn bill(&mut self) -> io::Result<Bill> {
        self.scene.rest(REST)?;
        let give_up = now().plus(CAUGHT_UP_WITHIN);
        loop {
            self.ask("/metrics")?;
            let behind = ["throng_fold_lag_events", "throng_search_behind"]
                .map(|name| self.seen.get(name))
                .into_iter()
                .sum::<io::Result<f64>>()?;
            if behind < 1.0 {
                break;
            }
            if now() > give_up {
                let seconds = CAUGHT_UP_WITHIN.as_secs();
                let text = format!("its fold or its index had not caught up in {seconds} s");
                return Err(io::Error::other(text));
            }
            self.scene.rest(REST / 10)?;
        }
        Ok(Bill {
            cpu: self.process.cpu_nanos()?.saturating_sub(self.answering),
            threads: self.process.cpu_by_thread()?,
            seen: self.seen.clone(),
        })
    }

    fn end(self) -> io::Result<()> {
        drop(self.scene);
        self.process.stop().map(drop)
    }
}

impl Side<Tally> {
    /// Loads it after it was told how to hold back: as the server did.
    fn after(&mut self, server: &[Slice], plan: &Plan) -> io::Result<()> {
        let [writes, syncs] = &mut self.owed;
        let writes = writes.next(server.iter().map(|it| it.writes / it.frames.max(1.0)));
        let syncs = syncs.next(server.iter().map(|it| it.syncs / it.sends.max(1.0)));
        let (frames_per_write, sends_per_sync) = (1.0 / writes, 1.0 / syncs);
        self.hold(frames_per_write, sends_per_sync, plan)?;
        let slice = self.slice(plan)?;
        let [writes, syncs] = &mut self.owed;
        writes.did += slice.writes / slice.frames.max(1.0);
        syncs.did += slice.syncs / slice.sends.max(1.0);
        self.slices.push(slice);
        Ok(())
    }

    fn hold(&mut self, frames_per_write: f64, sends_per_sync: f64, plan: &Plan) -> io::Result<()> {
        let hold = Hold { frames_per_write, sends_per_sync, posts: plan.sends() };
        self.ask(&hold.target())
    }

    fn run(&self, sizes: &FloorPlan, durable: bool) -> FloorRun {
        let sum = Slice::sum(&self.slices);
        FloorRun {
            cpu_us_per_delivery: sum.cpu_us_per_delivery,
            cpu_us_per_write: sum.cpu_us / sum.writes.max(1.0),
            cpu_us_per_write_halves: halves(&self.slices),
            deliveries: sum.deliveries,
            frames_per_write: sum.frames / sum.writes.max(1.0),
            sends_per_sync: if durable { sum.sends / sum.syncs.max(1.0) } else { 0.0 },
            ack_ms: quantiles_ms(&self.account.acks),
            event_bytes: sizes.event_bytes,
            odd_frames: self.account.odd,
            slices: self.slices.clone(),
        }
    }
}

/// What a process had used and counted at some moment; of its CPU all but what its answers to us cost.
#[derive(Debug)]
struct Bill {
    cpu: u64,
    threads: BTreeMap<String, u64>,
    seen: Metrics,
}

/// The three, and the load that each of them gets.
#[derive(Debug)]
struct Trio {
    server: Side<Book>,
    bare: Side<Tally>,
    durable: Side<Tally>,
    plan: Plan,
    /// Acks of the server's slices but for the first of each, and from that to the last, nanoseconds.
    acks: (u64, u64),
}

impl Trio {
    fn open(
        bench: &mut Bench,
        shape: Shape,
        settings: &[String],
        sizes: &FloorPlan,
        [data, log]: [&Path; 2],
    ) -> io::Result<Self> {
        let (form, members) = (bench.options.form, shape.rooms * shape.members);
        let text = Text::new(BODY_BYTES);
        let tokens = bench.programs.users(data, "u", members)?;
        let process = bench.serve(data, settings)?;
        let scene = Scene::open(process.address, form, &tokens, shape.rooms, shape.members)?;
        let book = book_of(form, &text, &scene);
        let server = Side::new("server", process, scene, book, text.clone());
        let tokens = vec!["floor".to_owned(); members];
        let floor = |name, log: Option<&Path>| {
            let process = floor_process(bench, sizes, log)?;
            let scene = Scene::open(process.address, form, &tokens, shape.rooms, shape.members)?;
            let tally = Tally::new(shape.members as u64);
            Ok::<_, io::Error>(Side::new(name, process, scene, tally, text.clone()))
        };
        let bare = floor("bare floor", None)?;
        let durable = floor("durable floor", Some(log))?;
        let plan = Plan {
            sends_per_second: shape.sends_per_second,
            warmup: Duration::ZERO,
            window: if bench.options.quick { SLICE_QUICK } else { SLICE },
            settle: SETTLE,
            unacked_max: None,
        };
        Ok(Self { server, bare, durable, plan, acks: (0, 0) })
    }

    /// A round that does not count.
    fn warm_up(&mut self, sizes: &FloorPlan) -> io::Result<()> {
        self.server.ask("/metrics")?;
        self.server.slice(&self.plan)?;
        for floor in [&mut self.bare, &mut self.durable] {
            floor.hold(sizes.frames_per_write, sizes.sends_per_sync, &self.plan)?;
            floor.slice(&self.plan)?;
        }
        let book = &mut self.server.account;
        for latencies in [
            &mut book.acks,
            &mut book.deliveries,
            &mut book.last_deliveries,
            &mut self.server.late,
            &mut self.bare.account.acks,
            &mut self.durable.account.acks,
        ] {
            latencies.reset();
        }
        Ok(())
    }

    fn round(&mut self, order: [Turn; 3]) -> io::Result<()> {
        for turn in order {
            match turn {
                Turn::Server => {
                    let slice = self.server.slice(&self.plan)?;
                    if let Some((first, last)) = self.server.account.ack_times {
                        self.acks.0 += slice.acked.saturating_sub(1);
                        self.acks.1 += last - first;
                    }
                    self.server.slices.push(slice);
                }
                Turn::Bare => self.bare.after(&self.server.slices, &self.plan)?,
                Turn::Durable => self.durable.after(&self.server.slices, &self.plan)?,
            }
        }
        Ok(())
    }

    /// What the server did between the two bills; the disk and the stillness of the cores are not known here.
    fn server_run(&self, first: &Bill, last: Bill) -> io::Result<ServerRun> {
        let book = &self.server.account;
        let sum = Slice::sum(&self.server.slices);
        let cpu = last.cpu.saturating_sub(first.cpu);
        let cpu_us = cpu as f64 / 1e3;
        let grew = |name| Ok::<_, io::Error>(last.seen.get(name)? - first.seen.get(name)?);
        let sends_per_second = self.acks.0 as f64 / (self.acks.1.max(1) as f64 / 1e9);
        let (event, ack) = book.mean_bytes();
        let sends = grew("throng_sends_total")?.max(1.0);
        Ok(ServerRun {
            cpu_us_per_delivery: cpu_us / sum.deliveries.max(1) as f64,
            cpu_between_share: 1.0 - sum.cpu_us / cpu_us,
            cpu_share: cpu_us / 1e6 / sum.seconds,
            offered_sends_per_second: self.plan.sends_per_second,
            sends_per_second,
            deliveries: sum.deliveries,
            deliveries_per_second: sends_per_second * sum.deliveries as f64
                / sum.acked.max(1) as f64,
            frames_per_write: sum.frames / sum.writes.max(1.0),
            sends_per_sync: sum.sends / sum.syncs.max(1.0),
            turns_per_sync: grew("throng_turns_total")? / grew("throng_fsyncs_total")?,
            ack_ms: quantiles_ms(&book.acks),
            delivery_ms: quantiles_ms(&book.deliveries),
            last_recipient_ms: quantiles_ms(&book.last_deliveries),
            generator_late_ms: quantiles_ms(&self.server.late),
            faults: book.faults,
            refusals: book.refusals.clone(),
            event_bytes: on_the_wire(event),
            ack_bytes: on_the_wire(ack),
            record_bytes: (grew("throng_log_bytes_total")? / sends).round() as usize,
            threads: shares(&first.threads, last.threads, cpu),
            slices: self.server.slices.clone(),
            ..ServerRun::default()
        })
    }
}

/// One pair, on a fresh folder, with floors of these sizes.
pub fn pair(
    bench: &mut Bench,
    shape: Shape,
    settings: &[String],
    sizes: &FloorPlan,
) -> io::Result<Pair> {
    let data = bench.fresh_folder("fanout")?;
    let log = bench.scratch.join("floor.log");
    let fsync_before = bench.probe_disk()?;
    let stalls_before = floor::probe_stalls(bench.probe_time())?;
    let mut trio = Trio::open(bench, shape, settings, sizes, [&data, &log])?;
    trio.warm_up(sizes)?;
    let first = trio.server.bill()?;
    let rounds = if bench.options.quick { ROUNDS_QUICK } else { ROUNDS };
    for order in ORDERS.into_iter().cycle().take(rounds) {
        trio.round(order)?;
    }
    let last = trio.server.bill()?;
    trio.server.account.close();
    let fsync_after = bench.probe_disk()?;
    let server = trio.server_run(&first, last)?;
    let (bare, durable) = (trio.bare.run(sizes, false), trio.durable.run(sizes, true));
    trio.server.end()?;
    trio.bare.end()?;
    trio.durable.end()?;
    let stalls_after = floor::probe_stalls(bench.probe_time())?;
    std::fs::remove_file(&log)?;
    std::fs::remove_dir_all(&data)?;
    let server = ServerRun { fsync_before, fsync_after, stalls_before, stalls_after, ..server };
    Ok(Pair { server, bare, durable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_follows_each_of_the_others_as_often_and_the_server_begins_the_last_round() {
        use Turn::{Bare, Durable, Server};
        for order in ORDERS {
            for turn in [Server, Bare, Durable] {
                assert!(order.contains(&turn), "{order:?} has no {turn:?}");
            }
        }
        let turns = ORDERS.concat();
        let then = turns.iter().cycle().skip(1);
        let pairs: Vec<_> = turns.iter().zip(then).map(|(a, b)| (*a, *b)).collect();
        for a in [Server, Bare, Durable] {
            for b in [Server, Bare, Durable] {
                let times = pairs.iter().filter(|pair| **pair == (a, b)).count();
                assert_eq!(times, if a == b { 0 } else { 3 }, "{b:?} after {a:?}");
            }
        }
        for rounds in [ROUNDS, ROUNDS_QUICK] {
            assert_eq!(rounds % 2, 0, "both halves have as many");
            assert_eq!(ORDERS[(rounds - 1) % ORDERS.len()][0], Server);
        }
        // The floors cannot be told before the server did anything.
        assert_eq!(ORDERS[0][0], Server);
    }

    fn slice(cpu_us: f64, deliveries: u64, writes: f64) -> Slice {
        Slice { cpu_us, deliveries, writes, ..Slice::default() }
    }

    #[test]
    fn a_sum_weighs_each_slice_by_its_deliveries_and_halves_are_every_other_round() {
        let slices = [slice(10.0, 1, 2.0), slice(90.0, 9, 3.0), slice(20.0, 10, 4.0)];
        let sum = Slice::sum(&slices);
        assert_eq!(sum.deliveries, 20);
        let [even, odd] = halves(&slices);
        for (is, asked) in [
            (sum.cpu_us, 120.0),
            (sum.writes, 9.0),
            (sum.cpu_us_per_delivery, 6.0),
            (even, 5.0),
            (odd, 30.0),
            (Slice::sum(&[]).cpu_us_per_delivery, 0.0),
        ] {
            assert!((is - asked).abs() < 1e-9, "{is}, not {asked}");
        }
    }

    /// What a floor is asked for in all its slices when the server did `did` in its own, and goes first in
    /// some rounds; and what it then did, which is so much of what it is asked.
    fn asked(did: &[f64], obeys: f64) -> (Vec<f64>, f64) {
        let (mut owed, mut asked) = (Owed::default(), Vec::new());
        for round in 0..did.len() {
            let order = ORDERS[round % ORDERS.len()];
            let at = |turn| order.iter().position(|it| *it == turn);
            let known = round + usize::from(at(Turn::Server) < at(Turn::Bare));
            asked.push(owed.next(did[..known].iter().copied()));
            owed.did += asked[round] * obeys;
        }
        (asked, owed.did)
    }

    #[test]
    fn in_the_end_a_floor_was_asked_for_all_that_the_server_did() {
        let (even, _) = asked(&[0.5; 10], 1.0);
        assert!(even.iter().all(|it| (it - 0.5).abs() < 1e-9), "{even:?}");
        // A disk that stood still in one slice, of any round but the last.
        for stalled in 0..9 {
            let mut did = [0.1; 10];
            did[stalled] = 0.03;
            let (asked, sum) = asked(&did, 1.0);
            assert!((sum - 0.93).abs() < 0.01, "{asked:?}, when {stalled} stalled");
            assert!(asked.iter().all(|it| (0.02..=0.4).contains(it)), "{asked:?}");
        }
        // One that does less often than it is asked is asked for more.
        let (_, sum) = asked(&[0.5; 10], 0.93);
        assert!((sum - 5.0).abs() < 0.05, "{sum}");
        // No floor writes more often than once a frame, nor is one told not to write at all.
        let (asked, _) = asked(&[0.1, 1.3, 1.2, 1.0], 1.0);
        assert!(asked.iter().all(|it| (0.01..=1.0).contains(it)), "{asked:?}");
    }
}
