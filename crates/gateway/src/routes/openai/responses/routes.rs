//! The handlers: extract, convert, call, render.

use axum::{
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use inference::Event;
use store::StoredResponse;
use wire::openai::{
    ErrorResponse, ItemQuery, ResponseDeleted, ResponseItemList, ResponseObject, ResponseQuery, ResponseRequest,
};

use super::{
    background::{self, Job},
    convert,
    draft::Draft,
    kept::{self, Keeper},
    stream::ResponseStream,
};
use crate::{
    Service,
    admission::admit,
    body::Json,
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
    generation::Generation,
    labels,
    notes::merged_system,
    parameter::{self, integer},
    sse,
};

/// Items of a page that asks for no other number, and most that one can ask for, as OpenAI has it.
const ITEMS: u32 = 20;
const MOST_ITEMS: u32 = 100;

/// A response: whole, as server-sent events, or in the background.
#[utoipa::path(
    post, path = "/v1/responses", tag = "openai", request_body = ResponseRequest,
    responses(
        (status = 200, description = "The response", body = ResponseObject),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<ResponseRequest>,
) -> Result<Response, ApiError> {
    let labels = labels::response(body.user.as_deref(), body.metadata.as_ref())?;
    let asked = convert::read(body, &caller, service.config())?;
    let earlier = kept::earlier(&service, &caller.tenant(), asked.previous).await?;
    let ask = asked.ask(earlier)?;
    let room = asked.response.background.then(|| background::enter(&service, &ask.model)).transpose()?;
    let admitted = admit(&service, &caller, exchange, &ask.model)?.labelled(labels);
    let mut generation = Generation::new(&service, admitted, ask);
    let keeper = Keeper::new(&service, &caller, &asked);
    let mut draft = Draft::new(asked.response.clone(), asked.logprobs());
    if let Some(room) = room {
        keeper.keep_running(draft.response()).await?;
        let response = draft.response().clone();
        let job = Job { service: service.clone(), id: asked.id, generation, draft, keeper, room };
        return Ok(match background::start(job, asked.stream) {
            Some(recording) => recording.listen(None, service.config().ping_interval),
            None => axum::Json(response).into_response(),
        });
    }
    if asked.stream {
        return sse::respond(generation, ResponseStream::new(draft, keeper), service.config()).await;
    }
    while let Some(event) = generation.next().await {
        match event {
            Event::Failed { error, .. } => return Err(error.into()),
            event => draft.push(event, None),
        }
    }
    keeper.keep(draft.response_mut()).await;
    Ok((merged_system(generation.merged_system()), axum::Json(draft.response())).into_response())
}

/// A response of the key's project: as it stands, or, of one in the background that was asked for in events, those.
#[utoipa::path(
    get, path = "/v1/responses/{id}", tag = "openai",
    params(("id" = String, Path, description = "Its id, `resp_…`"), ResponseQuery),
    responses(
        (status = 200, description = "The response", body = ResponseObject),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn retrieve(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    query: Result<Query<ResponseQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let ResponseQuery { stream, starting_after } = parameter::query(query)?;
    let found = kept::find(&service, &caller.tenant(), &id).await?;
    if stream != Some(true) {
        return Ok(stored(found));
    }
    let recording = service.background().recording(found.id).ok_or_else(|| {
        let message = "there are no events of this response, or no longer: they are kept of responses with background and \
                       stream, while those run and for a while after that; leave stream out to read it as it stands";
        ApiError::invalid("stream", message)
    })?;
    Ok(recording.listen(starting_after, service.config().ping_interval))
}

/// Deletes a response of the key's project. One that is still being made is cancelled.
#[utoipa::path(
    delete, path = "/v1/responses/{id}", tag = "openai",
    params(("id" = String, Path, description = "Its id, `resp_…`")),
    responses(
        (status = 200, description = "It is gone", body = ResponseDeleted),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn delete(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<ResponseDeleted>, ApiError> {
    let found = kept::find(&service, &caller.tenant(), &id).await?;
    service.background().cancel(found.id).await;
    kept::delete(&service, &caller.tenant(), &id).await?;
    service.background().forget(found.id);
    Ok(axum::Json(ResponseDeleted { id, object: "response", deleted: true }))
}

/// Cancels a response that is made in the background. What ran is paid for. One that has ended stays as it is.
#[utoipa::path(
    post, path = "/v1/responses/{id}/cancel", tag = "openai",
    params(("id" = String, Path, description = "Its id, `resp_…`")),
    responses(
        (status = 200, description = "The response, which runs no more", body = ResponseObject),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn cancel(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = kept::find(&service, &caller.tenant(), &id).await?;
    if !kept::standing(&found)?.background {
        let message = "only a response that was asked for with background: true can be cancelled; others end when their \
                       client hangs up";
        return Err(ApiError::invalid("id", message));
    }
    service.background().cancel(found.id).await;
    kept::find(&service, &caller.tenant(), &id).await.map(stored)
}

/// The items that a response answers: its input, and what it continues.
#[utoipa::path(
    get, path = "/v1/responses/{id}/input_items", tag = "openai",
    params(("id" = String, Path, description = "Its id, `resp_…`"), ItemQuery),
    responses(
        (status = 200, description = "A page of them", body = ResponseItemList),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn input_items(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
    query: Result<Query<ItemQuery>, QueryRejection>,
) -> Result<axum::Json<ResponseItemList>, ApiError> {
    let ItemQuery { after, limit, order } = parameter::query(query)?;
    let limit = integer("limit", limit, 1..=MOST_ITEMS)?.unwrap_or(ITEMS) as usize;
    let mut items = kept::answered(&service, &caller.tenant(), &id).await?;
    match order.as_deref() {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(other) => {
            return Err(ApiError::invalid("order", format!("order must be asc or desc, but it is {other:?}")));
        }
    }
    if let Some(after) = after {
        let Some(place) = items.iter().position(|item| item.id() == after) else {
            return Err(ApiError::invalid("after", format!("no item of this response has the id {after:?}")));
        };
        items.drain(..=place);
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id = |item: Option<&wire::openai::ResponseItem>| item.map(|item| item.id().to_owned());
    let (first_id, last_id) = (id(items.first()), id(items.last()));
    Ok(axum::Json(ResponseItemList { object: "list", data: items, first_id, last_id, has_more }))
}

/// A response as it was written.
fn stored(row: StoredResponse) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (headers, Body::from(String::from(row.response))).into_response()
}
