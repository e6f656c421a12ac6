//! What the claims have in common: lives on one disk, each ended by a power cut, and a life for each call
//! that can fail.
//!
//! Neighbours: `cuts`, `erasing`, `accounts`, `notes` and `files` say what a life is, and look at what is left.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::disk::{Disk, Fault};
use super::vfs::Mounted;

/// Up to four lives on one disk. A cut ends each at a call that chance draws: of five cuts one from its first
/// `starts` calls, which are those of a start, the others from its first `works`. Gives the disk that the last
/// one left, and how many there were. What a life says is wrong counts: it asks [`while_powered`] itself, as long as
/// its server stands, for a server that ends may meet the cut.
pub fn until_cut(
    chance: &mut SmallRng,
    (starts, works): (u64, u64),
    mut live: impl FnMut(&Mounted, &mut SmallRng) -> Result<(), String>,
) -> Result<(Mounted, u64), String> {
    let (mut disk, mut cuts) = (Disk::new(), 0);
    for _ in 0..chance.random_range(1..=4) {
        let mounted = Mounted::new(disk);
        let most = if chance.random_ratio(1, 5) { starts } else { works };
        mounted.disk.cut_at(chance.random_range(1..=most));
        live(&mounted, chance)?;
        mounted.disk.cut();
        cuts += 1;
        disk = mounted.disk.after_cut(chance);
    }
    Ok((Mounted::new(disk), cuts))
}

/// What failed counts while there is power.
pub fn while_powered(mounted: &Mounted, failed: String) -> Result<(), String> {
    if mounted.disk.is_off() { Ok(()) } else { Err(failed) }
}

/// Some steps of a life, as many as chance says or the power lasts.
pub fn some_steps(
    mounted: &Mounted,
    chance: &mut SmallRng,
    mut step: impl FnMut(&mut SmallRng) -> Result<(), String>,
) -> Result<(), String> {
    for _ in 0..chance.random_range(5..60) {
        step(chance)?;
        if mounted.disk.is_off() {
            break;
        }
    }
    Ok(())
}

/// What is found after the power was cut: on a disk whose process has died alone, and on one whose power has
/// gone; they are one where there was nothing to be lost.
pub fn left_on(disk: &Disk, chance: &mut SmallRng) -> Vec<Mounted> {
    let mut found = vec![disk.after_cut(chance)];
    if !disk.is_settled() {
        found.push(disk.after_kill());
    }
    found.into_iter().map(Mounted::new).collect()
}

/// One life again and again: each of its calls to the disk fails once, in every way, then the process dies or
/// the power goes, and what is left of either is looked at. A life says whether it started. There must be more
/// than `least`, and most of them must start.
#[expect(clippy::print_stdout, reason = "how many there were is told")]
pub fn each_call_fails<Truth: Clone + Default>(
    least: u32,
    live: impl Fn(&Mounted, &mut Truth) -> Result<bool, String>,
    look: impl Fn(&Mounted, &mut Truth) -> Result<(), String>,
) {
    let whole = Mounted::new(Disk::new());
    assert_eq!(live(&whole, &mut Truth::default()), Ok(true));
    let (mut runs, mut started) = (0, 0);
    for fault in [Fault::Eio, Fault::Enospc, Fault::Short, Fault::Sync] {
        for call in whole.disk.met_by(fault) {
            let mounted = Mounted::new(Disk::new());
            mounted.disk.fail_from(call, 1, fault);
            let mut truth = Truth::default();
            let outcome = live(&mounted, &mut truth).and_then(|began| {
                started += u32::from(began);
                mounted.disk.cut();
                let found = left_on(&mounted.disk, &mut SmallRng::seed_from_u64(call));
                found.iter().try_for_each(|found| look(found, &mut truth.clone()))
            });
            runs += 1;
            if let Err(violation) = outcome {
                panic!("{fault:?} at call {call}: {violation:.400}");
            }
        }
    }
    println!("{runs} runs, {started} of them started");
    assert!(runs > least && started > runs / 2, "{runs} runs, {started} started");
}
