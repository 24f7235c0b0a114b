//! Chat completions, whole and in chunks.

use inference::{Event, TokenLogprob, Usage};
use wire::openai::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatLogprobs, ChatResponse, Delta, FunctionCall, FunctionCallDelta,
    ResponseMessage, ToolCall, ToolCallDelta,
};

use super::{FINGERPRINT, Head, finish_reason, logprobs, stopped_by, usage, usage_of_chunk};
use crate::{
    apart::Flattening,
    error::ApiError,
    generation::{Beginning, Choice, Part, Whole},
    routes::openai::convert::{CountsIn, Render},
    sse::{Encode, Frames},
};

/// An answer in one piece.
pub(crate) fn chat_response(head: Head, render: Render, whole: Whole) -> ChatResponse {
    let choice = |(index, choice): (usize, Choice)| ChatChoice {
        index: index as u32,
        logprobs: render.logprobs.map(|top| chat_logprobs(&choice.logprobs, top)),
        finish_reason: finish_reason(choice.reason),
        stopped_by: stopped_by(choice.reason),
        message: message(choice),
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

fn message(choice: Choice) -> ResponseMessage {
    let (text, reasoning_content) = (choice.text(), choice.reasoning());
    let call = |part: Part| match part {
        Part::Call { id, name, arguments } => {
            Some(ToolCall { id, r#type: "function".to_owned(), function: FunctionCall { name, arguments } })
        }
        Part::Text(_) | Part::Reasoning(_) => None,
    };
    let tool_calls: Vec<ToolCall> = choice.parts.into_iter().filter_map(call).collect();
    let content = Some(text).filter(|text| !text.is_empty() || tool_calls.is_empty());
    ResponseMessage { role: "assistant", content, reasoning_content, tool_calls, refusal: None }
}

fn chat_logprobs(tokens: &[TokenLogprob], top: u32) -> ChatLogprobs {
    ChatLogprobs { content: tokens.iter().map(|token| logprobs::chat(token, top)).collect(), refusal: None }
}

/// An answer in chunks.
pub(crate) struct ChatStream {
    head: Head,
    render: Render,
    /// What ran so far.
    running: Usage,
    choices: Vec<Progress>,
}

/// How far a choice has come.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// It was said who speaks.
    begun: bool,
    /// Tool calls so far.
    calls: u32,
    /// Its texts become one.
    pieces: Flattening,
}

impl ChatStream {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(head: Head, render: Render) -> Self {
        let choices = vec![Progress::default(); render.choices as usize];
        Self { head, render, running: Usage::default(), choices }
    }

    fn chunk(&self, choices: Vec<ChatChunkChoice>, counts: Option<Usage>, frames: &mut Frames) {
        frames.data(&ChatChunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: &self.head.model,
            system_fingerprint: FINGERPRINT,
            choices,
            usage: usage_of_chunk(self.render.counts, counts, self.running),
        });
    }

    /// The choice's first chunk says who speaks and nothing else. False for a choice that nobody asked for.
    fn begin(&mut self, choice: u32, frames: &mut Frames) -> bool {
        let Some(progress) = self.choices.get_mut(choice as usize) else { return false };
        if !std::mem::replace(&mut progress.begun, true) {
            let delta = Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() };
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
        let delta = Delta { content: Some(text), ..Delta::default() };
        self.chunk(vec![ChatChunkChoice { logprobs, ..go_on(choice, delta) }], None, frames);
    }

    fn call(&self, choice: u32, call: ToolCallDelta, frames: &mut Frames) {
        let delta = Delta { tool_calls: Some([call]), ..Delta::default() };
        self.chunk(vec![go_on(choice, delta)], None, frames);
    }
}

impl Encode for ChatStream {
    fn begin(&mut self, known: Beginning) {
        self.running = Usage { completion_tokens: 0, reasoning_tokens: 0, ..known.counts };
    }

    fn push(&mut self, event: Event, frames: &mut Frames) {
        self.running.count(&event);
        match event {
            Event::Started { .. } => {}
            Event::Reasoning { choice, text } => {
                if self.begin(choice, frames) && !text.is_empty() {
                    let text = self.choices[choice as usize].pieces.reasoning(text);
                    let delta = Delta { reasoning_content: Some(text), ..Delta::default() };
                    self.chunk(vec![go_on(choice, delta)], None, frames);
                }
            }
            Event::ToolCall { choice, id, name } => {
                if self.begin(choice, frames) {
                    let progress = &mut self.choices[choice as usize];
                    progress.pieces.call();
                    let index = progress.calls;
                    progress.calls += 1;
                    let function = FunctionCallDelta { name: Some(name), arguments: String::new() };
                    let call = ToolCallDelta { index, id: Some(id), r#type: Some("function"), function };
                    self.call(choice, call, frames);
                }
            }
            Event::Arguments { choice, text } => {
                let calls = self.choices.get(choice as usize).map_or(0, |progress| progress.calls);
                // Arguments without a call belong to nothing.
                if let Some(index) = calls.checked_sub(1) {
                    let function = FunctionCallDelta { name: None, arguments: text };
                    self.call(choice, ToolCallDelta { index, id: None, r#type: None, function }, frames);
                }
            }
            Event::Text { choice, text, logprobs, .. } => {
                if self.begin(choice, frames) {
                    let text = self.choices[choice as usize].pieces.text(text);
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
                if self.render.counts != CountsIn::Nowhere {
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
