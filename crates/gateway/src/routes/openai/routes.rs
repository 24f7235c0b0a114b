//! The handlers: extract, convert, call, render.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use catalog::Entry;
use wire::openai::{ChatRequest, ChatResponse, CompletionRequest, CompletionResponse, ErrorResponse, Model};

use super::{
    convert,
    encode::{ChatStream, CompletionStream, Head, chat_response, completion_response},
};
use crate::{
    Config, Service,
    admission::admit,
    body::Json,
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
    generation::{Ask, Generation, collect},
    labels,
    notes::merged_system,
    sse,
};

/// The next turn of a conversation, whole or as server-sent events.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer", body = ChatResponse),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn chat_completions(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(mut body): Json<ChatRequest>,
) -> Result<Response, ApiError> {
    let labels = labels::openai(body.safety_identifier.take(), body.user.take(), body.metadata.take())?;
    let (ask, render) = convert::chat(body, &caller, service.config())?;
    let head = Head::new(service.new_id("chatcmpl-"), ask.model.clone());
    let admitted = admit(&service, &caller, exchange, &ask.model)?.labelled(labels);
    let generation = Generation::new(&service, admitted, ask);
    if render.stream {
        return sse::respond(generation, ChatStream::new(head, render), service.config()).await;
    }
    let whole = collect(generation, render.choices).await?;
    Ok((merged_system(whole.merged_system), axum::Json(chat_response(head, render, whole))).into_response())
}

/// The text that follows a prompt, whole or as server-sent events.
#[utoipa::path(
    post, path = "/v1/completions", tag = "openai", request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answer", body = CompletionResponse),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn completions(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(mut body): Json<CompletionRequest>,
) -> Result<Response, ApiError> {
    let labels = labels::openai(None, body.user.take(), body.metadata.take())?;
    let (ask, render) = convert::completion(body, &caller, service.config())?;
    let head = Head::new(service.new_id("cmpl-"), ask.model.clone());
    let admitted = admit(&service, &caller, exchange, &ask.model)?.labelled(labels);
    let generation = Generation::new(&service, admitted, ask);
    if render.stream {
        return sse::respond(generation, CompletionStream::new(head, render), service.config()).await;
    }
    let whole = collect(generation, render.choices).await?;
    Ok(axum::Json(completion_response(head, render, whole)).into_response())
}

/// A model, as OpenAI's clients read it.
pub(crate) fn model(entry: Entry) -> Model {
    Model { id: entry.name, object: "model", created: entry.created, owned_by: "modelworks" }
}

/// What a conversation asks for, for a quote.
pub(crate) fn chat_ask(body: ChatRequest, caller: &Caller, config: &Config) -> Result<Ask, ApiError> {
    convert::chat(body, caller, config).map(|(ask, _)| ask)
}

/// What a completion asks for, for a quote.
pub(crate) fn completion_ask(body: CompletionRequest, caller: &Caller, config: &Config) -> Result<Ask, ApiError> {
    convert::completion(body, caller, config).map(|(ask, _)| ask)
}
