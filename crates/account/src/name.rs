//! Names that people give to things.

use std::fmt;

use thiserror::Error;

/// What somebody called an organisation, a project, a key: 1 to 100 characters, none of them a control character,
/// no blank at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a name has 1 to 100 characters, no control characters and no blank at either end")]
pub struct InvalidName;

impl Name {
    /// Takes a text as a name.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=100).contains(&text.chars().take(101).count());
        if fits && text.trim() == text && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName)
        }
    }

    /// The name of the organisation and the project that every installation begins with.
    pub fn default_name() -> Self {
        Self("default".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_visible() {
        for text in ["a", "Team Ä", "Robert'); DROP TABLE keys;--", &"ü".repeat(100)] {
            assert_eq!(Name::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["", " ", "a ", "a\nb", "\0", &"x".repeat(101)] {
            assert_eq!(Name::parse(text), Err(InvalidName), "{text:?}");
        }
    }
}
