//! A response as it comes to be: events go in, items and events of the stream come out. Plain, without HTTP.

use axum::http::StatusCode;
use inference::{Event, FinishReason, TokenLogprob, Usage};
use wire::openai::{
    ChatTokenLogprob, EventPart, IncompleteDetails, InputTokensDetails, ItemRole, ItemStatus, OutputTokensDetails,
    ReasoningPart, ResponseEvent, ResponseEventKind as Kind, ResponseFailure, ResponseItem, ResponseObject,
    ResponsePart, ResponseStatus, ResponseUsage,
};

use crate::{error::ApiError, routes::openai::encode::chat_logprob, sse::Frames};

/// Every item has one part.
const CONTENT_INDEX: usize = 0;

/// A response as it comes to be.
pub(super) struct Draft {
    response: ResponseObject,
    /// What ids of items end in: unique to the response.
    stem: String,
    /// The last item of the output has not ended.
    open: bool,
    /// `Some(k)`: with log-probabilities, and those of the `k` most likely tokens.
    logprobs: Option<u32>,
    /// Of tokens that came before it was known to which item they belong.
    waiting: Vec<TokenLogprob>,
    reason: Option<FinishReason>,
    numbers: Numbers,
}

/// The numbers of a response's events, from 0.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    /// Of the next event.
    next: u64,
    /// Of the first that is told.
    first: u64,
}

/// What an item holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Reasoning,
    Call,
}

impl Draft {
    /// A response of which nothing is known yet.
    pub(super) fn new(response: ResponseObject, logprobs: Option<u32>) -> Self {
        let stem = response.id.trim_start_matches(account::ResponseId::PREFIX).to_owned();
        let (waiting, reason, numbers) = Default::default();
        Self { response, stem, open: false, logprobs, waiting, reason, numbers }
    }

    /// The same, for somebody who knows the events up to this number.
    pub(super) fn telling_behind(mut self, known: Option<u64>) -> Self {
        self.numbers.first = known.map_or(0, |known| known.saturating_add(1));
        self
    }

    /// The response as it stands.
    pub(super) fn response(&self) -> &ResponseObject {
        &self.response
    }

    /// As [`Self::new`] took them.
    pub(super) fn logprobs(&self) -> Option<u32> {
        self.logprobs
    }

    /// Ends what is known of it here.
    pub(super) fn response_mut(&mut self) -> &mut ResponseObject {
        &mut self.response
    }

    /// Says that there is one, and how far it is.
    pub(super) fn begin(&mut self, frames: &mut Frames) {
        let response = &self.response;
        tell(&mut self.numbers, Some(&mut *frames), Kind::Created { response });
        let standing = match response.status {
            ResponseStatus::Queued => Kind::Queued { response },
            _ => Kind::InProgress { response },
        };
        tell(&mut self.numbers, Some(frames), standing);
    }

    /// Says that its turn has come.
    pub(super) fn start(&mut self, frames: Option<&mut Frames>) {
        self.response.status = ResponseStatus::InProgress;
        tell(&mut self.numbers, frames, Kind::InProgress { response: &self.response });
    }

    /// Takes what an event says, and appends what there is to say of it. Of a terminal event it says nothing:
    /// [`Self::last`] does.
    pub(super) fn push(&mut self, mut event: Event, mut frames: Option<&mut Frames>) {
        if event.choice_mut().is_some_and(|choice| *choice != 0) {
            return;
        }
        match event {
            Event::Started { .. } => {}
            Event::Text { text, logprobs, .. } => self.text(&text, logprobs, frames),
            Event::Reasoning { text, .. } => self.reasoning(text, frames),
            Event::ToolCall { id, name, .. } => self.call(id, name, frames),
            Event::Arguments { text, .. } => self.arguments(&text, frames),
            Event::Finished { reason, .. } => {
                if self.response.output.is_empty() {
                    // Clients look at the first item without asking whether there is one.
                    self.open(Holds::Text, frames.as_deref_mut());
                }
                let cut = matches!(reason, FinishReason::Length | FinishReason::Budget);
                self.close(if cut { ItemStatus::Incomplete } else { ItemStatus::Completed }, frames);
                self.reason = Some(reason);
            }
            Event::Done(usage) => {
                self.close(ItemStatus::Incomplete, frames);
                self.count(usage);
                self.response.status = match self.reason {
                    Some(FinishReason::Stop | FinishReason::ToolCalls) => ResponseStatus::Completed,
                    _ => ResponseStatus::Incomplete,
                };
                if self.response.status == ResponseStatus::Incomplete {
                    let stopped_by = (self.reason == Some(FinishReason::Budget)).then_some("budget");
                    self.response.incomplete_details =
                        Some(IncompleteDetails { reason: "max_output_tokens", stopped_by });
                }
            }
            Event::Failed { error, usage } => {
                self.count(usage);
                self.fail(&error.into(), frames);
            }
        }
    }

