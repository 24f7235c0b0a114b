//! Tokenizers, the incremental detokenizer and stop strings. (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]
use std::{ops::Range, path::Path, sync::Arc};

/// A model's tokenizer; immutable and shared.
pub struct Tokenizer {}
impl Tokenizer {
    pub fn from_gguf(metadata: &weights::Metadata) -> Result<Self, Error> {
        todo!()
    }
    /// `tokenizer.json` (+ `tokenizer_config.json`, `generation_config.json`, `config.json` for special and end tokens).
    pub fn from_folder(folder: &Path) -> Result<Self, Error> {
        todo!()
    }
    /// Token ids. `literal`: byte ranges of `text` in which special tokens are plain text.
    pub fn encode(&self, text: &str, special: Special, literal: &[Range<usize>]) -> Result<Vec<u32>, Error> {
        todo!()
    }
    /// All text at once; invalid UTF-8 becomes U+FFFD. Special tokens are shown when `special`.
    pub fn decode(&self, tokens: &[u32], special: bool) -> Result<String, Error> {
        todo!()
    }
    /// The bytes that a token adds to the text (for a special token its name, e.g. `<|im_end|>`); None: id outside the vocabulary.
    pub fn token_bytes(&self, token: u32) -> Option<&[u8]> {
        todo!()
    }
    /// Control and special tokens: not shown in answers.
    pub fn is_special(&self, token: u32) -> bool {
        todo!()
    }
    pub fn vocabulary(&self) -> u32 {
        todo!()
    }
    pub fn bos(&self) -> Option<u32> {
        todo!()
    }
    pub fn eos(&self) -> Option<u32> {
        todo!()
    }
    /// All tokens that end an answer (eos, eot, eom, those of generation_config.json).
    pub fn end_tokens(&self) -> &[u32] {
        todo!()
    }
    /// Whether encode with add_special puts a BOS in front.
    pub fn adds_bos(&self) -> bool {
        todo!()
    }
}
/// What encode does with special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// add BOS/EOS as the model asks. Never a second BOS when the text already begins with one (and `parse` is set).
    pub add: bool,
    /// Recognise special tokens written in the text.
    pub parse: bool,
}
/// Turns tokens into text as they come and never emits half a character.
pub struct Detokenizer {}
impl Detokenizer {
    /// `special`: show special tokens
    pub fn new(tokenizer: Arc<Tokenizer>, special: bool) -> Self {
        todo!()
    }
    /// The text that became certain with this token (maybe empty).
    pub fn push(&mut self, token: u32) -> String {
        todo!()
    }
    /// What is left at the end (an incomplete character becomes U+FFFD).
    pub fn finish(&mut self) -> String {
        todo!()
    }
}
/// Finds stop strings in text that comes in pieces; holds back what may be the beginning of one.
pub struct StopStrings {}
/// What [`StopStrings::push`] found.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    /** safe to send */
    pub text: String,
    /** a stop string came: the answer ends behind `text` */
    pub stopped: bool,
}
impl StopStrings {
    pub fn new(stops: Vec<String>) -> Self {
        todo!()
    }
    pub fn push(&mut self, text: &str) -> Scanned {
        todo!()
    }
    /// What was held back, when no stop came.
    pub fn finish(&mut self) -> String {
        todo!()
    }
}
#[derive(Debug, thiserror::Error)]
pub enum Error {}
