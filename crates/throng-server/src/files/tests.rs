//! What nobody has is freed, and what somebody has is not, whatever the order of days.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::*;
use crate::samples;

/// Answers as it is told: 0 for not known, 1 for no, 2 for yes.
#[derive(Clone, Default)]
struct Told(Arc<AtomicU8>);

impl Carriers for Told {
    fn carry(&self, _: FileId, _: throng_core::Timestamp) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            told => Some(told == 2),
        }
    }

    fn shows(&self, _: FileHash) -> bool {
        false
    }
}

struct Bench {
    folder: tempfile::TempDir,
    clock: Clock,
    told: Told,
    files: Arc<Files>,
}

const UNUSED: Duration = Duration::from_hours(1);

impl Bench {
    fn new() -> Self {
        let told = Told::default();
        Self::opened(told.clone(), told, |_| {})
    }

    fn opened(told: Told, carriers: impl Carriers, change: impl FnOnce(&mut Limits)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual();
        clock.advance(Duration::from_hours(100));
        let unused = UNUSED.as_millis() as u64;
        let mut limits = Limits { disk_free_min: 0, file_unused_ms: unused, ..Limits::default() };
        change(&mut limits);
        let fatal = Fatal::new(|code, why| panic!("ended with {code}: {why}"));
        let files = Files::open(folder.path(), &limits, clock.clone(), fatal, carriers);
        Self { folder, clock, told, files: files.unwrap() }
    }

    fn user(number: u64) -> UserId {
        samples::author(number).id
    }

    fn begin(&self, user: u64, len: usize) -> FileId {
        let name = FileName::parse("a").unwrap();
        self.files.begin(Self::user(user), &name, len as u64).unwrap()
    }

    /// The right to go on with a file from its start, if nobody has it.
    fn part(&self, user: u64, id: FileId) -> Option<Part> {
        match self.files.part(Self::user(user), id, 0).unwrap() {
            Turn::Now(part) => Some(part),
            Turn::Later(_) => None,
        }
    }

    fn send(&self, user: u64, bytes: &[u8]) -> FileId {
        let id = self.begin(user, bytes.len());
        let mut part = self.part(user, id).unwrap();
        part.write(bytes).unwrap();
        assert!(part.settle().unwrap());
        id
    }

    /// Later, and every corner is looked at.
    fn sweep(&self, later: Duration) {
        self.clock.advance(later);
        for first in 0..=255 {
            self.files.sweep(&self.told, first);
        }
    }

    fn is_there(&self, bytes: &[u8]) -> bool {
        self.files.blobs.whole(FileHash(*blake3::hash(bytes).as_bytes())).is_ok()
    }
}

#[test]
fn a_file_that_no_message_carries_is_freed_after_its_time_and_not_before() {
    let bench = Bench::new();
    let id = bench.send(1, b"cat");
    bench.told.0.store(1, Ordering::Relaxed);
    bench.sweep(UNUSED);
    assert!(bench.is_there(b"cat") && bench.files.find(Bench::user(1), id).is_ok());
    bench.told.0.store(0, Ordering::Relaxed);
    bench.sweep(Duration::from_millis(1));
    assert!(bench.is_there(b"cat"), "what is not known is not acted upon");
    bench.told.0.store(2, Ordering::Relaxed);
    bench.sweep(Duration::ZERO);
    bench.told.0.store(1, Ordering::Relaxed);
    bench.sweep(UNUSED);
    assert!(
        bench.is_there(b"cat"),
        "it was carried when it was looked at, so its time begins again"
    );
    bench.sweep(Duration::from_millis(1));
    assert!(!bench.is_there(b"cat"));
    assert_eq!(bench.files.find(Bench::user(1), id), Err(Rejection::NoSuchFile));
}

#[test]
fn to_attach_a_file_begins_its_time_again() {
    let bench = Bench::new();
    let id = bench.send(1, b"cat");
    bench.told.0.store(1, Ordering::Relaxed);
    bench.clock.advance(UNUSED);
    assert_eq!(bench.files.carried(Bench::user(1), &[id]).unwrap()[0].len, 3);
    assert_eq!(bench.files.carried(Bench::user(2), &[id]), Err(Rejection::NoSuchFile));
    bench.sweep(UNUSED);
    assert!(bench.is_there(b"cat"));
}

/// Knows of no message; while it looks, one is said that is to carry the file.
struct SaidMeanwhile(Arc<Files>);

impl Carriers for SaidMeanwhile {
    fn carry(&self, file: FileId, _: throng_core::Timestamp) -> Option<bool> {
        assert_eq!(self.0.carried(Bench::user(1), &[file]).unwrap()[0].id, file);
        Some(false)
    }

    fn shows(&self, _: FileHash) -> bool {
        false
    }
}

