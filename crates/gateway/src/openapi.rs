//! The OpenAPI document, made from the handlers and the wire types.

use std::sync::LazyLock;

use utoipa::{
    Modify, OpenApi,
    openapi::{
        SecurityRequirement,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::routes::{meta, native, openai::routes as openai};

#[derive(OpenApi)]
#[openapi(
    info(title = "Modelworks", description = "Large language models over OpenAI's API, from one binary."),
    paths(
        openai::chat_completions,
        openai::completions,
        openai::list_models,
        openai::retrieve_model,
        native::tokenize,
        native::detokenize,
        meta::healthz,
        meta::readyz,
        meta::metrics,
        meta::openapi,
    ),
    components(schemas(
        wire::openai::ChatChunk,
        wire::openai::ErrorResponse,
    )),
    modifiers(&BearerKey),
    tags(
        (name = "openai", description = "OpenAI's API"),
        (name = "tokens", description = "Tokens of a text, and back"),
        (name = "service", description = "The service itself"),
    )
)]
struct Document;

/// Every route needs a key unless it says otherwise.
struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("key", scheme);
        document.security = Some(vec![SecurityRequirement::new("key", Vec::<String>::new())]);
    }
}

static JSON: LazyLock<String> = LazyLock::new(|| serde_json::to_string(&Document::openapi()).unwrap_or_default());

/// The document as JSON text, the same in every answer.
pub(crate) fn json() -> &'static str {
    JSON.as_str()
}

/// The OpenAPI document of the public API, as JSON text.
pub fn document() -> String {
    json().to_owned()
}
