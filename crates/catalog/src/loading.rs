//! Backends in memory: each is built once, by whoever asks first, while the others wait.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use inference::Backend;
use tokio::sync::{Semaphore, watch};

/// Requests that may wait for one model to load; the next is told to come back.
const MOST_WAITING: usize = 64;
/// What a request that finds the waiting room full is told.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Builds a backend from model files; the binary wires in the one of `local`.
pub trait Loader: Send + Sync + 'static {
    /// Loads the model at `path` (see [`crate::Entry::path`]), and logs what comes of it. The future is run to its end even
    /// when all who asked left.
    fn load(&self, name: &str, path: &Path) -> BoxFuture<'static, Result<Arc<dyn Backend>, LoadError>>;
}

/// Why a model cannot be loaded: public text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// What has to be loaded.
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Identifies the content: a backend of another digest under the same name is stale.
    pub(crate) digest: String,
}

type Outcome = Option<Result<Arc<dyn Backend>, LoadError>>;

/// The table of backends.
#[derive(Default)]
pub(crate) struct Loads {
    /// A leaf lock, never held across an await: the table is read by synchronous snapshots too.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    slots: HashMap<String, Slot>,
    next_id: u64,
    closed: bool,
}

struct Slot {
    /// Tells this load from a later one of the same name.
    id: u64,
    digest: String,
    state: State,
}

enum State {
    Loading { outcome: watch::Receiver<Outcome>, places: Arc<Semaphore> },
    Ready(Arc<dyn Backend>),
}

impl Loads {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a backend of this name and content is in memory.
    pub(crate) fn is_ready(&self, name: &str, digest: &str) -> bool {
        let table = self.table();
        table.slots.get(name).is_some_and(|slot| slot.digest == digest && matches!(slot.state, State::Ready(_)))
    }

    /// All backends in memory.
    pub(crate) fn ready(&self) -> Vec<(String, Arc<dyn Backend>)> {
        let ready = |(name, slot): (&String, &Slot)| match &slot.state {
            State::Ready(backend) => Some((name.clone(), backend.clone())),
            State::Loading { .. } => None,
        };
        self.table().slots.iter().filter_map(ready).collect()
    }

    /// Forgets a model; a load under way ends and its backend is dropped. Says whether there was anything.
    pub(crate) fn unload(&self, name: &str) -> bool {
        let slot = self.table().slots.remove(name);
        // Dropped here, outside the lock: a backend may take its time.
        slot.is_some()
    }

    /// Forgets all models, and refuses new ones.
    pub(crate) fn close(&self) {
        let slots = {
            let mut table = self.table();
            table.closed = true;
            std::mem::take(&mut table.slots)
        };
        drop(slots);
    }

    /// Whether [`Loads::close`] was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.table().closed
    }

    /// The backend of `wanted`, built by `loader` when it is not there.
    pub(crate) async fn backend(
        self: &Arc<Self>,
        wanted: Wanted,
        loader: &Arc<dyn Loader>,
    ) -> Result<Arc<dyn Backend>, inference::Error> {
        let name = wanted.name.clone();
        let (mut outcome, places) = match self.join(wanted, loader)? {
            State::Ready(backend) => return Ok(backend),
            State::Loading { outcome, places } => (outcome, places),
        };
        let _place = places.try_acquire().map_err(|_| inference::Error::Overloaded {
            what: "the queue of requests that wait for the model to load",
            retry_after: RETRY_AFTER,
        })?;
        let finished = outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone()).unwrap_or_default();
        match finished {
            Some(Ok(backend)) => Ok(backend),
            Some(Err(error)) => Err(inference::Error::Unavailable { model: name, reason: error.to_string() }),
            // The runtime dropped the loading task: only at its end.
            None => Err(inference::Error::ShuttingDown),
        }
    }

    /// The slot's state, after starting the load when there is none.
    fn join(self: &Arc<Self>, wanted: Wanted, loader: &Arc<dyn Loader>) -> Result<State, inference::Error> {
        let mut table = self.table();
        if table.closed {
            return Err(inference::Error::ShuttingDown);
        }
        if let Some(slot) = table.slots.get(&wanted.name).filter(|slot| slot.digest == wanted.digest) {
            return Ok(slot.state.clone());
        }
        let id = table.next_id;
        table.next_id += 1;
        let (sender, outcome) = watch::channel(None);
        let state = State::Loading { outcome, places: Arc::new(Semaphore::new(MOST_WAITING)) };
        let slot = Slot { id, digest: wanted.digest, state: state.clone() };
        let stale = table.slots.insert(wanted.name.clone(), slot);
        drop(table);
        drop(stale);
        // A task of its own: the caller that happens to be first may leave without ending the load for the others.
        tokio::spawn(self.clone().run(id, wanted.name, wanted.path, loader.clone(), sender));
        Ok(state)
    }

    async fn run(
        self: Arc<Self>,
        id: u64,
        name: String,
        path: PathBuf,
        loader: Arc<dyn Loader>,
        sender: watch::Sender<Outcome>,
    ) {
        let load = async { loader.load(&name, &path).await };
        let outcome = AssertUnwindSafe(load).catch_unwind().await.unwrap_or_else(|_panic| {
            tracing::error!(model = %name, "the loader panicked");
            Err(LoadError("it could not be loaded; the server's log says why".to_owned()))
        });
        let dropped = {
            let mut table = self.table();
            match (table.slots.get_mut(&name).filter(|slot| slot.id == id), &outcome) {
                (Some(slot), Ok(backend)) => {
                    slot.state = State::Ready(backend.clone());
                    None
                }
                // The next request tries again.
                (Some(_), Err(_)) => table.slots.remove(&name),
                // Unloaded meanwhile; those who waited still get it, and the last of them drops it.
                (None, _) => None,
            }
        };
        drop(dropped);
        let _nobody_waits = sender.send(Some(outcome));
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        match self {
            Self::Loading { outcome, places } => Self::Loading { outcome: outcome.clone(), places: places.clone() },
            Self::Ready(backend) => Self::Ready(backend.clone()),
        }
    }
}
