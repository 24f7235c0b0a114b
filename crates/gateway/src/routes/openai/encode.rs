//! From events to OpenAI's answers. Plain structs: events in, JSON out, no HTTP.

mod chat;
mod completion;
mod logprobs;

use std::time::{SystemTime, UNIX_EPOCH};

use inference::FinishReason;
use wire::openai::{CompletionTokensDetails, PromptTokensDetails, Usage};

use super::convert::CountsIn;

pub(super) use chat::{ChatStream, chat_response};
pub(super) use completion::{CompletionStream, completion_response};
pub(super) use logprobs::chat as chat_logprob;

/// Changes with the program: another version may round otherwise, and a seed then gives another answer.
const FINGERPRINT: &str = concat!("modelworks-", env!("CARGO_PKG_VERSION"));

/// What all chunks of one answer have in common.
#[derive(Debug, Clone)]
pub(super) struct Head {
    id: String,
    model: String,
    /// Seconds since 1970.
    created: u64,
}

impl Head {
    /// The head of an answer that begins now.
    pub(super) fn new(id: String, model: String) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { id, model, created }
    }
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Budget => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

/// What ended a choice, where `finish_reason` has no word for it that typed clients know.
fn stopped_by(reason: FinishReason) -> Option<&'static str> {
    (reason == FinishReason::Budget).then_some("budget")
}

/// The field `usage` of a chunk: absent, null or there. `last` is what the last chunk tells, `running` what ran so far.
fn usage_of_chunk(
    counts: CountsIn,
    last: Option<inference::Usage>,
    running: inference::Usage,
) -> Option<Option<Usage>> {
    match counts {
        CountsIn::Nowhere => None,
        CountsIn::Last => Some(last.map(usage)),
        CountsIn::Every => Some(Some(usage(last.unwrap_or(running)))),
    }
}

fn usage(usage: inference::Usage) -> Usage {
    Usage {
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        total_tokens: usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details: PromptTokensDetails { cached_tokens: usage.cached_tokens },
        completion_tokens_details: CompletionTokensDetails { reasoning_tokens: usage.reasoning_tokens },
    }
}

#[cfg(test)]
mod tests;
