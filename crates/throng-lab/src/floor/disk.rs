//! The disk alone: an append and its sync, timed.
//!
//! Neighbours: `bench` probes before and after each run, since an ack is worth what the disk is.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::clock::now;

/// One record with its log's overhead.
const RECORD_BYTES: usize = 300;

/// Times of an append with `fdatasync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FsyncTimes {
    pub p50_us: f64,
    pub p99_us: f64,
    pub count: usize,
}

impl FsyncTimes {
    /// The disk was another one afterwards: no figure between the two means anything.
    pub fn differs_threefold(&self, after: &Self) -> bool {
        let apart = |a: f64, b: f64| a.max(b) > 3.0 * a.min(b).max(1.0);
        apart(self.p50_us, after.p50_us)
    }
}

/// Appends and syncs in `folder` for as long as `time`.
pub fn probe_fsync(folder: &Path, time: Duration) -> io::Result<FsyncTimes> {
    let path = folder.join("fsync-probe");
    let times = append(&path, time);
    // Also where the disk was full.
    let removed = std::fs::remove_file(&path);
    let mut times = times?;
    removed?;
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default() as f64 / 1e3
    };
    Ok(FsyncTimes { p50_us: at(0.50), p99_us: at(0.99), count: times.len() })
}

/// Nanoseconds of each append and its sync.
fn append(path: &Path, time: Duration) -> io::Result<Vec<u64>> {
    let mut file = File::create(path)?;
    let record = vec![b'r'; RECORD_BYTES];
    let mut times = Vec::new();
    let end = now().0 + time.as_nanos() as u64;
    while now().0 < end {
        let start = now().0;
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(now().0 - start);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind_also_on_a_disk_that_is_full() {
        let folder = tempfile::tempdir().unwrap();
        assert!(probe_fsync(folder.path(), Duration::from_millis(5)).unwrap().count > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // What is written there goes to the kernel's own full disk.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("fsync-probe")).unwrap();
        let error = probe_fsync(folder.path(), Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
