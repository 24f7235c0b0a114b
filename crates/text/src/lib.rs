//! Tokenizers, the incremental detokenizer and stop strings.
//!
//! A [`Tokenizer`] is made from a GGUF's metadata or from a Hugging Face folder, and knows a model's special and end
//! tokens as well as its vocabulary. A [`Detokenizer`] turns an answer's tokens into text as they come, and
//! [`StopStrings`] watches that text.
//!
//! What this crate refuses to do: guess. An unknown tokenizer model or pre-tokenizer is an error that lists the known
//! ones, because a model that is fed by the wrong one answers, and answers badly. It knows no chat template either; see
//! the crate `chat`.

mod added;
mod byte_level;
mod bytes;
mod detokenizer;
mod error;
mod folder;
mod gguf;
mod infill;
mod pipeline;
mod pre_tokenizer;
mod scored;
mod split;
mod stop;
mod surface;
mod tokenizer;
mod vocabulary;

pub use detokenizer::Detokenizer;
pub use error::Error;
pub use infill::Infill;
pub use stop::{Scanned, StopStrings};
pub use tokenizer::{Special, Tokenizer};
