//! Every failure that a caller can be told, and how it is told.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use thiserror::Error;
use wire::{anthropic, json::Fault, ollama::OllamaError, openai};

/// Most characters of an error's message and of a parameter's name. Either may quote the caller, and what it quotes may be long.
const MOST_CHARACTERS: usize = 1_000;

/// Tells clients of OpenAI's kind whether to try again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Every failure that a caller can be told. `Display` is public text; docs/errors.md lists the codes.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum ApiError {
    #[error("no API key was given; send the header `Authorization: Bearer <key>` or `x-api-key: <key>`")]
    NoKey,
    #[error("the API key is not valid here; check for a key of another installation, or a cut one")]
    WrongKey,
    #[error("the headers `Authorization` and `x-api-key` hold different keys; send one of them")]
    TwoKeys,
    #[error(transparent)]
    KeyEnded(account::KeyRefusal),
    #[error("the session is over; sign in anew")]
    SessionEnded,
    #[error(
        "with a session only a page of this service changes something: `Sec-Fetch-Site` or `Origin` says that this is none"
    )]
    CrossSite,
    #[error(
        "with a session whatever changes something needs the header `x-csrf-token`; GET /admin/v1/session says its value"
    )]
    WrongCsrfToken,
    #[error("with a session the header `x-modelworks-project` names the project that asks")]
    NoProject,
    #[error(transparent)]
    Forbidden(#[from] account::Forbidden),
    #[error("this key may not use the model `{model}`; its owner says which it may")]
    ModelNotAllowed { model: String },
    #[error("the model `{model}` has no price, so nobody may use it; whoever runs this installation sets one")]
    NotPriced { model: String },
    #[error("usage cannot be recorded at the moment, so nothing is served; try again soon")]
    NotDurable,
    #[error("this project has no response `{id}`; it was deleted, has expired, or never was")]
    ResponseNotFound { id: String, parameter: Option<&'static str> },
    #[error("there is nothing at this address; GET /openapi.json lists what there is")]
    UnknownRoute,
    #[error("this address does not take that method; the header `Allow` lists the ones it takes")]
    WrongMethod,
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body did not arrive within {} s", within.as_secs_f64())]
    BodyTimeout { within: Duration },
    #[error("the body broke off before its end")]
    BodyBroken,
    #[error("the body is not JSON: {message}")]
    NotJson { message: String },
    #[error("{message}")]
    Unsupported { parameter: String, message: String },
    #[error(transparent)]
    Inference(#[from] inference::Error),
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotJson { message } => Self::NotJson { message },
            Fault::Wrong { parameter, message } => inference::Error::Invalid { parameter, message }.into(),
        }
    }
}

impl ApiError {
    /// A wrong value of `parameter`.
    pub(crate) fn invalid(parameter: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Inference(inference::Error::invalid(parameter, message))
    }

    /// A value of `parameter` that the API knows and that is not served here.
    pub(crate) fn unsupported(parameter: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unsupported { parameter: parameter.into(), message: message.into() }
    }

    /// A response that is not there for whoever asks; `parameter` named it, or the path.
    pub(crate) fn response_not_found(id: &str, parameter: Option<&'static str>) -> Self {
        Self::ResponseNotFound { id: id.to_owned(), parameter }
    }

