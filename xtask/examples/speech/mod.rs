//! What is said in measurements: words by their rank, of which a few are in most messages and most are in
//! few (Zipf), from a fixed seed.
//!
//! Neighbours: the examples that fill a store or an index.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Zipf};

/// How many words there are.
pub const VOCABULARY: usize = 50_000;

/// One who speaks.
pub struct Speech {
    /// What all chance of the measurement comes from.
    pub chance: SmallRng,
    zipf: Zipf<f64>,
}

impl Speech {
    /// The same one each time.
    pub fn new() -> Self {
        let zipf = Zipf::new(VOCABULARY as f64, 1.05).expect("a distribution");
        Self { chance: SmallRng::seed_from_u64(1), zipf }
    }

    /// The word of a rank: a common one is short.
    pub fn word(rank: usize) -> String {
        const SYLLABLES: [&str; 20] = [
            "ta", "re", "ko", "mi", "su", "ne", "lo", "va", "di", "pu", "che", "sto", "gra", "fi",
            "wen", "bo", "jal", "qui", "yor", "zam",
        ];
        let mut rest = rank + 20;
        let mut word = String::new();
        while rest > 0 {
            word.push_str(SYLLABLES[rest % SYLLABLES.len()]);
            rest /= SYLLABLES.len();
        }
        word
    }

    /// Which word comes next.
    pub fn rank(&mut self) -> usize {
        self.zipf.sample(&mut self.chance) as usize
    }
}
