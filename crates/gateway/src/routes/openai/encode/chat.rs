//! Chat completions, whole and in chunks.

use inference::{Event, TokenLogprob, Usage};
use wire::openai::{ChatChoice, ChatChunk, ChatChunkChoice, ChatLogprobs, ChatResponse, Delta, ResponseMessage};

use super::{FINGERPRINT, Head, finish_reason, logprobs, usage};
use crate::{
    error::ApiError,
    routes::openai::convert::Render,
    sse::{Encode, Frames},
};

/// An answer in one piece.
pub(crate) struct ChatAnswer {
    head: Head,
    logprobs: Option<u32>,
    choices: Vec<ChatChoice>,
}

impl ChatAnswer {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(head: Head, render: Render) -> Self {
        let choice = |index| ChatChoice {
            index,
            message: ResponseMessage { role: "assistant", content: String::new(), refusal: None },
            logprobs: render.logprobs.map(|_| ChatLogprobs::default()),
            finish_reason: "stop",
        };
        Self { head, logprobs: render.logprobs, choices: (0..render.choices).map(choice).collect() }
    }

    /// Takes what an event says. Terminal events say nothing about a choice.
    pub(crate) fn push(&mut self, event: Event) {
        match event {
            Event::Text { choice, text, logprobs } => {
                let Some(choice) = self.choices.get_mut(choice as usize) else { return };
                choice.message.content.push_str(&text);
                if let (Some(kept), Some(top)) = (&mut choice.logprobs, self.logprobs) {
                    kept.content.extend(logprobs.iter().map(|token| logprobs::chat(token, top)));
                }
            }
            Event::Finished { choice, reason } => {
                if let Some(choice) = self.choices.get_mut(choice as usize) {
                    choice.finish_reason = finish_reason(reason);
                }
            }
            Event::Done(_) | Event::Failed { .. } => {}
        }
    }

    /// The answer.
    pub(crate) fn finish(self, counts: Usage) -> ChatResponse {
        ChatResponse {
            id: self.head.id,
            object: "chat.completion",
            created: self.head.created,
            model: self.head.model,
            system_fingerprint: FINGERPRINT,
            choices: self.choices,
            usage: usage(counts),
        }
    }
}

/// An answer in chunks.
pub(crate) struct ChatStream {
    head: Head,
    render: Render,
    /// Which choices have said who speaks.
    begun: Vec<bool>,
}

impl ChatStream {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(head: Head, render: Render) -> Self {
        Self { head, render, begun: vec![false; render.choices as usize] }
    }

    fn chunk(&self, choices: Vec<ChatChunkChoice>, counts: Option<Usage>, frames: &mut Frames) {
        frames.data(&ChatChunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: &self.head.model,
            system_fingerprint: FINGERPRINT,
            choices,
            usage: self.render.include_usage.then(|| counts.map(usage)),
        });
    }

    /// The choice's first chunk says who speaks and nothing else. False for a choice that nobody asked for.
    fn begin(&mut self, choice: u32, frames: &mut Frames) -> bool {
        let Some(begun) = self.begun.get_mut(choice as usize) else { return false };
        if !std::mem::replace(begun, true) {
            let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
            self.chunk(vec![go_on(choice, delta)], None, frames);
        }
        true
    }

    fn text(&self, choice: u32, text: String, tokens: &[TokenLogprob], frames: &mut Frames) {
        let logprobs = self.render.logprobs.filter(|_| !tokens.is_empty()).map(|top| ChatLogprobs {
            content: tokens.iter().map(|token| logprobs::chat(token, top)).collect(),
            refusal: None,
        });
        // A token that ends inside a character has no text yet; it says something only with its probability.
        if text.is_empty() && logprobs.is_none() {
            return;
        }
        let delta = Delta { role: None, content: Some(text) };
        self.chunk(vec![ChatChunkChoice { logprobs, ..go_on(choice, delta) }], None, frames);
    }
}

impl Encode for ChatStream {
    fn push(&mut self, event: Event, frames: &mut Frames) {
        match event {
            Event::Text { choice, text, logprobs } => {
                if self.begin(choice, frames) {
                    self.text(choice, text, &logprobs, frames);
                }
            }
            Event::Finished { choice, reason } => {
                if self.begin(choice, frames) {
                    let end = ChatChunkChoice {
                        finish_reason: Some(finish_reason(reason)),
                        ..go_on(choice, Delta::default())
                    };
                    self.chunk(vec![end], None, frames);
                }
            }
            Event::Done(counts) => {
                if self.render.include_usage {
                    self.chunk(Vec::new(), Some(counts), frames);
                }
                frames.done();
            }
            Event::Failed { error, .. } => frames.data(&ApiError::from(error).body()),
        }
    }
}

fn go_on(index: u32, delta: Delta) -> ChatChunkChoice {
    ChatChunkChoice { index, delta, logprobs: None, finish_reason: None }
}
