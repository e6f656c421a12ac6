//! Server beside floors: the work of a pair, what came of it, and whether it counts. The bare floor has the
//! frames per write that the server had, the durable floor its sends per sync too.
//!
//! Neighbours: `rows` gives the shape of the work; `slices` loads the three in turn. A floor alone is loaded
//! here, for `machine`, and a server alone, to learn how long its frames are.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use throng_wire::native::Form;

use super::book::{Book, Faults};
use super::load::{self, Account, Marks, Next, Plan};
use super::process::Process;
use super::rows::{Bench, quantiles_ms};
use super::scene::Scene;
use super::slices::{self, Slice};
use super::tally::Tally;
use super::text::Text;
use super::window::{Seen, Window};
use crate::floor::{self, FsyncTimes, Stalls};

/// A floor whose even rounds differ from its odd ones by more than this was not on one machine.
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
/// A pair takes three times as long as a load without pauses, so its members are silent for three times as
/// long: so that they are pinged no more often than by default, three times 25 s.
const PING_INTERVAL: &str = "limits.ping_interval_ms=75000";

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
    /// All that it used from the first slice until what it had put off was done, the others' slices included.
    pub cpu_us_per_delivery: f64,
    /// How much of that lies outside its own slices.
    pub cpu_between_share: f64,
    pub cpu_share: f64,
    pub offered_sends_per_second: f64,
    /// From the first ack of each slice to its last.
    pub sends_per_second: f64,
    pub deliveries: u64,
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
    pub slices: Vec<Slice>,
}

/// A floor's run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FloorRun {
    pub cpu_us_per_delivery: f64,
    pub cpu_us_per_write: f64,
    /// The same in the even rounds, and in the odd ones.
    pub cpu_us_per_write_halves: [f64; 2],
    pub deliveries: u64,
    pub frames_per_write: f64,
    pub sends_per_sync: f64,
    /// From the intended time to its ack, p50 and p99: the clients' own, the kernel's, and that of holding frames
    /// back.
    pub ack_ms: [f64; 2],
    pub event_bytes: usize,
    pub odd_frames: u64,
    pub slices: Vec<Slice>,
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
        let (told, due) = (self.deliveries, server.deliveries);
        if off(told as f64, due as f64) {
            return Some(format!("made {told} deliveries, not {due}"));
        }
        let (is, asked) = (self.event_bytes, server.event_bytes);
        if off(is as f64, asked as f64) {
            return Some(format!("wrote events of {is} bytes, not {asked}"));
        }
        (self.odd_frames > 0).then(|| format!("wrote {} frames of another size", self.odd_frames))
    }
}

