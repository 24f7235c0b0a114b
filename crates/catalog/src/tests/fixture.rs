//! A data folder for one test.

use std::{path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use inference::Backend;
use tempfile::TempDir;

use crate::{Catalog, Config, Error, LoadError, Loader, Name, Reference, Token};

/// A loader for tests that load nothing.
pub(super) struct NoLoader;

impl Loader for NoLoader {
    fn load(&self, _name: &str, _path: &Path) -> BoxFuture<'static, Result<Arc<dyn Backend>, LoadError>> {
        async { Err(LoadError("there is no engine here".to_owned())) }.boxed()
    }
}

/// Settings that wait for nobody.
pub(super) fn config(folder: &Path, endpoint: &str) -> Config {
    let mut config = Config::new(folder);
    config.hub.endpoint = endpoint.to_owned();
    config.hub.token = Some(Token::new("hub-secret"));
    config.limits.backoff = Duration::from_millis(1);
    config.limits.retries = 2;
    config.pip = vec![vec!["/nowhere/pip".to_owned()]];
    config
}

pub(super) fn open(folder: &Path, endpoint: &str) -> Arc<Catalog> {
    Catalog::open(config(folder, endpoint), Arc::new(NoLoader)).unwrap()
}

pub(super) fn folder() -> TempDir {
    TempDir::new().unwrap()
}

pub(super) async fn pull(catalog: &Catalog, reference: &str) -> Result<Name, Error> {
    catalog.pull(reference.parse::<Reference>()?, None)?.await
}

/// The text of the error of a pull that has to fail.
pub(super) async fn pull_error(catalog: &Catalog, reference: &str) -> String {
    pull(catalog, reference).await.expect_err("this pull cannot succeed").to_string()
}

/// Something that begins like a GGUF, of so many bytes; `seed` tells one from another.
pub(super) fn gguf(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        // Knuth's MMIX generator; its high bits are good enough for bytes that must not repeat.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(std::iter::repeat_with(&mut next).take(length - 4));
    bytes
}

/// What a loader would read of a model.
pub(super) fn content(catalog: &Catalog, name: &str) -> Vec<u8> {
    std::fs::read(catalog.model(name).unwrap().path.unwrap()).unwrap()
}

/// Names of what is in a folder of the data folder, in order.
pub(super) fn listing(folder: &Path, part: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join(part)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
