//! Tokens of a text, and back.

use axum::extract::State;
use inference::TokenizeOptions;
use wire::{
    native::{DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse},
    openai::ErrorResponse,
};

use crate::{
    Service,
    admission::{admit, unless_revoked},
    body::Json,
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
};

/// The token ids of a text.
#[utoipa::path(
    post, path = "/tokenize", tag = "tokens", request_body = TokenizeRequest,
    responses(
        (status = 200, description = "The answer", body = TokenizeResponse),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn tokenize(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<TokenizeRequest>,
) -> Result<axum::Json<TokenizeResponse>, ApiError> {
    let mut admitted = admit(&service, &caller, exchange, &body.model)?;
    let options = TokenizeOptions {
        add_special: body.add_special.unwrap_or(false),
        parse_special: body.parse_special.unwrap_or(true),
    };
    let tokens = async { service.catalog().backend(&body.model).await?.tokenize(body.content, options).await };
    let result = unless_revoked(admitted.revocation(), tokens).await;
    admitted.answer(&result);
    Ok(axum::Json(TokenizeResponse { tokens: result? }))
}

/// The text of token ids.
#[utoipa::path(
    post, path = "/detokenize", tag = "tokens", request_body = DetokenizeRequest,
    responses(
        (status = 200, description = "The answer", body = DetokenizeResponse),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn detokenize(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<DetokenizeRequest>,
) -> Result<axum::Json<DetokenizeResponse>, ApiError> {
    let tokens = ids("tokens", &body.tokens)?;
    let mut admitted = admit(&service, &caller, exchange, &body.model)?;
    let text = async { service.catalog().backend(&body.model).await?.detokenize(tokens).await };
    let result = unless_revoked(admitted.revocation(), text).await;
    admitted.answer(&result);
    Ok(axum::Json(DetokenizeResponse { content: result? }))
}

/// Token ids that are at least possible; the model knows how many it has.
pub(super) fn ids(parameter: &str, ids: &[i64]) -> Result<Vec<u32>, ApiError> {
    let id = |(position, id): (usize, &i64)| {
        u32::try_from(*id).map_err(|_| {
            ApiError::invalid(format!("{parameter}[{position}]"), format!("{id} is not a token id: ids count from 0"))
        })
    };
    ids.iter().enumerate().map(id).collect()
}
