//! The power goes at a random moment, again and again: I1 holds.
//!
//! Each seed is one disk and up to four lives of a server on it; each life ends in a cut, at a call
//! drawn from the seed: while the files are made, in a commit, a checkpoint, a fold, a trim, in the
//! recovery from the cut before. Seeds of one thread repeat exactly; those with threads of their own
//! repeat but for the order in which the threads run.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::lives::{until_cut, while_powered};
use super::requests::batch;
use super::vfs::Mounted;
use super::workload::{Planted, SHARDS, Server, Truth};

/// How many cuts the suite makes; `cargo xtask powercut --seeds N` makes more.
const SEEDS: u64 = 500;
pub const SEEDS_VARIABLE: &str = "THRONG_POWERCUT_SEEDS";
pub const FIRST_VARIABLE: &str = "THRONG_POWERCUT_FIRST";

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The seeds of this run.
pub fn seeds() -> std::ops::Range<u64> {
    let first = variable(FIRST_VARIABLE, 0);
    first..first + variable(SEEDS_VARIABLE, SEEDS)
}

/// Runs each seed of one of the claims, and says how many cuts there were and how much was kept.
pub fn hold(claim: &str, what: &str, run: impl Fn(u64) -> Result<(u64, usize), String>) -> String {
    let (mut cuts, mut promised) = (0, 0);
    for seed in seeds() {
        let (cut, kept) = run(seed).unwrap_or_else(|violation| {
            panic!(
                "seed {seed}: {violation:.400}\nto repeat: {FIRST_VARIABLE}={seed} {SEEDS_VARIABLE}=1 \
                 cargo test -p throng-server --test runner power::{claim}"
            )
        });
        cuts += cut;
        promised += kept;
    }
    format!("{cuts} cuts in {} seeds, {promised} {what} kept", seeds().count())
}

#[test]
fn what_was_acked_before_a_power_cut_is_in_history_after_it() {
    println!("{}", hold("cuts", "acked events", |seed| run(seed, Planted::Nothing)));
}

#[test]
fn a_log_that_is_not_synced_is_caught() {
    let caught = (0..50).find(|seed| run(*seed, Planted::NoSync).is_err());
    assert!(caught.is_some(), "50 seeds did not notice that nothing is synced");
}

#[test]
fn a_log_that_is_trimmed_behind_an_unsynced_fold_is_caught() {
    let caught = (0..50).find(|seed| run(*seed, Planted::NoCheckpoint).is_err());
    assert!(caught.is_some(), "50 seeds did not notice that folds are not synced");
}

#[test]
fn a_log_that_is_trimmed_behind_the_first_slice_of_a_fold_is_caught() {
    let caught = (0..50).find(|seed| run(*seed, Planted::TrimsEarly).is_err());
    assert!(caught.is_some(), "50 seeds did not notice that turns go before they are folded");
}

fn run(seed: u64, planted: Planted) -> Result<(u64, usize), String> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let truth = Truth::default();
    let threads = seed % 4 == 3;
    let (mounted, cuts) = until_cut(&mut chance, (80, 1_500), |mounted, chance| {
        live(mounted, &truth, chance, planted, threads)
    })?;
    let server = Server::start(&mounted, planted)?;
    truth.check(&server)?;
    truth.check_goes_on(&server, &mut chance)?;
    Ok((cuts, truth.promised()))
}

/// One life: a start, a check of all promises, work until the power goes or the work is done.
fn live(
    mounted: &Mounted,
    truth: &Truth,
    chance: &mut SmallRng,
    planted: Planted,
    threads: bool,
) -> Result<(), String> {
    let cut = |error: String| while_powered(mounted, error);
    if chance.random_ratio(1, 3) {
        truth.set_clock_back(chance);
    }
    let server = match Server::start(mounted, planted) {
        Ok(server) => server,
        Err(error) => return cut(error),
    };
    if let Err(error) = truth.check(&server) {
        return cut(error);
    }
    if let Err(error) = truth.check_goes_on(&server, chance) {
        return cut(error);
    }
    let steps = chance.random_range(5..60);
    if !threads {
        let shards: Vec<u32> = (0..SHARDS).collect();
        return work(&server, &shards, truth, chance, steps, true).or_else(cut);
    }
    let seeds: Vec<u64> = (0..=SHARDS).map(|_| chance.random()).collect();
    let outcomes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let spawn = |shard: u32| {
            let (server, seed) = (&server, seeds[shard as usize]);
            scope.spawn(move || {
                let mut chance = SmallRng::seed_from_u64(seed);
                if shard < SHARDS {
                    return work(server, &[shard], truth, &mut chance, steps, false);
                }
                (0..steps / 4).try_for_each(|_| {
                    std::thread::yield_now();
                    server.fold().map_err(|e| e.to_string())
                })
            })
        };
        let working: Vec<_> = (0..=SHARDS).map(spawn).collect();
        working.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    outcomes.into_iter().try_for_each(|outcome| outcome.or_else(cut))
}

fn work(
    server: &Server,
    shards: &[u32],
    truth: &Truth,
    chance: &mut SmallRng,
    steps: u32,
    folds: bool,
) -> Result<(), String> {
    for _ in 0..steps {
        if folds && chance.random_ratio(1, 6) {
            server.fold().map_err(|e| e.to_string())?;
        }
        if folds && chance.random_ratio(1, 12) {
            server.erase().map_err(|e| e.to_string())?;
        }
        let shard = shards[chance.random_range(0..shards.len())];
        let batch = batch(shard, truth, chance);
        server.turn(shard, &batch, truth).map_err(|e| e.to_string())?;
    }
    Ok(())
}
