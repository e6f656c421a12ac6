//! Sockets that begin and never become anybody: silent, dripping a head, upgraded and nameless, at
//! both doors. While they are there good clients come in and are served; they cost little, and each is
//! ended in its time and told why, where it speaks a protocol that can say so.
//!
//! As a test they are few; `cargo xtask half-open` makes them ten thousand, or as many as descriptors
//! allow.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use throng_wire::native::v1::Ping;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::{Form, json, protobuf};
use throng_wire::{raw, ws};

use crate::process::Server;
use crate::raw_client::Client;

/// Without a number of its own.
const FEW: usize = 400;
/// Descriptors that are left for everything else.
const SPARE: u64 = 1_000;
/// Good clients that come while they are opened.
const GOOD: usize = 40;
/// What one of them may cost the server, KiB: a head's buffer, and what reads it.
const COST_MAX_KIB: usize = 20;
const AUTH_TIMEOUT: u32 = 4_400;

/// What a half-open socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Says nothing at the door of HTTP.
    Silent,
    /// Says a head, a byte at a time.
    DripsHead,
    /// Is a WebSocket, and nobody.
    Nameless,
    /// Says nothing at the door of bare TCP.
    RawSilent,
    /// Says a frame there, a byte at a time.
    DripsFrame,
}

const ALL: [Does; 5] =
    [Does::Silent, Does::DripsHead, Does::Nameless, Does::RawSilent, Does::DripsFrame];

struct HalfOpen {
    does: Does,
    stream: TcpStream,
}

impl HalfOpen {
    fn begin(server: &Server, does: Does) -> Self {
        let raw = matches!(does, Does::RawSilent | Does::DripsFrame);
        let mut stream = if raw {
            TcpStream::connect(server.raw.unwrap()).unwrap()
        } else {
            TcpStream::connect(server.address()).unwrap()
        };
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        match does {
            Does::Silent | Does::RawSilent => {}
            Does::DripsHead => stream.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nX: ").unwrap(),
            Does::Nameless => {
                let key = ws::handshake::key([7; 16]);
                let form = Form::Json.subprotocol();
                let request = ws::handshake::request(server.address(), "/ws", &key, form, "");
                stream.write_all(&request).unwrap();
            }
            Does::DripsFrame => stream.write_all(&[0, 0, 1]).unwrap(),
        }
        Self { does, stream }
    }

    /// One more byte of those that drip.
    fn drip(&mut self) {
        let byte = match self.does {
            // Of a header's value, so that the head stays one that may become whole.
            Does::DripsHead => b'x',
            Does::DripsFrame => 0,
            Does::Silent | Does::Nameless | Does::RawSilent => return,
        };
        // It may have been ended.
        _ = self.stream.write_all(&[byte]);
    }

    /// Waits for its end; the code of the farewell, if it was told one.
    fn end(mut self) -> Option<u32> {
        let mut heard = Vec::new();
        let cut = match self.stream.read_to_end(&mut heard) {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
            Err(error) => panic!("{:?} was not ended: {error}", self.does),
        };
        match self.does {
            // It dripped on when it had been ended: the kernel forgets what it was told before.
            Does::DripsFrame if cut => Some(AUTH_TIMEOUT),
            Does::Silent | Does::DripsHead => {
                let said = String::from_utf8_lossy(&heard);
                assert!(!said.contains(" 200 ") && !said.contains(" 101 "), "{said}");
                None
            }
            Does::Nameless => farewell_of_websocket(&heard),
            Does::RawSilent | Does::DripsFrame => farewell_of_raw(&heard),
        }
    }
}

fn farewell_of_websocket(heard: &[u8]) -> Option<u32> {
    let key = ws::handshake::key([7; 16]);
    let opened = ws::handshake::response(heard, &key).unwrap()?;
    let mut rest = heard[opened.used..].to_vec();
    let limits = ws::Limits { frame_len_max: 1 << 20, message_len_max: 1 << 20 };
    let mut decoder = ws::Decoder::new(ws::Role::Client, limits);
    let (mut told, mut closed, mut at) = (None, None, 0);
    while at < rest.len() {
        let step = decoder.decode(&mut rest[at..]).unwrap();
        match step.message {
            Some(ws::Message::Text(text)) => {
                let frame = json::decode_server(text.as_bytes()).unwrap().frame;
                if let Some(Frame::Goodbye(goodbye)) = frame {
                    told = Some(goodbye.code);
                }
            }
            Some(ws::Message::Close(said)) => closed = said.map(|(code, _)| u32::from(code)),
            Some(_) => {}
            None => break,
        }
        at += step.used;
    }
    assert_eq!(told, closed, "the frame and the close say the same");
    told
}

