//! Server and floor in turn: one pair is a bare floor, the server, the bare floor again with the
//! frames per write that the server just had, and the durable floor with its sends per sync too.
//!
//! Neighbours: `rows` gives the shape of the work; `scene`, `load` and the accounts do it.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::book::{Book, Faults};
use super::load::{self, Account, Marks, Next, Plan};
use super::process::Process;
use super::rows::{Bench, quantiles_ms};
use super::scene::Scene;
use super::tally::Tally;
use super::text::Text;
use super::window::{Seen, Window};
use crate::floor::{self, FsyncTimes, Stalls};

/// Floors of one pair that differ by more than this were not on the same machine.
const FLOORS_APART_MAX: f64 = 0.15;
/// A floor that had other frames per write, synced more or less often, or told more or less, by more than this
/// did not do the server's work.
const FLOOR_OFF_MAX: f64 = 0.05;
/// Pairs repeated before the row is given up.
const REPEATS_MAX: usize = 10;
/// The server's cap of `SO_SNDBUF`, by its default.
pub const SEND_BUFFER_BYTES: usize = 32 * 1024;
/// Events still on their way when the last send is out.
const SETTLE: Duration = Duration::from_secs(5);
pub const BODY_BYTES: usize = 200;

/// The work of a row that is compared with the floors.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rooms: usize,
    pub members: usize,
    /// In all rooms together.
    pub sends_per_second: f64,
}

/// The server's run of a pair.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerRun {
    pub cpu_us_per_delivery: f64,
    pub cpu_share: f64,
    pub offered_sends_per_second: f64,
    pub sends_per_second: f64,
    pub deliveries_per_second: f64,
    pub frames_per_write: f64,
    pub sends_per_sync: f64,
    pub turns_per_sync: f64,
    pub ack_ms: [f64; 2],
    pub delivery_ms: [f64; 2],
    pub last_recipient_ms: [f64; 2],
    /// How late the generator itself was, p50 and p99.
    pub generator_late_ms: [f64; 2],
    pub fsync_before: FsyncTimes,
    pub fsync_after: FsyncTimes,
    pub stalls_before: Stalls,
    pub stalls_after: Stalls,
    pub faults: Faults,
    pub refusals: std::collections::BTreeMap<String, u64>,
    pub event_bytes: usize,
    pub ack_bytes: usize,
    /// Bytes in the log for one send.
    pub record_bytes: usize,
    /// Share of the server's CPU by thread name.
    pub threads: Vec<(String, f64)>,
}

/// A floor's run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FloorRun {
    pub cpu_us_per_delivery: f64,
    pub cpu_us_per_write: f64,
    pub deliveries_per_second: f64,
    pub frames_per_write: f64,
    pub sends_per_sync: f64,
    /// From the intended time to its ack, p50 and p99: the clients' own, the kernel's, and that of holding frames
    /// back.
    pub ack_ms: [f64; 2],
    pub odd_frames: u64,
}

impl FloorRun {
    /// How it did less, or otherwise, than what it is to be held against, if it did.
    fn fell_short(&self, server: &ServerRun) -> Option<String> {
        let off = |is: f64, asked: f64| (is - asked).abs() > FLOOR_OFF_MAX * asked;
        let (is, asked) = (self.frames_per_write, server.frames_per_write.max(1.0));
        if off(is, asked) {
            return Some(format!("had {is:.2} frames a write, not {asked:.2}"));
        }
        // The bare one syncs nothing.
        let (is, asked) = (self.sends_per_sync, server.sends_per_sync.max(1.0));
        if is > 0.0 && off(is, asked) {
            return Some(format!("had {is:.2} sends a sync, not {asked:.2}"));
        }
        let (told, due) = (self.deliveries_per_second, server.deliveries_per_second);
        if off(told, due) {
            return Some(format!("told {told:.0} deliveries/s, not {due:.0}"));
        }
        (self.odd_frames > 0).then(|| format!("wrote {} frames of another size", self.odd_frames))
    }
}