/// One pair.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    pub server: ServerRun,
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

    /// By how much the bare floor's even rounds differ from its odd ones.
    fn halves_apart(&self) -> f64 {
        let [even, odd] = self.bare.cpu_us_per_write_halves;
        (even - odd).abs() / even.min(odd)
    }

    /// Why the pair does not count, if it does not.
    fn void(&self) -> Option<String> {
        let apart = self.halves_apart();
        if apart > FLOORS_APART_MAX {
            let percent = apart * 100.0;
            return Some(format!("the rounds of its bare floor differ by {percent:.0} %"));
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
    let settings = [settings, &[PING_INTERVAL.to_owned()]].concat();
    let mut plan = probe(bench, shape, &settings)?;
    let mut pairs = Vec::new();
    let mut repeated = 0;
    while pairs.len() < bench.options.pairs && repeated < REPEATS_MAX {
        let pair = slices::pair(bench, shape, &settings, &plan)?;
        plan = FloorPlan::after(&pair.server);
        if let Some(why) = pair.void() {
            repeated += 1;
            bench.say(&format!("  pair repeated: {why}; {}", pair.line()))?;
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
            "server {:.2} µs ({:.0} % between its slices), bare {:.2} µs ({:.2}; its rounds {:.0} % \
             apart), durable {:.2} µs ({:.2}) a delivery; {:.0} sends/s of {:.0}, {:.0} \
             deliveries/s; {:.2} frames a write, {:.2} sends a sync; ack {:.2}/{:.2} ms, delivery \
             {:.2}/{:.2} ms; generator late {:.2}/{:.2} ms; fsync {:.0}/{:.0} µs; cores away {} and \
             {}; {}",
            s.cpu_us_per_delivery,
            s.cpu_between_share * 100.0,
            self.bare.cpu_us_per_delivery,
            self.of_bare(),
            self.halves_apart() * 100.0,
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

/// The server alone on a fresh folder: how long its frames are, and how it gathers them.
fn probe(bench: &mut Bench, shape: Shape, settings: &[String]) -> io::Result<FloorPlan> {
    let data = bench.fresh_folder("fanout")?;
    let tokens = bench.programs.users(&data, "u", shape.rooms * shape.members)?;
    let process = bench.serve(&data, settings)?;
    let form = bench.options.form;
    let mut scene = Scene::open(process.address, form, &tokens, shape.rooms, shape.members)?;
    let text = Text::new(BODY_BYTES);
    let mut book = book_of(form, &text, &scene);
    let Measured { seen, .. } = measure(bench, shape, &mut scene, &mut book, &text, &process)?;
    drop(scene);
    process.stop()?;
    std::fs::remove_dir_all(&data)?;
    let (event, ack) = book.mean_bytes();
    let record = seen.ratio("throng_log_bytes_total", "throng_sends_total")?;
    Ok(FloorPlan {
        frames_per_write: seen
            .ratio("throng_frames_written_total", "throng_writes_total")?
            .max(1.0),
        sends_per_sync: seen.ratio("throng_sends_total", "throng_fsyncs_total")?.max(1.0),
        event_bytes: on_the_wire(event),
        ack_bytes: on_the_wire(ack),
        record_bytes: record.round() as usize,
    })
}

/// The account of a server with these members in its rooms.
pub fn book_of(form: Form, text: &Text, scene: &Scene) -> Book {
    let mut book = Book::new(form, text.clone());
    for (room, links) in &scene.rooms {
        for &link in links {
            book.joins(link, *room);
        }
    }
    book
}

/// Who sends the posts from this number on: the rooms in turn, and in each its members.
pub fn in_turn(rooms: &[(u32, Vec<usize>)], first: u64) -> impl FnMut(u64) -> Next {
    move |sent| {
        let number = first + sent;
        let (room, links) = &rooms[number as usize % rooms.len()];
        let link = links[(number as usize / rooms.len()) % links.len()];
        Next { link, room: *room, number, repeat: false }
    }
}

/// A payload's length with its WebSocket header.
pub fn on_the_wire(payload: f64) -> usize {
    let payload = payload.round() as usize;
    payload + if payload < 126 { 2 } else { 4 }
}

struct Measured {
    marks: Marks,
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
    let mut choose = in_turn(&scene.rooms, 0);
    let mut window = Window::of(process);
    let mut mark = |_| window.mark();
    let (marks, _) = load::run(&mut scene.crowd, account, text, &plan, &mut choose, &mut mark)?;
    Ok(Measured { marks, seen: window.close()? })
}

/// A floor's run of the same work.
pub fn floor_run(
    bench: &Bench,
    shape: Shape,
    plan: &FloorPlan,
    durable: bool,
) -> io::Result<FloorRun> {
    let file = bench.scratch.join("floor.log");
    let process = floor_process(bench, plan, durable.then_some(file.as_path()))?;
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
        deliveries: marks.delivered,
        frames_per_write: seen.grew("floor_frames_total")? / writes,
        sends_per_sync: if durable {
            seen.ratio("floor_posts_total", "floor_syncs_total")?
        } else {
            0.0
        },
        ack_ms: quantiles_ms(&tally.acks),
        event_bytes: plan.event_bytes,
        odd_frames: tally.odd,
        ..FloorRun::default()
    })
}

/// A floor of these sizes; with a file to append to it is the durable one.
pub fn floor_process(bench: &Bench, plan: &FloorPlan, file: Option<&Path>) -> io::Result<Process> {
    bench.programs.floor(&floor::Plan {
        listen: ([127, 0, 0, 1], 0).into(),
        frames_per_write: plan.frames_per_write,
        event_bytes: plan.event_bytes,
        ack_bytes: plan.ack_bytes,
        send_buffer_bytes: SEND_BUFFER_BYTES,
        durable: file.map(|file| floor::Durable {
            file: file.to_owned(),
            sends_per_sync: plan.sends_per_sync,
            record_bytes: plan.record_bytes,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(frames_per_write: f64, deliveries: u64) -> FloorRun {
        let (cpu_us_per_write_halves, event_bytes) = ([5.0, 5.5], 300);
        FloorRun {
            cpu_us_per_write_halves,
            deliveries,
            frames_per_write,
            event_bytes,
            ..FloorRun::default()
        }
    }

    fn pair() -> Pair {
        let (frames_per_write, sends_per_sync, deliveries) = (4.0, 3.0, 1_000);
        let server = ServerRun {
            deliveries,
            frames_per_write,
            sends_per_sync,
            event_bytes: 300,
            ..ServerRun::default()
        };
        Pair { server, bare: floor(4.1, 990), durable: floor(4.1, 990) }
    }

    #[test]
    fn a_pair_whose_floor_did_other_work_than_the_server_is_void() {
        let pair = pair();
        assert_eq!(pair.void(), None);
        let odd = FloorRun { odd_frames: 1, ..floor(4.0, 1_000) };
        let eager = FloorRun { sends_per_sync: 2.4, ..floor(4.0, 1_000) };
        let wide = FloorRun { event_bytes: 316, ..floor(4.0, 1_000) };
        for (wrong, says) in [
            (floor(3.5, 1_000), "had 3.50 frames a write, not 4.00"),
            (floor(4.5, 1_000), "had 4.50 frames a write, not 4.00"),
            (floor(4.0, 940), "made 940 deliveries, not 1000"),
            (floor(4.0, 1_060), "made 1060 deliveries, not 1000"),
            (eager, "had 2.40 sends a sync, not 3.00"),
            (wide, "wrote events of 316 bytes, not 300"),
            (odd, "wrote 1 frames of another size"),
        ] {
            let bare = Pair { bare: wrong.clone(), ..pair.clone() };
            assert_eq!(bare.void(), Some(format!("its bare floor {says}")));
            let durable = Pair { durable: wrong, ..pair.clone() };
            assert_eq!(durable.void(), Some(format!("its durable floor {says}")));
        }
    }

    #[test]
    fn a_pair_whose_rounds_were_not_on_one_machine_is_void() {
        for (halves, says) in [
            ([5.0, 5.74], None),
            ([5.0, 5.8], Some("the rounds of its bare floor differ by 16 %")),
            ([6.0, 5.0], Some("the rounds of its bare floor differ by 20 %")),
        ] {
            let mut pair = pair();
            pair.bare.cpu_us_per_write_halves = halves;
            assert_eq!(pair.void().as_deref(), says);
        }
    }

    #[test]
    fn who_speaks_goes_on_where_the_slice_before_has_ended() {
        let rooms = [(7, vec![0, 1, 2]), (8, vec![3, 4, 5])];
        let next = |first, sends: std::ops::Range<u64>| {
            let mut choose = in_turn(&rooms, first);
            let said = sends.map(&mut choose);
            said.map(|it| (it.number, it.room, it.link)).collect::<Vec<_>>()
        };
        let whole = next(0, 0..12);
        assert_eq!([next(0, 0..5), next(5, 0..7)].concat(), whole);
        assert_eq!(whole[..4], [(0, 7, 0), (1, 8, 3), (2, 7, 1), (3, 8, 4)]);
        assert!(whole.iter().enumerate().all(|(at, said)| said.0 == at as u64));
    }
}
