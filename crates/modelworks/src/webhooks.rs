//! Delivers to webhooks what the outbox holds: at least once, signed, and to no address of a private network.

mod guard;

use std::{collections::HashMap, error::Error as _, sync::Arc, time::Duration};

use account::{OrgId, Timestamp, WebhookId};
use anyhow::{Context, Result};
use ipnet::IpNet;
use reqwest::{Client, Url, redirect::Policy};
use store::{Attempt, DueDelivery, Store, now};
use tokio::{
    sync::OnceCell,
    task::{Id, JoinHandle, JoinSet},
};

use guard::{Guard, Refused};

/// How often the outbox is looked into.
const LOOK: Duration = Duration::from_secs(1);

/// Deliveries under way at a time, each to another webhook, and of these to webhooks of one organisation.
const MOST_AT_ONCE: usize = 32;
const MOST_OF_AN_ORGANISATION: usize = 4;

/// How long a receiver may take from the first packet to its status.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pauses between attempts: the first, what each is longer by, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGER: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 60 * 60);

/// Attempts of one delivery, over about a day.
const MOST_ATTEMPTS: u32 = 10;

/// Sends what webhooks are told.
struct Deliverer {
    store: Store,
    networks: Arc<[IpNet]>,
    /// Made for the first delivery: they want the system's certificates, which whoever has no webhook need not have.
    clients: OnceCell<Clients>,
}

struct Clients {
    /// To public addresses and those of the listed networks, over TLS.
    https: Guarded,
    /// To those of the listed networks alone.
    http: Guarded,
}

/// A client and what it may connect to.
struct Guarded {
    client: Client,
    guard: Guard,
}

/// Delivers until it is aborted. `networks` may be sent to although they are private, and without TLS.
pub fn deliver(store: Store, networks: Vec<IpNet>) -> JoinHandle<()> {
    let deliverer = Deliverer { store, networks: networks.into(), clients: OnceCell::new() };
    tokio::spawn(Arc::new(deliverer).run())
}

impl Clients {
    fn new(networks: &Arc<[IpNet]>) -> Result<Self> {
        let guarded = |guard: Guard| anyhow::Ok(Guarded { client: client(guard.clone())?, guard });
        let (public, listed) = (Guard::public(Arc::clone(networks)), Guard::listed(Arc::clone(networks)));
        Ok(Self { https: guarded(public)?, http: guarded(listed)? })
    }
}

/// A client that follows no redirect, asks no proxy, which would look names up by itself, and keeps no connection, so that each
/// address is looked up and checked anew.
fn client(guard: Guard) -> Result<Client> {
    let builder = Client::builder().tls_backend_preconfigured(catalog::tls()?).redirect(Policy::none()).no_proxy();
    let builder = builder.pool_max_idle_per_host(0).timeout(PATIENCE).dns_resolver(Arc::new(guard));
    let builder = builder.user_agent(concat!("modelworks/", env!("CARGO_PKG_VERSION")));
    builder.build().context("preparing HTTP for webhooks")
}

impl Deliverer {
    async fn run(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK);
        let mut tasks = JoinSet::new();
        // To one webhook one at a time, and to few of an organisation: slow receivers hold up nobody but themselves.
        let mut under_way: HashMap<Id, (OrgId, WebhookId)> = HashMap::new();
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                Some(ended) = tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    under_way.remove(&id);
                }
            }
            if under_way.len() >= MOST_AT_ONCE {
                continue;
            }
            match self.store.due_deliveries(now()).await {
                Ok(due) => {
                    for due in due {
                        let (org, webhook) = (due.webhook.org, due.webhook.id);
                        let is_busy = under_way.values().any(|(_, busy)| *busy == webhook);
                        let others = under_way.values().filter(|(of, _)| *of == org).count();
                        if !is_busy && others < MOST_OF_AN_ORGANISATION && under_way.len() < MOST_AT_ONCE {
                            let this = Arc::clone(&self);
                            let task = tasks.spawn(async move { this.attempt(due).await });
                            under_way.insert(task.id(), (org, webhook));
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the outbox of webhooks cannot be read");
                }
            }
        }
    }

    async fn attempt(&self, due: DueDelivery) {
        let attempts = due.delivery.attempts + 1;
        let attempt = match self.send(&due).await {
            Ok(()) => Attempt::Arrived,
            Err(error) => {
                Attempt::Failed { error: error.into(), again: pause(attempts).map(|pause| now().after(pause)) }
            }
        };
        tracing::debug!(webhook = %due.webhook.id, event = %due.delivery.event, ?attempt, "a webhook was told");
        let noted = self.store.note_attempt(due.webhook.org, due.delivery.sequence, attempt, now()).await;
        if let Err(error) = noted {
            tracing::warn!(error = &error as &dyn std::error::Error, "what a webhook was told is not noted");
            // It is due still; a receiver should not suffer from a full disk of ours.
            tokio::time::sleep(PATIENCE).await;
        }
    }

    /// Sends once; the error is public text.
    async fn send(&self, due: &DueDelivery) -> Result<(), String> {
        let url: Url = due.webhook.url.parse().map_err(|_| "the URL cannot be read".to_owned())?;
        let clients = self.clients.get_or_try_init(async || Clients::new(&self.networks)).await;
        let clients = clients.map_err(|error| {
            tracing::error!("webhooks cannot be told anything: {error:#}");
            "the server has no certificates to check the receiver's with".to_owned()
        })?;
        let Guarded { client, guard } = match url.scheme() {
            "https" => &clients.https,
            "http" if !self.networks.is_empty() => &clients.http,
            _ => return Err("the URL is not https".to_owned()),
        };
        // An address is not looked up, so the resolver does not see it.
        guard.check_literal(&url).map_err(|refused| refused.to_string())?;
        let (id, seconds) = (due.delivery.event.to_string(), now().as_millis() / 1000);
        let secrets = due.webhook.secrets(self.store.pepper(), now());
        let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(&id, seconds, &due.body)).collect();
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signatures.join(" "))
            .body(String::from(due.body.clone()));
        // The body of the answer is not read: the status says all.
        let status = request.send().await.map_err(|error| reason(&error))?.status();
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => {
                Err(format!("the receiver answered {}; redirects are not followed", status.as_u16()))
            }
            status => Err(format!("the receiver answered {}", status.as_u16())),
        }
    }
}

/// Why there was no answer, in words that say nothing of what lies behind an address.
fn reason(error: &reqwest::Error) -> String {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = Refused::of(cause) {
            return refused.to_string();
        }
        source = cause.source();
    }
    if error.is_timeout() {
        format!("no answer within {} seconds", PATIENCE.as_secs())
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the connection broke off".to_owned()
    }
}

/// How long to wait after so many attempts; none when it is given up.
fn pause(attempts: u32) -> Option<Duration> {
    let longer = LONGER.saturating_pow(attempts.saturating_sub(1));
    (attempts < MOST_ATTEMPTS).then(|| FIRST_PAUSE.saturating_mul(longer).min(LONGEST_PAUSE))
}

/// Gives up and forgets what is too old.
pub async fn expire(store: Store, now: Timestamp) {
    if let Err(error) = store.expire_deliveries(now).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "old deliveries to webhooks are not deleted yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end_before_deliveries_are_too_old() {
        let pauses: Vec<u64> = (1..=MOST_ATTEMPTS + 1).map_while(pause).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [2, 8, 32, 128, 512, 2048, 8192, 32_768, 43_200]);
        assert!(pauses.iter().sum::<u64>() < 2 * 24 * 60 * 60);
        assert_eq!(pause(u32::MAX), None);
    }
}
