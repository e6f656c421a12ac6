//! What the file does beside the suite: opening again, trimming, being full, being foreign.

use super::*;
use crate::log::suite;
use crate::samples;

fn open(folder: &Path) -> SqliteLog {
    SqliteLog::open(&folder.join("log.db"), &LogOptions::new(Clock::system())).unwrap()
}

#[test]
fn it_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let mut folders = samples::folders(folder.path());
    suite::run(&mut || Arc::new(open(&folders())));
}

/// What came before an observation.
#[derive(Debug, Default)]
struct Heard(Mutex<String>);

impl SyncObserver for Heard {
    fn begins(&self) {
        self.0.lock().unwrap().push('(');
    }

    fn ends(&self) {
        self.0.lock().unwrap().push(')');
    }

    fn synced(&self, turns: usize, _bytes: usize, _took: std::time::Duration) {
        self.0.lock().unwrap().push_str(&turns.to_string());
    }

    fn checkpointed(&self, _took: std::time::Duration) {
        self.0.lock().unwrap().push('c');
    }
}

#[test]
fn it_tells_when_others_must_wait_for_it_and_when_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let heard = Arc::new(Heard::default());
    log.observe(heard.clone());
    log.append(b"one").unwrap();
    log.append(b"two").unwrap();
    log.file().failed = Some("planted".into());
    log.append(b"refused").unwrap_err();
    let refused = log.trim(TurnId(1)).unwrap_err();
    assert!(matches!(refused, LogError::SyncFailed(_)), "{refused}");
    assert_eq!(*heard.0.lock().unwrap(), "(1)(1)()()");
}

#[test]
fn who_appends_waits_for_a_checkpoint_and_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    // One commit dirties four pages: at the third append the two before are one too many.
    let options = LogOptions { checkpoint_pages: 8, ..LogOptions::new(Clock::system()) };
    let log = SqliteLog::open(&folder.path().join("log.db"), &options).unwrap();
    let heard = Arc::new(Heard::default());
    log.observe(heard.clone());
    for turn in [b"one", b"two", b"six"] {
        log.append(turn).unwrap();
    }
    assert_eq!(*heard.0.lock().unwrap(), "(1)(1)(c1)");
}

#[test]
fn a_reopened_log_has_its_turns_its_epoch_and_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let epoch = log.epoch();
    assert_eq!(log.append(b"one").unwrap(), TurnId(1));
    assert_eq!(log.append(b"two").unwrap(), TurnId(2));
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.epoch(), epoch);
    assert_eq!(suite::turns(&log, TurnId(0)), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    log.trim(TurnId(2)).unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.append(b"three").unwrap(), TurnId(3), "a trimmed id is not given again");
}

#[test]
fn trimmed_turns_leave_the_file_by_commits_idle_trims_and_closing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for _ in 0..TRIM_TURNS_MAX * 3 {
        log.append(&[7; 9000]).unwrap();
    }
    log.trim(TurnId(TRIM_TURNS_MAX * 3)).unwrap();
    assert_eq!(suite::turns(&log, TurnId(0)).len(), 1, "all but the newest");
    for _ in 0..TRIM_TURNS_MAX * 2 {
        log.append(b"short").unwrap();
    }
    log.trimmed.store(TRIM_TURNS_MAX * 4, Ordering::Relaxed);
    log.append(b"short").unwrap();
    assert_eq!(suite::turns(&log, TurnId(0)).len() as u64, TRIM_TURNS_MAX + 1);
    log.trimmed.store(u64::MAX, Ordering::Relaxed);
    drop(log);
    assert_eq!(suite::turns(&open(folder.path()), TurnId(0)).len(), 1);
}

#[test]
fn a_full_file_refuses_and_takes_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(b"before").unwrap();
    let limit = |pages: u32| {
        let file = log.file();
        let set: u32 = file
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0))
            .unwrap();
        set
    };
    limit(8);
    assert!(matches!(log.append(&vec![1; 100_000]), Err(LogError::Full)));
    assert!(matches!(log.append(&vec![1; 100_000]), Err(LogError::Full)));
    limit(1_000_000);
    assert_eq!(log.append(b"after").unwrap(), TurnId(2));
    assert_eq!(suite::turns(&log, TurnId(0)), [(1, b"before".to_vec()), (2, b"after".to_vec())]);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    std::fs::write(&path, [b'x'; 10_000]).unwrap();
    let refused = SqliteLog::open(&path, &LogOptions::new(Clock::system())).unwrap_err();
    assert!(matches!(refused, LogError::Corrupt { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), [b'x'; 10_000]);

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let refused = SqliteLog::open(&other, &LogOptions::new(Clock::system())).unwrap_err();
    assert!(refused.to_string().contains("is not a log of Throng"), "{refused}");
}

#[test]
fn a_file_of_a_newer_build_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    drop(open(folder.path()));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let refused = SqliteLog::open(&path, &LogOptions::new(Clock::system())).unwrap_err();
    assert!(refused.to_string().contains("newer build"), "{refused}");
}