/// One pair.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    pub server: ServerRun,
    pub bare_before: FloorRun,
    pub bare: FloorRun,
    pub durable: FloorRun,
}

impl Pair {
    /// Floor's CPU a delivery divided by the server's.
    pub fn of_bare(&self) -> f64 {
        self.bare.cpu_us_per_delivery / self.server.cpu_us_per_delivery
    }

    pub fn of_durable(&self) -> f64 {
        self.durable.cpu_us_per_delivery / self.server.cpu_us_per_delivery
    }

    /// Why the pair does not count, if it does not.
    fn void(&self) -> Option<String> {
        let (a, b) = (self.bare_before.cpu_us_per_write, self.bare.cpu_us_per_write);
        let apart = (a - b).abs() / a.min(b);
        if apart > FLOORS_APART_MAX {
            return Some(format!("its two bare floors differ by {:.0} %", apart * 100.0));
        }
        let (before, after) = (&self.server.fsync_before, &self.server.fsync_after);
        if before.differs_threefold(after) {
            let (a, b) = (before.p50_us, after.p50_us);
            return Some(format!("fsync p50 was {a:.0} µs before and {b:.0} µs after"));
        }
        let floors = [("bare", &self.bare), ("durable", &self.durable)];
        floors.into_iter().find_map(|(which, floor)| {
            floor.fell_short(&self.server).map(|how| format!("its {which} floor {how}"))
        })
    }
}

