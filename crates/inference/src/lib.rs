//! The one internal request and its stream of events.
//!
//! Every API family converts its own JSON into a [`Request`]; every engine, ours or somebody else's, implements
//! [`Backend`] and answers with [`Event`]s. This crate does no IO and knows no wire format, tenant, tokenizer or kernel.

mod backend;
mod embedding;
mod error;
mod event;
mod request;

pub use backend::{Backend, Capabilities, EventStream, Load, Prepared, TokenizeOptions};
pub use embedding::{Dimensions, EmbedInput, EmbedRequest, Embedded, EmbeddingStream, PreparedEmbedding, Task};
pub use error::Error;
pub use event::{Event, FinishReason, TokenLogprob, Usage};
pub use request::{ChatInput, Constraint, Form, Input, Message, Request, Role, Sampling, Tool, ToolCall, ToolChoice};
