//! Completions, whole and in chunks. Both have the same shape, so a chunk is a small answer.

use inference::{Event, TokenLogprob, Usage};
use serde::Serialize;
use wire::openai::{CompletionChoice, CompletionLogprobs, CompletionResponse};

use super::{
    FINGERPRINT, Head, finish_reason,
    logprobs::{Lists, Offsets},
    stopped_by, usage, usage_of_chunk,
};
use crate::{
    error::ApiError,
    generation::{Beginning, Choice, Whole},
    routes::openai::convert::{CountsIn, Render},
    sse::{Encode, Frames},
};

/// An answer in one piece, ready to be written.
pub(crate) fn completion_response(head: Head, render: Render, whole: Whole) -> impl Serialize {
    let choice = |(index, choice): (usize, Choice)| CompletionChoice {
        index: index as u32,
        text: choice.text(),
        logprobs: render.logprobs.map(|top| lists(&choice.logprobs, top, &mut Offsets::default())),
        finish_reason: Some(finish_reason(choice.reason)),
        stopped_by: stopped_by(choice.reason),
    };
    let choices = whole.choices.into_iter().enumerate().map(choice).collect();
    Owned { head, choices, counts: whole.usage }
}

fn lists(tokens: &[TokenLogprob], top: u32, offsets: &mut Offsets) -> CompletionLogprobs {
    let mut lists = Lists::new(top);
    lists.extend(tokens, offsets);
    lists.finish()
}

/// Owns what [`CompletionResponse`] borrows.
struct Owned {
    head: Head,
    choices: Vec<CompletionChoice>,
    counts: Usage,
}

impl Serialize for Owned {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        response(&self.head, self.choices.clone(), Some(Some(usage(self.counts)))).serialize(serializer)
    }
}

/// An answer in chunks.
pub(crate) struct CompletionStream {
    head: Head,
    render: Render,
    /// What ran so far.
    running: Usage,
    /// Where each choice's next token begins.
    offsets: Vec<Offsets>,
}

impl CompletionStream {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(head: Head, render: Render) -> Self {
        let offsets = vec![Offsets::default(); render.choices as usize];
        Self { head, render, running: Usage::default(), offsets }
    }

    fn chunk(&self, choices: Vec<CompletionChoice>, counts: Option<Usage>, frames: &mut Frames) {
        let counts = usage_of_chunk(self.render.counts, counts, self.running);
        frames.data(&response(&self.head, choices, counts));
    }

    fn text(&mut self, index: u32, text: String, tokens: &[TokenLogprob], frames: &mut Frames) {
        let Some(offsets) = self.offsets.get_mut(index as usize) else { return };
        let logprobs = self.render.logprobs.filter(|_| !tokens.is_empty()).map(|top| lists(tokens, top, offsets));
        // A token that ends inside a character has no text yet; it says something only with its probability.
        if !text.is_empty() || logprobs.is_some() {
            self.chunk(
                vec![CompletionChoice { index, text, logprobs, finish_reason: None, stopped_by: None }],
                None,
                frames,
            );
        }
    }
}

impl Encode for CompletionStream {
    fn begin(&mut self, known: Beginning) {
        self.running = Usage { completion_tokens: 0, reasoning_tokens: 0, ..known.counts };
    }

    fn push(&mut self, event: Event, frames: &mut Frames) {
        self.running.count(&event);
        match event {
            // A prompt is continued, no conversation: nothing is thought and no tool is called.
            Event::Started { .. } | Event::Reasoning { .. } | Event::ToolCall { .. } | Event::Arguments { .. } => {}
            Event::Text { choice, text, logprobs, .. } => self.text(choice, text, &logprobs, frames),
            Event::Finished { choice, .. } if choice >= self.render.choices => {}
            Event::Finished { choice, reason, .. } => {
                let (finish_reason, stopped_by) = (Some(finish_reason(reason)), stopped_by(reason));
                let end =
                    CompletionChoice { index: choice, text: String::new(), logprobs: None, finish_reason, stopped_by };
                self.chunk(vec![end], None, frames);
            }
            Event::Done(counts) => {
                if self.render.counts != CountsIn::Nowhere {
                    self.chunk(Vec::new(), Some(counts), frames);
                }
                frames.done();
            }
            Event::Failed { error, .. } => frames.data(&ApiError::from(error).openai()),
        }
    }
}

fn response(
    head: &Head,
    choices: Vec<CompletionChoice>,
    usage: Option<Option<wire::openai::Usage>>,
) -> CompletionResponse<'_> {
    CompletionResponse {
        id: &head.id,
        object: "text_completion",
        created: head.created,
        model: &head.model,
        system_fingerprint: FINGERPRINT,
        choices,
        usage,
    }
}
