//! The handlers that ask a model: extract, convert, call, render.

use std::time::Duration;

use axum::{
    Json as JsonAnswer,
    extract::State,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use inference::{EmbedInput, EmbedRequest, Event};
use tokio::time::Instant;
use wire::ollama::{
    OllamaChatRequest, OllamaChatResponse, OllamaEmbedRequest, OllamaEmbedResponse, OllamaEmbeddingsRequest,
    OllamaEmbeddingsResponse, OllamaError, OllamaGenerateRequest, OllamaGenerateResponse,
};

use super::{
    convert::{self, Render},
    encode::{Clock, Kind, Lines, loaded, nanoseconds, whole},
    untagged,
};
use crate::{
    Service,
    admission::{Admitted, admit, unless_revoked},
    body::Json,
    caller::Caller,
    embedding::{Vectors, embed as embed_all},
    error::ApiError,
    exchange::Exchange,
    generation::{Ask, Generation, Whole},
    notes::merged_system,
    sse,
};

/// The next turn of a conversation, in lines or whole. Without any turn the model is only loaded.
#[utoipa::path(
    post, path = "/api/chat", tag = "ollama", request_body = OllamaChatRequest,
    responses(
        (status = 200, description = "The answer", body = OllamaChatResponse),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
        (status = "5XX", description = "Failed here: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn chat(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<OllamaChatRequest>,
) -> Result<Response, ApiError> {
    let (ask, render) = convert::chat(body, &caller)?;
    answer(&service, &caller, exchange, Kind::Chat, ask, render).await
}

/// The answer to one prompt, in lines or whole. Without a prompt the model is only loaded.
#[utoipa::path(
    post, path = "/api/generate", tag = "ollama", request_body = OllamaGenerateRequest,
    responses(
        (status = 200, description = "The answer", body = OllamaGenerateResponse),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
        (status = "5XX", description = "Failed here: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn generate(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<OllamaGenerateRequest>,
) -> Result<Response, ApiError> {
    let (ask, render) = convert::generate(body, &caller)?;
    answer(&service, &caller, exchange, Kind::Generate, ask, render).await
}

async fn answer(
    service: &Service,
    caller: &Caller,
    exchange: Exchange,
    kind: Kind,
    ask: Ask,
    render: Render,
) -> Result<Response, ApiError> {
    let mut clock = Clock::new(exchange.started());
    let admitted = admit(service, caller, exchange, &ask.model)?;
    if ask.requests.is_empty() {
        clock.loaded_in(load(service, admitted, &ask.model).await?);
        return Ok(JsonAnswer(loaded(kind, &render.model, clock)).into_response());
    }
    let generation = Generation::new(service, admitted, ask);
    if render.stream {
        return sse::respond(generation, Lines::new(kind, render.model, clock), service.config()).await;
    }
    let (clock, answered) = collect(generation, clock).await?;
    let merged = merged_system(answered.merged_system);
    Ok((merged, JsonAnswer(whole(kind, &render.model, clock, answered))).into_response())
}

/// Loads the model, where it is not in memory; how long that took.
async fn load(service: &Service, mut admitted: Admitted, model: &str) -> Result<Duration, inference::Error> {
    let began = Instant::now();
    let result = unless_revoked(admitted.revocation(), service.catalog().backend(model)).await;
    let result = result.map(|_| began.elapsed());
    admitted.answer(&result);
    result
}

/// Collects an answer of one choice, and notes when it began.
async fn collect(mut generation: Generation, mut clock: Clock) -> Result<(Clock, Whole), inference::Error> {
    let mut whole = Whole::new(1);
    while let Some(event) = generation.next().await {
        clock.see(&event);
        match event {
            Event::Failed { error, .. } => return Err(error),
            event => whole.push(event),
        }
    }
    whole.merged_system = generation.merged_system();
    clock.loaded_in(generation.beginning().loading);
    Ok((clock, whole))
}

/// The vectors of texts. Without any text the model is only loaded.
#[utoipa::path(
    post, path = "/api/embed", tag = "ollama", request_body = OllamaEmbedRequest,
    responses(
        (status = 200, description = "The answer", body = OllamaEmbedResponse),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
        (status = "5XX", description = "Failed here: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn embed(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<OllamaEmbedRequest>,
) -> Result<JsonAnswer<OllamaEmbedResponse>, ApiError> {
    let model = body.model.clone();
    let started = exchange.started();
    let request = convert::embed(body)?;
    let Vectors { vectors, prompt_tokens, loading } = vectors(&service, &caller, exchange, &model, request).await?;
    Ok(JsonAnswer(OllamaEmbedResponse {
        model,
        embeddings: vectors,
        total_duration: nanoseconds(started.elapsed()),
        load_duration: nanoseconds(loading),
        prompt_eval_count: prompt_tokens,
    }))
}

/// The vector of one text: the older form of `/api/embed`.
#[utoipa::path(
    post, path = "/api/embeddings", tag = "ollama", request_body = OllamaEmbeddingsRequest,
    responses(
        (status = 200, description = "The answer", body = OllamaEmbeddingsResponse),
        (status = "4XX", description = "Refused: `code` says why", body = OllamaError),
        (status = "5XX", description = "Failed here: `code` says why", body = OllamaError),
    )
)]
pub(crate) async fn embeddings(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<OllamaEmbeddingsRequest>,
) -> Result<JsonAnswer<OllamaEmbeddingsResponse>, ApiError> {
    let text = body.prompt.filter(|text| !text.is_empty());
    let inputs = text.map(EmbedInput::Text).into_iter().collect();
    let request = EmbedRequest { inputs, parameter: "prompt", dimensions: None, truncate: true };
    let mut answered = vectors(&service, &caller, exchange, &body.model, request).await?;
    Ok(JsonAnswer(OllamaEmbeddingsResponse { embedding: answered.vectors.pop().unwrap_or_default() }))
}

async fn vectors(
    service: &Service,
    caller: &Caller,
    exchange: Exchange,
    model: &str,
    request: EmbedRequest,
) -> Result<Vectors, ApiError> {
    let model = untagged(model);
    let admitted = admit(service, caller, exchange, model)?;
    if request.inputs.is_empty() {
        let loading = load(service, admitted, model).await?;
        return Ok(Vectors { vectors: Vec::new(), prompt_tokens: 0, loading });
    }
    Ok(embed_all(service, admitted, model, request).await?)
}
