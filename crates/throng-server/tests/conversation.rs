//! The recorded v1 conversation is spoken to a fresh server, in each form, and the answers are those
//! that were recorded. `crates/throng-wire/tests/v1/README.md` says what is compared.

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use throng_server::app::App;
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_server::lifecycle::Fatal;
use throng_server::listeners::{self, Open};
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{ServerFrame, reply::Outcome};
use throng_wire::native::{json, protobuf};
use throng_wire::{raw, ws};

const CONVERSATION: &str = include_str!("../../throng-wire/tests/v1/conversation.txt");
/// A server that says nothing for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LIMITS: ws::Limits = ws::Limits { frame_len_max: 1 << 20, message_len_max: 1 << 20 };
/// What a run chooses for itself and nobody compares.
const CHOSEN: [&str; 10] = [
    "server",
    "limits",
    "text",
    "token",
    "link",
    "expires_at",
    "began_at",
    "used_at",
    "behind",
    "until",
];
/// In place of the link that a server without an administrator prints.
const FIRST_LINK: &str = "TGluayBvZiB0aGUgZmlyc3QgYWRtaW5pc3RyYXRvci4";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    WsJson,
    WsProtobuf,
    Raw,
}

#[derive(Debug)]
enum Framing {
    WebSocket(ws::Decoder),
    Raw(raw::Decoder),
}

/// One connection of the conversation.
struct Peer {
    form: Form,
    stream: TcpStream,
    framing: Framing,
    input: Vec<u8>,
    /// Tellings of who is there, of what waits and of what another device has joined, which come at any time,
    /// and frames that were met while one was waited for.
    aside: VecDeque<ServerFrame>,
    other: VecDeque<ServerFrame>,
}

impl Peer {
    fn connect(form: Form, open: Open) -> Self {
        let address = if form == Form::Raw { open.raw.expect("it was set") } else { open.http };
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        let mut input = Vec::new();
        let framing = match form {
            Form::Raw => Framing::Raw(raw::Decoder::new(LIMITS.frame_len_max)),
            Form::WsJson => upgrade(&mut stream, address, "throng.v1.json", &mut input),
            Form::WsProtobuf => upgrade(&mut stream, address, "throng.v1.protobuf", &mut input),
        };
        let (aside, other) = (VecDeque::new(), VecDeque::new());
        Self { form, stream, framing, input, aside, other }
    }

    fn send(&mut self, text: &str) {
        let frame = json::decode_client(text.as_bytes()).expect(text);
        let mut bytes = Vec::new();
        match self.form {
            Form::WsJson => {
                ws::encode_frame(ws::Opcode::Text, text.as_bytes(), Some(MASK), &mut bytes);
            }
            Form::WsProtobuf => {
                let mut payload = Vec::new();
                protobuf::encode_client(&frame, &mut payload);
                ws::encode_frame(ws::Opcode::Binary, &payload, Some(MASK), &mut bytes);
            }
            Form::Raw => {
                raw::encode_with(&mut bytes, |out| protobuf::encode_client(&frame, out));
            }
        }
        self.stream.write_all(&bytes).expect("the server reads");
    }

    /// The next frame of those that come in order, or of the others.
    fn next(&mut self, aside: bool) -> ServerFrame {
        loop {
            let kept = if aside { &mut self.aside } else { &mut self.other };
            if let Some(frame) = kept.pop_front() {
                return frame;
            }
            if let Some(frame) = self.take() {
                let kept = if is_aside(&frame) { &mut self.aside } else { &mut self.other };
                kept.push_back(frame);
                continue;
            }
            let mut more = [0; 4096];
            let len = self.stream.read(&mut more).expect("the server answers");
            assert!(len > 0, "the server closed");
            self.input.extend_from_slice(&more[..len]);
        }
    }

