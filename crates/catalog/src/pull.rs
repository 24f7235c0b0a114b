//! One pull: sources in their order, until one has brought all files; then the manifest.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::sync::watch;

use crate::{
    Attempt, Config, Error, Name, Progress, Reference, Stage,
    catalog::unix_seconds,
    folder::{Folder, Orphans},
    http::Http,
    known::known,
    lock::{self, Mode},
    manifest::Manifest,
    progress::Reporter,
    source::{Context, Failure, HttpsFiles, HubFiles, LocalPath, Source, blocking},
};

/// The future of a pull, for all who wait for it.
pub(crate) type Running = Shared<BoxFuture<'static, Result<Name, Error>>>;

/// A pull under way: a future of the name under which the model is there. It advances while somebody polls it, and ends
/// when all who asked for it have dropped it; what has arrived by then is kept for the next pull.
#[derive(Clone)]
#[must_use = "a pull that nobody awaits does nothing"]
pub struct Pull {
    pub(crate) running: Running,
    pub(crate) reporter: Reporter,
}

impl Pull {
    /// Snapshots of its progress; the last one has the stage [`Stage::Finished`].
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.reporter.subscribe()
    }
}

impl Future for Pull {
    type Output = Result<Name, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.running.poll_unpin(context)
    }
}

/// Brings the model of `reference`, under `name` or the one that follows from the reference.
pub(crate) async fn pull(
    folder: Arc<Folder>,
    config: Arc<Config>,
    reference: Reference,
    name: Name,
    reporter: Reporter,
) -> Result<Name, Error> {
    let result = locked(&folder, &config, &reference, &name, &reporter).await;
    reporter.stage(Stage::Finished);
    // What this model replaced goes; what a failed pull has brought is kept for the next.
    let orphans = if result.is_ok() { Orphans::Remove } else { Orphans::Keep };
    if let Ok(Err(error)) = blocking(move || folder.collect(orphans)).await {
        tracing::warn!(%error, "cannot clean the data folder");
    }
    result.map(|()| name)
}

async fn locked(
    folder: &Arc<Folder>,
    config: &Config,
    reference: &Reference,
    name: &Name,
    reporter: &Reporter,
) -> Result<(), Error> {
    let _folder_lock = folder.lock_shared().await?;
    let waits = || reporter.stage(Stage::Waiting);
    let _name_lock = lock::lock(&folder.name_lock(name), Mode::Exclusive, waits).await?;
    reporter.stage(Stage::Checking);
    let inside = || Error::Client("it failed inside the program".to_owned());
    let checked = (folder.clone(), name.clone());
    blocking(move || checked.0.remove_damaged(&checked.1)).await.map_err(|_| inside())??;
    let wanted = reference.to_string();
    if let Some(there) = folder.read(name) {
        if there.reference != wanted {
            return Err(Error::NameTaken { name: name.clone(), reference: there.reference });
        }
        if is_final(reference) {
            folder.show(&there)?;
            return Ok(());
        }
    }
    let http = {
        let config = config.clone();
        // Reads the certificates of the system.
        let made = blocking(move || Http::new(&config)).await;
        Arc::new(made.map_err(|_| inside())??)
    };
    let context = Context {
        folder: folder.clone(),
        http,
        pip: config.pip.clone(),
        limits: config.limits.clone(),
        reporter: reporter.clone(),
    };
    let (source, files) = first_source(&context, reference, name).await?;
    let manifest = Manifest::new(name, wanted, source, unix_seconds(), files);
    let (folder, name) = (folder.clone(), name.clone());
    blocking(move || folder.add(&name, &manifest)).await.map_err(|_| inside())?
}

/// Whether a model that is there can be no other than the one asked for.
fn is_final(reference: &Reference) -> bool {
    matches!(reference, Reference::Known(_) | Reference::Https { digest: Some(_), .. })
}

async fn first_source(
    context: &Context,
    reference: &Reference,
    name: &Name,
) -> Result<(String, Vec<crate::manifest::File>), Error> {
    let mut attempts = Vec::new();
    for source in sources(reference)? {
        let description = source.describe(context);
        context.reporter.source(&description);
        tracing::info!(model = %name, source = %description, "pulling");
        match source.fetch(context).await {
            Ok(files) => match repeated_name(&files) {
                None => return Ok((description, files)),
                Some(file) => attempts.push(Attempt {
                    source: description,
                    reason: format!("two of its files have the same name {file}"),
                }),
            },
            Err(Failure::Ours(error)) => return Err(error),
            Err(Failure::Source(reason)) => attempts.push(Attempt { source: description, reason }),
        }
        if let Some(attempt) = attempts.last() {
            tracing::warn!(model = %name, source = %attempt.source, reason = %attempt.reason, "a source failed");
            context.reporter.failed(attempt.clone());
        }
    }
    Err(Error::Pull { name: name.clone(), attempts })
}

fn repeated_name(files: &[crate::manifest::File]) -> Option<&crate::FileName> {
    let mut seen = std::collections::HashSet::new();
    files.iter().map(|file| &file.name).find(|name| !seen.insert(*name))
}

fn sources(reference: &Reference) -> Result<Vec<Source>, Error> {
    let invalid = |problem| crate::InvalidReference { text: reference.to_string(), problem };
    Ok(match reference {
        Reference::Known(known_name) => match known(known_name) {
            Some(known) => known.sources(),
            None => return Err(Error::Unknown { name: known_name.clone() }),
        },
        Reference::Hub { repository, path: Some(path) } => {
            vec![Source::Hub(HubFiles::new(repository.clone(), path).map_err(invalid)?)]
        }
        Reference::Hub { repository, path: None } => vec![Source::HubRepository(repository.clone())],
        Reference::Https { url, digest } => vec![Source::Https(HttpsFiles::new(url, *digest).map_err(invalid)?)],
        Reference::Path(path) => vec![Source::LocalPath(LocalPath { path: path.clone() })],
    })
}
