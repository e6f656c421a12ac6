//! The machine's own numbers, kept in a file and looked at again before each run: a figure of another
//! day is worth what the machine was worth on both.
//!
//! Neighbours: `floor` probes disk and stalls, `bench` loads a floor; `run` puts what was found into
//! the manifest, the report says it. Nothing here touches a server, and no figure of a run is
//! corrected by it.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::{Work, floor_slice};
use crate::clock;
use crate::floor::{FsyncTimes, Stalls, probe_fsync, probe_stalls};
use crate::monitor::Machine;
use crate::stats;

/// Of the file; raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;
/// A difference below this is not worth a word.
const ALIKE: f64 = 0.05;
/// Beyond so many times, it is only said that it is more.
const TIMES_TOLD: f64 = 10.0;
/// The floor's room and load, 200-byte posts in JSON.
const MEMBERS: usize = 100;
const SENDS_PER_SECOND: f64 = 400.0;
const BODY_BYTES: usize = 200;
const FRAME_BYTES: usize = 390;

/// What the machine does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbers {
    /// An append and its sync.
    pub fsync: FsyncTimes,
    /// A byte to another thread and back over loopback TCP, median.
    pub round_trip_us: f64,
    /// From one thread's word to another's waking, median and one in a hundred.
    pub wake_up_us: [f64; 2],
    /// Deliveries in a second of a bare floor's CPU: 100 members, one frame a write.
    pub floor_deliveries_per_cpu_second: f64,
    /// How often cores were away.
    pub stalls: Stalls,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it was measured.
    pub made_unix_seconds: u64,
    /// Where.
    pub machine: Machine,
    /// What.
    pub numbers: Numbers,
}

/// The baseline and the machine before a run, side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    /// When the baseline was measured.
    pub made_unix_seconds: u64,
    /// What it was then.
    pub then: Numbers,
    /// What it was before this run.
    pub now: Numbers,
    /// Why the two cannot be compared, if they cannot.
    pub other_machine: Option<String>,
}

/// How long each probe takes; a baseline is measured longer than it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    probe: Duration,
    floor: Duration,
}

impl Spans {
    /// For the file.
    pub const WHOLE: Self = Self { probe: Duration::from_secs(1), floor: Duration::from_secs(4) };
    /// Before a run.
    pub const QUICK: Self =
        Self { probe: Duration::from_millis(200), floor: Duration::from_secs(1) };
}

/// Measures. `own` is this program, which is started as a floor; `scratch` lies on the disk that
/// matters.
pub fn measure(own: &Path, scratch: &Path, spans: Spans) -> io::Result<Numbers> {
    let room = ((0..MEMBERS).collect(), 1.0);
    let work = Work {
        users: MEMBERS,
        rooms: vec![room],
        sends_per_second: SENDS_PER_SECOND,
        body_bytes: BODY_BYTES,
        frame_bytes: FRAME_BYTES,
        frames_per_write: 1.0,
        window: spans.floor,
    };
    Ok(Numbers {
        fsync: probe_fsync(scratch, spans.probe)?,
        round_trip_us: round_trip(spans.probe)?,
        wake_up_us: wake_up(spans.probe)?,
        floor_deliveries_per_cpu_second: 1e6 / floor_slice(own, &work)?.cpu_us_per_delivery,
        stalls: probe_stalls(spans.probe)?,
    })
}

/// Measures, and writes the file.
pub fn make(own: &Path, scratch: &Path, file: &Path) -> io::Result<Baseline> {
    let baseline = Baseline {
        schema: SCHEMA,
        made_unix_seconds: clock::unix_seconds(),
        machine: Machine::here(),
        numbers: measure(own, scratch, Spans::WHOLE)?,
    };
    let mut text = serde_json::to_string_pretty(&baseline)?;
    text.push('\n');
    std::fs::write(file, text)?;
    Ok(baseline)
}

