//! The events of a streamed response.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ChatTokenLogprob, ReasoningPart, ResponseItem, ResponseObject, ResponsePart};

/// An event with its number.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResponseEvent<'a> {
    /// What happened.
    #[serde(flatten)]
    pub event: ResponseEventKind<'a>,
    /// From 0.
    pub sequence_number: u64,
}

/// One event. Its name stands in the `event:` line and as `type` in the data.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type")]
pub enum ResponseEventKind<'a> {
    /// The first one.
    #[serde(rename = "response.created")]
    Created {
        /// The response, without output.
        response: &'a ResponseObject,
    },
    /// It waits for its turn, in the background.
    #[serde(rename = "response.queued")]
    Queued {
        /// The response, without output.
        response: &'a ResponseObject,
    },
    /// The model is asked.
    #[serde(rename = "response.in_progress")]
    InProgress {
        /// The response, without output.
        response: &'a ResponseObject,
    },
    /// An item begins.
    #[serde(rename = "response.output_item.added")]
    OutputItemAdded {
        /// Its place in the output, from 0.
        output_index: usize,
        /// The item, empty.
        item: &'a ResponseItem,
    },
    /// A part of an item begins.
    #[serde(rename = "response.content_part.added")]
    ContentPartAdded {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// The part's place in the item, from 0.
        content_index: usize,
        /// The part, empty.
        part: EventPart<'a>,
    },
    /// A text goes on.
    #[serde(rename = "response.output_text.delta")]
    OutputTextDelta {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// The part's place in the item.
        content_index: usize,
        /// What is new.
        delta: &'a str,
        /// Of its tokens, where they were asked for.
        logprobs: &'a [ChatTokenLogprob],
    },
    /// A text has ended.
    #[serde(rename = "response.output_text.done")]
    OutputTextDone {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// The part's place in the item.
        content_index: usize,
        /// The whole text.
        text: &'a str,
        /// Of all its tokens, where they were asked for.
        logprobs: &'a [ChatTokenLogprob],
    },
    /// Reasoning goes on.
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningTextDelta {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// The part's place in the item.
        content_index: usize,
        /// What is new.
        delta: &'a str,
    },
    /// Reasoning has ended.
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningTextDone {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// The part's place in the item.
        content_index: usize,
        /// The whole text.
        text: &'a str,
    },
    /// The arguments of a call go on.
    #[serde(rename = "response.function_call_arguments.delta")]
    FunctionCallArgumentsDelta {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// What is new.
        delta: &'a str,
    },
    /// The arguments of a call have ended.
    #[serde(rename = "response.function_call_arguments.done")]
    FunctionCallArgumentsDone {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// The function.
        name: &'a str,
        /// The whole text.
        arguments: &'a str,
    },
    /// A part of an item has ended.
    #[serde(rename = "response.content_part.done")]
    ContentPartDone {
        /// The item's id.
        item_id: &'a str,
        /// The item's place in the output.
        output_index: usize,
        /// The part's place in the item.
        content_index: usize,
        /// The part, whole.
        part: EventPart<'a>,
    },
    /// An item has ended.
    #[serde(rename = "response.output_item.done")]
    OutputItemDone {
        /// Its place in the output.
        output_index: usize,
        /// The item, whole.
        item: &'a ResponseItem,
    },
    /// The last one, where the model ended its turn.
    #[serde(rename = "response.completed")]
    Completed {
        /// The response, whole.
        response: &'a ResponseObject,
    },
    /// The last one, where the answer was cut.
    #[serde(rename = "response.incomplete")]
    Incomplete {
        /// The response, as far as it came.
        response: &'a ResponseObject,
    },
    /// The last one, where something went wrong; `error` says what.
    #[serde(rename = "response.failed")]
    Failed {
        /// The response, as far as it came.
        response: &'a ResponseObject,
    },
}

/// A part of a message or of reasoning.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EventPart<'a> {
    /// Of a message.
    Text(&'a ResponsePart),
    /// Of reasoning.
    Reasoning(&'a ReasoningPart),
}

impl ResponseEventKind<'_> {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::Queued { .. } => "response.queued",
            Self::InProgress { .. } => "response.in_progress",
            Self::OutputItemAdded { .. } => "response.output_item.added",
            Self::ContentPartAdded { .. } => "response.content_part.added",
            Self::OutputTextDelta { .. } => "response.output_text.delta",
            Self::OutputTextDone { .. } => "response.output_text.done",
            Self::ReasoningTextDelta { .. } => "response.reasoning_text.delta",
            Self::ReasoningTextDone { .. } => "response.reasoning_text.done",
            Self::FunctionCallArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Self::FunctionCallArgumentsDone { .. } => "response.function_call_arguments.done",
            Self::ContentPartDone { .. } => "response.content_part.done",
            Self::OutputItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Failed { .. } => "response.failed",
        }
    }
}
