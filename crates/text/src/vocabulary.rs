//! The bytes of every token, and which tokens are special.

use crate::Error;

/// More ids than any model has; a file that claims more is refused before anything is allocated for it.
pub(crate) const MOST_TOKENS: usize = 1 << 22;

/// The longest token, in bytes of its name. Some models look this far ahead from every character of a text.
const MOST_NAME: usize = 4096;

/// Refuses a token with an overlong name, in the file's `field`.
pub(crate) fn check_name(field: &str, token: u32, name: &str) -> Result<(), Error> {
    if name.len() <= MOST_NAME {
        return Ok(());
    }
    Err(Error::malformed(field, format!("token {token} is {} bytes long, more than {MOST_NAME}", name.len())))
}

/// Token id to bytes, in one allocation.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<usize>,
    /// What each id is.
    kinds: Vec<Kind>,
}

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Adds text to an answer.
    Text,
    /// Steers the model; not shown in answers.
    Special,
    /// An id below the vocabulary's size that no token has.
    Hole,
}

impl Vocabulary {
    /// An empty vocabulary with room for `tokens`.
    pub(crate) fn with_capacity(tokens: usize) -> Self {
        let tokens = tokens.min(MOST_TOKENS);
        Self {
            bytes: Vec::with_capacity(tokens * 8),
            ends: Vec::with_capacity(tokens),
            kinds: Vec::with_capacity(tokens),
        }
    }

    /// Adds the token with the next id.
    pub(crate) fn push(&mut self, bytes: &[u8], kind: Kind) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.kinds.push(kind);
    }

    /// The number of ids.
    pub(crate) fn len(&self) -> u32 {
        // At most `MOST_TOKENS`, which both loaders check.
        self.ends.len() as u32
    }

    /// A token's bytes; `None` outside the vocabulary and for ids that no token has.
    pub(crate) fn bytes(&self, token: u32) -> Option<&[u8]> {
        let index = token as usize;
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (self.kinds[index] != Kind::Hole).then(|| &self.bytes[start..end])
    }

    /// Whether a token steers the model and is not shown.
    pub(crate) fn is_special(&self, token: u32) -> bool {
        self.kinds.get(token as usize) == Some(&Kind::Special)
    }

    /// Makes a token special, whatever its file says of it.
    pub(crate) fn make_special(&mut self, token: u32) {
        if let Some(kind) = self.kinds.get_mut(token as usize) {
            *kind = Kind::Special;
        }
    }

    /// `token` when it is in the vocabulary, else an error that names the `field` it stands in.
    pub(crate) fn check(&self, field: &str, token: u64) -> Result<u32, Error> {
        match u32::try_from(token) {
            Ok(id) if id < self.len() => Ok(id),
            _ => Err(Error::malformed(field, format!("token {token} is not in the vocabulary of {}", self.len()))),
        }
    }
}
