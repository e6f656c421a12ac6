//! Pictures of people who are not there: a face of squares in two colours, mirrored, with a grain as cameras
//! make it, so that it is as long as small pictures are. The same seed and user give the same picture.
//!
//! Neighbours: the runner sends them before load is offered. A PNG of one kind is all that is written here:
//! three bytes a dot, nothing interlaced.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use rand::RngExt;

use super::stream;

/// Dots a side.
const SIDE: usize = 128;
/// Squares a side, of which those on the right are those on the left once more.
const SQUARES: usize = 8;
/// How far the grain moves a colour.
const GRAIN: u8 = 12;

/// The picture of a user, as PNG.
pub fn portrait(seed: u64, user: u32) -> Vec<u8> {
    let mut chance = stream(seed, 12 << 32 | u64::from(user));
    let colours: [[u8; 3]; 2] = [chance.random(), chance.random()];
    let mut squares = [[0; SQUARES]; SQUARES];
    for row in &mut squares {
        for at in 0..SQUARES / 2 {
            row[at] = chance.random_range(0..2);
            row[SQUARES - 1 - at] = row[at];
        }
    }
    // Each row begins with how it is written: as it is.
    let mut dots = Vec::with_capacity(SIDE * (1 + 3 * SIDE));
    for y in 0..SIDE {
        dots.push(0);
        for x in 0..SIDE {
            let colour = colours[squares[y * SQUARES / SIDE][x * SQUARES / SIDE]];
            let grain: u8 = chance.random_range(0..=GRAIN);
            dots.extend(colour.map(|part| part.saturating_add(grain)));
        }
    }
    png(SIDE as u32, &dots)
}

fn png(side: u32, dots: &[u8]) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(dots).expect("a Vec takes what comes");
    let packed = packed.finish().expect("a Vec takes what comes");
    let side = side.to_be_bytes();
    // Eight bits of red, green and blue each; the only packing, filters and order there are.
    let head = [&side[..], &side, &[8, 2, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &head[..]), (b"IDAT", &packed), (b"IEND", &[])] {
        let mut sum = Crc::new();
        sum.update(kind);
        sum.update(data);
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&sum.sum().to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read as _;

    use flate2::read::ZlibDecoder;

    use super::*;

    /// The chunks of a PNG, each with its sum seen to.
    fn chunks(mut png: &[u8]) -> Vec<(String, Vec<u8>)> {
        let (signature, rest) = png.split_at(8);
        assert_eq!(signature, b"\x89PNG\r\n\x1a\n");
        png = rest;
        let mut chunks = Vec::new();
        while !png.is_empty() {
            let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
            let len = number(0) as usize;
            let mut sum = Crc::new();
            sum.update(&png[4..8 + len]);
            assert_eq!(sum.sum(), number(8 + len));
            let kind = String::from_utf8(png[4..8].to_vec()).unwrap();
            chunks.push((kind, png[8..8 + len].to_vec()));
            png = &png[12 + len..];
        }
        chunks
    }

    #[test]
    fn a_picture_is_a_png_of_its_size_and_the_same_again_by_the_same_seed() {
        let chunks = chunks(&portrait(1, 7));
        let kinds: Vec<&str> = chunks.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["IHDR", "IDAT", "IEND"]);
        assert_eq!(chunks[0].1, [0, 0, 0, 128, 0, 0, 0, 128, 8, 2, 0, 0, 0]);
        let mut dots = Vec::new();
        ZlibDecoder::new(&chunks[1].1[..]).read_to_end(&mut dots).unwrap();
        assert_eq!(dots.len(), SIDE * (1 + 3 * SIDE));
        assert!(dots.chunks(1 + 3 * SIDE).all(|row| row[0] == 0));
        assert_eq!(portrait(1, 7), portrait(1, 7));
    }

    #[test]
    fn no_two_people_look_alike() {
        let all: BTreeSet<Vec<u8>> = (0..100).map(|user| portrait(1, user)).collect();
        assert_eq!(all.len(), 100);
        assert!(!all.contains(&portrait(2, 0)), "nor do those of another seed");
        assert!(all.iter().all(|it| (1_000..64_000).contains(&it.len())));
    }
}
