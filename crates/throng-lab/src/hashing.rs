//! argon2id as the server sets it and nothing else: what a storm of logins is held against.
//!
//! Neighbours: `bench` starts it in a process of its own, `run` beside a run whose scenario asks.

use std::io;
use std::time::Duration;

use crate::clock::{self, Nanos};

/// As the server's hashing threads are.
const NICE: i32 = 10;

/// Hashes a second of so many threads together; each makes one at least, however late it began.
pub fn alone(threads: usize, time: Duration) -> io::Result<f64> {
    let end = clock::now().plus(time);
    let hashers: Vec<_> =
        (0..threads).map(|_| std::thread::spawn(move || hash_until(end))).collect();
    let mut hashes = 0;
    for hasher in hashers {
        hashes += hasher.join().map_err(|_| io::Error::other("a hasher panicked"))??;
    }
    Ok(hashes as f64 / time.as_secs_f64())
}

fn hash_until(end: Nanos) -> io::Result<u64> {
    // On Linux this is the thread's own.
    rustix::process::nice(NICE)?;
    // 19 MiB, two passes, one lane: OWASP's setting, and the server's.
    let params = argon2::Params::new(19 * 1024, 2, 1, None).expect("the setting is allowed");
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut memory = vec![argon2::Block::default(); argon2.params().block_count()];
    let mut hash = [0; 32];
    let mut hashes = 0;
    loop {
        argon2
            .hash_password_into_with_memory(
                b"correct horse battery",
                b"0123456789abcdef",
                &mut hash,
                &mut memory,
            )
            .expect("lengths are allowed");
        hashes += 1;
        if clock::now() >= end {
            return Ok(hashes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_hashes_some_a_second_and_not_thousands() {
        let rate = alone(1, Duration::from_millis(200)).unwrap();
        assert!((0.5..2_000.0).contains(&rate), "{rate}");
    }
}
