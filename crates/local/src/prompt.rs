//! From a request to the token ids that the engine continues.

use std::time::{SystemTime, UNIX_EPOCH};

use chat::Template;
use inference::{ChatInput, Error, Input};
use text::{Special, Tokenizer};

/// Longest prompt text in bytes for each token of context: what is longer cannot fit and is refused before it is tokenised.
const MOST_BYTES_PER_TOKEN: usize = 64;

/// Renders and tokenises `input`. Every fault of the caller's is an [`Error::Invalid`].
pub(crate) fn tokens(
    input: Input,
    tokenizer: &Tokenizer,
    template: Option<&Template>,
    context_length: usize,
) -> Result<Vec<u32>, Error> {
    let (tokens, parameter) = match input {
        Input::Tokens(tokens) => {
            let vocabulary = tokenizer.vocabulary();
            if let Some(unknown) = tokens.iter().find(|&&token| token >= vocabulary) {
                return Err(Error::invalid(
                    "prompt",
                    format!("token id {unknown} is outside the vocabulary of {vocabulary} tokens"),
                ));
            }
            (tokens, "prompt")
        }
        Input::Text(text) => {
            refuse_overlong(text.len(), context_length)?;
            (encode(tokenizer, &text, &[], "prompt")?, "prompt")
        }
        Input::Chat(conversation) => {
            // A template may leave messages out, but then the caller's mistake is to send so many.
            refuse_overlong(conversation.messages.iter().map(|message| message.content.len()).sum(), context_length)?;
            let rendered = render(&conversation, template)?;
            refuse_overlong(rendered.text.len(), context_length)?;
            (encode(tokenizer, &rendered.text, &rendered.literal, "messages")?, "messages")
        }
    };
    if tokens.is_empty() {
        return Err(Error::invalid(parameter, "the prompt is empty: this model needs at least one token to continue"));
    }
    Ok(tokens)
}

fn render(conversation: &ChatInput, template: Option<&Template>) -> Result<chat::Rendered, Error> {
    let template = template.ok_or_else(|| {
        Error::invalid("messages", "this model has no chat template; use the completions endpoint with a plain prompt")
    })?;
    let messages: Vec<chat::Message<'_>> = conversation
        .messages
        .iter()
        .map(|message| chat::Message {
            role: message.role.as_str(),
            content: &message.content,
            name: message.name.as_deref(),
        })
        .collect();
    let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    template.render(&messages, &chat::Options { add_generation_prompt: true, unix_time }).map_err(|error| match error {
        chat::Error::Raised(message) => {
            Error::invalid("messages", format!("the model's chat template refuses these messages: {message}"))
        }
        other => {
            tracing::warn!(error = %other, "a chat template failed");
            Error::invalid("messages", "the model's chat template cannot render these messages")
        }
    })
}

fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    literal: &[std::ops::Range<usize>],
    parameter: &str,
) -> Result<Vec<u32>, Error> {
    tokenizer.encode(text, Special { add: true, parse: true }, literal).map_err(|error| {
        tracing::warn!(%error, "a text could not be tokenised");
        Error::invalid(parameter, "the text cannot be tokenised by this model")
    })
}

/// No tokenizer makes fewer tokens than this bound of a text, so rendering or tokenising what exceeds it is wasted work.
fn refuse_overlong(bytes: usize, context_length: usize) -> Result<(), Error> {
    let most = context_length.saturating_mul(MOST_BYTES_PER_TOKEN);
    if bytes <= most {
        return Ok(());
    }
    let at_least = (bytes / MOST_BYTES_PER_TOKEN) as u64;
    Err(Error::ContextLengthExceeded {
        limit: context_length as u64,
        requested: at_least + 1,
        prompt: at_least,
        output: 1,
    })
}
