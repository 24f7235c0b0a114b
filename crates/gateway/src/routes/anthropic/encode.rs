//! From events to Anthropic's messages. Plain functions and structs: events in, JSON out, no HTTP.

use inference::{Event, FinishReason};
use wire::anthropic::{Message, MessageDelta, StreamEvent, TextBlock, TextDelta, Usage};

use crate::{
    error::ApiError,
    generation::Whole,
    sse::{Encode, Frames},
};

/// What is known of an answer before there is one.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// The message's id.
    pub(super) id: String,
    /// The model, by the name that the request gave.
    pub(super) model: String,
    /// The request's id, for a failure inside of the stream.
    pub(super) request_id: String,
}

impl Head {
    fn message(self, content: Vec<TextBlock>, usage: Usage) -> Message {
        Message {
            id: self.id,
            r#type: "message",
            role: "assistant",
            model: self.model,
            content,
            stop_reason: None,
            stop_sequence: None,
            usage,
        }
    }
}

/// A message in one piece. It has one choice.
pub(super) fn message(head: Head, whole: Whole) -> Message {
    let usage = usage(whole.usage);
    let content = whole.choices.into_iter().next();
    let Some(choice) = content else { return head.message(Vec::new(), usage) };
    Message {
        stop_reason: Some(stop_reason(choice.reason, choice.stop.as_deref())),
        stop_sequence: choice.stop,
        ..head.message(vec![text_block(choice.text)], usage)
    }
}

/// A message in events. Its content is one block, which begins with the message.
pub(super) struct MessageStream {
    head: Head,
    /// What is known of them at the beginning.
    counts: inference::Usage,
    begun: bool,
    ended: Option<(FinishReason, Option<String>)>,
}

impl MessageStream {
    /// A message of which nothing is known yet.
    pub(super) fn new(head: Head) -> Self {
        Self { head, counts: inference::Usage::default(), begun: false, ended: None }
    }

    fn open(&mut self, frames: &mut Frames) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = self.head.clone().message(Vec::new(), usage(self.counts));
        send(&StreamEvent::MessageStart { message }, frames);
        send(&StreamEvent::ContentBlockStart { index: 0, content_block: text_block(String::new()) }, frames);
        self.ping(frames);
    }
}

impl Encode for MessageStream {
    fn begin(&mut self, counts: inference::Usage) {
        self.counts = inference::Usage { completion_tokens: 0, ..counts };
    }

    fn push(&mut self, event: Event, frames: &mut Frames) {
        match event {
            Event::Text { choice: 0, text, .. } => {
                self.open(frames);
                // A token that ends inside a character has no text yet.
                if !text.is_empty() {
                    let delta = TextDelta { r#type: "text_delta", text: &text };
                    send(&StreamEvent::ContentBlockDelta { index: 0, delta }, frames);
                }
            }
            Event::Finished { choice: 0, reason, stop } => {
                self.open(frames);
                send(&StreamEvent::ContentBlockStop { index: 0 }, frames);
                self.ended = Some((reason, stop));
            }
            Event::Started { .. } | Event::Text { .. } | Event::Finished { .. } => {}
            // How a message ended is said together with what it cost.
            Event::Done(counts) => {
                if let Some((reason, stop)) = self.ended.take() {
                    let stop_sequence = stop.as_deref();
                    let delta = MessageDelta { stop_reason: stop_reason(reason, stop_sequence), stop_sequence };
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

fn text_block(text: String) -> TextBlock {
    TextBlock { r#type: "text", text }
}

fn stop_reason(reason: FinishReason, stop: Option<&str>) -> &'static str {
    match (reason, stop) {
        (FinishReason::Stop, Some(_)) => "stop_sequence",
        (FinishReason::Stop, None) => "end_turn",
        (FinishReason::Length | FinishReason::Budget, _) => "max_tokens",
    }
}

/// Anthropic counts what came from the cache beside the input, not within.
fn usage(usage: inference::Usage) -> Usage {
    Usage {
        input_tokens: usage.prompt_tokens.saturating_sub(usage.cached_tokens),
        cache_read_input_tokens: usage.cached_tokens,
        cache_creation_input_tokens: 0,
        output_tokens: usage.completion_tokens,
    }
}

#[cfg(test)]
mod tests;
