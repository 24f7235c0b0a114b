//! Webhooks: where an organisation wants to be told of what.

use std::collections::BTreeSet;

use account::{EventId, EventKind, Nano, OrgId, Pepper, Timestamp, WebhookId, WebhookSecret};
use sqlx::{
    Row, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{
    Error, Made, Store,
    columns::{bytes, time_if},
    deliveries,
    tenants::made,
};

/// Where an organisation wants to be told of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub org: OrgId,
    /// Where to.
    pub url: Box<str>,
    /// What people say of it.
    pub description: Box<str>,
    /// What it is told of.
    pub events: BTreeSet<EventKind>,
    /// Shares of budgets, in percent, that it is told of.
    pub thresholds: BTreeSet<u8>,
    /// The balance below which credit is low; none: never.
    pub credit_low: Option<Nano>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Which secret it has: the first is 1. The secret itself follows from this and the pepper.
    pub secret_version: u32,
    /// The secret before is used, too, until then.
    pub previous_until: Option<Timestamp>,
}

impl Webhook {
    /// The secrets that deliveries are signed with, the current one first.
    pub fn secrets(&self, pepper: &Pepper, now: Timestamp) -> Vec<WebhookSecret> {
        let previous = self.previous_until.filter(|until| now < *until).map(|_| self.secret_version - 1);
        let versions = [Some(self.secret_version), previous].into_iter().flatten();
        versions.map(|version| pepper.webhook_secret(self.id, version)).collect()
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

/// What can change of a webhook, in the order in which the columns stand in both statements.
fn settings<'q>(query: Query<'q>, webhook: &'q Webhook) -> Query<'q> {
    query
        .bind(&*webhook.url)
        .bind(&*webhook.description)
        .bind(events_text(webhook))
        .bind(thresholds_text(webhook))
        .bind(webhook.credit_low.map(Nano::get))
        .bind(webhook.enabled)
        .bind(webhook.secret_version)
        .bind(webhook.previous_until.map(Timestamp::as_millis))
}

/// Adds a webhook.
pub(crate) async fn add(connection: &mut SqliteConnection, webhook: &Webhook, now: Timestamp) -> Result<(), Error> {
    let query = sqlx::query(
        "INSERT INTO webhooks (id, org, url, description, events, thresholds, credit_low, enabled, secret_version,
                               previous_until, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    let query = query.bind(&webhook.id.as_bytes()[..]).bind(&webhook.org.as_bytes()[..]);
    settings(query, webhook).bind(now.as_millis()).execute(connection).await?;
    Ok(())
}

/// Writes what can change of a webhook: everything but its id and organisation.
pub(crate) async fn change(connection: &mut SqliteConnection, webhook: &Webhook) -> Result<(), Error> {
    let query = sqlx::query(
        "UPDATE webhooks SET url = ?, description = ?, events = ?, thresholds = ?, credit_low = ?, enabled = ?,
                             secret_version = ?, previous_until = ? WHERE org = ? AND id = ?",
    );
    let query = settings(query, webhook).bind(&webhook.org.as_bytes()[..]).bind(&webhook.id.as_bytes()[..]);
    let done = query.execute(connection).await?;
    if done.rows_affected() == 0 { Err(Error::NotFound { what: "webhook" }) } else { Ok(()) }
}

/// Removes a webhook and all that was to be delivered to it.
pub(crate) async fn remove(connection: &mut SqliteConnection, org: OrgId, webhook: WebhookId) -> Result<(), Error> {
    deliveries::remove_all(&mut *connection, org, webhook).await?;
    let query = sqlx::query("DELETE FROM webhooks WHERE org = ? AND id = ?");
    let gone = query.bind(&org.as_bytes()[..]).bind(&webhook.as_bytes()[..]).execute(connection).await?;
    if gone.rows_affected() == 0 { Err(Error::NotFound { what: "webhook" }) } else { Ok(()) }
}

/// Has a webhook be told that somebody tries it.
pub(crate) async fn ping(
    connection: &mut SqliteConnection,
    org: OrgId,
    webhook: WebhookId,
    event: EventId,
    now: Timestamp,
) -> Result<(), Error> {
    let query = sqlx::query("SELECT * FROM webhooks WHERE org = ? AND id = ?");
    let query = query.bind(&org.as_bytes()[..]).bind(&webhook.as_bytes()[..]);
    let row = query.fetch_optional(&mut *connection).await?.ok_or(Error::NotFound { what: "webhook" })?;
    deliveries::add(connection, &read(&row)?, &account::Event::Ping(event), now).await
}

/// Whether an organisation wants to be told of anything.
pub(crate) async fn listens(connection: &mut SqliteConnection, org: OrgId) -> Result<bool, Error> {
    let query = sqlx::query("SELECT 1 FROM webhooks WHERE org = ? AND enabled LIMIT 1").bind(&org.as_bytes()[..]);
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// The webhooks of an organisation that are told something.
pub(crate) async fn enabled(connection: &mut SqliteConnection, org: OrgId) -> Result<Vec<Webhook>, Error> {
    let query = sqlx::query("SELECT * FROM webhooks WHERE org = ? AND enabled").bind(&org.as_bytes()[..]);
    query.fetch_all(connection).await?.iter().map(read).collect()
}

impl Store {
    /// One webhook of an organisation.
    pub async fn webhook(&self, org: OrgId, id: WebhookId) -> Result<Option<Made<Webhook>>, Error> {
        let query = sqlx::query("SELECT * FROM webhooks WHERE org = ? AND id = ?");
        let query = query.bind(&org.as_bytes()[..]).bind(&id.as_bytes()[..]);
        query.fetch_optional(self.readers()).await?.as_ref().map(|row| made(row, read(row)?)).transpose()
    }

    /// Webhooks of an organisation in the order in which they were made, `most` of those behind `after`.
    pub async fn webhook_page(
        &self,
        org: OrgId,
        after: Option<WebhookId>,
        most: u32,
    ) -> Result<Vec<Made<Webhook>>, Error> {
        let query = sqlx::query(
            "SELECT * FROM webhooks
             WHERE org = ?1
                 AND (?2 IS NULL OR (created, id) > (SELECT created, id FROM webhooks WHERE org = ?1 AND id = ?2))
             ORDER BY created, id LIMIT ?3",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(|row| made(row, read(row)?)).collect()
    }
}

pub(crate) fn read(row: &SqliteRow) -> Result<Webhook, Error> {
    let text = |column| row.try_get::<String, _>(column).map(Box::from);
    let events: &str = row.try_get("events")?;
    let events = events.split_whitespace().map(|name| EventKind::parse(name).ok_or(Error::Corrupt { what: "event" }));
    let thresholds: &str = row.try_get("thresholds")?;
    let number = |text: &str| text.parse().map_err(|_| Error::Corrupt { what: "threshold" });
    Ok(Webhook {
        id: WebhookId::from_bytes(bytes(row, "id")?),
        org: OrgId::from_bytes(bytes(row, "org")?),
        url: text("url")?,
        description: text("description")?,
        events: events.collect::<Result<_, _>>()?,
        thresholds: thresholds.split_whitespace().map(number).collect::<Result<_, _>>()?,
        credit_low: row.try_get::<Option<i64>, _>("credit_low")?.map(Nano::new),
        enabled: row.try_get("enabled")?,
        secret_version: row.try_get("secret_version")?,
        previous_until: time_if(row, "previous_until")?,
    })
}

fn events_text(webhook: &Webhook) -> String {
    webhook.events.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

fn thresholds_text(webhook: &Webhook) -> String {
    webhook.thresholds.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
}
