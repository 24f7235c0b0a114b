//! Anthropic's API.

mod convert;
mod encode;
pub(crate) mod models;
pub(crate) mod routes;
