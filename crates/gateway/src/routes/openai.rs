//! OpenAI's API.

mod convert;
pub(crate) mod embeddings;
mod encode;
pub(crate) mod routes;
mod validate;
