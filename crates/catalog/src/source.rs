//! Where a model's files can come from.

mod https;
mod huggingface;
mod local_path;
mod python_folder;
mod python_package;

use std::sync::Arc;

pub(crate) use https::HttpsFiles;
pub(crate) use huggingface::HubFiles;
pub use huggingface::{HubPath, Repository};
pub(crate) use local_path::LocalPath;
pub(crate) use python_folder::PythonFolder;
pub(crate) use python_package::{Packaged, PythonPackages};

use crate::{Digest, Error, FileName, Limits, folder::Folder, http::Http, manifest, progress::Reporter};

/// What a GGUF file begins with.
pub(crate) const GGUF_MAGIC: &[u8] = b"GGUF";

/// What every source works with.
pub(crate) struct Context {
    pub(crate) folder: Arc<Folder>,
    pub(crate) http: Arc<Http>,
    pub(crate) pip: Vec<Vec<String>>,
    pub(crate) limits: Limits,
    pub(crate) reporter: Reporter,
}

/// Why a source did not give the files.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot; the next one may. Public text.
    Source(String),
    /// The data folder cannot take them; no other source helps.
    Ours(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    /// Other bytes came than were expected.
    pub(crate) fn mismatch(expected: Option<Digest>, found: Digest) -> Self {
        let expected = expected.map_or_else(|| "something else".to_owned(), |digest| digest.to_string());
        Self::Source(format!("the file that came has the digest {found} instead of {expected}; it was removed"))
    }
}

/// A file of a model that is known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) file: FileName,
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
}

/// One source of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A repository of which the files are chosen when it is asked.
    HubRepository(Repository),
    Hub(HubFiles),
    PythonPackages(PythonPackages),
    PythonFolder(PythonFolder),
    Https(HttpsFiles),
    LocalPath(LocalPath),
}

impl Source {
    /// For people: which one it is.
    pub(crate) fn describe(&self, context: &Context) -> String {
        let hub = |repository: &Repository| format!("{} {repository}", context.http.hub_host());
        match self {
            Self::HubRepository(repository) => hub(repository),
            Self::Hub(files) => hub(&files.repository),
            Self::PythonPackages(packages) => packages.describe(),
            Self::PythonFolder(folder) => folder.describe(),
            Self::Https(files) => files.describe(),
            Self::LocalPath(path) => path.describe(),
        }
    }

    /// Brings all files among the blobs.
    pub(crate) async fn fetch(&self, context: &Context) -> Result<Vec<manifest::File>, Failure> {
        match self {
            Self::HubRepository(repository) => {
                huggingface::choose_files(&context.http, repository).await?.fetch(context).await
            }
            Self::Hub(files) => files.fetch(context).await,
            Self::PythonPackages(packages) => packages.fetch(context).await,
            Self::PythonFolder(folder) => folder.fetch(context).await,
            Self::Https(files) => files.fetch(context).await,
            Self::LocalPath(path) => path.fetch(context).await,
        }
    }
}

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let panicked = |_| Failure::Source("it failed inside the program".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(panicked)
}
