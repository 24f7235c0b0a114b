//! The items that responses are made of: what goes in, and what comes out.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::ChatTokenLogprob;
use crate::text_or_list;

/// What is asked: a text, or items.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ResponseInput {
    /// What the user says.
    Text(String),
    /// Turns, calls and their results, oldest first.
    Items(Vec<ResponseInputItem>),
}

impl<'de> Deserialize<'de> for ResponseInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list::deserialize(deserializer, "a string or a list of items", Self::Text, Self::Items)
    }
}

/// An item as callers write it. Which fields it needs depends on its type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ResponseInputItem {
    /// `message` (the default where there is a role), `function_call`, `function_call_output` or `reasoning`.
    #[serde(default)]
    pub r#type: Option<String>,
    /// The item's id, where it has one.
    #[serde(default)]
    pub id: Option<String>,
    /// Of a message: `user`, `assistant`, `system` or `developer`.
    #[serde(default)]
    pub role: Option<String>,
    /// Of a message, and of reasoning.
    #[serde(default)]
    pub content: Option<ResponseInputContent>,
    /// Of a call and of its output: what both have in common.
    #[serde(default)]
    pub call_id: Option<String>,
    /// Of a call: the function.
    #[serde(default)]
    pub name: Option<String>,
    /// Of a call: a JSON object, as text.
    #[serde(default)]
    pub arguments: Option<String>,
    /// Of a call's output: what the function returned.
    #[serde(default)]
    pub output: Option<ResponseInputContent>,
}

/// A text, whole or in parts.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ResponseInputContent {
    /// Whole.
    Text(String),
    /// In parts.
    Parts(Vec<ResponseInputPart>),
}

impl<'de> Deserialize<'de> for ResponseInputContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list::deserialize(deserializer, "a string or a list of content parts", Self::Text, Self::Parts)
    }
}

/// One part of a text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResponseInputPart {
    /// `input_text` or `output_text`; of reasoning `reasoning_text`.
    pub r#type: String,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
}

/// An item, complete: of an answer, and of what was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseItem {
    /// A turn, or a part of one.
    Message {
        /// Its id.
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// Who speaks.
        role: ItemRole,
        /// What is said.
        content: Vec<ResponsePart>,
    },
    /// What the model thought. It may be given back with the rest.
    Reasoning {
        /// Its id.
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// Always empty: the reasoning is told in full.
        #[serde(default)]
        summary: Vec<ReasoningPart>,
        /// The reasoning.
        #[serde(default)]
        content: Vec<ReasoningPart>,
    },
    /// A call of a function.
    FunctionCall {
        /// Its id.
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// Names the call; its output says the same.
        call_id: String,
        /// The function.
        name: String,
        /// A JSON object, as text. It is broken off where the item is incomplete.
        arguments: String,
    },
    /// What a function returned.
    FunctionCallOutput {
        /// Its id.
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// The call that it belongs to.
        call_id: String,
        /// What it returned.
        output: String,
    },
}

impl ResponseItem {
    /// The item's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Message { id, .. } | Self::Reasoning { id, .. } => id,
            Self::FunctionCall { id, .. } | Self::FunctionCallOutput { id, .. } => id,
        }
    }
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// It is being made.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut.
    Incomplete,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemRole {
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// Instructions.
    System,
    /// The same.
    Developer,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponsePart {
    /// Of the caller.
    InputText {
        /// The text.
        text: String,
    },
    /// Of the model.
    OutputText {
        /// The text.
        text: String,
        /// Always empty: nothing is looked up here.
        #[serde(default)]
        #[schema(value_type = Vec<Object>)]
        annotations: [(); 0],
        /// Of every token, where `include` asks for them.
        #[serde(default, skip_deserializing)]
        logprobs: Vec<ChatTokenLogprob>,
    },
}

impl ResponsePart {
    /// A text of the model.
    pub fn output(text: String) -> Self {
        Self::OutputText { text, annotations: [], logprobs: Vec::new() }
    }

    /// What it says.
    pub fn text(&self) -> &str {
        match self {
            Self::InputText { text } | Self::OutputText { text, .. } => text,
        }
    }
}

/// A part of reasoning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasoningPart {
    /// `reasoning_text`.
    pub r#type: String,
    /// The text.
    pub text: String,
}

impl ReasoningPart {
    /// Reasoning.
    pub fn new(text: String) -> Self {
        Self { r#type: "reasoning_text".to_owned(), text }
    }
}
