//! Two settings, protocols or builds, run in turn: A B A B. What slows the machine down for a minute
//! slows both.
//!
//! Neighbours: each run is an ordinary `lab run` with a folder of its own, made by whoever calls; a
//! run that says nothing (the generator was the bottleneck) is made again with its partner, a bounded
//! number of times.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{CompareError, Comparison, Metric, tell};
use crate::report::Folder;
use crate::report::folder::Ending;
use crate::report::words::number;
use crate::run::{self, RunArgs};
use crate::stats::compare::{PAIRS_MAX, PAIRS_MIN};

/// Pairs made again, for each pair wanted, before the comparison is given up.
const AGAIN_MAX: usize = 1;

/// How all users speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dressed {
    /// WebSocket with JSON.
    Json,
    /// WebSocket with Protobuf.
    Protobuf,
    /// Raw TCP with Protobuf.
    Raw,
}

impl Dressed {
    fn setting(self) -> &'static str {
        match self {
            Self::Json => r#"users.dresses=["ws-json"]"#,
            Self::Protobuf => r#"users.dresses=["ws-protobuf"]"#,
            Self::Raw => r#"users.dresses=["raw"]"#,
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "json" => Ok(Self::Json),
            "protobuf" => Ok(Self::Protobuf),
            "raw" => Ok(Self::Raw),
            _ => Err(format!("`{name}` is none of json, protobuf, raw")),
        }
    }
}

/// What one side is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// `key=value` over the scenario.
    pub settings: Vec<String>,
    /// The executable that serves.
    pub server: Option<PathBuf>,
    /// How all users speak.
    pub dressed: Option<Dressed>,
    /// One of the scenario's arms.
    pub arm: Option<String>,
}

impl Side {
    fn settings(&self) -> impl Iterator<Item = String> {
        let dressed = self.dressed.map(|it| it.setting().to_owned());
        self.settings.iter().cloned().chain(dressed)
    }

    fn words(&self) -> String {
        let server = self.server.as_ref().map(|it| format!("server {}", it.display()));
        let arm = self.arm.as_ref().map(|it| format!("arm {it}"));
        let words: Vec<String> = arm.into_iter().chain(self.settings()).chain(server).collect();
        if words.is_empty() { "as the scenario has it".to_owned() } else { words.join(", ") }
    }
}

/// What is compared, and how often.
#[derive(Clone, Debug)]
pub struct Turns {
    /// Common to both; `out` is the folder of the whole comparison.
    pub common: RunArgs,
    /// Where all of it goes.
    pub out: PathBuf,
    /// A and B.
    pub sides: [Side; 2],
    /// How many pairs.
    pub pairs: usize,
    /// What decides.
    pub by: Metric,
    /// Of the first pair; both of a pair have the same, the next pair another.
    pub seed: u64,
}

/// Runs A and B in turn. `run` makes one run and reads its folder back; `say` hears of progress. Pairs that are whole
/// when a run cannot be made, or a signal comes, are compared all the same ([`Comparison::cut`]).
pub fn in_turn(
    turns: &Turns,
    run: &mut dyn FnMut(&RunArgs) -> Result<Folder, CompareError>,
    say: &mut dyn Write,
) -> Result<Comparison, CompareError> {
    if !(PAIRS_MIN..=PAIRS_MAX).contains(&turns.pairs) {
        let (pairs, range) = (turns.pairs, format!("{PAIRS_MIN} to {PAIRS_MAX}"));
        return Err(CompareError::Arguments(format!("{pairs} pairs are not from {range}")));
    }
    tell(say, &begins(turns)?);
    let mut pairs = Vec::new();
    let mut void = 0;
    let mut cut = None;
    while pairs.len() < turns.pairs {
        let made = pairs.len() + void + 1;
        match pair(turns, made, run, say) {
            Ok(Made::Whole(pair)) => pairs.push(*pair),
            Ok(Made::Void(why)) => {
                void += 1;
                tell(say, &format!("pair {made} is made again: {why}"));
                if void > turns.pairs * AGAIN_MAX {
                    cut = Some(CompareError::Void(void, why));
                }
            }
            // Which of two wrong servers is quicker is no question.
            Err(error @ CompareError::Faults(..)) => return Err(error),
            Err(error) => cut = Some(error),
        }
        match cut.take() {
            Some(error) if pairs.is_empty() => return Err(error),
            Some(error) => {
                cut = Some(error);
                break;
            }
            None => {}
        }
    }
    let sides = turns.sides.clone().map(|it| it.words());
    let comparison = Comparison::of(turns.by, sides, &pairs, turns.seed)?;
    Ok(Comparison { cut, ..comparison })
}

