//! `/v1/messages` and `/v1/messages/count_tokens`.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};
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
    /// Whom the request is for.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// What the model may call.
    #[serde(default)]
    pub tools: Option<Vec<Tool>>,
    /// `auto` (the default where there are tools), `none`, `any` or `tool`.
    #[serde(default)]
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model thinks first: `disabled`, `adaptive` or `enabled` with a budget. Default: as its template has it.
    /// A model that does not think ignores it.
    #[serde(default)]
    pub thinking: Option<Thinking>,
    /// `format`: the form that the answer is held to, of type `json_schema` with a `schema`. `effort`: how much the model
    /// thinks where it does, `low`, `medium`, `high`, `xhigh` or `max`. Nothing else is supported.
    #[serde(default)]
    pub output_config: Option<Value>,
    /// The older place of `output_config.format`.
    #[serde(default)]
    pub output_format: Option<Value>,
    /// Only `auto` and `standard_only`, which are the same: there is one tier.
    #[serde(default)]
    pub service_tier: Option<String>,
    /// Only `standard`.
    #[serde(default)]
    pub speed: Option<String>,
    /// Only `global`: where a model runs is not chosen by the request.
    #[serde(default)]
    pub inference_geo: Option<String>,
    /// Not supported.
    #[serde(default)]
    pub container: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub mcp_servers: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub context_management: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub compaction: Option<Value>,
    /// Not supported: the operator chooses what a model falls back to.
    #[serde(default)]
    pub fallbacks: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub thread: Option<Value>,
    /// Not supported: whoever the key belongs to pays.
    #[serde(default)]
    pub billing_policy: Option<Value>,
}

/// Whom a request is for.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = AnthropicMetadata)]
pub struct Metadata {
    /// In the caller's words: usage can be shown by it. At most 512 bytes.
    #[serde(default)]
    pub user_id: Option<String>,
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
    /// `text`, `thinking`, `redacted_thinking`, `tool_use` or `tool_result`.
    pub r#type: String,
    /// Of `text`.
    #[serde(default)]
    pub text: Option<String>,
    /// Of `thinking`. Its signature is not looked at.
    #[serde(default)]
    pub thinking: Option<String>,
    /// Of `tool_use`: names the call.
    #[serde(default)]
    pub id: Option<String>,
    /// Of `tool_use`: the tool's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Of `tool_use`: the arguments, an object.
    #[serde(default)]
    pub input: Option<Value>,
    /// Of `tool_result`: the call that is answered.
    #[serde(default)]
    pub tool_use_id: Option<String>,
    /// Of `tool_result`: the answer.
    #[serde(default)]
    #[schema(no_recursion)]
    pub content: Option<Content>,
    /// Of `tool_result`: the tool failed, and the answer says how.
    #[serde(default)]
    pub is_error: Option<bool>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AnthropicTool)]
pub struct Tool {
    /// Only `custom`, the default, is supported: tools that the server itself runs are not.
    #[serde(default)]
    pub r#type: Option<String>,
    /// Letters, digits, `_` and `-`; up to 128 of them.
    pub name: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    #[serde(default)]
    pub input_schema: Option<Value>,
    /// Whether arguments are held to the schema, or the request refused.
    #[serde(default)]
    pub strict: Option<bool>,
    /// Who may call it; with `direct` among them, which is the default, the model itself.
    #[serde(default)]
    pub allowed_callers: Option<Vec<String>>,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AnthropicToolChoice)]
pub struct ToolChoice {
    /// `auto`, `none`, `any` or `tool`.
    pub r#type: String,
    /// Of `tool`: which one.
    #[serde(default)]
    pub name: Option<String>,
    /// At most one call a turn.
    #[serde(default)]
    pub disable_parallel_tool_use: Option<bool>,
}

/// Whether the model thinks first.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AnthropicThinking)]
pub struct Thinking {
    /// `disabled`, `adaptive` or `enabled`.
    pub r#type: String,
    /// Of `enabled`: most tokens of thinking, at least 1024 and less than `max_tokens`. Those spent, the answer begins.
    #[serde(default)]
    pub budget_tokens: Option<i64>,
    /// `summarized` (the default) tells all of the thinking; with `omitted` its blocks are empty.
    #[serde(default)]
    pub display: Option<String>,
}

/// The next turn, whole.
#[derive(Debug, Clone, Serialize, ToSchema)]
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
    /// At least one block, or none at the beginning of a stream.
    pub content: Vec<Block>,
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`; null at the beginning of a stream.
    pub stop_reason: Option<&'static str>,
    /// The string of `stop_sequences` that came.
    pub stop_sequence: Option<String>,
    /// `budget` where a limit of the caller ended the answer; for that `stop_reason` has no word that typed clients know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
    /// Token counts.
    pub usage: Usage,
}

/// A part of what the model says.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicBlock)]
pub enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// What the model thought.
    Thinking {
        /// The text.
        thinking: String,
        /// For the client to send back. It says nothing.
        signature: &'static str,
    },
    /// A call of a tool.
    ToolUse {
        /// Names the call; the block that answers it says the same.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments, an object.
        #[schema(value_type = Object)]
        input: Box<RawValue>,
    },
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
    /// Of the generated tokens.
    pub output_tokens_details: OutputTokensDetails,
}

/// What the generated tokens were for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicOutputTokensDetails)]
pub struct OutputTokensDetails {
    /// Tokens that were generated while the model thought, the marks around it included.
    pub thinking_tokens: u64,
}

/// How many tokens a prompt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicTokenCount)]
pub struct TokenCount {
    /// Tokens of the whole prompt, the chat template's own included.
    pub input_tokens: u64,
}
