//! Chat templates: a conversation becomes the prompt that its model was trained on.
//!
//! Templates are Jinja, come with the model's files and are not trusted: they run with bounded steps, text and recursion,
//! and see the messages and nothing else. Special tokens that a caller writes into a message stay text (see
//! [`Rendered::literal`]).

mod date;
mod literal;
mod python;
mod template;

pub use template::{Error, Message, Options, Rendered, Template};
