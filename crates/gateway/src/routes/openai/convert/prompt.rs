//! The prompts of a completion, and the inputs of embeddings, which have the same forms.

use inference::Input;
use wire::openai::{Prompt, PromptItem};

use crate::{error::ApiError, routes::native::ids};

/// One input for each prompt of `parameter`. A list of numbers is one prompt; other lists are several.
pub(in crate::routes::openai) fn convert(parameter: &str, prompt: Prompt) -> Result<Vec<Input>, ApiError> {
    let items = match prompt {
        Prompt::Text(text) => return Ok(vec![Input::Text(text)]),
        Prompt::List(items) => items,
    };
    match items.first() {
        None => Err(ApiError::invalid(
            parameter,
            format!("{parameter} is an empty list; it needs at least one text or token id"),
        )),
        Some(PromptItem::Id(_)) => {
            let id = |(position, item)| match item {
                PromptItem::Id(id) => Ok(id),
                _ => Err(mixed(parameter, position)),
            };
            let tokens = items.into_iter().enumerate().map(id).collect::<Result<Vec<_>, _>>()?;
            Ok(vec![Input::Tokens(ids(parameter, &tokens)?)])
        }
        Some(PromptItem::Text(_)) => {
            let text = |(position, item)| match item {
                PromptItem::Text(text) => Ok(Input::Text(text)),
                _ => Err(mixed(parameter, position)),
            };
            items.into_iter().enumerate().map(text).collect()
        }
        Some(PromptItem::Ids(_)) => {
            let tokens = |(position, item)| match item {
                PromptItem::Ids(tokens) if tokens.is_empty() => {
                    let message = "a list of token ids needs at least one";
                    Err(ApiError::invalid(format!("{parameter}[{position}]"), message))
                }
                PromptItem::Ids(tokens) => ids(&format!("{parameter}[{position}]"), &tokens).map(Input::Tokens),
                _ => Err(mixed(parameter, position)),
            };
            items.into_iter().enumerate().map(tokens).collect()
        }
    }
}

fn mixed(parameter: &str, position: usize) -> ApiError {
    ApiError::invalid(
        format!("{parameter}[{position}]"),
        format!(
            "the elements of {parameter} must be of one kind: all strings, all token ids, or all lists of token ids"
        ),
    )
}
