//! From events to Anthropic's messages. Plain functions and structs: events in, JSON out, no HTTP.

use inference::{Event, FinishReason};
use serde_json::value::RawValue;
use wire::anthropic::{Block, BlockDelta, Message, MessageDelta, OutputTokensDetails, StreamEvent, Usage};

use crate::{
    error::ApiError,
    generation::{Beginning, Part, Whole},
    routes::arguments,
    sse::{Encode, Frames},
};

/// Stands where Anthropic signs what was thought: clients expect something and send it back.
const SIGNATURE: &str = "unsigned";

/// What is known of an answer before there is one.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// The message's id.
    pub(super) id: String,
    /// The model, by the name that the request gave.
    pub(super) model: String,
    /// The request's id, for a failure inside of the stream.
    pub(super) request_id: String,
    /// Whether thinking blocks hold what was thought.
    pub(super) shows_thinking: bool,
}

impl Head {
    fn message(self, content: Vec<Block>, usage: Usage) -> Message {
        Message {
            id: self.id,
            r#type: "message",
            role: "assistant",
            model: self.model,
            content,
            stop_reason: None,
            stop_sequence: None,
            stopped_by: None,
            usage,
        }
    }
}

/// A message in one piece. It has one choice.
pub(super) fn message(head: Head, whole: Whole) -> Message {
    let usage = usage(whole.usage);
    let (shows_thinking, content) = (head.shows_thinking, whole.choices.into_iter().next());
    let Some(choice) = content else { return head.message(Vec::new(), usage) };
    let block = |part| match part {
        Part::Text(text) => Block::Text { text },
        Part::Reasoning(thinking) => {
            Block::Thinking { thinking: if shows_thinking { thinking } else { String::new() }, signature: SIGNATURE }
        }
        Part::Call { id, name, arguments } => Block::ToolUse { id, name, input: arguments::object(arguments) },
    };
    let mut content: Vec<Block> = choice.parts.into_iter().map(block).collect();
    if content.is_empty() {
        // Clients look at the first block without asking whether there is one.
        content.push(Block::Text { text: String::new() });
    }
    Message {
        stop_reason: Some(stop_reason(choice.reason, choice.stop.as_deref())),
        stop_sequence: choice.stop,
        stopped_by: stopped_by(choice.reason),
        ..head.message(content, usage)
    }
}

/// A message in events. A block begins with what it is to hold, and ends where something else begins.
pub(super) struct MessageStream {
    head: Head,
    /// What is known of them at the beginning.
    counts: inference::Usage,
    begun: bool,
    /// Blocks that have begun.
    blocks: u32,
    /// What the latest block holds, unless it has ended.
    open: Option<Kind>,
    ended: Option<(FinishReason, Option<String>)>,
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    ToolUse,
}

impl MessageStream {
    /// A message of which nothing is known yet.
    pub(super) fn new(head: Head) -> Self {
        Self { head, counts: inference::Usage::default(), begun: false, blocks: 0, open: None, ended: None }
    }

    fn open(&mut self, frames: &mut Frames) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = self.head.clone().message(Vec::new(), usage(self.counts));
        send(&StreamEvent::MessageStart { message }, frames);
        self.ping(frames);
    }

    fn begin_block(&mut self, kind: Kind, content_block: Block, frames: &mut Frames) {
        self.end_block(frames);
        send(&StreamEvent::ContentBlockStart { index: self.blocks, content_block }, frames);
        self.blocks += 1;
        self.open = Some(kind);
    }

    fn end_block(&mut self, frames: &mut Frames) {
        let Some(kind) = self.open.take() else { return };
        if kind == Kind::Thinking {
            self.send_delta(BlockDelta::SignatureDelta { signature: SIGNATURE }, frames);
        }
        send(&StreamEvent::ContentBlockStop { index: self.blocks - 1 }, frames);
    }

    /// Goes on in a block of this kind; nothing is no reason to begin one.
    fn go_on(&mut self, kind: Kind, text: &str, frames: &mut Frames) {
        if text.is_empty() {
            return;
        }
        let delta = match kind {
            Kind::Text => BlockDelta::TextDelta { text },
            Kind::Thinking => BlockDelta::ThinkingDelta { thinking: text },
            Kind::ToolUse => BlockDelta::InputJsonDelta { partial_json: text },
        };
        if self.open != Some(kind) {
            let block = match kind {
                Kind::Text => Block::Text { text: String::new() },
                Kind::Thinking => Block::Thinking { thinking: String::new(), signature: "" },
                // Arguments without a call belong to nothing.
                Kind::ToolUse => return,
            };
            self.begin_block(kind, block, frames);
        }
        if kind != Kind::Thinking || self.head.shows_thinking {
            self.send_delta(delta, frames);
        }
    }

    fn send_delta(&self, delta: BlockDelta<'_>, frames: &mut Frames) {
        send(&StreamEvent::ContentBlockDelta { index: self.blocks - 1, delta }, frames);
    }
}

