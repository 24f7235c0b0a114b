//! Names of models. A name becomes part of a path in the data folder, so it is parsed once and cannot hold a separator.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A valid model name: `[a-z0-9][a-z0-9._-]*`, at most 96 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A text is not a model name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is not a model name: use 1 to 96 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit", .0.escape_debug())]
pub struct InvalidName(String);

impl Name {
    /// Most bytes of a name.
    pub const MOST_BYTES: usize = 96;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name made from free text (a file name, a repository): lower case, what is not allowed becomes `-`, cut to length.
    /// Text without a single letter or digit gives nothing.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut name = String::new();
        for character in text.chars() {
            let character = match character.to_ascii_lowercase() {
                allowed @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => allowed,
                _ => '-',
            };
            let starts = character.is_ascii_alphanumeric();
            if (starts || !name.is_empty()) && !(character == '-' && name.ends_with('-')) {
                name.push(character);
            }
            if name.len() == Self::MOST_BYTES {
                break;
            }
        }
        let kept = name.trim_end_matches(['-', '.', '_']).len();
        name.truncate(kept);
        name.parse().ok()
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if starts && text.len() <= Self::MOST_BYTES && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(Self::MOST_BYTES).collect()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        let long = "a".repeat(97);
        for text in ["", ".", "..", "../x", "a/b", "a\\b", "-a", "_a", ".a", "A", "a b", "a\0", "ä", &long] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        for text in ["a", "0", "smollm2-135m", "a..b", "q4_1.gguf", &long[1..]] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn free_text_becomes_a_readable_name() {
        let cases = [
            ("SmolLM2-135M-Instruct.Q4_1", "smollm2-135m-instruct.q4_1"),
            ("My Model (v2)", "my-model-v2"),
            ("../../etc/passwd", "etc-passwd"),
        ];
        for (text, expected) in cases {
            assert_eq!(Name::from_text(text).unwrap().as_str(), expected);
        }
        assert_eq!(Name::from_text("../.."), None);
    }

    proptest! {
        #[test]
        fn what_free_text_becomes_is_always_a_name(text in "\\PC*") {
            if let Some(name) = Name::from_text(&text) {
                prop_assert_eq!(name.as_str().parse::<Name>().unwrap(), name);
            }
        }
    }
}