/// Looks at the machine again, beside what the file says.
pub fn beside(own: &Path, scratch: &Path, file: &PathBuf) -> io::Result<Beside> {
    let wrong = |error: String| io::Error::other(format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let then: Baseline = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if then.schema != SCHEMA {
        return Err(wrong(format!("schema {} is not {SCHEMA}: make it again", then.schema)));
    }
    let here = Machine::here();
    Ok(Beside {
        made_unix_seconds: then.made_unix_seconds,
        then: then.numbers,
        now: measure(own, scratch, Spans::QUICK)?,
        other_machine: then.machine.differs_from(&here),
    })
}

impl Machine {
    /// What makes a figure of the one say nothing of the other.
    fn differs_from(&self, other: &Self) -> Option<String> {
        let of = |it: &Self| format!("{} × {}, Linux {}", it.cores, it.cpu, it.kernel);
        (of(self) != of(other)).then(|| of(self))
    }
}

/// A byte over loopback TCP and back, again and again; the median, microseconds.
fn round_trip(span: Duration) -> io::Result<f64> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = std::thread::spawn(move || -> io::Result<()> {
        let mut byte = [0];
        while far.read(&mut byte)? > 0 {
            far.write_all(&byte)?;
        }
        Ok(())
    });
    let mut times = Vec::new();
    let end = clock::now().plus(span);
    while clock::now() < end {
        let begun = clock::now();
        near.write_all(b"x")?;
        near.read_exact(&mut [0])?;
        times.push(clock::now().since(begun).as_secs_f64() * 1e6);
    }
    drop(near);
    echo.join().map_err(|_| io::Error::other("the echo panicked"))??;
    Ok(stats::median(&times).unwrap_or_default())
}

/// How long a thread that waits takes to hear another's word; median and one in a hundred,
/// microseconds.
fn wake_up(span: Duration) -> io::Result<[f64; 2]> {
    let (ask, asked) = sync_channel::<()>(1);
    let (answer, answered) = sync_channel(1);
    let other = std::thread::spawn(move || {
        for () in asked {
            if answer.send(clock::now()).is_err() {
                break;
            }
        }
    });
    let mut times = Vec::new();
    let end = clock::now().plus(span);
    while clock::now() < end {
        let begun = clock::now();
        if ask.send(()).is_err() {
            break;
        }
        let Ok(woken) = answered.recv() else { break };
        times.push(woken.since(begun).as_secs_f64() * 1e6);
    }
    drop(ask);
    other.join().map_err(|_| io::Error::other("the one to be woken panicked"))?;
    Ok([0.5, 0.99].map(|share| stats::quantile(&times, share).unwrap_or_default()))
}

impl Numbers {
    /// For a person, a line each.
    pub fn words(&self) -> String {
        let [wake, late] = self.wake_up_us;
        format!(
            "disk        an append and its sync {:.2} ms, one in a hundred {:.2} ms\n\
             loopback    a byte there and back {:.1} µs\n\
             wake-up     {wake:.1} µs from one thread to another, one in a hundred {late:.1} µs\n\
             floor       {:.0} thousand deliveries a CPU-second, one frame a write\n\
             stillness   some core was away for {}\n",
            self.fsync.p50_us / 1e3,
            self.fsync.p99_us / 1e3,
            self.round_trip_us,
            self.floor_deliveries_per_cpu_second / 1e3,
            self.stalls,
        )
    }
}

impl Beside {
    /// What the report says of it, `day` being that of the baseline.
    pub fn words(&self, day: &str) -> String {
        if let Some(other) = &self.other_machine {
            return format!("the baseline of {day} is of another machine ({other})");
        }
        let (then, now) = (&self.then, &self.now);
        // Above 1: dearer or slower than then.
        let floor = then.floor_deliveries_per_cpu_second / now.floor_deliveries_per_cpu_second;
        let box_is = match slower(floor) {
            alike if alike == ALIKE_WORD => "no slower than".to_owned(),
            unknown if unknown == UNKNOWN_WORD => "not to be compared with what it was".to_owned(),
            other => format!("{other} than"),
        };
        let parts: Vec<String> = [
            ("loopback", now.round_trip_us / then.round_trip_us),
            ("wake-ups", now.wake_up_us[0] / then.wake_up_us[0]),
            ("a sync", now.fsync.p50_us / then.fsync.p50_us),
        ]
        .into_iter()
        .map(|(what, ratio)| format!("{what} {}", slower(ratio)))
        .collect();
        format!(
            "this box is {box_is} at its baseline of {day} (a bare floor's deliveries a CPU-second); {}; \
             cores away {:.1} % of the time, {:.1} % then",
            parts.join(", "),
            now.stalls.share * 1e2,
            then.stalls.share * 1e2,
        )
    }
}

