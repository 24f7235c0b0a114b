//! Tools and their calls, in chat completions.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::text_or_map;

/// A tool that the model may call.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct Tool {
    /// Only `function` is supported.
    pub r#type: String,
    /// The function.
    #[serde(default)]
    pub function: Option<FunctionDefinition>,
}

/// A function that the model may call.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct FunctionDefinition {
    /// Letters, digits, `_` and `-`; up to 64 of them.
    pub name: String,
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
pub enum ToolChoice {
    /// `auto`, `none` or `required`.
    Mode(String),
    /// One tool.
    Named(NamedTool),
}

/// A tool that the model has to call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NamedTool {
    /// Only `function` is supported.
    pub r#type: String,
    /// The tool.
    #[serde(default)]
    pub function: Option<NamedFunction>,
}

/// The name of a function that the model has to call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NamedFunction {
    /// The name.
    pub name: String,
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "`auto`, `none`, `required` or an object that names a tool";
        text_or_map::deserialize(deserializer, expecting, Self::Mode, Self::Named)
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    /// Names this call; the turn of the tool that answers it says the same.
    pub id: String,
    /// Always `function`.
    #[serde(default = "function")]
    pub r#type: String,
    /// What is called.
    pub function: FunctionCall,
}

fn function() -> String {
    "function".to_owned()
}

/// What is called, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// A JSON object, as text. It is broken off where `max_tokens` ended the answer inside of it.
    pub arguments: String,
}

/// A call that begins or goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ToolCallDelta {
    /// Which call of the turn, from 0.
    pub index: u32,
    /// In the call's first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function` in the call's first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<&'static str>,
    /// What is called.
    pub function: FunctionCallDelta,
}

/// What is new of a function's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionCallDelta {
    /// In the call's first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More of the arguments' text.
    pub arguments: String,
}
