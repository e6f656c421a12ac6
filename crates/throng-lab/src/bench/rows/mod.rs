//! The table's rows by name, and what they share: options, scratch folder, spinners.
//!
//! Neighbours: `cargo xtask bench` calls `run`; each file beside this is one kind of row.

mod fanout;
mod idle;
mod joins;
mod lobby;
mod logins;
mod pair_rooms;
mod restart;
mod worn;

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use throng_wire::native::Form;

use super::process::{Process, Programs};
use super::table;
use crate::floor::{FsyncTimes, probe_fsync};

/// What `cargo xtask bench` was asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these rows; all when empty.
    pub rows: Vec<String>,
    pub pairs: usize,
    /// A shape of one's own, `ROOMSxMEMBERS@SENDS`, instead of the table.
    pub shape: Option<String>,
    /// Short windows, for development: the figures mean little.
    pub quick: bool,
    /// Cores may fall asleep between two messages, as they do on machines that nobody measures.
    pub asleep: bool,
    pub form: Form,
    /// Folder for data; it should be on the disk that matters.
    pub scratch: PathBuf,
}

impl Options {
    /// All rows, five pairs, JSON.
    pub fn new(scratch: PathBuf) -> Self {
        let (rows, form) = (Vec::new(), Form::Json);
        Self { rows, pairs: 5, shape: None, quick: false, asleep: false, form, scratch }
    }
}

/// What a row is given.
pub struct Bench<'a> {
    pub options: Options,
    pub programs: Programs,
    pub scratch: PathBuf,
    /// What the row's server was given, as it was said last.
    raised: Vec<String>,
    out: &'a mut dyn Write,
}

/// What came of a row: a line for the table, notes below it, and everything as JSON.
#[derive(Debug)]
pub struct Outcome {
    pub measured: String,
    pub reached: Option<bool>,
    pub notes: Vec<String>,
    pub json: Value,
}

/// A row of the table.
struct Row {
    name: &'static str,
    work: &'static str,
    must: &'static str,
    run: fn(&mut Bench) -> io::Result<Outcome>,
}

const ROWS: &[Row] = &[
    Row {
        name: "room-100",
        work: "1 room × 100 members, 400 sends/s",
        must: "≥ 0.85 durable, ≥ 0.7 bare; p50 ≤ fsync p50 + 1.5 ms",
        run: fanout::room_100,
    },
    Row {
        name: "room-1000",
        work: "1 room × 1,000 members, 100 sends/s",
        must: "≥ 0.8 bare",
        run: fanout::room_1000,
    },
    Row {
        name: "room-100-fast",
        work: "1 room × 100 members, 3,000 sends/s, offered and held",
        must: "≥ 0.85 durable, ≥ 0.55 bare, ≥ 3 frames a write, p99 ≤ 25 ms",
        run: fanout::room_100_fast,
    },
    Row {
        name: "rooms-20x50",
        work: "20 rooms × 50 members, 5 sends/s each",
        must: "≥ 0.8 durable, ≥ 0.55 bare",
        run: fanout::rooms_20x50,
    },
    Row {
        name: "lobby",
        work: "10,000 members in one room, 5 sends/s, 60 s",
        must: "last recipient p99 ≤ 300 ms; another room's p99 within 1.5× of without",
        run: lobby::run,
    },
    Row {
        name: "pairs",
        work: "1,000 rooms of 2, 100 connections, 120 s, on a folder of 3 M posts, 1 % repeats",
        must: "≥ 50,000 sends/s, 100,000 deliveries/s; ack p99 ≤ fsync p99 + 20 ms; first acks \
               again; fold ≤ 3 s behind",
        run: pair_rooms::run,
    },
    Row {
        name: "idle",
        work: "10,000 idle authenticated connections, one room each",
        must: "≤ 5 KiB of server memory each",
        run: idle::run,
    },
    Row {
        name: "joins",
        work: "1,000 joins/s (join, 50 lines of history, leave) in a room of 10,000",
        must: "CPU a join within 1.2× of a room of 10",
        run: joins::run,
    },
    Row {
        name: "logins",
        work: "500 logins/s for 30 s beside 1 room × 100 members, 100 sends/s",
        must: "≥ 0.9 of argon2 alone, refusals within 50 ms, chat p99 ≤ max(1.5×, + 3 ms)",
        run: logins::run,
    },
    Row {
        name: "restart",
        work: "first ack after a restart on 10 M posts",
        must: "≤ 2 s",
        run: restart::run,
    },
];

/// Runs the rows and prints the table.
pub fn run(options: Options, programs: Programs, out: &mut dyn Write) -> io::Result<Value> {
    if let Some(unknown) =
        options.rows.iter().find(|name| !ROWS.iter().any(|row| row.name == **name))
    {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        return Err(io::Error::other(format!("no row {unknown}; there are {}", names.join(", "))));
    }
    std::fs::create_dir_all(&options.scratch)?;
    let _alone = alone(&options.scratch)?;
    let mut bench = Bench::new(options, programs, out);
    let asleep = bench.options.asleep;
    let _spinners = if asleep { None } else { Some(bench.programs.spinners()?) };
    if let Some(shape) = bench.options.shape.clone() {
        return fanout::shape(&mut bench, &shape);
    }
    let mut lines = Vec::new();
    let mut results = serde_json::Map::new();
    for row in ROWS {
        let asked = &bench.options.rows;
        if !asked.is_empty() && !asked.iter().any(|name| name == row.name) {
            continue;
        }
        bench.say(&format!("{}: {}", row.name, row.work))?;
        bench.raised.clear();
        let outcome = (row.run)(&mut bench).unwrap_or_else(|error| Outcome {
            measured: format!("failed: {error}"),
            reached: Some(false),
            notes: Vec::new(),
            json: Value::Null,
        });
        for note in &outcome.notes {
            bench.say(&format!("  {note}"))?;
        }
        bench.say(&format!("  {}", outcome.measured))?;
        let line = table::line(row.work, row.must, &outcome);
        let at = crate::clock::unix_seconds();
        let json = json!({ "line": line, "unix_seconds": at, "figures": outcome.json });
        // The two ways to measure are kept side by side.
        let ending = if asleep { "-asleep" } else { "" };
        results.insert(format!("{}{ending}", row.name), json);
        lines.push(line);
    }
    bench.say(&table::whole(&lines))?;
    Ok(Value::Object(results))
}

