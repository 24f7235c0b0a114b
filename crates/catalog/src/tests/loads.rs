//! Loading: once, shared, bounded.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use futures::{FutureExt, future::BoxFuture};
use inference::{Backend, Capabilities, Prepared, Task, TokenizeOptions};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::fixture::{config, folder, gguf};
use crate::{Catalog, LoadError, Loader, Name};

struct Stub(Capabilities);

impl Stub {
    fn backend() -> Arc<dyn Backend> {
        Arc::new(Self(Capabilities {
            context_length: 1,
            vocabulary: 1,
            chat: false,
            infill: false,
            task: Task::Generate,
        }))
    }
}

impl Backend for Stub {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    fn prepare(&self, _request: inference::Request) -> BoxFuture<'_, Result<Box<dyn Prepared>, inference::Error>> {
        async { Err(inference::Error::Internal) }.boxed()
    }

    fn tokenize(&self, _text: String, _options: TokenizeOptions) -> BoxFuture<'_, Result<Vec<u32>, inference::Error>> {
        async { Err(inference::Error::Internal) }.boxed()
    }

    fn detokenize(&self, _tokens: Vec<u32>) -> BoxFuture<'_, Result<String, inference::Error>> {
        async { Err(inference::Error::Internal) }.boxed()
    }

    fn load(&self) -> inference::Load {
        inference::Load::default()
    }
}

type Outcome = Result<Arc<dyn Backend>, LoadError>;

/// Each load takes the next outcome of the script when that comes; without one it panics.
#[derive(Default)]
struct Script {
    outcomes: Mutex<VecDeque<oneshot::Receiver<Outcome>>>,
    loads: Mutex<Vec<PathBuf>>,
}

impl Script {
    fn next(&self) -> oneshot::Sender<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.outcomes.lock().unwrap().push_back(receiver);
        sender
    }

    fn now(&self, outcome: Outcome) {
        assert!(self.next().send(outcome).is_ok());
    }

    fn count(&self) -> usize {
        self.loads.lock().unwrap().len()
    }
}

struct Scripted(Arc<Script>);

impl Loader for Scripted {
    fn load(&self, _name: &str, path: &Path) -> BoxFuture<'static, Outcome> {
        self.0.loads.lock().unwrap().push(path.to_owned());
        let outcome = self.0.outcomes.lock().unwrap().pop_front();
        let outcome = outcome.expect("a load that the script does not know");
        async move { outcome.await.unwrap() }.boxed()
    }
}

/// A catalogue with a model `m` on disk.
async fn catalog() -> (TempDir, Arc<Catalog>, Arc<Script>) {
    let folder = folder();
    let script = Arc::new(Script::default());
    let config = config(&folder.path().join("data"), "http://127.0.0.1:9");
    let catalog = Catalog::open(config, Arc::new(Scripted(script.clone()))).unwrap();
    put(&folder, &catalog, 1).await;
    (folder, catalog, script)
}

async fn put(folder: &TempDir, catalog: &Catalog, seed: u64) {
    let path = folder.path().join("m.gguf");
    fs::write(&path, gguf(100, seed)).unwrap();
    catalog.pull(path.to_str().unwrap().parse().unwrap(), None).unwrap().await.unwrap();
}

#[tokio::test]
async fn many_callers_are_one_load() {
    let (_folder, catalog, script) = catalog().await;
    let outcome = script.next();
    let callers = (0..10).map(|_| catalog.backend("m"));
    let all = futures::future::join_all(callers);
    tokio::pin!(all);
    assert!(futures::poll!(&mut all).is_pending());
    assert!(!catalog.model("m").unwrap().loaded);
    assert!(outcome.send(Ok(Stub::backend())).is_ok());
    let backends: Vec<_> = all.await.into_iter().map(Result::unwrap).collect();
    assert!(backends.iter().all(|backend| Arc::ptr_eq(backend, &backends[0])));
    assert_eq!(script.count(), 1);
    assert!(catalog.model("m").unwrap().loaded);
    assert_eq!(catalog.loaded().len(), 1);
    assert!(Arc::ptr_eq(&catalog.backend("m").await.unwrap(), &backends[0]));
}

