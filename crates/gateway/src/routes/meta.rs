//! Routes about the service itself.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use inference::Load;
use wire::{native::Health, openai::ErrorResponse};

use crate::{Service, caller::Known};

/// Whether the process lives. It never depends on load, models or shutdown: who asks this may kill the process.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "service",
    responses((status = 200, description = "The answer", body = Health)),
    security(())
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests should be sent here: not before the first models are loaded, and no longer once a shutdown has begun.
#[utoipa::path(
    get, path = "/readyz", tag = "service", security(()),
    responses(
        (status = 200, description = "The answer", body = Health),
        (status = 503, description = "Not ready", body = Health),
    )
)]
pub(crate) async fn readyz(State(service): State<Service>) -> (StatusCode, Json<Health>) {
    if service.is_shutting_down() {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "shutting down" }))
    } else if service.is_loading() {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "loading" }))
    } else {
        (StatusCode::OK, Json(Health { status: "ok" }))
    }
}

/// Counts and latencies in Prometheus's text format.
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses(
        (status = 200, description = "The answer", content_type = "text/plain", body = String),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn metrics(State(service): State<Service>, _: Known) -> impl IntoResponse {
    let loads = service.catalog().loaded().into_iter().map(|(_, backend)| backend.load());
    let text = service.metrics().render(loads.fold(Load::default(), sum));
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"))], text)
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    responses(
        (status = 200, description = "The answer", body = Object),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn openapi(State(service): State<Service>, _: Known) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], service.document().to_owned())
}

fn sum(one: Load, other: Load) -> Load {
    Load {
        sequences_running: one.sequences_running + other.sequences_running,
        sequences_waiting: one.sequences_waiting + other.sequences_waiting,
        kv_blocks_used: one.kv_blocks_used + other.kv_blocks_used,
        kv_blocks_cached: one.kv_blocks_cached + other.kv_blocks_cached,
        kv_blocks_total: one.kv_blocks_total + other.kv_blocks_total,
        steps: one.steps + other.steps,
        step_rows: one.step_rows + other.step_rows,
        tokens_drafted: one.tokens_drafted + other.tokens_drafted,
        tokens_accepted: one.tokens_accepted + other.tokens_accepted,
    }
}
