//! OpenAI's API.

mod convert;
mod encode;
pub(crate) mod routes;
mod validate;
