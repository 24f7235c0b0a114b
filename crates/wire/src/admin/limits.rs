//! Limits of an organisation, a project or a key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::present;

/// Limits of one owner. Absent is unlimited, zero is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in any 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens of prompts in any 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens_per_minute: Option<u64>,
    /// Generated tokens in any 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_minute: Option<u64>,
    /// Both together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// Money in a day of the organisation's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_day: Option<String>,
    /// Money in a month of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_month: Option<String>,
    /// Money altogether.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_ever: Option<String>,
}

/// What shall change of limits: absent stays, `null` is unlimited.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsChange {
    /// Requests in any 60 seconds.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub requests_per_minute: Option<Option<u64>>,
    /// Tokens of prompts in any 60 seconds.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub input_tokens_per_minute: Option<Option<u64>>,
    /// Generated tokens in any 60 seconds.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub output_tokens_per_minute: Option<Option<u64>>,
    /// Both together.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub tokens_per_minute: Option<Option<u64>>,
    /// Requests at one time.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub concurrent_requests: Option<Option<u64>>,
    /// Money in a day of the organisation's time zone.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub budget_day: Option<Option<String>>,
    /// Money in a month of it.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub budget_month: Option<Option<String>>,
    /// Money altogether.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub budget_ever: Option<Option<String>>,
}
