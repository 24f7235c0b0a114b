//! What models there are, in Ollama's shapes.

use std::path::Path;

use axum::{
    Json as JsonAnswer,
    extract::State,
    http::{HeaderValue, header},
    response::IntoResponse,
};
use catalog::Entry;
use inference::{Capabilities, Task};
use serde_json::{Map, Value};
use wire::ollama::{
    OllamaDetails, OllamaError, OllamaModel, OllamaModelList, OllamaShowRequest, OllamaShowResponse, OllamaVersion,
};

use super::untagged;
use crate::{Service, body::Json, caller::Caller, error::ApiError, timestamp::rfc3339};

/// The version of Ollama whose API this follows. Clients compare it with the one in which something came to be.
const VERSION: &str = "0.12.6";

/// What Ollama's clients look for at the address that they are given, with no key.
#[utoipa::path(
    get, path = "/", tag = "ollama", security(()),
    responses((status = 200, description = "The answer", content_type = "text/plain", body = String))
)]
pub(crate) async fn root() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], "Ollama is running")
}

/// The version of Ollama whose API this follows.
#[utoipa::path(
    get, path = "/api/version", tag = "ollama",
    responses(
        (status = 200, description = "The answer", body = OllamaVersion),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn version(_: Caller) -> JsonAnswer<OllamaVersion> {
    JsonAnswer(OllamaVersion { version: VERSION })
}

/// Every model that requests may name.
#[utoipa::path(
    get, path = "/api/tags", tag = "ollama",
    responses(
        (status = 200, description = "The answer", body = OllamaModelList),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn tags(State(service): State<Service>, _: Caller) -> JsonAnswer<OllamaModelList> {
    let models = service.catalog().models().into_iter().map(model).collect();
    JsonAnswer(OllamaModelList { models })
}

/// The models in memory.
#[utoipa::path(
    get, path = "/api/ps", tag = "ollama",
    responses(
        (status = 200, description = "The answer", body = OllamaModelList),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn ps(State(service): State<Service>, _: Caller) -> JsonAnswer<OllamaModelList> {
    let loaded = service.catalog().loaded().into_iter().filter_map(|(name, backend)| {
        let entry = service.catalog().model(&name)?;
        let context_length = Some(backend.capabilities().context_length);
        Some(OllamaModel { size_vram: Some(0), context_length, ..model(entry) })
    });
    JsonAnswer(OllamaModelList { models: loaded.collect() })
}

/// What is known of a model. What it can do is known once it is in memory.
#[utoipa::path(
    post, path = "/api/show", tag = "ollama", request_body = OllamaShowRequest,
    responses(
        (status = 200, description = "The answer", body = OllamaShowResponse),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn show(
    State(service): State<Service>,
    _: Caller,
    Json(body): Json<OllamaShowRequest>,
) -> Result<JsonAnswer<OllamaShowResponse>, ApiError> {
    let name = untagged(&body.model);
    let entry = service.catalog().model(name);
    let entry = entry.ok_or_else(|| inference::Error::ModelNotFound { model: name.to_owned() })?;
    let backend = service.catalog().loaded().into_iter().find(|(loaded, _)| loaded == name);
    let capabilities = backend.as_ref().map(|(_, backend)| backend.capabilities());
    // Clients look for the length of the context under the name of the architecture.
    let mut model_info = Map::from_iter([("general.architecture".to_owned(), Value::from("model"))]);
    if let Some(capabilities) = capabilities {
        model_info.insert("model.context_length".to_owned(), capabilities.context_length.into());
        if let Task::Embed(dimensions) = &capabilities.task {
            model_info.insert("model.embedding_length".to_owned(), dimensions.full.into());
        }
    }
    let model = model(entry);
    Ok(JsonAnswer(OllamaShowResponse {
        details: model.details,
        modified_at: model.modified_at,
        model_info,
        capabilities: capabilities.map(abilities),
    }))
}

fn abilities(capabilities: &Capabilities) -> Vec<&'static str> {
    let mut abilities = match capabilities.task {
        // Tools and thinking reach every model that has a chat template, in whatever way it knows.
        Task::Generate if capabilities.chat => vec!["completion", "tools", "thinking"],
        Task::Generate => vec!["completion"],
        Task::Embed(_) => vec!["embedding"],
        Task::Rank => Vec::new(),
    };
    if capabilities.infill {
        abilities.push("insert");
    }
    abilities
}

fn model(entry: Entry) -> OllamaModel {
    let is_gguf = |path: &Path| path.extension().is_some_and(|extension| extension == "gguf");
    let format = match entry.path.as_deref() {
        Some(path) if is_gguf(path) => "gguf",
        Some(_) => "safetensors",
        None => "",
    };
    let digest = entry.digest.unwrap_or_default();
    OllamaModel {
        model: entry.name.clone(),
        name: entry.name,
        modified_at: rfc3339(entry.created),
        size: entry.bytes,
        digest: digest.strip_prefix("sha256:").unwrap_or(&digest).to_owned(),
        details: OllamaDetails {
            parent_model: "",
            format,
            family: "",
            families: [],
            parameter_size: "",
            quantization_level: "",
        },
        size_vram: None,
        context_length: None,
    }
}
