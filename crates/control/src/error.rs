//! Every failure that an administrator can be told.

use std::time::Duration;

use account::{Forbidden, NoEntrance};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use thiserror::Error;
use wire::{
    json::Fault,
    openai::{ErrorBody, ErrorResponse},
};

/// Every failure that an administrator can be told. `Display` is public text; docs/errors.md lists the codes.
#[derive(Debug, Error)]
pub enum ApiError {
    /// Whoever serves these routes let somebody through who was not checked.
    #[error("no API key was given; send the header `Authorization: Bearer <key>`, or sign in")]
    NoKey,
    /// Whoever wants to sign in is not known so. It does not say what is wrong.
    #[error("address and password do not belong together")]
    InvalidCredentials,
    /// Somebody comes back from a provider whom nobody here has sent there.
    #[error(
        "this sign-in was not begun in this browser, took more than ten minutes, or was used already; begin it again, and \
         allow cookies"
    )]
    SignInLost,
    /// The provider has said no.
    #[error("the provider did not sign you in")]
    SignInDenied,
    /// The provider failed, or what it says is not to be believed. The cause is in the log.
    #[error(
        "the provider did not answer as it should; try again, and if that does not help, tell whoever runs this service"
    )]
    ProviderFailed,
    /// The provider has vouched for somebody whom nobody has let in.
    #[error(transparent)]
    NoEntrance(#[from] NoEntrance),
    /// Too many have tried it.
    #[error("there were too many attempts to sign in; wait")]
    TooManyAttempts {
        /// When the next is counted.
        retry_after: Duration,
    },
    /// Too many passwords are compared at this moment.
    #[error("too many people sign in at this moment; try again soon")]
    Busy,
    /// The right is missing, or it is elsewhere.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// There is none, for this caller at least.
    #[error(transparent)]
    NotFound(Forbidden),
    /// A wrong value.
    #[error("{message}")]
    Invalid {
        /// Where it stands.
        parameter: Option<String>,
        /// What is accepted.
        message: String,
    },
    /// No JSON.
    #[error("the body is not JSON: {message}")]
    NotJson {
        /// What is wrong with it.
        message: String,
    },
    /// The body broke off or took too long.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// More than any of these bodies needs.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// What is taken.
        limit: usize,
    },
    /// Something else is in the way.
    #[error("{what} is there already")]
    Conflict {
        /// What there can be only one of.
        what: &'static str,
    },
    /// There are as many as there may be.
    #[error("there are {most} {what} already, which is the most; end one first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// Nobody would be left who may do everything in an organisation.
    #[error("an organisation that has an owner keeps one; make somebody else an owner first")]
    LastOwner,
    /// A change without the state that it is meant for.
    #[error("a change needs the header `If-Match` with the `ETag` of what is changed, so that nobody's change is lost")]
    NoPrecondition,
    /// Somebody else was faster.
    #[error("this was changed since it was read; read it again and decide anew")]
    Precondition,
    /// One name for two changes.
    #[error("this Idempotency-Key was used within the last 24 hours for another body")]
    OtherBody,
    /// Nothing can be written.
    #[error("changes cannot be recorded at the moment; try again soon")]
    NotDurable,
    /// A failure of ours. The cause is in the log.
    #[error("the request failed inside the server")]
    Internal,
}

impl ApiError {
    /// Says that there is no such thing, in the words that also hide what lies elsewhere.
    pub(crate) const NOT_FOUND: Self = Self::NotFound(Forbidden::Elsewhere);

    /// A wrong value of `parameter`.
    pub(crate) fn invalid(parameter: &str, error: impl ToString) -> Self {
        Self::Invalid { parameter: Some(parameter.to_owned()), message: error.to_string() }
    }

