//! `/v1/messages` and `/v1/messages/count_tokens`.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::text_or_list;

/// Asks for the next turn of a conversation, or for the tokens of its prompt.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AnthropicMessagesRequest)]
pub struct MessagesRequest {
    /// The model's name, as `/v1/models` lists it.
    pub model: String,
    /// The turns so far, oldest first. The last one must not be the assistant's.
    pub messages: Vec<InputMessage>,
    /// Instructions to the model.
    #[serde(default)]
    pub system: Option<Content>,
    /// Most tokens to generate; 0 computes the prompt alone, which the prefix cache then holds. Required, but not where
    /// tokens are counted.
    #[serde(default)]
    pub max_tokens: Option<i64>,
    /// Strings that end the answer; up to 16.
    #[serde(default)]
    pub stop_sequences: Option<Vec<String>>,
    /// Send the answer in pieces as server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// 0 takes the most likely token; 0 to 1.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Keep the fewest tokens whose probabilities sum to this; 0 to 1.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Keep the `k` most likely tokens; 0 keeps all.
    #[serde(default)]
    pub top_k: Option<i64>,
    /// Not supported yet; an empty list is tolerated.
    #[serde(default)]
    pub tools: Option<Value>,
    /// Not supported yet; `{"type": "auto"}` and `{"type": "none"}` are tolerated.
    #[serde(default)]
    pub tool_choice: Option<Value>,
    /// Not supported yet; `{"type": "disabled"}` is tolerated.
    #[serde(default)]
    pub thinking: Option<Value>,
    /// Not supported yet.
    #[serde(default)]
    pub output_config: Option<Value>,
    /// Not supported yet. The older place of `output_config.format`.
    #[serde(default)]
    pub output_format: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub container: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub mcp_servers: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub context_management: Option<Value>,
}

/// One turn.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AnthropicInputMessage)]
pub struct InputMessage {
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// What the turn says.
    pub content: Content,
}

/// A text, whole or in blocks.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AnthropicContent)]
pub enum Content {
    /// Whole.
    Text(String),
    /// In blocks, which are joined.
    Blocks(Vec<ContentBlock>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list::deserialize(deserializer, "a string or a list of content blocks", Self::Text, Self::Blocks)
    }
}

/// One block of a turn. `cache_control` is ignored: every prefix is cached.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AnthropicContentBlock)]
pub struct ContentBlock {
    /// Only `text` is supported.
    pub r#type: String,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
}

/// The next turn, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicMessage)]
pub struct Message {
    /// This answer's id.
    pub id: String,
    /// Always `message`.
    pub r#type: &'static str,
    /// Always `assistant`.
    pub role: &'static str,
    /// The model, by the name that the request gave.
    pub model: String,
    /// One block, or none at the beginning of a stream.
    pub content: Vec<TextBlock>,
    /// `end_turn`, `max_tokens` or `stop_sequence`; null at the beginning of a stream.
    pub stop_reason: Option<&'static str>,
    /// The string of `stop_sequences` that came.
    pub stop_sequence: Option<String>,
    /// Token counts.
    pub usage: Usage,
}

/// A text of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicTextBlock)]
pub struct TextBlock {
    /// Always `text`.
    pub r#type: &'static str,
    /// The text.
    pub text: String,
}

/// Token counts of one request. The prompt has `input_tokens` and `cache_read_input_tokens` together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicUsage)]
pub struct Usage {
    /// Tokens of the prompt that were computed.
    pub input_tokens: u64,
    /// Tokens of the prompt that came from the prefix cache.
    pub cache_read_input_tokens: u64,
    /// Always 0: nothing is charged for keeping a prefix.
    pub cache_creation_input_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
}

/// How many tokens a prompt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicTokenCount)]
pub struct TokenCount {
    /// Tokens of the whole prompt, the chat template's own included.
    pub input_tokens: u64,
}