    /// Ends it with a failure.
    pub(super) fn fail(&mut self, error: &ApiError, frames: Option<&mut Frames>) {
        self.close(ItemStatus::Incomplete, frames);
        self.response.status = ResponseStatus::Failed;
        self.response.error = Some(failure(error));
    }

    /// Ends it because whoever asked wants no more of it.
    pub(super) fn cancel(&mut self, usage: Usage, frames: Option<&mut Frames>) {
        self.close(ItemStatus::Incomplete, frames);
        self.count(usage);
        self.response.status = ResponseStatus::Cancelled;
    }

    /// Says how it ended.
    pub(super) fn last(&mut self, frames: &mut Frames) {
        let response = &self.response;
        let last = match response.status {
            ResponseStatus::Completed => Kind::Completed { response },
            ResponseStatus::Failed => Kind::Failed { response },
            // There is no event that says `cancelled`.
            _ => Kind::Incomplete { response },
        };
        tell(&mut self.numbers, Some(frames), last);
    }

    fn count(&mut self, usage: Usage) {
        self.response.usage = Some(ResponseUsage {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputTokensDetails { cached_tokens: usage.cached_tokens, cache_write_tokens: 0 },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputTokensDetails { reasoning_tokens: usage.reasoning_tokens },
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
        });
    }

    /// What the item holds that has not ended.
    fn holds(&self) -> Option<Holds> {
        match self.response.output.last().filter(|_| self.open)? {
            ResponseItem::Message { .. } => Some(Holds::Text),
            ResponseItem::Reasoning { .. } => Some(Holds::Reasoning),
            ResponseItem::FunctionCall { .. } => Some(Holds::Call),
            ResponseItem::FunctionCallOutput { .. } => None,
        }
    }

    /// A token is told before what it means, and may have no text: it belongs to what is open, or to what opens next.
    fn text(&mut self, text: &str, logprobs: Vec<TokenLogprob>, mut frames: Option<&mut Frames>) {
        match self.holds() {
            Some(Holds::Reasoning | Holds::Call) if text.is_empty() => return,
            Some(Holds::Text) => {}
            _ if text.is_empty() => {}
            _ => self.open(Holds::Text, frames.as_deref_mut()),
        }
        self.waiting.extend(logprobs);
        if self.holds() != Some(Holds::Text) {
            return;
        }
        let tokens = std::mem::take(&mut self.waiting);
        let new: Vec<ChatTokenLogprob> =
            self.logprobs.iter().flat_map(|top| tokens.iter().map(|token| chat_logprob(token, *top))).collect();
        // A token that ends inside a character has no text yet; it says something only with its probability.
        if text.is_empty() && new.is_empty() {
            return;
        }
        let output_index = self.response.output.len() - 1;
        let Some(ResponseItem::Message { id, content, .. }) = self.response.output.last_mut() else { return };
        let (item_id, content_index, delta) = (&*id, CONTENT_INDEX, text);
        let event = Kind::OutputTextDelta { item_id, output_index, content_index, delta, logprobs: &new };
        tell(&mut self.numbers, frames, event);
        if let Some(ResponsePart::OutputText { text: all, logprobs, .. }) = content.last_mut() {
            all.push_str(text);
            logprobs.extend(new);
        }
    }

    fn reasoning(&mut self, text: String, mut frames: Option<&mut Frames>) {
        if text.is_empty() {
            return;
        }
        if self.holds() != Some(Holds::Reasoning) {
            self.open(Holds::Reasoning, frames.as_deref_mut());
        }
        let output_index = self.response.output.len() - 1;
        let Some(ResponseItem::Reasoning { id, content, .. }) = self.response.output.last_mut() else { return };
        let (item_id, content_index, delta) = (&*id, CONTENT_INDEX, &*text);
        tell(&mut self.numbers, frames, Kind::ReasoningTextDelta { item_id, output_index, content_index, delta });
        if let Some(part) = content.last_mut() {
            part.text.push_str(&text);
        }
    }

    fn call(&mut self, call: String, function: String, mut frames: Option<&mut Frames>) {
        self.close(ItemStatus::Completed, frames.as_deref_mut());
        // Tokens of the marks around a call are part of no text.
        self.waiting.clear();
        let (id, arguments) = (self.id("fc"), String::new());
        let status = ItemStatus::InProgress;
        self.add(ResponseItem::FunctionCall { id, status, call_id: call, name: function, arguments }, frames);
    }

