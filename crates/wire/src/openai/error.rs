//! How a failure is told.

use serde::Serialize;
use utoipa::ToSchema;

/// The body of every answer that is no success, and of an error event inside of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What was attempted, what was found, what to do.
    pub message: String,
    /// The kind, as OpenAI's SDKs know it: `invalid_request_error`, `rate_limit_error` or `server_error`.
    pub r#type: &'static str,
    /// The parameter at fault, such as `temperature` or `messages[0].content`.
    pub param: Option<String>,
    /// What a program may compare with; docs/errors.md lists the codes.
    pub code: &'static str,
}
