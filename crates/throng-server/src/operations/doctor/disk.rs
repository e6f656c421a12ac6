//! What the disk of the data folder allows: whether it can be written, how much is free, and how long
//! a sync takes, which bounds how soon a message can be acked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Finding, Grade};
use crate::clock::Clock;

/// Syncs measured: enough for a p99 that is not its worst alone, and half a second on a slow disk.
const SYNCS: usize = 200;
/// What is appended before each: a turn of some twenty messages.
const APPENDED: [u8; 4_096] = [0x5a; 4_096];
/// A longer sync than this is felt by the one who sends.
const SYNC_POOR: Duration = Duration::from_millis(20);
/// What one message takes in log and store, with its share of what surrounds it.
const MESSAGE_BYTES: u64 = 400;
/// Less than this is soon filled.
const SPACE_POOR: u64 = 1 << 30;
/// Less than this and the server would refuse every send.
const SPACE_STOPS: u64 = 16 << 20;

pub fn examine(folder: &Path, clock: &Clock) -> Vec<Finding> {
    let there = nearest(folder);
    let mut findings = vec![writable(folder, &there)];
    if findings[0].grade != Grade::Stops {
        findings.push(in_use(folder));
        findings.push(sync(&there, clock));
    }
    findings.push(space(&there));
    findings
}

/// The folder, or the nearest one above it that exists: the disk on which it would be made.
fn nearest(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn writable(folder: &Path, there: &Path) -> Finding {
    let shown = folder.display();
    let made = if folder.is_dir() { "" } else { " (will be made)" };
    match Probe::create(there) {
        Ok(_) => {
            let means = "the server can keep its data there".to_owned();
            Finding::good("data folder", format!("{shown}{made}"), means)
        }
        Err(error) => {
            let means = "give the server's user leave to write there, or choose --data".to_owned();
            Finding::new("data folder", Grade::Stops, format!("{shown}: {error}"), means)
        }
    }
}

/// Whether a server runs on the folder: it holds the lock.
pub fn is_served(folder: &Path) -> bool {
    File::open(folder.join("lock"))
        .is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Who holds the folder stops another server, not this look beside it.
fn in_use(folder: &Path) -> Finding {
    if is_served(folder) {
        let means = "one server at a time: stop it before another is started there".to_owned();
        Finding::good("folder in use", "by a running server".to_owned(), means)
    } else {
        Finding::good("folder in use", "no".to_owned(), "a server can take it".to_owned())
    }
}

fn sync(there: &Path, clock: &Clock) -> Finding {
    match measure(there, clock) {
        Ok(mut took) => {
            took.sort_unstable();
            let (p50, p99) = (took[SYNCS / 2], took[SYNCS * 99 / 100]);
            let found = format!("fdatasync p50 {}, p99 {} ({SYNCS} times)", ms(p50), ms(p99));
            let alone = 1.0 / p50.as_secs_f64().max(1e-6);
            let means = format!(
                "about {alone:.0} turns a second and core; a message alone is acked after about {}",
                ms(p50)
            );
            let grade = if p50 > SYNC_POOR { Grade::Poor } else { Grade::Good };
            Finding::new("sync", grade, found, means)
        }
        Err(error) => {
            let means = "no message can be made durable there; choose --data".to_owned();
            Finding::new("sync", Grade::Stops, error.to_string(), means)
        }
    }
}

fn measure(there: &Path, clock: &Clock) -> io::Result<Vec<Duration>> {
    let mut probe = Probe::create(there)?;
    (0..SYNCS)
        .map(|_| {
            probe.file.write_all(&APPENDED)?;
            let begun = clock.now();
            probe.file.sync_data()?;
            Ok(clock.now().since(begun))
        })
        .collect()
}

fn ms(took: Duration) -> String {
    format!("{:.2} ms", took.as_secs_f64() * 1e3)
}

fn space(there: &Path) -> Finding {
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let found = format!("{:.1} GiB free", free as f64 / f64::from(1 << 30));
            let means = format!("about {} million messages", free / MESSAGE_BYTES / 1_000_000);
            let grade = match free {
                0..SPACE_STOPS => Grade::Stops,
                SPACE_STOPS..SPACE_POOR => Grade::Poor,
                _ => Grade::Good,
            };
            Finding::new("disk space", grade, found, means)
        }
        Err(error) => Finding::unknown("disk space", &error),
    }
}

/// A file that is taken away again.
struct Probe {
    file: File,
    path: PathBuf,
}

impl Probe {
    fn create(there: &Path) -> io::Result<Self> {
        let path = there.join(format!(".throng-doctor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { file, path })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // What cannot be removed is a small file with a name that says whose it is.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_stops_the_server_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let gone = Path::new("/proc/self/nothing/here");
        assert_eq!(writable(gone, &nearest(gone)).grade, Grade::Stops);
        assert_eq!(writable(folder.path(), folder.path()).grade, Grade::Good);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_a_server_holds_is_said_to_be_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let said = || (is_served(folder.path()), in_use(folder.path()).found);
        assert_eq!(said(), (false, "no".to_owned()));
        let lock = File::create(folder.path().join("lock")).unwrap();
        assert_eq!(said(), (false, "no".to_owned()));
        lock.lock().unwrap();
        assert_eq!(said(), (true, "by a running server".to_owned()));
    }
}
