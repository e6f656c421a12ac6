//! One target a grammar: `fuzz::json`, `fuzz::protobuf`, `fuzz::raw`, `fuzz::ws`. Each runs for a second
//! of chance under `cargo test`; for longer, one at a time:
//!
//! `BOLERO_RANDOM_TEST_TIME_MS=60000 cargo test -p throng-wire --test runner fuzz::json`
//!
//! A failure prints its seed, and `BOLERO_RANDOM_SEED=… cargo test …` repeats it; a file of input that
//! is put into `__fuzz__/<target>/corpus` beside the target is tried on each run. Chance alone rarely makes a frame, so
//! each input is tried as it is and as the recipe of changes to a frame that was one.

mod json;
mod protobuf;
mod raw;
mod ws;

/// Changes `seed` as the bytes of `recipe` say, four of them a change.
fn changed(seed: &[u8], recipe: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for change in recipe.chunks_exact(4).take(8) {
        let at = usize::from(u16::from_be_bytes([change[1], change[2]])) % (bytes.len() + 1);
        let to = (at + usize::from(change[3] % 16)).min(bytes.len());
        match change[0] % 6 {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => bytes.insert(at, change[3]),
            3 => bytes.extend_from_within(at..to),
            4 if at < bytes.len() => bytes[at] ^= 1 << (change[3] % 8),
            _ if at < bytes.len() => bytes[at] = change[3],
            _ => {}
        }
    }
    bytes
}

/// The input itself, then one of `seeds` changed by it.
fn tries(input: &[u8], seeds: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut tries = vec![input.to_vec()];
    if let Some((first, recipe)) = input.split_first() {
        tries.push(changed(seeds[usize::from(*first) % seeds.len()], recipe));
    }
    tries
}
