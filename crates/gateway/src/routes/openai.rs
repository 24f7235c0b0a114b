//! OpenAI's API.

pub(crate) mod convert;
pub(crate) mod embeddings;
mod encode;
pub(crate) mod responses;
pub(crate) mod routes;
mod validate;
