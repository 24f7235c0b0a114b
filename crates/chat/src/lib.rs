//! Chat templates: a conversation becomes the prompt that its model was trained on, and the model's text becomes an
//! answer with reasoning and tool calls. Where a caller asks for a form, the answer is held to it token by token.
//!
//! Templates are Jinja, come with the model's files and are not trusted: they run with bounded steps, text and recursion,
//! and see the messages and nothing else. Special tokens that a caller writes into a message stay text (see
//! [`Rendered::literal`]).

mod answer;
mod constraint;
mod conversation;
mod date;
mod literal;
mod python;
mod template;

pub use answer::{Closing, Delta, Dialect, Parser, ToolSignature};
pub use constraint::{Calling, Compiler, Form, Held, Matcher, Refusal, Vocabulary};
pub use conversation::{Call, Chat, Conversation, Demand, Fault, Message, Prompt, Role, Tool};
pub use template::{Error, Options, Rendered, Template};
