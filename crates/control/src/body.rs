//! Reads a request's body: bounded in size and time, JSON whatever the content type says.

use std::time::Duration;

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::HeaderName,
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use store::Once;
use wire::json;

use crate::{Caller, Control, error::ApiError};

/// Largest body: a long list of models fits many times.
const MOST_BYTES: usize = 64 << 10;

/// Time for a body to arrive.
const WITHIN: Duration = Duration::from_secs(30);

/// The caller's name for a change that shall be made once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest such name.
const MOST_KEY_BYTES: usize = 255;

/// A body that is JSON of the shape `T`. A body without a byte is an empty object.
pub(crate) struct Body<T>(pub(crate) T);

/// The same, with the caller's wish that it have its effect once.
pub(crate) struct Posted<T> {
    /// The body.
    pub(crate) body: T,
    /// Who sends what, if it shall be done once.
    pub(crate) wish: Option<Wish>,
}

/// A body in which nothing can be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Who sends what to where, to be done once.
pub(crate) struct Wish {
    caller: Box<str>,
    route: Box<str>,
    key: Box<str>,
    body_hash: [u8; 32],
}

impl Wish {
    /// With the answer that shall be given again: without secrets.
    pub(crate) fn once(self, status: u16, answer: &str) -> Once {
        let Self { caller, route, key, body_hash } = self;
        Once { caller, route, key, body_hash, status, answer: answer.into() }
    }
}

impl<T: DeserializeOwned> FromRequest<Control> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Control) -> Result<Self, ApiError> {
        parse(&read(request).await?).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Control> for Posted<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, control: &Control) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, control).await?;
        let route = format!("{} {}", parts.method, parts.uri.path());
        let key = match parts.headers.get(IDEMPOTENCY_KEY) {
            None => None,
            Some(key) => {
                let key = key.to_str().ok().filter(|key| (1..=MOST_KEY_BYTES).contains(&key.len()));
                let wrong = || ApiError::invalid("Idempotency-Key", "an Idempotency-Key has 1 to 255 ASCII characters");
                Some(key.ok_or_else(wrong)?.to_owned())
            }
        };
        let bytes = read(Request::from_parts(parts, body)).await?;
        let wish = key.map(|key| Wish {
            caller: caller.name().into(),
            route: route.into(),
            key: key.into(),
            body_hash: Sha256::digest(&bytes).into(),
        });
        Ok(Self { body: parse(&bytes)?, wish })
    }
}

async fn read(request: Request) -> Result<Vec<u8>, ApiError> {
    let announced = request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: usize| bytes > MOST_BYTES) {
        return Err(ApiError::BodyTooLarge { limit: MOST_BYTES });
    }
    let read = tokio::time::timeout(WITHIN, to_bytes(request.into_body(), MOST_BYTES)).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        // Without an announcement a body that is too large cannot be told from one that broke off.
        Ok(Err(_)) => Err(ApiError::BodyTooLarge { limit: MOST_BYTES }),
        Err(_) => Err(ApiError::BodyTimeout),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    Ok(json::parse(if bytes.is_empty() { b"{}" } else { bytes })?)
}
