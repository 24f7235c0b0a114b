//! Routes of another edge that answer at the same address.

use axum::Router;
use utoipa::openapi::OpenApi;

/// Routes of another edge that answer at the same address, behind the same check of keys, the same log and counts. They find
/// the caller's key (`Arc<account::Key>`) and its address (`std::net::SocketAddr`) among the extensions of a request, and
/// decide themselves what the key may do. All of their paths begin with [`Annex::PREFIX`].
#[derive(Clone)]
pub struct Annex {
    /// The routes, without a fallback.
    pub routes: Router,
    /// Their part of the OpenAPI document.
    pub document: OpenApi,
}

impl Annex {
    /// What the paths of such routes begin with.
    pub const PREFIX: &'static str = "/admin/v1/";
}
