//! What is kept of a password.

use std::fmt;

/// A slow, salted hash of a password, as text in the PHC string format. Who may hash is another crate's affair; here it is
/// only a thing that rows hold and nobody prints.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// Takes the text that was made or kept.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text: to keep or to compare with.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}