/// One bench at a time: two would take each other's folders away, and each other's cores. Given back
/// when it is dropped, or the process ends.
fn alone(scratch: &Path) -> io::Result<File> {
    let file = File::create(scratch.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(format!(
            "another bench measures in {}; wait for its end",
            scratch.display()
        ))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Tells what the machine itself can do.
pub fn machine(options: Options, programs: Programs, out: &mut dyn Write) -> io::Result<()> {
    std::fs::create_dir_all(&options.scratch)?;
    super::machine::report(&mut Bench::new(options, programs, out))
}

impl Outcome {
    /// With what the disk was before and after; between two that differ threefold it is void.
    pub fn on_disk(mut self, before: FsyncTimes, after: FsyncTimes) -> Self {
        let said = format!(
            "; fsync p50 {:.0} p99 {:.0} µs before, {:.0} and {:.0} after",
            before.p50_us, before.p99_us, after.p50_us, after.p99_us
        );
        self.measured.push_str(&said);
        self.json["fsync"] = json!([before, after]);
        if before.differs_threefold(&after) {
            self.reached = None;
            self.notes.push("void: the disk was another one afterwards".into());
        }
        self
    }
}

impl<'a> Bench<'a> {
    fn new(options: Options, programs: Programs, out: &'a mut dyn Write) -> Self {
        let (scratch, raised) = (options.scratch.clone(), Vec::new());
        Self { options, programs, scratch, raised, out }
    }

    /// The server on this folder, with these settings above its defaults, which are said.
    pub fn serve(&mut self, data: &Path, settings: &[String]) -> io::Result<Process> {
        if self.raised != settings {
            self.say(&format!("  raised: {}", settings.join(", ")))?;
            self.raised = settings.to_vec();
        }
        self.programs.serve(data, settings)
    }

    /// What an append and its sync take on the disk that matters, now.
    pub fn probe_disk(&self) -> io::Result<FsyncTimes> {
        probe_fsync(&self.scratch, self.probe_time())
    }

    /// Tells the one who waits.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// An empty data folder.
    pub fn fresh_folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    pub fn warmup(&self) -> Duration {
        Duration::from_millis(if self.options.quick { 500 } else { 2_000 })
    }

    pub fn window(&self) -> Duration {
        Duration::from_millis(if self.options.quick { 2_000 } else { 10_000 })
    }

    pub fn probe_time(&self) -> Duration {
        Duration::from_millis(if self.options.quick { 200 } else { 1_000 })
    }
}

/// p50 and p99 in milliseconds.
pub fn quantiles_ms(histogram: &Histogram<u64>) -> [f64; 2] {
    [0.5, 0.99].map(|share| histogram.value_at_quantile(share) as f64 / 1e6)
}

/// `server CPU by thread: fanout 61 %, …`
pub fn thread_shares(threads: &[(String, f64)]) -> String {
    let shares: Vec<String> = threads
        .iter()
        .filter(|(_, share)| *share >= 0.01)
        .map(|(name, share)| format!("{name} {:.0} %", share * 100.0))
        .collect();
    format!("server CPU by thread: {}", shares.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_raises_is_said_once_and_again_when_it_is_something_else() {
        let folder = tempfile::tempdir().unwrap();
        // A program that says no address: what it was to be given is said all the same.
        let programs = Programs { throng: "true".into(), own: ("true".into(), Vec::new()) };
        let mut said = Vec::new();
        let mut bench = Bench::new(Options::new(folder.path().into()), programs, &mut said);
        let data = folder.path().join("data");
        for settings in [vec![], vec!["a=1", "b=2"], vec!["a=1", "b=2"], vec!["a=3"]] {
            let settings: Vec<String> = settings.into_iter().map(str::to_owned).collect();
            assert!(bench.serve(&data, &settings).is_err());
        }
        assert_eq!(String::from_utf8(said).unwrap(), "  raised: a=1, b=2\n  raised: a=3\n");
    }

    #[test]
    fn a_row_between_two_disks_is_void() {
        let disk = |p50_us| FsyncTimes { p50_us, p99_us: 500.0, count: 10 };
        for (after, reached) in [(300.0, Some(true)), (301.0, None), (33.0, None)] {
            let notes = Vec::new();
            let row =
                Outcome { measured: "it".into(), reached: Some(true), notes, json: json!({}) };
            let row = row.on_disk(disk(100.0), disk(after));
            assert_eq!((row.reached, row.notes.len()), (reached, usize::from(reached.is_none())));
            let said = format!("it; fsync p50 100 p99 500 µs before, {after} and 500 after");
            assert_eq!(row.measured, said);
            assert_eq!(row.json["fsync"][1]["p50_us"], after);
        }
    }

    #[test]
    fn two_benches_do_not_measure_in_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = alone(folder.path()).unwrap();
        let why = alone(folder.path()).unwrap_err().to_string();
        assert!(why.starts_with("another bench measures in "), "{why}");
        drop(first);
        alone(folder.path()).unwrap();
    }
}
