//! The events of a streamed message.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Block, Message, Usage};

/// One event. Its name stands in the `event:` line and as `type` in the data.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicStreamEvent)]
pub enum StreamEvent<'a> {
    /// The first one: a message without content. Its usage counts the whole prompt as computed; what came from the cache
    /// is known at the end.
    MessageStart {
        /// The message.
        message: Message,
    },
    /// A block begins.
    ContentBlockStart {
        /// The block's place in the content, from 0.
        index: u32,
        /// The block, empty.
        content_block: Block,
    },
    /// Nothing is new, but the server lives.
    Ping {},
    /// A block goes on.
    ContentBlockDelta {
        /// The block's place in the content, from 0.
        index: u32,
        /// What is new.
        delta: BlockDelta<'a>,
    },
    /// A block has ended.
    ContentBlockStop {
        /// The block's place in the content, from 0.
        index: u32,
    },
    /// The message has ended.
    MessageDelta {
        /// How it ended.
        delta: MessageDelta<'a>,
        /// The counts of the whole request; they replace those of `message_start`.
        usage: Usage,
    },
    /// The last one.
    MessageStop {},
}

impl StreamEvent<'_> {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::Ping {} => "ping",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop {} => "message_stop",
        }
    }
}

/// What is new in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = AnthropicBlockDelta)]
pub enum BlockDelta<'a> {
    /// Of a text.
    TextDelta {
        /// What follows.
        text: &'a str,
    },
    /// Of what the model thought.
    ThinkingDelta {
        /// What follows.
        thinking: &'a str,
    },
    /// The end of what the model thought.
    SignatureDelta {
        /// For the client to send back. It says nothing.
        signature: &'a str,
    },
    /// Of a tool's arguments.
    InputJsonDelta {
        /// What follows of their JSON text.
        partial_json: &'a str,
    },
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnthropicMessageDelta)]
pub struct MessageDelta<'a> {
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`.
    pub stop_reason: &'static str,
    /// The string of `stop_sequences` that came.
    pub stop_sequence: Option<&'a str>,
    /// `budget` where a limit of the caller ended the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<&'static str>,
}
