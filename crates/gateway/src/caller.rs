//! Who asks. Tenancy will live here: organisation, project, scopes.

use account::ApiKey;
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{Service, error::ApiError, router::is_public};

/// Where Anthropic's clients put the key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Somebody whose key was checked. A handler that needs one says so in its parameters and cannot forget the check.
#[derive(Debug, Clone)]
pub(crate) struct Caller(());

impl Caller {
    /// What may share cached prefixes with this caller's requests. There is one tenant today.
    pub(crate) fn cache_salt(&self) -> u64 {
        0
    }
}

impl FromRequestParts<Service> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, ApiError> {
        match parts.extensions.get::<Self>() {
            Some(caller) => Ok(caller.clone()),
            None => identify(&parts.headers, service),
        }
    }
}

/// Denies by default: whatever is not listed as public needs a key, addresses that do not exist included, so that
/// nobody without a key learns what there is.
pub(crate) async fn authenticate(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    if !request.extensions().get::<MatchedPath>().is_some_and(|path| is_public(path.as_str())) {
        match identify(request.headers(), &service) {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(error) => return error.into_response(),
        };
    }
    next.run(request).await
}

fn identify(headers: &HeaderMap, service: &Service) -> Result<Caller, ApiError> {
    let key = match (bearer(headers)?, x_api_key(headers)?) {
        (Some(one), Some(other)) if one.expose() != other.expose() => return Err(ApiError::TwoKeys),
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) => return Err(ApiError::NoKey),
    };
    if service.accepts(&key) { Ok(Caller(())) } else { Err(ApiError::WrongKey) }
}

fn bearer(headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| ApiError::WrongKey)?;
    // The scheme's name is case-insensitive (RFC 9110, section 11.1).
    let (scheme, token) = value.trim().split_once(' ').ok_or(ApiError::NoKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::NoKey);
    }
    parse(token).map(Some)
}

fn x_api_key(headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let Some(value) = headers.get(X_API_KEY) else { return Ok(None) };
    parse(value.to_str().map_err(|_| ApiError::WrongKey)?).map(Some)
}

fn parse(key: &str) -> Result<ApiKey, ApiError> {
    ApiKey::parse(key.trim()).map_err(|_| ApiError::WrongKey)
}