    /// Status and code.
    pub(crate) fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoKey => (StatusCode::UNAUTHORIZED, "invalid_api_key"),
            Self::InvalidCredentials => (StatusCode::UNAUTHORIZED, "invalid_credentials"),
            Self::SignInLost => (StatusCode::BAD_REQUEST, "sign_in_lost"),
            Self::SignInDenied => (StatusCode::FORBIDDEN, "sign_in_denied"),
            Self::ProviderFailed => (StatusCode::BAD_GATEWAY, "provider_failed"),
            Self::NoEntrance(NoEntrance::NoAddress | NoEntrance::NotVerified) => {
                (StatusCode::FORBIDDEN, "email_not_verified")
            }
            Self::NoEntrance(NoEntrance::Taken | NoEntrance::OtherSubject) => (StatusCode::CONFLICT, "email_taken"),
            Self::NoEntrance(NoEntrance::OtherAddress | NoEntrance::NotInvited) => {
                (StatusCode::FORBIDDEN, "not_invited")
            }
            Self::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
            Self::LastOwner => (StatusCode::CONFLICT, "last_owner"),
            Self::Forbidden(Forbidden::Elsewhere) | Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Forbidden(Forbidden::Lacks { .. }) => (StatusCode::FORBIDDEN, "missing_scope"),
            Self::Forbidden(Forbidden::Grants { .. }) => (StatusCode::FORBIDDEN, "cannot_grant"),
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_value"),
            Self::NotJson { .. } => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::Conflict { .. } => (StatusCode::CONFLICT, "conflict"),
            Self::TooMany { .. } => (StatusCode::CONFLICT, "too_many"),
            Self::NoPrecondition => (StatusCode::PRECONDITION_REQUIRED, "precondition_required"),
            Self::Precondition => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::OtherBody => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Self::NotDurable => (StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    /// Seconds after which it may work.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { retry_after } => Some(retry_after.as_millis().div_ceil(1000) as u64),
            Self::Busy => Some(1),
            Self::NotDurable => Some(5),
            _ => None,
        }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotJson { message } => Self::NotJson { message },
            Fault::Wrong { parameter, message } => Self::Invalid { parameter, message },
        }
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Conflict { what } => Self::Conflict { what },
            store::Error::NotFound { .. } => Self::NOT_FOUND,
            store::Error::LastOwner => Self::LastOwner,
            store::Error::OtherBody => Self::OtherBody,
            store::Error::NotDurable | store::Error::Closed => Self::NotDurable,
            store::Error::Ledger(error) => Self::Invalid { parameter: None, message: error.to_string() },
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "an administrative request failed");
                Self::Internal
            }
        }
    }
}

impl From<account::NoRandomness> for ApiError {
    fn from(error: account::NoRandomness) -> Self {
        tracing::error!(%error, "nothing random could be made");
        Self::Internal
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        let param = match &self {
            Self::Invalid { parameter, .. } => parameter.clone(),
            _ => None,
        };
        let r#type = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let error = ErrorBody { message: self.to_string(), r#type, param, code };
        let mut response = (status, Json(ErrorResponse { error })).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use account::Action;

    use super::*;

    #[test]
    fn every_code_is_in_the_table_with_its_status() {
        let (all, admin) = include_str!("../../../docs/errors.md").split_once("\n## Administration").unwrap();
        let errors = [
            ApiError::NoKey,
            ApiError::InvalidCredentials,
            ApiError::SignInLost,
            ApiError::SignInDenied,
            ApiError::ProviderFailed,
            ApiError::NoEntrance(NoEntrance::NoAddress),
            ApiError::NoEntrance(NoEntrance::NotVerified),
            ApiError::NoEntrance(NoEntrance::OtherAddress),
            ApiError::NoEntrance(NoEntrance::Taken),
            ApiError::NoEntrance(NoEntrance::OtherSubject),
            ApiError::NoEntrance(NoEntrance::NotInvited),
            ApiError::TooManyAttempts { retry_after: Duration::from_secs(1) },
            ApiError::Busy,
            ApiError::LastOwner,
            ApiError::NOT_FOUND,
            ApiError::Forbidden(Forbidden::Elsewhere),
            ApiError::Forbidden(Forbidden::Lacks { action: Action::Infer }),
            ApiError::Forbidden(Forbidden::Grants { action: Action::Infer }),
            ApiError::invalid("name", "m"),
            ApiError::NotJson { message: "m".into() },
            ApiError::BodyTimeout,
            ApiError::BodyTooLarge { limit: 1 },
            ApiError::Conflict { what: "w" },
            ApiError::TooMany { what: "w", most: 1 },
            ApiError::NoPrecondition,
            ApiError::Precondition,
            ApiError::OtherBody,
            ApiError::NotDurable,
            ApiError::Internal,
        ];
        let mut own = Vec::new();
        for error in errors {
            let (status, code) = error.parts();
            let row = format!("| {} | `{code}` |", status.as_u16());
            assert!(all.contains(&row) || admin.contains(&row), "docs/errors.md has no row that begins with {row}");
            own.push(code);
        }
        let rows = admin.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.contains("| `"));
        for row in rows {
            let code = row.split('`').nth(1).unwrap();
            assert!(own.contains(&code), "docs/errors.md lists {code}, which nothing here answers with");
        }
    }

    #[test]
    fn what_lies_elsewhere_and_what_is_nowhere_are_told_alike() {
        assert_eq!(ApiError::NOT_FOUND.to_string(), ApiError::Forbidden(Forbidden::Elsewhere).to_string());
    }
}
