//! Ollama's API, as its reference (docs/api.md of its repository) and its Python and Go clients' types have it.
//!
//! What only makes sense for one user on his own machine (`keep_alive`, numbers of GPU layers) is read past.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

use crate::openai::{Stop, Tool};

/// `POST /api/chat`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaChatRequest {
    /// The model's name; `:latest` behind it says nothing.
    pub model: String,
    /// The turns so far. Without any the model is only loaded.
    #[serde(default)]
    pub messages: Option<Vec<OllamaMessage>>,
    /// What the model may call.
    #[serde(default)]
    pub tools: Option<Vec<Tool>>,
    /// The form that the answer is held to: `json` for any object, or a JSON schema.
    #[serde(default)]
    pub format: Option<Value>,
    /// Not supported here.
    #[serde(default)]
    pub logprobs: Option<Value>,
    /// Sampling and length.
    #[serde(default)]
    pub options: Option<OllamaOptions>,
    /// Answer in lines as they come. Default: true.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Whether the model thinks first: true, false, or how much (`low`, `medium`, `high`).
    #[serde(default)]
    pub think: Option<Think>,
}

/// A turn of a conversation, asked or answered.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct OllamaMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text of the turn.
    #[serde(default)]
    pub content: Option<String>,
    /// What the model thought in this turn.
    #[serde(default)]
    pub thinking: Option<String>,
    /// Not supported here.
    #[serde(default)]
    pub images: Option<Vec<Value>>,
    /// The tools that the model called in this turn.
    #[serde(default)]
    pub tool_calls: Option<Vec<OllamaToolCall>>,
    /// The tool that answers in this turn.
    #[serde(default)]
    pub tool_name: Option<String>,
    /// The call that it answers, where calls have ids.
    #[serde(default)]
    pub tool_call_id: Option<String>,
}

/// A call of a tool in a conversation's history.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaToolCall {
    /// Names the call; answers of this server have one.
    #[serde(default)]
    pub id: Option<String>,
    /// Which tool, and with what.
    pub function: OllamaFunctionCall,
}

/// A tool's name and arguments in a conversation's history.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaFunctionCall {
    /// The tool's name.
    pub name: String,
    /// An object.
    #[serde(default)]
    pub arguments: Option<Map<String, Value>>,
}

/// Whether and how much a model thinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Think {
    /// Whether.
    Whether(bool),
    /// How much.
    Level(String),
}

impl<'de> Deserialize<'de> for Think {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Think;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, \"low\", \"medium\" or \"high\"")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Think, E> {
                Ok(Think::Whether(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Think, E> {
                Ok(Think::Level(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Sampling and length. Options of the machine (`num_ctx`, `num_gpu` …) are read past.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct OllamaOptions {
    /// 0 takes the most likely token; 0 to 2.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Keep the `k` most likely tokens; 0 keeps all.
    #[serde(default)]
    pub top_k: Option<i64>,
    /// Keep the fewest tokens whose probabilities sum to this; 0 to 1.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Keep tokens at least this likely, relative to the most likely one; 0 to 1.
    #[serde(default)]
    pub min_p: Option<f64>,
    /// Divides the logits of tokens that were seen; 0.01 to 100.
    #[serde(default)]
    pub repeat_penalty: Option<f64>,
    /// -2 to 2.
    #[serde(default)]
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    #[serde(default)]
    pub frequency_penalty: Option<f64>,
    /// Makes the answer reproducible.
    #[serde(default)]
    pub seed: Option<i64>,
    /// Most tokens to generate; below zero, as many as there is room for.
    #[serde(default)]
    pub num_predict: Option<i64>,
    /// Strings that end the answer; up to 16.
    #[serde(default)]
    pub stop: Option<Stop>,
    /// Only 0, which is off, is supported.
    #[serde(default)]
    pub mirostat: Option<i64>,
}

/// `POST /api/generate`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaGenerateRequest {
    /// The model's name; `:latest` behind it says nothing.
    pub model: String,
    /// What is asked. Without it the model is only loaded.
    #[serde(default)]
    pub prompt: Option<String>,
    /// What follows the gap that is to be filled, where the model was made for that: then no template is used.
    #[serde(default)]
    pub suffix: Option<String>,
    /// Instructions to the model.
    #[serde(default)]
    pub system: Option<String>,
    /// Not supported: templates are the model's own.
    #[serde(default)]
    pub template: Option<String>,
    /// Continue the prompt as it stands, without the model's chat template.
    #[serde(default)]
    pub raw: Option<bool>,
    /// Not supported here.
    #[serde(default)]
    pub images: Option<Vec<Value>>,
    /// Not supported here; send the turns to `/api/chat` instead.
    #[serde(default)]
    pub context: Option<Vec<Value>>,
    /// The form that the answer is held to: `json` for any object, or a JSON schema.
    #[serde(default)]
    pub format: Option<Value>,
    /// Not supported here.
    #[serde(default)]
    pub logprobs: Option<Value>,
    /// Sampling and length.
    #[serde(default)]
    pub options: Option<OllamaOptions>,
    /// Answer in lines as they come. Default: true.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Whether the model thinks first.
    #[serde(default)]
    pub think: Option<Think>,
}

/// An answer of `/api/chat`, whole or as a line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaChatResponse {
    /// The model, by the name that the request gave.
    pub model: String,
    /// When this was written.
    pub created_at: String,
    /// What the model says.
    pub message: OllamaAnswer,
    /// Whether this is the last.
    pub done: bool,
    /// How it ended.
    #[serde(flatten)]
    pub end: Option<OllamaEnd>,
}

/// An answer of `/api/generate`, whole or as a line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaGenerateResponse {
    /// The model, by the name that the request gave.
    pub model: String,
    /// When this was written.
    pub created_at: String,
    /// What the model says.
    pub response: String,
    /// What the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Whether this is the last.
    pub done: bool,
    /// How it ended.
    #[serde(flatten)]
    pub end: Option<OllamaEnd>,
}

/// What the model says in a turn.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct OllamaAnswer {
    /// Always `assistant`.
    pub role: &'static str,
    /// Text.
    pub content: String,
    /// What the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// The tools that it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<OllamaAnsweredCall>,
}

/// A call of a tool.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaAnsweredCall {
    /// Names the call.
    pub id: String,
    /// Which tool, and with what.
    pub function: OllamaAnsweredFunction,
}

/// A tool's name and arguments.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaAnsweredFunction {
    /// The tool's name.
    pub name: String,
    /// An object.
    #[schema(value_type = Object)]
    pub arguments: Box<RawValue>,
}

