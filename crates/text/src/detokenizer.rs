//! From tokens to text, piece by piece, without ever showing half a character.

use std::{mem, sync::Arc};

use crate::Tokenizer;

/// Turns tokens into text as they come and never emits half a character.
///
/// What is pushed, plus what [`finish`](Self::finish) gives, is the text of all bytes decoded at once: a byte sequence
/// that is no UTF-8 becomes U+FFFD by the same rule as `String::from_utf8_lossy`, and nothing else does.
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    special: bool,
    decoding: Decoding,
}

impl Detokenizer {
    /// For an answer, which continues a prompt: a leading space is part of it. `special`: show special tokens.
    pub fn new(tokenizer: Arc<Tokenizer>, special: bool) -> Self {
        Self { tokenizer, special, decoding: Decoding::default() }
    }

    /// For a whole text: the space that some tokenizers put in front is taken away again.
    pub fn whole(tokenizer: Arc<Tokenizer>, special: bool) -> Self {
        let decoding = Decoding::whole(&tokenizer);
        Self { tokenizer, special, decoding }
    }

    /// The text that became certain with this token, maybe empty. An id outside the vocabulary adds nothing.
    pub fn push(&mut self, token: u32) -> String {
        let mut text = String::new();
        self.decoding.push(&self.tokenizer, token, self.special, &mut text);
        text
    }

    /// Whether the last token ended in the middle of a character.
    pub fn is_within_character(&self) -> bool {
        !self.decoding.pending.is_empty()
    }

    /// What is left at the end: an incomplete character becomes U+FFFD. Begins anew, as a continuation.
    pub fn finish(&mut self) -> String {
        let mut text = String::new();
        mem::take(&mut self.decoding).finish(&mut text);
        text
    }
}

/// The state between two tokens.
#[derive(Debug, Default)]
pub(crate) struct Decoding {
    /// Bytes that may be the beginning of a character; at most three between pushes.
    pending: Vec<u8>,
    /// The next byte of text is the first, and a space there is the tokenizer's own.
    drop_space: bool,
}

impl Decoding {
    /// At the start of a whole text.
    pub(crate) fn whole(tokenizer: &Tokenizer) -> Self {
        Self { pending: Vec::new(), drop_space: tokenizer.drops_leading_space() }
    }

    /// Adds a token's bytes and moves what is certain to `text`.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, token: u32, special: bool, text: &mut String) {
        let is_special = tokenizer.is_special(token);
        if is_special && !special {
            return;
        }
        let Some(mut bytes) = tokenizer.token_bytes(token).filter(|bytes| !bytes.is_empty()) else { return };
        if mem::take(&mut self.drop_space) && !is_special {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        if self.pending.is_empty() {
            let held = lossy(bytes, text).len();
            self.pending.extend_from_slice(&bytes[bytes.len() - held..]);
        } else {
            self.pending.extend_from_slice(bytes);
            let held = lossy(&self.pending, text).len();
            self.pending.drain(..self.pending.len() - held);
        }
    }

    /// Gives up on an incomplete character.
    pub(crate) fn finish(self, text: &mut String) {
        if !self.pending.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Appends `bytes` to `text`, U+FFFD for each longest sequence that cannot become a character, and returns the
/// incomplete character at the end.
fn lossy<'a>(mut bytes: &'a [u8], text: &mut String) -> &'a [u8] {
    loop {
        let problem = match str::from_utf8(bytes) {
            Ok(valid) => {
                text.push_str(valid);
                return &[];
            }
            Err(problem) => problem,
        };
        let (valid, rest) = bytes.split_at(problem.valid_up_to());
        text.push_str(str::from_utf8(valid).unwrap_or_default());
        let Some(invalid) = problem.error_len() else { return rest };
        text.push(char::REPLACEMENT_CHARACTER);
        bytes = &rest[invalid..];
    }
}
