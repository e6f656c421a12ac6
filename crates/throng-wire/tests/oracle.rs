//! tungstenite as oracle of the WebSocket codec: what either writes the other reads, and on bytes that
//! nobody should write the two agree, but for rules of the RFC that only ours keeps.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use proptest::prelude::*;
use throng_wire::ws::{
    self, Decoder, Error, Limits, Opcode, Role, close_payload, encode_fragment, encode_frame,
};
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};

const LIMIT: usize = 1 << 20;
const LIMITS: Limits = Limits { frame_len_max: LIMIT, message_len_max: LIMIT };

/// A socket with nobody at its other end: reads what was put in, keeps what is written.
#[derive(Default)]
struct Pipe {
    input: VecDeque<u8>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(role: TheirRole, input: &[u8]) -> WebSocket<Pipe> {
    let config =
        WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let pipe = Pipe { input: input.iter().copied().collect(), output: vec![] };
    WebSocket::from_raw_socket(pipe, role, Some(config))
}

fn opposite(role: Role) -> TheirRole {
    if role == Role::Server { TheirRole::Client } else { TheirRole::Server }
}

fn same(role: Role) -> TheirRole {
    if role == Role::Server { TheirRole::Server } else { TheirRole::Client }
}

/// One thing said, and how a message is cut into frames.
#[derive(Clone, Debug)]
enum Said {
    Message { text: Option<String>, bytes: Vec<u8>, cuts: Vec<usize>, ping_between: bool },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = || prop_oneof![prop::collection::vec(any::<u8>(), 0..200), long()];
    let text = prop_oneof![3 => "\\PC{0,60}", 1 => "[a-z\u{e9}\u{1f980}]{100,300}"];
    let cuts = || prop::collection::vec(0_usize..400, 0..4);
    let control = || prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        (text, cuts(), any::<bool>()).prop_map(|(text, cuts, ping_between)| {
            let bytes = text.clone().into_bytes();
            Said::Message { text: Some(text), bytes, cuts, ping_between }
        }),
        (bytes(), cuts(), any::<bool>()).prop_map(|(bytes, cuts, ping_between)| {
            Said::Message { text: None, bytes, cuts, ping_between }
        }),
        control().prop_map(Said::Ping),
        control().prop_map(Said::Pong),
    ]
}

/// Either side of where a length needs more bytes.
fn long() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![120_usize..130, 65_530_usize..65_540], any::<u8>())
        .prop_map(|(len, byte)| vec![byte; len])
}

impl Said {
    /// The frames of it: opcode, fin, payload.
    fn frames(&self) -> Vec<(Opcode, bool, Vec<u8>)> {
        match self {
            Self::Ping(payload) => vec![(Opcode::Ping, true, payload.clone())],
            Self::Pong(payload) => vec![(Opcode::Pong, true, payload.clone())],
            Self::Message { text, bytes, cuts, ping_between } => {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
                cuts.sort_unstable();
                cuts.insert(0, 0);
                cuts.push(bytes.len());
                let first = if text.is_some() { Opcode::Text } else { Opcode::Binary };
                let mut frames = Vec::new();
                for (at, ends) in cuts.windows(2).enumerate() {
                    let opcode = if at == 0 { first } else { Opcode::Continuation };
                    let fin = at + 2 == cuts.len();
                    frames.push((opcode, fin, bytes[ends[0]..ends[1]].to_vec()));
                    if !fin && *ping_between {
                        frames.push((Opcode::Ping, true, vec![at as u8]));
                    }
                }
                frames
            }
        }
    }

    /// What whoever reads it must be told, in order.
    fn told(&self) -> Vec<Message> {
        let Self::Message { text, bytes, .. } = self else {
            return self.frames().into_iter().map(control).collect();
        };
        let between = self.frames().into_iter().filter(|frame| frame.0 == Opcode::Ping);
        let mut told: Vec<Message> = between.map(control).collect();
        told.push(match text {
            Some(text) => Message::text(text.clone()),
            None => Message::binary(bytes.clone()),
        });
        told
    }
}

fn control((opcode, _, payload): (Opcode, bool, Vec<u8>)) -> Message {
    if opcode == Opcode::Ping {
        Message::Ping(payload.into())
    } else {
        Message::Pong(payload.into())
    }
}

/// Reads until nothing more comes; the error that ended it, if one did.
fn read_theirs(socket: &mut WebSocket<Pipe>) -> (Vec<Message>, Option<tungstenite::Error>) {
    let mut told = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => told.push(message),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (told, None);
            }
            Err(tungstenite::Error::ConnectionClosed) => return (told, None),
            Err(error) => return (told, Some(error)),
        }
    }
}

