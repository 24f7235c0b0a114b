//! `/v1/responses`: what is asked, and the object that answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{ResponseInput, ResponseItem};
use crate::text_or_map;

/// Asks for a response.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ResponseRequest {
    /// The model's name, as `/v1/models` lists it.
    pub model: String,
    /// A text, or items.
    #[serde(default)]
    pub input: Option<ResponseInput>,
    /// Instructions to the model, before all else. They are not taken over from the response that is continued.
    #[serde(default)]
    pub instructions: Option<String>,
    /// A response of the same project, which this one continues.
    #[serde(default)]
    pub previous_response_id: Option<String>,
    /// Whether the response is kept, to be read and continued. Default: it is.
    #[serde(default)]
    pub store: Option<bool>,
    /// Answer at once and go on without the client, who asks for the response by its id; only with `store`.
    #[serde(default)]
    pub background: Option<bool>,
    /// Send the answer in pieces as server-sent events.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Most tokens to generate, reasoning included. Default: up to the end of the model's context.
    #[serde(default)]
    pub max_output_tokens: Option<i64>,
    /// 0 takes the most likely token; 0 to 2.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Keep the fewest tokens whose probabilities sum to this; 0 to 1.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Report this many most likely tokens too, 0 to 20; only with `include` of `message.output_text.logprobs`.
    #[serde(default)]
    pub top_logprobs: Option<i64>,
    /// The form that the answer is held to.
    #[serde(default)]
    pub text: Option<ResponseText>,
    /// What the model may call: functions.
    #[serde(default)]
    pub tools: Option<Vec<ResponseTool>>,
    /// `auto` (the default), `none`, `required`, or a function by name.
    #[serde(default)]
    pub tool_choice: Option<ResponseToolChoice>,
    /// Whether one turn may hold several calls. Default: it may.
    #[serde(default)]
    pub parallel_tool_calls: Option<bool>,
    /// How the model thinks.
    #[serde(default)]
    pub reasoning: Option<ResponseReasoning>,
    /// What else the answer shall hold: `message.output_text.logprobs`. `reasoning.encrypted_content` is taken, too:
    /// reasoning is told in full, so it can be given back as it is.
    #[serde(default)]
    pub include: Option<Vec<String>>,
    /// Up to 16 pairs of the caller's own, which the response repeats.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whom the caller asks for, in the caller's own words.
    #[serde(default)]
    pub user: Option<String>,
    /// Only `disabled`: nothing is left out silently.
    #[serde(default)]
    pub truncation: Option<String>,
    /// Only `auto` and `default`.
    #[serde(default)]
    pub service_tier: Option<String>,
    /// Not supported: `previous_response_id` continues a conversation.
    #[serde(default)]
    pub conversation: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub prompt: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub context_management: Option<Value>,
    /// Not supported.
    #[serde(default)]
    pub moderation: Option<Value>,
}

/// The form of an answer.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct ResponseText {
    /// `text` where there is none.
    #[serde(default)]
    pub format: Option<ResponseTextFormat>,
    /// Only `medium`: how much a model says is not ours to set.
    #[serde(default)]
    pub verbosity: Option<String>,
}

/// The form of an answer's text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResponseTextFormat {
    /// `text`, `json_object` or `json_schema`.
    pub r#type: String,
    /// Of `json_schema`: a name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of `json_schema`: what it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of `json_schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Every answer is held to the schema here, strict or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResponseTool {
    /// Only `function` is supported.
    pub r#type: String,
    /// Letters, digits, `_` and `-`.
    #[serde(default)]
    pub name: Option<String>,
    /// What it does, for the model.
    #[serde(default)]
    pub description: Option<String>,
    /// The JSON schema of its arguments. Default: it has none.
    #[serde(default)]
    pub parameters: Option<Value>,
    /// Whether arguments are held to the schema, or the request refused.
    #[serde(default)]
    pub strict: Option<bool>,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ResponseToolChoice {
    /// `auto`, `none` or `required`.
    Mode(String),
    /// One function.
    Named(ResponseNamedTool),
}

/// A function that the model has to call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResponseNamedTool {
    /// Only `function` is supported.
    pub r#type: String,
    /// The function.
    #[serde(default)]
    pub name: Option<String>,
}

impl<'de> Deserialize<'de> for ResponseToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "`auto`, `none`, `required` or an object that names a function";
        text_or_map::deserialize(deserializer, expecting, Self::Mode, Self::Named)
    }
}

