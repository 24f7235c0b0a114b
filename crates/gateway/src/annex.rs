//! Routes of another edge that answer at the same address.

use axum::{Router, http::Method};
use utoipa::openapi::OpenApi;

/// Routes of another edge that answer at the same address, behind the same check of keys and sessions, the same log and counts.
/// They find who the caller is ([`account::Identity`]) and the address (`std::net::SocketAddr`) among the extensions of a
/// request, and decide themselves what the caller may do. All of their paths begin with [`Annex::PREFIX`].
#[derive(Clone)]
pub struct Annex {
    /// The routes, without a fallback.
    pub routes: Router,
    /// Those of them by which people come in, with their patterns: nobody has to be known for these.
    pub entrances: Vec<(Method, &'static str)>,
    /// Their part of the OpenAPI document.
    pub document: OpenApi,
}

impl Annex {
    /// What the paths of such routes begin with.
    pub const PREFIX: &'static str = "/admin/v1/";

    /// Whether people come in by this route.
    pub(crate) fn is_entrance(&self, method: &Method, pattern: &str) -> bool {
        self.entrances.iter().any(|(of, entrance)| of == method && *entrance == pattern)
    }
}
