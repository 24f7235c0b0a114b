//! How a failure is told.

use serde::Serialize;
use utoipa::ToSchema;

/// The body of every answer that is no success, and of an error event inside of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicErrorResponse)]
pub struct ErrorResponse {
    /// Always `error`.
    pub r#type: &'static str,
    /// What went wrong.
    pub error: ErrorBody,
    /// The id that the headers `request-id` and `x-request-id` carry too.
    pub request_id: String,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicErrorBody)]
pub struct ErrorBody {
    /// The kind, as Anthropic's SDKs know it; docs/errors.md lists them.
    pub r#type: &'static str,
    /// What was attempted, what was found, what to do. It names the parameter at fault where there is one.
    pub message: String,
}
