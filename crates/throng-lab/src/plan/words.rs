//! What is said: how long it is, and the text itself.
//!
//! Neighbours: `mod` draws lengths, the runner asks for bodies.

use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, LogNormal};

use super::{BODY_BYTES_MIN, stream};
use crate::scenario::Bodies;

/// Bodies are cut out of a text of this length.
const TEXT_BYTES: usize = 32 * 1024;
/// What a careless encoder breaks; at the end of one body in eight.
const SPICE: &str = " \"\\\\\" é\u{1f980}\n";

/// The smallest picture there is, of one point; what follows its end belongs to nobody, so that one is
/// as long as it has to be and like no other.
const PICTURE: [u8; 67] = [
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N',
    b'D', 0xae, 0x42, 0x60, 0x82,
];
/// A file has room for a picture and a number.
pub const FILE_BYTES_MIN: u32 = 80;

/// How long bodies are.
#[derive(Debug)]
pub struct Lengths {
    log_normal: LogNormal<f64>,
    min: f64,
    max: f64,
}

impl Lengths {
    pub fn new(bodies: &Bodies) -> Self {
        let log_normal = LogNormal::new(f64::from(bodies.bytes_median).ln(), bodies.sigma)
            .expect("sigma is finite and not negative");
        Self { log_normal, min: f64::from(bodies.bytes_min), max: f64::from(bodies.bytes_max) }
    }

    pub fn draw(&self, chance: &mut StdRng) -> u32 {
        self.log_normal.sample(chance).clamp(self.min, self.max).round() as u32
    }
}

/// What is said: cut out of one text, and each begins with its number, so that no two are alike and
/// the same number and length give the same body again.
#[derive(Debug)]
pub struct Words {
    text: String,
}

impl Words {
    /// The text of a seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = stream(seed, 5);
        let mut text = String::with_capacity(TEXT_BYTES + 16);
        while text.len() < TEXT_BYTES {
            for _ in 0..chance.random_range(2..10) {
                text.push(char::from(chance.random_range(b'a'..=b'z')));
            }
            text.push(' ');
        }
        Self { text }
    }

    /// Puts the body of a send into `out`; none of a file that is sent alone.
    pub fn body(&self, number: u32, bytes: u32, out: &mut String) {
        use std::fmt::Write as _;
        out.clear();
        if bytes == 0 {
            return;
        }
        write!(out, "{number:08x} ").expect("a String grows");
        let spice = if number.is_multiple_of(8) { SPICE } else { "" };
        let rest = (bytes as usize).saturating_sub(out.len());
        let (rest, spice) = match rest.checked_sub(spice.len()) {
            Some(rest) => (rest, spice),
            None => (rest, ""),
        };
        let rest = rest.min(self.text.len());
        let from = number as usize * 61 % (self.text.len() - rest + 1);
        out.push_str(&self.text[from..from + rest]);
        out.push_str(spice);
    }
}

impl Words {
    /// The bytes of a file, and whether it is a picture.
    pub fn file(&self, number: u32, bytes: u32) -> (Vec<u8>, bool) {
        let picture = number.is_multiple_of(2);
        let mut file = if picture { PICTURE.to_vec() } else { Vec::new() };
        file.extend_from_slice(format!("{number:08x}\n").as_bytes());
        let rest = (bytes as usize).saturating_sub(file.len());
        file.extend(self.text.bytes().cycle().skip(number as usize * 61 % TEXT_BYTES).take(rest));
        (file, picture)
    }
}

/// Bytes of a body of so many random words, of two to nine letters each.
pub fn bytes_of_words([least, most]: [u32; 2], chance: &mut StdRng) -> u32 {
    let words = chance.random_range(least..=most);
    let bytes: u32 = (0..words).map(|_| chance.random_range(2..10) + 1).sum();
    BODY_BYTES_MIN + bytes
}