/// How much there is to do. A side that cannot be run is found here, before anything is.
fn begins(turns: &Turns) -> Result<String, CompareError> {
    let mut seconds = 0.0;
    for side in &turns.sides {
        seconds += run::scenario_of(&args_of(turns, side, 1, &turns.out))?.seconds;
    }
    let pairs = turns.pairs;
    let all = number((seconds * pairs as f64).round());
    Ok(format!("{pairs} pairs in turn, A B A B …: {all} s of load in all"))
}

/// One pair, or why it says nothing.
enum Made {
    Whole(Box<[(PathBuf, Folder); 2]>),
    Void(String),
}

fn pair(
    turns: &Turns,
    made: usize,
    run: &mut dyn FnMut(&RunArgs) -> Result<Folder, CompareError>,
    say: &mut dyn Write,
) -> Result<Made, CompareError> {
    let mut pair = Vec::new();
    for (side, name) in turns.sides.iter().zip(["a", "b"]) {
        let out = turns.out.join(format!("{name}-{made:02}"));
        let folder = run(&args_of(turns, side, made, &out))?;
        let value = turns.by.of(&folder).map_or("–".to_owned(), number);
        let ending = folder.summary.ending.name();
        let what = turns.by.words();
        let line = format!("pair {made}, {}: {what} {value}, {ending}", name.to_uppercase());
        tell(say, &line);
        if folder.summary.ending == Ending::Faults {
            return Err(CompareError::Faults(out, folder.summary.reasons.join("; ")));
        }
        if let Some(why) = void_because(&folder, turns.by) {
            return Ok(Made::Void(why));
        }
        pair.push((out, folder));
    }
    let pair = <[(PathBuf, Folder); 2]>::try_from(pair).expect("there are two sides");
    Ok(Made::Whole(Box::new(pair)))
}

fn args_of(turns: &Turns, side: &Side, made: usize, out: &Path) -> RunArgs {
    let mut args = turns.common.clone();
    args.settings.extend(side.settings());
    args.server = side.server.clone().or(args.server);
    args.arm = side.arm.clone().or(args.arm);
    args.seed = Some(turns.seed + made as u64);
    args.out = Some(out.to_owned());
    args
}

