//! A loop that reads and throws away: the same connections, the same upgrade, the same bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::event::epoll;
use throng_lab::clock;
use throng_wire::ws::handshake;

use super::{Read, Teller, Work, resident, teller};

/// As the lab's engine has it.
const READ_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1_024;

pub fn read(teller: &mut Teller, work: Work) -> Read {
    let before = resident();
    let mut buffer = vec![0; READ_BYTES];
    let mut streams: Vec<TcpStream> =
        (0..work.connections).map(|_| opened(teller, &mut buffer)).collect();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a poll");
    for (at, stream) in streams.iter().enumerate() {
        stream.set_nonblocking(true).expect("a socket");
        let (what, when) = (epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN);
        epoll::add(&poll, stream, what, when | epoll::EventFlags::ET).expect("it is added");
    }
    let turns = teller::lengths(work);
    let (began, mut reads) = (clock::thread_cpu(), 0);
    let mut events = Vec::with_capacity(EVENTS_MAX);
    for bytes in turns {
        teller.next();
        let mut missing = bytes * work.connections;
        while missing > 0 {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            epoll::wait(&poll, spare, None).expect("it waits");
            for event in &events {
                let at = event.data.u64() as usize;
                // What fills less than the buffer has emptied the socket.
                let Ok(count) = streams[at].read(&mut buffer) else { continue };
                assert!(count > 0, "the teller is gone");
                reads += 1;
                missing -= count;
            }
        }
    }
    let cpu = clock::thread_cpu().saturating_sub(began);
    let deliveries = (work.connections * work.frames * work.turns) as u64;
    Read { cpu, reads, deliveries, bytes: resident().saturating_sub(before) }
}

/// A connection that stands, its upgrade answered.
fn opened(teller: &Teller, buffer: &mut [u8]) -> TcpStream {
    let mut stream = TcpStream::connect(teller.address).expect("the teller listens");
    let (host, key) = (teller.address.to_string(), handshake::key([7; 16]));
    let request = handshake::request(&host, "/ws", &key, "throng.v1.json", "");
    stream.write_all(&request).expect("it is read");
    let mut came = 0;
    while !buffer[..came].ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer[came..]).expect("an answer");
        assert!(count > 0, "the teller is gone");
        came += count;
    }
    stream
}