/// How a model thinks.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ResponseReasoning {
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`. Each word is a budget of tokens, and is told to the model where
    /// its template knows it. A model that does not think ignores it.
    #[serde(default)]
    pub effort: Option<String>,
    /// Only `auto`: reasoning is told in full, and there is no summary of it.
    #[serde(default)]
    pub summary: Option<String>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ResponseObject {
    /// Its id.
    pub id: String,
    /// Always `response`.
    pub object: &'static str,
    /// When the request came, in seconds since 1970.
    pub created_at: u64,
    /// How far it is.
    pub status: ResponseStatus,
    /// When it was complete, in seconds since 1970.
    pub completed_at: Option<u64>,
    /// Whether it goes on without the client.
    pub background: bool,
    /// What went wrong.
    pub error: Option<ResponseFailure>,
    /// Why it is incomplete.
    pub incomplete_details: Option<IncompleteDetails>,
    /// As they were asked for.
    pub instructions: Option<String>,
    /// As it was asked for.
    pub max_output_tokens: Option<u32>,
    /// The model, by the name that the request gave.
    pub model: String,
    /// What the model thought, said and called, in its order.
    pub output: Vec<ResponseItem>,
    /// As it was asked for.
    pub parallel_tool_calls: bool,
    /// The response that it continues.
    pub previous_response_id: Option<String>,
    /// As it was asked for.
    pub reasoning: ResponseReasoningOptions,
    /// Whether it is kept.
    pub store: bool,
    /// As it was asked for; null leaves it to the model.
    pub temperature: Option<f64>,
    /// As it was asked for.
    pub text: ResponseTextOptions,
    /// As it was asked for.
    #[schema(value_type = ResponseToolChoice)]
    pub tool_choice: Value,
    /// As they were asked for.
    #[schema(value_type = Vec<ResponseTool>)]
    pub tools: Value,
    /// As it was asked for.
    pub top_logprobs: u32,
    /// As it was asked for; null leaves it to the model.
    pub top_p: Option<f64>,
    /// Always `disabled`.
    pub truncation: &'static str,
    /// Token counts, once they are known.
    pub usage: Option<ResponseUsage>,
    /// As it was asked for.
    pub user: Option<String>,
    /// As it was asked for.
    pub metadata: BTreeMap<String, String>,
}

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// It waits for its turn, in the background.
    Queued,
    /// The model is asked.
    InProgress,
    /// The model ended its turn.
    Completed,
    /// It was cut: by `max_output_tokens`, the end of the context, or a budget.
    Incomplete,
    /// Something went wrong.
    Failed,
    /// It was cancelled, in the background.
    Cancelled,
}

/// What went wrong with a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseFailure {
    /// `server_error`, `rate_limit_exceeded` or `invalid_prompt`, which are those that typed clients know; what none of them
    /// means has a code of docs/errors.md, such as `invalid_api_key` when the key is revoked meanwhile.
    pub code: &'static str,
    /// What was attempted, what was found, what to do.
    pub message: String,
}

/// Why a response is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct IncompleteDetails {
    /// `max_output_tokens`.
    pub reason: &'static str,
    /// `budget` when a budget or limit of the caller ended it; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
}

/// How the model was asked to think.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseReasoningOptions {
    /// How much.
    pub effort: Option<String>,
    /// Always null.
    pub summary: Option<String>,
}

/// The form that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ResponseTextOptions {
    /// The form.
    #[schema(value_type = ResponseTextFormat)]
    pub format: Value,
}

/// Token counts of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseUsage {
    /// Tokens of all that was asked, what is continued included.
    pub input_tokens: u64,
    /// Of the input's tokens.
    pub input_tokens_details: InputTokensDetails,
    /// Generated tokens.
    pub output_tokens: u64,
    /// Of the output's tokens.
    pub output_tokens_details: OutputTokensDetails,
    /// The sum of both.
    pub total_tokens: u64,
}

/// How the input's tokens came to be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputTokensDetails {
    /// Tokens that came from the prefix cache.
    pub cached_tokens: u64,
    /// Always 0: writing to the cache costs nothing.
    pub cache_write_tokens: u64,
}

/// What the output's tokens were for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutputTokensDetails {
    /// Tokens that were generated while the model thought, the marks around it included.
    pub reasoning_tokens: u64,
}

/// A response that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseDeleted {
    /// Its id.
    pub id: String,
    /// Always `response`.
    pub object: &'static str,
    /// Always true.
    pub deleted: bool,
}

/// How a response is read.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ResponseQuery {
    /// In events, of a response that was asked for with `background` and `stream`: those that came, and those that come.
    pub stream: Option<bool>,
    /// With `stream`: only events behind the one of this number.
    pub starting_after: Option<u64>,
}

/// Which items are listed.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ItemQuery {
    /// Those behind the item of this id.
    pub after: Option<String>,
    /// At most so many, 1 to 100. Default: 20.
    pub limit: Option<i64>,
    /// `desc` (the default) begins with the latest, `asc` with the first.
    pub order: Option<String>,
}

/// Items that a response answers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResponseItemList {
    /// Always `list`.
    pub object: &'static str,
    /// The items.
    pub data: Vec<ResponseItem>,
    /// Id of the first of them.
    pub first_id: Option<String>,
    /// Id of the last of them.
    pub last_id: Option<String>,
    /// Whether there are more behind it.
    pub has_more: bool,
}