const ALIKE_WORD: &str = "as quick";
const UNKNOWN_WORD: &str = "not known";

/// In words, of a time over another.
fn slower(ratio: f64) -> String {
    if !ratio.is_finite() || ratio <= 0.0 {
        return UNKNOWN_WORD.to_owned();
    }
    if (1.0 - ALIKE..=1.0 + ALIKE).contains(&ratio) {
        return ALIKE_WORD.to_owned();
    }
    let (times, word) = if ratio > 1.0 { (ratio, "slower") } else { (1.0 / ratio, "quicker") };
    if times > TIMES_TOLD {
        // As between a disk and a memory that poses as one: the digits say nothing more.
        return format!("more than {TIMES_TOLD:.0} times {word}");
    }
    format!("{:.0} % {word}", (times - 1.0) * 1e2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        Numbers {
            fsync: FsyncTimes { p50_us: 200.0, p99_us: 900.0, count: 9 },
            round_trip_us: 20.0,
            wake_up_us: [5.0, 40.0],
            floor_deliveries_per_cpu_second: 590_000.0,
            stalls: Stalls { share: 0.01, ..Stalls::default() },
        }
    }

    #[test]
    fn a_machine_that_has_become_slower_is_told_by_how_much_and_since_when() {
        let now = Numbers {
            floor_deliveries_per_cpu_second: 500_000.0,
            round_trip_us: 10.0,
            fsync: FsyncTimes { p50_us: 204.0, ..numbers().fsync },
            ..numbers()
        };
        let beside = Beside { then: numbers(), now, ..Beside::default() };
        assert_eq!(
            beside.words("2026-11-21"),
            "this box is 18 % slower than at its baseline of 2026-11-21 (a bare floor's deliveries a \
             CPU-second); loopback 100 % quicker, wake-ups as quick, a sync as quick; cores away 1.0 % of \
             the time, 1.0 % then"
        );
        let same = Beside { then: numbers(), now: numbers(), ..Beside::default() };
        assert!(same.words("x").starts_with("this box is no slower than at its baseline of x"));
        for (ratio, says) in [
            (1.0 / 7_601.68, "more than 10 times quicker"),
            (11.0, "more than 10 times slower"),
            (9.0, "800 % slower"),
        ] {
            assert_eq!(slower(ratio), says);
        }
        let nothing = Beside::default().words("x");
        assert!(nothing.starts_with("this box is not to be compared"), "{nothing}");
    }

    #[test]
    fn another_machine_is_not_compared_with() {
        let ours = Machine { cores: 2, kernel: "6.1".into(), ..Machine::default() };
        let other = Machine { kernel: "6.2".into(), ..ours.clone() };
        assert_eq!(ours.differs_from(&ours.clone()), None);
        assert!(ours.differs_from(&other).unwrap().contains("6.1"));
        // What changes from minute to minute does not make it another.
        assert_eq!(ours.differs_from(&Machine { load_average: 9.0, ..ours.clone() }), None);
    }

    #[test]
    fn loopback_and_wake_ups_take_some_time_and_not_much() {
        let span = Duration::from_millis(20);
        let trip = round_trip(span).unwrap();
        let [wake, late] = wake_up(span).unwrap();
        assert!(trip > 0.1 && trip < 1e6, "{trip}");
        assert!(wake > 0.01 && wake <= late && late < 1e6, "{wake} {late}");
    }

    #[test]
    fn a_file_that_is_no_baseline_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("baseline.json");
        std::fs::write(&file, "{\"schema\": 9}").unwrap();
        let error = beside(Path::new("throng"), folder.path(), &file).unwrap_err().to_string();
        assert!(error.contains("baseline.json: schema 9"), "{error}");
    }
}
