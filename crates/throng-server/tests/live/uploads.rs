//! Files on a real socket, from clients that do not do as they say: who goes away in the middle of a
//! part, who drips, and whose `Content-Length` is a lie. What has come stays.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::Server;
use super::client::Speak;

/// The length of the file that is announced, and of the piece that is sent of it.
const LEN: usize = 1 << 20;
const SENT: usize = 300_000;

struct Scene {
    server: Server,
    folder: tempfile::TempDir,
    token: String,
}

impl Scene {
    fn new() -> Self {
        Self::stalling(600_000)
    }

    /// Where a transfer must go on within so many milliseconds.
    fn stalling(transfer_stall_ms: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(folder.path(), transfer_stall_ms);
        let token = server.join_in(Speak::Json, "anna").token.clone();
        Self { server, folder, token }
    }

    /// Stops the server, which may not take long, and starts another one.
    fn restarted(self) -> Self {
        let Self { mut server, folder, token } = self;
        let (ends, ended) = sync_channel(1);
        std::thread::spawn(move || {
            server.stop();
            drop(server);
            ends.send(()).unwrap();
        });
        ended.recv_timeout(Duration::from_mins(1)).expect("it waits for a client");
        let server = serve(folder.path(), 600_000);
        Self { server, folder, token }
    }

    /// A request's first line and headers, with a body of this length to come.
    fn begin(&self, what: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!(
            "{what} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{headers}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    /// A file that is to come; its path.
    fn announce(&self) -> String {
        let headers = format!("connection: close\r\ncontent-length: 0\r\nupload-length: {LEN}");
        let answer = read(&mut self.begin("POST /api/v1/files", &headers));
        assert!(answer.starts_with("http/1.1 201"), "{answer}");
        header(&answer, "location").to_owned()
    }

    /// How much of it the server says has come.
    fn here(&self, path: &str) -> usize {
        let head = read(&mut self.begin(&format!("HEAD {path}"), "connection: close"));
        header(&head, "upload-offset").parse().unwrap()
    }

    fn patch(&self, path: &str, at: usize, len: &str) -> TcpStream {
        let headers = format!(
            "content-type: application/offset+octet-stream\r\nupload-offset: {at}\r\n\
             content-length: {len}"
        );
        self.begin(&format!("PATCH {path}"), &headers)
    }

    /// How much of it is on the disk, kept or not.
    fn written(&self, path: &str) -> usize {
        let name = Path::new(path).file_name().unwrap();
        let part = self.folder.path().join("files/parts").join(name);
        part.metadata().map_or(0, |found| found.len() as usize)
    }

    /// Waits until so much is said to have come.
    fn comes_to(&self, path: &str, enough: usize) -> usize {
        for _ in 0..20_000 {
            let here = self.here(path);
            if here >= enough {
                return here;
            }
        }
        panic!("{} of {enough} came", self.here(path));
    }
}

fn serve(folder: &Path, transfer_stall_ms: u64) -> Server {
    Server::with(|settings| {
        settings.memory = false;
        folder.clone_into(&mut settings.data);
        settings.limits.disk_free_min = 0;
        settings.limits.transfer_stall_ms = transfer_stall_ms;
        settings.limits.requests_burst = 1_000_000;
    })
}

/// All that comes until the end, in small letters.
fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).to_lowercase()
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let found = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {answer}"))
}

#[test]
fn what_had_come_stays_when_the_sender_goes_away_in_the_middle_of_a_part() {
    let scene = Scene::new();
    // It leaves in order: all that it sent has come.
    let path = scene.announce();
    let mut sender = scene.patch(&path, 0, &LEN.to_string());
    sender.write_all(&vec![7; SENT]).unwrap();
    sender.shutdown(Shutdown::Write).unwrap();
    drop(sender);
    assert_eq!(scene.comes_to(&path, SENT), SENT);
    // It sends all that it said, and does not wait for the answer.
    let mut sender = scene.patch(&path, SENT, &SENT.to_string());
    sender.write_all(&vec![7; SENT]).unwrap();
    drop(sender);
    assert_eq!(scene.comes_to(&path, 2 * SENT), 2 * SENT);
    // It is torn away: what is on its way is lost, what was written is not.
    let path = scene.announce();
    let mut sender = scene.patch(&path, 0, &LEN.to_string());
    sender.write_all(&vec![7; SENT]).unwrap();
    while scene.written(&path) < 4 * 64 * 1_024 {
        std::thread::yield_now();
    }
    let socket = socket2::SockRef::from(&sender);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(sender);
    let here = scene.comes_to(&path, 4 * 64 * 1_024);
    // And it goes on from there.
    let rest = LEN - here;
    let mut sender = scene.patch(&path, here, &format!("{rest}\r\nconnection: close"));
    sender.write_all(&vec![7; rest]).unwrap();
    let answer = read(&mut sender);
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    assert_eq!(header(&answer, "upload-offset"), LEN.to_string());
}

