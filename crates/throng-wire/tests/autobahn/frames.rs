//! Sections 1 (framing), 2 (pings and pongs), 3 (reserved bits), 4 (opcodes), 7 (closing).

use throng_wire::ws::{Opcode, close_payload};

use super::{BINARY, CLOSE, Case, LAST, PING, PONG, Pieces, TEXT, TEXT_BEGINS, case};

const HELLO: &[u8] = b"Hello, world!";
const ODD_BYTES: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

pub fn cases() -> Vec<Case> {
    [framing(), pings(), reserved_bits(), opcodes(), closing(), close_codes()]
        .into_iter()
        .flatten()
        .collect()
}

fn framing() -> Vec<Case> {
    let sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
    let mut cases = Vec::new();
    for (number, len) in (1..).zip(sizes) {
        let pieces = if number == 8 { Pieces::Bytes(997) } else { Pieces::Whole };
        let (text, bytes) = (vec![b'*'; len], vec![0xfe; len]);
        let one = case(format!("1.1.{number}")).send(TEXT, &text).echoes(Opcode::Text, &text);
        cases.push(one.pieces(pieces.clone()));
        let one = case(format!("1.2.{number}")).send(BINARY, &bytes).echoes(Opcode::Binary, &bytes);
        cases.push(one.pieces(pieces));
    }
    cases
}

fn pings() -> Vec<Case> {
    let full = [0xfe; 125];
    let numbered = |number: usize| format!("payload-{number}");
    let mut ten = case("2.10").pieces(Pieces::Whole);
    let mut ten_by_bytes = case("2.11").pieces(Pieces::Bytes(1));
    for number in 0..10 {
        ten = ten.send(PING, numbered(number)).pongs(numbered(number));
        ten_by_bytes = ten_by_bytes.send(PING, numbered(number)).pongs(numbered(number));
    }
    vec![
        case("2.1").send(PING, "").pongs(""),
        case("2.2").send(PING, HELLO).pongs(HELLO),
        case("2.3").send(PING, ODD_BYTES).pongs(ODD_BYTES),
        case("2.4").send(PING, full).pongs(full),
        case("2.5").send(PING, [0xfe; 126]).fails(1002),
        case("2.6").send(PING, full).pongs(full).pieces(Pieces::Bytes(1)),
        case("2.7").send(PONG, ""),
        case("2.8").send(PONG, "unsolicited pong payload"),
        case("2.9").send(PONG, "unsolicited pong payload").send(PING, "ping").pongs("ping"),
        ten,
        ten_by_bytes,
    ]
}

/// 3.1 to 3.7: the bits, as a number, are those of the case.
fn reserved_bits() -> Vec<Case> {
    let bits = |number: u8| number << 4;
    let after_hello = |number: u8| {
        let id = format!("3.{number}");
        let hello = case(id).send(TEXT, HELLO).echoes(Opcode::Text, HELLO);
        hello.send(TEXT | bits(number), HELLO).send(PING, "").fails(1002)
    };
    vec![
        case("3.1").send(TEXT | bits(1), HELLO).fails(1002),
        after_hello(2).pieces(Pieces::Whole),
        after_hello(3).pieces(Pieces::Frames),
        after_hello(4).pieces(Pieces::Bytes(1)),
        case("3.5").send(BINARY | bits(5), ODD_BYTES).fails(1002),
        case("3.6").send(PING | bits(6), HELLO).fails(1002),
        case("3.7").send(CLOSE | bits(7), "").fails(1002),
    ]
}

fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, reserved) in [(1, [3, 4, 5, 6, 7]), (2, [11, 12, 13, 14, 15])] {
        for (number, opcode) in (1..).zip(reserved) {
            let first = 0x80 | opcode;
            let one = case(format!("4.{group}.{number}"));
            let hello = |case: Case| case.send(TEXT, HELLO).echoes(Opcode::Text, HELLO);
            cases.push(match number {
                1 => one.send(first, "").fails(1002),
                2 => one.send(first, "reserved opcode payload").fails(1002),
                3 => hello(one).send(first, "").send(PING, "").fails(1002),
                4 => hello(one).send(first, HELLO).send(PING, "").fails(1002),
                _ => {
                    let one = hello(one).send(first, HELLO).send(PING, "").fails(1002);
                    one.pieces(Pieces::Bytes(1))
                }
            });
        }
    }
    cases
}

fn closing() -> Vec<Case> {
    let close = |reason: &str| close_payload(1000, reason);
    let long = b"BAsd7&jh23".repeat(26_215)[..256 * 1024].to_vec();
    let hello = "Hello World!";
    let long_then_hello = case("7.1.6").send(TEXT, &long).echoes(Opcode::Text, &long);
    vec![
        case("7.1.1").send(TEXT, hello).echoes(Opcode::Text, hello).send(CLOSE, close("")),
        case("7.1.2").send(CLOSE, close("")).send(CLOSE, close("")),
        case("7.1.3").send(CLOSE, close("")).send(PING, ""),
        case("7.1.4").send(CLOSE, close("")).send(TEXT, hello),
        case("7.1.5").send(TEXT_BEGINS, "fragment1").send(CLOSE, close("")).send(LAST, "fragment2"),
        long_then_hello
            .send(TEXT, hello)
            .echoes(Opcode::Text, hello)
            .send(CLOSE, close(""))
            .send(PING, ""),
        case("7.3.1").send(CLOSE, "").closes(None),
        case("7.3.2").send(CLOSE, "a").fails(1002),
        case("7.3.3").send(CLOSE, close("")),
        case("7.3.4").send(CLOSE, close("Hello World!")),
        case("7.3.5").send(CLOSE, close(&"*".repeat(123))),
        case("7.3.6").send(CLOSE, [close(&"*".repeat(123)), vec![b'*']].concat()).fails(1002),
        case("7.5.1")
            .send(
                CLOSE,
                [&close("")[..], b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"]
                    .concat(),
            )
            .fails(1007),
    ]
}

fn close_codes() -> Vec<Case> {
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    let invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    let close = |id: String, code: u16| case(id).send(CLOSE, close_payload(code, ""));
    let mut cases = Vec::new();
    for (number, code) in (1..).zip(valid) {
        cases.push(close(format!("7.7.{number}"), code).closes(Some(code)));
    }
    for (number, code) in (1..).zip(invalid) {
        cases.push(close(format!("7.9.{number}"), code).fails(1002));
    }
    for (number, code) in (1..).zip([5000, 65_535]) {
        cases.push(close(format!("7.13.{number}"), code).fails(1002));
    }
    cases
}
