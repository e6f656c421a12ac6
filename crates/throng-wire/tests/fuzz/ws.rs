//! A stream gives the same messages and the same end however it is cut, holds no more than has come,
//! and what was read is written and read again as the same.

use throng_wire::ws::{Decoder, Error, Limits, Message, Opcode, Role, close_payload, encode_frame};

const LIMITS: Limits = Limits { frame_len_max: 300, message_len_max: 400 };
const SEEDS: [&[u8]; 9] = [
    b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80mask",
    b"\x01\x82\0\0\0\0\xc3\xa9\x89\x81\0\0\0\0!\x00\x81\0\0\0\0\xf0\x80\x83\0\0\0\0\x9f\xa6\x80",
    b"\x82\xfe\0\x7e\0\0\0\0................................................................................................................................",
    b"\x88\x85\0\0\0\0\x03\xe8bye\x81\x80mask",
    b"\x81\x05Hello\x89\0\x88\x02\x03\xe8",
    b"\x01\x02\xc3\xa9\x89\x01!\x00\x01\xf0\x80\x03\x9f\xa6\x80",
    b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc2\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\x41\x03\xf2\x48\xcd\x89\x01!\x80\x04\xc9\xc9\x07\x00",
    b"\x82\x7e\0\x80................................................................................................................................",
];

type Read = (Vec<(Opcode, Vec<u8>)>, Result<(), Error>);

fn read(role: Role, deflate: bool, bytes: &[u8], piece: usize) -> Read {
    let decoder = Decoder::new(role, LIMITS);
    let mut decoder = if deflate { decoder.with_deflate() } else { decoder };
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            match decoder.decode(&mut piece[at..]) {
                Err(error) => {
                    assert_eq!(decoder.held(), 0);
                    return (messages, Err(error));
                }
                Ok(step) => {
                    assert!(step.used > 0, "no progress");
                    at += step.used;
                    messages.extend(step.message.map(plain));
                    assert!(decoder.held() <= 2 * LIMITS.message_len_max + 250);
                }
            }
        }
    }
    (messages, Ok(()))
}

fn plain(message: Message<'_>) -> (Opcode, Vec<u8>) {
    match message {
        Message::Text(text) => (Opcode::Text, text.into_owned().into_bytes()),
        Message::Binary(bytes) => (Opcode::Binary, bytes.into_owned()),
        Message::Ping(bytes) => (Opcode::Ping, bytes.into_owned()),
        Message::Pong(bytes) => (Opcode::Pong, bytes.into_owned()),
        Message::Close(said) => {
            (Opcode::Close, said.map_or(vec![], |(code, reason)| close_payload(code, &reason)))
        }
    }
}

#[test]
fn fuzz() {
    bolero::check!().for_each(|input: &[u8]| {
        for bytes in super::tries(input, &SEEDS) {
            for (role, mask, deflate) in [
                (Role::Server, Some([1, 2, 3, 4]), false),
                (Role::Client, None, false),
                (Role::Client, None, true),
            ] {
                let whole = read(role, deflate, &bytes, bytes.len().max(1));
                for piece in [1, 2, 5] {
                    let read = read(role, deflate, &bytes, piece);
                    assert_eq!(read, whole, "{role:?}, pieces of {piece}");
                }
                // A message of several frames, or a compressed one, may be longer than one frame may.
                if whole.0.iter().any(|(_, payload)| payload.len() > LIMITS.frame_len_max) {
                    continue;
                }
                let mut again = Vec::new();
                for (opcode, payload) in &whole.0 {
                    encode_frame(*opcode, payload, mask, &mut again);
                }
                assert!(again.is_empty() || read(role, deflate, &again, again.len()).0 == whole.0);
            }
        }
    });
}
