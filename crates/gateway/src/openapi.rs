//! The OpenAPI document, made from the handlers and the wire types.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        SecurityRequirement,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use wire::admin::session_cookie;

use crate::routes::{
    anthropic::routes as anthropic,
    meta, models, native, ollama,
    openai::{embeddings, responses::routes as responses, routes as openai},
    quote, requests, rerank, tenant, usage,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Modelworks", description = "Large language models over the APIs of OpenAI, Anthropic and Ollama, from one binary."),
    paths(
        openai::chat_completions,
        openai::completions,
        responses::create,
        responses::retrieve,
        responses::delete,
        responses::cancel,
        responses::input_items,
        embeddings::embeddings,
        rerank::rerank,
        ollama::routes::chat,
        ollama::routes::generate,
        ollama::routes::embed,
        ollama::routes::embeddings,
        ollama::models::tags,
        ollama::models::ps,
        ollama::models::show,
        ollama::models::version,
        ollama::pull::pull,
        ollama::models::root,
        anthropic::messages,
        anthropic::count_tokens,
        models::list,
        models::retrieve,
        tenant::limits,
        usage::usage,
        requests::show,
        quote::quote,
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
        wire::openai::ResponseEvent,
        wire::anthropic::StreamEvent,
        wire::tenant::Format,
    )),
    modifiers(&Key),
    tags(
        (name = "openai", description = "OpenAI's API"),
        (name = "anthropic", description = "Anthropic's API"),
        (name = "ollama", description = "Ollama's API"),
        (name = "rerank", description = "Ranking of documents, as Jina and Cohere have it"),
        (name = "models", description = "The models, in the shape of either"),
        (name = "tenant", description = "Limits and usage of a key"),
        (name = "tokens", description = "Tokens of a text, and back"),
        (name = "service", description = "The service itself"),
    )
)]
struct Document;

/// Every route needs a key, in one header or the other, or a session, unless it says otherwise.
struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(session_cookie(false))));
        let schemes = [("key", bearer), ("x-api-key", header), ("session", cookie)];
        document.security =
            Some(schemes.iter().map(|(name, _)| SecurityRequirement::new(*name, Vec::<String>::new())).collect());
        let components = document.components.get_or_insert_default();
        schemes.into_iter().for_each(|(name, scheme)| components.add_security_scheme(name, scheme));
    }
}

/// Gives every operation a name of its own, by method and path: who generates a client makes functions of these names.
fn name_operations(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let steps: Vec<_> = path.split(|c: char| !c.is_alphanumeric()).filter(|step| !step.is_empty()).collect();
        let place = if steps.is_empty() { "root".to_owned() } else { steps.join("_") };
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{place}"));
            }
        }
    }
}

/// The document, with another edge's part, as JSON text.
pub(crate) fn with(annex: Option<utoipa::openapi::OpenApi>) -> String {
    let mut document = Document::openapi();
    if let Some(annex) = annex {
        document.merge(annex);
    }
    name_operations(&mut document);
    // The document is made of types that serialise.
    serde_json::to_string(&document).unwrap_or_default()
}

/// The OpenAPI document of the public API, as JSON text.
pub fn document() -> String {
    with(None)
}
