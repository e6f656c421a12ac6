//! Session tokens: 256 random bits as text. Who holds the text is the session; what is kept is its
//! hash, so that a stolen accounts table logs nobody in.
//!
//! Neighbours: `accounts` keeps and looks up `TokenHash`. A token is never shown by `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes of a token: nothing to guess, nothing to sign.
const TOKEN_BYTES: usize = 32;
/// Their length as base64url without padding.
const TOKEN_CHARS: usize = 43;

/// A token as its owner holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, from the operating system's chance.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self::of_bytes(bytes))
    }

    /// Of bytes that nobody can guess, or that a test repeats.
    pub fn of_bytes(bytes: [u8; TOKEN_BYTES]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The text, for its owner alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(*blake3::hash(self.0.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What is kept of a token. Comparing it leaks nothing: it is the hash of what an attacker would
/// have to know.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Of a text that a client gave; `None` when no token looks like that.
    pub fn of(text: &str) -> Option<Self> {
        (text.len() == TOKEN_CHARS).then(|| Self(*blake3::hash(text.as_bytes()).as_bytes()))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_text_alone_and_shown_by_nothing() {
        let token = Token::generate().unwrap();
        assert_eq!(token.reveal().len(), TOKEN_CHARS);
        assert_eq!(TokenHash::of(token.reveal()), Some(token.hash()));
        assert_ne!(Token::generate().unwrap(), token);
        assert!(TokenHash::of(&token.reveal()[1..]).is_none());
        assert!(!format!("{token:?} {:?}", token.hash()).contains(token.reveal()));
    }
}
