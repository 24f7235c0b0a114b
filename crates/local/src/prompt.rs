//! From a request to the token ids that the engine continues.

use std::time::{SystemTime, UNIX_EPOCH};

use chat::Chat;
use inference::{ChatInput, Error, Input, Role, ToolChoice};
use text::{Special, Tokenizer};

/// Longest prompt text in bytes for each token of context: what is longer cannot fit and is refused before it is tokenised.
const MOST_BYTES_PER_TOKEN: usize = 64;

/// What the engine continues.
pub(crate) struct Prompt {
    pub tokens: Vec<u32>,
    /// Of a conversation: what is needed to read the answer.
    pub chat: Option<chat::Prompt>,
    /// Tokens that end the answer beside those that end any.
    pub ends: Vec<u32>,
}

/// Renders and tokenises `input`, which the caller gave as `parameter`. Every fault of the caller's is an [`Error::Invalid`].
pub(crate) fn prompt(
    input: Input,
    parameter: &'static str,
    tokenizer: &Tokenizer,
    template: Option<&Chat>,
    context_length: usize,
) -> Result<Prompt, Error> {
    let (mut chat, mut ends) = (None, Vec::new());
    let tokens = match input {
        Input::Tokens(tokens) => {
            let vocabulary = tokenizer.vocabulary();
            if let Some(unknown) = tokens.iter().find(|&&token| token >= vocabulary) {
                return Err(Error::invalid(
                    parameter,
                    format!("token id {unknown} is outside the vocabulary of {vocabulary} tokens"),
                ));
            }
            tokens
        }
        Input::Text(text) => {
            refuse_overlong(parameter, text.len(), context_length)?;
            encode(tokenizer, &text, &[], parameter)?
        }
        Input::Gap { prefix, suffix } => {
            refuse_overlong(parameter, prefix.len() + suffix.len(), context_length)?;
            let infill = tokenizer.infill().ok_or_else(|| {
                let message = "suffix cannot be honoured: this model was not made to fill gaps, its vocabulary has no tokens for \
                               that; leave suffix out";
                Error::invalid("suffix", message)
            })?;
            ends = infill.ends().to_vec();
            tokenizer.encode_gap(infill, &prefix, &suffix).map_err(|error| untokenised(&error, parameter))?
        }
        Input::Chat(conversation) => {
            // A template may leave messages out, but then the caller's mistake is to send so many.
            refuse_overlong(parameter, size(&conversation), context_length)?;
            let rendered = render(conversation, parameter, template)?;
            refuse_overlong(parameter, rendered.text.len(), context_length)?;
            let tokens = encode(tokenizer, &rendered.text, &rendered.literal, parameter)?;
            chat = Some(rendered);
            tokens
        }
    };
    if tokens.is_empty() {
        return Err(Error::invalid(parameter, "the prompt is empty: this model needs at least one token to continue"));
    }
    Ok(Prompt { tokens, chat, ends })
}

/// Bytes of text in a conversation.
fn size(conversation: &ChatInput) -> usize {
    let messages = conversation.messages.iter().map(|message| {
        let calls: usize = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
        message.content.len() + message.reasoning.as_ref().map_or(0, String::len) + calls
    });
    let tools = conversation.tools.iter().map(|tool| {
        let texts = [&tool.description, &tool.parameters].into_iter().flatten();
        tool.name.len() + texts.map(String::len).sum::<usize>()
    });
    messages.chain(tools).sum()
}

fn render(conversation: ChatInput, parameter: &str, template: Option<&Chat>) -> Result<chat::Prompt, Error> {
    let template = template.ok_or_else(|| {
        Error::invalid(parameter, "this model has no chat template; use the completions endpoint with a plain prompt")
    })?;
    let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    template.render(&convert(conversation)?, unix_time).map_err(|error| match error {
        chat::Error::Raised(message) => {
            Error::invalid(parameter, format!("the model's chat template refuses these messages: {message}"))
        }
        chat::Error::Message { index, field, message } => {
            Error::invalid(format!("{parameter}[{index}].{field}"), message)
        }
        other => {
            tracing::warn!(error = %other, "a chat template failed");
            Error::invalid(parameter, "the model's chat template cannot render these messages")
        }
    })
}

