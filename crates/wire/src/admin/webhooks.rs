//! Webhooks of an organisation, and what became of what they were told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Secret, present};

/// Where an organisation is told of what. Its secret is nowhere but in the answer that made it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its id, `webhook_…`.
    pub id: String,
    /// Whose it is.
    pub organisation_id: String,
    /// Where to.
    pub url: String,
    /// What people say of it.
    pub description: String,
    /// What it is told of: `budget.threshold`, `credit.low`, `credit.spent`.
    pub events: Vec<String>,
    /// Shares of budgets, in percent, that it is told of.
    pub thresholds: Vec<u8>,
    /// The balance below which credit is low; `null`: never.
    pub credit_low: Option<String>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Deliveries are signed with the secret before the last rotation, too, until then.
    pub previous_secret_until: Option<String>,
    /// When it was made.
    pub created_at: String,
}

/// A webhook to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where to: `https://…`, at most 2048 bytes.
    pub url: String,
    /// What people say of it, at most 200 bytes; default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is told of; default: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// Shares of budgets, 1 to 100 percent, at most ten; default: 50, 80 and 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<u8>>,
    /// The balance below which credit is low; default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_low: Option<String>,
    /// Whether it is told anything; default: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A webhook with its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedWebhook {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// The secret, `whsec_…`, shown this once. Absent in the answer to a request that was sent before: rotate it if it is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// What shall change of a webhook.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// Another place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Another description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Other events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// Other shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<u8>>,
    /// Another low balance; `null`: never.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub credit_low: Option<Option<String>>,
    /// Whether it is told anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// An event on its way to a webhook, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Its number; later ones are larger.
    pub sequence: u64,
    /// The event's id, `event_…`, which receivers see as `webhook-id`.
    pub event_id: String,
    /// What happened.
    pub r#type: String,
    /// When.
    pub created_at: String,
    /// `pending`, `delivered` or `failed`.
    pub status: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_at: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it arrived or was given up.
    pub ended_at: Option<String>,
}

/// A test event that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Ping {
    /// The event's id.
    pub event_id: String,
}
