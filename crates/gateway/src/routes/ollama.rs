//! Ollama's API.

mod convert;
mod encode;
pub(crate) mod models;
pub(crate) mod pull;
pub(crate) mod routes;

/// A model's name without the tag that Ollama's clients put behind every name. Models have no other tags here.
fn untagged(model: &str) -> &str {
    model.strip_suffix(":latest").unwrap_or(model)
}
