//! What every log must do, as one function; each implementation's tests call it.
//!
//! Every call also fails once: `Failing` refuses the first call of each kind, and the log behind it
//! must be as if that call had never been.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use throng_core::Epoch;

use super::{Log, LogError, MemoryLog, SyncObserver, TurnId, Visit};

/// A log that refuses the next `refusals` calls that can fail.
#[derive(Debug)]
pub struct Failing {
    /// The log behind.
    pub log: Arc<dyn Log>,
    /// How many calls are refused from now on.
    pub refusals: AtomicUsize,
    /// Old turns cannot be taken away: a sync of it fails.
    pub trims_fail: AtomicBool,
}

impl Failing {
    /// Refuses nothing yet.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, refusals: AtomicUsize::new(0), trims_fail: AtomicBool::new(false) }
    }

    fn refuse(&self, attempted: &'static str) -> Result<(), LogError> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Err(LogError::Io { attempted, cause: "refused by the test".into() }),
            Err(_) => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), LogError> {
        let fails = self.trims_fail.load(Ordering::Relaxed);
        if fails { Err(LogError::SyncFailed("refused by the test".into())) } else { Ok(()) }
    }
}

impl Log for Failing {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn append(&self, turn: &[u8]) -> Result<TurnId, LogError> {
        self.refuse("append to the log")?;
        self.log.append(turn)
    }

    fn replay(&self, after: TurnId, visit: &mut Visit<'_>) -> Result<(), LogError> {
        self.refuse("read the log")?;
        self.log.replay(after, visit)
    }

    fn trim(&self, through: TurnId) -> Result<(), LogError> {
        self.sync()?;
        self.log.trim(through)
    }

    fn scrub(&self, nothing: &[u8]) -> Result<bool, LogError> {
        self.sync()?;
        self.log.scrub(nothing)
    }

    fn close(&self) -> Result<(), LogError> {
        self.sync()?;
        self.log.close()
    }

    fn observe(&self, observer: Arc<dyn SyncObserver>) {
        self.log.observe(observer);
    }
}

/// A log that appends when it may: its shard waits.
#[derive(Debug)]
pub struct Held {
    log: MemoryLog,
    /// Whether it is held, and whether somebody waits for it.
    gate: Mutex<(bool, bool)>,
    moved: Condvar,
}

impl Held {
    /// Holds nothing yet.
    pub fn new(log: MemoryLog) -> Self {
        Self { log, gate: Mutex::default(), moved: Condvar::new() }
    }

    /// Whether what is appended from now on waits; what waits goes on when it need not.
    pub fn hold(&self, hold: bool) {
        self.gate.lock().unwrap().0 = hold;
        self.moved.notify_all();
    }

    /// Whether an append waits.
    pub fn is_waited_for(&self) -> bool {
        self.gate.lock().unwrap().1
    }
}

impl Log for Held {
    fn append(&self, turn: &[u8]) -> Result<TurnId, LogError> {
        let mut gate = self.gate.lock().unwrap();
        while gate.0 {
            gate.1 = true;
            gate = self.moved.wait(gate).unwrap();
        }
        gate.1 = false;
        drop(gate);
        self.log.append(turn)
    }

    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn replay(&self, after: TurnId, visit: &mut Visit<'_>) -> Result<(), LogError> {
        self.log.replay(after, visit)
    }

    fn trim(&self, through: TurnId) -> Result<(), LogError> {
        self.log.trim(through)
    }

    fn scrub(&self, nothing: &[u8]) -> Result<bool, LogError> {
        self.log.scrub(nothing)
    }

    fn close(&self) -> Result<(), LogError> {
        self.log.close()
    }

    fn observe(&self, observer: Arc<dyn SyncObserver>) {
        self.log.observe(observer);
    }
}

/// The turns after `after` that are kept.
pub fn turns(log: &dyn Log, after: TurnId) -> Vec<(u64, Vec<u8>)> {
    let mut turns = Vec::new();
    let mut visit = |id: TurnId, bytes: &[u8]| {
        turns.push((id.0, bytes.to_vec()));
        Ok(())
    };
    log.replay(after, &mut visit).unwrap();
    turns
}

/// Runs every claim on a fresh log.
pub fn run(make: &mut dyn FnMut() -> Arc<dyn Log>) {
    turns_come_back_in_the_order_of_their_ids(&*make());
    a_refused_call_leaves_nothing(make());
    a_replay_ends_where_its_visitor_refuses(&*make());
    trimming_keeps_what_is_after_and_may_be_repeated(&*make());
    callers_side_by_side_each_get_their_own_id(&*make());
    every_turn_is_counted_in_a_sync(&*make());
}

