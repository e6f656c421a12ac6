//! What a post says: made from its number alone, so that what arrives can be checked without having
//! been kept.
//!
//! Neighbours: `load` sends it, `book` checks it.

/// Makes bodies of one length.
#[derive(Clone, Debug)]
pub struct Text {
    len: usize,
    letters: Vec<u8>,
}

const LETTERS: usize = 64 * 1024;
const INDEX_LEN: usize = 10;

impl Text {
    /// Bodies of `len` bytes.
    pub fn new(len: usize) -> Self {
        const SIGNS: &[u8; 64] =
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
        let letters = (0..LETTERS + len).map(|at| SIGNS[(mix(at as u64) % 64) as usize]);
        Self { len, letters: letters.collect() }
    }

    /// The body of post `number`, sent as this run's `index`th.
    pub fn body(&self, number: u64, index: usize) -> String {
        let start = mix(number) as usize % LETTERS;
        let filler = &self.letters[start..start + self.len - INDEX_LEN];
        let filler = std::str::from_utf8(filler).expect("letters are ASCII");
        format!("{index:0INDEX_LEN$}{filler}")
    }

    /// Which of this run's sends a body says to be.
    pub fn index(body: &str) -> Option<usize> {
        body.get(..INDEX_LEN)?.parse().ok()
    }

    /// The `origin_id` of post `number`: 128 bits without order.
    pub fn origin(number: u64) -> String {
        format!("{:016x}{:016x}", mix(number), mix(!number))
    }
}

/// SplitMix64.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
