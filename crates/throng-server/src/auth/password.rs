//! Passwords and what is kept of them: argon2id as a PHC string.
//!
//! Neighbours: `hashing` runs what is here on its own threads; nothing here waits or is fast. A
//! password is never shown by `Debug` and never kept.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use throng_core::Rejection;
use throng_core::limits::{PASSWORD_LEN_MAX, PASSWORD_LEN_MIN};

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Bytes of a hash and of its salt, as RFC 9106 recommends.
const OUTPUT_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// A stored hash that asks for more is not one of ours, and would let a table eat the memory.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// A password within its bounds.
pub struct Password(Box<str>);

impl Password {
    /// Refuses what is too short or too long, before anything is spent on it.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, Rejection> {
        let text = text.into();
        if (PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(Rejection::BadPassword)
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What is kept of a password: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub struct Phc(String);

impl Phc {
    /// As it stands in the table; looked into only when a password is verified against it.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text for the table.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One that no password fits and that costs as much to try as a real one, for names that do not
    /// exist.
    pub fn dummy() -> Result<Self, getrandom::Error> {
        let mut output = [0; OUTPUT_BYTES];
        getrandom::fill(&mut output)?;
        Ok(Self::compose(&new_salt()?, &output))
    }

    fn compose(salt: &[u8; SALT_BYTES], output: &[u8; OUTPUT_BYTES]) -> Self {
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params()).expect("our parameters are within bounds"),
            salt: Some(Salt::new(salt).expect("16 bytes are a salt")),
            hash: Some(Output::new(output).expect("32 bytes are an output")),
        };
        Self(hash.to_string())
    }
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phc(…)")
    }
}

/// What came of comparing a password with what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password.
    Right,
    /// It is, but it was hashed with other parameters than today's: hash it again and keep that.
    RightButStale,
    /// It is not.
    Wrong,
    /// What is kept cannot be read; the operator should know.
    Unreadable,
}

/// The memory one thread hashes in, kept between hashes: fresh pages from the system would cost half
/// as much again as the hashing.
#[derive(Default)]
pub struct Arena(Vec<Block>);

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({} KiB)", self.0.len())
    }
}

impl Arena {
    /// Hashes a new password.
    pub fn hash(&mut self, password: &Password) -> Result<Phc, String> {
        let salt = new_salt().map_err(|error| error.to_string())?;
        let mut output = [0; OUTPUT_BYTES];
        self.fill(params(), password, &salt, &mut output)?;
        Ok(Phc::compose(&salt, &output))
    }

    /// Compares a password with what is kept of one.
    pub fn verify(&mut self, password: &Password, kept: &Phc) -> Verdict {
        self.try_verify(password, kept).unwrap_or(Verdict::Unreadable)
    }

    fn try_verify(&mut self, password: &Password, kept: &Phc) -> Option<Verdict> {
        let kept = PasswordHash::new(kept.as_str()).ok()?;
        let params = Params::try_from(&kept).ok()?;
        let known = kept.algorithm == Algorithm::Argon2id.ident()
            && kept.version == Some(Version::V0x13.into())
            && params.m_cost() <= MEMORY_KIB_MAX;
        let (salt, expected) = (kept.salt.filter(|_| known)?, kept.hash?);
        let stale = params != self::params();
        let mut output = [0; Output::MAX_LENGTH];
        let output = &mut output[..expected.len()];
        self.fill(params, password, salt.as_ref(), output).ok()?;
        // `Output` compares in constant time.
        let right = Output::new(output).ok()? == expected;
        Some(match (right, stale) {
            (true, false) => Verdict::Right,
            (true, true) => Verdict::RightButStale,
            (false, _) => Verdict::Wrong,
        })
    }

    fn fill(
        &mut self,
        params: Params,
        password: &Password,
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), String> {
        let blocks = params.block_count();
        if self.0.len() != blocks {
            self.0 = vec![Block::new(); blocks];
        }
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password.0.as_bytes(), salt, output, &mut self.0)
            .map_err(|error| error.to_string())
    }
}

fn params() -> Params {
    Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_BYTES)).expect("constants within bounds")
}

fn new_salt() -> Result<[u8; SALT_BYTES], getrandom::Error> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordVerifier as _;

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    #[test]
    fn a_kept_password_is_a_phc_string_that_others_can_verify() {
        let mut arena = Arena::default();
        let kept = arena.hash(&password("correct horse")).unwrap();
        assert!(kept.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.as_str());
        assert!(Argon2::default().verify_password(b"correct horse", kept.as_str()).is_ok());
        assert_eq!(arena.verify(&password("correct horse"), &kept), Verdict::Right);
        assert_eq!(arena.verify(&password("correct hors3"), &kept), Verdict::Wrong);
        assert_eq!(
            arena.verify(&password("correct horse"), &Phc::dummy().unwrap()),
            Verdict::Wrong
        );
    }

    #[test]
    fn a_hash_of_other_parameters_still_fits_and_is_said_to_be_stale() {
        use argon2::PasswordHasher as _;
        let weaker = Params::new(1024, 1, 1, Some(OUTPUT_BYTES)).unwrap();
        let kept = Argon2::new(Algorithm::Argon2id, Version::V0x13, weaker)
            .hash_password_with_salt(b"correct horse", &[7; 16])
            .unwrap();
        let kept = Phc::stored(kept.to_string());
        let mut arena = Arena::default();
        assert_eq!(arena.verify(&password("correct horse"), &kept), Verdict::RightButStale);
        assert_eq!(arena.verify(&password("wrong horse"), &kept), Verdict::Wrong);
    }

    #[test]
    fn what_cannot_be_read_fits_no_password() {
        let mut arena = Arena::default();
        let greedy = "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for text in ["", "plain", "$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAA", greedy] {
            let kept = Phc::stored(text.to_owned());
            assert_eq!(arena.verify(&password("whatever"), &kept), Verdict::Unreadable, "{text}");
        }
    }

    #[test]
    fn a_password_is_refused_on_the_far_side_of_both_bounds() {
        let of = |len: usize| Password::parse("x".repeat(len));
        assert!(matches!(of(PASSWORD_LEN_MIN - 1), Err(Rejection::BadPassword)));
        assert!(of(PASSWORD_LEN_MIN).is_ok() && of(PASSWORD_LEN_MAX).is_ok());
        assert!(matches!(of(PASSWORD_LEN_MAX + 1), Err(Rejection::BadPassword)));
        assert!(!format!("{:?}", password("correct horse")).contains("horse"));
    }
}
