//! The engine against plain blocking peers on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Closed, ConnId, Engine, Handler, Next, Sockets};
use crate::clock::{self, Nanos};

/// What happened.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    closed: Vec<Closed>,
}

/// Keeps the log, and stops when `enough` says so.
struct Seen<F> {
    first_words: &'static [u8],
    log: Log,
    enough: F,
}

impl<F: FnMut(&Log, &mut Sockets) -> bool> Seen<F> {
    fn new(first_words: &'static [u8], enough: F) -> Self {
        Self { first_words, log: Log::default(), enough }
    }
}

impl<F: FnMut(&Log, &mut Sockets) -> bool> Handler for Seen<F> {
    fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, _now: Nanos) {
        sockets.out(conn).extend_from_slice(self.first_words);
    }
    fn received(&mut self, _: &mut Sockets, _: ConnId, bytes: &mut [u8], _now: Nanos) {
        self.log.bytes.extend_from_slice(bytes);
    }
    fn closed(&mut self, _: &mut Sockets, _: ConnId, why: Closed, _now: Nanos) {
        self.log.closed.push(why);
    }
    fn due(&mut self, sockets: &mut Sockets, _now: Nanos) -> Next {
        if (self.enough)(&self.log, sockets) { Next::Stop } else { Next::Idle }
    }
}

fn peer<T: Send + 'static>(
    work: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, std::thread::spawn(move || work(listener.accept().unwrap().0)))
}

#[test]
fn bytes_go_out_and_come_back_and_the_end_is_told() {
    let (address, peer) = peer(|mut stream| {
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(&hello).unwrap();
    });
    let mut engine = Engine::new().unwrap();
    engine.sockets.connect(address).unwrap();
    let mut seen = Seen::new(b"hello", |log: &Log, _: &mut Sockets| !log.closed.is_empty());
    engine.run(&mut seen).unwrap();
    peer.join().unwrap();
    assert_eq!(seen.log.bytes, b"hello");
    assert_eq!(seen.log.closed, [Closed::Ended]);
    assert!(engine.sockets.is_empty());
}

#[test]
fn a_closed_port_is_told_as_refused() {
    // Nobody else can take the port while it is bound, and nobody listens there.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    let mut engine = Engine::new().unwrap();
    engine.sockets.connect(address).unwrap();
    let mut seen = Seen::new(b"", |log: &Log, _: &mut Sockets| !log.closed.is_empty());
    engine.run(&mut seen).unwrap();
    assert_eq!(seen.log.closed, [Closed::Refused(std::io::ErrorKind::ConnectionRefused)]);
}

/// Over loopback a connection stands when the call returns, so no two overlap, though the loop hears of all of
/// them after the last.
#[test]
fn many_connections_begun_at_once_took_as_long_as_each_of_them_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut engine = Engine::new().unwrap();
    let before = clock::now();
    let all: Vec<ConnId> = (0..50).map(|_| engine.sockets.connect(address).unwrap()).collect();
    let seen = clock::now();
    let stood = |conn: &&ConnId| {
        let slot = &engine.sockets.table[conn.index()];
        slot.socket.as_ref().is_some_and(|it| it.stood.is_some())
    };
    let at_once: Vec<&ConnId> = all.iter().filter(stood).collect();
    assert!(!at_once.is_empty(), "the kernel made none of them at once");
    let took = at_once.iter().map(|conn| engine.sockets.connect_took(**conn, seen));
    let together: Duration = took.sum();
    assert!(together <= seen.since(before), "{together:?} of {:?}", seen.since(before));
    // One that did not stand yet takes until it is seen; one that is gone took no time.
    let last = all[49];
    engine.sockets.get(last).unwrap().stood = None;
    let second = Duration::from_secs(1);
    assert!(engine.sockets.connect_took(last, seen.plus(second)) >= second);
    engine.sockets.close(last);
    assert_eq!(engine.sockets.connect_took(last, seen.plus(second)), Duration::ZERO);
}

#[test]
fn a_large_write_is_finished_as_the_peer_takes_it() {
    const LEN: usize = 3_000_000;
    let (address, peer) = peer(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        got
    });
    let mut engine = Engine::new().unwrap();
    let conn = engine.sockets.connect(address).unwrap();
    engine.sockets.out(conn).extend((0..LEN).map(|i| i as u8));
    let mut seen = Seen::new(b"", |_: &Log, sockets: &mut Sockets| {
        let left = sockets.get(conn).map_or(0, |socket| socket.out.len());
        if left == 0 {
            sockets.close(conn);
        }
        left == 0
    });
    engine.run(&mut seen).unwrap();
    let got = peer.join().unwrap();
    assert_eq!(got.len(), LEN);
    assert!(got.iter().enumerate().all(|(i, byte)| *byte == i as u8));
}

#[test]
fn a_paused_reader_reads_everything_after_it_resumes() {
    let (address, peer) = peer(|mut stream| {
        stream.write_all(b"while it sleeps").unwrap();
    });
    let mut engine = Engine::new().unwrap();
    let conn = engine.sockets.connect(address).unwrap();
    let mut asked = 0;
    let mut seen = Seen::new(b"", |log: &Log, sockets: &mut Sockets| {
        asked += 1;
        sockets.pause(conn);
        sockets.resume(conn);
        !log.closed.is_empty()
    });
    engine.run(&mut seen).unwrap();
    peer.join().unwrap();
    assert_eq!(seen.log.bytes, b"while it sleeps");
    assert!(asked > 0);
}

#[test]
fn due_is_never_asked_before_its_time() {
    struct Paced {
        at: Nanos,
        left: u32,
        early: u32,
    }
    impl Handler for Paced {
        fn connected(&mut self, _: &mut Sockets, _: ConnId, _: Nanos) {}
        fn received(&mut self, _: &mut Sockets, _: ConnId, _: &mut [u8], _: Nanos) {}
        fn closed(&mut self, _: &mut Sockets, _: ConnId, _: Closed, _: Nanos) {}
        fn due(&mut self, _: &mut Sockets, now: Nanos) -> Next {
            self.early += u32::from(now < self.at);
            self.at = Nanos(now.0 + 300_000);
            self.left -= 1;
            if self.left == 0 { Next::Stop } else { Next::At(self.at) }
        }
    }
    let mut paced = Paced { at: Nanos(0), left: 50, early: 0 };
    let begun = clock::now();
    Engine::new().unwrap().run(&mut paced).unwrap();
    assert_eq!(paced.early, 0);
    assert!(clock::now().since(begun).as_micros() >= 49 * 300);
}

#[test]
fn a_late_word_about_a_closed_connection_does_not_reach_its_successor() {
    let (address, peer) = peer(|mut stream| stream.read_to_end(&mut Vec::new()).unwrap());
    let mut engine = Engine::new().unwrap();
    let first = engine.sockets.connect(address).unwrap();
    engine.sockets.close(first);
    let second = engine.sockets.connect(address).unwrap();
    assert_eq!(first.index(), second.index());
    assert!(!engine.sockets.is_open(first));
    engine.sockets.out(first).extend_from_slice(b"to nobody");
    assert!(engine.sockets.out(second).is_empty());
    engine.sockets.close(second);
    peer.join().unwrap();
}