    fn arguments(&mut self, delta: &str, frames: Option<&mut Frames>) {
        // Arguments without a call belong to nothing.
        if self.holds() != Some(Holds::Call) || delta.is_empty() {
            return;
        }
        let output_index = self.response.output.len() - 1;
        let Some(ResponseItem::FunctionCall { id, arguments, .. }) = self.response.output.last_mut() else { return };
        let item_id = &*id;
        tell(&mut self.numbers, frames, Kind::FunctionCallArgumentsDelta { item_id, output_index, delta });
        arguments.push_str(delta);
    }

    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", self.stem, self.response.output.len())
    }

    /// Begins a text or reasoning, and ends what was before it.
    fn open(&mut self, holds: Holds, mut frames: Option<&mut Frames>) {
        self.close(ItemStatus::Completed, frames.as_deref_mut());
        let (status, content, summary) = (ItemStatus::InProgress, Vec::new(), Vec::new());
        let item = if holds == Holds::Text {
            ResponseItem::Message { id: self.id("msg"), status, role: ItemRole::Assistant, content }
        } else {
            self.waiting.clear();
            ResponseItem::Reasoning { id: self.id("rs"), status, summary, content: Vec::new() }
        };
        self.add(item, frames.as_deref_mut());
        let output_index = self.response.output.len() - 1;
        let content_index = CONTENT_INDEX;
        match self.response.output.last_mut() {
            Some(ResponseItem::Message { id: item_id, content, .. }) => {
                let empty = ResponsePart::output(String::new());
                let part = EventPart::Text(&empty);
                tell(&mut self.numbers, frames, Kind::ContentPartAdded { item_id, output_index, content_index, part });
                content.push(empty);
            }
            Some(ResponseItem::Reasoning { id: item_id, content, .. }) => {
                let empty = ReasoningPart::new(String::new());
                let part = EventPart::Reasoning(&empty);
                tell(&mut self.numbers, frames, Kind::ContentPartAdded { item_id, output_index, content_index, part });
                content.push(empty);
            }
            _ => {}
        }
    }

    fn add(&mut self, item: ResponseItem, frames: Option<&mut Frames>) {
        let output_index = self.response.output.len();
        tell(&mut self.numbers, frames, Kind::OutputItemAdded { output_index, item: &item });
        self.response.output.push(item);
        self.open = true;
    }

    /// Ends the item that has not ended.
    fn close(&mut self, ends: ItemStatus, mut frames: Option<&mut Frames>) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let (numbers, content_index) = (&mut self.numbers, CONTENT_INDEX);
        let output_index = self.response.output.len().saturating_sub(1);
        match self.response.output.last_mut() {
            Some(ResponseItem::Message { id: item_id, status, content, .. }) => {
                *status = ends;
                for part in content {
                    let (text, logprobs) = match part {
                        ResponsePart::OutputText { text, logprobs, .. } => (&*text, &logprobs[..]),
                        ResponsePart::InputText { text } => (&*text, &[][..]),
                    };
                    let done = Kind::OutputTextDone { item_id, output_index, content_index, text, logprobs };
                    tell(numbers, frames.as_deref_mut(), done);
                    let part = EventPart::Text(part);
                    let done = Kind::ContentPartDone { item_id, output_index, content_index, part };
                    tell(numbers, frames.as_deref_mut(), done);
                }
            }
            Some(ResponseItem::Reasoning { id: item_id, status, content, .. }) => {
                *status = ends;
                for part in content {
                    let text = &*part.text;
                    let done = Kind::ReasoningTextDone { item_id, output_index, content_index, text };
                    tell(numbers, frames.as_deref_mut(), done);
                    let part = EventPart::Reasoning(part);
                    let done = Kind::ContentPartDone { item_id, output_index, content_index, part };
                    tell(numbers, frames.as_deref_mut(), done);
                }
            }
            Some(ResponseItem::FunctionCall { id: item_id, status, name, arguments, .. }) => {
                *status = ends;
                let done = Kind::FunctionCallArgumentsDone { item_id, output_index, name, arguments };
                tell(numbers, frames.as_deref_mut(), done);
            }
            Some(ResponseItem::FunctionCallOutput { .. }) | None => return,
        }
        if let Some(item) = self.response.output.last() {
            tell(numbers, frames, Kind::OutputItemDone { output_index, item });
        }
    }
}

/// Numbers an event, and appends it where there is somebody to read it.
fn tell(numbers: &mut Numbers, frames: Option<&mut Frames>, event: Kind<'_>) {
    let sequence_number = numbers.next;
    numbers.next += 1;
    if let Some(frames) = frames.filter(|_| sequence_number >= numbers.first) {
        let name = event.name();
        frames.event(name, &ResponseEvent { event, sequence_number });
    }
}

/// A failure inside of a response, by the codes that typed clients know; what none of them means keeps its own.
fn failure(error: &ApiError) -> ResponseFailure {
    let code = match error.status() {
        StatusCode::BAD_REQUEST => "invalid_prompt",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
        status if status.is_server_error() => "server_error",
        _ => error.openai().error.code,
    };
    ResponseFailure { code, message: error.to_string() }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::blank;
