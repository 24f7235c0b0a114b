//! `/v1/embeddings`: extract, convert, call, render.

use axum::extract::State;
use base64::{Engine, prelude::BASE64_STANDARD};
use inference::{EmbedInput, EmbedRequest, Input};
use wire::openai::{
    EmbeddingObject, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EmbeddingVector, ErrorResponse,
};

use super::convert::prompt;
use crate::{
    Service,
    admission::admit,
    body::Json,
    caller::Caller,
    embedding::{Vectors, embed},
    error::ApiError,
    exchange::Exchange,
    labels,
    parameter::integer,
};

/// Inputs of one request, as OpenAI has it.
const MOST_INPUTS: usize = 2048;

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Float,
    Base64,
}

/// The vectors of texts.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingRequest,
    responses(
        (status = 200, description = "The answer", body = EmbeddingResponse),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn embeddings(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(mut body): Json<EmbeddingRequest>,
) -> Result<axum::Json<EmbeddingResponse>, ApiError> {
    let labels = labels::openai(None, body.user.take(), body.metadata.take())?;
    let (model, request, encoding) = convert(body)?;
    let admitted = admit(&service, &caller, exchange, &model)?.labelled(labels);
    let vectors = embed(&service, admitted, &model, request).await?;
    Ok(axum::Json(render(model, vectors, encoding)))
}

fn convert(body: EmbeddingRequest) -> Result<(String, EmbedRequest, Encoding), ApiError> {
    let encoding = match body.encoding_format.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            let message = format!("encoding_format must be float or base64, but it is {other:?}");
            return Err(ApiError::invalid("encoding_format", message));
        }
    };
    let dimensions = integer("dimensions", body.dimensions, 1..=u32::MAX)?;
    let inputs = prompt::convert("input", body.input)?;
    if inputs.len() > MOST_INPUTS {
        let message = format!("input holds {} texts, but a request may have {MOST_INPUTS}", inputs.len());
        return Err(ApiError::invalid("input", message));
    }
    let input = |input| match input {
        Input::Tokens(tokens) => EmbedInput::Tokens(tokens),
        Input::Text(text) => EmbedInput::Text(text),
        Input::Chat(_) | Input::Gap { .. } => unreachable!("a prompt alone is neither"),
    };
    let inputs = inputs.into_iter().map(input).collect();
    Ok((body.model, EmbedRequest { inputs, parameter: "input", dimensions, truncate: false }, encoding))
}

fn render(model: String, vectors: Vectors, encoding: Encoding) -> EmbeddingResponse {
    let written = |vector: Vec<f32>| match encoding {
        Encoding::Float => EmbeddingVector::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            EmbeddingVector::Base64(BASE64_STANDARD.encode(bytes))
        }
    };
    let object = |(index, vector)| EmbeddingObject { object: "embedding", index, embedding: written(vector) };
    let Vectors { vectors, prompt_tokens, .. } = vectors;
    EmbeddingResponse {
        object: "list",
        data: vectors.into_iter().enumerate().map(object).collect(),
        model,
        usage: EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens },
    }
}
