//! Names, sources and pulls of models, what is on disk and what is loaded. (interface draft)
#![allow(missing_docs, clippy::todo, unused_variables, clippy::allow_attributes)]
use futures::future::BoxFuture;
use inference::Backend;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Builds a backend from model files; the binary wires in the one of `local`.
pub trait Loader: Send + Sync + 'static {
    fn load(&self, name: &str, path: &Path) -> BoxFuture<'static, Result<Arc<dyn Backend>, LoadError>>;
}
/// Public text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// All models that this installation knows. Shared behind an `Arc`; one task or a tiny lock owns the state.
pub struct Catalog {}
/// One model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /** unix seconds */
    pub created: u64,
    /** bytes on disk; 0 when registered */
    pub bytes: u64,
    pub digest: Option<String>,
    pub source: Option<String>,
    pub path: Option<PathBuf>,
    pub loaded: bool,
}
impl Catalog {
    pub fn open(config: Config, loader: Arc<dyn Loader>) -> Result<Arc<Self>, Error> {
        todo!()
    }
    /// Without a data folder: only what is registered (tests, upstreams).
    pub fn in_memory() -> Arc<Self> {
        todo!()
    }
    /// Adds a model that is already there.
    pub fn register(&self, name: &str, backend: Arc<dyn Backend>) {
        todo!()
    }
    /// Every model on disk or registered, by name.
    pub fn models(&self) -> Vec<Entry> {
        todo!()
    }
    pub fn model(&self, name: &str) -> Option<Entry> {
        todo!()
    }
    /// The model's backend, loaded once on first use; callers wait, bounded (then `Overloaded`). Unknown: `ModelNotFound`.
    pub fn backend(&self, name: &str) -> BoxFuture<'_, Result<Arc<dyn Backend>, inference::Error>> {
        todo!()
    }
    /// What is in memory now.
    pub fn loaded(&self) -> Vec<(String, Arc<dyn Backend>)> {
        todo!()
    }
}
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
}
#[derive(Debug, thiserror::Error)]
pub enum Error {}