#[test]
fn who_comes_back_goes_on_though_the_lost_connection_still_seems_to_be_there() {
    let scene = Scene::new();
    let path = scene.announce();
    let mut lost = scene.patch(&path, 0, &LEN.to_string());
    lost.write_all(&vec![7; SENT]).unwrap();
    while scene.written(&path) < 4 * 64 * 1_024 {
        std::thread::yield_now();
    }
    assert_eq!(scene.here(&path), 0, "nothing of it is kept yet");
    // Whoever goes on where it was has what came kept, and is told to ask how much that is.
    let mut again = scene.patch(&path, 0, &format!("{LEN}\r\nconnection: close"));
    let answer = read(&mut again);
    assert!(answer.starts_with("http/1.1 409") && answer.contains("wrong_offset"), "{answer}");
    let here = scene.here(&path);
    assert!((4 * 64 * 1_024..=SENT).contains(&here), "{here} of {SENT}");
    let rest = LEN - here;
    let mut again = scene.patch(&path, here, &format!("{rest}\r\nconnection: close"));
    again.write_all(&vec![7; rest]).unwrap();
    let answer = read(&mut again);
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    // The one before hears why it ended.
    assert!(read(&mut lost).starts_with("http/1.1 409"));
}

#[test]
fn a_stop_does_not_wait_for_one_who_sends_a_file_and_what_had_come_stays() {
    let scene = Scene::new();
    let path = scene.announce();
    // It sends no more, and does not go.
    let mut sender = scene.patch(&path, 0, &LEN.to_string());
    sender.write_all(&vec![7; SENT]).unwrap();
    while scene.written(&path) < 4 * 64 * 1_024 {
        std::thread::yield_now();
    }
    let scene = scene.restarted();
    let here = scene.here(&path);
    assert!((4 * 64 * 1_024..=SENT).contains(&here), "{here} of {SENT}");
    let rest = LEN - here;
    let mut again = scene.patch(&path, here, &format!("{rest}\r\nconnection: close"));
    again.write_all(&vec![7; rest]).unwrap();
    let answer = read(&mut again);
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    drop(sender);
}

#[test]
fn one_that_drips_a_part_is_answered_in_its_time_and_what_came_stays() {
    let scene = Scene::stalling(1_000);
    let path = scene.announce();
    let mut sender = scene.patch(&path, 0, &format!("{LEN}\r\nconnection: close"));
    sender.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut dripped = 0;
    let mut chunk = [0; 1_024];
    let answer = loop {
        // It may have been answered and cut between two drops.
        _ = sender.write_all(b"x");
        dripped += 1;
        match sender.read(&mut chunk) {
            Ok(len) => break String::from_utf8_lossy(&chunk[..len]).to_lowercase(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error} after {dripped} bytes"),
        }
        assert!(dripped < 500, "a byte in 50 ms is not 64 KiB in a second");
    };
    assert!(answer.starts_with("http/1.1 400"), "{answer}");
    let here = scene.here(&path);
    assert!((1..=dripped).contains(&here), "{here} of {dripped}");
}

#[test]
fn a_content_length_that_is_a_lie_takes_nothing_and_gives_nothing() {
    let scene = Scene::new();
    let path = scene.announce();
    // More than was announced: what fits is kept, the rest is refused before it is all sent.
    let mut sender = scene.patch(&path, 0, "9223372036854775807\r\nconnection: close");
    _ = sender.write_all(&vec![7; 2 * LEN]);
    let answer = read(&mut sender);
    assert!(answer.starts_with("http/1.1 413"), "{answer}");
    let here = scene.here(&path);
    assert!((LEN - 2 * 64 * 1_024..=LEN).contains(&here), "{here}");
    // Less than is sent: the rest is no request, and no part of the file.
    let path = scene.announce();
    let mut sender = scene.patch(&path, 0, "5");
    _ = sender.write_all(b"helloGARBAGE THAT IS NO REQUEST\r\n\r\n");
    let answers = read(&mut sender);
    assert!(answers.starts_with("http/1.1 204"), "{answers}");
    assert!(answers.contains("http/1.1 400"), "{answers}");
    assert_eq!(scene.here(&path), 5);
    // What is no number, or two of them.
    for len in ["-1", "x", "5\r\ncontent-length: 6", "99999999999999999999999"] {
        let mut sender = scene.patch(&path, 5, len);
        _ = sender.write_all(b"hello");
        let answer = read(&mut sender);
        assert!(answer.starts_with("http/1.1 400"), "{len}: {answer}");
        assert_eq!(scene.here(&path), 5, "{len}");
    }
}
