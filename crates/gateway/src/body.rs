//! Reads a request's body: bounded in size and time, JSON whatever the content type says.

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use wire::json;

use crate::{Config, Service, error::ApiError};

/// What is read and thrown away of a body that is too large, in multiples of the limit. A client that is still sending
/// would see its connection reset instead of the 413.
const DISCARD_FACTOR: usize = 4;

/// A body that is JSON of the shape `T`. The content type is not looked at: `curl -d` sends a form's.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Service> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Service) -> Result<Self, ApiError> {
        let bytes = read(request, service.config()).await?;
        parse(&bytes).map(Self)
    }
}

async fn read(request: Request, config: &Config) -> Result<Vec<u8>, ApiError> {
    let limit = config.max_body_bytes;
    let announced = announced_bytes(request.headers());
    // A client that waits for leave to send can be told at once.
    if announced.is_some_and(|bytes| bytes > limit) && request.headers().contains_key(header::EXPECT) {
        return Err(ApiError::BodyTooLarge { limit });
    }
    let expected = announced.unwrap_or(0).min(limit);
    let reading = collect(request.into_body(), expected, limit);
    timeout(config.body_timeout, reading).await.map_err(|_| ApiError::BodyTimeout { within: config.body_timeout })?
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(body: Body, expected: usize, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut chunks = body.into_data_stream();
    // What is announced is not allocated before it comes: many idle announcements must not fill the memory.
    let mut bytes = Vec::with_capacity(expected.min(64 << 10));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::BodyBroken)?;
        if bytes.len() + chunk.len() > limit {
            discard(chunks, limit.saturating_mul(DISCARD_FACTOR)).await;
            return Err(ApiError::BodyTooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn discard(mut chunks: BodyDataStream, most: usize) {
    let mut left = most;
    while let Some(Ok(chunk)) = chunks.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

/// Parses, and names the parameter where that fails.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    Ok(json::parse(bytes)?)
}
