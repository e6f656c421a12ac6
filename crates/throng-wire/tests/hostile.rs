//! Input that is made to hurt: each line of these tables would cost memory or time out of proportion
//! if the codecs believed what they are told.

use throng_wire::native::{json, protobuf};
use throng_wire::ws::{Decoder, Error, Limits, Message, Opcode, Role, encode_fragment};
use throng_wire::{raw, ws};

const LIMITS: Limits = Limits { frame_len_max: 64 * 1024, message_len_max: 64 * 1024 };
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn decoder() -> Decoder {
    Decoder::new(Role::Server, LIMITS)
}

/// Feeds pieces of `len` bytes; how many messages came, or why it ended.
fn feed(decoder: &mut Decoder, bytes: &[u8], len: usize) -> Result<usize, Error> {
    let mut messages = 0;
    for piece in bytes.chunks(len) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            let step = decoder.decode(&mut piece[at..])?;
            at += step.used;
            messages += usize::from(step.message.is_some());
        }
    }
    Ok(messages)
}

#[test]
fn headers_that_lie_are_refused_before_their_payload_and_hold_nothing() {
    let table: [(&str, &[u8], Error); 12] = [
        ("2^63 bytes", b"\x82\xff\x80\0\0\0\0\0\0\0mask", Error::BadLength),
        ("2^63 - 1 bytes", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask", Error::TooBig),
        ("one above the limit", b"\x82\xff\0\0\0\0\0\x01\0\x01mask", Error::TooBig),
        ("125 in three bytes", b"\x82\xfe\0\x7dmask", Error::BadLength),
        ("65535 in nine bytes", b"\x82\xff\0\0\0\0\0\0\xff\xffmask", Error::BadLength),
        ("a ping of 126", b"\x89\xfe", Error::ControlTooLong),
        ("a close in fragments", b"\x08\x80", Error::ControlFragmented),
        ("a reserved bit", b"\xc1\x80", Error::ReservedBits),
        ("a reserved opcode", b"\x83\x80", Error::ReservedOpcode),
        ("no mask", b"\x81\x02hi", Error::Unmasked),
        ("nothing to continue", b"\x80\x80", Error::NothingToContinue),
        ("a close code of one byte", b"\x88\x81mask\x03", Error::BadClose),
    ];
    for (what, bytes, error) in table {
        for len in [1, bytes.len()] {
            let mut decoder = decoder();
            assert_eq!(feed(&mut decoder, bytes, len), Err(error), "{what}, pieces of {len}");
            assert_eq!(feed(&mut decoder, b"\x81\x80mask", 1), Err(error), "{what} is for good");
            assert_eq!(decoder.held(), 0, "{what}");
        }
    }
    let mut client = Decoder::new(Role::Client, LIMITS);
    assert_eq!(feed(&mut client, b"\x81\x82maskhi", 1), Err(Error::Masked));
}

#[test]
fn a_declared_length_reserves_no_memory() {
    let mut decoder = decoder();
    let head = *b"\x82\xff\0\0\0\0\0\x01\0\0mask";
    assert_eq!(feed(&mut decoder, &head, 1), Ok(0));
    assert_eq!(decoder.held(), 0);
    assert_eq!(feed(&mut decoder, b"x", 1), Ok(0));
    assert!(decoder.held() < 64, "one byte came, {} are held", decoder.held());
}

#[test]
fn a_million_tiny_fragments_hold_what_they_carry_and_end_at_the_limit() {
    let mut empty = decoder();
    let mut bytes = Vec::new();
    encode_fragment(Opcode::Text, false, b"", Some(MASK), &mut bytes);
    for _ in 0..1_000_000 {
        encode_fragment(Opcode::Continuation, false, b"", Some(MASK), &mut bytes);
    }
    assert_eq!(feed(&mut empty, &bytes, 4096), Ok(0));
    assert_eq!(empty.held(), 0);

    let mut single = decoder();
    bytes.clear();
    encode_fragment(Opcode::Text, false, b"a", Some(MASK), &mut bytes);
    for _ in 0..1_000_000 {
        encode_fragment(Opcode::Continuation, false, b"a", Some(MASK), &mut bytes);
    }
    let frames = LIMITS.message_len_max;
    assert_eq!(feed(&mut single, &bytes[..7 * frames], 4096), Ok(0));
    assert!(single.held() <= 2 * LIMITS.message_len_max);
    assert_eq!(feed(&mut single, &bytes[7 * frames..], 4096), Err(Error::TooBig));
    assert_eq!(single.held(), 0);
}

#[test]
fn control_frames_inside_a_message_hold_at_most_one_payload() {
    let mut decoder = decoder();
    let mut bytes = Vec::new();
    encode_fragment(Opcode::Text, false, b"begun", Some(MASK), &mut bytes);
    for _ in 0..10_000 {
        encode_fragment(Opcode::Ping, true, &[7; 125], Some(MASK), &mut bytes);
    }
    let mut most = 0;
    let mut pings = 0;
    for piece in bytes.chunks(50) {
        pings += feed(&mut decoder, piece, piece.len()).unwrap();
        most = most.max(decoder.held());
    }
    assert_eq!(pings, 10_000);
    assert!(most <= 300, "{most} bytes were held");
}

#[test]
fn limits_may_be_raised_between_frames() {
    let mut decoder = Decoder::new(Role::Server, Limits { frame_len_max: 4, message_len_max: 6 });
    let mut bytes = Vec::new();
    encode_fragment(Opcode::Binary, false, b"1234", Some(MASK), &mut bytes);
    encode_fragment(Opcode::Continuation, true, b"56", Some(MASK), &mut bytes);
    assert_eq!(feed(&mut decoder, &bytes, 64), Ok(1));
    decoder.set_limits(LIMITS);
    bytes.clear();
    encode_fragment(Opcode::Binary, true, &[0; 5000], Some(MASK), &mut bytes);
    assert_eq!(feed(&mut decoder, &bytes, 64), Ok(1));
    decoder.set_limits(Limits { frame_len_max: 4, message_len_max: 6 });
    bytes.clear();
    encode_fragment(Opcode::Binary, false, b"1234", Some(MASK), &mut bytes);
    encode_fragment(Opcode::Continuation, true, b"567", Some(MASK), &mut bytes);
    assert_eq!(feed(&mut decoder, &bytes, 64), Err(Error::TooBig));
}

#[test]
fn what_follows_a_close_is_discarded_unread() {
    let mut decoder = decoder();
    let mut bytes = Vec::new();
    ws::encode_frame(Opcode::Close, &ws::close_payload(1001, "bye"), Some(MASK), &mut bytes);
    bytes.extend_from_slice(&[0xff; 100]);
    let step = decoder.decode(&mut bytes).unwrap();
    assert_eq!(step.message, Some(Message::Close(Some((1001, "bye".into())))));
    let used = step.used;
    assert_eq!(feed(&mut decoder, &bytes[used..], 1), Ok(0));
}

#[test]
fn json_made_to_hurt_is_refused_or_skipped() {
    let deep = |open: &str, close: &str| [open.repeat(30_000), close.repeat(30_000)].concat();
    let in_unknown = |inner: String| format!("{{\"id\":1,\"later\":{inner},\"ping\":{{}}}}");
    let table = [
        ("deep arrays in place of a frame", deep("[", "]"), false),
        (
            "deep objects where a request should be",
            format!("{{\"post\":{}", "{\"a\":".repeat(9_000)),
            false,
        ),
        ("deep arrays in an unknown field", in_unknown(deep("[", "]")), true),
        ("an array that never ends", in_unknown("[".repeat(60_000)), false),
        ("a number of a thousand digits in an unknown field", in_unknown("9".repeat(1000)), true),
        ("a number above its field", r#"{"id":4294967296,"ping":{}}"#.into(), false),
        ("a negative number", r#"{"id":-1,"ping":{}}"#.into(), false),
        ("a fraction", r#"{"id":1.5,"ping":{}}"#.into(), false),
        ("a lone surrogate", r#"{"id":1,"post":{"room":1,"body":"\ud800"}}"#.into(), false),
        (
            "a control character",
            "{\"id\":1,\"post\":{\"room\":1,\"body\":\"\u{1}\"}}".into(),
            false,
        ),
        ("something after the frame", r#"{"id":1,"ping":{}} {}"#.into(), false),
        ("the same field twice", r#"{"post":{"room":1,"room":2,"body":"hi"}}"#.into(), false),
        ("null for a request", r#"{"id":1,"ping":null}"#.into(), false),
        ("many unknown keys", format!("{{{}\"id\":1}}", "\"x\":0,".repeat(10_000)), true),
    ];
    for (what, text, readable) in table {
        let result = json::decode_client(text.as_bytes());
        assert_eq!(result.is_ok(), readable, "{what}: {result:?}");
        if let Err(error) = result {
            assert!(error.what.len() < 100, "{what}: {error}");
        }
    }
    assert!(json::decode_client(b"{\"id\":1,\"post\":{\"room\":1,\"body\":\"\xff\"}}").is_err());
}

#[test]
fn protobuf_made_to_hurt_is_refused_or_skipped() {
    let table: [(&str, Vec<u8>, bool); 7] = [
        ("a length of 2^63", b"\x52\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(), false),
        ("a varint of eleven bytes", vec![0xff; 11], false),
        ("the end inside a field", b"\x52\x05\x08".to_vec(), false),
        ("text that is not UTF-8", b"\x52\x03\x12\x01\xff".to_vec(), false),
        ("groups in groups", [0x7b].repeat(50_000), false),
        ("a million unknown fields", b"\xc0\x3e\x01".repeat(1_000_000), true),
        ("field number 0", b"\x00\x01".to_vec(), false),
    ];
    for (what, bytes, readable) in table {
        let result = protobuf::decode_client(&bytes);
        assert_eq!(result.is_ok(), readable, "{what}: {result:?}");
        if let Err(error) = result {
            assert!(error.what.len() < 200, "{what}: {error}");
        }
    }
}

#[test]
fn a_raw_length_that_lies_is_refused_before_its_payload() {
    let mut decoder = raw::Decoder::new(64 * 1024);
    let lie = (64 * 1024 + 1_u32).to_be_bytes();
    let refused = lie.chunks(1).any(|byte| decoder.decode(byte).is_err());
    assert!(refused);
    assert_eq!(decoder.held(), 0);
}

#[test]
fn a_compressed_message_is_read_whole_in_fragments_and_around_a_ping() {
    // "Hello" of RFC 7692 section 7.2.3.1, as text and as bytes, whole and cut in two.
    let mut whole = *b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
    let mut parts = *b"\x41\x03\xf2\x48\xcd\x89\x01!\x80\x04\xc9\xc9\x07\x00";
    let client = || Decoder::new(Role::Client, LIMITS).with_deflate();
    let step = client().decode(&mut whole).map(|step| step.message);
    assert_eq!(step, Ok(Some(Message::Text("Hello".into()))));
    let mut decoder = client();
    let ping = decoder.decode(&mut parts).unwrap();
    let used = ping.used;
    assert_eq!(ping.message, Some(Message::Ping(b"!"[..].into())));
    let hello = decoder.decode(&mut parts[used..]).unwrap();
    assert_eq!(hello.message, Some(Message::Text("Hello".into())));
    assert_eq!(decoder.held(), 0);
}

#[test]
fn the_compressed_bit_is_for_first_frames_of_messages_where_it_was_agreed() {
    let refused = |decoder: Decoder, bytes: &[u8]| {
        let mut decoder = decoder;
        decoder.decode(&mut bytes.to_vec()).map(|step| step.used)
    };
    let agreed = || Decoder::new(Role::Client, LIMITS).with_deflate();
    let not_agreed = Decoder::new(Role::Client, LIMITS);
    assert_eq!(refused(not_agreed, b"\xc1\x00"), Err(Error::ReservedBits));
    assert_eq!(refused(agreed(), b"\xc9\x00"), Err(Error::ReservedBits), "a ping");
    assert_eq!(refused(agreed(), b"\xe1\x00"), Err(Error::ReservedBits), "another bit");
    assert_eq!(refused(agreed(), b"\x01\x01a\xc0\x00"), Err(Error::ReservedBits), "a continuation");
    assert_eq!(refused(agreed(), b"\xc1\x01\x06"), Err(Error::BadDeflate));
}

#[test]
fn compressed_text_is_checked_and_bounded_as_text_is() {
    let mut frame = Vec::new();
    let text = "\u{e9}".repeat(5_000);
    ws::encode_deflated(Opcode::Text, &mut frame, |out| out.extend_from_slice(text.as_bytes()));
    assert_eq!(frame[0], 0xc1);
    assert!(frame.len() < 200, "{}", frame.len());
    let limits = |max| Limits { frame_len_max: max, message_len_max: max };
    for (max, end) in [(9_999, Err(Error::TooBig)), (10_000, Ok(())), (10_001, Ok(()))] {
        let mut decoder = Decoder::new(Role::Client, limits(max)).with_deflate();
        assert_eq!(decoder.decode(&mut frame.clone()).map(|_| ()), end, "{max}");
    }
    let mut frame = Vec::new();
    ws::encode_deflated(Opcode::Text, &mut frame, |out| out.extend_from_slice(&[0xff; 2_000]));
    let mut decoder = Decoder::new(Role::Client, limits(10_000)).with_deflate();
    assert_eq!(decoder.decode(&mut frame), Err(Error::NotUtf8));
}

#[test]
fn a_payload_is_compressed_above_the_least_length_and_not_at_it() {
    for (len, first) in [(1_023, 0x81), (1_024, 0x81), (1_025, 0xc1)] {
        let mut frame = Vec::new();
        ws::encode_deflated(Opcode::Text, &mut frame, |out| out.resize(len, b'a'));
        assert_eq!(frame[0], first, "{len}");
    }
}