fn farewell_of_raw(heard: &[u8]) -> Option<u32> {
    let mut decoder = raw::Decoder::new(1 << 20);
    let mut at = 0;
    while at < heard.len() {
        let step = decoder.decode(&heard[at..]).unwrap();
        at += step.used;
        let frame = protobuf::decode_server(&step.frame?).unwrap().frame;
        if let Some(Frame::Goodbye(goodbye)) = frame {
            return Some(goodbye.code);
        }
    }
    None
}

/// Open files of the server, and KiB of its memory.
fn held(server: &Server) -> (usize, usize) {
    let files = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (files, line.trim().trim_end_matches(" kB").parse().unwrap())
}

/// What it holds when it has taken so many in, or has had time for it.
fn when_in(server: &Server, enough: usize) -> (usize, usize) {
    let mut tries = (0..1_000).map(|_| held(server));
    tries.find(|now| now.0 >= enough).unwrap_or_else(|| held(server))
}

/// As many as were asked for and as this process and the server's may open.
fn sockets() -> usize {
    let asked = std::env::var("THRONG_HALF_OPEN").ok();
    let asked = asked.map_or(FEW, |text| text.parse().unwrap());
    let mut limit = getrlimit(Resource::Nofile);
    if asked > FEW {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    let most = limit.current.map_or(asked, |most| most.saturating_sub(SPARE) as usize);
    asked.min(most.max(FEW))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long good clients took is told, not judged")]
fn those_who_never_become_anybody_keep_nobody_out_and_end_in_their_time() {
    let count = sockets();
    // Time enough that all are there at once.
    let timeout = if count > FEW { 30_000 } else { 2_000 };
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        "limits.connections_per_address=1000000".to_owned(),
        "limits.connections_per_user=1000".to_owned(),
        format!("limits.handshake_timeout_ms={timeout}"),
        format!("limits.auth_timeout_ms={timeout}"),
    ];
    let mut arguments = vec!["--raw-listen", "127.0.0.1:0"];
    for setting in &settings {
        arguments.extend(["--set", setting]);
    }
    let server = Server::start(&folder.path().join("data"), &arguments);
    let token = server.sign_up("anna", "correct horse battery");
    let raw = server.raw.unwrap();
    drop(Client::open(raw, &token).unwrap());
    let before = held(&server);
    let mut open = Vec::with_capacity(count);
    let (mut good, mut slowest) = (0, Duration::ZERO);
    let mut peak = before;
    for does in ALL.into_iter().cycle().take(count) {
        open.push(HalfOpen::begin(&server, does));
        if open.len().is_multiple_of(count / GOOD) {
            open.iter_mut().for_each(HalfOpen::drip);
            let began = Instant::now();
            let mut client = Client::open(raw, &token).expect("a good one comes in");
            client.ask(Request::Ping(Ping {})).expect("and is served");
            assert_eq!(server.ask("GET", "/api/v1/rooms", &token, "").0, 200);
            slowest = slowest.max(began.elapsed());
            good += 1;
            let now = held(&server);
            peak = (peak.0.max(now.0), peak.1.max(now.1));
        }
    }
    assert!(good >= GOOD, "{good}");
    // The last of them are on their way in; what was there before may have gone meanwhile.
    let enough = before.0 + count - 8;
    let all = (count > FEW).then(|| when_in(&server, enough));
    peak = all.map_or(peak, |all| (peak.0.max(all.0), peak.1.max(all.1)));
    let each = (peak.1 - before.1) / count;
    println!(
        "{count} half-open, {} at once: {each} KiB each, {} MiB in all; {good} good ones came, the slowest in {slowest:?}",
        peak.0 - before.0,
        (peak.1 - before.1) / 1_024
    );
    if count > FEW {
        assert!(peak.0 >= enough, "they are there at once: {} files", peak.0);
        assert!(each <= COST_MAX_KIB, "{each} KiB each");
    }
    for one in open {
        let (does, code) = (one.does, one.end());
        let told = !matches!(does, Does::Silent | Does::DripsHead);
        assert_eq!(code, told.then_some(AUTH_TIMEOUT), "{does:?}");
    }
    let mut tries = 0;
    while held(&server).0 > before.0 + 8 {
        tries += 1;
        assert!(tries < 100_000, "descriptors were not given back: {:?}", held(&server));
        std::thread::yield_now();
    }
    assert!(Client::open(raw, &token).is_ok());
}
