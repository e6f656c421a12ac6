//! Which seeds a random test runs with, and how one is repeated.

use std::env::var;

use rand::SeedableRng;
use rand::rngs::StdRng;

/// Runs `test` for each of `cases` seeds. `THRONG_SEED=n` runs that one alone, `THRONG_CASES=n` as
/// many of them (from `THRONG_SEED` on, if both are given).
pub fn each(name: &str, cases: u64, test: impl Fn(&mut StdRng)) {
    let number = |key| var(key).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("THRONG_SEED");
    let cases = number("THRONG_CASES").unwrap_or(if first.is_some() { 1 } else { cases });
    let first = first.unwrap_or(1);
    for seed in first..first + cases {
        let told = Told { name, seed };
        test(&mut StdRng::seed_from_u64(seed));
        std::mem::forget(told);
    }
}

/// Says on the way out of a failing test how to repeat it.
struct Told<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Told<'_> {
    #[expect(clippy::print_stdout, reason = "to the one who repeats it")]
    fn drop(&mut self) {
        let Self { name, seed } = self;
        println!("seed {seed}; repeat: THRONG_SEED={seed} cargo test -p throng-core {name}");
    }
}
