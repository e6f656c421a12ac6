//! Every single call to the disk fails once, in every way, and several in a row: I10 holds.
//!
//! One script, from an empty disk through turns, folds, checkpoints, trims, erasing, closing and a restart.
//! Its calls are counted, then it is run again for each call and each fault. What is refused never comes
//! to be, what is acked stays, reads go on, and after a failed sync nothing is acked any more and
//! whoever met it ends.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use throng_server::fold::FoldError;
use throng_server::log::LogError;
use throng_server::store::StoreError;

use super::disk::{Disk, Fault};
use super::lives::left_on;
use super::requests::batch;
use super::vfs::Mounted;
use super::workload::{Planted, SHARDS, Server, Truth};

const TURNS: u32 = 12;
/// The file that carries the order, and the one that it is folded into.
const FILES: [&str; 2] = ["log.db", "store.db"];

/// How a life of the script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All of it was done.
    Done,
    /// It did not start, and said so.
    NotStarted,
    /// A sync failed, and the process ends.
    SyncFailed,
    /// It was one of the log's, behind the store: in a trim, as it was written anew, or as it was closed.
    TrimFailed,
}

#[test]
fn a_fault_at_any_call_loses_no_ack_and_leaves_nothing_refused() {
    let faults = [Fault::Eio, Fault::Enospc, Fault::Short, Fault::Sync];
    let [done, not_started, sync_failed, trim_failed] = each_call(&faults, 1, 1);
    assert!(done > 500 && not_started > 50 && sync_failed > 50 && trim_failed > 10);
}

/// So that what is done about a fault fails too: a rollback, another checkpoint, a close.
#[test]
fn faults_in_a_row_lose_no_ack_and_leave_nothing_refused() {
    let [done, not_started, sync_failed, _] = each_call(&[Fault::Eio], 5, 3);
    assert!(done > 100 && not_started > 10 && sync_failed > 10);
}

/// The script once for each of these faults and each of its calls, or for one of `step`: so many calls fail
/// from there on. How many runs ended how.
#[expect(clippy::print_stdout, reason = "how many there were is told")]
fn each_call(faults: &[Fault], calls: u64, step: usize) -> [u32; 4] {
    let whole = Mounted::new(Disk::new());
    assert_eq!(script(&whole, &Truth::default(), 0), Ok(Ended::Done));
    let mut ended = [0; 4];
    for &fault in faults {
        for call in whole.disk.met_by(fault).into_iter().step_by(step) {
            match with_fault(call, calls, fault) {
                Ok(end) => ended[end as usize] += 1,
                Err(violation) => panic!("{fault:?} at call {call}: {violation:.400}"),
            }
        }
    }
    let [done, not_started, sync_failed, trim_failed] = ended;
    println!(
        "{done} runs went on, {not_started} did not start, {sync_failed} ended by a sync, \
         {trim_failed} by one of a trim"
    );
    ended
}

/// The script with a fault, then what the next process finds: when the process alone has died, and
/// when the power has gone. The power goes again after it has gone on.
fn with_fault(call: u64, calls: u64, fault: Fault) -> Result<Ended, String> {
    let mounted = Mounted::new(Disk::new());
    mounted.disk.fail_from(call, calls, fault);
    let truth = Truth::default();
    let ended = script(&mounted, &truth, calls)?;
    mounted.disk.cut();
    let mut chance = SmallRng::seed_from_u64(call);
    for found in left_on(&mounted.disk, &mut chance) {
        let truth = truth.clone();
        let server = Server::start(&found, Planted::Nothing)?;
        truth.check(&server)?;
        truth.check_goes_on(&server, &mut chance)?;
        found.disk.cut();
        drop(server);
        let found = Mounted::new(found.disk.after_cut(&mut chance));
        truth.check(&Server::start(&found, Planted::Nothing)?)?;
    }
    Ok(ended)
}

/// Two lives, when so many calls may fail in them.
fn script(mounted: &Mounted, truth: &Truth, faults: u64) -> Result<Ended, String> {
    for seed in 0..2 {
        let ended = life(mounted, truth, &mut SmallRng::seed_from_u64(seed), faults)?;
        if ended != Ended::Done {
            return Ok(ended);
        }
    }
    Ok(Ended::Done)
}

