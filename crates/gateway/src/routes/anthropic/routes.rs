//! The handlers: extract, convert, call, render.

use axum::{
    Json as JsonAnswer,
    extract::State,
    response::{IntoResponse, Response},
};
use wire::anthropic::{ErrorResponse, Message, MessagesRequest, TokenCount};

use super::{
    convert,
    encode::{Head, MessageStream, message},
};
use crate::{
    Service,
    admission::admit,
    body::Json,
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
    generation::{self, Ask, Generation, collect},
    labels,
    notes::merged_system,
    sse,
};

/// The next turn of a conversation, whole or as server-sent events.
#[utoipa::path(
    post, path = "/v1/messages", tag = "anthropic", request_body = MessagesRequest,
    responses(
        (status = 200, description = "The answer", body = Message),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn messages(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(mut body): Json<MessagesRequest>,
) -> Result<Response, ApiError> {
    let labels = labels::anthropic(body.metadata.take().and_then(|metadata| metadata.user_id))?;
    let (ask, render) = convert::messages(body, &caller)?;
    let request_id = exchange.id().to_owned();
    let (id, model, shows_thinking) = (service.new_id("msg_"), ask.model.clone(), render.shows_thinking);
    let head = Head { id, model, request_id, shows_thinking };
    let admitted = admit(&service, &caller, exchange, &ask.model)?.labelled(labels);
    let generation = Generation::new(&service, admitted, ask);
    if render.stream {
        return sse::respond(generation, MessageStream::new(head), service.config()).await;
    }
    let whole = collect(generation, 1).await?;
    Ok((merged_system(whole.merged_system), JsonAnswer(message(head, whole))).into_response())
}

/// The tokens of a conversation, as the model's own template renders it. Nothing is generated.
#[utoipa::path(
    post, path = "/v1/messages/count_tokens", tag = "anthropic", request_body = MessagesRequest,
    responses(
        (status = 200, description = "The answer", body = TokenCount),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn count_tokens(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<MessagesRequest>,
) -> Result<JsonAnswer<TokenCount>, ApiError> {
    let ask = convert::count(body, &caller)?;
    let admitted = admit(&service, &caller, exchange, &ask.model)?;
    let input_tokens = generation::measure(&service, admitted, ask).await?.prompt_tokens;
    Ok(JsonAnswer(TokenCount { input_tokens }))
}

/// What a conversation asks for, for a quote.
pub(crate) fn message_ask(body: MessagesRequest, caller: &Caller) -> Result<Ask, ApiError> {
    convert::messages(body, caller).map(|(ask, _)| ask)
}
