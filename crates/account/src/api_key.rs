//! The secret that a caller shows, as a type that cannot be printed by accident.

use std::fmt;

use thiserror::Error;

use crate::{KeyHash, hex};

/// What every key made here begins with, so that a leaked one is recognised by scanners and by people.
const PREFIX: &str = "mw-";

/// Random bytes in a generated key: 256 bits, which nobody guesses, so that a fast hash of it is safe to keep.
const RANDOM_BYTES: usize = 32;

/// An API key in the clear.
///
/// There is no `Display` and no serialisation, and `Debug` hides the secret: the one way to the text is
/// [`ApiKey::expose`], which is easy to find in a review.
#[derive(Clone)]
pub struct ApiKey(Box<str>);

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// Short keys can be guessed.
    #[error("a key needs at least {least} characters, but this one has {found}; `openssl rand -hex 32` makes a good one", least = ApiKey::MIN_LENGTH)]
    TooShort {
        /// Characters that there are.
        found: usize,
    },
    /// Nobody has keys this long.
    #[error("a key has at most {most} characters, but this one has {found}", most = ApiKey::MAX_LENGTH)]
    TooLong {
        /// Bytes that there are.
        found: usize,
    },
    /// A header could not carry it.
    #[error("a key consists of visible ASCII characters, but character {position} of this one is something else")]
    Character {
        /// Byte position, from 0.
        position: usize,
    },
}

/// The operating system gave no randomness, so nothing secret or unique could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness(#[source] pub(crate) getrandom::Error);

impl ApiKey {
    /// Fewest characters of a key.
    pub const MIN_LENGTH: usize = 32;

    /// Most characters of a key.
    pub const MAX_LENGTH: usize = 512;

    /// Makes a new key: `mw-` and 256 random bits in hexadecimal.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(NoRandomness)?;
        let mut text = String::with_capacity(PREFIX.len() + 2 * RANDOM_BYTES);
        text.push_str(PREFIX);
        hex::push(&mut text, &random);
        Ok(Self(text.into()))
    }

    /// Takes a text as a key, whoever made it: [`Self::MIN_LENGTH`] to [`Self::MAX_LENGTH`] visible ASCII characters.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(InvalidKey::Character { position });
        }
        match text.len() {
            found if found < Self::MIN_LENGTH => Err(InvalidKey::TooShort { found }),
            found if found > Self::MAX_LENGTH => Err(InvalidKey::TooLong { found }),
            _ => Ok(Self(text.into())),
        }
    }

    /// What may be kept of the key.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self)
    }

    /// The secret itself: to show to its owner, once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn generated_keys_are_valid_and_differ() {
        let keys: HashSet<String> = (0..100).map(|_| ApiKey::generate().unwrap().expose().to_owned()).collect();
        assert_eq!(keys.len(), 100);
        for key in keys {
            assert!(key.starts_with("mw-") && key.len() == 67, "{key}");
            assert!(ApiKey::parse(key).is_ok());
        }
    }

    #[test]
    fn debug_text_holds_nothing_of_the_secret() {
        let key = ApiKey::parse("an-admin-key-of-thirty-two-chars").unwrap();
        assert_eq!(format!("{key:?} {:?}", Some(&key)), "ApiKey(…) Some(ApiKey(…))");
    }

    #[test]
    fn impossible_keys_are_refused_with_the_reason() {
        let check = |text: String, expect| assert_eq!(ApiKey::parse(text).unwrap_err(), expect);
        check("x".repeat(31), InvalidKey::TooShort { found: 31 });
        check(String::new(), InvalidKey::TooShort { found: 0 });
        check("x".repeat(513), InvalidKey::TooLong { found: 513 });
        check(format!("{} ", "x".repeat(40)), InvalidKey::Character { position: 40 });
        check("ü".repeat(40), InvalidKey::Character { position: 0 });
        assert!(ApiKey::parse("x".repeat(32)).is_ok());
    }

    #[test]
    fn a_refusal_does_not_repeat_the_secret() {
        let error = ApiKey::parse("hunter2").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
