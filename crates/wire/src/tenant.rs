//! Limits and usage, as a key asks for them. Amounts are billionths of the installation's currency, or decimal text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The limits above a key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LimitList {
    /// `list`.
    pub object: &'static str,
    /// The nearest owner's first.
    pub data: Vec<Limit>,
}

/// One limit and how it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Limit {
    /// Which, such as `requests_per_minute` or `budget_day`.
    pub limit: &'static str,
    /// `organisation`, `project` or `key`.
    pub owner: &'static str,
    /// Its id.
    pub owner_id: String,
    /// What the numbers count: `requests`, `tokens`, or `nano`, billionths of the currency.
    pub unit: &'static str,
    /// How much there may be.
    pub allowed: i64,
    /// How much there was, in the minute or period that counts.
    pub used: i64,
    /// How much running requests have set aside.
    pub held: i64,
    /// What is left.
    pub remaining: i64,
    /// When all that is used is given back; absent when nobody can say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
}

/// What a usage report is of.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// Seconds since 1970; default: a day before the end.
    pub start_time: Option<i64>,
    /// Seconds since 1970; default: now.
    pub end_time: Option<i64>,
    /// The length of each period; default: `day`.
    pub bucket: Option<Bucket>,
    /// Another organisation than the key's; for whoever runs the installation.
    pub organisation_id: Option<String>,
    /// What is told apart beside project and model: `key` (the default), `end_user`, or `tag:NAME` for the values of a tag.
    /// Requests without end user or tag are then left out.
    pub group_by: Option<String>,
    /// `json` or `csv`; default: what the header `Accept` prefers.
    pub format: Option<Format>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As an object.
    Json,
    /// As lines of comma-separated values (RFC 4180), for spreadsheets.
    Csv,
}

/// Length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// An hour of the clocks in the organisation's time zone.
    Hour,
    /// A day of the organisation's time zone.
    Day,
    /// A month of it.
    Month,
}

/// A usage report.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UsageList {
    /// `list`.
    pub object: &'static str,
    /// The length of each period.
    pub bucket: Bucket,
    /// By time, project, key (or what `group_by` says) and model. What is not listed was not used.
    pub data: Vec<UsageSum>,
}

/// What was used in a period with one key, or for one end user or value of a tag, and one model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UsageSum {
    /// When the period began. A request belongs to the period of its admission.
    pub start: String,
    /// For which project.
    pub project_id: String,
    /// With which key, where keys are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// For which end user, or the tag's value, where these are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// This sum is of all values that are not told apart: beyond 1,000 a day, or erased. Its `value` is `other`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
    /// The model's name.
    pub model: String,
    /// Requests that have ended; quotes, and those that were refused after they had been let in, are among them.
    pub requests: u64,
    /// Tokens of prompts that were computed.
    pub input_tokens: u64,
    /// Tokens of prompts that a cache held.
    pub cached_input_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
    /// What it cost, in billionths.
    pub cost_nano: i64,
    /// The same as a decimal number.
    pub cost: String,
}

/// What a request would need and cost.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Quote {
    /// The model's name.
    pub model: String,
    /// The price version that holds now.
    pub price_id: String,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Most tokens that are generated.
    pub most_output_tokens: u64,
    /// The least that it can cost, in billionths.
    pub least_cost_nano: i64,
    /// The same as a decimal number.
    pub least_cost: String,
    /// The most that it can cost, in billionths.
    pub most_cost_nano: i64,
    /// The same as a decimal number.
    pub most_cost: String,
    /// The limits that it counts for, as they stand.
    pub limits: Vec<QuotedLimit>,
}

/// A limit that a request would count for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuotedLimit {
    /// The limit.
    #[serde(flatten)]
    pub limit: Limit,
    /// The most that the request counts for it.
    pub most: i64,
}

/// One request, after its end.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RequestReport {
    /// Its id, as in `x-request-id`.
    pub id: String,
    /// To which route it was sent.
    pub route: Option<String>,
    /// The model's name.
    pub model: String,
    /// `standard` or `batch`.
    pub service: &'static str,
    /// For which project.
    pub project_id: String,
    /// With which key.
    pub key_id: String,
    /// When it was let in.
    pub admitted_at: String,
    /// When it ended.
    pub ended_at: String,
    /// Milliseconds until its turn came.
    pub queued_ms: Option<u64>,
    /// Milliseconds until its first output, waiting and prompt included.
    pub first_output_ms: Option<u64>,
    /// Milliseconds until its end.
    pub duration_ms: u64,
    /// Why it ended: a code of docs/ledger.md.
    pub cause: &'static str,
    /// Whether what ran is paid by whoever asked.
    pub paid: bool,
    /// Tokens of the prompt that were computed.
    pub input_tokens: u64,
    /// Tokens of the prompt that a cache held.
    pub cached_input_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
    /// The price version that held.
    pub price_id: Option<String>,
    /// What it cost, in billionths.
    pub cost_nano: i64,
    /// The same as a decimal number.
    pub cost: String,
    /// The line of the ledger that charges it, where there was something to pay.
    pub ledger_line: Option<u64>,
    /// Whom it was for, in the caller's words.
    pub end_user: Option<String>,
    /// How its caller tagged it.
    pub tags: BTreeMap<String, String>,
}
