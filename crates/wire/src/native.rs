//! Our own routes: tokens and health.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for the token ids of a text.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct TokenizeRequest {
    /// The model whose tokenizer is meant.
    pub model: String,
    /// The text.
    pub content: String,
    /// Add the tokens that the model wants at the beginning (and end) of a sequence. Default: false.
    #[serde(default)]
    pub add_special: Option<bool>,
    /// Recognise special tokens written in the text. Default: true.
    #[serde(default)]
    pub parse_special: Option<bool>,
}

/// The token ids of a text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenizeResponse {
    /// The ids, in order.
    pub tokens: Vec<u32>,
}

/// Asks for the text of token ids.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct DetokenizeRequest {
    /// The model whose tokenizer is meant.
    pub model: String,
    /// The ids, in order.
    pub tokens: Vec<i64>,
}

/// The text of token ids.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DetokenizeResponse {
    /// The text. Bytes that are no UTF-8 come as U+FFFD.
    pub content: String,
}

/// Whether the service lives, or is ready for requests.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or why not.
    pub status: &'static str,
}
