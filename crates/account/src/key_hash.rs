//! What is kept of a key.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{ApiKey, hex};

/// Separates these hashes from every other use of SHA-256, so that a digest made elsewhere is never a key's.
const DOMAIN: &[u8] = b"modelworks api key, version 1\0";

/// SHA-256 of a key behind a domain label. Keys are random, so a fast hash is enough (a slow one guards guessable
/// passwords). The text form is 64 hexadecimal digits.
#[derive(Clone)]
pub struct KeyHash([u8; 32]);

/// A text that is not the hexadecimal form of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a key hash is 64 hexadecimal digits")]
pub struct InvalidKeyHash;

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &ApiKey) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(DOMAIN);
        hasher.update(key.expose().as_bytes());
        Self(hasher.finalize().into())
    }

    /// Reads the text form back.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyHash> {
        hex::parse(text).map(Self).ok_or(InvalidKeyHash)
    }

    /// The bytes, for [`crate::Pepper::hash`].
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `key` is the one that was hashed. The time that this takes says nothing about either.
    pub fn matches(&self, key: &ApiKey) -> bool {
        *self == Self::of(key)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        hex::push(&mut text, &self.0);
        f.write_str(&text)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ApiKey {
        ApiKey::parse(text).unwrap()
    }

    #[test]
    fn only_the_same_key_matches() {
        let kept = key("0123456789abcdef0123456789abcdef").hash();
        assert!(kept.matches(&key("0123456789abcdef0123456789abcdef")));
        assert!(!kept.matches(&key("0123456789abcdef0123456789abcdeF")));
        assert!(!kept.matches(&key("0123456789abcdef0123456789abcdef0")));
    }

    #[test]
    fn the_text_form_reads_back() {
        let hash = ApiKey::generate().unwrap().hash();
        assert_eq!(KeyHash::parse(&hash.to_string()), Ok(hash));
    }

    /// Data folders of earlier versions must go on to work.
    #[test]
    fn the_hash_of_a_known_key_stays() {
        let hash = key("0123456789abcdef0123456789abcdef").hash();
        assert_eq!(hash.to_string(), "02bf74701df0f9c9d9eaeb31bbddfef73c367f1cfbd21e2444d0c7042d657a75");
    }

    #[test]
    fn other_texts_are_no_hash() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(KeyHash::parse(text), Err(InvalidKeyHash), "{text}");
        }
    }
}
