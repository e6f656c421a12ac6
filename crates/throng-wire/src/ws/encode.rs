//! Writing frames. A server's frames carry no mask, so one rendering serves every recipient.

use std::ops::Deref;

use super::deflate::{DEFLATE_LEN_MIN, compress};
use super::{COMPRESSED, CONTROL_LEN_MAX, HEADER_LEN_MAX, Opcode, apply_mask};

/// A frame's header; dereferences to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER_LEN_MAX],
    len: u8,
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The header of a whole, unmasked frame: a server's.
pub fn header(opcode: Opcode, payload_len: usize) -> Header {
    header_of(opcode, true, payload_len, None)
}

/// The header of a whole, masked frame: a client's.
pub fn header_masked(opcode: Opcode, payload_len: usize, mask: [u8; 4]) -> Header {
    header_of(opcode, true, payload_len, Some(mask))
}

fn header_of(opcode: Opcode, fin: bool, payload_len: usize, mask: Option<[u8; 4]>) -> Header {
    let mut bytes = [0; HEADER_LEN_MAX];
    bytes[0] = opcode as u8 | if fin { 0x80 } else { 0 };
    let mut len = 2;
    match payload_len {
        0..=125 => bytes[1] = payload_len as u8,
        126..=0xffff => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            len = 4;
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
            len = 10;
        }
    }
    if let Some(mask) = mask {
        bytes[1] |= 0x80;
        bytes[len..len + 4].copy_from_slice(&mask);
        len += 4;
    }
    Header { bytes, len: len as u8 }
}

/// Appends one whole frame. `mask` is for clients, and must be hard to foresee (RFC 6455 §10.3).
pub fn encode_frame(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    encode_fragment(opcode, true, payload, mask, out);
}

/// Appends one frame of a message in fragments: the first names what it is, the others are
/// continuations, the last is `fin`.
pub fn encode_fragment(
    opcode: Opcode,
    fin: bool,
    payload: &[u8],
    mask: Option<[u8; 4]>,
    out: &mut Vec<u8>,
) {
    debug_assert!(!opcode.is_control() || (fin && payload.len() <= CONTROL_LEN_MAX));
    out.extend_from_slice(&header_of(opcode, fin, payload.len(), mask));
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(mask, 0, &mut out[start..]);
    }
}

/// Appends one whole, unmasked frame whose payload `write` appends: rendering in one pass, without a
/// copy. Room for the commonest header is left first; the payload moves only if it needs another.
pub fn encode_with(opcode: Opcode, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    const GUESS: usize = 4;
    let start = out.len();
    out.extend_from_slice(&[0; GUESS]);
    write(out);
    let payload_len = out.len() - start - GUESS;
    let header = header(opcode, payload_len);
    if header.len() == GUESS {
        out[start..start + GUESS].copy_from_slice(&header);
    } else {
        out.splice(start..start + GUESS, header.iter().copied());
    }
}

/// The same; compressed if it is long enough for that and becomes shorter by it.
pub fn encode_deflated(opcode: Opcode, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut payload = Vec::new();
    write(&mut payload);
    let mut small = Vec::new();
    if payload.len() <= DEFLATE_LEN_MIN || !compress(&payload, &mut small) {
        return encode_frame(opcode, &payload, None, out);
    }
    let start = out.len();
    encode_frame(opcode, &small, None, out);
    out[start] |= COMPRESSED;
}

/// The payload of a close frame. The reason is cut to fit, between two characters.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_LEN_MAX - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_rfcs_examples() {
        let mut out = Vec::new();
        encode_frame(Opcode::Text, b"Hello", None, &mut out);
        assert_eq!(out, b"\x81\x05Hello");
        out.clear();
        encode_frame(Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &mut out);
        assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(*header(Opcode::Binary, 256), *b"\x82\x7e\x01\x00");
        assert_eq!(*header(Opcode::Binary, 65_536), *b"\x82\x7f\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn rendering_in_place_gives_the_same_bytes_at_every_width_of_the_length() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; len];
            let (mut plain, mut placed) = (b"before".to_vec(), b"before".to_vec());
            encode_frame(Opcode::Binary, &payload, None, &mut plain);
            encode_with(Opcode::Binary, &mut placed, |out| out.extend_from_slice(&payload));
            assert_eq!(plain, placed, "payload of {len}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let payload = close_payload(1000, &"\u{e9}".repeat(100));
        assert_eq!(payload.len(), 2 + 122);
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
    }
}
