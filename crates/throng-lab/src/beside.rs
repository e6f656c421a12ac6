//! `lab run --floor`: a run, and how its server's CPU a delivery compares with that of a bare floor
//! which tells the same sockets in the same rooms as often, in as many writes.
//!
//! Neighbours: `run` makes the run and each further slice of the server, `bench` the floor's; what
//! came of it stands in the run's `summary.json`. A run is worth the same without it.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::{FloorSlice, Work, floor_slice};
use crate::clock;
use crate::drivers::Dress;
use crate::plan;
use crate::run::{self, LabError, RunArgs};
use crate::scenario::{Phase, Scenario};
use crate::stats;
use crate::summary::{Ending, Summary};

/// Of the load that each slice repeats.
const SLICE_SECONDS: f64 = 8.0;
/// Two floors of one pair that differ by more than this, CPU a write, were not on the same machine.
const FLOORS_APART_MAX: f64 = 0.15;
/// Pairs that may be thrown away for it.
const VOID_MAX: usize = 3;
/// No pair is begun after so long.
const WITHIN: Duration = Duration::from_mins(5);
/// Fewer deliveries say nothing of their price.
const DELIVERIES_MIN: u64 = 1_000;
/// Sockets that a floor is set up with.
const SOCKETS_MAX: u32 = 20_000;

/// The server's deliveries a CPU-second as a share of the floor's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FloorRatio {
    /// The median of the pairs; 1 is a server that costs no more than the bare floor.
    pub ratio: Option<f64>,
    /// The least and the greatest of them.
    pub range: Option<[f64; 2]>,
    /// Sockets of either.
    pub sockets: u32,
    /// The pairs that count, in their order.
    pub pairs: Vec<FloorPair>,
    /// Pairs thrown away, because the machine or the generator did not hold still.
    pub void: usize,
    /// Why there is no ratio, if there is none.
    pub unmeasured: Option<String>,
}

/// A slice of the server between two of the floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FloorPair {
    /// CPU a delivery, microseconds.
    pub server_us: f64,
    /// The floor's after it, with the server's frames a write.
    pub floor_us: f64,
    /// Of the server; the floor had as many.
    pub frames_per_write: f64,
    /// Mean bytes of a frame.
    pub frame_bytes: f64,
    /// From the intended time to the floor's ack, p50 and p99, milliseconds: what the lab's own clients and the kernel
    /// take, with a server that does nothing. It is in every latency and subtracted from none.
    pub floor_ack_ms: [f64; 2],
}

impl FloorPair {
    /// The server's deliveries a CPU-second over the floor's.
    pub fn ratio(&self) -> f64 {
        self.floor_us / self.server_us
    }
}

/// Runs, then measures so many pairs.
pub fn run(
    args: &RunArgs,
    pairs: usize,
    say: &mut (dyn Write + Send),
) -> Result<Summary, LabError> {
    let scenario = run::scenario_of(args)?;
    let named = args.out.clone().map(Ok);
    let out = named.unwrap_or_else(|| run::default_folder(&scenario, clock::unix_seconds()))?;
    let args = RunArgs { out: Some(out.clone()), ..args.clone() };
    let mut summary = run::run(&args, say)?;
    let failed = |error| LabError::Folder(out.clone(), error);
    let why = why_not(&args, &scenario, summary.ending, summary.ledger.deliveries);
    let differs = summary.server_work.as_ref().and_then(|it| it.differs.first());
    let untold = || match differs {
        Some(differs) => differs.says.clone(),
        None => "the server does not tell its frames a write".to_owned(),
    };
    let why = why.or_else(|| work(&scenario, &summary).is_none().then(untold));
    let floor = if let Some(why) = why {
        FloorRatio::none(&scenario, why)
    } else {
        writeln!(say, "floor       slices of server and floor in turn …").map_err(failed)?;
        let slices = out.join("floor");
        let floor = measure(&args, &scenario, &summary, (&slices, pairs));
        std::fs::remove_dir_all(&slices).map_err(failed)?;
        floor.unwrap_or_else(|error| FloorRatio::none(&scenario, error.to_string()))
    };
    writeln!(say, "floor       {}", floor.words()).map_err(failed)?;
    summary.floor = Some(floor);
    run::write_json(&out.join("summary.json"), &summary).map_err(failed)?;
    Ok(summary)
}

