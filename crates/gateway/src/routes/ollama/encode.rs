//! From events to Ollama's answers: lines of JSON, or one. Plain structs: events in, JSON out, no HTTP.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inference::{Event, FinishReason, Usage};
use serde::Serialize;
use tokio::time::Instant;
use wire::ollama::{
    OllamaAnswer, OllamaAnsweredCall, OllamaAnsweredFunction, OllamaChatResponse, OllamaEnd, OllamaGenerateResponse,
};

use crate::{
    apart::Flattening,
    error::ApiError,
    generation::{Beginning, Part, Whole},
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

/// When a request came, how long its model was loaded, and when its first token came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    loading: Duration,
    first: Option<Instant>,
}

impl Clock {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, loading: Duration::ZERO, first: None }
    }

    /// Notes how long the model was loaded.
    pub(super) fn loaded_in(&mut self, loading: Duration) {
        self.loading = loading;
    }

    /// Notes when the answer began.
    pub(super) fn see(&mut self, event: &Event) {
        if matches!(event, Event::Text { .. } | Event::Reasoning { .. } | Event::ToolCall { .. }) {
            self.first.get_or_insert_with(Instant::now);
        }
    }

    fn end(self, reason: FinishReason, usage: Usage) -> OllamaEnd {
        let now = Instant::now();
        let first = self.first.unwrap_or(now);
        OllamaEnd {
            done_reason: match reason {
                FinishReason::Stop | FinishReason::ToolCalls => "stop",
                FinishReason::Length | FinishReason::Budget => "length",
            },
            stopped_by: (reason == FinishReason::Budget).then_some("budget"),
            total_duration: nanoseconds(now - self.started),
            prompt_eval_count: usage.prompt_tokens,
            prompt_eval_duration: nanoseconds((first - self.started).saturating_sub(self.loading)),
            eval_count: usage.completion_tokens,
            eval_duration: nanoseconds(now - first),
            ..self.loaded()
        }
    }

    /// The end of a request for which nothing was to be done but to load the model.
    fn loaded(self) -> OllamaEnd {
        OllamaEnd {
            done_reason: "load",
            total_duration: nanoseconds(self.started.elapsed()),
            load_duration: nanoseconds(self.loading),
            ..OllamaEnd::default()
        }
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
pub(super) fn loaded(kind: Kind, model: &str, clock: Clock) -> Answer {
    kind.answer(model, Piece::default(), Some(clock.loaded()))
}

/// An answer in lines. A call comes whole, once its arguments have.
pub(super) struct Lines {
    kind: Kind,
    model: String,
    clock: Clock,
    /// Id, name and arguments so far.
    call: Option<(String, String, String)>,
    /// Its texts become one.
    pieces: Flattening,
    reason: FinishReason,
}

impl Lines {
    pub(super) fn new(kind: Kind, model: String, clock: Clock) -> Self {
        Self { kind, model, clock, call: None, pieces: Flattening::default(), reason: FinishReason::Stop }
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

    fn begin(&mut self, known: Beginning) {
        self.clock.loaded_in(known.loading);
    }

    fn push(&mut self, event: Event, frames: &mut Frames) {
        self.clock.see(&event);
        match event {
            Event::Text { text, .. } if !text.is_empty() => {
                self.end_call(frames);
                let text = self.pieces.text(text);
                self.line(Piece { text, ..Piece::default() }, None, frames);
            }
            Event::Reasoning { text, .. } if !text.is_empty() => {
                self.end_call(frames);
                let text = self.pieces.reasoning(text);
                self.line(Piece { thinking: Some(text), ..Piece::default() }, None, frames);
            }
            Event::Started { .. } | Event::Text { .. } | Event::Reasoning { .. } => {}
            Event::ToolCall { id, name, .. } => {
                self.end_call(frames);
                self.pieces.call();
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_durations_of_an_answer_follow_each_other() {
        let seconds = Duration::from_secs;
        let mut clock = Clock::new(Instant::now());
        clock.loaded_in(seconds(2));
        advance(seconds(5)).await;
        clock.see(&Event::Text { choice: 0, text: "a".into(), tokens: 1, reasoning_tokens: 0, logprobs: vec![] });
        advance(seconds(4)).await;
        let end = clock.end(FinishReason::Stop, Usage::default());
        let found = [end.total_duration, end.load_duration, end.prompt_eval_duration, end.eval_duration];
        assert_eq!(found, [9, 2, 3, 4].map(|whole| nanoseconds(seconds(whole))));
        let end = clock.loaded();
        assert_eq!((end.done_reason, end.load_duration, end.total_duration), ("load", 2_000_000_000, 9_000_000_000));
    }
}
