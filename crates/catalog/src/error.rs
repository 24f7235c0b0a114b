//! Why the catalogue could not do what it was asked.

use std::{fmt, io, path::PathBuf, sync::Arc};

use thiserror::Error;

use crate::{Attempt, InvalidName, InvalidReference, KNOWN, Name};

/// All errors of a [`crate::Catalog`] apart from those of serving, which are [`inference::Error`]s. Cloned to everybody
/// who waited for the same pull.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// A name has characters that names do not have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A reference cannot be understood.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// No model of this name is known or on disk.
    #[error(
        "the model `{name}` is not here; the models known by name are {known}; others are pulled as hf:owner/repo[:file], \
         https://… or a path such as ./model.gguf",
        known = known_names()
    )]
    Unknown {
        /// The name.
        name: Name,
    },
    /// A model of this name is on disk, and came from elsewhere.
    #[error("the name `{name}` is taken by a model from {reference}; remove that one first, or give another name")]
    NameTaken {
        /// The name.
        name: Name,
        /// What was pulled under it.
        reference: String,
    },
    /// Somebody is pulling or removing this model.
    #[error("the model `{name}` is being pulled or removed; try again when that has ended")]
    Busy {
        /// The name.
        name: Name,
    },
    /// Every source failed.
    #[error("cannot pull `{name}`:{}", List(attempts))]
    Pull {
        /// The name.
        name: Name,
        /// Each source, and why it failed.
        attempts: Vec<Attempt>,
    },
    /// The disk is full, or would be.
    #[error(
        "the disk with {} has not enough room: {free} bytes are free{}; make room, or use another data folder",
        path.display(),
        Needed(*needed)
    )]
    DiskFull {
        /// Bytes still to be written, when that is known.
        needed: Option<u64>,
        /// Bytes that are free.
        free: u64,
        /// The data folder.
        path: PathBuf,
    },
    /// The hub's endpoint is no URL of a server.
    #[error("`{endpoint}` is not the endpoint of a hub: {problem}")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
    /// The catalogue has no data folder.
    #[error("this catalogue has no data folder: models can only be registered in it")]
    NoFolder,
    /// Reading or writing the data folder failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Folder {
        /// What was attempted, such as `create`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
}

impl Error {
    /// For `map_err` on a file operation.
    pub(crate) fn folder(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder { operation, path, source: Arc::new(source) }
    }
}

fn known_names() -> String {
    KNOWN.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
}

struct List<'a>(&'a [Attempt]);

impl fmt::Display for List<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Attempt { source, reason } in self.0 {
            write!(formatter, "\n  {source}: {reason}")?;
        }
        Ok(())
    }
}

struct Needed(Option<u64>);

impl fmt::Display for Needed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |bytes| write!(formatter, ", {bytes} are needed"))
    }
}
