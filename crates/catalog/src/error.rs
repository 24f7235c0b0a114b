//! Why the catalogue could not do what it was asked.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::InvalidName;

/// All errors of a [`crate::Catalog`] apart from those of serving, which are [`inference::Error`]s.
#[derive(Debug, Error)]
pub enum Error {
    /// A name has characters that names do not have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Reading or writing the data folder failed.
    #[error("cannot {operation} {}", path.display())]
    Folder {
        /// What was attempted, such as `create`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` on a file operation.
    pub(crate) fn folder(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder { operation, path, source }
    }
}
