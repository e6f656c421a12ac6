//! Who asks over HTTP and does not read the answers: it holds its socket as long as it takes something
//! of what waits for it now and then, and no longer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use throng_server::clock::Clock;

use super::Server;

const TIME_MS: u64 = 200;
const ALMOST: Duration = Duration::from_millis(TIME_MS - 1);
const MILLI: Duration = Duration::from_millis(1);
/// Far more than the kernel holds for the two ends of a socket whose buffers are small.
const STEP_LEN: usize = 256 * 1024;
const STEPS: usize = 8;

/// A connection whose kernel takes little of what its owner does not read.
fn connect(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Requests for a file of the page; after the last one the server closes.
fn requests(count: usize) -> String {
    let request = "GET /app.js HTTP/1.1\r\nhost: x\r\n";
    format!("{}{request}connection: close\r\n\r\n", format!("{request}\r\n").repeat(count - 1))
}

fn answers(came: &[u8]) -> usize {
    let head = b"HTTP/1.1 200 OK\r\n";
    came.windows(head.len()).filter(|window| window == head).count()
}

#[test]
fn who_reads_no_answer_is_cut_when_its_time_is_over_and_who_reads_slowly_is_served() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| {
        settings.limits.write_timeout_ms = TIME_MS;
        settings.limits.handshake_timeout_ms = 60_000;
        settings.limits.send_buffer_bytes = 4_096;
    });
    let tasks = || server.app().lifecycle.tasks();
    let cut = || server.app().metrics.slow_disconnects.get();
    let doors = tasks();
    let mut one = connect(server.http);
    one.write_all(requests(1).as_bytes()).unwrap();
    let len = one.read_to_end(&mut Vec::new()).unwrap();
    let count = STEPS * STEP_LEN / len + 2;
    let mut stalled = connect(server.http);
    let mut steady = connect(server.http);
    for peer in [&mut stalled, &mut steady] {
        peer.write_all(requests(count).as_bytes()).unwrap();
    }
    let mut came = vec![0; STEPS * STEP_LEN];
    for piece in came.chunks_mut(STEP_LEN) {
        // More than was on its way: some of it was written only now, and so is it that waits.
        steady.read_exact(piece).unwrap();
        clock.advance(ALMOST);
    }
    steady.read_to_end(&mut came).unwrap();
    assert_eq!(answers(&came), count, "it was served to its end");
    // The other began to wait at a time of its own.
    while cut() == 0 {
        clock.advance(MILLI);
        std::thread::yield_now();
    }
    while tasks() != doors {
        std::thread::yield_now();
    }
    let mut came = Vec::new();
    _ = stalled.read_to_end(&mut came);
    assert!(answers(&came) < count / 2, "what the kernel had, and nothing after it");
    assert_eq!(cut(), 1);
}