    /// Status, code and parameter: the one table from failure to answer.
    fn parts(&self) -> (StatusCode, &'static str, Option<&str>) {
        use inference::Error as E;
        match self {
            Self::NoKey | Self::WrongKey | Self::TwoKeys => (StatusCode::UNAUTHORIZED, "invalid_api_key", None),
            Self::KeyEnded(_) => (StatusCode::UNAUTHORIZED, "invalid_api_key", None),
            Self::SessionEnded => (StatusCode::UNAUTHORIZED, "session_ended", None),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site_request", None),
            Self::WrongCsrfToken => (StatusCode::FORBIDDEN, "invalid_csrf_token", None),
            Self::NoProject => (StatusCode::BAD_REQUEST, "project_required", None),
            Self::Forbidden(account::Forbidden::Elsewhere) => (StatusCode::NOT_FOUND, "not_found", None),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "missing_scope", None),
            Self::ModelNotAllowed { .. } => (StatusCode::FORBIDDEN, "model_not_allowed", Some("model")),
            Self::NotPriced { .. } => (StatusCode::FORBIDDEN, "model_not_priced", Some("model")),
            Self::NotDurable => (StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable", None),
            Self::ResponseNotFound { parameter, .. } => (StatusCode::NOT_FOUND, "response_not_found", *parameter),
            Self::UnknownRoute => (StatusCode::NOT_FOUND, "not_found", None),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", None),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", None),
            Self::BodyTimeout { .. } => (StatusCode::REQUEST_TIMEOUT, "request_timeout", None),
            Self::BodyBroken | Self::NotJson { .. } => (StatusCode::BAD_REQUEST, "invalid_json", None),
            Self::Unsupported { parameter, .. } => (StatusCode::BAD_REQUEST, "unsupported_value", Some(parameter)),
            Self::Inference(error) => match error {
                E::Invalid { parameter, .. } => (StatusCode::BAD_REQUEST, "invalid_value", parameter.as_deref()),
                E::ContextLengthExceeded { parameter, .. } => {
                    (StatusCode::BAD_REQUEST, "context_length_exceeded", Some(parameter))
                }
                E::InputTooLong { input, .. } => (StatusCode::BAD_REQUEST, "context_length_exceeded", Some(input)),
                E::ModelNotFound { .. } => (StatusCode::NOT_FOUND, "model_not_found", Some("model")),
                E::Overloaded { .. } => (StatusCode::TOO_MANY_REQUESTS, "overloaded", None),
                E::LimitReached { spent: true, .. } => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", None),
                E::LimitReached { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", None),
                E::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "model_unavailable", None),
                E::SlowReader => (StatusCode::REQUEST_TIMEOUT, "slow_reader", None),
                E::Revoked => (StatusCode::UNAUTHORIZED, "invalid_api_key", None),
                E::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down", None),
                E::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error", None),
            },
        }
    }

    /// The status of an answer that has not begun.
    pub(crate) fn status(&self) -> StatusCode {
        self.parts().0
    }

    /// As OpenAI's clients read it: the body of an answer that has not begun, or the error event of a stream that has.
    pub(crate) fn openai(&self) -> openai::ErrorResponse {
        let (status, code, parameter) = self.parts();
        let param = parameter.map(bounded);
        let r#type = openai_type(status);
        openai::ErrorResponse { error: openai::ErrorBody { message: self.message(), r#type, param, code } }
    }

    /// As Anthropic's clients read it. The shape has no field for the parameter, so the message names it.
    pub(crate) fn anthropic(&self, request_id: &str) -> anthropic::ErrorResponse {
        let (status, _, parameter) = self.parts();
        let text = self.message();
        let message = match parameter.map(bounded) {
            Some(parameter) if !text.contains(&parameter) => format!("{parameter}: {text}"),
            _ => text,
        };
        let error = anthropic::ErrorBody { r#type: anthropic_type(status), message };
        anthropic::ErrorResponse { r#type: "error", error, request_id: request_id.to_owned() }
    }

    /// As Ollama's clients read it. Code and parameter are extensions.
    pub(crate) fn ollama(&self) -> OllamaError {
        let (_, code, parameter) = self.parts();
        OllamaError { error: self.message(), code, param: parameter.map(bounded) }
    }

    fn message(&self) -> String {
        bounded(&self.to_string())
    }

    /// When trying again may help.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Inference(inference::Error::Overloaded { retry_after, .. }) => Some(*retry_after),
            Self::Inference(inference::Error::LimitReached { retry_after, .. }) => *retry_after,
            // Long enough for a restart, or for a load balancer to look elsewhere.
            Self::NotDurable
            | Self::Inference(inference::Error::ShuttingDown | inference::Error::Unavailable { .. }) => {
                Some(Duration::from_secs(5))
            }
            _ => None,
        }
    }
}

/// The beginning and the end of a text that is too long: what is wrong stands before what is quoted, what to do after it.
fn bounded(text: &str) -> String {
    let length = text.chars().count();
    if length <= MOST_CHARACTERS {
        return text.to_owned();
    }
    let half = MOST_CHARACTERS / 2;
    let (start, end) = (text.chars().take(half), text.chars().skip(length - half));
    start.chain(" … ".chars()).chain(end).collect()
}

/// The kinds that OpenAI's SDKs know.
fn openai_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

/// The kinds that Anthropic's SDKs know.
fn anthropic_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::REQUEST_TIMEOUT => "timeout_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}

impl IntoResponse for ApiError {
    /// Status and headers. The body is written by the outermost layer, which knows the request's family and id.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after() {
            let seconds = after.as_millis().div_ceil(1000).clamp(1, 3600) as u64;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Clients of OpenAI's kind try 429 again unless they are told not to.
        if matches!(self, Self::Inference(inference::Error::LimitReached { spent: true, .. })) {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use inference::Error as E;

    use super::*;

    #[test]
    fn what_is_quoted_is_bounded_and_what_stands_around_it_stays() {
        let error = ApiError::from(E::ModelNotFound { model: "é".repeat(100_000) });
        let parameter = "k".repeat(100_000);
        let named = ApiError::invalid(parameter.as_str(), "m");
        for told in [error.openai().error.message, error.ollama().error, error.anthropic("r").error.message] {
            assert!(told.chars().count() < 1_100 && told.contains("éé … éé"), "{told}");
            assert!(
                error.to_string().starts_with(&told[..10]) && error.to_string().ends_with(&told[told.len() - 10..])
            );
        }
        assert!(named.openai().error.param.unwrap().len() < 1_100);
        assert!(named.anthropic("r").error.message.len() < 2_200);
        assert_eq!(bounded("short"), "short");
    }

    /// One of each kind.
    fn all() -> Vec<ApiError> {
        let inference = [
            E::invalid("temperature", "m"),
            E::ContextLengthExceeded { parameter: "messages", limit: 1, requested: 2, prompt: 1, output: 1 },
            E::InputTooLong { input: "input[1]".into(), tokens: 2, limit: 1 },
            E::ModelNotFound { model: "m".into() },
            E::Overloaded { what: "the queue", retry_after: Duration::from_millis(1500) },
            E::LimitReached { message: "l".into(), spent: false, retry_after: Some(Duration::from_millis(2100)) },
            E::LimitReached { message: "l".into(), spent: true, retry_after: None },
            E::Unavailable { model: "m".into(), reason: "r".into() },
            E::SlowReader,
            E::Revoked,
            E::ShuttingDown,
            E::Internal,
        ];
        let own = [
            ApiError::NoKey,
            ApiError::WrongKey,
            ApiError::TwoKeys,
            ApiError::KeyEnded(account::KeyRefusal::Expired { at: account::Timestamp::from_millis(0) }),
            ApiError::SessionEnded,
            ApiError::CrossSite,
            ApiError::WrongCsrfToken,
            ApiError::NoProject,
            ApiError::Forbidden(account::Forbidden::Elsewhere),
            ApiError::Forbidden(account::Forbidden::Lacks { action: account::Action::Infer }),
            ApiError::ModelNotAllowed { model: "m".into() },
            ApiError::NotPriced { model: "m".into() },
            ApiError::NotDurable,
            ApiError::response_not_found("resp_1", None),
            ApiError::UnknownRoute,
            ApiError::WrongMethod,
            ApiError::BodyTooLarge { limit: 1 },
            ApiError::BodyTimeout { within: Duration::from_secs(1) },
            ApiError::BodyBroken,
            ApiError::NotJson { message: "m".into() },
            ApiError::unsupported("tools", "m"),
        ];
        own.into_iter().chain(inference.into_iter().map(ApiError::from)).collect()
    }

    /// Every string literal of `parts` that looks like a code, so that a new code cannot be forgotten here.
    fn codes_in_source() -> Vec<&'static str> {
        let source = include_str!("error.rs");
        let body = source.split("fn parts(").nth(1).and_then(|rest| rest.split("fn status(").next()).unwrap();
        let quoted = body.split('"').skip(1).step_by(2);
        // The other literal is the one parameter that is named here.
        quoted.filter(|text| *text != "model").collect()
    }

    /// Without the codes that administration adds.
    fn table() -> &'static str {
        include_str!("../../../docs/errors.md").split_once("\n## Administration").unwrap().0
    }

    #[test]
    fn every_code_is_in_the_table_with_its_status() {
        let table = table();
        for error in all() {
            let (status, code, _) = error.parts();
            let row = format!("| {} | `{code}` | `{}` |", status.as_u16(), anthropic_type(status));
            assert!(table.contains(&row), "docs/errors.md has no row that begins with {row}");
        }
        for code in codes_in_source() {
            assert!(table.contains(&format!("`{code}`")), "docs/errors.md does not know {code}");
        }
    }

    #[test]
    fn every_code_of_the_table_exists() {
        let known: Vec<_> = all().iter().map(|error| error.parts().1).collect();
        let table = table();
        let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains("| `"));
        let codes: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
        assert!(codes.len() >= 10);
        for code in codes {
            assert!(known.contains(&code), "docs/errors.md lists {code}, which nothing here answers with");
        }
    }

    #[test]
    fn waiting_is_told_in_whole_seconds_where_it_helps() {
        for error in all() {
            let response = error.clone().into_response();
            let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
            let expect = match error.parts().1 {
                "overloaded" => Some("2"),
                "rate_limit_exceeded" => Some("3"),
                "shutting_down" | "model_unavailable" | "storage_unavailable" => Some("5"),
                _ => None,
            };
            assert_eq!(retry.as_deref(), expect, "{error:?}");
            let again = response.headers().get(SHOULD_RETRY).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(again.as_deref(), (error.parts().1 == "insufficient_quota").then_some("false"), "{error:?}");
        }
    }
}