/// Why the floor cannot do what the run did, if it cannot.
fn why_not(args: &RunArgs, scenario: &Scenario, ending: Ending, deliveries: u64) -> Option<String> {
    let stormy = |it: &Phase| it.reconnect > 0.0 || it.stall > 0.0;
    let says = [
        (args.target.is_some(), "the server's process is not ours to see"),
        (
            !matches!(ending, Ending::Pass | Ending::Missed | Ending::Undecided),
            "the run itself says nothing of the server",
        ),
        (!scenario.rows.is_empty(), "its load is a closed model, which the floor does not follow"),
        (!scenario.lives.is_empty(), "its users come and go, and a floor's members are there"),
        (!scenario.abusers.is_empty(), "the server's CPU goes to abusers, too"),
        (scenario.phases.iter().any(stormy), "its phases take connections away on purpose"),
        (
            scenario.users.dresses.contains(&Dress::Rest),
            "some of its users post over REST, which the floor does not speak",
        ),
        (scenario.users.count > SOCKETS_MAX, "it has more sockets than a floor is set up with"),
        (deliveries < DELIVERIES_MIN, "it has too few deliveries to put a price on one"),
    ];
    says.into_iter().find(|(is, _)| *is).map(|(_, why)| why.to_owned())
}

/// What a floor has to do to have done the same as this slice of the server.
fn work(scenario: &Scenario, summary: &Summary) -> Option<(Work, FloorPair)> {
    let it = summary.believed()?;
    let pair = FloorPair {
        server_us: summary.cost?.cpu_us_per_delivery,
        floor_us: 0.0,
        frames_per_write: it.frames_per_write?.max(1.0),
        frame_bytes: it.bytes_per_frame?,
        floor_ack_ms: [0.0; 2],
    };
    let rooms = plan::rooms(scenario);
    let members = |it: &plan::PlannedRoom| it.members.iter().map(|it| *it as usize).collect();
    let rooms =
        rooms.iter().map(|it| (members(it), scenario.rooms[it.kind].sends_per_second)).collect();
    let work = Work {
        users: scenario.users.count as usize,
        rooms,
        sends_per_second: summary.rates.sends,
        body_bytes: plan::mean_body_bytes(scenario),
        frame_bytes: pair.frame_bytes.round() as usize,
        frames_per_write: pair.frames_per_write,
        window: Duration::from_secs_f64(summary.load_seconds.min(SLICE_SECONDS)),
    };
    Some((work, pair)).filter(|(work, pair)| work.sends_per_second > 0.0 && pair.server_us > 0.0)
}

fn measure(
    args: &RunArgs,
    scenario: &Scenario,
    whole: &Summary,
    (slices, pairs): (&Path, usize),
) -> Result<FloorRatio, LabError> {
    let failed = |error: io::Error| LabError::Folder(slices.to_owned(), error);
    std::fs::create_dir_all(slices).map_err(failed)?;
    let own = std::env::current_exe().map_err(failed)?;
    let unclear = || failed(io::Error::other("the server stopped telling its frames a write"));
    let until = clock::now().plus(WITHIN);
    let (first, _) = work(scenario, whole).ok_or_else(unclear)?;
    let mut before = floor_slice(&own, &first).map_err(failed)?;
    let mut done = FloorRatio::none(scenario, String::new());
    while done.pairs.len() < pairs && done.void <= VOID_MAX && clock::now() < until {
        if args.stop.load(Ordering::Relaxed) {
            break;
        }
        let number = done.pairs.len() + done.void;
        let slice = RunArgs {
            out: Some(slices.join(format!("server-{number}"))),
            seconds: Some(scenario.seconds.min(SLICE_SECONDS)),
            live: false,
            ..args.clone()
        };
        let server = run::run(&slice, &mut io::sink())?;
        let judged = server.ending;
        let fair = matches!(judged, Ending::Pass | Ending::Missed | Ending::Undecided);
        let Some((work, pair)) = work(scenario, &server).filter(|_| fair) else {
            done.void += 1;
            continue;
        };
        let after = floor_slice(&own, &work).map_err(failed)?;
        if apart(&before, &after) > FLOORS_APART_MAX {
            done.void += 1;
        } else {
            let (floor_us, floor_ack_ms) = (after.cpu_us_per_delivery, after.ack_ms);
            done.pairs.push(FloorPair { floor_us, floor_ack_ms, ..pair });
        }
        before = after;
    }
    Ok(done.closed())
}

fn apart(a: &FloorSlice, b: &FloorSlice) -> f64 {
    let (a, b) = (a.cpu_us_per_write, b.cpu_us_per_write);
    (a - b).abs() / a.min(b).max(1e-9)
}