fn life(
    mounted: &Mounted,
    truth: &Truth,
    chance: &mut SmallRng,
    faults: u64,
) -> Result<Ended, String> {
    let disk = &mounted.disk;
    disk.forget_failed_syncs();
    let Ok(server) = Server::start(mounted, Planted::Nothing) else {
        return Ok(Ended::NotStarted);
    };
    for number in 0..TURNS {
        let shard = number % SHARDS;
        let mut asked = 0;
        loop {
            let (failed, promised) = (disk.sync_failed("log.db"), truth.promised());
            match server.turn(shard, &batch(shard, truth, chance), truth) {
                Ok(_) if failed && truth.promised() != promised => {
                    return Err("acked after a failed sync of the log".into());
                }
                Ok(_) => break,
                Err(LogError::SyncFailed(_)) => return after_failed_sync(&server, truth, chance),
                Err(error) if asked > faults => return Err(format!("refuses for ever: {error}")),
                Err(_) => asked += 1,
            }
        }
        if number % 4 == 3
            && let Some(ended) = in_the_end(disk, faults, || server.fold())?
        {
            return Ok(ended);
        }
        // A read may meet the faults itself, but only those.
        let mut read = server.histories();
        for _ in 0..faults {
            read = read.or_else(|_| server.histories());
        }
        read?;
    }
    let erased = in_the_end(disk, faults, || server.erase())?;
    let closed = || in_the_end(disk, faults, || Ok(server.close()?));
    Ok(erased.map_or_else(closed, |ended| Ok(Some(ended)))?.unwrap_or(Ended::Done))
}

/// What is done behind the ack: a fault that passes costs one attempt, not the next, and a failed sync ends
/// it, whatever it is of.
fn in_the_end(
    disk: &Disk,
    faults: u64,
    attempt: impl Fn() -> Result<(), FoldError>,
) -> Result<Option<Ended>, String> {
    let mut attempted = 0;
    loop {
        match attempt() {
            Err(FoldError::Store(StoreError::SyncFailed(_))) => return Ok(Some(Ended::SyncFailed)),
            Err(FoldError::Log(LogError::SyncFailed(_))) => return Ok(Some(Ended::TrimFailed)),
            Err(error) if attempted == faults => return Err(format!("does not end: {error}")),
            Err(_) => attempted += 1,
            Ok(()) => {
                return match FILES.into_iter().find(|file| disk.sync_failed(file)) {
                    Some(file) => Err(format!("goes on after a failed sync of {file}")),
                    None => Ok(None),
                };
            }
        }
    }
}

fn after_failed_sync(
    server: &Server,
    truth: &Truth,
    chance: &mut SmallRng,
) -> Result<Ended, String> {
    let promised = truth.promised();
    for number in 0..10 {
        let shard = number % SHARDS;
        // A batch that changes nothing needs no log and is answered.
        match server.turn(shard, &batch(shard, truth, chance), truth) {
            Err(LogError::SyncFailed(_)) | Ok(_) => {}
            Err(other) => return Err(format!("after a failed sync: {other}")),
        }
    }
    if truth.promised() != promised {
        return Err("acked after a failed sync".into());
    }
    server.histories()?;
    Ok(Ended::SyncFailed)
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_space() {
    for space in (0..200_000).step_by(7_919) {
        let mut chance = SmallRng::seed_from_u64(space as u64);
        let mounted = Mounted::new(Disk::new());
        let truth = Truth::default();
        let server = Server::start(&mounted, Planted::Nothing).unwrap();
        mounted.disk.leave_space(space);
        let mut refused = 0;
        for number in 0..400 {
            let shard = number % SHARDS;
            match server.turn(shard, &batch(shard, &truth, &mut chance), &truth) {
                Ok(_) => {}
                Err(LogError::Full) => refused += 1,
                Err(error) => panic!("with {space} bytes left: {error}"),
            }
            if number % 50 == 49 {
                match server.fold() {
                    Ok(()) | Err(FoldError::Store(StoreError::Full)) => {}
                    Err(error) => panic!("with {space} bytes left: {error}"),
                }
            }
            if refused == 20 {
                break;
            }
        }
        assert_eq!(refused, 20, "{space} bytes were enough");
        server.histories().expect("reads go on");
        mounted.disk.free_space();
        for shard in 0..SHARDS {
            server.turn(shard, &batch(shard, &truth, &mut chance), &truth).expect("taken again");
        }
        server.fold().expect("folded again");
        truth.check(&server).unwrap();
        drop(server);
        let server = Server::start(&mounted, Planted::Nothing).unwrap();
        truth.check(&server).unwrap();
    }
}
