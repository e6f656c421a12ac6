//! Pictures that are made to cost much: few bytes that say or unpack to very many. Bombs of the grammars
//! are in `live/bombs.rs`.
//!
//! Each is given to the making of small pictures in a process of its own, which tells what it
//! allocated at most and what its processor took; this process makes the bombs, so that what making them took is
//! not in the count. What is refused costs less than a mebibyte; what is let through costs by its own
//! length, which its sender had to send.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufReader, Cursor, Write as _};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{Frame, ImageFormat, RgbImage, RgbaImage};
use peak_alloc::PeakAlloc;
use throng_core::{FileKind, Limits};
use throng_server::files::picture;

/// Counts what is allocated. The pages of a process are no measure: how many of its code come in at a
/// touch depends on what the machine has read before.
#[global_allocator]
pub static ALLOCATED: PeakAlloc = PeakAlloc;

/// Names the bomb to the process that is to bear it.
const VARIABLE: &str = "THRONG_TEST_BOMB";
pub const MEBIBYTE: u64 = 1 << 20;
/// Of a build that is not optimised, beside others on the same cores.
pub const CPU_MAX_MS: u64 = 1_000;

#[test]
fn a_picture_that_unpacks_to_far_more_than_it_is_costs_less_than_a_mebibyte_and_little_time() {
    if bear() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let zeros = packed_zeros(64 * MEBIBYTE);
    for (name, kind, bytes) in [
        (
            "one colour, 8192 by 8192",
            FileKind::Png,
            png(&head_of_png(8_192, 8_192, 8), &[], &zeros),
        ),
        (
            "one bit, 32768 by 32768",
            FileKind::Png,
            png(&head_of_png(32_768, 32_768, 1), &[], &zeros),
        ),
        (
            "one colour, 4096 by 4096, made row by row",
            FileKind::Png,
            png(&head_of_png(4_096, 4_096, 8), &[], &packed_zeros(4_096 * 4_097)),
        ),
        (
            "nothing to be seen, 2048 by 2048, made row by row",
            FileKind::Png,
            png(&seen_through(2_048), &[], &packed_zeros(2_048 * (4 * 2_048 + 1))),
        ),
        (
            "a side of two thousand million",
            FileKind::Png,
            png(&head_of_png(0x7fff_ffff, 1, 8), &[], b""),
        ),
        ("a text that unpacks", FileKind::Png, with_chunk(*b"zTXt", b"k\0\0", &zeros)),
        (
            "an international text that unpacks",
            FileKind::Png,
            with_chunk(*b"iTXt", b"k\0\x01\0\0\0", &zeros),
        ),
        (
            "a profile of colours that unpacks",
            FileKind::Png,
            with_chunk(*b"iCCP", b"k\0\0", &zeros),
        ),
        ("a chunk of four gigabytes", FileKind::Png, cut_chunk()),
        ("more frames than were ever made", FileKind::Png, frames_of_png()),
        ("65535 by 65535", FileKind::Jpeg, jpeg(65_535, 65_535, 0xc0)),
        ("32768 by 32768", FileKind::Jpeg, jpeg(32_768, 32_768, 0xc0)),
        ("in scans, 32768 by 32768", FileKind::Jpeg, jpeg(32_768, 32_768, 0xc2)),
        ("a screen of 65535 by 65535", FileKind::Gif, gif(65_535, 65_535, 1)),
        ("three thousand frames", FileKind::Gif, gif(8, 8, 3_000)),
        ("16384 by 16384", FileKind::Webp, webp(16_384, 16_384, 0)),
        ("sixteen million by sixteen million", FileKind::Webp, webp(1 << 24, 1 << 24, 0)),
        ("three thousand frames", FileKind::Webp, webp(16_384, 16_384, 3_000)),
    ] {
        assert!(bytes.len() < 320 * 1_024, "{name} is no bomb: {} bytes", bytes.len());
        let cost = cost(folder.path(), kind, &bytes);
        println!("{kind:?}, {name}: {} bytes, {} KiB, {} ms", bytes.len(), cost.kib, cost.ms);
        assert!(cost.kib * 1_024 < MEBIBYTE, "{kind:?}, {name}: {} KiB", cost.kib);
        assert!(cost.ms < CPU_MAX_MS, "{kind:?}, {name}: {} ms", cost.ms);
    }
}