/// A conversation in the words of `chat`.
fn convert(conversation: ChatInput) -> Result<chat::Conversation, Error> {
    let message = |message: inference::Message| chat::Message {
        role: match message.role {
            Role::System => chat::Role::System,
            Role::User => chat::Role::User,
            Role::Assistant => chat::Role::Assistant,
            Role::Tool => chat::Role::Tool,
        },
        content: message.content,
        name: message.name,
        reasoning: message.reasoning,
        calls: message
            .tool_calls
            .into_iter()
            .map(|call| chat::Call { id: call.id, name: call.name, arguments: call.arguments })
            .collect(),
        call_id: message.tool_call_id,
    };
    let tool = |tool: inference::Tool| {
        let parameters = tool.parameters.map(|schema| serde_json::from_str(&schema)).transpose();
        let parameters = parameters.map_err(|_| Error::invalid("tools", "a tool's schema is no JSON"))?;
        Ok(chat::Tool { name: tool.name, description: tool.description, parameters, strict: tool.strict })
    };
    let tools = match conversation.tool_choice {
        ToolChoice::Auto | ToolChoice::Required | ToolChoice::Named(_) => conversation.tools,
        // A model that is not told of tools calls none.
        ToolChoice::None => Vec::new(),
    };
    Ok(chat::Conversation {
        messages: conversation.messages.into_iter().map(message).collect(),
        tools: tools.into_iter().map(tool).collect::<Result<_, Error>>()?,
        thinking: conversation.thinking,
        effort: conversation.reasoning_effort,
        budget: conversation.thinking_budget.filter(|_| conversation.thinking != Some(false)),
    })
}

fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    literal: &[std::ops::Range<usize>],
    parameter: &str,
) -> Result<Vec<u32>, Error> {
    let special = Special { add: true, parse: true };
    tokenizer.encode(text, special, literal).map_err(|error| untokenised(&error, parameter))
}

fn untokenised(error: &text::Error, parameter: &str) -> Error {
    tracing::warn!(%error, "a text could not be tokenised");
    Error::invalid(parameter, "the text cannot be tokenised by this model")
}

/// No tokenizer makes fewer tokens than this bound of a text, so rendering or tokenising what exceeds it is wasted work.
fn refuse_overlong(parameter: &'static str, bytes: usize, context_length: usize) -> Result<(), Error> {
    let most = context_length.saturating_mul(MOST_BYTES_PER_TOKEN);
    if bytes <= most {
        return Ok(());
    }
    let at_least = (bytes / MOST_BYTES_PER_TOKEN) as u64;
    Err(Error::ContextLengthExceeded {
        parameter,
        limit: context_length as u64,
        requested: at_least + 1,
        prompt: at_least,
        output: 1,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weights::{Array, Checkpoint, Value};

    use super::*;
    use crate::babbler::tokenizer;

    fn gap(tokenizer: &Tokenizer, suffix: &str) -> Result<Prompt, Error> {
        let input = Input::Gap { prefix: "a(".into(), suffix: suffix.into() };
        prompt(input, "prompt", tokenizer, None, 100)
    }

    #[test]
    fn a_model_without_tokens_for_it_fills_no_gap() {
        let refused = gap(&tokenizer(), ")").err();
        assert!(matches!(&refused, Some(Error::Invalid { parameter, .. }) if parameter.as_deref() == Some("suffix")));
    }

    #[test]
    fn a_model_with_tokens_for_it_gets_them_around_both_parts() {
        let Ok(Checkpoint::Gguf(gguf)) = Checkpoint::open(&testkit::smollm2()) else { panic!("a GGUF") };
        let mut metadata = gguf.metadata().clone();
        let Some(Value::Array(Array::Str(tokens))) = metadata.0.get_mut("tokenizer.ggml.tokens") else {
            panic!("names")
        };
        let first = tokens.len();
        tokens.extend(["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"].map(str::to_owned));
        let Some(Value::Array(Array::I32(types))) = metadata.0.get_mut("tokenizer.ggml.token_type") else {
            panic!("types")
        };
        types.extend([3; 4]);
        let tokenizer = Arc::new(Tokenizer::from_gguf(&metadata).expect("a tokenizer"));
        let Prompt { tokens, ends, chat } = gap(&tokenizer, ")").expect("it can");
        let plain = |text| tokenizer.encode(text, Special { add: false, parse: false }, &[]).expect("a text");
        let first = first as u32;
        assert_eq!(tokens, [&[first], &plain("a(")[..], &[first + 1], &plain(")"), &[first + 2]].concat());
        // The model itself has a token between files, which ends the middle too.
        assert!(ends.contains(&(first + 3)) && chat.is_none(), "{ends:?}");
        let long = gap(&tokenizer, &"x ".repeat(10_000)).err();
        assert!(matches!(long, Some(Error::ContextLengthExceeded { parameter: "prompt", .. })));
    }
}
