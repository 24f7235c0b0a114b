//! The outbox: events that webhooks are told of, written with what caused them, and what became of each.

use account::{Event, EventId, EventKind, OrgId, Owner, Timestamp, WebhookId};
use serde_json::{Value, json};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store, Webhook,
    columns::{bytes, count, stored, time, time_if},
    webhooks,
};

/// What has ended is kept for so long, in milliseconds: 35 days, longer than any month that a budget is told of once in.
const KEPT: i64 = 35 * DAY;

/// What could not be delivered for so long, in milliseconds, is given up.
const OLDEST: i64 = 3 * DAY;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Deliveries of one webhook that are kept, whatever became of them.
const MOST: i64 = 1000;

/// Webhooks that are looked after at a time.
const TURN: u32 = 512;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is tried until it arrives or is given up.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

/// An event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number; later ones are larger.
    pub sequence: u64,
    /// The event's name, which is the same at each attempt.
    pub event: EventId,
    /// Its kind.
    pub kind: EventKind,
    /// When it happened.
    pub created: Timestamp,
    /// What became of it.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub due: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<Box<str>>,
    /// When it arrived or was given up.
    pub ended: Option<Timestamp>,
}

/// A delivery whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// What.
    pub delivery: Delivery,
    /// Where to.
    pub webhook: Webhook,
    /// What is sent.
    pub body: Box<str>,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver took it.
    Arrived,
    /// It did not, for this reason.
    Failed {
        /// Public text.
        error: Box<str>,
        /// When to try again; none gives up.
        again: Option<Timestamp>,
    },
}

impl DeliveryStatus {
    /// The name in JSON and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// Notes that a webhook is to be told of an event, in the transaction of what caused it. It is noted once.
pub(crate) async fn add(
    connection: &mut SqliteConnection,
    webhook: &Webhook,
    event: &Event,
    at: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO deliveries (webhook, org, event, kind, body, created, status, attempts, due)
         VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&webhook.id.as_bytes()[..])
    .bind(&webhook.org.as_bytes()[..])
    .bind(&event.id(webhook.org).as_bytes()[..])
    .bind(event.kind().as_str())
    .bind(body(webhook.org, event, at).to_string())
    .bind(at.as_millis())
    .bind(DeliveryStatus::Pending.as_str())
    .bind(at.as_millis())
    .execute(&mut *connection)
    .await?;
    let oldest = sqlx::query(
        "DELETE FROM deliveries WHERE org = ?1 AND webhook = ?2 AND sequence <=
             (SELECT sequence FROM deliveries WHERE org = ?1 AND webhook = ?2 ORDER BY sequence DESC LIMIT 1 OFFSET ?3)",
    );
    let oldest = oldest.bind(&webhook.org.as_bytes()[..]).bind(&webhook.id.as_bytes()[..]).bind(MOST);
    oldest.execute(connection).await?;
    Ok(())
}

/// Forgets all that was to be delivered to a webhook.
pub(crate) async fn remove_all(connection: &mut SqliteConnection, org: OrgId, webhook: WebhookId) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM deliveries WHERE org = ? AND webhook = ?");
    query.bind(&org.as_bytes()[..]).bind(&webhook.as_bytes()[..]).execute(connection).await?;
    Ok(())
}

/// What is sent, in the shape that the Standard Webhooks specification recommends.
fn body(org: OrgId, event: &Event, at: Timestamp) -> Value {
    let data = match event {
        Event::BudgetThreshold { owner, limit, period, percent, allowed, spent } => {
            let (kind, id) = match owner {
                Owner::Organisation(id) => ("organisation", id.to_string()),
                Owner::Project(id) => ("project", id.to_string()),
                Owner::Key(id) => ("key", id.to_string()),
            };
            json!({
                "organisation_id": org.to_string(),
                "owner": {"type": kind, "id": id},
                "limit": limit.as_str(),
                "percent": percent,
                "allowed": allowed.to_string(),
                "spent": spent.to_string(),
                "from": period.end.map(|_| period.start.to_string()),
                "until": period.end.map(|end| end.to_string()),
            })
        }
        Event::CreditLow { threshold, balance, .. } => json!({
            "organisation_id": org.to_string(),
            "threshold": threshold.to_string(),
            "balance": balance.to_string(),
        }),
        Event::CreditSpent { balance, .. } => {
            json!({"organisation_id": org.to_string(), "balance": balance.to_string()})
        }
        Event::Ping(_) => json!({"organisation_id": org.to_string()}),
    };
    json!({"type": event.kind().as_str(), "timestamp": at.to_string(), "data": data})
}