    fn take(&mut self) -> Option<ServerFrame> {
        while !self.input.is_empty() {
            let (used, frame) = match &mut self.framing {
                Framing::Raw(decoder) => {
                    let step = decoder.decode(&self.input).expect("a record");
                    (step.used, step.frame.map(|bytes| protobuf::decode_server(&bytes)))
                }
                Framing::WebSocket(decoder) => {
                    let step = decoder.decode(&mut self.input).expect("a WebSocket frame");
                    (step.used, step.message.map(read))
                }
            };
            self.input.drain(..used);
            if let Some(frame) = frame {
                return Some(frame.expect("a server's frame"));
            }
        }
        None
    }
}

/// Whether it comes outside of any order, so that nothing is said of when.
fn is_aside(frame: &ServerFrame) -> bool {
    matches!(
        frame.frame,
        Some(Frame::Here(_) | Frame::HeldPost(_) | Frame::Unheld(_) | Frame::Membership(_))
    )
}

fn read(message: ws::Message<'_>) -> Result<ServerFrame, throng_wire::native::DecodeError> {
    match message {
        ws::Message::Text(text) => json::decode_server(text.as_bytes()),
        ws::Message::Binary(bytes) => protobuf::decode_server(&bytes),
        other => panic!("the conversation has no {other:?}"),
    }
}

fn upgrade(
    stream: &mut TcpStream,
    address: SocketAddr,
    subprotocol: &str,
    input: &mut Vec<u8>,
) -> Framing {
    let key = ws::handshake::key([7; 16]);
    let request = ws::handshake::request(&address.to_string(), "/ws", &key, subprotocol, "");
    stream.write_all(&request).expect("the server reads");
    let opened = loop {
        if let Some(opened) = ws::handshake::response(input, &key).expect("an upgrade") {
            break opened;
        }
        let mut more = [0; 1024];
        let len = stream.read(&mut more).expect("the server answers");
        assert!(len > 0, "the server closed instead of upgrading");
        input.extend_from_slice(&more[..len]);
    };
    assert_eq!(opened.subprotocol.as_deref(), Some(subprotocol));
    input.drain(..opened.used);
    Framing::WebSocket(ws::Decoder::new(ws::Role::Client, LIMITS))
}

/// What this run chose, by what the recording has in its place.
#[derive(Default)]
struct Chosen {
    tokens: HashMap<String, String>,
    epoch: Option<(u32, u32)>,
    times: HashMap<u64, u64>,
    held: Option<(u64, u64)>,
}

impl Chosen {
    /// The line as this run says it.
    fn live(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (recorded, live) in &self.tokens {
            line = line.replace(recorded, live);
        }
        if let Some((recorded, live)) = self.epoch {
            line = line.replace(&format!("\"epoch\":{recorded}"), &format!("\"epoch\":{live}"));
        }
        if let Some((recorded, live)) = self.held {
            line = line.replace(&format!("\"held\":{recorded}"), &format!("\"held\":{live}"));
        }
        line
    }

