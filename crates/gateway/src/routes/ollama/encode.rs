//! From events to Ollama's answers: lines of JSON, or one. Plain structs: events in, JSON out, no HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use inference::{Event, FinishReason, Usage};
use serde::Serialize;
use tokio::time::Instant;
use wire::ollama::{
    OllamaAnswer, OllamaAnsweredCall, OllamaAnsweredFunction, OllamaChatResponse, OllamaEnd, OllamaGenerateResponse,
};

use crate::{
    error::ApiError,
    generation::{Part, Whole},
    routes::arguments,
    sse::{Encode, Frames},
    timestamp::rfc3339,
};

/// Which of the two answers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/api/chat`.
    Chat,
    /// `/api/generate`.
    Generate,
}

/// A piece of an answer.
#[derive(Debug, Default)]
struct Piece {
    text: String,
    thinking: Option<String>,
    calls: Vec<OllamaAnsweredCall>,
}

/// Either answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Chat(OllamaChatResponse),
    Generate(OllamaGenerateResponse),
}

impl Kind {
    fn answer(self, model: &str, piece: Piece, end: Option<OllamaEnd>) -> Answer {
        let Piece { text, thinking, calls } = piece;
        let (model, created_at, done) = (model.to_owned(), written_now(), end.is_some());
        match self {
            Self::Chat => {
                let message = OllamaAnswer { role: "assistant", content: text, thinking, tool_calls: calls };
                Answer::Chat(OllamaChatResponse { model, created_at, message, done, end })
            }
            Self::Generate => {
                Answer::Generate(OllamaGenerateResponse { model, created_at, response: text, thinking, done, end })
            }
        }
    }
}

/// When a request came, and when its first token did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    first: Option<Instant>,
}

impl Clock {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, first: None }
    }

    /// Notes when the answer began.
    pub(super) fn see(&mut self, event: &Event) {
        if matches!(event, Event::Text { .. } | Event::Reasoning { .. } | Event::ToolCall { .. }) {
            self.first.get_or_insert_with(Instant::now);
        }
    }

    fn end(self, reason: FinishReason, usage: Usage) -> OllamaEnd {
        let (now, first) = (Instant::now(), self.first);
        let nanoseconds = |from: Instant, to: Instant| u64::try_from((to - from).as_nanos()).unwrap_or(u64::MAX);
        OllamaEnd {
            done_reason: match reason {
                FinishReason::Stop | FinishReason::ToolCalls => "stop",
                FinishReason::Length | FinishReason::Budget => "length",
            },
            stopped_by: (reason == FinishReason::Budget).then_some("budget"),
            total_duration: nanoseconds(self.started, now),
            load_duration: 0,
            prompt_eval_count: usage.prompt_tokens,
            prompt_eval_duration: nanoseconds(self.started, first.unwrap_or(now)),
            eval_count: usage.completion_tokens,
            eval_duration: nanoseconds(first.unwrap_or(now), now),
        }
    }
}

/// An answer in one piece.
pub(super) fn whole(kind: Kind, model: &str, clock: Clock, whole: Whole) -> Answer {
    let usage = whole.usage;
    let Some(choice) = whole.choices.into_iter().next() else {
        return kind.answer(model, Piece::default(), Some(clock.end(FinishReason::Stop, usage)));
    };
    let (text, thinking) = (choice.text(), choice.reasoning());
    let call = |part| match part {
        Part::Call { id, name, arguments } => Some(answered(id, name, arguments)),
        Part::Text(_) | Part::Reasoning(_) => None,
    };
    let calls = choice.parts.into_iter().filter_map(call).collect();
    kind.answer(model, Piece { text, thinking, calls }, Some(clock.end(choice.reason, usage)))
}

/// The answer to who only wanted the model to be loaded.
pub(super) fn loaded(kind: Kind, model: &str) -> Answer {
    kind.answer(model, Piece::default(), Some(OllamaEnd { done_reason: "load", ..OllamaEnd::default() }))
}

/// An answer in lines. A call comes whole, once its arguments have.
pub(super) struct Lines {
    kind: Kind,
    model: String,
    clock: Clock,
    /// Id, name and arguments so far.
    call: Option<(String, String, String)>,
    reason: FinishReason,
}

impl Lines {
    pub(super) fn new(kind: Kind, model: String, clock: Clock) -> Self {
        Self { kind, model, clock, call: None, reason: FinishReason::Stop }
    }

    fn line(&self, piece: Piece, end: Option<OllamaEnd>, frames: &mut Frames) {
        frames.line(&self.kind.answer(&self.model, piece, end));
    }

    fn end_call(&mut self, frames: &mut Frames) {
        if let Some((id, name, arguments)) = self.call.take() {
            self.line(Piece { calls: vec![answered(id, name, arguments)], ..Piece::default() }, None, frames);
        }
    }
}

impl Encode for Lines {
    const MEDIA_TYPE: &'static str = "application/x-ndjson";

    fn push(&mut self, event: Event, frames: &mut Frames) {
        self.clock.see(&event);
        match event {
            Event::Text { text, .. } if !text.is_empty() => {
                self.end_call(frames);
                self.line(Piece { text, ..Piece::default() }, None, frames);
            }
            Event::Reasoning { text, .. } if !text.is_empty() => {
                self.end_call(frames);
                self.line(Piece { thinking: Some(text), ..Piece::default() }, None, frames);
            }
            Event::Started { .. } | Event::Text { .. } | Event::Reasoning { .. } => {}
            Event::ToolCall { id, name, .. } => {
                self.end_call(frames);
                self.call = Some((id, name, String::new()));
            }
            Event::Arguments { text, .. } => {
                if let Some((_, _, arguments)) = &mut self.call {
                    arguments.push_str(&text);
                }
            }
            Event::Finished { reason, .. } => {
                self.end_call(frames);
                self.reason = reason;
            }
            Event::Done(usage) => self.line(Piece::default(), Some(self.clock.end(self.reason, usage)), frames),
            Event::Failed { error, .. } => frames.line(&ApiError::from(error).ollama()),
        }
    }

    /// None: a line that says nothing is more than clients expect.
    fn ping(&self, _: &mut Frames) {}
}

/// A call; arguments that broke off are closed to an object, or none.
fn answered(id: String, name: String, arguments: String) -> OllamaAnsweredCall {
    let arguments = arguments::object(arguments);
    OllamaAnsweredCall { id, function: OllamaAnsweredFunction { name, arguments } }
}

fn written_now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
