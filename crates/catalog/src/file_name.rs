//! Names of a model's files. A server or an archive proposes them, so they are parsed before they become paths.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A plain file name: 1 to 200 of `A-Z a-z 0-9 . _ + -`, the first not a `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// A text is not a plain file name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{}` is not an acceptable file name: use 1 to 200 of A-Z, a-z, 0-9, `.`, `_`, `+`, `-`, the first not `.` or `-`",
    .0.escape_debug()
)]
pub struct InvalidFileName(String);

const MOST_BYTES: usize = 200;

fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-')
}

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name for a file that somebody else named: what is behind its last separator, `_` for every character that is not
    /// allowed. Nothing, when nothing is left.
    pub(crate) fn sanitised(text: &str) -> Option<Self> {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default().trim_start_matches(['.', '-']);
        let clean = |character: char| match u8::try_from(character) {
            Ok(byte) if allowed(byte) => character,
            _ => '_',
        };
        let name: String = last.chars().map(clean).collect();
        // The end says what kind of file it is: of a long name the beginning goes.
        let start = name.len().saturating_sub(MOST_BYTES);
        name[start..].trim_start_matches(['.', '-']).parse().ok()
    }

    /// Without `.gguf` and without the number of a part.
    pub(crate) fn stem(&self) -> &str {
        let stem = self.0.strip_suffix(".gguf").unwrap_or(&self.0);
        match SplitPart::of(self.as_str()) {
            Some(part) => &stem[..part.prefix.len()],
            None => stem,
        }
    }
}

/// The name of one file of a split GGUF: `<prefix>-00001-of-00003.gguf`, as the splitting tool of llama.cpp writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SplitPart<'a> {
    pub(crate) prefix: &'a str,
    /// From 1.
    pub(crate) number: u32,
    pub(crate) count: u32,
}

impl<'a> SplitPart<'a> {
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        let stem = name.strip_suffix(".gguf")?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let parse = |digits: &str| {
            let plain = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u32>().ok()).flatten()
        };
        let (number, count) = (parse(number)?, parse(count)?);
        (!prefix.is_empty() && (1..=count).contains(&number)).then_some(Self { prefix, number, count })
    }

    /// The names of all parts, in order.
    pub(crate) fn all(self) -> impl Iterator<Item = String> + use<'a> {
        (1..=self.count).map(move |number| format!("{}-{number:05}-of-{:05}.gguf", self.prefix, self.count))
    }
}

impl FromStr for FileName {
    type Err = InvalidFileName;

    fn from_str(text: &str) -> Result<Self, InvalidFileName> {
        let starts = !text.starts_with(['.', '-']);
        if starts && (1..=MOST_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidFileName(text.chars().take(MOST_BYTES).collect()))
        }
    }
}

impl TryFrom<String> for FileName {
    type Error = InvalidFileName;

    fn try_from(text: String) -> Result<Self, InvalidFileName> {
        text.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_lose_what_makes_them_hostile() {
        let cases = [
            ("../../etc/passwd", Some("passwd")),
            ("..\\..\\boot.ini", Some("boot.ini")),
            ("model.gguf", Some("model.gguf")),
            (".bashrc", Some("bashrc")),
            ("-rf", Some("rf")),
            ("a b\0c.gguf", Some("a_b_c.gguf")),
            ("..", None),
            ("", None),
            ("x/", None),
        ];
        for (text, expected) in cases {
            assert_eq!(FileName::sanitised(text).as_ref().map(FileName::as_str), expected, "{text:?}");
        }
        for text in ["..", ".", "", "a/b", "a\\b", "a b", "-a", ".a", "a\0", "ü"] {
            assert!(text.parse::<FileName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn parts_of_a_split_file_are_recognised() {
        let part = SplitPart::of("m-q4-00002-of-00003.gguf").unwrap();
        assert_eq!((part.prefix, part.number, part.count), ("m-q4", 2, 3));
        let names = ["m-q4-00001-of-00003.gguf", "m-q4-00002-of-00003.gguf", "m-q4-00003-of-00003.gguf"];
        assert!(part.all().eq(names));
        for name in
            ["m.gguf", "m-00004-of-00003.gguf", "m-00000-of-00003.gguf", "m-1-of-3.gguf", "-00001-of-00003.gguf"]
        {
            assert_eq!(SplitPart::of(name), None, "{name}");
        }
        assert_eq!("m-q4-00001-of-00003.gguf".parse::<FileName>().unwrap().stem(), "m-q4");
        assert_eq!("m.Q4_1.gguf".parse::<FileName>().unwrap().stem(), "m.Q4_1");
    }

    proptest! {
        #[test]
        fn whatever_is_sanitised_is_a_plain_name(text in any::<String>()) {
            if let Some(name) = FileName::sanitised(&text) {
                prop_assert_eq!(name.as_str().parse::<FileName>().unwrap(), name);
            }
        }
    }
}
