//! The handlers: extract, convert, call, render.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use wire::openai::{ChatRequest, ChatResponse, CompletionRequest, CompletionResponse, ErrorResponse, Model, ModelList};

use super::{
    convert,
    encode::{ChatAnswer, ChatStream, CompletionAnswer, CompletionStream, Head},
};
use crate::{
    Service,
    admission::admit,
    body::Json,
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
    generation::{Generation, collect},
    sse,
};

/// The next turn of a conversation, whole or as server-sent events.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", request_body = ChatRequest,
    responses((status = 200, body = ChatResponse), (status = "4XX", body = ErrorResponse), (status = "5XX", body = ErrorResponse))
)]
pub(crate) async fn chat_completions(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<ChatRequest>,
) -> Result<Response, ApiError> {
    let (ask, render) = convert::chat(body, &caller, service.config())?;
    let head = Head::new(service.new_id("chatcmpl-"), ask.model.clone());
    let generation = Generation::new(&service, admit(&service, &caller, exchange)?, ask);
    if render.stream {
        return sse::respond(generation, ChatStream::new(head, render), service.config()).await;
    }
    let mut answer = ChatAnswer::new(head, render);
    let usage = collect(generation, |event| answer.push(event)).await?;
    Ok(axum::Json(answer.finish(usage)).into_response())
}

/// The text that follows a prompt, whole or as server-sent events.
#[utoipa::path(
    post, path = "/v1/completions", tag = "openai", request_body = CompletionRequest,
    responses((status = 200, body = CompletionResponse), (status = "4XX", body = ErrorResponse), (status = "5XX", body = ErrorResponse))
)]
pub(crate) async fn completions(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<CompletionRequest>,
) -> Result<Response, ApiError> {
    let (ask, render) = convert::completion(body, &caller, service.config())?;
    let head = Head::new(service.new_id("cmpl-"), ask.model.clone());
    let generation = Generation::new(&service, admit(&service, &caller, exchange)?, ask);
    if render.stream {
        return sse::respond(generation, CompletionStream::new(head, render), service.config()).await;
    }
    let mut answer = CompletionAnswer::new(head, render);
    let usage = collect(generation, |event| answer.push(event)).await?;
    Ok(axum::Json(answer.finish(usage)).into_response())
}

/// Every model that requests may name.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses((status = 200, body = ModelList)))]
pub(crate) async fn list_models(State(service): State<Service>, _: Caller) -> axum::Json<ModelList> {
    let data = service.catalog().models().into_iter().map(model).collect();
    axum::Json(ModelList { object: "list", data })
}

/// One model.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "openai", params(("id" = String, Path, description = "The model's name")),
    responses((status = 200, body = Model), (status = 404, body = ErrorResponse))
)]
pub(crate) async fn retrieve_model(
    State(service): State<Service>,
    _: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<Model>, ApiError> {
    let Path(id) = path.map_err(|_| ApiError::invalid("model", "the model's name in the path is not valid UTF-8"))?;
    let entry = service.catalog().model(&id).ok_or(inference::Error::ModelNotFound { model: id })?;
    Ok(axum::Json(model(entry)))
}

fn model(entry: catalog::Entry) -> Model {
    Model { id: entry.name, object: "model", created: entry.created, owned_by: "modelworks" }
}
