//! What can be wrong with a model file, said so that its owner can act on it.

use std::{fmt, io, path::PathBuf};

/// Why a model could not be opened, or one of its values not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted: "open", "map", "read", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes of a GGUF or safetensors file are not what the format allows, or not what this crate can read.
    #[error("cannot use {}: {defect}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Which field, where, and why.
        defect: Defect,
    },
    /// A JSON file of a folder does not parse.
    #[error("{} is not the JSON that was expected", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// A JSON file is larger than any honest one.
    #[error("{} has {found} bytes, more than the {limit} that such a file may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The parts of a split GGUF are not all there, or contradict each other.
    #[error("cannot use {} as a part of a split GGUF: {problem}", path.display())]
    Split {
        /// The part.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// A folder is not a Hugging Face model with safetensors, or its index contradicts its files.
    #[error("cannot use the folder {}: {problem}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// The path is neither a GGUF file nor a folder.
    #[error("{} is not a model: {problem}", path.display())]
    NotAModel {
        /// What was given.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// Somebody wrote to a file while it was open here: what was read of it since cannot be trusted.
    #[error("{} changed while it was being read: it had {opened} bytes when it was opened and has {now} now; \
             load it again when nothing writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Bytes when it was opened.
        opened: u64,
        /// Bytes now. Equal to `opened` when only the time of modification differs.
        now: u64,
    },
    /// The model has no tensor of this name.
    #[error("the model has no tensor {name:?}")]
    MissingTensor {
        /// The name that was asked for.
        name: String,
    },
    /// A metadata value is of another type than the one that was asked for.
    #[error("metadata {key:?} holds {found}, wanted {wanted}")]
    WrongType {
        /// The key.
        key: String,
        /// What it holds.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
}

/// One field of a file that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The field, such as `tensor count` or `dimension 1 of tensor "output.weight"`.
    pub field: String,
    /// Where the field begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// What was found, and what is allowed.
    pub problem: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.field, self.offset, self.problem)
    }
}

/// A [`Defect`] whose field is not named yet: what the byte cursor knows.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) offset: usize,
    pub(crate) text: String,
}

/// Names the field that a [`Problem`] is in. The name is a closure, because it is needed only when something is wrong.
pub(crate) trait InField<T> {
    fn field<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T, Defect>;
}

impl<T> InField<T> for Result<T, Problem> {
    fn field<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T, Defect> {
        self.map_err(|problem| defect(name(), problem.offset, problem.text))
    }
}

/// Shorthand of the parsers.
pub(crate) fn defect(field: impl Into<String>, offset: usize, problem: impl Into<String>) -> Defect {
    Defect { field: field.into(), offset: offset as u64, problem: problem.into() }
}

/// A name from a file, cut to a length that fits into an error message or a log line.
pub(crate) fn shown(name: &str) -> String {
    const MOST: usize = 80;
    match name.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{:?}…", &name[..cut]),
        None => format!("{name:?}"),
    }
}
