//! `serve`: from settings to a server that answers, and to its end.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use catalog::Catalog;
use control::Control;
use gateway::{Annex, Service};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    admin::LocalAccess,
    admin_key,
    config::Settings,
    model_commands,
    tenants::{self, Tenants},
};

/// What was handed over when the server ends has this long to become durable.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
pub async fn serve(settings: Settings, data_dir: &Path, catalog: Arc<Catalog>) -> Result<()> {
    let mut signals = Signals::new()?;
    let key = admin_key::open(data_dir, std::env::var(admin_key::BOOTSTRAP_VARIABLE).ok())?;
    let mut models: Vec<String> = catalog.models().into_iter().map(|entry| entry.name).collect();
    models.extend(settings.models.iter().filter(|model| !models.contains(model)).cloned().collect::<Vec<_>>());
    let tenants = Tenants::open(data_dir, &key.hash, &models).await?;
    let config = gateway::Config { grace: settings.grace, ..gateway::Config::default() };
    config.validate()?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("listening on {}; choose another address with --listen", settings.listen))?;
    let address = listener.local_addr().context("asking for the address that was bound")?;

    LocalAccess::new(address, tenants.local.clone()).write(data_dir)?;

    let mut out = std::io::stdout().lock();
    if let Some(fresh) = key.fresh {
        admin_key::tell(&fresh, data_dir, &mut out)?;
    }
    writeln!(out, "Modelworks answers on http://{address}")?;
    out.flush()?;
    drop(out);

    let service =
        Service::with_annex(config, Arc::clone(&catalog), tenants.tenancy.clone(), Some(administration(&tenants)));
    service.set_loading(true);
    let (watch, notes, expiry) = (tenants.watch(Arc::clone(&catalog)), tenants.note_uses(), tenants.expire_rows());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut server = tokio::spawn(gateway::serve(listener, service.clone(), async {
        let _ = stopped.await;
    }));

    let ready = tokio::select! {
        ready = load(&settings.models, &catalog) => Some(ready),
        () = signals.next() => None,
    };
    match ready {
        Some(Ok(())) => {
            service.set_loading(false);
            let mut out = std::io::stdout().lock();
            writeln!(out, "Ready: {}", settings.models.join(", "))?;
            out.flush()?;
            drop(out);
            signals.next().await;
        }
        Some(Err(error)) => return Err(error),
        None => {}
    }
    tracing::info!(grace_ms = settings.grace.as_millis() as u64, "shutting down; a second signal ends at once");
    let _ = stop.send(());
    tokio::select! {
        drained = &mut server => {
            drained.context("the server's task failed")?;
        }
        () = signals.next() => tracing::warn!("ended by a second signal"),
    }
    watch.abort();
    notes.abort();
    expiry.abort();
    catalog.shutdown();
    LocalAccess::remove(data_dir);
    tenants::note_use(&tenants.store, &tenants.tenancy).await;
    drop((service, tenants.tenancy));
    if tokio::time::timeout(LAST_WRITES, tenants.store.close()).await.is_err() {
        tracing::warn!("ended before the last settlements were on the disk");
    }
    Ok(())
}

/// The administrative routes. What is changed holds at once for what runs.
fn administration(tenants: &Tenants) -> Annex {
    let tenancy = tenants.tenancy.clone();
    let control = Control::new(tenants.store.clone(), Box::new(move |change| tenancy.apply(change)));
    Annex { routes: control::routes(control), document: control::openapi_document() }
}

/// Pulls what is not on disk and loads every model.
async fn load(models: &[String], catalog: &Catalog) -> Result<()> {
    for model in models {
        model_commands::ensure(catalog, model).await?;
    }
    let loads = models
        .iter()
        .map(|model| async move { catalog.backend(model).await.with_context(|| format!("loading `{model}`")) });
    futures::future::try_join_all(loads).await?;
    Ok(())
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
