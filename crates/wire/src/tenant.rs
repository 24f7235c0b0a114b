//! Limits and usage, as a key asks for them. Amounts are billionths of the installation's currency, or decimal text.

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
}

/// Length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    /// An hour of coordinated universal time.
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
    /// By time, project, key and model. What is not listed was not used.
    pub data: Vec<UsageSum>,
}

/// What was used in a period with one key and one model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UsageSum {
    /// When the period began. A request belongs to the period of its admission.
    pub start: String,
    /// For which project.
    pub project_id: String,
    /// With which key.
    pub key_id: String,
    /// The model's name.
    pub model: String,
    /// Requests that have ended.
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
