//! Chat templates. (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]
use std::ops::Range;

/// A compiled chat template.
pub struct Template {}
impl Template {
    /// `source`: Jinja as in `tokenizer.chat_template`; bos/eos: the tokens' text for the template's variables.
    /// `special`: the names of all special tokens, so that such text in a message can be marked literal.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>, special: Vec<String>) -> Result<Self, Error> {
        todo!()
    }
    /// messages: (role, content, name) in order
    pub fn render(&self, messages: &[Message<'_>], options: &Options) -> Result<Rendered, Error> {
        todo!()
    }
}
/// One turn.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Message<'a> {
    pub role: &'a str,
    pub content: &'a str,
    pub name: Option<&'a str>,
}
/// What the template is told beside the messages.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub add_generation_prompt: bool,
    /** days since epoch for strftime_now; a clock is passed in */
    pub unix_time: u64,
}
/// The prompt, and the byte ranges of it that came from message contents and hold special-token text, which stays text.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    pub literal: Vec<Range<usize>>,
}
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `raise_exception` in the template: the caller's messages do not suit the model; a 400 with this text.
    #[error("{0}")]
    Raised(String),
    #[error("the chat template cannot be used: {0}")]
    Template(String),
}
