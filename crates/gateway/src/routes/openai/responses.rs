//! The Responses API: one answer with its items, kept so that it can be read, continued and deleted, or made in the background.

mod background;
mod convert;
mod draft;
mod items;
mod kept;
mod recording;
pub(crate) mod routes;
mod stream;

pub(crate) use background::Background;
pub use kept::fail_interrupted_responses;
