//! The catalogue: names to entries, entries to backends.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use futures::{FutureExt, future::BoxFuture};
use inference::Backend;

use crate::{
    Config, Entry, Error,
    loading::{Loader, Loads, Wanted},
};

/// All models that this installation knows. Shared behind an `Arc`.
pub struct Catalog {
    /// Models that were there already. A leaf lock, never held across an await.
    registered: RwLock<BTreeMap<String, Registered>>,
    loads: Arc<Loads>,
    loader: Option<Arc<dyn Loader>>,
}

struct Registered {
    created: u64,
    backend: Arc<dyn Backend>,
}

impl Catalog {
    /// Opens the data folder, making it when it is not there.
    pub fn open(config: Config, loader: Arc<dyn Loader>) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(&config.data_dir).map_err(Error::folder("create", &config.data_dir))?;
        Ok(Arc::new(Self { registered: RwLock::default(), loads: Arc::default(), loader: Some(loader) }))
    }

    /// Without a data folder: only what is registered (tests, upstreams).
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self { registered: RwLock::default(), loads: Arc::default(), loader: None })
    }

    /// Adds a model that is already there. It hides a model on disk of the same name, and replaces an earlier registration.
    pub fn register(&self, name: &str, backend: Arc<dyn Backend>) {
        let created = unix_seconds();
        let mut registered = self.registered.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = registered.insert(name.to_owned(), Registered { created, backend });
        drop(registered);
        drop(replaced);
    }

    /// Every model on disk or registered, by name.
    pub fn models(&self) -> Vec<Entry> {
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        registered.iter().map(|(name, model)| model.entry(name)).collect()
    }

    /// One model by its exact name.
    pub fn model(&self, name: &str) -> Option<Entry> {
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        registered.get(name).map(|model| model.entry(name))
    }

    /// The model's backend, loaded once on first use; callers wait, bounded (then `Overloaded`). Unknown: `ModelNotFound`.
    pub fn backend(&self, name: &str) -> BoxFuture<'_, Result<Arc<dyn Backend>, inference::Error>> {
        let name = name.to_owned();
        async move {
            if self.loads.is_closed() {
                return Err(inference::Error::ShuttingDown);
            }
            let registered = self
                .registered
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&name)
                .map(|model| model.backend.clone());
            if let Some(backend) = registered {
                return Ok(backend);
            }
            let (Some(Entry { path: Some(path), digest: Some(digest), .. }), Some(loader)) =
                (self.model(&name), &self.loader)
            else {
                return Err(inference::Error::ModelNotFound { model: name });
            };
            self.loads.backend(Wanted { name, path, digest }, loader).await
        }
        .boxed()
    }

    /// What is in memory now.
    pub fn loaded(&self) -> Vec<(String, Arc<dyn Backend>)> {
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: BTreeMap<_, _> = self.loads.ready().into_iter().collect();
        all.extend(registered.iter().map(|(name, model)| (name.clone(), model.backend.clone())));
        all.into_iter().collect()
    }

    /// Drops the model's backend, when there is one; requests that run keep theirs until they end. Says whether there was one.
    pub fn unload(&self, name: &str) -> bool {
        self.loads.unload(name)
    }

    /// Drops every backend and refuses to load or hand out another: [`inference::Error::ShuttingDown`].
    pub fn shutdown(&self) {
        self.loads.close();
        let registered = std::mem::take(&mut *self.registered.write().unwrap_or_else(PoisonError::into_inner));
        drop(registered);
    }
}

impl Registered {
    fn entry(&self, name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            created: self.created,
            bytes: 0,
            digest: None,
            source: None,
            path: None,
            loaded: true,
        }
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
