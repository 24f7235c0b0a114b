//! What can be wrong with a tokenizer's data, or with a request to it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

/// Why a tokenizer cannot be made, or a text not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A GGUF key holds another type than it must.
    #[error("reading the tokenizer's metadata")]
    Metadata(#[source] weights::Error),
    /// A GGUF key that the tokenizer cannot do without is not there.
    #[error("the model file has no `{key}`, which its tokenizer needs; convert the model again")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// `tokenizer.ggml.model` names a kind of tokenizer that is not built in.
    #[error("`tokenizer.ggml.model` is `{found}`, a tokenizer that is not known; known are: {known}")]
    UnknownModel {
        /// The name in the file.
        found: String,
        /// The names that are built in.
        known: String,
    },
    /// `tokenizer.ggml.pre` names a pre-tokenizer that is not built in. Guessing another would give other tokens.
    #[error("`tokenizer.ggml.pre` is `{found}`, a pre-tokenizer that is not known; known are: {known}")]
    UnknownPreTokenizer {
        /// The name in the file.
        found: String,
        /// The names that are built in.
        known: String,
    },
    /// The data is there and contradicts itself.
    #[error("the tokenizer's data is malformed: {field}: {problem}")]
    Malformed {
        /// The key, file or field.
        field: String,
        /// What was found there, and what was expected.
        problem: String,
    },
    /// A file of a model's folder cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of a model's folder is not the JSON it must be.
    #[error("parsing {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The tokenizer library refused the data or the text.
    #[error("the tokenizer failed at {doing}: {problem}")]
    Library {
        /// What was attempted.
        doing: &'static str,
        /// What the library says.
        problem: String,
    },
    /// A token id outside the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocabulary} tokens")]
    TokenOutside {
        /// The id.
        token: u32,
        /// The size of the vocabulary; ids are below it.
        vocabulary: u32,
    },
    /// A literal range that is not a range of the text.
    #[error("the literal range {start}..{end} is not a range of whole characters in a text of {length} bytes")]
    LiteralRange {
        /// First byte.
        start: usize,
        /// Byte behind the last.
        end: usize,
        /// Bytes of the text.
        length: usize,
    },
}

impl Error {
    /// A [`Error::Malformed`].
    pub(crate) fn malformed(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Malformed { field: field.into(), problem: problem.into() }
    }

    /// A [`Error::Library`] from the library's boxed error.
    pub(crate) fn library(doing: &'static str) -> impl Fn(tokenizers::Error) -> Self {
        move |problem| Self::Library { doing, problem: problem.to_string() }
    }
}

/// Runs work that the tokenizer library has a part in. It indexes with what its files say and expects them to be right;
/// a file that lies must not take the process down.
pub(crate) fn guarded<T>(doing: &'static str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::Library { doing, problem: "its data contradict each other (it panicked)".into() })
    })
}