/// How an answer ended. Durations are in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct OllamaEnd {
    /// `stop`, `length`, or `load` where nothing was asked.
    pub done_reason: &'static str,
    /// Extension: what ended it, where `done_reason` has no word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
    /// From the request to its end.
    pub total_duration: u64,
    /// Of it, until the model was loaded; next to nothing where it was.
    pub load_duration: u64,
    /// Tokens of the prompt.
    pub prompt_eval_count: u64,
    /// From then until the first token.
    pub prompt_eval_duration: u64,
    /// Generated tokens.
    pub eval_count: u64,
    /// From the first token to the last.
    pub eval_duration: u64,
}

/// `POST /api/embed`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaEmbedRequest {
    /// The model's name; `:latest` behind it says nothing.
    pub model: String,
    /// A text or several. None at all only loads the model.
    #[serde(default)]
    pub input: Option<Stop>,
    /// Cut texts that are too long instead of refusing them. Default: true.
    #[serde(default)]
    pub truncate: Option<bool>,
    /// Length of the vectors, where the model was trained to have them cut.
    #[serde(default)]
    pub dimensions: Option<i64>,
}

/// The vectors of `/api/embed`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaEmbedResponse {
    /// The model, by the name that the request gave.
    pub model: String,
    /// In the order of the texts.
    pub embeddings: Vec<Vec<f32>>,
    /// Nanoseconds from the request to its end.
    pub total_duration: u64,
    /// Of it, until the model was loaded; next to nothing where it was.
    pub load_duration: u64,
    /// Tokens of all texts.
    pub prompt_eval_count: u64,
}

/// `POST /api/embeddings`, the older form.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaEmbeddingsRequest {
    /// The model's name; `:latest` behind it says nothing.
    pub model: String,
    /// The text.
    #[serde(default)]
    pub prompt: Option<String>,
}

/// The vector of `/api/embeddings`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaEmbeddingsResponse {
    /// The vector; empty where there was no text.
    pub embedding: Vec<f32>,
}

/// `GET /api/tags` and `GET /api/ps`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaModelList {
    /// By name.
    pub models: Vec<OllamaModel>,
}

/// A model on disk or in memory.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaModel {
    /// The name that requests use.
    pub name: String,
    /// The same.
    pub model: String,
    /// When it came.
    pub modified_at: String,
    /// Bytes on disk.
    pub size: u64,
    /// SHA-256 of its files, in hexadecimal.
    pub digest: String,
    /// What it is.
    pub details: OllamaDetails,
    /// In memory of a GPU. Only in `/api/ps`; always 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_vram: Option<u64>,
    /// Tokens that prompt and answer may have together. Only in `/api/ps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
}

/// What a model is. Families and sizes are not looked up here: all but the format is empty.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaDetails {
    /// Always empty.
    pub parent_model: &'static str,
    /// `gguf` or `safetensors`.
    pub format: &'static str,
    /// Always empty.
    pub family: &'static str,
    /// Always empty.
    pub families: [&'static str; 0],
    /// Always empty.
    pub parameter_size: &'static str,
    /// Always empty.
    pub quantization_level: &'static str,
}

/// `POST /api/show`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaShowRequest {
    /// The model's name; `:latest` behind it says nothing.
    #[serde(alias = "name")]
    pub model: String,
}

/// What is known of a model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaShowResponse {
    /// What it is.
    pub details: OllamaDetails,
    /// When it came.
    pub modified_at: String,
    /// Numbers; the length of the context where the model is in memory.
    #[schema(value_type = Object)]
    pub model_info: Map<String, Value>,
    /// `completion`, `tools` and `thinking`, or `embedding`. Absent while the model is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<&'static str>>,
}

/// `GET /api/version`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaVersion {
    /// The version of Ollama whose API this follows.
    pub version: &'static str,
}

/// `POST /api/pull`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OllamaPullRequest {
    /// A name that is known here, `hf:owner/repo[:file]`, `hf.co/owner/repo`, or an https address.
    #[serde(alias = "name")]
    pub model: String,
    /// Tell the progress in lines. Default: true.
    #[serde(default)]
    pub stream: Option<bool>,
}

/// How far a pull is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct OllamaPullProgress {
    /// What is being done; `success` at the end.
    pub status: String,
    /// Names the download.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Of them here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
}

/// A failure.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OllamaError {
    /// What is wrong, for people.
    pub error: String,
    /// Extension: the code, as in docs/errors.md.
    pub code: &'static str,
    /// Extension: the parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}
