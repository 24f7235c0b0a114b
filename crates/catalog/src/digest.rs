//! SHA-256 digests: the names under which files are kept.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use thiserror::Error;

/// A SHA-256 digest. Shown as `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text is not a SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a SHA-256 digest is 64 hex digits")]
pub struct InvalidDigest;

impl Digest {
    /// The digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of a file.
    pub(crate) fn of_file(path: &Path) -> io::Result<Self> {
        let mut hasher = sha2::Sha256::new();
        hash_all(&mut File::open(path)?, &mut hasher)?;
        Ok(Self::finish(hasher))
    }

    /// What a hasher has seen.
    pub(crate) fn finish(hasher: sha2::Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads a digest at compile time, for literal tables.
    ///
    /// # Panics
    /// When the text is not 64 lower-case hex digits; in a `const` that is an error of the compiler.
    pub(crate) const fn literal(hex: &str) -> Self {
        const fn nibble(digit: u8) -> u8 {
            match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => panic!("not a lower-case hex digit"),
            }
        }
        let hex = hex.as_bytes();
        assert!(hex.len() == 64, "not 64 hex digits");
        let mut bytes = [0; 32];
        let mut index = 0;
        while index < 32 {
            bytes[index] = nibble(hex[2 * index]) << 4 | nibble(hex[2 * index + 1]);
            index += 1;
        }
        Self(bytes)
    }
}

/// Feeds a hasher with all that a reader holds; how many bytes those were.
pub(crate) fn hash_all(reader: &mut dyn Read, hasher: &mut sha2::Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(length);
        }
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    /// 64 hex digits, with or without `sha256:` before them.
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if hex.len() != 64 {
            return Err(InvalidDigest);
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).ok_or(InvalidDigest);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let value = nibble(pair[0])? << 4 | nibble(pair[1])?;
            *byte = u8::try_from(value).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_digest_agree() {
        // FIPS 180-4: the digest of `abc`.
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::of(b"abc");
        assert_eq!(digest.hex(), ABC);
        assert_eq!(digest, Digest::literal(ABC));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(ABC.to_uppercase().parse(), Ok(digest));
        for wrong in ["", "sha256:", &ABC[1..], &ABC.replace('b', "g"), &format!("{ABC}0"), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Digest>(), Err(InvalidDigest), "{wrong}");
        }
    }
}
