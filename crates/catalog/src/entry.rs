//! What is known about one model.

use std::path::PathBuf;

/// One model, as it was at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name that requests use.
    pub name: String,
    /// Unix seconds at which the pull finished, or at which the model was registered.
    pub created: u64,
    /// Bytes on disk; 0 for a model that was registered.
    pub bytes: u64,
    /// `sha256:` and 64 hex digits: of the file, or of the list of files when there are several.
    pub digest: Option<String>,
    /// The source that the files came from.
    pub source: Option<String>,
    /// What to give to a [`crate::Loader`]: a GGUF file (of a split, the first part) or a folder with safetensors.
    pub path: Option<PathBuf>,
    /// Whether a backend is in memory.
    pub loaded: bool,
}
