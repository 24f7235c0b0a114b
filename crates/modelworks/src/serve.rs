//! `serve`: from settings to a server that answers, and to its end.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use catalog::Catalog;
use control::{Control, Providers, endpoints};
use futures::future::join_all;
use gateway::{Annex, Certificate, Service};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    admin::LocalAccess,
    admin_key,
    config::Settings,
    listeners::Listeners,
    model_commands, providers,
    tenants::{self, Tenants},
    webhooks,
};

/// What was handed over when the server ends has this long to become durable.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
pub async fn serve(settings: Settings, data_dir: &Path, catalog: Arc<Catalog>) -> Result<()> {
    let mut signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup()).context("listening for signals")?;
    let key = admin_key::open(data_dir, std::env::var(admin_key::BOOTSTRAP_VARIABLE).ok())?;
    let mut models: Vec<String> = catalog.models().into_iter().map(|entry| entry.name).collect();
    models.extend(settings.models.iter().filter(|model| !models.contains(model)).cloned().collect::<Vec<_>>());
    let tenants = Tenants::open(data_dir, &key.hash, &models).await?;
    let edge = settings.edge;
    let listeners = Listeners::bind(&edge).await?;
    let secure = edge.public_url.as_deref().map_or(edge.certificate.is_some(), |url| url.starts_with("https://"));
    let providers = providers::providers(settings.providers, edge.public_url.as_deref())?;
    let config = gateway::Config {
        grace: settings.grace,
        response_retention: settings.response_retention,
        origin: edge.public_url,
        secure,
        trusted_proxies: edge.trusted_proxies,
        cors_origins: edge.cors_origins,
        ..gateway::Config::default()
    };
    config.validate()?;

    LocalAccess::new(listeners.local, tenants.local.clone()).write(data_dir)?;

    let mut out = std::io::stdout().lock();
    if let Some(fresh) = key.fresh {
        admin_key::tell(&fresh, data_dir, &mut out)?;
    }
    let scheme = if edge.certificate.is_some() { "https" } else { "http" };
    if let Some(admin) = listeners.admin {
        writeln!(out, "Administration answers on {scheme}://{admin}")?;
    }
    writeln!(out, "Modelworks answers on {scheme}://{}", listeners.public)?;
    out.flush()?;
    drop(out);

    let control = control::Config {
        secure,
        webhooks_without_tls: !edge.webhook_networks.is_empty(),
        ..control::Config::default()
    };
    let annex = administration(&tenants, control, providers);
    let service = Service::with_annex(config, Arc::clone(&catalog), tenants.tenancy.clone(), Some(annex));
    service.set_loading(true);
    let mut tasks = Vec::from(tenants.upkeep());
    tasks.push(tenants.watch(Arc::clone(&catalog)));
    tasks.push(webhooks::deliver(tenants.store.clone(), edge.webhook_networks));
    tasks.push(tokio::spawn(attend_hangups(hangups, edge.certificate)));
    let (stop, stopped) = watch::channel(());
    let servers = listeners.all.into_iter().map(|listener| {
        let mut stopped = stopped.clone();
        gateway::serve(listener, service.clone(), async move {
            let _ = stopped.changed().await;
        })
    });
    let mut server = tokio::spawn(join_all(servers.collect::<Vec<_>>()));

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
    stop.send_replace(());
    tokio::select! {
        drained = &mut server => {
            drained.context("the server's task failed")?;
        }
        () = signals.next() => tracing::warn!("ended by a second signal"),
    }
    tasks.iter().for_each(JoinHandle::abort);
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
fn administration(tenants: &Tenants, config: control::Config, providers: Providers) -> Annex {
    let tenancy = tenants.tenancy.clone();
    let control = Control::new(config, providers, tenants.store.clone(), Box::new(move |change| tenancy.apply(change)));
    let entrances = endpoints().into_iter().filter(|endpoint| endpoint.public);
    let entrances = entrances.map(|endpoint| (endpoint.method, endpoint.path)).collect();
    Annex { routes: control::routes(control), entrances, document: control::openapi_document() }
}

/// Reads the certificate again at every SIGHUP, which is how those who renew certificates say so. Without one the signal, which
/// would end a process that does not listen for it, changes nothing.
async fn attend_hangups(mut hangups: Signal, certificate: Option<Certificate>) {
    while hangups.recv().await.is_some() {
        match certificate.as_ref().map(Certificate::reload) {
            Some(Ok(())) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
            None => {
                tracing::info!("SIGHUP reads the certificate again, and there is none; settings are read at a start")
            }
        }
    }
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