/// Why a run says nothing, if it does not.
fn void_because(run: &Folder, by: Metric) -> Option<String> {
    let summary = &run.summary;
    if !matches!(summary.ending, Ending::Pass | Ending::Missed | Ending::Undecided) {
        return Some(format!("{}: {}", summary.ending.name(), summary.reasons.join("; ")));
    }
    let [before, after] = summary.fsync?;
    let apart = before.p50_us.max(after.p50_us) > 3.0 * before.p50_us.min(after.p50_us).max(1.0);
    (by.is_latency() && apart).then(|| {
        let (a, b) = (before.p50_us, after.p50_us);
        format!("the disk was another one afterwards (fsync p50 {a:.0} and {b:.0} µs)")
    })
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::report::folder::{Cost, Manifest, Summary};
    use crate::stats::Verdict;

    fn folder(cpu: f64, ending: Ending) -> Folder {
        let cost = Cost { cpu_us_per_delivery: cpu, ..Cost::default() };
        let summary = Summary { ending, cost: Some(cost), ..Summary::default() };
        Folder {
            manifest: Manifest::default(),
            seconds: Vec::new(),
            lines: Vec::new(),
            clients: Vec::new(),
            profile: None,
            summary,
        }
    }

    fn turns(pairs: usize) -> Turns {
        let slow = Side { settings: vec!["server.slow=1".into()], ..Side::default() };
        Turns {
            common: RunArgs { scenario: "canonical".into(), ..RunArgs::default() },
            out: PathBuf::from("out"),
            sides: [Side::default(), slow],
            pairs,
            by: Metric::Cpu,
            seed: 100,
        }
    }

    /// A server whose CPU a delivery is 8 µs with a noise of 4 %, and `factor` times that where the
    /// setting is.
    fn server(factor: f64, seed: u64) -> impl FnMut(&RunArgs) -> Result<Folder, CompareError> {
        let mut chance = StdRng::seed_from_u64(seed);
        move |args| {
            let of = if args.settings.is_empty() { 1.0 } else { factor };
            let noise = 1.0 + 0.14 * (chance.random::<f64>() - 0.5);
            Ok(folder(8.0 * of * noise, Ending::Pass))
        }
    }

    #[test]
    fn a_tenth_more_cpu_is_found_and_the_same_build_gives_no_verdict() {
        let mut said = Vec::new();
        let wrong = (0..20)
            .filter(|seed| {
                let same = in_turn(&turns(12), &mut server(1.0, *seed), &mut said).unwrap();
                same.decided().verdict != Verdict::NoDifference
            })
            .count();
        assert!(wrong <= 1, "{wrong} of 20");
        for seed in 0..20 {
            let it = in_turn(&turns(12), &mut server(1.1, seed), &mut said).unwrap();
            assert_eq!(it.decided().verdict, Verdict::Slower, "seed {seed}\n{}", it.words());
            assert!(it.sentence().contains("more CPU a delivery"), "{}", it.sentence());
        }
    }

    #[test]
    fn a_join_that_costs_a_tenth_more_is_found_by_the_price_of_a_join() {
        use crate::report::folder::{Price, Prices};
        let mut costs = server(1.1, 7);
        let mut run = |args: &RunArgs| {
            let mut folder = costs(args)?;
            let cpu_us = folder.summary.cost.take().unwrap().cpu_us_per_delivery * 60.0;
            let join = Some(Price { count: 100, cpu_us, ..Price::default() });
            folder.summary.prices = Some(Prices { join, ..Prices::default() });
            Ok(folder)
        };
        let by_join = Turns { by: Metric::Join, ..turns(12) };
        let it = in_turn(&by_join, &mut run, &mut Vec::new()).unwrap();
        assert_eq!(it.decided().verdict, Verdict::Slower, "{}", it.words());
        assert!(it.sentence().contains("more CPU a join"), "{}", it.sentence());
        assert!(
            it.prices().starts_with("B beside A: CPU a delivery not measured; CPU a join +"),
            "{}",
            it.prices()
        );
        // Runs in which nobody joined alone have none.
        let error = in_turn(&by_join, &mut server(1.0, 1), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("no pair of runs has a value for join"), "{error}");
    }

    /// What decides is one thing; what it is paid with is told of both arms all the same.
    #[test]
    fn a_feature_is_priced_in_cpu_a_delivery_and_a_join_in_bytes_and_in_memory() {
        use crate::report::folder::{Price, Prices, ServerWork, Wire};
        let mut run = |args: &RunArgs| {
            let b = !args.settings.is_empty();
            let (cpu, join, bytes, memory) =
                if b { (8.4, 540.0, 210.0, 66) } else { (8.0, 500.0, 200.0, 64) };
            let mut folder = folder(cpu, Ending::Pass);
            let cost = folder.summary.cost.as_mut().unwrap();
            cost.rss_max_bytes = memory << 20;
            let join = Some(Price { count: 100, cpu_us: join, ..Price::default() });
            folder.summary.prices = Some(Prices { join, ..Prices::default() });
            folder.summary.wire = Some(Wire { bytes: 1, bytes_per_delivery: bytes });
            let bytes_per_frame = Some(bytes - 50.0);
            let work = ServerWork { bytes_per_frame, ..ServerWork::default() };
            folder.summary.server_work = Some(work);
            Ok(folder)
        };
        let by_join = Turns { by: Metric::Join, ..turns(6) };
        let it = in_turn(&by_join, &mut run, &mut Vec::new()).unwrap();
        let prices = "B beside A: CPU a delivery +0.4 µs (5.0 % more); CPU a join +40 µs (8.0 % more); bytes a \
                      delivery +10 (5.0 % more); memory +2 MiB (3.1 % more).";
        assert_eq!(it.prices(), prices);
        let words = it.words();
        assert!(words.starts_with("B is slower: it takes 8.0 % more CPU a join"), "{words}");
        assert!(words.contains(prices) && it.json()["prices"] == prices, "{words}");
        for (metric, a, b) in [
            ("CPU a delivery, µs", "8 (8–8)", "8.4 (8.4–8.4)"),
            ("CPU a join, µs", "500 (500–500)", "540 (540–540)"),
            ("bytes a delivery", "200 (200–200)", "210 (210–210)"),
            ("memory, MiB", "64 (64–64)", "66 (66–66)"),
            ("bytes a frame", "150 (150–150)", "160 (160–160)"),
        ] {
            let line = words.lines().find(|line| line.starts_with(metric));
            let line = line.unwrap_or_else(|| panic!("no {metric} in {words}"));
            assert!(line.contains(a) && line.contains(b), "{line}");
            assert_eq!(line.ends_with("  decides"), metric.starts_with("CPU a join"), "{line}");
        }
    }

    #[test]
    fn runs_alternate_and_a_pair_has_one_seed() {
        let mut seen = Vec::new();
        let mut server = server(1.0, 1);
        let mut run = |args: &RunArgs| {
            let out = args.out.as_ref().unwrap().display().to_string();
            seen.push((out, args.seed.unwrap(), args.settings.len()));
            server(args)
        };
        in_turn(&turns(6), &mut run, &mut Vec::new()).unwrap();
        let first: Vec<_> = seen.iter().take(3).cloned().collect();
        assert_eq!(
            first,
            [("out/a-01".into(), 101, 0), ("out/b-01".into(), 101, 1), ("out/a-02".into(), 102, 0)]
        );
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn a_run_that_says_nothing_is_made_again_with_its_partner() {
        let mut calls = 0;
        let mut run = |_: &RunArgs| {
            calls += 1;
            Ok(folder(8.0, if calls == 4 { Ending::Invalid } else { Ending::Pass }))
        };
        let mut said = Vec::new();
        let it = in_turn(&turns(6), &mut run, &mut said).unwrap();
        assert_eq!((it.runs.len(), calls), (6, 14));
        assert_eq!(it.runs[1][0], PathBuf::from("out/a-03"));
        assert!(String::from_utf8(said).unwrap().contains("pair 2 is made again: invalid"));
    }

    #[test]
    fn a_machine_that_never_holds_still_and_a_broken_promise_end_it() {
        let never = &mut |_: &RunArgs| Ok(folder(8.0, Ending::Invalid));
        let error = in_turn(&turns(6), never, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CompareError::Void(7, _)), "{error}");
        let wrong = &mut |_: &RunArgs| Ok(folder(8.0, Ending::Faults));
        let error = in_turn(&turns(6), wrong, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CompareError::Faults(..)), "{error}");
        let few = in_turn(&turns(5), wrong, &mut Vec::new()).unwrap_err();
        assert!(few.to_string().contains("6 to 100"), "{few}");
    }

    #[test]
    fn pairs_that_are_whole_when_a_signal_comes_are_compared_and_say_so() {
        let mut calls = 0;
        let mut server = server(1.0, 3);
        let mut run = |args: &RunArgs| {
            calls += 1;
            if calls == 16 { Err(CompareError::Stopped) } else { server(args) }
        };
        let mut said = Vec::new();
        let it = in_turn(&turns(12), &mut run, &mut said).unwrap();
        assert_eq!((it.runs.len(), it.decided().pairs), (7, 7));
        assert!(it.words().starts_with("Cut short after 7 pairs, fewer than were wanted: stopped"));
        assert_eq!(it.json()["cut"], "stopped by a signal");
        // Canonical lasts a minute.
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.starts_with("12 pairs in turn, A B A B …: 1,440 s of load in all\n"),
            "{said}"
        );
        let first = &mut |_: &RunArgs| Err(CompareError::Stopped);
        assert!(in_turn(&turns(6), first, &mut Vec::new()).is_err(), "nothing was compared");
    }

    #[test]
    fn a_side_that_cannot_be_run_is_found_before_the_other_is() {
        let mut runs = 0;
        let mut run = |_: &RunArgs| {
            runs += 1;
            Ok(folder(8.0, Ending::Pass))
        };
        let wrong = Side { settings: vec!["users.cuont=1".into()], ..Side::default() };
        let turns = Turns { sides: [Side::default(), wrong], ..turns(6) };
        let error = in_turn(&turns, &mut run, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("cuont") && runs == 0, "{error}, after {runs} runs");
    }

    #[test]
    fn sides_are_made_of_settings_forms_and_builds() {
        let side = Side {
            settings: vec!["users.count=9".into()],
            server: Some("old/throng".into()),
            dressed: Some(Dressed::Protobuf),
            arm: Some("natural".into()),
        };
        let args = args_of(&turns(6), &side, 3, Path::new("x"));
        assert_eq!(args.settings, ["users.count=9", r#"users.dresses=["ws-protobuf"]"#]);
        assert_eq!(args.server, Some("old/throng".into()));
        assert_eq!(args.arm.as_deref(), Some("natural"));
        assert!(side.words().starts_with("arm natural") && side.words().contains("old/throng"));
        assert!(Dressed::named("xml").unwrap_err().contains("json, protobuf, raw"));
    }
}