impl Store {
    /// What a webhook was told of and is to be told of: the newest `most` that are older than `before`.
    pub async fn deliveries(
        &self,
        org: OrgId,
        webhook: WebhookId,
        before: Option<u64>,
        most: u32,
    ) -> Result<Vec<Delivery>, Error> {
        let query = sqlx::query(
            "SELECT * FROM deliveries WHERE org = ?1 AND webhook = ?2 AND (?3 IS NULL OR sequence < ?3)
             ORDER BY sequence DESC LIMIT ?4",
        );
        let query = query.bind(&org.as_bytes()[..]).bind(&webhook.as_bytes()[..]).bind(before.map(stored)).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(delivery).collect()
    }

    /// The oldest delivery whose time has come of each webhook that is told anything, whosever it is.
    pub async fn due_deliveries(&self, now: Timestamp) -> Result<Vec<DueDelivery>, Error> {
        let query = sqlx::query(
            "SELECT webhooks.*, deliveries.sequence, deliveries.event, deliveries.kind, deliveries.body, deliveries.status,
                    deliveries.attempts, deliveries.due, deliveries.error, deliveries.ended,
                    deliveries.created AS happened
             FROM deliveries JOIN webhooks ON webhooks.id = deliveries.webhook AND webhooks.enabled
             WHERE deliveries.sequence IN
                 (SELECT MIN(first.sequence) FROM deliveries AS first WHERE first.due <= ? GROUP BY first.webhook)
             ORDER BY deliveries.due, deliveries.sequence LIMIT ?",
        );
        let rows = query.bind(now.as_millis()).bind(TURN).fetch_all(self.readers()).await?;
        let due = |row: &SqliteRow| {
            let body: String = row.try_get("body")?;
            let delivery = Delivery { created: time(row, "happened")?, ..delivery(row)? };
            Ok(DueDelivery { delivery, webhook: webhooks::read(row)?, body: body.into() })
        };
        rows.iter().map(due).collect()
    }

    /// Notes how an attempt went. A delivery that is gone meanwhile stays so.
    pub async fn note_attempt(&self, org: OrgId, sequence: u64, attempt: Attempt, now: Timestamp) -> Result<(), Error> {
        let (status, error, due) = match attempt {
            Attempt::Arrived => (DeliveryStatus::Delivered, None, None),
            Attempt::Failed { error, again: Some(again) } => (DeliveryStatus::Pending, Some(error), Some(again)),
            Attempt::Failed { error, again: None } => (DeliveryStatus::Failed, Some(error), None),
        };
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE deliveries SET status = ?, error = ?, due = ?, ended = ?, attempts = attempts + 1
                     WHERE org = ? AND sequence = ?",
                )
                .bind(status.as_str())
                .bind(error.as_deref())
                .bind(due.map(Timestamp::as_millis))
                .bind(due.is_none().then(|| now.as_millis()))
                .bind(&org.as_bytes()[..])
                .bind(stored(sequence))
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Gives up what could not be delivered for too long, and forgets what ended long ago.
    pub async fn expire_deliveries(&self, now: Timestamp) -> Result<(), Error> {
        let now = now.as_millis();
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE deliveries SET status = ?, due = NULL, ended = ?, error = COALESCE(error, 'it could not be sent in time')
                     WHERE deliveries.due IS NOT NULL AND deliveries.created < ?",
                )
                .bind(DeliveryStatus::Failed.as_str())
                .bind(now)
                .bind(now - OLDEST)
                .execute(&mut *connection)
                .await?;
                sqlx::query("DELETE FROM deliveries WHERE deliveries.ended < ?")
                    .bind(now - KEPT)
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

fn delivery(row: &SqliteRow) -> Result<Delivery, Error> {
    let kind = EventKind::parse(row.try_get("kind")?).ok_or(Error::Corrupt { what: "event" })?;
    let status = match row.try_get("status")? {
        "pending" => DeliveryStatus::Pending,
        "delivered" => DeliveryStatus::Delivered,
        "failed" => DeliveryStatus::Failed,
        _ => return Err(Error::Corrupt { what: "status of a delivery" }),
    };
    Ok(Delivery {
        sequence: count(row, "sequence")?,
        event: EventId::from_bytes(bytes(row, "event")?),
        kind,
        created: time(row, "created")?,
        status,
        attempts: row.try_get("attempts")?,
        due: time_if(row, "due")?,
        error: row.try_get::<Option<String>, _>("error")?.map(Into::into),
        ended: time_if(row, "ended")?,
    })
}
