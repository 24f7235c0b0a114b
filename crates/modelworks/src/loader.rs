//! Wires the catalogue to our own engine.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use catalog::{LoadError, Loader};
use futures::{FutureExt, future::BoxFuture};
use inference::Backend;

/// Loads models into this process.
pub struct LocalLoader {
    /// How every model is run.
    pub options: local::Options,
}

impl Loader for LocalLoader {
    fn load(&self, name: &str, path: &Path) -> BoxFuture<'static, Result<Arc<dyn Backend>, LoadError>> {
        let (name, path, options) = (name.to_owned(), path.to_owned(), self.options.clone());
        async move {
            let work = tokio::task::spawn_blocking(move || load(&name, &path, &options));
            work.await.unwrap_or_else(|panic| {
                tracing::error!(%panic, "loading a model failed");
                Err(LoadError("it could not be loaded; the server's log says why".into()))
            })
        }
        .boxed()
    }
}

fn load(name: &str, path: &Path, options: &local::Options) -> Result<Arc<dyn Backend>, LoadError> {
    let begun = Instant::now();
    let tenths = AtomicU64::new(0);
    let progress = |done: u64, all: u64| {
        let tenth = done * 10 / all.max(1);
        if tenths.fetch_max(tenth, Ordering::Relaxed) < tenth && tenth < 10 {
            tracing::info!(model = name, percent = tenth * 10, "loading");
        }
    };
    match local::load(path, options, &progress) {
        Ok(local::Loaded { backend, plan, level, .. }) => {
            if let Some(asked) = options.context_length.filter(|asked| *asked > plan.context_length) {
                tracing::warn!(
                    model = name,
                    asked,
                    given = plan.context_length,
                    "the context is shorter than asked for"
                );
            }
            tracing::info!(
                model = name,
                duration_ms = begun.elapsed().as_millis() as u64,
                context_tokens = plan.context_length,
                weight_bytes = plan.weight_bytes,
                kv_bytes = plan.kv_bytes,
                instruction_set = %level,
                "model is ready"
            );
            Ok(backend)
        }
        Err(error) => {
            tracing::error!(model = name, %error, "the model cannot be loaded");
            // Numbers of memory are no secret; other reasons may name files.
            Err(LoadError(match error {
                local::LoadError::Memory(error) => error.to_string(),
                _ => "it could not be loaded; the server's log says why".into(),
            }))
        }
    }
}