fn turns_come_back_in_the_order_of_their_ids(log: &dyn Log) {
    assert!(turns(log, TurnId(0)).is_empty());
    for number in 1..=5u8 {
        assert_eq!(
            log.append(&vec![number; usize::from(number) * 1000]).unwrap().0,
            u64::from(number)
        );
    }
    let kept = turns(log, TurnId(2));
    assert_eq!(kept.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(kept.iter().all(|(id, bytes)| *bytes == vec![*id as u8; *id as usize * 1000]));
}

fn a_refused_call_leaves_nothing(log: Arc<dyn Log>) {
    let failing = Failing::new(log);
    failing.refusals.store(1, Ordering::Relaxed);
    assert!(failing.append(b"refused").is_err());
    assert_eq!(failing.append(b"taken").unwrap(), TurnId(1));
    failing.refusals.store(1, Ordering::Relaxed);
    assert!(failing.replay(TurnId(0), &mut |_, _| Ok(())).is_err());
    assert_eq!(turns(&failing, TurnId(0)), [(1, b"taken".to_vec())]);
}

fn a_replay_ends_where_its_visitor_refuses(log: &dyn Log) {
    for turn in [b"a", b"b", b"c"] {
        log.append(turn).unwrap();
    }
    let mut seen = 0;
    let ended = log.replay(TurnId(0), &mut |id, _| {
        seen = id.0;
        if id.0 == 2 { Err("not a turn".into()) } else { Ok(()) }
    });
    assert_eq!(seen, 2);
    assert!(matches!(ended, Err(LogError::Corrupt { at: TurnId(2), .. })));
    assert_eq!(log.append(b"d").unwrap(), TurnId(4), "and the log goes on");
}

fn trimming_keeps_what_is_after_and_may_be_repeated(log: &dyn Log) {
    for turn in [b"a", b"b", b"c", b"d"] {
        log.append(turn).unwrap();
    }
    log.trim(TurnId(2)).unwrap();
    log.trim(TurnId(1)).unwrap();
    log.trim(TurnId(2)).unwrap();
    assert_eq!(turns(log, TurnId(2)), [(3, b"c".to_vec()), (4, b"d".to_vec())]);
    log.trim(TurnId(4)).unwrap();
    assert_eq!(log.append(b"e").unwrap(), TurnId(5), "ids are not given again");
    assert_eq!(turns(log, TurnId(4)), [(5, b"e".to_vec())]);
    log.scrub(b"nothing").unwrap();
    assert_eq!(turns(log, TurnId(4)), [(5, b"e".to_vec())], "what is not trimmed stays");
    log.trim(TurnId(5)).unwrap();
    assert!(log.scrub(b"nothing").unwrap());
    assert!(turns(log, TurnId(0)).iter().all(|turn| *turn == (5, b"nothing".to_vec())));
    assert_eq!(log.append(b"f").unwrap(), TurnId(6), "nor after that");
    log.close().unwrap();
    assert_eq!(turns(log, TurnId(5)), [(6, b"f".to_vec())], "nor at the end");
}

fn callers_side_by_side_each_get_their_own_id(log: &dyn Log) {
    const CALLERS: u8 = 4;
    const EACH: u32 = 50;
    let given = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let given = &given;
            scope.spawn(move || {
                let mut before = 0;
                for number in 0..EACH {
                    let turn = [&[caller][..], &number.to_le_bytes()].concat();
                    let id = log.append(&turn).unwrap().0;
                    assert!(id > before, "a caller's turns are in the order it made them");
                    before = id;
                    given.lock().unwrap().push((id, turn));
                }
            });
        }
    });
    let mut given = given.into_inner().unwrap();
    given.sort();
    assert_eq!(given.len(), (u32::from(CALLERS) * EACH) as usize);
    assert_eq!(turns(log, TurnId(0)), given);
}

fn every_turn_is_counted_in_a_sync(log: &dyn Log) {
    #[derive(Debug, Default)]
    struct Counts {
        turns: AtomicUsize,
        bytes: AtomicU64,
        begun: AtomicUsize,
        ended: AtomicUsize,
    }
    impl SyncObserver for Counts {
        fn begins(&self) {
            let begun = self.begun.fetch_add(1, Ordering::Relaxed);
            assert_eq!(begun, self.ended.load(Ordering::Relaxed), "one writes at a time");
        }

        fn ends(&self) {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }

        fn synced(&self, turns: usize, bytes: usize, _took: Duration) {
            self.turns.fetch_add(turns, Ordering::Relaxed);
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }

        fn checkpointed(&self, _took: Duration) {}
    }
    let counts = Arc::new(Counts::default());
    log.observe(counts.clone());
    log.append(b"abc").unwrap();
    log.append(b"de").unwrap();
    assert_eq!(counts.turns.load(Ordering::Relaxed), 2);
    assert_eq!(counts.bytes.load(Ordering::Relaxed), 5);
    let begun = counts.begun.load(Ordering::Relaxed);
    assert_eq!(begun, counts.ended.load(Ordering::Relaxed));
}