#[test]
fn a_picture_that_is_let_through_costs_by_its_own_length() {
    if bear() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // As much as may be unpacked: 128 times its length and 256 KiB.
    let (side, zeros) = (1_500, packed_zeros(1_500 * 1_501));
    let mut allowed = png(&head_of_png(side, side, 8), &[], &zeros);
    // What follows the end is not read, and makes it long enough.
    allowed.resize(((u64::from(side).pow(2) - 256 * 1_024) / 128 + 1) as usize, 0);
    let scans = scans(1_024, 5_000);
    for (name, kind, bytes, made) in [
        ("one colour at the ratio", FileKind::Png, allowed, true),
        ("five thousand scans", FileKind::Jpeg, scans, false),
    ] {
        let cost = cost(folder.path(), kind, &bytes);
        let most = (bytes.len() as u64 * 128 + 256 * 1_024) * 3 + MEBIBYTE;
        println!("{kind:?}, {name}: {} bytes, {} KiB, {} ms", bytes.len(), cost.kib, cost.ms);
        assert_eq!(cost.made, made, "{name}");
        assert!(cost.kib * 1_024 < most, "{name}: {} KiB", cost.kib);
        assert!(cost.ms < CPU_MAX_MS, "{name}: {} ms", cost.ms);
    }
}

struct Cost {
    made: bool,
    kib: u64,
    ms: u64,
}

/// What a picture costs a process that has made a small one of its kind before.
fn cost(folder: &Path, kind: FileKind, bytes: &[u8]) -> Cost {
    let path = folder.join(format!("bomb.{}", kind.number()));
    fs::write(&path, bytes).unwrap();
    fs::write(path.with_extension("harmless"), harmless(kind)).unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, format!("{} {}", kind.number(), path.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let line = said.lines().find_map(|line| line.split_once("cost: "));
    let numbers: Vec<u64> = line
        .unwrap_or_else(|| panic!("{said}\n{}", String::from_utf8_lossy(&child.stderr)))
        .1
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    Cost { made: numbers[0] == 1, kib: numbers[1], ms: numbers[2] }
}

/// In the process that is to bear a bomb: bears it, and says what it cost.
fn bear() -> bool {
    let Ok(told) = std::env::var(VARIABLE) else { return false };
    let (number, path) = told.split_once(' ').unwrap();
    let kind = FileKind::from_number(number.parse().unwrap()).unwrap();
    let path = Path::new(path);
    // Its code and its tables are not the bomb's.
    assert!(small(&path.with_extension("harmless"), kind), "a harmless one is made");
    ALLOCATED.reset_peak_usage();
    let (before, began) = (ALLOCATED.current_usage(), cpu_ms());
    let made = small(path, kind);
    let grown = (ALLOCATED.peak_usage() - before).div_ceil(1_024);
    let took = cpu_ms() - began;
    let line = format!("\ncost: {} {grown} {took}\n", u8::from(made));
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    true
}

/// As `files` does it when a picture has come and when its small one is asked for.
fn small(path: &Path, kind: FileKind) -> bool {
    let open = || BufReader::new(File::open(path).unwrap());
    picture::size(open(), kind);
    let len = fs::metadata(path).unwrap().len();
    picture::small(open(), kind, len, Limits::default().picture_len_max).is_some()
}

pub fn cpu_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

fn harmless(kind: FileKind) -> Vec<u8> {
    let format = match kind {
        FileKind::Png => ImageFormat::Png,
        FileKind::Jpeg => ImageFormat::Jpeg,
        FileKind::Gif => ImageFormat::Gif,
        _ => ImageFormat::WebP,
    };
    let mut out = Cursor::new(Vec::new());
    RgbImage::new(16, 16).write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn packed_zeros(len: u64) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    let piece = [0; 8 * 1_024];
    let mut left = len as usize;
    while left > 0 {
        let now = left.min(piece.len());
        packed.write_all(&piece[..now]).unwrap();
        left -= now;
    }
    packed.finish().unwrap()
}

fn head_of_png(width: u32, height: u32, bits: u8) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(width.to_be_bytes());
    head.extend(height.to_be_bytes());
    // Shades of grey, and no other choice.
    head.extend([bits, 0, 0, 0, 0]);
    head
}

/// Colours, and how much of what is behind them is seen.
fn seen_through(side: u32) -> Vec<u8> {
    let mut head = head_of_png(side, side, 8);
    head[9] = 6;
    head
}

fn chunk(out: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    let from = out.len();
    out.extend(name);
    out.extend(data);
    out.extend(crc32fast::hash(&out[from..]).to_be_bytes());
}

fn png(head: &[u8], before: &[([u8; 4], Vec<u8>)], data: &[u8]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut out, *b"IHDR", head);
    for (name, data) in before {
        chunk(&mut out, *name, data);
    }
    chunk(&mut out, *b"IDAT", data);
    chunk(&mut out, *b"IEND", b"");
    out
}

