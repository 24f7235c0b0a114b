//! One module per API family.

pub(crate) mod meta;
pub(crate) mod native;
pub(crate) mod openai;
