//! Holds an answer to a form: a JSON schema, a regular expression, a grammar, the calls of tools.
//!
//! A [`Form`] becomes a [`Grammar`], the [`Compiler`] of a model makes a [`Matcher`] of it, and that says before every token
//! which ones may follow. The work is that of `llguidance`, an Earley parser over a trie of the vocabulary. What is ours:
//! limits, which make every failure one of its own request; names for what cannot be honoured; and what stands around the
//! form in an answer, such as reasoning and the marks of calls.
//!
//! It refuses to be approximate: a schema that it cannot hold an answer to is refused with the keyword's name.

mod cache;
pub(crate) mod calls;
mod compiler;
mod gbnf;
mod grammar;
mod matcher;
mod schema;
mod vocabulary;

pub use calls::Calling;
pub use compiler::{Compiler, Held};
pub use grammar::{Form, Grammar};
pub use matcher::Matcher;
pub use vocabulary::Vocabulary;

pub(crate) use matcher::{Before, Part};

use thiserror::Error;

/// Why an answer cannot be held to a form. `Display` is public text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The form is wrong, or asks for what is not supported.
    #[error("{0}")]
    Form(String),
    /// The form is larger or more ambiguous than is served.
    #[error("{0}")]
    Limit(String),
    /// A mistake of ours or of the library's. The cause is in the log.
    #[error("the form could not be used")]
    Internal,
}
