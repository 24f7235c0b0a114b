//! `/v1/rerank`, which Jina's and Cohere's clients speak.

use axum::extract::State;
use wire::{
    openai::ErrorResponse,
    rerank::{RerankDocument, RerankRequest, RerankResponse, RerankResult, RerankUsage, RerankedText, ScoredBy},
};

use crate::{
    Service,
    admission::admit,
    body::Json,
    caller::Caller,
    embedding::{Ranking, rank},
    error::ApiError,
    exchange::Exchange,
    labels,
    parameter::integer,
};

/// Documents of one request, as Cohere advises.
const MOST_DOCUMENTS: usize = 1000;

/// Documents by how well they answer a query: read together with it by a model that ranks, or by the similarity of their
/// embeddings. `scored_by` says which.
#[utoipa::path(
    post, path = "/v1/rerank", tag = "rerank", request_body = RerankRequest,
    responses(
        (status = 200, description = "The answer", body = RerankResponse),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn rerank(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    Json(body): Json<RerankRequest>,
) -> Result<axum::Json<RerankResponse>, ApiError> {
    let RerankRequest { model, query, documents, top_n, return_documents, truncation, user, metadata } = body;
    let labels = labels::openai(None, user, metadata)?;
    if documents.is_empty() || documents.len() > MOST_DOCUMENTS {
        let message = format!("documents must be 1 to {MOST_DOCUMENTS}, but there are {}", documents.len());
        return Err(ApiError::invalid("documents", message));
    }
    let most = integer("top_n", top_n, 1..=u32::MAX)?.map_or(documents.len(), |most| most as usize);
    let text = |document| match document {
        RerankDocument::Text(text) | RerankDocument::Object { text } => text,
    };
    let documents: Vec<String> = documents.into_iter().map(text).collect();
    let repeated = if return_documents.unwrap_or(false) { documents.clone() } else { Vec::new() };

    let id = service.new_id("rerank-");
    let admitted = admit(&service, &caller, exchange, &model)?.labelled(labels);
    let ranking = rank(&service, admitted, &model, query, documents, truncation.unwrap_or(false)).await?;
    Ok(axum::Json(render(id, model, ranking, repeated, most)))
}

fn render(id: String, model: String, ranking: Ranking, mut documents: Vec<String>, most: usize) -> RerankResponse {
    let Ranking { scores, read_together, prompt_tokens } = ranking;
    let mut order: Vec<(usize, f32)> = scores.into_iter().enumerate().collect();
    // Of equal ones the earlier first.
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    order.truncate(most);
    let results = order.into_iter().map(|(index, relevance_score)| {
        let document = documents.get_mut(index).map(|text| RerankedText { text: std::mem::take(text) });
        RerankResult { index, relevance_score, document }
    });
    RerankResponse {
        id,
        model,
        results: results.collect(),
        scored_by: if read_together { ScoredBy::CrossEncoder } else { ScoredBy::EmbeddingSimilarity },
        usage: RerankUsage { prompt_tokens, total_tokens: prompt_tokens },
    }
}
