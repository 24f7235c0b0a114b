//! What a backend answers, piece by piece.

use crate::Error;

/// One step of an answer. A stream holds at most one `Started`, any number of events of its choices, and then exactly one of
/// `Done` or `Failed`.
///
/// Whoever leaves before that last event knows what ran all the same: the tokens of all `Text` so far, and what `Started` said.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The request's turn has come: its prompt is being computed.
    Started {
        /// How many of the prompt's tokens came from a prefix cache.
        cached_tokens: u64,
    },
    /// A piece of a choice's text. It may be empty: its tokens end inside a character, may be the beginning of a stop string,
    /// or have no text, as the one that ends the model's turn.
    Text {
        /// Index of the choice, from 0.
        choice: u32,
        /// The text that became certain.
        text: String,
        /// Generated tokens that were committed since the last event of this choice. Over all of them the sum is
        /// [`Usage::completion_tokens`]. A prompt that is repeated counts for nothing.
        tokens: u64,
        /// How many of these the model generated while it was thinking, with the marks that begin and end that.
        reasoning_tokens: u64,
        /// The tokens that became certain since the last event of this choice; filled when log-probabilities were asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// A piece of a choice's reasoning.
    Reasoning {
        /// Index of the choice, from 0.
        choice: u32,
        /// The text that became certain.
        text: String,
    },
    /// A choice begins a tool call. The call that it began before is complete.
    ToolCall {
        /// Index of the choice, from 0.
        choice: u32,
        /// Names the call; no other call of the conversation has the same.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A piece of the arguments of a choice's latest call. All of them together are a JSON object, unless the choice ended
    /// in the middle of it.
    Arguments {
        /// Index of the choice, from 0.
        choice: u32,
        /// The text that became certain.
        text: String,
    },
    /// A choice has ended.
    Finished {
        /// Index of the choice, from 0.
        choice: u32,
        /// Why it ended.
        reason: FinishReason,
        /// The stop string that ended it, where one did; then the reason is [`FinishReason::Stop`].
        stop: Option<String>,
    },
    /// Every choice has ended; the request is complete.
    Done(Usage),
    /// The request failed after it was admitted. What was generated before is counted.
    Failed {
        /// What went wrong.
        error: Error,
        /// What ran before it.
        usage: Usage,
    },
}

impl Event {
    /// Whether this is the last event of its stream.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed { .. })
    }

    /// The index of the choice that the event belongs to.
    pub fn choice_mut(&mut self) -> Option<&mut u32> {
        match self {
            Self::Text { choice, .. }
            | Self::Reasoning { choice, .. }
            | Self::ToolCall { choice, .. }
            | Self::Arguments { choice, .. }
            | Self::Finished { choice, .. } => Some(choice),
            Self::Started { .. } | Self::Done(_) | Self::Failed { .. } => None,
        }
    }
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended its turn, or a stop string came.
    Stop,
    /// `max_tokens` or the end of the context was reached.
    Length,
    /// A budget or a limit of whoever asks had no more for it.
    Budget,
    /// The model ended its turn and waits for the results of its tool calls.
    ToolCalls,
}

/// A token's log-probability, with the bytes that the token stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token's id.
    pub token: u32,
    /// Its bytes, which need not be valid UTF-8 on their own.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability at temperature 1, before penalties; `None` for the first token of a prompt.
    pub logprob: Option<f32>,
    /// The most likely tokens at this position, most likely first, each with `top` empty.
    pub top: Vec<TokenLogprob>,
}

/// Tokens that the engine committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, counted once however many choices there are.
    pub prompt_tokens: u64,
    /// How many of the prompt's tokens came from a prefix cache.
    pub cached_tokens: u64,
    /// Generated tokens over all choices, each up to and including the token that completed a stop.
    pub completion_tokens: u64,
    /// How many of the generated tokens are the model's reasoning, with the marks around it.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Counts what an event of a running answer says.
    pub fn count(&mut self, event: &Event) {
        match event {
            Event::Started { cached_tokens } => self.cached_tokens = *cached_tokens,
            Event::Text { tokens, reasoning_tokens, .. } => {
                self.completion_tokens += tokens;
                self.reasoning_tokens += reasoning_tokens;
            }
            Event::Done(usage) | Event::Failed { usage, .. } => *self = *usage,
            Event::Reasoning { .. } | Event::ToolCall { .. } | Event::Arguments { .. } | Event::Finished { .. } => {}
        }
    }
}