impl Encode for MessageStream {
    fn begin(&mut self, known: Beginning) {
        self.counts = inference::Usage { completion_tokens: 0, reasoning_tokens: 0, ..known.counts };
    }

    fn push(&mut self, mut event: Event, frames: &mut Frames) {
        if event.choice_mut().is_some_and(|choice| *choice != 0) {
            return;
        }
        match event {
            Event::Started { .. } => {}
            Event::Text { text, .. } => {
                self.open(frames);
                self.go_on(Kind::Text, &text, frames);
            }
            Event::Reasoning { text, .. } => {
                self.open(frames);
                self.go_on(Kind::Thinking, &text, frames);
            }
            Event::ToolCall { id, name, .. } => {
                self.open(frames);
                let input = RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned());
                self.begin_block(Kind::ToolUse, Block::ToolUse { id, name, input }, frames);
            }
            Event::Arguments { text, .. } => self.go_on(Kind::ToolUse, &text, frames),
            Event::Finished { reason, stop, .. } => {
                self.open(frames);
                if self.blocks == 0 {
                    self.begin_block(Kind::Text, Block::Text { text: String::new() }, frames);
                }
                self.end_block(frames);
                self.ended = Some((reason, stop));
            }
            // How a message ended is said together with what it cost.
            Event::Done(counts) => {
                if let Some((reason, stop)) = self.ended.take() {
                    let stop_sequence = stop.as_deref();
                    let (stop_reason, stopped_by) = (stop_reason(reason, stop_sequence), stopped_by(reason));
                    let delta = MessageDelta { stop_reason, stop_sequence, stopped_by };
                    send(&StreamEvent::MessageDelta { delta, usage: usage(counts) }, frames);
                }
                send(&StreamEvent::MessageStop {}, frames);
            }
            Event::Failed { error, .. } => {
                frames.event("error", &ApiError::from(error).anthropic(&self.head.request_id));
            }
        }
    }

    fn ping(&self, frames: &mut Frames) {
        send(&StreamEvent::Ping {}, frames);
    }
}

fn send(event: &StreamEvent<'_>, frames: &mut Frames) {
    frames.event(event.name(), event);
}

fn stopped_by(reason: FinishReason) -> Option<&'static str> {
    (reason == FinishReason::Budget).then_some("budget")
}

fn stop_reason(reason: FinishReason, stop: Option<&str>) -> &'static str {
    match (reason, stop) {
        (FinishReason::Stop, Some(_)) => "stop_sequence",
        (FinishReason::Stop, None) => "end_turn",
        (FinishReason::Length | FinishReason::Budget, _) => "max_tokens",
        (FinishReason::ToolCalls, _) => "tool_use",
    }
}

/// Anthropic counts what came from the cache beside the input, not within.
fn usage(usage: inference::Usage) -> Usage {
    Usage {
        input_tokens: usage.prompt_tokens.saturating_sub(usage.cached_tokens),
        cache_read_input_tokens: usage.cached_tokens,
        cache_creation_input_tokens: 0,
        output_tokens: usage.completion_tokens,
        output_tokens_details: OutputTokensDetails { thinking_tokens: usage.reasoning_tokens },
    }
}

#[cfg(test)]
mod tests;
