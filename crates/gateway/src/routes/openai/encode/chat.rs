//! Chat completions, whole and in chunks.

use inference::{Event, TokenLogprob, Usage};
use wire::openai::{ChatChoice, ChatChunk, ChatChunkChoice, ChatLogprobs, ChatResponse, Delta, ResponseMessage};

use super::{FINGERPRINT, Head, finish_reason, logprobs, stopped_by, usage};
use crate::{
    error::ApiError,
    generation::{Choice, Whole},
    routes::openai::convert::Render,
    sse::{Encode, Frames},
};

/// An answer in one piece.
pub(crate) fn chat_response(head: Head, render: Render, whole: Whole) -> ChatResponse {
    let choice = |(index, choice): (usize, Choice)| ChatChoice {
        index: index as u32,
        message: ResponseMessage { role: "assistant", content: choice.text, refusal: None },
        logprobs: render.logprobs.map(|top| chat_logprobs(&choice.logprobs, top)),
        finish_reason: finish_reason(choice.reason),
        stopped_by: stopped_by(choice.reason),
    };
    ChatResponse {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model,
        system_fingerprint: FINGERPRINT,
        choices: whole.choices.into_iter().enumerate().map(choice).collect(),
        usage: usage(whole.usage),
    }
}

fn chat_logprobs(tokens: &[TokenLogprob], top: u32) -> ChatLogprobs {
    ChatLogprobs { content: tokens.iter().map(|token| logprobs::chat(token, top)).collect(), refusal: None }
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
        let logprobs = self.render.logprobs.filter(|_| !tokens.is_empty()).map(|top| chat_logprobs(tokens, top));
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
            Event::Started { .. } => {}
            Event::Text { choice, text, logprobs, .. } => {
                if self.begin(choice, frames) {
                    self.text(choice, text, &logprobs, frames);
                }
            }
            Event::Finished { choice, reason, .. } => {
                if self.begin(choice, frames) {
                    let end = ChatChunkChoice {
                        finish_reason: Some(finish_reason(reason)),
                        stopped_by: stopped_by(reason),
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
            Event::Failed { error, .. } => frames.data(&ApiError::from(error).openai()),
        }
    }
}

fn go_on(index: u32, delta: Delta) -> ChatChunkChoice {
    ChatChunkChoice { index, delta, logprobs: None, finish_reason: None, stopped_by: None }
}
