//! The route list and the order of the layers.

use account::Action;
use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware::from_fn_with_state,
    routing::{MethodRouter, on},
};
use tower::util::option_layer;

use crate::{
    Annex, Service,
    caller::{self, Known},
    cors,
    error::ApiError,
    exchange,
    routes::{anthropic, meta, models, native, ollama, openai, quote, requests, rerank, tenant, usage},
};

/// One route of the public API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `GET`, `POST` or `DELETE`.
    pub method: Method,
    /// The path as the OpenAPI document writes it, such as `/v1/models/{id}`.
    pub path: String,
    /// Whether it answers without a key.
    pub public: bool,
}

/// Which routes answer at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// All.
    Whole,
    /// All but those of another edge.
    Public,
    /// Those of another edge, and those that tell how the service does.
    Administration,
}

/// What a route wants of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: whether the service lives is no secret, and a prober has no key.
    Public,
    /// A key, whatever it is for.
    AnyKey,
    /// A key with a scope for this.
    Needs(Action),
}

/// What the route of this pattern wants. One that is not listed wants what no key has by chance.
pub(crate) fn access(pattern: &str) -> Access {
    match pattern {
        // What these want is their own edge's affair, and which of them let people in; that else somebody asks whom we know is
        // ours.
        pattern if pattern.starts_with(Annex::PREFIX) => Access::AnyKey,
        // Says one fixed sentence.
        "/" => Access::Public,
        "/healthz" | "/readyz" => Access::Public,
        "/api/version" | "/v1/limits" | "/v1/requests/{id}" | "/metrics" | "/openapi.json" => Access::AnyKey,
        "/v1/chat/completions" | "/v1/completions" | "/v1/messages" | "/v1/messages/count_tokens" => {
            Access::Needs(Action::Infer)
        }
        "/v1/responses" | "/v1/responses/{id}" | "/v1/responses/{id}/cancel" | "/v1/responses/{id}/input_items" => {
            Access::Needs(Action::Infer)
        }
        "/v1/embeddings" | "/v1/rerank" => Access::Needs(Action::Infer),
        "/api/chat" | "/api/generate" | "/api/embed" | "/api/embeddings" => Access::Needs(Action::Infer),
        "/api/tags" | "/api/ps" | "/api/show" => Access::Needs(Action::ReadModels),
        "/api/pull" => Access::Needs(Action::ManageModels),
        "/tokenize" | "/detokenize" | "/v1/quote" => Access::Needs(Action::Infer),
        "/v1/models" | "/v1/models/{*id}" => Access::Needs(Action::ReadModels),
        "/v1/usage" => Access::Needs(Action::ReadUsage),
        _ => Access::Needs(Action::ManageOrganisations),
    }
}

struct Route {
    method: Method,
    /// axum's pattern.
    pattern: &'static str,
    handler: MethodRouter<Service>,
}

/// The route list.
fn routes() -> Vec<Route> {
    vec![
        post("/v1/chat/completions", openai::routes::chat_completions),
        post("/v1/completions", openai::routes::completions),
        post("/v1/responses", openai::responses::routes::create),
        get("/v1/responses/{id}", openai::responses::routes::retrieve),
        delete("/v1/responses/{id}", openai::responses::routes::delete),
        post("/v1/responses/{id}/cancel", openai::responses::routes::cancel),
        get("/v1/responses/{id}/input_items", openai::responses::routes::input_items),
        post("/v1/embeddings", openai::embeddings::embeddings),
        post("/v1/rerank", rerank::rerank),
        post("/v1/messages", anthropic::routes::messages),
        post("/v1/messages/count_tokens", anthropic::routes::count_tokens),
        post("/api/chat", ollama::routes::chat),
        post("/api/generate", ollama::routes::generate),
        post("/api/embed", ollama::routes::embed),
        post("/api/embeddings", ollama::routes::embeddings),
        get("/api/tags", ollama::models::tags),
        get("/api/ps", ollama::models::ps),
        post("/api/show", ollama::models::show),
        get("/api/version", ollama::models::version),
        post("/api/pull", ollama::pull::pull),
        get("/", ollama::models::root),
        get("/v1/models", models::list),
        // A model's name may hold slashes.
        get("/v1/models/{*id}", models::retrieve),
        get("/v1/limits", tenant::limits),
        get("/v1/usage", usage::usage),
        get("/v1/requests/{id}", requests::show),
        post("/v1/quote", quote::quote),
        post("/tokenize", native::tokenize),
        post("/detokenize", native::detokenize),
        get("/healthz", meta::healthz),
        get("/readyz", meta::readyz),
        get("/metrics", meta::metrics),
        get("/openapi.json", meta::openapi),
    ]
}

fn get<T: 'static>(pattern: &'static str, handler: impl Handler<T, Service>) -> Route {
    Route { method: Method::GET, pattern, handler: on(axum::routing::MethodFilter::GET, handler) }
}

fn post<T: 'static>(pattern: &'static str, handler: impl Handler<T, Service>) -> Route {
    Route { method: Method::POST, pattern, handler: on(axum::routing::MethodFilter::POST, handler) }
}

fn delete<T: 'static>(pattern: &'static str, handler: impl Handler<T, Service>) -> Route {
    Route { method: Method::DELETE, pattern, handler: on(axum::routing::MethodFilter::DELETE, handler) }
}

/// Every route that there is, in the order of the list.
pub fn endpoints() -> Vec<Endpoint> {
    let endpoint = |route: Route| Endpoint {
        method: route.method,
        path: route.pattern.replace("{*", "{"),
        public: access(route.pattern) == Access::Public,
    };
    routes().into_iter().map(endpoint).collect()
}

/// The whole public API, and the routes of another edge.
pub fn router(service: Service) -> Router {
    surface(service, Surface::Whole)
}

/// What answers at an address.
pub(crate) fn surface(service: Service, surface: Surface) -> Router {
    let router = routes()
        .into_iter()
        .filter(|route| surface != Surface::Administration || is_about_the_service(route.pattern))
        .fold(Router::new(), |router, route| router.route(route.pattern, route.handler));
    let router = match service.annex() {
        Some(annex) if surface != Surface::Public => router.merge(annex.routes.clone().with_state(())),
        _ => router,
    };
    layers(router.fallback(unknown_route).method_not_allowed_fallback(wrong_method), &service).with_state(service)
}

fn is_about_the_service(pattern: &str) -> bool {
    matches!(pattern, "/healthz" | "/readyz" | "/metrics" | "/openapi.json")
}

/// The order of the layers; the last one is the outermost.
fn layers(router: Router<Service>, service: &Service) -> Router<Service> {
    router
        // Nothing behind this is reached without a key, except what is listed as public.
        .layer(from_fn_with_state(service.clone(), caller::authenticate))
        // A browser asks without a key what it may ask, and wants to be told so of refusals, too.
        .layer(option_layer(cors::layer(&service.config().cors_origins)))
        // Sees every answer, refusals and panics included: the request's id, one log line, one count.
        .layer(from_fn_with_state(service.clone(), exchange::observe))
}

async fn unknown_route(_: Known) -> ApiError {
    ApiError::UnknownRoute
}

async fn wrong_method() -> ApiError {
    ApiError::WrongMethod
}