#[test]
fn a_file_that_is_attached_while_its_messages_are_looked_for_is_not_freed() {
    let bench = Bench::new();
    let id = bench.send(1, b"cat");
    bench.clock.advance(UNUSED + Duration::from_millis(1));
    bench.files.sweep(&SaidMeanwhile(Arc::clone(&bench.files)), 0);
    assert!(bench.is_there(b"cat") && bench.files.find(Bench::user(1), id).unwrap().whole);
}

#[test]
fn the_same_bytes_of_two_accounts_lie_once_and_go_with_the_last() {
    let bench = Bench::new();
    bench.send(1, b"cat");
    bench.clock.advance(Duration::from_millis(10));
    bench.send(2, b"cat");
    assert_eq!(bench.files.blobs.wholes(blake3::hash(b"cat").as_bytes()[0]).unwrap().len(), 1);
    bench.told.0.store(1, Ordering::Relaxed);
    bench.sweep(UNUSED.saturating_sub(Duration::from_millis(9)));
    assert!(bench.is_there(b"cat"), "the second one's");
    bench.sweep(Duration::from_millis(10));
    assert!(!bench.is_there(b"cat"));
}

#[test]
fn a_part_that_was_left_is_freed_and_one_that_is_being_added_to_is_not() {
    let bench = Bench::new();
    let (left, busy) = (bench.begin(1, 9), bench.begin(1, 9));
    bench.part(1, left).unwrap().settle().unwrap();
    let part = bench.part(1, busy).unwrap();
    assert!(bench.part(1, busy).is_none(), "one at a time");
    bench.sweep(UNUSED + Duration::from_millis(1));
    assert_eq!(bench.files.blobs.parts().unwrap(), [busy]);
    drop(part);
    bench.sweep(Duration::ZERO);
    assert!(bench.files.blobs.parts().unwrap().is_empty());
}

#[test]
fn bytes_that_a_crash_left_without_a_row_are_found() {
    let bench = Bench::new();
    bench.send(1, b"cat");
    let files = bench.folder.path().join("files");
    let strange = blake3::hash(b"dog").to_hex();
    std::fs::create_dir_all(files.join("whole").join(&strange[..2])).unwrap();
    std::fs::write(files.join("whole").join(&strange[..2]).join(&*strange), b"dog").unwrap();
    std::fs::write(files.join("parts").join("0".repeat(32)), b"mouse").unwrap();
    bench.sweep(Duration::ZERO);
    assert!(bench.is_there(b"cat") && !bench.is_there(b"dog"));
    assert!(bench.files.blobs.parts().unwrap().is_empty());
}

/// Says that it was asked, and answers when it may.
struct Held {
    asked: SyncSender<()>,
    may: std::sync::mpsc::Receiver<()>,
}

impl Carriers for Held {
    fn carry(&self, _: FileId, _: throng_core::Timestamp) -> Option<bool> {
        // Who tests has gone: nothing is held any more.
        _ = self.asked.send(());
        _ = self.may.recv();
        None
    }

    fn shows(&self, _: FileHash) -> bool {
        false
    }
}

#[test]
fn pictures_wait_to_be_made_small_up_to_their_limit_and_one_more_is_busy() {
    let ((asked, is_asked), (goes, may)) = (sync_channel(1), sync_channel(1));
    let bench = Bench::opened(Told::default(), Held { asked, may }, |limits| {
        limits.picture_queue_max = 2;
    });
    bench.send(1, b"cat");
    bench.clock.advance(UNUSED + Duration::from_millis(1));
    let picture = samples::file(1);
    let ask = || bench.files.ask_small(&picture);
    let none = |answer: oneshot::Receiver<Small>| assert_eq!(answer.blocking_recv(), Ok(None));
    // Behind its first picture the thread looks for what nobody carries, and is held there.
    none(ask().unwrap());
    is_asked.recv().unwrap();
    let waiting = [ask().unwrap(), ask().unwrap()];
    assert!(matches!(ask(), Err(Rejection::Busy { .. })), "two wait, and not three");
    goes.send(()).unwrap();
    waiting.into_iter().for_each(none);
    none(ask().unwrap());
}

#[test]
fn what_came_after_the_last_sync_is_not_taken_for_what_was_kept() {
    let bench = Bench::new();
    let id = bench.begin(1, 6);
    let mut part = bench.part(1, id).unwrap();
    part.write(b"abc").unwrap();
    // It ends here: nothing was promised.
    drop(part);
    assert_eq!(bench.files.find(Bench::user(1), id).unwrap().here, 0);
    let mut part = bench.part(1, id).unwrap();
    part.write(b"uvwxyz").unwrap();
    assert!(part.settle().unwrap());
    assert!(bench.is_there(b"uvwxyz"));
}
