//! Section 9: large messages, small fragments, small pieces, many messages. Sizes as published.

use throng_wire::ws::Opcode;

use super::{BINARY, BINARY_BEGINS, Case, LAST, Pieces, TEXT, TEXT_BEGINS, case};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What one read of a socket brings.
const READ: Pieces = Pieces::Bytes(64 * KIB);

/// Text and binary alternate in the numbering; so do these.
const KINDS: [(usize, Opcode, u8, u8); 2] =
    [(0, Opcode::Text, TEXT, b'*'), (1, Opcode::Binary, BINARY, 0xfe)];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (offset, opcode, first, byte) in KINDS {
        let sizes = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
        for (number, len) in (1..).zip(sizes) {
            let message = vec![byte; len];
            let one = case(format!("9.{}.{number}", 1 + offset)).send(first, &message);
            cases.push(one.echoes(opcode, &message).pieces(READ));
        }
        let fragments = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
        for (number, len) in (1..).zip(fragments) {
            cases.push(in_fragments(format!("9.{}.{number}", 3 + offset), opcode, byte, len));
        }
        let message = vec![byte; MIB];
        for (number, chop) in (1..).zip([64, 128, 256, 512, 1024, 2048]) {
            let one = case(format!("9.{}.{number}", 5 + offset)).send(first, &message);
            cases.push(one.echoes(opcode, &message).pieces(Pieces::Bytes(chop)));
        }
        for (number, len) in (1..).zip([0, 16, 64, 256, 1024, 4096]) {
            let message = vec![byte; len];
            let mut thousand = case(format!("9.{}.{number}", 7 + offset));
            for _ in 0..1000 {
                thousand = thousand.send(first, &message).echoes(opcode, &message);
            }
            cases.push(thousand);
        }
    }
    cases
}

fn in_fragments(id: String, opcode: Opcode, byte: u8, len: usize) -> Case {
    let begins = if opcode == Opcode::Text { TEXT_BEGINS } else { BINARY_BEGINS };
    let count = 4 * MIB / len;
    let part = vec![byte; len];
    let mut sent = case(id).pieces(READ);
    for number in 0..count {
        let first = if number == 0 { begins } else { 0 };
        let fin = if number + 1 == count { LAST } else { 0 };
        sent = sent.send(first | fin, &part);
    }
    sent.echoes(opcode, vec![byte; 4 * MIB])
}
