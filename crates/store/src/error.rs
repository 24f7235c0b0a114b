//! All that can go wrong with rows.

use std::{io, path::PathBuf};

use thiserror::Error;

/// All that can go wrong with rows.
#[derive(Debug, Error)]
pub enum Error {
    /// A file of the data folder.
    #[error("the file {} of the data folder cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The pepper's file does not hold one.
    #[error("{} does not hold a pepper; bring it back from a backup, or no key that was ever made works", path.display())]
    Pepper {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: account::InvalidPepper,
    },
    /// Nothing random, nothing unique.
    #[error(transparent)]
    NoRandomness(#[from] account::NoRandomness),
    /// The folder was used by a newer version.
    #[error(
        "the data folder has rows of version {found}, but this program knows versions up to {known}; start the program that \
         wrote them, or a later one, or restore the backup from before the update"
    )]
    NewerSchema {
        /// Version of the rows.
        found: i64,
        /// Latest version that this program knows.
        known: i64,
    },
    /// Another row is in the way.
    #[error("{what} is there already")]
    Conflict {
        /// What there can be only one of.
        what: &'static str,
    },
    /// The caller's name for a change was used for another one.
    #[error("this Idempotency-Key was used within the last 24 hours for another body")]
    OtherBody,
    /// There is no such row for this tenant.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// More than one answer may hold.
    #[error("there are more than {most} {what}; ask for parts")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// Nobody would be left who may do everything in an organisation.
    #[error("an organisation that has an owner keeps one; make somebody else an owner first")]
    LastOwner,
    /// A text is longer than a row takes.
    #[error("{what} has {found} bytes, but at most {limit} are kept")]
    TooLarge {
        /// What was to be kept.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// Most that are kept.
        limit: usize,
    },
    /// A row holds what nobody of ours wrote.
    #[error("a row of the data folder holds an invalid {what}")]
    Corrupt {
        /// What does not read back.
        what: &'static str,
    },
    /// A line that the ledger cannot take.
    #[error(transparent)]
    Ledger(#[from] account::ledger::AppendError),
    /// Nothing was written, or nobody knows: the disk is full, the database locked. It may work later.
    #[error("the data folder cannot be written to at the moment")]
    NotDurable,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The database said no.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Whether the database refused a row for itself, and others may go on.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => !matches!(error.kind(), sqlx::error::ErrorKind::Other),
            Self::Database(_) => false,
            _ => true,
        }
    }

    /// Turns a broken uniqueness into [`Error::Conflict`].
    pub(crate) fn or_conflict(self, what: &'static str) -> Self {
        match &self {
            Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => Self::Conflict { what },
            _ => self,
        }
    }
}