/// A harmless picture with one chunk that is not.
fn with_chunk(name: [u8; 4], head: &[u8], packed: &[u8]) -> Vec<u8> {
    let data = [head, packed].concat();
    png(&head_of_png(4, 4, 8), &[(name, data)], &packed_zeros(4 * 5))
}

/// A chunk that says it is as long as may be, and ends at once.
fn cut_chunk() -> Vec<u8> {
    let mut out = png(&head_of_png(4, 4, 8), &[], &packed_zeros(4 * 5));
    let at = 8 + 12 + 13;
    out[at..at + 4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    out
}

fn frames_of_png() -> Vec<u8> {
    let count = [u32::MAX >> 1, 0].map(u32::to_be_bytes).concat();
    png(&head_of_png(4, 4, 8), &[(*b"acTL", count)], &packed_zeros(4 * 5))
}

fn segment(out: &mut Vec<u8>, marker: u8, data: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((data.len() as u16 + 2).to_be_bytes());
    out.extend(data);
}

/// Tables, and a frame of three colours (`0xc0`, or `0xc2` in scans) or of grey.
fn head_of_jpeg(width: u16, height: u16, frame: u8, colours: u8) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    segment(&mut out, 0xdb, &[&[0][..], &[1; 64]].concat());
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    let mut head = vec![8, height[0], height[1], width[0], width[1], colours];
    head.extend((1..=colours).flat_map(|colour| [colour, 0x11, 0]));
    segment(&mut out, frame, &head);
    // One code of one bit: no difference; and of the others, the end of so long a band as there is.
    for (class, symbol) in [(0x00, 0x00), (0x10, if frame == 0xc2 { 0xe0 } else { 0x00 })] {
        let mut table = vec![class, 1];
        table.extend([0; 15]);
        table.push(symbol);
        segment(&mut out, 0xc4, &table);
    }
    out
}

fn jpeg(width: u16, height: u16, frame: u8) -> Vec<u8> {
    let mut out = head_of_jpeg(width, height, frame, 3);
    let to = if frame == 0xc2 { 0 } else { 63 };
    segment(&mut out, 0xda, &[3, 1, 0, 2, 0, 3, 0, 0, to, 0]);
    out.extend([0; 64]);
    out.extend([0xff, 0xd9]);
    out
}

/// A grey picture that is gone over once more by every scan of few bytes.
fn scans(side: u16, count: u32) -> Vec<u8> {
    let mut out = head_of_jpeg(side, side, 0xc2, 1);
    segment(&mut out, 0xda, &[1, 1, 0, 0, 0, 0]);
    let blocks = usize::from(side / 8).pow(2);
    out.resize(out.len() + blocks / 8, 0);
    for _ in 0..count {
        segment(&mut out, 0xda, &[1, 1, 0, 1, 63, 0]);
        // The code, and fourteen bits of how many blocks more.
        out.extend([0x3f, 0x7f, 0x00]);
    }
    out.extend([0xff, 0xd9]);
    out
}

fn gif(width: u16, height: u16, frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for _ in 0..frames {
        encoder.encode_frame(Frame::new(RgbaImage::new(1, 1))).unwrap();
    }
    drop(encoder);
    bytes[6..8].copy_from_slice(&width.to_le_bytes());
    bytes[8..10].copy_from_slice(&height.to_le_bytes());
    bytes
}

/// A canvas of this size, still or of so many frames.
fn webp(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let still = harmless(FileKind::Webp);
    let picture = &still[12..];
    let moving = if frames > 0 { 0x02 } else { 0 };
    let mut body = b"WEBPVP8X\x0a\0\0\0".to_vec();
    body.extend([moving, 0, 0, 0]);
    body.extend(&(width - 1).to_le_bytes()[..3]);
    body.extend(&(height - 1).to_le_bytes()[..3]);
    if frames > 0 {
        body.extend(b"ANIM\x06\0\0\0\0\0\0\0\0\0");
    } else {
        body.extend(picture);
    }
    for _ in 0..frames {
        body.extend(b"ANMF");
        body.extend((16 + picture.len() as u32).to_le_bytes());
        // At the corner, of 16 by 16, for no time.
        body.extend([0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 0, 0, 0, 0]);
        body.extend(picture);
    }
    let mut out = b"RIFF".to_vec();
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(body);
    out
}

#[test]
fn the_bombs_are_pictures_to_who_does_not_look_closer() {
    let mut kinds = String::new();
    for bytes in [jpeg(8, 8, 0xc0), gif(1, 1, 1), webp(16, 16, 0), scans(64, 1)] {
        let read = image::load_from_memory(&bytes);
        write!(kinds, "{:?} ", read.map(|picture| picture.width())).unwrap();
    }
    assert_eq!(kinds, "Ok(8) Ok(1) Ok(16) Ok(64) ");
}