impl FloorRatio {
    fn none(scenario: &Scenario, why: String) -> Self {
        Self { sockets: scenario.users.count, unmeasured: Some(why), ..Self::default() }
    }

    /// Of all its pairs.
    fn closed(mut self) -> Self {
        let ratios: Vec<f64> = self.pairs.iter().map(FloorPair::ratio).collect();
        let ends = |ratios: &[f64]| {
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            [least, ratios.iter().copied().fold(0.0, f64::max)]
        };
        self.unmeasured = ratios.is_empty().then(|| {
            format!("of {} pairs none was fair: the machine did not hold still", self.void)
        });
        self.ratio = stats::median(&ratios);
        self.range = (!ratios.is_empty()).then(|| ends(&ratios));
        self
    }

    /// For a person, in a line.
    pub fn words(&self) -> String {
        let (Some(ratio), Some([least, most])) = (self.ratio, self.range) else {
            let why = self.unmeasured.as_deref().unwrap_or("not asked for");
            return format!("not measured: {why}");
        };
        let of = |figure: fn(&FloorPair) -> f64| {
            stats::median(&self.pairs.iter().map(figure).collect::<Vec<_>>()).unwrap_or_default()
        };
        let acks = [of(|it| it.floor_ack_ms[0]), of(|it| it.floor_ack_ms[1])];
        // Runs of before have none.
        let own = if acks[0] > 0.0 {
            let [p50, p99] = acks;
            format!("; the lab's own latency, to the floor's ack: p50 {p50:.2} p99 {p99:.2} ms")
        } else {
            String::new()
        };
        format!(
            "{ratio:.2} of the bare floor ({least:.2}–{most:.2}, {} pairs in turn): {:.2} µs CPU a \
             delivery beside {:.2}, {} sockets, {:.2} frames a write, {:.0} bytes a frame{own}",
            self.pairs.len(),
            of(|it| it.server_us),
            of(|it| it.floor_us),
            self.sockets,
            of(|it| it.frames_per_write),
            of(|it| it.frame_bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(server_us: f64, floor_us: f64) -> FloorPair {
        FloorPair {
            server_us,
            floor_us,
            frames_per_write: 1.5,
            frame_bytes: 300.0,
            ..FloorPair::default()
        }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_pairs_and_stands_with_its_range() {
        let pairs = vec![pair(4.0, 2.0), pair(2.0, 2.0), pair(4.0, 3.0)];
        let done = FloorRatio { pairs, sockets: 9, ..FloorRatio::default() }.closed();
        assert_eq!((done.ratio, done.range), (Some(0.75), Some([0.5, 1.0])));
        assert!(done.words().starts_with("0.75 of the bare floor (0.50–1.00, 3 pairs"));
        assert!(
            !done.words().contains("own latency"),
            "it was not measured then: {}",
            done.words()
        );
        let pairs =
            [0.125, 0.25, 0.5].map(|p50| FloorPair { floor_ack_ms: [p50, 4.0], ..pair(4.0, 2.0) });
        let done = FloorRatio { pairs: pairs.into(), ..FloorRatio::default() }.closed().words();
        assert!(
            done.ends_with("the lab's own latency, to the floor's ack: p50 0.25 p99 4.00 ms"),
            "{done}"
        );
    }

    #[test]
    fn without_a_fair_pair_there_is_no_ratio_and_it_says_so() {
        let done = FloorRatio { void: 4, ..FloorRatio::default() }.closed();
        assert_eq!((done.ratio, done.range), (None, None));
        assert!(done.words().starts_with("not measured: of 4 pairs none was fair"));
    }

    #[test]
    fn a_scenario_that_a_floor_cannot_follow_is_named_with_its_reason() {
        let why = |name: &str, deliveries| {
            let scenario = Scenario::load(name, &[]).unwrap();
            why_not(&RunArgs::default(), &scenario, Ending::Pass, deliveries)
        };
        for (name, words) in [
            ("spammers", "REST"),
            ("crowd", "come and go"),
            ("scale-up-down", "closed model"),
            ("reconnect-all", "connections away"),
            ("hostile-mix", "abusers"),
        ] {
            let why = why(name, DELIVERIES_MIN).unwrap();
            assert!(why.contains(words), "{name}: {why}");
        }
        assert!(why("canonical", DELIVERIES_MIN - 1).unwrap().contains("too few deliveries"));
        assert_eq!(why("canonical", DELIVERIES_MIN), None);
    }
}
