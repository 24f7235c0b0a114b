//! The backend that is our own engine: request → prompt → tokens → engine → text → events.
//!
//! [`load()`] turns a model on disk into an [`inference::Backend`]. Everything that is text happens here: rendering the
//! chat template, counting tokens, cutting at stop strings. What runs on the engine's thread sees token ids only,
//! except where a budget of thinking has to know what they mean. An encoder has a thread of its own instead of the engine,
//! which fills passes with the texts of many requests.

mod answer;
#[cfg(test)]
mod babbler;
mod backend;
mod choice;
mod constraint;
mod embedding;
mod load;
mod masks;
mod memory;
mod passes;
mod prompt;
mod reading;
mod thinking;

pub use load::{LoadError, Loaded, Options, Summary, load, summarize};
pub use memory::{MemoryPlan, TOKENS_PER_KV_BLOCK};
pub use models::{KvType, Level};
