//! What every handler shares.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use catalog::Catalog;

use crate::{Annex, Config, ResponseStore, Tenancy, metrics::Metrics, openapi, routes::openai::responses::Background};

/// What every handler shares. Cloning it is cheap; all clones are one service.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    config: Config,
    catalog: Arc<Catalog>,
    tenancy: Tenancy,
    metrics: Metrics,
    background: Background,
    annex: Option<Annex>,
    /// The OpenAPI document as JSON.
    document: String,
    shutting_down: AtomicBool,
    loading: AtomicBool,
    ids: Ids,
}

impl Service {
    /// A service over `catalog`'s models, for the callers that `tenancy` knows.
    pub fn new(config: Config, catalog: Arc<Catalog>, tenancy: Tenancy) -> Self {
        Self::with_annex(config, catalog, tenancy, None)
    }

    /// The same with routes of another edge.
    pub fn with_annex(config: Config, catalog: Arc<Catalog>, tenancy: Tenancy, annex: Option<Annex>) -> Self {
        let document = openapi::with(annex.as_ref().map(|annex| annex.document.clone()));
        Self(Arc::new(Shared {
            annex,
            document,
            background: Background::new(config.max_background),
            config,
            catalog,
            tenancy,
            metrics: Metrics::default(),
            shutting_down: AtomicBool::new(false),
            loading: AtomicBool::new(false),
            ids: Ids::default(),
        }))
    }

    /// From now on `/readyz` says no and requests for a model are refused. What runs goes on.
    pub fn begin_shutdown(&self) {
        self.0.shutting_down.store(true, Ordering::Release);
    }

    /// Says whether the models that belong to the start are still on their way; until they are there `/readyz` says no.
    pub fn set_loading(&self, loading: bool) {
        self.0.loading.store(loading, Ordering::Release);
    }

    pub(crate) fn is_loading(&self) -> bool {
        self.0.loading.load(Ordering::Acquire)
    }

    /// Whether [`Self::begin_shutdown`] was called.
    pub fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Ordering::Acquire)
    }

    /// The limits and times in force.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Requests for a model that are being served now.
    pub fn requests_in_flight(&self) -> u64 {
        self.metrics().in_flight()
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.0.catalog
    }

    pub(crate) fn annex(&self) -> Option<&Annex> {
        self.0.annex.as_ref()
    }

    pub(crate) fn document(&self) -> &str {
        &self.0.document
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn background(&self) -> &Background {
        &self.0.background
    }

    /// Where responses are kept.
    pub(crate) fn responses(&self) -> &dyn ResponseStore {
        self.tenancy().journal().responses()
    }

    /// Who may call and what is left for them.
    pub fn tenancy(&self) -> &Tenancy {
        &self.0.tenancy
    }

    /// A new id: `prefix` and 128 bits in hexadecimal.
    pub(crate) fn new_id(&self, prefix: &str) -> String {
        self.0.ids.next(prefix)
    }
}

/// Makes ids that do not repeat, within a process or between two. They are no secrets.
///
/// A counter under two hash functions with keys that the operating system draws: no system call for each id.
#[derive(Default)]
struct Ids {
    high: RandomState,
    low: RandomState,
    count: AtomicU64,
}

impl Ids {
    fn next(&self, prefix: &str) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{:016x}{:016x}", self.high.hash_one(count), self.low.hash_one(count))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_in_one_process_and_between_two() {
        let (one, other) = (Ids::default(), Ids::default());
        let ids: HashSet<String> = (0..1000).flat_map(|_| [one.next("req_"), other.next("req_")]).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 36 && id.starts_with("req_")));
    }
}
