//! `ETag` and `If-Match` (RFC 9110, section 13): nobody changes what they have not seen.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Control, error::ApiError};

/// The state that a change is meant for.
pub(crate) struct IfMatch(String);

impl IfMatch {
    /// Refuses a change of something that is not as the caller saw it.
    pub(crate) fn check<T: Serialize>(&self, current: &T) -> Result<(), ApiError> {
        let tag = tag(current);
        let named = |listed: &str| listed.trim() == "*" || listed.trim() == tag;
        if self.0.split(',').any(named) { Ok(()) } else { Err(ApiError::Precondition) }
    }
}

impl FromRequestParts<Control> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, ApiError> {
        let value = parts.headers.get(header::IF_MATCH).ok_or(ApiError::NoPrecondition)?;
        Ok(Self(value.to_str().map_err(|_| ApiError::Precondition)?.to_owned()))
    }
}

/// An answer with the tag of `state`, which is the body or the part of it that changes count for.
pub(crate) fn tagged<T: Serialize, S: Serialize>(body: T, state: &S) -> Response {
    let mut response = Json(body).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag(state)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A strong tag: equal states have equal ones, others differ.
fn tag<T: Serialize>(state: &T) -> String {
    // Our own types serialise.
    let digest = Sha256::digest(serde_json::to_vec(state).unwrap_or_default());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
