//! The lab's own way: engine, driver, ledger, recorder.

use std::rc::Rc;
use std::time::Duration;

use throng_lab::clock::{self, Nanos};
use throng_lab::drivers::{self, Dress, Driver, Observation, Posted};
use throng_lab::engine::{Closed, ConnId, Engine, Handler, Next, Sockets};
use throng_lab::ledger::{Ledger, UserIx};
use throng_lab::recorder::Recorder;

use super::{Read, Teller, Work, resident, teller};

struct Crowd<'a> {
    teller: &'a mut Teller,
    work: Work,
    drivers: Vec<Box<dyn Driver>>,
    users: Vec<UserIx>,
    ledger: Ledger,
    recorder: Recorder,
    open: usize,
    turns: usize,
    /// Deliveries until the turn is over.
    missing: usize,
    reads_before: u64,
    began: Option<Duration>,
}

pub fn read(teller: &mut Teller, work: Work) -> Read {
    let before = resident();
    let (mut ledger, users, sends) = teller::books(work);
    for (seq, send) in (1..).zip(sends) {
        let (room, n) = (teller::ROOM, seq);
        let posted = Posted { room, seq, n, repeat: false, durable: true, trace: None };
        ledger.acked(send, &posted);
    }
    let memory = Rc::default();
    let host: Rc<str> = teller.address.to_string().into();
    let driver = |seed| drivers::driver((Dress::WsJson, false), &host, &memory, seed);
    let mut engine = Engine::new().expect("a loop");
    for _ in 0..work.connections {
        engine.sockets.connect(teller.address).expect("a socket");
    }
    let mut crowd = Crowd {
        teller,
        work,
        drivers: (1..=work.connections as u64).map(driver).collect(),
        users,
        ledger,
        recorder: Recorder::new(&["room".to_owned()]),
        open: 0,
        turns: 0,
        missing: 0,
        reads_before: 0,
        began: None,
    };
    engine.run(&mut crowd).expect("the loop");
    let cpu = clock::thread_cpu().saturating_sub(crowd.began.expect("it began"));
    let reads = engine.sockets.reads() - crowd.reads_before;
    let bytes = resident().saturating_sub(before);
    let deliveries = crowd.ledger.deliveries();
    let verdict = crowd.ledger.verdict();
    assert_eq!(verdict.delivery_faults.sum(), 0, "{verdict:?}");
    Read { cpu, reads, deliveries, bytes }
}

impl Crowd<'_> {
    /// Everybody is there, or has read the turn: the next one, or the end.
    fn go_on(&mut self, sockets: &Sockets) {
        if self.began.is_none() {
            self.began = Some(clock::thread_cpu());
            self.reads_before = sockets.reads();
        }
        if self.turns < self.work.turns {
            self.turns += 1;
            self.missing = self.work.connections * self.work.frames;
            self.teller.next();
        }
    }
}

impl Handler for Crowd<'_> {
    fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, _now: Nanos) {
        self.drivers[conn.index()].open(sockets.out(conn));
    }

    fn received(&mut self, sockets: &mut Sockets, conn: ConnId, bytes: &mut [u8], now: Nanos) {
        let Self { drivers, users, ledger, recorder, open, missing, work, .. } = self;
        let user = users[conn.index()];
        let was_open = *open;
        let greeted = drivers[conn.index()].receive(bytes, sockets.out(conn), &mut |seen| {
            if let Observation::Event(event) = seen
                && let Some(receipt) = ledger.delivered(user, &event, now, Nanos(0))
            {
                recorder.delivered(0, &receipt, now);
                *missing -= 1;
            }
        });
        greeted.expect("what was told is what the protocol says");
        if was_open < work.connections {
            // The answer to the upgrade comes in one piece.
            *open += 1;
            if *open == work.connections {
                self.go_on(sockets);
            }
        } else if self.missing == 0 {
            self.go_on(sockets);
        }
    }

    fn closed(&mut self, _: &mut Sockets, _: ConnId, why: Closed, _now: Nanos) {
        panic!("the teller is gone: {why:?}");
    }

    fn due(&mut self, _sockets: &mut Sockets, _now: Nanos) -> Next {
        let is_over = self.turns == self.work.turns && self.missing == 0 && self.began.is_some();
        if is_over { Next::Stop } else { Next::Idle }
    }
}
