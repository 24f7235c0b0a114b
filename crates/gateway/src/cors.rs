//! Pages of other origins: refused by browsers, unless the origin is listed.

use std::time::Duration;

use axum::http::{HeaderValue, Method, request::Parts};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::Annex;

/// A browser asks again after this.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Tells browsers that pages of `origins` may call the public API with a key of their own and read what it says; cookies are
/// never part of it. Nothing, when no origin is listed.
pub(crate) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.to_vec();
    let allowed = move |origin: &HeaderValue, request: &Parts| {
        origins.contains(origin) && !request.uri.path().starts_with(Annex::PREFIX)
    };
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(Any)
        .max_age(MAX_AGE);
    Some(layer)
}
