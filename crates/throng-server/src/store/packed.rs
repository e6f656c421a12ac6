//! Blocks as zstd frames: those that are full and pay for it.
//!
//! Neighbours: `sqlite.rs` packs a block when it is full, if the settings say so, and unpacks what it
//! reads, whatever they say. On disk: a version, a CRC-32 of all behind it, the length of the block that
//! it is, and the frame. Bytes come from a disk: what does not fit is an error, never a large buffer.

use std::borrow::Cow;
use std::cell::RefCell;

use throng_core::Seq;

use crate::record::{OpenBlock, RecordError};

/// First byte of a packed block; that of a plain one is another.
const VERSION: u8 = 0x22;
/// Version, CRC-32 of what follows it, length of the block.
const HEADER_LEN: usize = 1 + 4 + 4;
/// Of a block, in bytes. Below this nothing is won: a page of the file is 16 KiB, and a frame has a head
/// of its own.
pub const PACKED_LEN_MIN: usize = 4 * 1024;
/// A block is full far below this.
const LEN_MAX: usize = 1024 * 1024;
/// The quickest of zstd's regular levels: the fold pays for it, for every block that is full.
const LEVEL: i32 = 1;

thread_local! {
    /// Some 160 KiB for each thread that reads packed blocks.
    static UNPACKER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Packs blocks; keeps its tables from one to the next.
pub struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    len_min: usize,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("len_min", &self.len_min).finish_non_exhaustive()
    }
}

impl Packer {
    /// One with tables of its own, for blocks of so many bytes or more.
    pub fn new(len_min: usize) -> std::io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(LEVEL)?, len_min })
    }

    /// Packs the plain block in `bytes`, if that makes it smaller by an eighth at least.
    pub fn pack(&mut self, bytes: &mut Vec<u8>) {
        if bytes.len() < self.len_min || bytes.len() > LEN_MAX {
            return;
        }
        // What cannot be packed stays as it is.
        let Ok(frame) = self.compressor.compress(bytes) else { return };
        if HEADER_LEN + frame.len() > bytes.len() / 8 * 7 {
            return;
        }
        let len = u32::try_from(bytes.len()).expect("a MiB at most");
        bytes.clear();
        bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&frame);
        let crc = crc32fast::hash(&bytes[5..]);
        bytes[1..5].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Whether a block is packed.
pub fn is_packed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&VERSION)
}

/// A block as it was before it was packed, if it was.
pub fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, RecordError> {
    if !is_packed(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    let Some((header, frame)) = bytes.split_at_checked(HEADER_LEN) else {
        return Err(RecordError::Length);
    };
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
    if word(1) != crc32fast::hash(&bytes[5..]) {
        return Err(RecordError::Checksum);
    }
    let len = word(5) as usize;
    if len > LEN_MAX {
        return Err(RecordError::Length);
    }
    let plain = UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(zstd::bulk::Decompressor::new().ok()?),
        };
        unpacker.decompress(frame, len).ok()
    });
    match plain {
        Some(plain) if plain.len() == len => Ok(Cow::Owned(plain)),
        _ => Err(RecordError::Length),
    }
}

/// A block in the place of one with these bytes: packed if that was.
pub fn encode_as(was: &[u8], block: &OpenBlock) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::with_capacity(was.len());
    block.encode(&mut bytes);
    if is_packed(was) {
        Packer::new(0).map_err(|_| RecordError::Length)?.pack(&mut bytes);
    }
    Ok(bytes)
}

/// Goes on with a block that was read back.
pub fn reopen(first: Seq, bytes: &[u8]) -> Result<OpenBlock, RecordError> {
    OpenBlock::reopen(first, &unpack(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    /// A full block of a room.
    fn block() -> Vec<u8> {
        let mut block = OpenBlock::new(Seq(1));
        for event in &samples::history(samples::room(1), 1, 200) {
            block.push(event);
        }
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_packed_block_is_smaller_and_is_the_same_again() {
        let plain = block();
        let mut packed = plain.clone();
        Packer::new(PACKED_LEN_MIN).unwrap().pack(&mut packed);
        assert!(is_packed(&packed) && packed.len() < plain.len() / 2, "{}", packed.len());
        assert_eq!(*unpack(&packed).unwrap(), plain[..]);
        assert_eq!(*unpack(&plain).unwrap(), plain[..]);
        assert_eq!(reopen(Seq(1), &packed).unwrap().count(), 200);
    }

    #[test]
    fn what_does_not_pay_stays_as_it_is() {
        let mut packer = Packer::new(PACKED_LEN_MIN).unwrap();
        let chance = |len: usize| -> Vec<u8> {
            let mut x = 1_u32;
            let mut next = || {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (x >> 24) as u8
            };
            std::iter::once(0x21).chain(std::iter::repeat_with(&mut next)).take(len).collect()
        };
        for mut bytes in [vec![0x21; PACKED_LEN_MIN - 1], chance(20_000), vec![0x21; LEN_MAX + 1]] {
            let was = bytes.clone();
            packer.pack(&mut bytes);
            assert!(bytes == was, "{}", was.len());
        }
        let mut least = vec![0x21; PACKED_LEN_MIN];
        packer.pack(&mut least);
        assert!(is_packed(&least));
    }

    #[test]
    fn any_byte_that_was_damaged_is_noticed_and_no_length_is_believed() {
        let mut packed = block();
        Packer::new(PACKED_LEN_MIN).unwrap().pack(&mut packed);
        for at in 1..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            assert!(unpack(&damaged).is_err(), "{at}");
        }
        for len in [0, packed.len() as u32, LEN_MAX as u32 + 1, u32::MAX] {
            let mut lying = packed.clone();
            lying[5..9].copy_from_slice(&len.to_le_bytes());
            let crc = crc32fast::hash(&lying[5..]);
            lying[1..5].copy_from_slice(&crc.to_le_bytes());
            assert!(unpack(&lying).is_err(), "{len}");
        }
        assert!(unpack(&packed[..HEADER_LEN - 1]).is_err());
    }
}
