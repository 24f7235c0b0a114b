//! The prompts of a completion.

use inference::Input;
use wire::openai::{Prompt, PromptItem};

use crate::{error::ApiError, routes::native::ids};

/// One input for each prompt. A list of numbers is one prompt; other lists are several.
pub(super) fn convert(prompt: Prompt) -> Result<Vec<Input>, ApiError> {
    let items = match prompt {
        Prompt::Text(text) => return Ok(vec![Input::Text(text)]),
        Prompt::List(items) => items,
    };
    match items.first() {
        None => Err(ApiError::invalid("prompt", "prompt is an empty list; it needs at least one prompt or token id")),
        Some(PromptItem::Id(_)) => {
            let id = |(position, item)| match item {
                PromptItem::Id(id) => Ok(id),
                _ => Err(mixed(position)),
            };
            let tokens = items.into_iter().enumerate().map(id).collect::<Result<Vec<_>, _>>()?;
            Ok(vec![Input::Tokens(ids("prompt", &tokens)?)])
        }
        Some(PromptItem::Text(_)) => {
            let text = |(position, item)| match item {
                PromptItem::Text(text) => Ok(Input::Text(text)),
                _ => Err(mixed(position)),
            };
            items.into_iter().enumerate().map(text).collect()
        }
        Some(PromptItem::Ids(_)) => {
            let tokens = |(position, item)| match item {
                PromptItem::Ids(tokens) if tokens.is_empty() => {
                    Err(ApiError::invalid(format!("prompt[{position}]"), "a prompt of token ids needs at least one"))
                }
                PromptItem::Ids(tokens) => ids(&format!("prompt[{position}]"), &tokens).map(Input::Tokens),
                _ => Err(mixed(position)),
            };
            items.into_iter().enumerate().map(tokens).collect()
        }
    }
}

fn mixed(position: usize) -> ApiError {
    ApiError::invalid(
        format!("prompt[{position}]"),
        "the elements of prompt must be of one kind: all strings, all token ids, or all lists of token ids",
    )
}
