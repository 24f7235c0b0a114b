//! Who asks: an API key, and with it its project and organisation.

use std::sync::Arc;

use account::{Action, ApiKey, Forbidden, Key, KeyRefusal, Reach, Tenant};
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    Service,
    error::ApiError,
    rate_limit,
    router::{Access, access},
};

/// Where Anthropic's clients put the key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Somebody whose key was checked. A handler that needs one says so in its parameters and cannot forget the check.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Key>);

impl Caller {
    /// What may share cached prefixes with this caller's requests: those of its project. Ids of projects are random.
    pub(crate) fn cache_salt(&self) -> u64 {
        let (salt, _) = self.0.project.as_bytes().split_at(8);
        salt.iter().fold(0, |salt, byte| salt << 8 | u64::from(*byte))
    }

    /// The three that its requests count for.
    pub(crate) fn tenant(&self) -> Tenant {
        Tenant { org: self.0.org, project: self.0.project, key: self.0.id }
    }

    /// Whether it may do `action` to something at `place`.
    pub(crate) fn may(&self, action: Action, place: Reach) -> Result<(), Forbidden> {
        self.0.authority().may(action, place)
    }

    /// Whether it may name this model.
    pub(crate) fn may_use(&self, model: &str) -> bool {
        self.0.models.allows(model)
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
/// nobody without a key learns what there is. What the key must be for is the matched route's affair.
pub(crate) async fn authenticate(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let access = request.extensions().get::<MatchedPath>().map_or(Access::AnyKey, |path| access(path.as_str()));
    if access == Access::Public {
        return next.run(request).await;
    }
    let tenant = match identify(request.headers(), &service).and_then(|caller| authorize(caller, access)) {
        Ok(caller) => {
            let tenant = caller.tenant();
            // For routes of another edge.
            request.extensions_mut().insert(Arc::clone(&caller.0));
            request.extensions_mut().insert(caller);
            tenant
        }
        Err(error) => return error.into_response(),
    };
    let mut response = next.run(request).await;
    if access == Access::Needs(Action::Infer) {
        rate_limit::write(response.headers_mut(), service.tenancy(), &tenant);
    }
    response
}

fn authorize(caller: Caller, access: Access) -> Result<Caller, ApiError> {
    if let Access::Needs(action) = access {
        caller.may(action, Reach::Project(caller.0.org, caller.0.project))?;
    }
    Ok(caller)
}

fn identify(headers: &HeaderMap, service: &Service) -> Result<Caller, ApiError> {
    let key = match (bearer(headers)?, x_api_key(headers)?) {
        (Some(one), Some(other)) if one.expose() != other.expose() => return Err(ApiError::TwoKeys),
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) => return Err(ApiError::NoKey),
    };
    service.tenancy().identify(&key).map(Caller).map_err(|refusal| match refusal {
        KeyRefusal::Unknown => ApiError::WrongKey,
        ended => ApiError::KeyEnded(ended),
    })
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
