//! `/v1/chat/completions`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Stop, StreamOptions, Tool, ToolCall, ToolCallDelta, ToolChoice, Usage};
use crate::text_or_list;

/// Asks for the next turn of a conversation.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The model's name, as `/v1/models` lists it.
    pub model: String,
    /// The turns so far, oldest first.
    pub messages: Vec<ChatMessage>,
    /// Most tokens to generate. The older name of `max_completion_tokens`.
    #[serde(default)]
    pub max_tokens: Option<i64>,
    /// Most tokens to generate. Default: up to the end of the model's context.
    #[serde(default)]
    pub max_completion_tokens: Option<i64>,
    /// 0 takes the most likely token; 0 to 2.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Keep the fewest tokens whose probabilities sum to this; 0 to 1.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Number of choices. Default: 1.
    #[serde(default)]
    pub n: Option<i64>,
    /// Strings that end the answer; up to 16.
    #[serde(default)]
    pub stop: Option<Stop>,
    /// Send the answer in pieces as server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// What the stream says beside the answer; only with `stream`.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// Report the log-probability of every token.
    #[serde(default)]
    pub logprobs: Option<bool>,
    /// Report this many most likely tokens too, 0 to 20; only with `logprobs`.
    #[serde(default)]
    pub top_logprobs: Option<i64>,
    /// Makes the answer reproducible.
    #[serde(default)]
    pub seed: Option<i64>,
    /// -2 to 2.
    #[serde(default)]
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    #[serde(default)]
    pub frequency_penalty: Option<f64>,
    /// From token id to what is added to its logit, -100 to 100.
    #[serde(default)]
    pub logit_bias: Option<BTreeMap<String, f64>>,
    /// The form that the answer is held to: `text`, `json_object` or `json_schema`.
    #[serde(default)]
    pub response_format: Option<ResponseFormat>,
    /// Extension, as vLLM names it: a JSON schema that the answer validates against.
    #[serde(default)]
    pub guided_json: Option<Value>,
    /// Extension, as vLLM names it: a regular expression that matches the whole answer.
    #[serde(default)]
    pub guided_regex: Option<Value>,
    /// Extension, as vLLM names it: a list of texts, of which the answer is one.
    #[serde(default)]
    pub guided_choice: Option<Value>,
    /// Extension, as vLLM names it: a grammar in Lark's syntax, or in llama.cpp's (GBNF).
    #[serde(default)]
    pub guided_grammar: Option<Value>,
    /// Extension, as vLLM names it: an object with one of `json`, `regex`, `choice`, `grammar` and `json_object`.
    #[serde(default)]
    pub structured_outputs: Option<Value>,
    /// Extension, as llama.cpp's server names it: a grammar in its syntax (GBNF), or in Lark's.
    #[serde(default)]
    pub grammar: Option<Value>,
    /// Extension, as llama.cpp's server names it: a JSON schema that the answer validates against.
    #[serde(default)]
    pub json_schema: Option<Value>,
    /// What the model may call.
    #[serde(default)]
    pub tools: Option<Vec<Tool>>,
    /// `auto` (the default where there are tools), `none`, `required`, or a tool by name.
    #[serde(default)]
    pub tool_choice: Option<ToolChoice>,
    /// Whether one turn may hold several calls. Default: it may.
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    /// How much the model shall think: `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`. Each word is a budget of
    /// tokens, and is told to the model where its template knows it. A model that does not think ignores it.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// Not supported: `tools` took its place. An empty list is tolerated.
    #[serde(default)]
    pub functions: Option<Vec<Value>>,
    /// Only `text` is supported.
    #[serde(default)]
    pub modalities: Option<Vec<String>>,
    /// Whom the request is for, in the caller's words: usage can be shown by it. At most 512 bytes.
    #[serde(default)]
    pub user: Option<String>,
    /// The newer name of `user`.
    #[serde(default)]
    pub safety_identifier: Option<String>,
    /// Tags that usage can be shown by: at most 16, names of 64 bytes, values that are strings of 512 bytes.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, Value>>,
    /// Extension: keep the `k` most likely tokens; 0 keeps all.
    #[serde(default)]
    pub top_k: Option<i64>,
    /// Extension: keep tokens at least this likely, relative to the most likely one; 0 to 1.
    #[serde(default)]
    pub min_p: Option<f64>,
    /// Extension: divides the logits of tokens that were seen; 0.01 to 100. Neutral: 1.
    #[serde(default)]
    pub repetition_penalty: Option<f64>,
    /// Extension: the answer does not end before this many tokens.
    #[serde(default)]
    pub min_tokens: Option<i64>,
    /// Extension: end tokens do not end the answer.
    #[serde(default)]
    pub ignore_eos: Option<bool>,
}