    fn learn(&mut self, recorded: &ServerFrame, live: &ServerFrame) {
        match (&recorded.frame, &live.frame) {
            (Some(Frame::Welcome(recorded)), Some(Frame::Welcome(live))) => {
                self.epoch = Some((recorded.epoch, live.epoch));
            }
            (Some(Frame::Reply(recorded)), Some(Frame::Reply(live))) => {
                if let (Some(Outcome::Held(recorded)), Some(Outcome::Held(live))) =
                    (&recorded.outcome, &live.outcome)
                {
                    self.held = Some((recorded.held, live.held));
                }
                if let (Some(Outcome::Session(recorded)), Some(Outcome::Session(live))) =
                    (&recorded.outcome, &live.outcome)
                {
                    assert_eq!(recorded.token.is_empty(), live.token.is_empty());
                    if !live.token.is_empty() {
                        self.tokens.insert(recorded.token.clone(), live.token.clone());
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the live value says all that the recorded one says.
    fn same(&mut self, live: &Value, recorded: &Value) -> bool {
        match (live, recorded) {
            (Value::Object(live), Value::Object(recorded)) => {
                recorded.iter().all(|(key, value)| {
                    if CHOSEN.contains(&key.as_str()) {
                        return true;
                    }
                    let Some(other) = live.get(key) else { return false };
                    match (key.as_str(), value.as_u64(), other.as_u64()) {
                        ("at", Some(recorded), Some(live)) => {
                            *self.times.entry(recorded).or_insert(live) == live
                        }
                        ("held", Some(recorded), Some(live)) => self.held == Some((recorded, live)),
                        // A list of members is a moment behind the room, and says where it stands.
                        ("seq", ..) if recorded.get("members").is_some_and(Value::is_array) => true,
                        ("epoch", ..) => true,
                        _ => self.same(other, value),
                    }
                })
            }
            (Value::Array(live), Value::Array(recorded)) => {
                live.len() == recorded.len()
                    && live.iter().zip(recorded).all(|(one, other)| self.same(one, other))
            }
            _ => live == recorded,
        }
    }
}

fn as_value(frame: &ServerFrame) -> Value {
    let mut out = Vec::new();
    json::encode_server(frame, &mut out);
    serde_json::from_slice(&out).expect("we wrote it")
}

fn replay(form: Form, open: Open, first_link: String) {
    let mut peers: HashMap<&str, Peer> = HashMap::new();
    let mut chosen = Chosen::default();
    chosen.tokens.insert(FIRST_LINK.to_owned(), first_link);
    for line in CONVERSATION.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.splitn(3, ' ');
        let (Some(who), Some(mark), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let peer = peers.entry(who).or_insert_with(|| Peer::connect(form, open));
        match mark {
            ">" => peer.send(&chosen.live(text)),
            "<" => {
                let recorded = json::decode_server(text.as_bytes()).expect(text);
                let aside = is_aside(&recorded);
                let mut live = peer.next(aside);
                let recorded_ = as_value(&recorded);
                // One like it comes at some time.
                while aside && !chosen.same(&as_value(&live), &recorded_) {
                    live = peer.next(aside);
                }
                chosen.learn(&recorded, &live);
                let (live, recorded) = (as_value(&live), recorded_);
                assert!(
                    chosen.same(&live, &recorded),
                    "as {form:?}, to {who}\nrecorded {recorded}\nhear     {live}"
                );
            }
            _ => {}
        }
    }
}

async fn fresh_server() -> (Arc<App>, Open) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings =
        Settings { memory: true, listen: any, raw_listen: Some(any), ..Settings::default() };
    // Whoever is silent for long is not asked whether it is there, nor who is nobody sent away: some are,
    // while passwords are hashed at the lowest priority of a busy machine.
    settings.limits.ping_interval_ms = 600_000;
    settings.limits.auth_timeout_ms = 60_000;
    settings.limits.hash_wait_max_ms = 60_000;
    let fatal = Fatal::new(|code, why| panic!("the server ended itself with {code}: {why}"));
    let start = move || App::start(settings, Clock::system(), fatal);
    let app = tokio::task::spawn_blocking(start).await;
    let app = app.expect("starting does not panic").expect("memory needs nothing");
    let open = listeners::open(&app).expect("any port will do");
    (app, open)
}

async fn is_answered_as_recorded(form: Form) {
    let (app, open) = fresh_server().await;
    let link = app.auth.offer_administrator().await.expect("memory can be written");
    let link = link.expect("nobody is there yet").reveal().to_owned();
    let replayed = tokio::task::spawn_blocking(move || replay(form, open, link)).await;
    replayed.expect("each answer is as recorded");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_conversation_is_answered_as_recorded_in_json() {
    is_answered_as_recorded(Form::WsJson).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_conversation_is_answered_as_recorded_in_protobuf() {
    is_answered_as_recorded(Form::WsProtobuf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_conversation_is_answered_as_recorded_over_raw_tcp() {
    is_answered_as_recorded(Form::Raw).await;
}
