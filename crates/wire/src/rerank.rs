//! `/v1/rerank`, in the shape that the APIs of Jina and Cohere have in common.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Asks how well documents answer a query.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct RerankRequest {
    /// A model that ranks, or one that makes embeddings.
    pub model: String,
    /// What is looked for.
    pub query: String,
    /// What is ranked; up to 1000.
    pub documents: Vec<RerankDocument>,
    /// How many of the best are told. Default: all.
    #[serde(default)]
    pub top_n: Option<i64>,
    /// Repeat the documents in the answer. Default: false.
    #[serde(default)]
    pub return_documents: Option<bool>,
    /// Cut documents that are too long instead of refusing them. Default: false.
    #[serde(default)]
    pub truncation: Option<bool>,
    /// Extension: whom the request is for, to group usage by.
    #[serde(default)]
    pub user: Option<String>,
    /// Extension: tags, to group usage by.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<BTreeMap<String, Value>>,
}

/// A document.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum RerankDocument {
    /// Its text.
    Text(String),
    /// An object with its text.
    Object {
        /// The text.
        text: String,
    },
}

/// Documents by how well they answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RerankResponse {
    /// This answer's id.
    pub id: String,
    /// The model, by the name that the request gave.
    pub model: String,
    /// Best first.
    pub results: Vec<RerankResult>,
    /// Extension: what the scores are.
    pub scored_by: ScoredBy,
    /// Token counts.
    pub usage: RerankUsage,
}

/// What scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoredBy {
    /// A model read query and document together; scores are from 0 to 1.
    CrossEncoder,
    /// The cosine between the vectors of both, from -1 to 1.
    EmbeddingSimilarity,
}

/// A document's place.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RerankResult {
    /// Which document, from 0.
    pub index: usize,
    /// The more, the better.
    pub relevance_score: f32,
    /// The document, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RerankedText>,
}

/// A document's text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RerankedText {
    /// The text.
    pub text: String,
}

/// Token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RerankUsage {
    /// Tokens that the model read.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}
