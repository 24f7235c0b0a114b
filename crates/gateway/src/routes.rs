//! One module per API family, and what several families or none have.

pub(crate) mod anthropic;
mod arguments;
pub(crate) mod meta;
pub(crate) mod models;
pub(crate) mod native;
pub(crate) mod ollama;
pub(crate) mod openai;
pub(crate) mod quote;
pub(crate) mod requests;
pub(crate) mod rerank;
pub(crate) mod tenant;
pub(crate) mod usage;