/// All pairs of a row; fewer than asked when the machine would not hold still.
pub fn run(bench: &mut Bench, shape: Shape, settings: &[String]) -> io::Result<Vec<Pair>> {
    let probe = server(bench, shape, settings)?;
    let mut plan = FloorPlan::after(&probe);
    let mut pairs = Vec::new();
    let mut repeated = 0;
    while pairs.len() < bench.options.pairs && repeated < REPEATS_MAX {
        let bare_before = floor_run(bench, shape, &plan, false)?;
        let server = server(bench, shape, settings)?;
        plan = FloorPlan::after(&server);
        let bare = floor_run(bench, shape, &plan, false)?;
        let durable = floor_run(bench, shape, &plan, true)?;
        let pair = Pair { server, bare_before, bare, durable };
        if let Some(why) = pair.void() {
            repeated += 1;
            bench.say(&format!("  pair repeated: {why}"))?;
        } else {
            bench.say(&format!("  {}", pair.line()))?;
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

impl Pair {
    fn line(&self) -> String {
        let s = &self.server;
        format!(
            "server {:.2} µs, bare {:.2} µs ({:.2}), durable {:.2} µs ({:.2}) a delivery; {:.0} \
             sends/s of {:.0}, {:.0} deliveries/s; {:.2} frames a write, {:.2} sends a sync; ack \
             {:.2}/{:.2} ms, delivery {:.2}/{:.2} ms; generator late {:.2}/{:.2} ms; fsync \
             {:.0}/{:.0} µs; cores away {} and {}; {}",
            s.cpu_us_per_delivery,
            self.bare.cpu_us_per_delivery,
            self.of_bare(),
            self.durable.cpu_us_per_delivery,
            self.of_durable(),
            s.sends_per_second,
            s.offered_sends_per_second,
            s.deliveries_per_second,
            s.frames_per_write,
            s.sends_per_sync,
            s.ack_ms[0],
            s.ack_ms[1],
            s.delivery_ms[0],
            s.delivery_ms[1],
            s.generator_late_ms[0],
            s.generator_late_ms[1],
            s.fsync_before.p50_us,
            s.fsync_after.p50_us,
            s.stalls_before,
            s.stalls_after,
            if s.faults.any() {
                format!("{:?} {:?}", s.faults, s.refusals)
            } else {
                "no faults".into()
            },
        )
    }
}

/// What the server's run tells the floors.
#[derive(Clone, Copy, Debug)]
pub struct FloorPlan {
    pub frames_per_write: f64,
    pub sends_per_sync: f64,
    pub event_bytes: usize,
    pub ack_bytes: usize,
    pub record_bytes: usize,
}

impl FloorPlan {
    fn after(run: &ServerRun) -> Self {
        Self {
            frames_per_write: run.frames_per_write.max(1.0),
            sends_per_sync: run.sends_per_sync.max(1.0),
            event_bytes: run.event_bytes,
            ack_bytes: run.ack_bytes,
            record_bytes: run.record_bytes,
        }
    }
}

/// The server's run, on a fresh folder.
fn server(bench: &mut Bench, shape: Shape, settings: &[String]) -> io::Result<ServerRun> {
    let data = bench.fresh_folder("fanout")?;
    let fsync_before = floor::probe_fsync(&bench.scratch, bench.probe_time())?;
    let stalls_before = floor::probe_stalls(bench.probe_time())?;
    let tokens = bench.programs.users(&data, "u", shape.rooms * shape.members)?;
    let process = bench.serve(&data, settings)?;
    let form = bench.options.form;
    let mut scene = Scene::open(process.address, form, &tokens, shape.rooms, shape.members)?;
    let text = Text::new(BODY_BYTES);
    let mut book = Book::new(form, text.clone());
    for (room, links) in &scene.rooms {
        for &link in links {
            book.joins(link, *room);
        }
    }
    let measured = measure(bench, shape, &mut scene, &mut book, &text, &process)?;
    book.close();
    let fsync_after = floor::probe_fsync(&bench.scratch, bench.probe_time())?;
    drop(scene);
    process.stop()?;
    let stalls_after = floor::probe_stalls(bench.probe_time())?;
    std::fs::remove_dir_all(&data)?;
    let (event, ack) = book.mean_bytes();
    let (marks, seen) = (&measured.marks, &measured.seen);
    Ok(ServerRun {
        cpu_us_per_delivery: seen.cpu as f64 / 1e3 / marks.delivered.max(1) as f64,
        cpu_share: seen.cpu as f64 / 1e9 / marks.seconds,
        offered_sends_per_second: shape.sends_per_second,
        sends_per_second: marks.acked as f64 / marks.seconds,
        deliveries_per_second: marks.delivered as f64 / marks.seconds,
        frames_per_write: seen.ratio("throng_frames_written_total", "throng_writes_total")?,
        sends_per_sync: seen.ratio("throng_sends_total", "throng_fsyncs_total")?,
        turns_per_sync: seen.ratio("throng_turns_total", "throng_fsyncs_total")?,
        ack_ms: quantiles_ms(&book.acks),
        delivery_ms: quantiles_ms(&book.deliveries),
        last_recipient_ms: quantiles_ms(&book.last_deliveries),
        generator_late_ms: quantiles_ms(&measured.late),
        fsync_before,
        fsync_after,
        stalls_before,
        stalls_after,
        faults: book.faults,
        refusals: book.refusals,
        event_bytes: on_the_wire(event),
        ack_bytes: on_the_wire(ack),
        record_bytes: seen.ratio("throng_log_bytes_total", "throng_sends_total")?.round() as usize,
        threads: measured.seen.threads,
    })
}

/// A payload's length with its WebSocket header.
fn on_the_wire(payload: f64) -> usize {
    let payload = payload.round() as usize;
    payload + if payload < 126 { 2 } else { 4 }
}

struct Measured {
    marks: Marks,
    late: hdrhistogram::Histogram<u64>,
    seen: Seen,
}

/// Runs the load; CPU and counters are taken at the two ends of the window.
fn measure(
    bench: &Bench,
    shape: Shape,
    scene: &mut Scene,
    account: &mut impl Account,
    text: &Text,
    process: &Process,
) -> io::Result<Measured> {
    let plan = Plan {
        sends_per_second: shape.sends_per_second,
        warmup: bench.warmup(),
        window: bench.window(),
        settle: SETTLE,
        unacked_max: None,
    };
    let rooms = scene.rooms.clone();
    let mut choose = |number: u64| {
        let (room, links) = &rooms[number as usize % rooms.len()];
        let link = links[(number as usize / rooms.len()) % links.len()];
        Next { link, room: *room, number, repeat: false }
    };
    let mut window = Window::of(process);
    let mut mark = |_| window.mark();
    let (marks, late) = load::run(&mut scene.crowd, account, text, &plan, &mut choose, &mut mark)?;
    Ok(Measured { marks, late, seen: window.close()? })
}

/// A floor's run of the same work.
pub fn floor_run(
    bench: &Bench,
    shape: Shape,
    plan: &FloorPlan,
    durable: bool,
) -> io::Result<FloorRun> {
    let file = bench.scratch.join("floor.log");
    let plan = floor::Plan {
        listen: ([127, 0, 0, 1], 0).into(),
        frames_per_write: plan.frames_per_write,
        event_bytes: plan.event_bytes,
        ack_bytes: plan.ack_bytes,
        send_buffer_bytes: SEND_BUFFER_BYTES,
        durable: durable.then(|| floor::Durable {
            file: file.clone(),
            sends_per_sync: plan.sends_per_sync,
            record_bytes: plan.record_bytes,
        }),
    };
    let process = bench.programs.floor(&plan)?;
    let tokens = vec!["floor".to_owned(); shape.rooms * shape.members];
    let form = bench.options.form;
    let mut scene = Scene::open(process.address, form, &tokens, shape.rooms, shape.members)?;
    let mut tally = Tally::new(shape.members as u64);
    let text = Text::new(BODY_BYTES);
    let measured = measure(bench, shape, &mut scene, &mut tally, &text, &process)?;
    drop(scene);
    process.stop()?;
    if durable {
        std::fs::remove_file(&file)?;
    }
    let (marks, seen) = (&measured.marks, &measured.seen);
    let writes = seen.grew("floor_writes_total")?;
    Ok(FloorRun {
        cpu_us_per_delivery: seen.cpu as f64 / 1e3 / marks.delivered.max(1) as f64,
        cpu_us_per_write: seen.cpu as f64 / 1e3 / writes.max(1.0),
        deliveries_per_second: marks.delivered as f64 / marks.seconds,
        frames_per_write: seen.grew("floor_frames_total")? / writes,
        sends_per_sync: if durable {
            seen.ratio("floor_posts_total", "floor_syncs_total")?
        } else {
            0.0
        },
        ack_ms: quantiles_ms(&tally.acks),
        odd_frames: tally.odd,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(frames_per_write: f64, deliveries_per_second: f64) -> FloorRun {
        let cpu_us_per_write = 5.0;
        FloorRun { cpu_us_per_write, deliveries_per_second, frames_per_write, ..Default::default() }
    }

    #[test]
    fn a_pair_whose_floor_did_other_work_than_the_server_is_void() {
        let (frames_per_write, sends_per_sync, deliveries_per_second) = (4.0, 3.0, 1_000.0);
        let server = ServerRun {
            deliveries_per_second,
            frames_per_write,
            sends_per_sync,
            ..Default::default()
        };
        let good = floor(4.1, 990.0);
        let pair = Pair { server, bare_before: good.clone(), bare: good.clone(), durable: good };
        assert_eq!(pair.void(), None);
        let odd = FloorRun { odd_frames: 1, ..floor(4.0, 1_000.0) };
        let eager = FloorRun { sends_per_sync: 2.4, ..floor(4.0, 1_000.0) };
        for (wrong, says) in [
            (floor(3.5, 1_000.0), "had 3.50 frames a write, not 4.00"),
            (floor(4.5, 1_000.0), "had 4.50 frames a write, not 4.00"),
            (floor(4.0, 940.0), "told 940 deliveries/s, not 1000"),
            (floor(4.0, 1_060.0), "told 1060 deliveries/s, not 1000"),
            (eager, "had 2.40 sends a sync, not 3.00"),
            (odd, "wrote 1 frames of another size"),
        ] {
            let bare = Pair { bare: wrong.clone(), ..pair.clone() };
            assert_eq!(bare.void(), Some(format!("its bare floor {says}")));
            let durable = Pair { durable: wrong, ..pair.clone() };
            assert_eq!(durable.void(), Some(format!("its durable floor {says}")));
        }
    }
}
