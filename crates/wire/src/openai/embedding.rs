//! `/v1/embeddings`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Prompt;

/// Asks for the vectors of texts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct EmbeddingRequest {
    /// The model's name, as `/v1/models` lists it.
    pub model: String,
    /// What the vectors are of: a text, token ids (used as they are), or up to 2048 of either.
    pub input: Prompt,
    /// `float` or `base64` (of little-endian 32-bit floats). Default: `float`.
    #[serde(default)]
    pub encoding_format: Option<String>,
    /// Length of the vectors, where the model was trained to have them cut. Default: the model's own.
    #[serde(default)]
    pub dimensions: Option<i64>,
    /// Whom the request is for, in the caller's words: usage can be shown by it. At most 512 bytes.
    #[serde(default)]
    pub user: Option<String>,
    /// Extension: tags that usage can be shown by: at most 16, names of 64 bytes, values that are strings of 512 bytes.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, Value>>,
}

/// The vectors.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EmbeddingResponse {
    /// Always `list`.
    pub object: &'static str,
    /// In the order of the inputs.
    pub data: Vec<EmbeddingObject>,
    /// The model, by the name that the request gave.
    pub model: String,
    /// Token counts.
    pub usage: EmbeddingUsage,
}

/// The vector of one input.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EmbeddingObject {
    /// Always `embedding`.
    pub object: &'static str,
    /// Which input, from 0.
    pub index: usize,
    /// Its vector.
    pub embedding: EmbeddingVector,
}

/// A vector in the form that was asked for.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingVector {
    /// `float`.
    Float(Vec<f32>),
    /// `base64`.
    Base64(String),
}

/// Token counts of a request for vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens of all inputs.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}
