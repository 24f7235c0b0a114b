//! One HTTP request and its answer: an id, one log line, one count.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::FutureExt;
use http_body::{Frame, SizeHint};
use inference::Usage;
use tokio::time::Instant;

use crate::{Service, error::ApiError, family::Family, metrics::Outcome};

/// Carries the request's id to the client. It is always ours: an id from outside could forge lines in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The label of requests that match no route, whatever they ask for.
const UNMATCHED: &str = "unmatched";

/// What nginx logs when the client has gone before there was an answer. It never goes out.
const CLIENT_GONE: u16 = 499;

/// One HTTP request, as its handler sees it.
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Record>);

struct Record {
    id: String,
    route: String,
    started: Instant,
    generation: OnceLock<(Outcome, Usage)>,
}

impl Exchange {
    /// When the request came.
    pub(crate) fn started(&self) -> Instant {
        self.0.started
    }

    /// The request's id, as the client sees it.
    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    /// The pattern of the route that matched.
    pub(crate) fn route(&self) -> &str {
        &self.0.route
    }

    /// How the request for a model ended. Only the first call counts.
    pub(crate) fn settle(&self, outcome: Outcome, usage: Usage) {
        let _ = self.0.generation.set((outcome, usage));
    }
}

impl FromRequestParts<Service> for Exchange {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Infallible> {
        let exchange = parts.extensions.get::<Self>().cloned();
        Ok(exchange.unwrap_or_else(|| Self::begin(service, UNMATCHED)))
    }
}

impl Exchange {
    fn begin(service: &Service, route: &str) -> Self {
        Self(Arc::new(Record {
            id: service.new_id("req_"),
            route: route.to_owned(),
            started: Instant::now(),
            generation: OnceLock::new(),
        }))
    }
}

/// The outermost layer: gives the request its id, turns a panic into a 500, writes failures as the family does, and logs and counts once the last byte of
/// the answer is handed over, or the client has gone.
pub(crate) async fn observe(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str);
    let exchange = Exchange::begin(&service, route);
    let family = Family::of(request.uri().path(), request.headers());
    request.extensions_mut().insert(exchange.clone());
    let mut closing = Closing { service, exchange, status: CLIENT_GONE };
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        // The panic hook has written the cause already.
        tracing::error!(request_id = closing.exchange.id(), "a handler panicked");
        ApiError::from(inference::Error::Internal).into_response()
    });
    family.complete(&mut response, closing.exchange.id());
    closing.status = response.status().as_u16();
    if let Ok(id) = HeaderValue::from_str(closing.exchange.id()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.map(|body| Body::new(ObservedBody { body, _closing: closing }))
}

/// Logs and counts when it is dropped, which happens once for each request whatever becomes of it.
struct Closing {
    service: Service,
    exchange: Exchange,
    status: u16,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let record = &self.exchange.0;
        self.service.metrics().request(&record.route, self.status);
        let duration_ms = record.started.elapsed().as_millis() as u64;
        match record.generation.get() {
            Some((outcome, usage)) => tracing::info!(
                request_id = record.id,
                route = record.route,
                status = self.status,
                duration_ms,
                prompt_tokens = usage.prompt_tokens,
                cached_tokens = usage.cached_tokens,
                completion_tokens = usage.completion_tokens,
                outcome = outcome.as_str(),
                "request"
            ),
            None => tracing::info!(
                request_id = record.id,
                route = record.route,
                status = self.status,
                duration_ms,
                "request"
            ),
        }
    }
}

/// A body that ends the exchange when it is dropped. The order of the fields matters: what the body holds settles first.
struct ObservedBody {
    body: Body,
    _closing: Closing,
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