#[tokio::test]
async fn a_failed_load_is_told_to_all_and_tried_again_for_the_next() {
    let (_folder, catalog, script) = catalog().await;
    script.now(Err(LoadError("it needs 9 GB".to_owned())));
    let (left, right) = tokio::join!(catalog.backend("m"), catalog.backend("m"));
    for result in [left, right] {
        match result.err() {
            Some(inference::Error::Unavailable { model, reason }) => {
                assert_eq!((model.as_str(), reason.as_str()), ("m", "it needs 9 GB"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(script.count(), 1);
    // The script is empty: the loader panics, which is a failed load too.
    assert!(matches!(catalog.backend("m").await.err(), Some(inference::Error::Unavailable { .. })));
    script.now(Ok(Stub::backend()));
    assert!(catalog.backend("m").await.is_ok());
    assert_eq!(script.count(), 3);
}

#[tokio::test]
async fn more_callers_than_may_wait_are_turned_away() {
    let (_folder, catalog, script) = catalog().await;
    let outcome = script.next();
    let mut waiting: Vec<_> = (0..64).map(|_| catalog.backend("m")).collect();
    for caller in &mut waiting {
        assert!(futures::poll!(caller).is_pending());
    }
    assert!(matches!(catalog.backend("m").await.err(), Some(inference::Error::Overloaded { .. })));
    // One leaves, one may come.
    drop(waiting.pop());
    let mut late = catalog.backend("m");
    assert!(futures::poll!(&mut late).is_pending());
    assert!(outcome.send(Ok(Stub::backend())).is_ok());
    assert!(late.await.is_ok());
}

#[tokio::test]
async fn a_load_outlives_the_caller_that_began_it() {
    let (_folder, catalog, script) = catalog().await;
    let outcome = script.next();
    let mut first = catalog.backend("m");
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = catalog.backend("m");
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    assert!(outcome.send(Ok(Stub::backend())).is_ok());
    assert!(second.await.is_ok());
    assert_eq!(script.count(), 1);
}

#[tokio::test]
async fn what_is_unloaded_or_removed_or_replaced_is_not_handed_out_again() {
    let (folder, catalog, script) = catalog().await;
    script.now(Ok(Stub::backend()));
    let first = catalog.backend("m").await.unwrap();
    assert!(catalog.unload("m"));
    assert!(!catalog.unload("m"));
    assert_eq!(Arc::strong_count(&first), 1, "nobody else holds it");

    script.now(Ok(Stub::backend()));
    let second = catalog.backend("m").await.unwrap();
    put(&folder, &catalog, 2).await;
    assert!(!catalog.model("m").unwrap().loaded, "what is loaded is of other files");
    script.now(Ok(Stub::backend()));
    let third = catalog.backend("m").await.unwrap();
    assert!(!Arc::ptr_eq(&second, &third));
    assert_eq!(script.count(), 3);

    catalog.remove(&"m".parse::<Name>().unwrap()).unwrap();
    assert_eq!(Arc::strong_count(&third), 1);
    assert!(matches!(catalog.backend("m").await.err(), Some(inference::Error::ModelNotFound { .. })));
}

#[tokio::test]
async fn unloading_during_a_load_gives_the_backend_to_those_who_wait_only() {
    let (_folder, catalog, script) = catalog().await;
    let outcome = script.next();
    let mut caller = catalog.backend("m");
    assert!(futures::poll!(&mut caller).is_pending());
    assert!(catalog.unload("m"));
    assert!(outcome.send(Ok(Stub::backend())).is_ok());
    assert!(caller.await.is_ok());
    assert!(catalog.loaded().is_empty());
}

#[tokio::test]
async fn after_the_shutdown_there_is_nothing() {
    let (_folder, catalog, script) = catalog().await;
    script.now(Ok(Stub::backend()));
    let backend = catalog.backend("m").await.unwrap();
    catalog.register("registered", Stub::backend());
    catalog.shutdown();
    assert_eq!(Arc::strong_count(&backend), 1);
    assert!(catalog.loaded().is_empty());
    for name in ["m", "registered", "unknown"] {
        assert_eq!(catalog.backend(name).await.err(), Some(inference::Error::ShuttingDown), "{name}");
    }
}

#[tokio::test]
async fn without_a_data_folder_there_is_what_is_registered() {
    let catalog = Catalog::in_memory();
    assert!(catalog.models().is_empty());
    catalog.register("a model / any name", Stub::backend());
    assert!(catalog.model("a model / any name").unwrap().loaded);
    assert!(catalog.backend("a model / any name").await.is_ok());
    assert_eq!(catalog.loaded().len(), 1);
    assert!(matches!(
        catalog.backend("../x").await.err(),
        Some(inference::Error::ModelNotFound { model }) if model == "../x"
    ));
    assert!(catalog.pull("smollm2-135m".parse().unwrap(), None).is_err());
    assert!(catalog.remove(&"a".parse().unwrap()).is_err());
}
