//! Every single call to the disk fails once, in every way: I10 holds.
//!
//! One script, from an empty disk through turns, folds, checkpoints, trims and a restart. Its calls
//! are counted, then it is run again for each call and each fault. What is refused never comes to
//! be, what is acked stays, reads go on, and after a failed sync nothing is acked any more.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use throng_server::fold::FoldError;
use throng_server::log::LogError;
use throng_server::store::StoreError;

use super::disk::{Disk, Fault};
use super::vfs::Mounted;
use super::workload::{Planted, SHARDS, Server, Truth, batch};

const TURNS: u32 = 12;

/// How a life of the script ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// All of it was done.
    Done,
    /// It did not start, and said so.
    NotStarted,
    /// A sync failed, and the process ends.
    SyncFailed,
}

#[test]
fn a_fault_at_any_call_loses_no_ack_and_leaves_nothing_refused() {
    let whole = Mounted::new(Disk::new());
    assert_eq!(script(&whole, &Truth::default()), Ok(Ended::Done));
    let mut ended = [0; 3];
    for fault in [Fault::Eio, Fault::Enospc, Fault::Short, Fault::Sync] {
        for call in whole.disk.met_by(fault) {
            match with_fault(call, fault) {
                Ok(end) => ended[end as usize] += 1,
                Err(violation) => panic!("{fault:?} at call {call}: {violation:.400}"),
            }
        }
    }
    let [done, not_started, sync_failed] = ended;
    println!("{done} runs went on, {not_started} did not start, {sync_failed} ended by a sync");
    assert!(done > 500 && not_started > 50 && sync_failed > 50, "{ended:?}");
}

/// The script with a fault, then what the next process finds: when the process alone has died, and
/// when the power has gone.
fn with_fault(call: u64, fault: Fault) -> Result<Ended, String> {
    let mounted = Mounted::new(Disk::new());
    mounted.disk.fail_at(call, fault);
    let truth = Truth::default();
    let ended = script(&mounted, &truth)?;
    mounted.disk.cut();
    let mut chance = SmallRng::seed_from_u64(call);
    let found = if call.is_multiple_of(2) {
        mounted.disk.after_kill()
    } else {
        mounted.disk.after_cut(&mut chance)
    };
    let again = Mounted::new(found);
    let server = Server::start(&again, Planted::Nothing)?;
    truth.check(&server)?;
    truth.check_goes_on(&server, &mut chance)?;
    Ok(ended)
}

fn script(mounted: &Mounted, truth: &Truth) -> Result<Ended, String> {
    for seed in 0..2 {
        let ended = life(mounted, truth, &mut SmallRng::seed_from_u64(seed))?;
        if ended != Ended::Done {
            return Ok(ended);
        }
    }
    Ok(Ended::Done)
}

fn life(mounted: &Mounted, truth: &Truth, chance: &mut SmallRng) -> Result<Ended, String> {
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
                Err(error) if asked == 2 => return Err(format!("refuses for ever: {error}")),
                Err(_) => asked += 1,
            }
        }
        if number % 4 == 3 {
            match fold(&server) {
                Ok(()) if ["log.db", "store.db"].iter().any(|file| disk.sync_failed(file)) => {
                    return Err("folded after a failed sync".into());
                }
                Ok(()) => {}
                Err(error) if error.is_failed_sync() => return Ok(Ended::SyncFailed),
                Err(error) => return Err(format!("does not fold: {error}")),
            }
        }
        // A read may meet the fault itself, but only once.
        server.histories().or_else(|_| server.histories())?;
    }
    Ok(Ended::Done)
}

/// A fault that passes costs one fold, not the next.
fn fold(server: &Server) -> Result<(), FoldError> {
    match server.fold() {
        Ok(()) => Ok(()),
        Err(error) if error.is_failed_sync() => Err(error),
        Err(_) => server.fold(),
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