/// The same by our codec, in pieces whose lengths are taken from `pieces` in turn.
fn read_ours(role: Role, bytes: &[u8], pieces: &[usize]) -> (Vec<Message>, Option<Error>) {
    let mut decoder = Decoder::new(role, LIMITS);
    let mut told = Vec::new();
    let mut rest = bytes;
    let mut lengths = pieces.iter().cycle();
    while !rest.is_empty() {
        let len = lengths.next().map_or(rest.len(), |len| (*len).clamp(1, rest.len()));
        let mut piece = rest[..len].to_vec();
        rest = &rest[len..];
        let mut at = 0;
        while at < piece.len() {
            match decoder.decode(&mut piece[at..]) {
                Err(error) => return (told, Some(error)),
                Ok(step) => {
                    at += step.used;
                    told.extend(step.message.map(in_their_words));
                }
            }
        }
    }
    (told, None)
}

fn in_their_words(message: ws::Message<'_>) -> Message {
    match message {
        ws::Message::Text(text) => Message::text(text.into_owned()),
        ws::Message::Binary(bytes) => Message::binary(bytes.into_owned()),
        ws::Message::Ping(bytes) => Message::Ping(bytes.into_owned().into()),
        ws::Message::Pong(bytes) => Message::Pong(bytes.into_owned().into()),
        ws::Message::Close(said) => {
            Message::Close(said.map(|(code, reason)| tungstenite::protocol::CloseFrame {
                code: code.into(),
                reason: reason.into_owned().into(),
            }))
        }
    }
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

proptest! {
    #[test]
    fn what_we_write_tungstenite_reads(
        things in prop::collection::vec(said(), 0..8), writer in role(), mask: [u8; 4],
    ) {
        let mask = (writer == Role::Client).then_some(mask);
        let mut bytes = Vec::new();
        for (opcode, fin, payload) in things.iter().flat_map(Said::frames) {
            encode_fragment(opcode, fin, &payload, mask, &mut bytes);
        }
        encode_frame(Opcode::Close, &close_payload(4000, "slow"), mask, &mut bytes);
        let (told, error) = read_theirs(&mut theirs(opposite(writer), &bytes));
        prop_assert!(error.is_none(), "{error:?}");
        let (close, told) = told.split_last().expect("the close at least");
        prop_assert!(close.is_close(), "{close:?}");
        prop_assert_eq!(told, things.iter().flat_map(Said::told).collect::<Vec<_>>());
    }

    #[test]
    fn what_tungstenite_writes_we_read(
        things in prop::collection::vec(said(), 0..8), reader in role(),
        pieces in prop::collection::vec(1_usize..300, 1..6),
    ) {
        let mut socket = theirs(opposite(reader), &[]);
        for (opcode, fin, payload) in things.iter().flat_map(Said::frames) {
            let frame = match opcode {
                Opcode::Ping => Frame::ping(payload),
                Opcode::Pong => Frame::pong(payload),
                Opcode::Text => Frame::message(payload, OpCode::Data(Data::Text), fin),
                Opcode::Binary => Frame::message(payload, OpCode::Data(Data::Binary), fin),
                _ => Frame::message(payload, OpCode::Data(Data::Continue), fin),
            };
            socket.write(Message::Frame(frame)).expect("the pipe takes all");
        }
        socket.flush().expect("the pipe takes all");
        let (told, error) = read_ours(reader, &socket.get_ref().output, &pieces);
        prop_assert_eq!(error, None);
        prop_assert_eq!(told, things.iter().flat_map(Said::told).collect::<Vec<_>>());
    }

    #[test]
    fn on_spoiled_bytes_we_agree_with_tungstenite_or_keep_the_rfc_closer(
        things in prop::collection::vec(said(), 1..4), reader in role(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        pieces in prop::collection::vec(1_usize..300, 1..6),
    ) {
        let mask = (reader == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
        let mut bytes = Vec::new();
        for (opcode, fin, payload) in things.iter().flat_map(Said::frames) {
            encode_fragment(opcode, fin, &payload, mask, &mut bytes);
        }
        for (at, value) in &spoils {
            // The first bytes are the headers; there most is decided.
            let at = at.index(bytes.len().min(64));
            bytes[at] = *value;
        }
        let (ours, our_error) = read_ours(reader, &bytes, &pieces);
        let (told, their_error) = read_theirs(&mut theirs(same(reader), &bytes));
        match (our_error, &their_error) {
            // Rules of the RFC that tungstenite leaves to its user; text they check at a frame's end.
            (Some(Error::BadLength | Error::BadClose | Error::NotUtf8), _) => {
                prop_assert!(told.starts_with(&ours), "{told:?} and {ours:?}");
            }
            // They judge a header when its payload is there, which may be never.
            (Some(_) | None, None) | (Some(_), Some(_)) => prop_assert_eq!(&ours, &told),
            (None, Some(error)) => prop_assert!(false, "we let pass what they refuse: {error}"),
        }
    }
}