/// One turn.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text of the turn, or what a tool answered.
    #[serde(default)]
    pub content: Option<Content>,
    /// The speaker's name.
    #[serde(default)]
    pub name: Option<String>,
    /// What the model called in this turn of the assistant.
    #[serde(default)]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The call that this turn of a tool answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// Extension: what the model thought in this turn, for templates that show it again.
    #[serde(default)]
    pub reasoning_content: Option<String>,
    /// Not supported: `tool_calls` took its place.
    #[serde(default)]
    pub function_call: Option<Value>,
}

/// The text of a turn, whole or in parts.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Content {
    /// Whole.
    Text(String),
    /// In parts, which are joined.
    Parts(Vec<ContentPart>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list::deserialize(deserializer, "a string or a list of content parts", Self::Text, Self::Parts)
    }
}

/// One part of a turn.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ContentPart {
    /// Only `text` is supported.
    pub r#type: String,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
}

/// The form that the answer must have.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    pub r#type: String,
    /// Of `json_schema`.
    #[serde(default)]
    pub json_schema: Option<JsonSchemaFormat>,
    /// Extension, as llama.cpp's server takes it beside any type of JSON: the schema.
    #[serde(default)]
    pub schema: Option<Value>,
}

/// A JSON schema that the answer validates against.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct JsonSchemaFormat {
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// The schema.
    #[serde(default)]
    pub schema: Option<Value>,
    /// Every answer is held to the schema here, strict or not.
    #[serde(default)]
    pub strict: Option<bool>,
}

/// The next turn, whole.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatResponse {
    /// This answer's id.
    pub id: String,
    /// Always `chat.completion`.
    pub object: &'static str,
    /// When the request came, in seconds since 1970.
    pub created: u64,
    /// The model, by the name that the request gave.
    pub model: String,
    /// Changes when the same seed may give another answer.
    pub system_fingerprint: &'static str,
    /// The choices, by index.
    pub choices: Vec<ChatChoice>,
    /// Token counts.
    pub usage: Usage,
}

/// One choice.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChoice {
    /// From 0.
    pub index: u32,
    /// The turn.
    pub message: ResponseMessage,
    /// When asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: &'static str,
    /// `budget` when a budget or limit of the caller ended it; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
}

/// The turn that was generated.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResponseMessage {
    /// Always `assistant`.
    pub role: &'static str,
    /// The text; null where the model only called tools.
    pub content: Option<String>,
    /// Extension: what the model thought before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// What the model calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Always null: models here do not refuse in a field of its own.
    pub refusal: Option<String>,
}

/// The next turn, a piece of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChunk<'a> {
    /// This answer's id, the same in all of its chunks.
    pub id: &'a str,
    /// Always `chat.completion.chunk`.
    pub object: &'static str,
    /// When the request came, in seconds since 1970.
    pub created: u64,
    /// The model, by the name that the request gave.
    pub model: &'a str,
    /// Changes when the same seed may give another answer.
    pub system_fingerprint: &'static str,
    /// One choice that goes on, or none in the chunk that brings the usage.
    pub choices: Vec<ChatChunkChoice>,
    /// Only with `stream_options.include_usage`: null until the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub usage: Option<Option<Usage>>,
}

/// How one choice goes on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChunkChoice {
    /// From 0.
    pub index: u32,
    /// What is new.
    pub delta: Delta,
    /// Of the new tokens, when asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// `stop`, `length` or `tool_calls` in the choice's last chunk, null before.
    pub finish_reason: Option<&'static str>,
    /// `budget` when a budget or limit of the caller ended it; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
}

/// What is new in a turn.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Delta {
    /// `assistant` in the choice's first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The text that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Extension: the reasoning that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The call that begins or goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<[ToolCallDelta; 1]>,
}

/// Log-probabilities of a turn's tokens.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ChatLogprobs {
    /// Token by token.
    pub content: Vec<ChatTokenLogprob>,
    /// Always null.
    pub refusal: Option<Vec<ChatTokenLogprob>>,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatTokenLogprob {
    /// Its text; bytes that are no UTF-8 on their own are written as `\xNN`.
    pub token: String,
    /// Natural logarithm of its probability; -9999 for an impossible one.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The most likely tokens at its place.
    pub top_logprobs: Vec<ChatTopLogprob>,
}

/// A token that was likely.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatTopLogprob {
    /// Its text; bytes that are no UTF-8 on their own are written as `\xNN`.
    pub token: String,
    /// Natural logarithm of its probability; -9999 for an impossible one.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
